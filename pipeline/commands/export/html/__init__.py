"""`annealmix export MIX --html FILE`: one page that shows what is in a mix, to be opened anywhere,
without network and without scripts.

    figures   tables and numbers of each section, from the manifest's claims
    curves    figures along an axis (stream, lengths, scores), from `mixtures.audit.portrait`
    samples   a few documents of each strand, as text where the tokenizer is at hand; what only the
              store knows: scores, removed documents
    bars      what the template draws itself
    pictures  the charts of a mix: its figures, drawn
    page      all of it, through the template `page.html.j2` and `pipeline.commands.page`

The same mix gives the same bytes: nothing of the time or the machine of the export is in them.
"""
