"""Building the arms of a study: `study` is the whole of it on one page.

slots     what filters remove of the base, and where it stands there
removals  the same as manifests say it, by arm, before a mix is written
pool      the documents that the base does not use
filling   which of them stand in which slot
base      the base, built: what all arms are made from
arm       an arm whose slots are filled: the base's bytes with slots overwritten, its tables
mask      an arm whose slots are masked: the base's files, and the runs that are no targets
copies    files that arms share, or begin as
"""
