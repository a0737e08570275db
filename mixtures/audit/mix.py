"""All checks of one mix folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from blake3 import blake3

from mixtures.audit.files import check_bin_size, check_files, max_rows, tables_of
from mixtures.audit.judged.contamination import check_contamination, has_contamination
from mixtures.audit.judged.filters import check_filters, has_filters
from mixtures.audit.judged.near import check_near, has_near
from mixtures.audit.pair import pointer_faults, try_open
from mixtures.audit.quotas import RecipeChecks
from mixtures.audit.report import AuditReport, Check, SourceFigures, impossible, judge, unread
from mixtures.audit.stream import Progress, check_stream
from mixtures.audit.tables.columns import DocumentCheck, Uint64s, walk
from mixtures.audit.tables.mask import Masked
from mixtures.audit.tables.parts import PartReader, read_part
from mixtures.audit.tables.placement import CountedQuotas, PrefixBound, StreamOrder, TableIndex
from mixtures.audit.tables.repeats import Distinct, Origins, Repeats, is_among
from mixtures.audit.tables.sequence import Cuts, Epochs, KeyOrder, KeyRanges
from mixtures.audit.tables.slot_table import SlotTable
from mixtures.audit.tables.slots import Slots
from mixtures.keys import digest_columns, order_keys
from mixtures.mix.claim import PublishedSource
from mixtures.mix.claims import DeviationClaim, read_claims
from mixtures.mix.files import INDEX, TOKENS, part_path
from mixtures.mix.manifest import identity, mix_id
from mixtures.mix.public import LACKS
from mixtures.mix.tables import DOCUMENTS, root_hash
from mixtures.stream.quotas import Size
from mixtures.words import percent_text, plural


def audit_mix(folder: Path, full: bool = False, progress: Progress | None = None) -> AuditReport:
    """Count a mix again from its bytes and hold it against its manifest and its recipe.

    Args:
        folder: of a finished mix.
        full: also compare the tokens of every repeated document with those of its first epoch, and
            tell the clusters of near-duplicates.
        progress: called with (bytes read, bytes of the .bin), from several threads but never from
            two at once.

    Memory: 8 bytes a document, 20 more a document of sources that are repeated, one part's columns,
        1 MiB a core.

    Raises:
        ManifestError: the manifest is missing, damaged or not one that annealmix writes. All else
            is a failed check.
    """
    return _MixAudit(folder, full).run(progress)


class _MixAudit:
    """One audit: the manifest's claims, and the pair if it can be opened."""

    def __init__(self, folder: Path, full: bool) -> None:
        self.folder, self.full = folder, full
        self.claims = read_claims(folder)
        self.max_rows = max_rows(folder, self.claims.layout.dtype.itemsize)
        self.pair, self.open_faults = try_open(folder / TOKENS, folder / INDEX)
        self.slots = SlotTable.read(folder, self.claims, self.max_rows)
        self.pointer_faults = [] if self.pair is None else pointer_faults(self.pair)

    def run(self, progress: Progress | None) -> AuditReport:
        claims, reader = self.claims, PartReader(self.folder, self.claims, self.max_rows)
        checks = [
            self._manifest(),
            check_files(self.folder, claims),
            check_bin_size(self.folder, claims),
        ]
        pair = None if self.pointer_faults else self.pair
        pointers = None if pair is None else pair.pointers
        stream_checks, counted = check_stream(self.folder / TOKENS, claims, pointers, progress)
        checks += [*stream_checks, self._index_hash(), self._index()]
        quotas, epochs, bound = CountedQuotas(claims), Epochs(claims), PrefixBound(claims)
        of_documents: list[DocumentCheck] = [TableIndex(claims, self.pair), quotas, Cuts(claims)]
        of_documents += [KeyRanges(claims), KeyOrder(claims), epochs]
        of_documents += [Distinct(claims, self._digests_with_keys, self.slots.inner)]
        of_documents += [StreamOrder(claims), bound, Origins(claims)]
        if claims.arm is not None:
            of_documents.append(Slots(claims, claims.arm, self.slots))
        if claims.mask is not None:
            of_documents.append(Masked(self.folder, claims, claims.mask, self.max_rows))
        if self.full:
            of_documents.append(Repeats(claims, pair))
        lacks = LACKS if claims.public else {}
        possible = [check for check in of_documents if check.name not in lacks]
        found = walk(reader, claims, self.slots, possible)
        checks += [reader.check_tables(), *map(reader.check_hashes, tables_of(claims)), *found]
        checks += [impossible(name, why) for name, why in lacks.items()]
        first_documents = None if reader.faults else epochs.first_documents
        checks += RecipeChecks(claims, first_documents).all()
        checks += [check_filters(claims)] if has_filters(claims) else []
        checks += [check_contamination(claims)] if has_contamination(claims) else []
        checks += [check_near(claims)] if has_near(claims) else []
        given = {source.name: claims.given(source.name) for source in claims.sources}
        return AuditReport(
            path=str(self.folder),
            name=claims.name,
            identity=claims.identity,
            mix_id=claims.mix_id,
            checks=tuple(checks),
            total_tokens=quotas.total_tokens,
            total_documents=quotas.total_documents,
            eod_tokens=counted.eod_tokens,
            sources=tuple(self._sources(quotas, bound)),
            removed=claims.removed,
            filters=tuple(claims.filters),
            masked=claims.masked,
            donors=given if claims.study else {},
            near=claims.near if self.full else None,
            published=claims.published,
            fit=claims.fit(quotas.total_tokens),
            corpora=claims.corpora,
            whole=claims.size.size == Size(),
        )

    def _manifest(self) -> Check:
        claims, hashes, faults = self.claims, self.claims.hashes, []
        due, due_id = identity(claims.as_json()), mix_id(claims.as_json())
        if due != claims.identity:
            faults.append(f"its hashes give identity {due}, it says {claims.identity}")
        if due_id != claims.mix_id:
            faults.append(
                f"its recipe, tokenizer and hashes give mix id {due_id}, it says {claims.mix_id}"
            )
        for name, root, pieces in (
            ("bin", hashes.bin, hashes.chunks),
            ("documents", hashes.documents, hashes.documents_parts),
            ("provenance", hashes.provenance, hashes.provenance_parts),
        ):
            if root != root_hash(pieces):
                faults.append(f"hashes.{name} is {root}, its pieces give {root_hash(pieces)}")
        figure = f"digest {claims.digest[:16]}, identity {due[:16]}, mix id {due_id[:16]}"
        return judge("manifest", figure, faults)

    def _index_hash(self) -> Check:
        path = self.folder / INDEX
        if not path.is_file():
            return unread("idx hash", f"{path}: no such file")
        try:
            content = blake3(max_threads=blake3.AUTO).update_mmap(path).hexdigest()
        except OSError as error:
            return unread("idx hash", f"{path}: {error.strerror or error}")
        faults = []
        if content != self.claims.hashes.idx:
            faults.append(f"{path}: {content}, the manifest says {self.claims.hashes.idx}")
        return judge("idx hash", content[:16], faults)

    def _index(self) -> Check:
        if self.pair is None:
            return judge("idx", "not readable", self.open_faults)
        faults, dtype = list(self.pointer_faults), self.pair.tokens.dtype
        if dtype.name != self.claims.layout.token_dtype:
            faults.append(
                f"its tokens are {dtype.name}, the manifest says {self.claims.layout.token_dtype}"
            )
        return judge(
            "idx",
            f"{plural(len(self.pair.sizes), 'document')} of {dtype.name}, pointers without gaps",
            faults,
        )

    def _digests_with_keys(self, keys: Uint64s) -> Uint64s:
        """Digests of the documents that may occur once alone and have one of some order keys:
        uint64 [num_found, 2]. keys: uint64 [num_keys], ascending.
        """
        inserts = [at for at, source in enumerate(self.claims.sources) if source.insert]
        found = [np.empty((0, 2), np.uint64)]
        for number in range(len(self.claims.hashes.documents_parts)):
            path = part_path(self.folder, "documents", number)
            names = ["position", "source", "digest", "epoch", "copy"]
            columns = read_part(path, DOCUMENTS, self.max_rows, names, spelled=False)
            digest = digest_columns(columns["digest"])
            once = (
                (columns["epoch"] == 0)
                & (columns["copy"] == 0)
                & ~np.isin(self.claims.strands_of(columns), inserts)
                & ~self.slots.repeated(self.slots.at(columns["position"]))
            )
            found.append(digest[once & is_among(order_keys(digest), keys)])
        return np.concatenate(found)

    def _sources(self, quotas: CountedQuotas, bound: PrefixBound) -> Iterator[SourceFigures]:
        published = self.claims.published.sources
        for number, (source, (bound_tokens, measured_tokens)) in enumerate(
            zip(self.claims.sources, bound.figures(), strict=True)
        ):
            stated = None if source.copy_number else published.get(source.name)
            # Not validated: what a damaged mix holds may be more than a manifest could say.
            yield SourceFigures.model_construct(
                **{
                    **vars(source),
                    "realised_tokens": quotas.tokens[number],
                    "documents": quotas.documents[number],
                    "longest_tokens": bound.longest[number],
                    "deviation": DeviationClaim.model_construct(
                        bound_tokens=bound_tokens, measured_tokens=measured_tokens
                    ),
                    "share": percent_text(quotas.tokens[number], quotas.total_tokens, 6),
                    "published": stated or PublishedSource(),
                }
            )
