"""`export --public`: the same stream, nothing of where it came from, digests that name nothing
elsewhere, and an audit that says so.
"""

from __future__ import annotations

import json
import shutil
import stat
from hashlib import blake2b
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from annealmix import __main__ as cli
from mixtures.audit import audit_against, audit_mix
from mixtures.errors import AuditFailed, InputError, RecipeError
from mixtures.mix import manifest as manifests
from mixtures.mix.public import LACKS
from pipeline.commands.export.public import export_public
from tests.pipeline.command_line import fails, passes
from tests.pipeline.corpus import (
    contents,
    make,
    prose,
    read_mix,
    sharded,
    write_files,
    write_recipe,
)

SALT = bytes(range(32))


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("private")
    write_files(work / "data", "few", sharded(prose(1, 40), 2))
    write_files(
        work / "data", "many", {f"secret-place-{at}": prose(2 + at, 100) for at in range(3)}
    )
    alike = prose(9, 3, (40, 60))
    write_files(work / "data", "alike", {"twice": [*alike, *(f"{text} end" for text in alike)]})
    sources: dict[str, dict[str, object]] = {
        "few": {"tokens": 3_000, "shortfall": {"repeat": 9}},
        "many": {"tokens": 4_000, "keys": [0, 0.9]},
        "alike": {"all": "true"},
    }
    rule = {"unit": "words", "shingle": 2, "bands": 3, "rows": 2}
    near = {"rule": rule, "verify": "0.8"}
    make(write_recipe(work / "recipe", sources, near=near), work, work / "data")
    return work / "out"


@pytest.fixture(scope="module")
def salt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("salt") / "salt"
    file.write_bytes(SALT)
    file.chmod(0o600)
    return file


@pytest.fixture(scope="module")
def public(mix: Path, salt: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("public") / "mix"
    export_public(mix, out, salt)
    return out


def salted(digest: bytes) -> bytes:
    return blake2b(digest, digest_size=16, key=SALT, person=b"annealmix public").digest()


def digests(folder: Path) -> list[bytes]:
    column: list[bytes] = pq.read_table(folder / "documents.parquet")["digest"].to_pylist()
    return column


def test_tokens_and_index_are_those_of_the_mix(mix: Path, public: Path):
    assert contents(public) == contents(mix)


def test_tables_differ_in_the_digests_alone(mix: Path, public: Path):
    ours, theirs = (pq.read_table(folder / "documents.parquet") for folder in (mix, public))
    assert ours.drop_columns(["digest"]) == theirs.drop_columns(["digest"])
    assert digests(public) == [salted(digest) for digest in digests(mix)]


def test_survivors_of_clusters_are_salted_alike(mix: Path, public: Path):
    ours, theirs = (manifests.load(folder)["near"]["largest"] for folder in (mix, public))
    assert len(ours) == 3
    for cluster in ours:
        cluster["survivor"] = salted(bytes.fromhex(cluster["survivor"])).hex()
    assert theirs == ours


def test_no_file_of_a_public_mix_holds_a_digest_a_path_or_the_salt(mix: Path, public: Path):
    held = {path.relative_to(public).as_posix() for path in public.rglob("*") if path.is_file()}
    parts = len(manifests.load(mix)["hashes"]["documents_parts"])
    tables = {f"documents.parquet/part-{number:05d}.parquet" for number in range(parts)}
    assert held == {"manifest.json", "tokens.bin", "tokens.idx"} | tables
    everything = b"".join(
        pq.read_table(public / "documents.parquet")["digest"]
        .combine_chunks()
        .cast("binary")
        .to_pylist()
    )
    everything += (public / "manifest.json").read_bytes()
    for document in read_mix(mix):
        assert bytes.fromhex(document.digest) not in everything
        assert document.digest.encode() not in everything
        assert Path(document.file).name.encode() not in everything
    assert SALT not in everything
    assert SALT.hex().encode() not in everything


def test_a_public_mix_passes_its_audit_which_names_what_it_cannot_check(mix: Path, public: Path):
    private, audit = audit_mix(mix), audit_mix(public, full=True)
    assert audit.passed, audit.failures
    impossible = {check.name: check.figure for check in audit.checks if not check.possible}
    assert impossible == LACKS
    assert {check.name for check in private.checks} == {check.name for check in audit.checks} - {
        "repeated tokens"
    }
    assert all(check.possible for check in private.checks)


def test_the_command_says_which_checks_are_not_possible(
    public: Path, capsys: pytest.CaptureFixture[str]
):
    assert cli.main(["audit", str(public)]) == 0
    said = capsys.readouterr().out
    assert said.rstrip().endswith(
        "not possible in a public mix: key ranges, key order, provenance, provenance hash"
    )


@pytest.mark.parametrize(
    "name", ["documents.parquet/part-00000.parquet", "tokens.bin", "tokens.idx"]
)
def test_a_damaged_public_mix_does_not_pass(public: Path, tmp_path: Path, name: str):
    shutil.copytree(public, tmp_path / "mix")
    content = bytearray((tmp_path / "mix" / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "mix" / name).write_bytes(content)
    assert not audit_mix(tmp_path / "mix").passed


def test_a_public_mix_is_not_held_against_what_it_hides(public: Path, tmp_path: Path):
    for option in (("--source-check", 3), ("--store", tmp_path), ("--full", "--data", tmp_path)):
        assert "a public mix" in fails(2, "audit", public, *option)
    assert passes("audit", public, "--full", "--json").answer["not_checked"] == []


def test_a_private_mix_cannot_call_itself_public_to_escape_its_checks(
    mix: Path, public: Path, tmp_path: Path
):
    """The claim takes away the provenance table, which then belongs to no mix; and its hashes
    remain.
    """
    shutil.copytree(mix, tmp_path / "mix")
    manifest = manifests.load(mix) | {"public": manifests.load(public)["public"]}
    (tmp_path / "mix" / "manifest.json").write_bytes(manifests.dump(manifests.sealed(manifest)))
    assert "files" in {check.name for check in audit_mix(tmp_path / "mix").failures}


def test_a_salt_makes_the_same_mix_again_and_another_salt_another(
    mix: Path, public: Path, salt: Path, tmp_path: Path
):
    again = export_public(mix, tmp_path / "again", salt)
    other = export_public(mix, tmp_path / "other", None)
    third = export_public(mix, tmp_path / "third", None)
    assert again == manifests.load(public)
    assert (
        len(
            {
                again["identity"],
                other["identity"],
                third["identity"],
                manifests.load(mix)["identity"],
            }
        )
        == 4
    )
    assert not set(digests(tmp_path / "other")) & {
        *digests(tmp_path / "third"),
        *digests(mix),
        *digests(public),
    }


def test_mixes_can_be_compared_if_they_have_one_salt_and_not_otherwise(
    mix: Path, public: Path, salt: Path, tmp_path: Path
):
    export_public(mix, tmp_path / "same", salt)
    export_public(mix, tmp_path / "other", None)
    shared = audit_against(public, [tmp_path / "same"])[0]
    assert shared.figure.startswith(f"{len(set(digests(mix))):,} documents shared")
    for stranger in (tmp_path / "other", mix):
        check = audit_against(public, [stranger])[0]
        assert (check.ok, check.figure) == (False, "not checked")
        assert "salted" in check.detail


def test_a_salt_that_is_missing_is_made_for_its_owner_alone(mix: Path, tmp_path: Path):
    one = export_public(mix, tmp_path / "one", tmp_path / "salt")
    assert stat.S_IMODE((tmp_path / "salt").stat().st_mode) == 0o600
    assert len((tmp_path / "salt").read_bytes()) == 32
    assert export_public(mix, tmp_path / "two", tmp_path / "salt") == one


@pytest.mark.parametrize(
    ("content", "mode", "error"),
    [(b"short", 0o600, RecipeError), (SALT * 3, 0o600, RecipeError), (SALT, 0o640, InputError)],
)
def test_a_salt_that_is_weak_or_open_to_others_is_refused(
    mix: Path, tmp_path: Path, content: bytes, mode: int, error: type[Exception]
):
    (tmp_path / "salt").write_bytes(content)
    (tmp_path / "salt").chmod(mode)
    with pytest.raises(error, match="salt"):
        export_public(mix, tmp_path / "out", tmp_path / "salt")
    assert [path.name for path in tmp_path.iterdir()] == ["salt"]


def test_a_damaged_mix_is_not_made_public(mix: Path, tmp_path: Path):
    shutil.copytree(mix, tmp_path / "mix")
    content = bytearray((tmp_path / "mix" / "tokens.bin").read_bytes())
    content[101] ^= 1
    (tmp_path / "mix" / "tokens.bin").write_bytes(content)
    with pytest.raises(AuditFailed, match="chunk hashes"):
        export_public(tmp_path / "mix", tmp_path / "out", None)
    assert [path.name for path in tmp_path.iterdir()] == ["mix"]


def test_a_public_mix_is_not_made_public_again(public: Path, tmp_path: Path):
    with pytest.raises(RecipeError, match="public already"):
        export_public(public, tmp_path / "out", None)


def test_input_files_are_named_only_where_the_hub_has_them(mix: Path, tmp_path: Path):
    shutil.copytree(mix, tmp_path / "mix")
    manifest = manifests.load(mix) | {"revisions": {"many": f"owner/name@{10 * '0123'}"}}
    (tmp_path / "mix" / "manifest.json").write_bytes(manifests.dump(manifests.sealed(manifest)))
    inputs = export_public(tmp_path / "mix", tmp_path / "out", None)["inputs"]
    assert inputs["few"] == []
    assert inputs["many"] == manifest["inputs"]["many"] != []


def test_the_manifest_says_that_it_is_public_and_of_which_mix(mix: Path, public: Path):
    said = json.loads((public / "manifest.json").read_text())
    assert said["public"]["of"] == manifests.load(mix)["identity"]
    assert "public" not in manifests.load(mix)
