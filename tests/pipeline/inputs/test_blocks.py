"""Blocks of installed packages: found by entry points, typed, named in key and manifest, and
nothing else is imported.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mixtures.recipe.load import load_recipe
from tests.pipeline.command_line import fails, passes
from tests.pipeline.corpus import prose, write_files, write_recipe

SOURCE = '''
"""A user's blocks."""
BASES

class DropShouting(BaseFilter):
    name = "drop shouting"
    def __init__(self, most: float = 0.5, words: list[str] | None = None, quiet: bool = False):
        super().__init__()
        assert isinstance(most, float) and isinstance(quiet, bool)
        self.most, self.words = most, words or []
    def filter(self, doc):
        upper = sum(char.isupper() for char in doc.text) / max(len(doc.text), 1)
        if any(word in doc.text for word in self.words):
            return False, "word"
        return (True, None) if upper <= self.most else (False, "shouting")

class Lower(BaseFormatter):
    name = "lower"
    def __init__(self):
        super().__init__()
    def format(self, text):
        return text.lower()

class Counting(BaseFilter):
    name = "counting"
    seen = 0
    def filter(self, doc):
        Counting.seen += 1
        return Counting.seen % 2 == 0

def function(text):
    return text
'''
ENTRIES = {"drop-shouting": "DropShouting", "lower": "Lower", "counting": "Counting"}
BASES = {
    "datatrove": (
        "from datatrove.pipeline.filters.base_filter import BaseFilter\n"
        "from datatrove.pipeline.formatters.base import BaseFormatter\n"
    ),
    "plain": "class BaseFilter: pass\nclass BaseFormatter: pass\n",
}
Install = Callable[..., None]


@pytest.fixture(params=BASES)
def install(request, tmp_path, monkeypatch) -> Iterator[Install]:
    """Install the package of a user, or another state of it: of datatrove's own classes, which need
    the extra `quality`, or of any that do the same.
    """
    if request.param == "datatrove":
        pytest.importorskip("regex", reason="needs the extra quality: make test-models")
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))

    def write(source: str = SOURCE, version: str = "1.0") -> None:
        sys.modules.pop("my_blocks", None)
        (site / "my_blocks").mkdir(parents=True, exist_ok=True)
        written = source.replace("BASES", BASES[request.param])
        (site / "my_blocks" / "__init__.py").write_text(written)
        info = site / "my_blocks_of_mine.dist-info"
        info.mkdir(exist_ok=True)
        head = f"Metadata-Version: 2.1\nName: My-Blocks\nVersion: {version}\n"
        (info / "METADATA").write_text(head)
        lines = [f"{name} = my_blocks:{thing}" for name, thing in ENTRIES.items()]
        lines += ["function = my_blocks:function"]
        (info / "entry_points.txt").write_text("[annealmix.blocks]\n" + "\n".join(lines) + "\n")
        importlib.invalidate_caches()

    write()
    yield write
    sys.modules.pop("my_blocks", None)


TEXTS = [text.upper() if at % 3 == 0 else text for at, text in enumerate(prose(1, 60))]


def recipe_of(folder: Path, *steps: Any) -> Path:
    write_files(folder / "data", "a", {"one": TEXTS})
    sources = {"a": {"all": "true", "quality": [{"block": step} for step in steps]}}
    return write_recipe(folder, sources)


def build(folder: Path, recipe: Path, out: str) -> dict[str, Any]:
    words: list[str | Path] = [
        "build",
        recipe,
        "--data",
        folder / "data",
        "--store",
        folder / "store",
    ]
    answer: dict[str, Any] = passes(*words, "--out", folder / out, "--json").answer
    return answer


def test_a_block_judges_as_its_arguments_say_and_stands_in_manifest_and_key(tmp_path, install):
    step = {"use": "drop-shouting", "arguments": {"most": "0.2", "quiet": "true"}}
    manifest = build(tmp_path, recipe_of(tmp_path, step, {"use": "lower"}), "out")
    removed = manifest["removed"]["a"]
    assert removed["quality block: shouting"] == 20
    assert removed["kept"] == 40
    (used,) = manifest["recipe"]["sources"]
    block = used["quality"][0]["block"]
    assert (block["distribution"], block["version"]) == ("My-Blocks", "1.0")
    assert len(block["sha256"]) == 64
    assert block["arguments"] == {"most": "0.2", "quiet": "true"}
    assert "audit passed" in passes("audit", tmp_path / "out", "--full").out
    assert len(list((tmp_path / "store" / "sources").iterdir())) == 1


@pytest.mark.parametrize("change", ["source", "version", "arguments"])
def test_another_state_of_the_package_is_read_anew(tmp_path, install, change):
    step = {"use": "drop-shouting", "arguments": {"most": "0.2"}}
    first = build(tmp_path, recipe_of(tmp_path, step), "out")
    if change == "source":
        install(SOURCE.replace("upper <= self.most", "upper <= self.most / 2"))
    elif change == "version":
        install(version="1.1")
    else:
        step["arguments"] = {"most": "0.3"}
    second = build(tmp_path, recipe_of(tmp_path, step), "again")
    assert len(list((tmp_path / "store" / "sources").iterdir())) == 2
    assert first["recipe_digest"] != second["recipe_digest"]


def test_nothing_is_imported_before_a_block_is_opened(tmp_path, install):
    load_recipe(str(recipe_of(tmp_path, {"use": "drop-shouting"})))
    assert "my_blocks" not in sys.modules


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ({"use": "drop-shoutin"}, "no installed package has a block 'drop-shoutin'"),
        ({"use": "os:system"}, "no installed package has a block 'os:system'"),
        ({"use": "function"}, "is no class with the method of datatrove's"),
        ({"use": "counting"}, "gives golden document"),
        (
            {"use": "drop-shouting", "arguments": {"most": "much"}},
            "argument most: Input should be a valid number",
        ),
        ({"use": "drop-shouting", "arguments": {"mos": "1"}}, "did you mean 'most'"),
        ({"use": "lower", "version": "0.9"}, "install that again"),
    ],
)
def test_what_is_no_block_is_told(tmp_path, install, step, told):
    recipe = recipe_of(tmp_path, step)
    code = 6 if "golden" in told or "again" in told else 2
    assert told in fails(code, "plan", recipe, "--data", tmp_path / "data")


def test_a_worker_with_other_sources_refuses_the_step(tmp_path, install):
    from mixtures.errors import ManifestError
    from mixtures.recipe.quality.steps import canonical_quality
    from pipeline.inputs.quality.quality import planned_steps

    recipe = load_recipe(str(recipe_of(tmp_path, {"use": "lower"})))
    planned = json.loads(json.dumps(canonical_quality(recipe.recipe.sources["a"].quality)))
    assert planned_steps(planned) is not None
    install(SOURCE + "\n# another state\n")
    from pipeline.inputs.quality.quality import open_steps

    open_steps.cache_clear()
    with pytest.raises(ManifestError, match="install that again"):
        planned_steps(planned)
