"""All checks of one mix folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

from mixtures.audit.files import check_bin_size, check_files, max_rows, tables_of
from mixtures.audit.judged import (
    check_contamination,
    check_filters,
    check_near,
    has_contamination,
    has_filters,
    has_near,
)
from mixtures.audit.pair import pointer_faults, try_open
from mixtures.audit.recipe import RecipeChecks
from mixtures.audit.report import (
    AuditReport,
    Check,
    SourceFigures,
    impossible,
    judge,
    percent_text,
    unread,
)
from mixtures.audit.stream import Progress, check_stream
from mixtures.audit.tables.columns import Rule, walk
from mixtures.audit.tables.parts import PartReader, read_part
from mixtures.audit.tables.placement import PrefixBound, Quotas, StreamOrder, TableIndex
from mixtures.audit.tables.repeats import Distinct, Origins, Repeats, digests_with_keys
from mixtures.audit.tables.sequence import Cuts, Epochs, KeyOrder, KeyRanges
from mixtures.keys import digest_columns, order_keys
from mixtures.mix import manifest as manifests
from mixtures.mix.claims import read_claims
from mixtures.mix.files import INDEX, TOKENS, part_path
from mixtures.mix.public import LACKS
from mixtures.mix.tables import DOCUMENTS, root_hash
from mixtures.trainers.schedule import mix_fit
from mixtures.words import plural


def audit_mix(folder: Path, full: bool = False, progress: Progress | None = None) -> AuditReport:
    """Count a mix again from its bytes and hold it against its manifest and its recipe.

    Args:
        folder: of a finished mix.
        full: also compare the tokens of every repeated document with those of its first epoch, and
            tell the clusters of near-duplicates.
        progress: called with (bytes read, bytes of the .bin), from several threads but never from
            two at once.

    Memory: 8 bytes a document, 20 more a document of sources that are repeated, one part's columns,
        8 MiB a core.

    Raises:
        ManifestError: the manifest is missing, damaged or not one that annealmix writes. All else
            is a failed check.
    """
    manifest = manifests.load(folder)
    return _MixAudit(folder, manifest, full).run(progress)


class _MixAudit:
    """One audit: the manifest's claims, and the pair if it can be opened."""

    def __init__(self, folder: Path, manifest: manifests.Manifest, full: bool) -> None:
        self.folder, self.manifest, self.full = folder, manifest, full
        self.claims = read_claims(manifest, str(folder / manifests.MANIFEST))
        self.max_rows = max_rows(folder, self.claims.layout.dtype.itemsize)
        self.pair, self.open_faults = try_open(folder / TOKENS, folder / INDEX)
        self.pointer_faults = [] if self.pair is None else pointer_faults(self.pair)

    def run(self, progress: Progress | None) -> AuditReport:
        checks = [
            self._manifest(),
            check_files(self.folder, self.claims),
            check_bin_size(self.folder, self.claims),
        ]
        pointers = self.pair.pointers if self.pair is not None and not self.pointer_faults else None
        stream_checks, counted = check_stream(self.folder / TOKENS, self.claims, pointers, progress)
        checks += [*stream_checks, self._index_hash(), self._index()]
        reader = PartReader(self.folder, self.claims, self.max_rows)
        quotas, epochs, bound = Quotas(self.claims), Epochs(self.claims), PrefixBound(self.claims)
        rules: list[Rule] = [TableIndex(self.claims, self.pair), quotas, Cuts(self.claims)]
        rules += [KeyRanges(self.claims), KeyOrder(self.claims), epochs]
        rules += [
            Distinct(self.claims, self._digests_with_keys),
            StreamOrder(self.claims),
            bound,
            Origins(self.claims),
        ]
        if self.full:
            rules.append(Repeats(self.claims, self.pair if not self.pointer_faults else None))
        lacks = LACKS if self.claims.public else {}
        of_documents = walk(reader, self.claims, [rule for rule in rules if rule.name not in lacks])
        checks += [
            reader.check_tables(),
            *(reader.check_hashes(table) for table in tables_of(self.claims)),
            *of_documents,
        ]
        checks += [impossible(name, why) for name, why in lacks.items()]
        whole = not reader.faults
        checks += RecipeChecks(self.claims, epochs.first_documents if whole else None).all()
        checks += [check_filters(self.claims)] if has_filters(self.claims) else []
        checks += [check_contamination(self.claims)] if has_contamination(self.claims) else []
        checks += [check_near(self.claims)] if has_near(self.claims) else []
        return AuditReport(
            path=str(self.folder),
            name=self.claims.name,
            identity=self.claims.identity,
            checks=tuple(checks),
            total_tokens=quotas.total_tokens,
            total_documents=quotas.total_documents,
            eod_tokens=counted.eod_tokens,
            sources=tuple(self._sources(quotas, bound)),
            removed={name: dict(counts) for name, counts in self.claims.removed.items()},
            filters=tuple(item.model_dump() for item in self.claims.filters),
            near=self.claims.near.model_dump() if self.claims.near and self.full else {},
            published=self.claims.published.model_dump(exclude={"sources"}, exclude_none=True),
            fit=mix_fit(self.manifest, quotas.total_tokens),
        )

    def _manifest(self) -> Check:
        found = manifests.identity(self.manifest)
        faults = (
            []
            if found == self.claims.identity
            else [f"its hashes give identity {found}, it says {self.claims.identity}"]
        )
        roots = {"bin": root_hash(self.claims.hashes.chunks)}
        roots |= {
            table: root_hash(getattr(self.claims.hashes, f"{table}_parts"))
            for table in ("documents", "provenance")
        }
        for name, root in roots.items():
            if root != getattr(self.claims.hashes, name):
                faults.append(
                    f"hashes.{name} is {getattr(self.claims.hashes, name)}, its pieces give {root}"
                )
        return judge(
            "manifest", f"digest {self.manifest['digest'][:16]}, identity {found[:16]}", faults
        )

    def _index_hash(self) -> Check:
        path = self.folder / INDEX
        if not path.is_file():
            return unread("idx hash", f"{path}: no such file")
        try:
            found = blake3(max_threads=blake3.AUTO).update_mmap(path).hexdigest()
        except OSError as error:
            return unread("idx hash", f"{path}: {error.strerror or error}")
        faults = (
            []
            if found == self.claims.hashes.idx
            else [f"{path}: {found}, the manifest says {self.claims.hashes.idx}"]
        )
        return judge("idx hash", found[:16], faults)

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

    def _digests_with_keys(self, keys: Any) -> Any:
        inserts = [source.name for source in self.claims.sources if source.insert]

        def parts() -> Iterator[tuple[Any, Any, Any]]:
            for number in range(len(self.claims.hashes.documents_parts)):
                path = part_path(self.folder, "documents", number)
                columns = read_part(
                    path, DOCUMENTS, self.max_rows, ["source", "digest", "epoch", "copy"]
                )
                digest = digest_columns(columns["digest"])
                once = (
                    (columns["epoch"] == 0)
                    & (columns["copy"] == 0)
                    & ~np.isin(columns["source"].astype(str), inserts)
                )
                yield digest, order_keys(digest), once

        return digests_with_keys(parts(), keys)

    def _sources(self, quotas: Quotas, bound: PrefixBound) -> Iterator[SourceFigures]:
        published = self.claims.published.sources
        for number, (source, (bound_tokens, measured_tokens)) in enumerate(
            zip(self.claims.sources, bound.figures(), strict=True)
        ):
            figures = published.get(source.name) if not source.copy_number else None
            yield SourceFigures(
                name=source.name,
                copy=source.copy_number,
                insert=source.insert,
                definition=source.definition,
                licence=source.licence,
                non_commercial=source.non_commercial,
                keys=(source.keys[0], source.keys[1]),
                asked_tokens=source.asked_tokens,
                resolved_tokens=source.resolved_tokens,
                realised_tokens=quotas.tokens[number],
                documents=quotas.documents[number],
                epochs=source.epochs,
                share=percent_text(quotas.tokens[number], quotas.total_tokens, 6),
                longest_tokens=bound.longest[number],
                bound_tokens=bound_tokens,
                measured_tokens=measured_tokens,
                cut=source.cut.model_dump() if source.cut else None,
                refilled=dict(source.refilled),
                published=figures.model_dump(exclude_none=True) if figures else {},
            )
