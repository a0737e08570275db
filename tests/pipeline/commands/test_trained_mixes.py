"""A mix that was trained on holds what trainers wrote beside its data, and is the same mix to every
command.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mixtures.audit.files import check_files
from mixtures.mix.claims import read_claims
from pipeline.build.output.remote import _files as files_fetched
from pipeline.places.files import RemoteObject
from pipeline.places.places import RemoteFolder
from tests.pipeline.command_line import passes, run
from tests.pipeline.corpus import make, prose, sharded, write_files, write_recipe

MD5 = "0123456789abcdef0123456789abcdef"
NEOX = "tokens_train_indexmap_30ns_8sl_1234s_packedpi_ac"
MEGATRON = f"tokens/cache/GPTDataset_indices/{MD5}-GPTDataset-train"
CACHES = [
    *(f"{NEOX}_{kind}_idx.npy" for kind in ("doc", "sample", "shuffle")),
    *(f"{MEGATRON}-{kind}_index.npy" for kind in ("document", "sample", "shuffle")),
    f"{MEGATRON}-description.txt",
]


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A mix after GPT-NeoX and megatron-core, and the recipe, data and store that it came from."""
    write_files(tmp_path / "data", "a", sharded(prose(1, 30), 1))
    mix = tmp_path / "mix"
    make(write_recipe(tmp_path, {"a": {"tokens": 300}}), tmp_path, tmp_path / "data", mix.name)
    for name in CACHES:
        (mix / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(mix / name, np.arange(3)) if name.endswith(".npy") else (mix / name).write_text("{")
    return mix


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_its_audit_passes_and_names_the_caches(trained: Path) -> None:
    said = passes("audit", trained).out
    assert "cache of megatron-core: 4 files; cache of GPT-NeoX: 3 files" in said


def test_a_folder_that_nobody_may_write_is_audited_too(trained: Path) -> None:
    for folder in [trained, *(path for path in trained.rglob("*") if path.is_dir())]:
        folder.chmod(0o555)
    try:
        passes("audit", trained)
    finally:
        for folder in [trained, *(path for path in trained.rglob("*") if path.is_dir())]:
            folder.chmod(0o755)


def test_what_else_lies_there_is_still_too_much(trained: Path, tmp_path: Path) -> None:
    strange = [
        "tokens/cache/notes.txt",
        "tokens/model.npy",
        "index-cache",
        f"{NEOX.replace('30ns', '31ns')}_doc_idx.npy",
    ]
    for name in strange[:2]:
        (trained / name).write_text("mine")
    for name in strange[2:]:
        (trained / name).symlink_to(tmp_path / "data")
    check = check_files(trained, read_claims(trained))
    assert not check.ok
    assert [name in check.detail for name in strange] == [True] * 3 + [False]  # "and 1 more"
    (trained / "index-cache").unlink()
    assert strange[3] in check_files(trained, read_claims(trained)).detail
    assert run("audit", trained).code == 3


def test_it_is_the_mix_that_is_built_again_traced_and_compared(
    trained: Path, tmp_path: Path
) -> None:
    before, identity = files(trained), read_claims(trained).identity
    again = make(tmp_path / "mix.yaml", tmp_path, tmp_path / "data", trained.name)
    assert again["identity"] == identity
    passes("trace", trained, "--position", "0")
    shutil.copytree(trained, tmp_path / "other", ignore=shutil.ignore_patterns("*.npy", "tokens"))
    passes("diff", trained, tmp_path / "other")
    assert files(trained) == before


def test_no_copy_takes_the_caches_along(trained: Path, tmp_path: Path) -> None:
    passes("export", trained, "--public", tmp_path / "public")
    assert not [name for name in files(tmp_path / "public") if name in CACHES]
    passes("audit", tmp_path / "public")


def test_the_caches_of_a_remote_mix_are_not_fetched() -> None:
    names = ["manifest.json", "tokens.bin", *CACHES]
    there = {name: RemoteObject(1, "", None) for name in names}
    place = RemoteFolder("s3://bucket/mix")
    assert set(files_fetched(place, there)) == {"manifest.json", "tokens.bin"}
