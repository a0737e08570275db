"""How deep an audit of a mix folder goes: the checks that need more than the mix, and what is missing for those that are not made."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mixtures.audit.report import Check
from mixtures.errors import RecipeError
from mixtures.mix import manifest as manifests
from pipeline.inputs.listing import DataFolders

FULL_DOCUMENTS = 1000  # that a full audit reads again; some 1 MB of text a second is encoded by the reference library


@dataclass(frozen=True)
class Depth:
    """What the command was told. source_check: documents to read again, None for none; filtered: whether filters judge the documents."""

    full: bool = False
    source_check: int | None = None
    data: DataFolders = field(default_factory=DataFolders)
    tokenizer: Path | None = None
    store: Path | None = None
    filtered: bool = False

    @property
    def has_data(self) -> bool:
        """Whether the user named a folder of sources."""
        return bool(self.data.every or self.data.named)

    @property
    def num_documents(self) -> int | None:
        """Documents to read again; None: none."""
        return self.source_check or (FULL_DOCUMENTS if self.full and self.has_data else None)

    def refuse_bare(self, prefix: Path) -> None:
        """Refuse what a .bin/.idx pair without a manifest has nothing for.

        Raises:
            RecipeError: names the option.
        """
        if self.source_check:
            raise RecipeError(f"{prefix}: a bare .bin/.idx names no sources that --source-check could read; give the folder of a mix")

    def refuse_idle(self) -> None:
        """Refuse --data where nothing reads sources.

        Raises:
            RecipeError: says so.
        """
        if self.has_data and not self.num_documents:
            raise RecipeError("--data: without --source-check or --full an audit reads no source; add one, or leave it out")


def deeper_checks(folder: Path, depth: Depth) -> tuple[list[Check], list[str]]:
    """The checks that depth asks for, and a sentence for each kind that a full audit could not make.

    Raises:
        RecipeError: the mix is public, and it is to be held against sources or a store.
        Else as `pipeline.commands.audit.sources.check_sources` and `pipeline.commands.audit.store.check_store`.
    """
    manifest = manifests.load(folder)
    if manifest.get("public") and (depth.num_documents or depth.store):
        raise RecipeError(
            f"{folder}: a public mix, without files and rows and with digests of its own, which neither sources nor a store know; leave "
            "out --source-check, --data and --store, or audit the mix that it was made of"
        )
    checks: list[Check] = []
    if depth.num_documents:
        from pipeline.commands.audit.sources import check_sources

        checks += check_sources(folder, depth.num_documents, depth.data, depth.tokenizer)
    if depth.store:
        from pipeline.commands.audit.store import check_store

        checks += check_store(folder, depth.store)
    return checks, _missing(manifest, depth) if depth.full else []


def _missing(manifest: manifests.Manifest, depth: Depth) -> list[str]:
    missing, public = [], manifest.get("public")
    if not (depth.num_documents or public):
        missing.append("source files, text and tokens: give the files with --data DIR, or read the hub's with --source-check N")
    if not (depth.store or public):
        missing.append("store documents, removals and filters: give the store of the mix with --store DIR")
    labels = [item["label"] for item in manifest["filters"] if not item["placebo"]]
    if labels and not depth.filtered:
        missing.append(f"documents judged again by {', '.join(labels)}: give the filters with --filter F")
    return missing
