"""`annealmix export MIX --html FILE`: one page that shows what is in a mix, to be opened anywhere, without network and without scripts.

    figures   tables and numbers of each section, from the manifest's claims and `mixtures.portrait`
    store     what only the store knows: scores around the threshold, documents that were removed
    samples   a few documents of each strand, as text where the tokenizer is at hand
    charts    pictures of the figures, by altair and vl-convert
    svg       what of such a picture may stand in a page
    page      all of it, through the template `page.html.j2` with `page.css`

The same mix gives the same bytes: nothing of the time or the machine of the export is in them.
"""
