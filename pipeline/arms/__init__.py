"""Building the arms of a study: `study` is the whole of it on one page.

slots     what filters remove of the base, and where it stands there
removals  the same as manifests say it, by arm, before a mix is written
pool      the documents that the base does not use
rewrites  a user's texts for removed documents, read and tokenized
filling   which of them stand in which slot
base      the base, built: what all arms are made from
arm       an arm whose slots are filled: which donor stands where, and how both are scored
mask      an arm whose slots, or terms in them, are masked: which runs are no targets
writing   all arms, side by side: hidden folders, slices, manifests, renames
slices    a slice of an arm: the base's bytes with slots overwritten, its parts of tables
"""
