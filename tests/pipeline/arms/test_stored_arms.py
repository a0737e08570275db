"""An arm beside its store: what its filter removes of the base, and what the rule puts there, are
found again, and whatever a careful forger changes is named. `trace` says of a removed document who
stands in its place.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from mixtures.audit import audit_aligned, audit_mix
from mixtures.mix.claims import read_claims
from mixtures.mix.judged.arms import WINDOW_TOKENS
from mixtures.mix.slots import MASK, MASK_FILE, SLOTS, SLOTS_FILE, windows_touched
from mixtures.mix.tables import from_arrow, part_hash, to_arrow
from pipeline.commands.audit.store import check_store
from pipeline.commands.trace.arm import open_fates
from tests.mixtures.audit.forged_mix import ForgedMix, forge, forge_manifest
from tests.pipeline.arms.studies import ARMS, make_study, read_rows, read_slots, texts, write_study
from tests.pipeline.command_line import passes
from tests.pipeline.corpus import sharded, write_files
from tests.pipeline.planted import digest, planted

KINDS = {
    **ARMS,
    "masked": {**ARMS["strong"], "fill": "mask"},
    "terms": {**ARMS["strong"], "fill": "mask-terms"},
    "nothing": {"remove": {"name": "nothing", "terms": ["zzz"]}, "fill": "fresh"},
}
INSERT = {"mine": {"use": "mine.yaml", "times": 2}}
MINE = planted(9, 8)
Table = dict[str, Any]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_study(tmp_path_factory.mktemp("stored"), arms=KINDS, insert=INSERT)
    write_files(path.parent / "data", "mine", sharded(MINE, 1))
    definition = (path.parent / "a.yaml").read_text().replace('"name": "a"', '"name": "mine"')
    (path.parent / "mine.yaml").write_text(definition)
    make_study(path)
    return path.parent


def failures(mix: Path, store: Path) -> dict[str, str]:
    """What fails beside the store, but that no build said what the manifest says."""
    found = {check.name: check.detail for check in check_store(mix, store) if not check.ok}
    return {name: detail for name, detail in found.items() if name != "store manifest"}


@pytest.mark.parametrize("arm", ["base", *KINDS])
def test_the_base_and_every_arm_are_what_their_store_holds(study, arm):
    checks = check_store(study / "out" / arm, study / "store")
    assert not [check for check in checks if not check.ok]
    assert ("store slots" in {check.name for check in checks}) == (arm != "base")


def test_nothing_of_a_study_is_selected_again_to_be_audited(study):
    before = {path for path in (study / "store").rglob("*") if path.is_file()}
    check_store(study / "out" / "half", study / "store")
    assert {path for path in (study / "store").rglob("*") if path.is_file()} == before


def table_of(mix: Path, name: str, schema: Any) -> Table:
    columns = from_arrow(schema, pq.read_table(mix / name)).items()
    return {key: values.copy() for key, values in columns}


def write_slots(mix: ForgedMix, table: Table) -> None:
    pq.write_table(to_arrow(SLOTS, table), mix.folder / SLOTS_FILE)
    mix.manifest["arm"]["slots"] = part_hash(SLOTS, table)


def exact_pair(table: Table) -> tuple[int, int]:
    """Rows of two slots of one length and source, each at one place, with donors of their
    length.
    """
    rows = [
        row
        for row in range(len(table["slot"]))
        if table["kind"][row] == "exact" and list(table["slot"]).count(table["slot"][row]) == 1
    ]
    return next(
        (one, two)
        for at, one in enumerate(rows)
        for two in rows[at + 1 :]
        if all(table[name][one] == table[name][two] for name in ("length", "source", "num_tokens"))
    )


def exchange(mix: ForgedMix, places: list[int], *names: str) -> None:
    first, second = (mix.documents[place] for place in places)
    for name in names:
        mine, theirs = getattr(first, name), getattr(second, name)
        setattr(first, name, theirs)
        setattr(second, name, mine)


def donors_exchanged(mix: ForgedMix) -> None:
    table = table_of(mix.folder, SLOTS_FILE, SLOTS)
    one, two = exact_pair(table)
    for name in ("digest", "donor_source", "donor_tokens", "file", "row"):
        table[name][[one, two]] = table[name][[two, one]]
    places = [int(table["position"][row]) for row in (one, two)]
    exchange(mix, places, "digest", "tokens", "file", "row")
    write_slots(mix, table)


def a_slot_elsewhere(mix: ForgedMix) -> None:
    """A slot moves to a document of its length that the filter does not flag; the flagged one is
    put back.
    """
    table = table_of(mix.folder, SLOTS_FILE, SLOTS)
    base = read_rows(mix.folder.parent / "base")
    taken = set(table["position"].tolist())
    row, other = next(
        (row, at)
        for row in range(len(table["slot"]))
        if table["kind"][row] == "exact" and list(table["slot"]).count(table["slot"][row]) == 1
        for at, there in enumerate(base)
        if at not in taken
        and not there.cut
        and there.source == table["source"][row]
        and len(there.ids) == table["length"][row]
    )
    place = int(table["position"][row])
    exchange(mix, [place, other], "digest", "tokens", "file", "row")
    back = mix.documents[place]
    back.digest, back.file = bytes.fromhex(base[place].digest), base[place].file
    back.row, back.tokens = base[place].row, np.array(base[place].ids, back.tokens.dtype)
    table["position"][row] = other
    order = np.lexsort((table["offset"], table["position"]))
    write_slots(mix, {name: values[order] for name, values in table.items()})


def other_tokens(mix: ForgedMix) -> None:
    tokens = mix.documents[int(table_of(mix.folder, SLOTS_FILE, SLOTS)["position"][3])].tokens
    tokens[0] = tokens[0] ^ 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (donors_exchanged, "by the rule"),
        (a_slot_elsewhere, "and stands in no slot"),
        (other_tokens, "has other tokens than its donor in the store"),
    ],
)
def test_a_forged_arm_that_agrees_with_itself_is_named_by_its_store(study, tmp_path, change, said):
    for name in ("base", "strong"):
        shutil.copytree(study / "out" / name, tmp_path / name)
    forge(tmp_path / "strong", change)
    assert not audit_mix(tmp_path / "strong").failures
    aligned = audit_aligned(tmp_path / "strong", [tmp_path / "base"])
    assert [check.ok for check in aligned] == [True, True, True]
    found = failures(tmp_path / "strong", study / "store")
    assert said in found.pop("store slots")
    # what is put back where it does not belong is not the base's slot any more
    assert found.keys() <= ({"store documents"} if change is a_slot_elsewhere else set())


def test_a_mask_of_other_documents_is_named_by_its_store(study, tmp_path):
    mix = Path(shutil.copytree(study / "out" / "masked", tmp_path / "mix"))
    base = read_rows(mix)
    runs = table_of(mix, MASK_FILE, MASK)
    starts = np.cumsum([0, *(len(row.ids) for row in base)]).tolist()
    digests = [row.digest for row in base]
    once = [at for at, row in enumerate(base) if digests.count(row.digest) == 1]
    masked = {at for at in once if starts[at] in set(runs["start"].tolist())}

    def windows_of(at: int) -> list[int]:
        return [token // WINDOW_TOKENS for token in (starts[at], starts[at + 1] - 1)]

    one, two = next(
        (one, two)
        for one in masked
        for two in once
        if two not in masked
        and (len(base[one].ids), base[one].source) == (len(base[two].ids), base[two].source)
        and windows_of(one) == windows_of(two)
    )
    runs["start"][runs["start"].tolist().index(starts[one])] = starts[two]
    runs["start"] = np.sort(runs["start"])  # the lengths that follow each other may be others now
    lengths = {starts[at]: len(base[at].ids) for at in range(len(base))}
    runs["length"] = np.array([lengths[start] for start in runs["start"].tolist()], np.uint32)
    pq.write_table(to_arrow(MASK, runs), mix / MASK_FILE)

    def change(manifest: dict[str, Any]) -> None:
        manifest["mask"]["mask"] = part_hash(MASK, runs)
        manifest["mask"]["windows"] = windows_touched(
            runs["start"].astype(np.int64), runs["length"].astype(np.int64)
        )[0]

    forge_manifest(mix, change)
    assert not audit_mix(mix).failures
    assert "is of a document that is not flagged" in failures(mix, study / "store")["store slots"]


def without_a_rule(manifest: dict[str, Any]) -> None:
    manifest["arm"]["rules"] = [
        rule for rule in manifest["arm"]["rules"] if rule["label"] != "more"
    ]


def another_threshold(manifest: dict[str, Any]) -> None:
    manifest["arm"]["rules"][0]["blocklist"]["threshold"] += 1


def another_placebo(manifest: dict[str, Any]) -> None:
    (rule,) = (rule for rule in manifest["arm"]["rules"] if rule["placebo"])
    rule["matched"]["sources"]["a"]["documents"] += 1


@pytest.mark.parametrize(
    ("arm", "change", "said"),
    [
        ("strong", without_a_rule, "the manifest lists"),
        ("strong", another_threshold, "has list and classifier of identity"),
        ("placebo", another_placebo, "is none of those that judged the study's base"),
    ],
)
def test_forged_rules_of_a_study_are_named(study, tmp_path, arm, change, said):
    mix = Path(shutil.copytree(study / "out" / arm, tmp_path / "mix"))
    forge_manifest(mix, change)
    (failed,) = audit_mix(mix).failures
    assert failed.name == "filters"
    assert said in failed.detail


def test_an_arm_of_a_version_that_listed_no_rules_is_said_to_be_one(study, tmp_path):
    mix = Path(shutil.copytree(study / "out" / "weak", tmp_path / "mix"))
    forge_manifest(mix, lambda manifest: manifest["arm"].pop("rules"))
    assert not audit_mix(mix).failures
    assert "build the study again" in failures(mix, study / "store")["store slots"]


def test_a_full_audit_of_an_arm_asks_for_its_store(study):
    told = passes("audit", study / "out" / "half", "--full").err
    assert "give the store of the mix with --store DIR" in " ".join(told.split())
    passes("audit", study / "out" / "half", "--full", "--store", study / "store")


def fates(study: Path, arm: str, of: str) -> list[dict[str, Any]]:
    words = ("trace", study / "out" / arm, "--digest", of, "--store", study / "store")
    return list(passes(*words, "--json").answer["rows"])


def test_trace_says_by_which_filter_a_document_gave_way_and_to_whom(study):
    base = read_rows(study / "out" / "base")
    for arm in ("strong", "half", "placebo"):
        label = json.loads((study / "out" / arm / "manifest.json").read_text())["filters"][0]
        slots = read_slots(study / "out" / arm)
        seen = set()
        for row in slots:
            gone = base[row["position"]]
            if row["slot"] in seen or gone.digest in seen:
                continue
            seen |= {row["slot"], gone.digest}
            (fate,) = [
                one for one in fates(study, arm, gone.digest) if one["source"] == gone.source
            ]
            assert fate["reason"] == f"filter {label['label']}"
            donors = [one for one in slots if one["slot"] == row["slot"]]
            first = [one for one in donors if one["position"] == donors[0]["position"]]
            told = [{**one, "digest": bytes.fromhex(one["digest"])} for one in fate["filled_by"]]
            assert not any(one.pop("repeat") or one.pop("rewrite") for one in told)
            assert told == first
            assert [one["removes"] for one in fate["filters"]] == [True]
            if len(seen) > 12:
                break


def test_trace_says_of_documents_that_stay_of_donors_and_of_what_is_unused(study):
    out = study / "out"
    base, slots = read_rows(out / "base"), read_slots(out / "half")
    places = {row["position"] for row in slots}
    stays = next(row for at, row in enumerate(base) if at not in places and not row.epoch)
    assert fates(study, "half", stays.digest)[0]["reason"] == "kept"
    # of the filter's whole removals, a half stays in the arm of half the dose
    spared = next(
        base[row["position"]] for row in read_slots(out / "strong") if row["position"] not in places
    )
    (fate,) = fates(study, "half", spared.digest)
    assert fate["reason"] == "kept"
    assert [(one["removes"], one["in_dose"]) for one in fate["filters"]] == [(False, False)]
    inner = next(row for row in read_slots(out / "strong") if row["offset"])
    (fate,) = [
        one
        for one in fates(study, "strong", inner["digest"].hex())
        if one["source"] == inner["donor_source"]
    ]
    assert fate["reason"] == "kept"
    assert fate["fills"]["slot"] == inner["slot"]
    assert fates(study, "quarter", inner["digest"].hex())[0]["reason"] in ("kept", "beyond quota")
    words = ("--digest", base[slots[0]["position"]].digest, "--store", study / "store")
    told = passes("trace", out / "half", *words).out
    assert "filter toy strong x 0.5" in told
    assert f"its slot, document {slots[0]['position']:,} of the arm, was filled" in told
    masked = passes("trace", out / "masked", *words).out
    assert "it stays in the stream, and is no target" in masked
    assert "masks it" in masked
    assert "the terms in it are no targets" in passes("trace", out / "terms", *words).out


def test_reasons_of_rows_are_those_that_the_manifest_counts(study):
    """Of each source, as many kept and removed by the filter as the waterfall says."""
    for arm in ("half", "placebo"):
        mix = study / "out" / arm
        asked = open_fates(mix, read_claims(mix), study / "store")
        counts: dict[str, dict[str, int]] = {}
        documents = [text for some in (*texts().values(), MINE) for text in some]
        for one in map(digest, set(documents)):
            for fate in asked.of_digest(bytes.fromhex(one)):
                mine = counts.setdefault(fate.origin.source, {})
                mine[fate.reason] = mine.get(fate.reason, 0) + 1
        removed = json.loads((mix / "manifest.json").read_text())["removed"]
        for source, said in removed.items():
            due = {reason: n for reason, n in said.items() if n and reason != "rows"}
            assert counts[source] == due, (arm, source)


def test_diff_with_the_store_has_the_scores_of_what_was_removed_and_of_donors(study):
    out = study / "out"
    words = (out / "base", out / "weak", "--store", study / "store", "--json")
    answer = passes("diff", *words).answer
    (scores,) = answer["scores"]
    removed = sum(
        figures["documents"] for figures in read_removed(out / "weak")["removed"].values()
    )
    # every removed document has a score above the threshold
    assert scores["label"] == "toy weak"
    above = [at for at, edge in enumerate(scores["edges"][1:]) if edge > scores["above"]]
    assert sum(scores["counts"]["a"]) == removed
    assert sum(scores["counts"]["a"][at] for at in above) == removed
    assert sum(scores["counts"]["b"][above[0] + 1 :]) == 0


def read_removed(mix: Path) -> dict[str, Any]:
    (item,) = json.loads((mix / "manifest.json").read_text())["filters"]
    return dict(item)
