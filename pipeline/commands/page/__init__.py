"""What pages of figures are made of: one file that opens anywhere, light and dark, without network
and without scripts.

    elements  tables and bars, and a template made into a page; `elements.html.j2` draws them
    charts    one function a kind of chart, by altair and vl-convert
    svg       what of such a picture may stand in a page

The same figures give the same bytes: nothing of the time or the machine is in a page.
"""
