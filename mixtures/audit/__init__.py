"""Auditing a finished mix: everything that its manifest says is counted again from its bytes, and
held against its recipe.

    mix       `audit_mix`: all checks of one mix folder, in order
    against   `audit_against`: whether other mixes share a document with it
    bare      `audit_bare`: what can be said of a .bin/.idx pair without a manifest

    report    what an audit returns        claims    what a manifest says, with types (*_claim: of
                                                     its parts)
    files     the folder's files           stream    one pass over the .bin; `stream_checks` judges
                                                     it; `index` the .idx
    parts     the tables, part by part     mix_documents  of a whole mix, held against its manifest
    columns   one pass over the tables, given to the rules of the modules below
    sequence  a source's keys, epochs, cut
    placement .idx, quotas, stream order, the prefix bound
    copies    documents that occur twice   repeats   the tokens of repeated documents (`full`)
    recipe    quotas, shortfalls and removals, recomputed from the recipe that the manifest holds
    filters, contamination, near  what the manifest says of each, held against itself and against
                                  what was removed

Nothing is trusted: no number of a manifest, a header or a table decides how much is allocated
beyond what the files themselves hold. A file that cannot be read is a failed check, and the checks
that do not need it still run.
"""

from mixtures.audit.against import audit_against
from mixtures.audit.mix import audit_mix
from mixtures.audit.pair import audit_bare
from mixtures.audit.report import AuditReport, Check, SourceFigures

__all__ = ["AuditReport", "Check", "SourceFigures", "audit_against", "audit_bare", "audit_mix"]
