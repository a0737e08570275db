"""Evaluation sets and lists of terms that stand in the recipe itself."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from mixtures.errors import RecipeError
from mixtures.recipe.load import load_recipe
from tests.pipeline.corpus import make, prose, read_mix
from tests.pipeline.shapes import lines

ITEM = "which of these eight words are looked for here"
TERMS = ["mill town", "old bridge"]
SOURCE = {"data": "notes", "text": "text", "all": True}


def recipe(folder: Path, name: str = "mine", **more: object) -> Path:
    """JSON is YAML."""
    (folder / "notes").mkdir(exist_ok=True)
    texts = [*prose(4, 20), f"So: {ITEM}?", "By the mill town.", "An old bridge, a mill town."]
    (folder / "notes/a.jsonl").write_bytes(lines([{"text": text} for text in texts]))
    (folder / "items.jsonl").write_bytes(lines([{"text": ITEM}]))
    (folder / "terms.txt").write_text("".join(f"{term}\n" for term in TERMS))
    path = folder / f"{name}.yaml"
    fields = {"name": "mine", "tokenizer": "sample", "sources": {"notes": SOURCE}}
    path.write_text(json.dumps({**fields, **more}).replace("true", '"true"'))
    return path


SET = {"name": "mine", "files": ["items.jsonl"], "format": "jsonl", "columns": "lambada"}


@pytest.mark.parametrize("terms", ["terms.txt", TERMS])
def test_what_stands_in_the_recipe_is_what_files_say(tmp_path: Path, terms: object):
    inline = recipe(
        tmp_path,
        decontaminate={"sets": [SET]},
        filters=[{"name": "mine", "terms": terms, "threshold": 2}],
    )
    pins = {
        name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        for name in ("items.jsonl", "terms.txt")
    }
    pinned = [{"path": "items.jsonl", "sha256": pins["items.jsonl"]}]
    (tmp_path / "set.yaml").write_text(json.dumps({**SET, "files": pinned}))
    blocklist = {"file": "terms.txt", "sha256": pins["terms.txt"], "mode": "words", "threshold": 2}
    golden = [
        {"text": "old bridge, mill town", "flagged": "true"},
        {"text": "", "flagged": "false"},
    ]
    (tmp_path / "list.yaml").write_text(
        json.dumps({"name": "mine", "blocklist": blocklist, "golden": golden})
    )
    files = recipe(tmp_path, "files", decontaminate={"sets": ["set.yaml"]}, filters=["list.yaml"])
    assert load_recipe(str(inline)).digest == load_recipe(str(files)).digest


def test_both_judge(tmp_path: Path):
    path = recipe(
        tmp_path,
        decontaminate={"sets": [SET]},
        filters=[{"name": "mine", "terms": TERMS, "threshold": 2}],
    )
    manifest = make(path, tmp_path, tmp_path / "none")
    texts = {document.text for document in read_mix(tmp_path / "out")}
    assert "By the mill town." in texts
    assert not {f"So: {ITEM}?", "An old bridge, a mill town."} & texts
    removed = manifest["removed"]["notes"]
    assert (removed["contaminated"], removed["filter mine"]) == (1, 1)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"filters": [{"terms": ["a"]}]}, "filters.0.: has no name; give one"),
        ({"filters": [{"terms": ["a"], "use": "b"}]}, "give one of use, placebo_of and terms"),
        ({"filters": [{"use": "b.yaml", "threshold": 3}]}, "threshold: belongs to terms"),
        ({"filters": [{"name": "m", "terms": "gone.txt"}]}, "'gone.txt' is no file"),
        ({"filters": [{"name": "m", "terms": "../x"}]}, "leaves the recipe's folder"),
        ({"filters": [{"name": "m", "terms": ["# a"]}]}, "begins with #"),
        ({"filters": [{"name": "m", "terms": ["a"], "level": "weak"}]}, "terms alone have none"),
        ({"filters": [{"name": "m", "terms": ["..."], "threshold": 1}]}, "mine.yaml"),
        ({"decontaminate": {"sets": [{**SET, "files": ["gone"]}]}}, "'gone' is no file"),
        ({"decontaminate": {"sets": [{**SET, "columns": "mlu"}]}}, "is not a preset"),
        ({"decontaminate": {"sets": [{"name": "a"}]}}, "files"),
        ({"decontaminate": {"sets": ["a.json"]}}, "or the set itself"),
        ({"decontaminate": {"sets": [SET, SET]}}, "'mine' is listed twice"),
        ({"decontaminate": {"sets": []}}, "sets"),
    ],
)
def test_what_is_wrong_with_them_is_said_with_its_place(
    tmp_path: Path, more: dict[str, Any], said: str
):
    with pytest.raises(RecipeError, match=said):
        load_recipe(str(recipe(tmp_path, **more)))
