"""A folder that others may write to: whatever a stranger puts where a build will write, nothing of
the user's is emptied, overwritten or read, and nothing of the stranger's is published.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from pkgutil import resolve_name

import pytest

from mixtures.audit import audit_mix
from mixtures.errors import AnnealmixError, RecipeError
from mixtures.mix.manifest import Manifest
from pipeline.build.output import output
from tests.pipeline.corpus import make, prose, sharded, write_files, write_recipe
from tests.pipeline.planted import planted, write_filters

STRANGER = 65534
SECRET = b"what the user wrote before\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of the user's: sources, a recipe with a filter, and what must stay as it is."""
    folder = tmp_path_factory.mktemp("home")
    write_filters(folder / "filters")
    for name, texts in {"a": prose(1, 30), "b": planted(2, 60)}.items():
        write_files(folder / "data", name, sharded(texts, 2))
    sources = {"a": {"tokens": 300}, "b": {"tokens": 500}}
    write_recipe(folder, sources, filters=[{"use": "list"}])
    (folder / "precious").mkdir()
    for name in ("tokens.bin", "tokens.idx", "notes"):
        (folder / "precious" / name).write_bytes(SECRET)
    return folder


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that everybody may write to, in which no system rule of sticky folders helps."""
    place = Path(
        tempfile.mkdtemp(prefix="shared-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    )
    place.chmod(0o777)
    try:
        yield place
    finally:
        shutil.rmtree(place)


def built(home: Path, place: Path) -> Manifest:
    """Build into the shared folder; the store stands there, too."""
    return make(home / "mix.yaml", place, home / "data", "m", filters=home / "filters")


def building(home: Path, place: Path) -> str:
    """What the building folder of the mix will be called: whoever has recipe and store can
    compute it. The store is made.
    """
    names: list[str] = []

    def told(path: Path) -> None:
        names.append(path.name)
        raise RecipeError("the name was all that was wanted")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output, "own_folder", told)
        with pytest.raises(RecipeError, match="all that was wanted"):
            built(home, place)
    return names[0]


def as_stranger(script: str) -> None:
    """Run lines of Python as another user, who has no rights."""
    if os.geteuid() != 0:
        pytest.skip("needs two users, and only root can become another one")
    subprocess.run(["python3", "-c", script], check=True, user=STRANGER, group=STRANGER, cwd="/")


def unharmed(home: Path) -> bool:
    """Whether what the user had is as it was."""
    return all(
        (home / "precious" / name).read_bytes() == SECRET
        for name in ("tokens.bin", "tokens.idx", "notes")
    )


def link_as_building_folder(home: Path, place: Path, name: str) -> str:
    return f"import os; os.symlink({str(home / 'precious')!r}, {str(place / name)!r})"


def folder_with_links(home: Path, place: Path, name: str) -> str:
    folder, target = str(place / name), str(home / "precious" / "tokens.bin")
    return (
        f"import os; os.umask(0); os.mkdir({folder!r}, 0o777);"
        f" os.symlink({target!r}, {folder + '/tokens.bin'!r})"
    )


def folder_that_is_open(home: Path, place: Path, name: str) -> str:
    return f"import os; os.umask(0); os.mkdir({str(place / name)!r}, 0o777)"


def link_as_lock(home: Path, place: Path, name: str) -> str:
    return (
        f"import os; os.symlink({str(home / 'precious' / 'notes')!r}, {str(place / '.m.lock')!r})"
    )


def link_as_lock_of_the_store(home: Path, place: Path, name: str) -> str:
    store = str(place / "store")
    return (
        f"import os; os.umask(0); os.mkdir({store!r}, 0o777);"
        f" os.symlink({str(home / 'precious' / 'notes')!r}, {store + '/lock'!r})"
    )


def pipe_as_lock(home: Path, place: Path, name: str) -> str:
    return f"import os; os.umask(0); os.mkfifo({str(place / '.m.lock')!r}, 0o666)"


FOLDERS = [link_as_building_folder, folder_with_links, folder_that_is_open]
LOCKS = [link_as_lock, link_as_lock_of_the_store, pipe_as_lock]


@pytest.mark.parametrize("plant", [*FOLDERS, *LOCKS])
def test_what_a_stranger_planted_is_refused_and_nothing_is_harmed(
    home: Path, shared_folder: Path, plant: Callable[[Path, Path, str], str]
) -> None:
    name = building(home, shared_folder) if plant in FOLDERS else ""
    as_stranger(plant(home, shared_folder, name))
    with pytest.raises(AnnealmixError, match="which annealmix did not make"):
        built(home, shared_folder)
    assert unharmed(home)
    assert not (shared_folder / "m").exists()


@pytest.mark.parametrize("plant", [link_as_building_folder, link_as_lock])
def test_links_are_refused_whoever_made_them(home, shared_folder, plant):
    name = building(home, shared_folder) if plant in FOLDERS else ""
    subprocess.run(["python3", "-c", plant(home, shared_folder, name)], check=True)
    with pytest.raises(RecipeError, match="a symbolic link, which annealmix did not make"):
        built(home, shared_folder)
    assert unharmed(home)


def test_a_folder_that_was_exchanged_while_it_was_built_is_not_published(
    home, shared_folder, monkeypatch
):
    def exchanged(folder: Path, *_: object) -> None:
        folder.rename(shared_folder / "taken")
        as_stranger(folder_with_links(home, shared_folder, folder.name))

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.build.claims.seal.seal", exchanged)
        with pytest.raises(RecipeError, match="of another user"):
            built(home, shared_folder)
    assert unharmed(home)
    assert not (shared_folder / "m").exists()


def link_with_the_tables_inside(home: Path, place: Path, name: str) -> str:
    """A folder of theirs, whose tables are links to a folder of the user's."""
    folder, target = str(place / name), str(home / "precious")
    return (
        f"import os; os.umask(0); os.mkdir({folder!r}, 0o777);"
        f" [os.symlink({target!r}, {folder!r} + '/' + table) for table in"
        " ('documents.parquet', 'provenance.parquet', 'slices', 'work')]"
    )


@pytest.mark.parametrize("plant", [link_as_building_folder, link_with_the_tables_inside])
@pytest.mark.parametrize(
    "step",
    [
        "pipeline.build.write.prepare_folder",
        "pipeline.stages.write.write_table",
        "pipeline.stages.mix_folder.write_record",
        "pipeline.build.claims.seal.write_whole",
    ],
)
def test_a_folder_that_is_exchanged_before_any_step_leads_nothing_elsewhere(
    home, shared_folder, monkeypatch, plant, step
):
    """The step finds another folder at its place than the one that was made."""
    name = building(home, shared_folder)
    do, exchanged = resolve_name(step), list[str]()

    def after_the_exchange(*arguments: object, **named: object) -> object:
        if not exchanged and (shared_folder / name).is_dir():
            exchanged.append(name)
            (shared_folder / name).rename(shared_folder / "taken")
            as_stranger(plant(home, shared_folder, name))
        return do(*arguments, **named)

    before = sorted(path.name for path in (home / "precious").iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(step, after_the_exchange)
        with pytest.raises((AnnealmixError, OSError)):
            built(home, shared_folder)
    assert exchanged
    assert unharmed(home)
    assert sorted(path.name for path in (home / "precious").iterdir()) == before
    assert not (shared_folder / "m").exists()


def test_a_build_where_nobody_planted_anything_is_readable_by_others(home, shared_folder):
    built(home, shared_folder)
    mix = shared_folder / "m"
    assert stat.S_IMODE(mix.stat().st_mode) == 0o755
    assert audit_mix(mix).passed
    as_stranger(f"open({str(mix / 'tokens.bin')!r}, 'rb').read()")


def test_what_says_of_documents_that_they_are_removed_is_their_owners_alone(home, shared_folder):
    built(home, shared_folder)
    store = shared_folder / "store"
    private = [*store.glob("select/*/p*"), *store.glob("sources/*/*/terms-*")]
    assert private
    for folder in private:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    paths = [str(path) for folder in private for path in folder.iterdir()]
    as_stranger(
        "def readable(path):\n"
        "    try:\n"
        "        return bool(open(path, 'rb'))\n"
        "    except PermissionError:\n"
        "        return False\n"
        f"assert not any(map(readable, {paths!r}))"
    )


def test_an_audit_refuses_files_that_are_links_out_of_the_mix(home, shared_folder):
    built(home, shared_folder)
    mix, elsewhere = shared_folder / "m", shared_folder / "elsewhere"
    (mix / "tokens.bin").rename(elsewhere)
    (mix / "tokens.bin").symlink_to(elsewhere)
    (failure,) = audit_mix(mix).failures
    assert failure.name == "files"
    assert "a link out of the mix" in failure.detail


def test_a_snapshot_of_the_hubs_cache_holds_its_own_files(home, shared_folder):
    built(home, shared_folder)
    cache = shared_folder / "datasets--owner--name"
    blobs, snapshot = cache / "blobs", cache / "snapshots" / ("0" * 40)
    blobs.mkdir(parents=True)
    for number, path in enumerate(sorted((shared_folder / "m").rglob("*"))):
        inside = snapshot / path.relative_to(shared_folder / "m")
        if path.is_dir():
            inside.mkdir(parents=True, exist_ok=True)
        else:
            inside.parent.mkdir(parents=True, exist_ok=True)
            path.rename(blobs / str(number))
            inside.symlink_to(blobs / str(number))
    assert audit_mix(snapshot).passed
