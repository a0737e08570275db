"""What of a build is remote: the store that its working copy belongs to, and the place that the mix
is sent to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mixtures.errors import RecipeError
from mixtures.mix.manifest import Manifest
from pipeline.build.output.remote import RemoteOutput
from pipeline.inputs.build_source import BuildSource
from pipeline.places.places import Place, RemoteFolder, cache_folder
from pipeline.store.mixes import MIXES
from pipeline.store.remote import RemoteStore
from pipeline.store.rules import TokenRule
from pipeline.store.store import Store


@dataclass(frozen=True)
class RemotePlaces:
    """Both may be None. A build asks this before it begins, around each stage, and when the mix is
    whole.
    """

    store: RemoteStore | None = None
    out: RemoteOutput | None = None

    def begin(self, recipe_digest: str, size: dict[str, str]) -> None:
        """Refuse what is taken by something else, before any work.

        Raises:
            RecipeError: something else lies at the store's or the mix's place, or one lies in the
                other.
        """
        self.refuse_nested()
        if self.out:
            self.out.refuse_foreign(recipe_digest, size)
        self.open_store()

    def refuse_nested(self) -> None:
        """As `pipeline.build.output.output.refuse_nested`."""
        if (
            self.store
            and self.out
            and (self.store.url.holds(self.out.url) or self.out.url.holds(self.store.url))
        ):
            raise RecipeError(
                f"{self.out.url}: --out and --store ({self.store.url}) lie one inside the other;"
                " choose two separate places"
            )

    def open_store(self) -> None:
        """See `RemoteStore.open`."""
        if self.store:
            self.store.open()

    def pull_sources(
        self, store: Store, sources: Sequence[BuildSource], rule: TokenRule, scores: Sequence[Path]
    ) -> None:
        """Before the first stage: fetch what there is of a build's sources under its token rule,
        of scores, and of what was said of its mixes.

        Args:
            store: the working copy. scores: its folders of the build's classifiers.
        """
        folders = [store.source_folder(source.definition, source.quality) for source in sources]
        folders += [
            store.source_folder(source.definition) for source in sources
        ]  # where the frozen commit is
        self.pull(
            list(dict.fromkeys(folders)), ("ledger", "terms-", "grams-", "bands-", rule.folders)
        )
        self.pull([*scores, store.folder / MIXES])

    def pull(self, folders: Sequence[Path], kinds: Sequence[str] = ("",)) -> None:
        """Before a stage: see `RemoteStore.pull`."""
        if self.store:
            self.store.pull(folders, kinds)

    def push(self) -> None:
        """After a stage: see `RemoteStore.push`."""
        if self.store:
            self.store.push()

    def end(self, manifest: Manifest) -> None:
        """Send the mix."""
        if self.out:
            self.out.send(manifest)


def working_places(out: Place, store: Place, cache: Path | None) -> tuple[Path, Path, RemotePlaces]:
    """Local folders for the mix and the store of a build, and what of them is remote."""
    local_out = (
        cache_folder(cache, "mixes", out) / "mix"
        if isinstance(out, RemoteFolder)
        else out.absolute()
    )
    local_store = (
        cache_folder(cache, "stores", store)
        if isinstance(store, RemoteFolder)
        else store.absolute()
    )
    remote_out = RemoteOutput(out, local_out) if isinstance(out, RemoteFolder) else None
    remote_store = RemoteStore(store, local_store) if isinstance(store, RemoteFolder) else None
    return local_out, local_store, RemotePlaces(remote_store, remote_out)
