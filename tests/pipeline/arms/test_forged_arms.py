"""A table of slots or a manifest that was changed and sealed again contradicts the documents, the
filter or itself, and the audit names it.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from mixtures.audit import audit_mix
from mixtures.mix import manifest as manifests
from mixtures.mix.slots import MASK, MASK_FILE, SLOTS_FILE, slots_schema
from mixtures.mix.tables import from_arrow, part_hash, to_arrow
from tests.pipeline.arms.studies import Row, read_rows
from tests.pipeline.command_line import run

Table = dict[str, Any]
Change = Callable[[Table, manifests.Manifest], object]


@pytest.fixture(scope="module")
def out(shown: Path) -> Path:
    return shown / "out"


def forge(mix: Path, change: Change) -> None:
    """Change the arm's table and manifest, and make all hashes fit again."""
    manifest = json.loads((mix / "manifest.json").read_text())
    said = manifest.get("arm") or manifest["mask"]
    kind, name, schema = (
        ("slots", SLOTS_FILE, slots_schema(said["fill"]))
        if "arm" in manifest
        else ("mask", MASK_FILE, MASK)
    )
    columns = {
        key: values.copy() for key, values in from_arrow(schema, pq.read_table(mix / name)).items()
    }
    change(columns, manifest)
    pq.write_table(to_arrow(schema, columns), mix / name)
    said[kind] = part_hash(schema, columns)
    (mix / "manifest.json").write_bytes(manifests.dump(manifests.sealed(manifest)))


def hold_named(mix: Path, copy: Path, check: str, change: Change, said: str) -> None:
    """A changed copy of a mix, sealed again, fails by one check of that name, with these words."""
    shutil.copytree(mix, copy)
    forge(copy, change)
    (failed,) = (one for one in audit_mix(copy).failures if one.name == check)
    assert said in failed.detail


def put(column: str, value: Any, row: int = 2) -> Change:
    """Puts a value into a row of the table."""
    return lambda table, manifest: table[column].__setitem__(row, value)


def without_row(table: Table, manifest: manifests.Manifest) -> None:
    for name in table:
        table[name] = table[name][1:]


def other_donor(table: Table, manifest: manifests.Manifest) -> None:
    table["digest"][2] = table["digest"][3]


def more(*path: str) -> Change:
    """Adds one to a count that the manifest has of the arm."""

    def change(table: Table, manifest: manifests.Manifest) -> None:
        said = manifest.get("arm") or manifest["mask"]
        for name in path[:-1]:
            said = said[name]
        said[path[-1]] += 1

    return change


def all_keys(table: Table, manifest: manifests.Manifest) -> None:
    manifest["arm"]["donors"]["a"]["keys"] = ["0", "10000000000000000"]


def other_keys(table: Table, manifest: manifests.Manifest) -> None:
    donors = manifest["arm"]["donors"]["a"]
    donors["keys"] = ["f" * 16, donors["keys"][1]]


def keys_of_no_source(table: Table, manifest: manifests.Manifest) -> None:
    donors = manifest["arm"]["donors"]["b"]
    donors["keys"] = [donors["keys"][0], "10000000000000000"]


def excluded(table: Table, manifest: manifests.Manifest) -> None:
    (source,) = (item for item in manifest["recipe"]["sources"] if item["name"] == "a")
    item = {"definition": source["definition"], "keys": ["0", "1"]}
    manifest["recipe"]["exclude"].append(item)


def unfiltered(table: Table, manifest: manifests.Manifest) -> None:
    del manifest["filters"][0]["removed"]["a"]


def shuffled(table: Table, manifest: manifests.Manifest) -> None:
    """A donor's row stands before those of the positions that are before its own."""
    last = len(table["slot"]) - 1
    for name in table:
        table[name] = table[name][[last, *range(last)]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_donor, "another"),
        (put("position", 10**6, 0), "positions are slots"),
        (shuffled, "do not follow each other"),
        (put("kind", "whole"), "not of the kind"),
        (put("donor_source", "b", 0), "gives"),
        (put("file", "x.jsonl"), "which is no input"),
        (put("source", "small", -1), "is of another source than its slot"),
        (put("num_tokens", 1), "has other tokens than its slot's donors"),
        (put("offset", 1, 0), "do not follow each other"),
        (put("donor_tokens", 1), "more tokens than it had"),
        (put("position", 0, 0), "is another than its slot says"),
        (without_row, "the manifest says"),
        (more("sources", "a", "slots"), "the manifest says"),
        (more("sources", "a", "cut_tokens"), "the manifest says"),
        (more("donors", "a", "documents"), "the manifest says"),
        (more("windows"), "windows, the manifest says"),
        (more("inner_documents"), "the manifest says otherwise"),
        (unfiltered, "slots, its filter removes [None]"),
        (all_keys, "a key of a that only donors may have"),
        (other_keys, "a: a donor has a key that the base uses"),
        (keys_of_no_source, "b: donors of keys that are not the source's"),
        (excluded, "a: a donor has a key of an excluded recipe"),
    ],
)
def test_slots_that_were_changed_and_sealed_again_are_named(out, tmp_path, change, said):
    hold_named(out / "strong", tmp_path / "mix", "slots", change, said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("start", 0), "runs, "),
        (put("start", 1, 0), "is masked in part"),
        (put("length", 1), "is masked in part"),
        (without_row, "the manifest says"),
        (more("sources", "a", "documents"), "masked are"),
        (more("sources", "a", "tokens"), "the manifest says"),
        (more("windows"), "windows, the manifest says"),
        (more("shares", "median"), "masked tokens of windows are"),
        (more("shares", "whole"), "masked tokens of windows are"),
    ],
)
def test_masks_that_were_changed_and_sealed_again_are_named(out, tmp_path, change, said):
    hold_named(out / "masked", tmp_path / "mix", "mask", change, said)


def two_runs(table: Table, manifest: manifests.Manifest) -> None:
    """One run in two that touch."""
    row = int(np.argmax(table["length"] > 1))
    start, length = int(table["start"][row]), int(table["length"][row])
    for name, one, other in (("start", start, start + 1), ("length", 1, length - 1)):
        table[name] = np.insert(table[name], row + 1, other)
        table[name][row] = one


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("start", 0), "runs, "),
        (put("length", 0), "runs, "),
        (two_runs, "runs, "),
        (without_row, "the manifest says"),
        (more("sources", "a", "documents"), "other documents than its filter flags"),
        (more("sources", "a", "positions"), "the manifest says"),
        (more("sources", "a", "tokens"), "the manifest says"),
        (more("windows"), "windows, the manifest says"),
        (more("shares", "max"), "masked tokens of windows are"),
    ],
)
def test_masks_of_terms_that_were_changed_and_sealed_again_are_named(out, tmp_path, change, said):
    hold_named(out / "terms", tmp_path / "mix", "mask", change, said)


def runs_of(out: Path, wanted: Callable[[Row], bool]) -> list[tuple[int, int, list[int]]]:
    """Of the documents that are wanted and have runs: first token, number of tokens, and the rows
    of mask.parquet.
    """
    starts = pq.read_table(out / "terms" / MASK_FILE).column("start").to_pylist()
    found, first = [], 0
    for row in read_rows(out / "base"):
        end = first + len(row.ids)
        here = [number for number, start in enumerate(starts) if first <= start < end]
        if here and wanted(row):
            found.append((first, len(row.ids), here))
        first = end
    return found


def test_a_mask_that_reaches_the_end_of_its_document_is_named(out, tmp_path):
    first, num_tokens, (*_, last) = runs_of(out, lambda row: not row.cut)[0]

    def change(table: Table, manifest: manifests.Manifest) -> None:
        table["length"][last] = first + num_tokens - table["start"][last]

    hold_named(out / "terms", tmp_path / "mix", "mask", change, "is masked beyond its text")


def test_a_document_that_is_masked_otherwise_in_another_epoch_is_named(out, tmp_path):
    counts = Counter(row.digest for row in read_rows(out / "base") if not row.cut)
    chosen = runs_of(out, lambda row: not row.cut and counts[row.digest] > 1)
    _, _, (*_, last) = next(one for one in chosen if len(one[2]) > 1)

    def change(table: Table, manifest: manifests.Manifest) -> None:
        for name in table:
            table[name] = np.delete(table[name], last)

    said = "is masked otherwise in another epoch"
    hold_named(out / "terms", tmp_path / "mix", "mask", change, said)


def test_a_run_beside_its_term_that_no_count_tells_is_named_by_the_filter(out, tmp_path):
    _, _, here = next(
        one
        for one in runs_of(out, lambda row: row.source == "a" and not row.cut)
        if (one[0] + one[1]) // 2048 == one[0] // 2048
    )

    def change(table: Table, manifest: manifests.Manifest) -> None:
        table["start"][here[0]] -= 1  # every document begins with words that are no terms

    shutil.copytree(out / "terms", tmp_path / "mix")
    forge(tmp_path / "mix", change)
    bundle = out.parent / "filters" / "toy" / "filter.yaml"
    ended = run("audit", tmp_path / "mix", "--filter", bundle, "--level", "strong")
    assert ended.code == 3
    (failed,) = re.findall("^FAILED (.*)$", ended.out + ended.err, re.M)
    assert failed.startswith("filter toy: 1 document masked otherwise than the filter says: ")


def test_what_is_forged_here_is_sound_before(out):
    for arm in ("strong", "masked", "terms"):
        assert not audit_mix(out / arm).failures
