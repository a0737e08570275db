"""Auditing a finished mix: everything that its manifest says is counted again from its bytes, and
held against its recipe.

    mix       `audit_mix`: all checks of one mix folder, in order
    against   `audit_against`: whether other mixes share a document with it
    aligned   `audit_aligned`: whether mixes of one study differ in slots alone
    pair      `audit_bare`: what can be said of a .bin/.idx pair without a manifest; and the checks
              of an .idx, which `mix` makes too

    report    what an audit returns: named checks, and what each source realised
    files     the folder's files, and the size of the .bin
    stream    one pass over the bytes of the .bin, and the checks that it answers
    tables/   one pass over the tables, part by part:
        parts      read, and held against the hashes of the manifest
        columns    given to the rules of the modules below, with what came before each document
        sequence   a source's keys, epochs, cut
        placement  .idx, quotas, stream order, the prefix bound
        slots      what stands in the slots of an aligned arm
        mask       which documents of one are no targets
        repeats    documents that occur twice, where they came from, and the tokens of repeated
                   ones (`full`)
    recipe    the recipe that the manifest holds, read again, and sources, inputs and commits held
              against it
    quotas    quotas, shortfalls and removals, recomputed from that recipe
    judged    what the manifest says of filters, evaluation sets and near-duplicates, held against
              itself and against what was removed

    documents the documents of a whole mix, held against its manifest before mixes are compared
    portrait  what the tables say of a mix beside its checks, for the page

Nothing is trusted: no number of a manifest, a header or a table decides how much is allocated
beyond what the files themselves hold. A file that cannot be read is a failed check, and the checks
that do not need it still run.
"""

from mixtures.audit.against import audit_against
from mixtures.audit.aligned import audit_aligned
from mixtures.audit.mix import audit_mix
from mixtures.audit.pair import audit_bare
from mixtures.audit.report import AuditReport, Check, SourceFigures

__all__ = [
    "AuditReport",
    "Check",
    "SourceFigures",
    "audit_against",
    "audit_aligned",
    "audit_bare",
    "audit_mix",
]
