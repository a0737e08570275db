"""`export --public` and `--release` of an arm: donors are named by salted digests and sources,
nothing is said of what gave way but where it stood, and whoever is given one is told what it is.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from hashlib import blake2b
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest

from mixtures.audit import audit_aligned, audit_mix
from mixtures.mix import manifest as manifests
from mixtures.mix.claims import read_claims
from mixtures.mix.slots import slots_schema
from mixtures.mix.tables import from_arrow, part_hash, to_arrow
from pipeline.commands.export.release.domains import places_of
from pipeline.commands.export.release.licences import licensed
from tests.pipeline.arms.studies import ARMS, make_study, read_rows, read_slots, write_study
from tests.pipeline.command_line import fails, passes
from tests.pipeline.corpus import tokenizer

SALT = bytes(range(32))
MIXES = ("strong", "half", "kept", "masked", "terms")


@pytest.fixture(scope="module")
def study(shown: Path) -> Path:
    return shown


@pytest.fixture(scope="module")
def public(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Base and arms, made public with one salt."""
    folder = tmp_path_factory.mktemp("public")
    (folder / "salt").write_bytes(SALT)
    (folder / "salt").chmod(0o600)
    for name in ("base", *MIXES):
        words = ("--public", folder / name, "--salt", folder / "salt")
        passes("export", study / "out" / name, *words)
    return folder


@pytest.fixture(scope="module")
def releases(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    for name in ("strong", "masked"):
        words = ("--release", folder / name, "--with-tokens", "--workers", "1")
        passes("export", study / "out" / name, *words)
    return folder


def salted(digest: bytes) -> bytes:
    return blake2b(digest, digest_size=16, key=SALT, person=b"annealmix public").digest()


@pytest.mark.parametrize("arm", MIXES)
def test_a_public_arm_passes_its_audit_and_stays_aligned(study, public, arm):
    assert not audit_mix(public / arm, full=True).failures
    others = [public / name for name in ("base", *MIXES) if name != arm]
    assert [check.ok for check in audit_aligned(public / arm, others)] == [True] * 15
    for name in ("tokens.bin", "tokens.idx"):
        assert (public / arm / name).read_bytes() == (study / "out" / arm / name).read_bytes()
    assert (
        manifests.load(public / arm)["public"]["of"]
        == manifests.load(study / "out" / arm)["identity"]
    )


def test_public_slots_name_donors_and_say_of_the_removed_where_they_stood(study, public):
    ours, theirs = read_slots(study / "out" / "strong"), read_slots(public / "strong")
    for one, other in zip(ours, theirs, strict=True):
        assert other.keys() == one.keys() - {"file", "row"}
        assert other["digest"] == salted(one["digest"])
        assert {**other, "digest": b""} == {
            name: value for name, value in {**one, "digest": b""}.items() if name in other
        }


def test_a_mask_goes_along_as_it_is(study, public):
    for arm in ("masked", "terms"):
        tables = [pq.read_table(at / arm / "mask.parquet") for at in (study / "out", public)]
        assert tables[0].equals(tables[1])


def everything(folder: Path) -> bytes:
    """All bytes of all files below, those of parquet as they are read."""
    read = b""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".parquet" and path.is_file():
            columns = pq.ParquetFile(path).read().to_pydict()
            read += repr(columns).encode()
            read += b"".join(one.hex().encode() for one in columns.get("digest", []))
        elif path.is_file():
            read += path.read_bytes()
    return read


def test_no_file_holds_a_digest_of_a_donor_or_of_what_gave_way(study, public, releases):
    rows = [row for name in ("base", "strong") for row in read_rows(study / "out" / name)]
    digests = {row.digest for row in rows}
    digests |= {row["digest"].hex() for row in read_slots(study / "out" / "strong")}
    for folder in (public / "strong", public / "masked", releases / "strong"):
        held = everything(folder)
        assert not [digest for digest in digests if digest.encode() in held]
        assert b"part-000.json" not in held


def test_forged_slots_of_a_public_arm_are_named(public, tmp_path):
    mix = Path(shutil.copytree(public / "strong", tmp_path / "mix"))
    schema = slots_schema("fresh", public=True)
    columns = from_arrow(schema, pq.read_table(mix / "slots.parquet"))
    columns["donor_source"] = columns["donor_source"].copy()
    columns["donor_source"][0] = "small"
    pq.write_table(to_arrow(schema, columns), mix / "slots.parquet")
    manifest = json.loads((mix / "manifest.json").read_text())
    manifest["arm"]["slots"] = part_hash(schema, columns)
    (mix / "manifest.json").write_bytes(manifests.dump(manifests.sealed(manifest)))
    (failed,) = audit_mix(mix).failures
    assert failed.name == "slots"
    assert "donors of ['small'], which the manifest does not list" in failed.detail


def test_arms_of_two_salts_are_not_said_to_differ(study, public, tmp_path):
    passes("export", study / "out" / "strong", "--public", tmp_path / "other")
    for check in audit_aligned(public / "base", [tmp_path / "other"]):
        assert (check.ok, check.figure) == (False, "not checked")
        assert "make both public with one salt" in check.detail


def test_damaged_slots_are_not_made_public(study, tmp_path):
    mix = Path(shutil.copytree(study / "out" / "strong", tmp_path / "mix"))
    table = pq.read_table(mix / "slots.parquet")
    pq.write_table(table.slice(1), mix / "slots.parquet")
    for words in (("--public", tmp_path / "public"), ("--text", tmp_path / "text")):
        told = fails(3, "export", mix, *words, *(["--workers", "1"] if "--text" in words else []))
        assert "slots.parquet: is not the one of the manifest" in told
        assert not Path(words[1]).exists()


def test_a_release_says_of_each_text_whose_it_is(study, releases, tmp_path):
    loaded = datasets.load_dataset(str(releases / "strong"), cache_dir=str(tmp_path))["train"]
    rows = read_rows(study / "out" / "strong")
    givers = {row["position"]: row["donor_source"] for row in read_slots(study / "out" / "strong")}
    assert loaded["source"][:] == [givers.get(at, row.source) for at, row in enumerate(rows)]
    assert {givers[at] for at in givers} != {rows[at].source for at in givers}
    texts = [tokenizer().decode(row.ids[:-1], skip_special_tokens=False) for row in rows]
    assert loaded["text"][:] == texts


@pytest.mark.parametrize(("arm", "table"), [("strong", "slots"), ("masked", "mask")])
def test_the_table_of_an_arm_goes_along_with_its_hash(study, releases, arm, table):
    release = releases / arm
    sha256 = hashlib.sha256((release / f"{table}.parquet").read_bytes()).hexdigest()
    assert f"{sha256}  {table}.parquet\n" in (release / "SHA256SUMS").read_text()
    croissant = json.loads((release / "croissant.json").read_text())
    (file,) = [one for one in croissant["distribution"] if one["name"] == f"{table}.parquet"]
    assert file["sha256"] == sha256
    assert f"`{table}.parquet`" in (release / "README.md").read_text()
    assert "audit passed" in passes("audit", release / "mix").out


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        ("strong", ["Each gave its place to unused documents", "lie in|of them in donors"]),
        ("masked", ["The flagged documents stay", "not learnt", "Not removed, but masked"]),
    ],
)
def test_card_summary_and_croissant_say_what_an_arm_is(study, releases, arm, said):
    release, base = releases / arm, manifests.load(study / "out" / "base")
    manifest = manifests.load(release)
    croissant = json.loads((release / "croissant.json").read_text())
    steps = " ".join(croissant["rai:dataPreprocessingProtocol"])
    for page in ((release / "README.md").read_text(), steps, summary_of(release)):
        page = page.replace("\\", "")
        assert f"It is the arm {arm} of the study study" in page
        assert f"the mix of identity {base['identity']}" in page
        assert "filter toy strong flags" in page
        for words in said[:2]:
            assert any(word in page for word in words.split("|")), words
    assert all(words in summary_of(release) + steps for words in said[2:])
    card = (release / "README.md").read_text()
    figures = manifest["arm" if arm == "strong" else "mask"]["sources"]
    for name, one in figures.items():
        assert f"| `{name}` | {one.get('slots', one.get('documents')):,} |" in card
    assert "annealmix build STUDY.yaml --out DIR" in card
    assert f"DIR/{arm} must have identity" in card.replace("\\", "")


def summary_of(release: Path) -> str:
    return (release / "TRAINING-SUMMARY.md").read_text().replace("\\", "")


def test_a_source_that_gives_donors_alone_is_licensed(tmp_path):
    """A reserve without a quota: none of its documents stands in its own place."""
    sources = {"a": {"weight": 1, "shortfall": {"refill": "b"}}, "b": {"reserve": True}}
    donors = {"a": {"source": "b"}}
    path = write_study(tmp_path, {"strong": ARMS["strong"]}, donors, sources=sources)
    make_study(path)
    names = [source.name for source in licensed(read_claims(tmp_path / "out" / "strong"))]
    assert names == ["a", "b"]
    assert [one.name for one in licensed(read_claims(tmp_path / "out" / "base"))] == ["a"]


def test_domains_of_donors_are_counted_where_their_rows_name_urls(study):
    """By the source that a row is of, each once: as many tokens as stand in the mix's first
    epochs.
    """
    for arm in ("strong", "half", "masked"):
        mix = study / "out" / arm
        due: dict[str, dict[tuple[str, int], int]] = {"a": {}, "b": {}, "small": {}}
        slots = read_slots(mix) if arm != "masked" else []
        filled = {row["position"] for row in slots}
        for at, row in enumerate(read_rows(mix)):
            if at not in filled and not row.epoch:
                due[row.source][row.file, row.row] = len(row.ids)
        for one in reversed(slots):  # the first of its places counts
            due[one["donor_source"]][one["file"], one["row"]] = one["num_tokens"]
        found = places_of(mix, read_claims(mix), set(due))
        for name, places in due.items():
            counted = {
                (file, int(row)): int(tokens)
                for file, rows in found[name].items()
                for row, tokens in rows
            }
            assert counted == places
