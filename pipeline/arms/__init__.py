"""Building the aligned arms of a study: `study` is the whole of it on one page.

slots    what filters remove of the base, and where it stands there
pool     the documents that the base does not use
filling  which of them stand in which slot
arm      one arm: the base's bytes with its slots overwritten, its tables and manifest
copies   files that arms share, or begin as
"""
