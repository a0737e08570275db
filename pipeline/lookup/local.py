"""A mix to read, wherever it is. Nothing heavy is imported for one of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pipeline.places.places import Place, RemoteFolder, default_cache


@contextmanager
def local_mix(mix: Place, cache: Path | None) -> Iterator[Path]:
    """A mix to read: where it lies, or a copy of a remote one in the cache folder (default: that of
    this user) that is deleted afterwards.

    Raises:
        RecipeError: there is no mix at the URL. ManifestError: what is there is none.
    """
    if not isinstance(mix, RemoteFolder):
        yield mix
        return
    from pipeline.build.output.remote import fetched

    with fetched(mix, cache or default_cache()) as folder:
        yield folder


@contextmanager
def local_mixes(mixes: Sequence[Place], cache: Path | None) -> Iterator[list[Path]]:
    """Mixes to read, each as `local_mix`."""
    with ExitStack() as held:
        yield [held.enter_context(local_mix(mix, cache)) for mix in mixes]
