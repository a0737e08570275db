"""The shipped sample: made again it is the same, it is small, laid out as published, and holds what
the recipe says.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import zipfile
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import zstandard

from mixtures.keys import key_bound, order_key, text_digest
from mixtures.recipe.load import load_recipe
from tests.recipes.sample_files import (
    BAD_KINDS,
    DATA,
    RECIPES,
    data_files,
    documents,
    parsed,
    planted,
    raw_rows,
)
from tests.sample import make_sample
from tests.sample.packing import versions

CHECKOUT = RECIPES.parent


# Making it again


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("made")
    make_sample.write_sample(folder)
    return folder


def test_script_makes_the_shipped_sample_again(made: Path) -> None:
    assert make_sample.differences(made, RECIPES) == []


def test_script_makes_the_same_bytes_where_the_packing_libraries_are_the_same(made: Path) -> None:
    shipped = json.loads((DATA / "PACKED_WITH.json").read_text(encoding="utf-8"))
    if shipped != versions():
        pytest.skip(f"the shipped files were packed with {shipped}, here are {versions()}")
    for path in make_sample.made_files(RECIPES):
        assert (made / path).read_bytes() == (RECIPES / path).read_bytes(), path


@pytest.mark.campaign  # the sample changes with its script alone
def test_check_succeeds_in_another_process_with_another_hash_seed_time_zone_and_locale() -> None:
    hash_seed = "1" if os.environ.get("PYTHONHASHSEED") == "0" else "0"
    surroundings = os.environ | {
        "PYTHONHASHSEED": hash_seed,
        "TZ": "Pacific/Chatham",
        "LC_ALL": "C",
        "PYTHONPATH": str(CHECKOUT),
    }
    command = [sys.executable, "-m", "tests.sample.make_sample", "--check"]
    checked = subprocess.run(
        command, cwd=CHECKOUT, env=surroundings, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_check_names_a_file_that_differs(made: Path, tmp_path: Path) -> None:
    target = tmp_path / "sample" / "data" / "dolmino-flan"
    for path in make_sample.made_files(made):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes((made / path).read_bytes())
    (target / "flan-0001.json.gz").unlink()
    changed = gzip.decompress((target / "flan-0000.json.gz").read_bytes()).replace(
        b"river", b"rover", 1
    )
    (target / "flan-0000.json.gz").write_bytes(gzip.compress(changed))
    folder = "sample/data/dolmino-flan"
    assert make_sample.differences(made, tmp_path) == [
        f"{folder}/flan-0001.json.gz",
        f"{folder}/flan-0000.json.gz",
    ]


# Size and layout


def test_sample_is_small() -> None:
    sizes = {
        path: path.stat().st_size
        for path in (RECIPES / "sample").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert sum(sizes.values()) < 2_000_000
    assert max(sizes.values()) < 600_000


def test_layout_is_that_of_the_published_files(shared: Path) -> None:
    for source in sorted({source for source, _ in data_files()}):
        example = next(
            path for path in sorted((shared / "data" / source).rglob("*")) if path.is_file()
        )
        ours = next(file for name, file in data_files() if name == source)
        assert [part.suffix for part in map(Path, ours.split("/"))] == [
            part.suffix for part in map(Path, example.relative_to(shared / "data" / source).parts)
        ]
        if example.suffix == ".parquet":
            assert (
                pq.read_schema(DATA / source / ours).remove_metadata()
                == pq.read_schema(example).remove_metadata()
            )
        elif example.suffix == ".zip":
            with zipfile.ZipFile(example) as archive:
                assert list(parsed(raw_rows(source, ours)[0])) == list(
                    json.loads(archive.read(archive.namelist()[0]))
                )
        else:
            content = example.read_bytes()
            plain = (
                zstandard.ZstdDecompressor().stream_reader(content).read()
                if example.suffix == ".zst"
                else gzip.decompress(content)
            )
            wanted = json.loads(plain.split(b"\n")[0])
            assert list(parsed(raw_rows(source, ours)[0])) == list(wanted)


# The recipes that use it


def test_bad_rows_stay_within_the_limit_of_the_recipe() -> None:
    limit = load_recipe("sample").recipe.max_quarantined
    for source in sorted({entry["source"] for entry in planted(*BAD_KINDS)} - {"dclm-baseline"}):
        rows = sum(len(raw_rows(name, file)) for name, file in data_files() if name == source)
        assert sum(entry["source"] == source for entry in planted(*BAD_KINDS)) <= rows * limit


def test_sources_hold_and_lack_what_the_recipe_says() -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(RECIPES / "sample" / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    loaded = load_recipe("sample")
    requests = loaded.recipe.sources
    weights = sum((request.weight or Decimal(0) for request in requests.values()), Decimal(0))
    fixed = sum(request.tokens or 0 for request in requests.values())
    total = loaded.recipe.budget.total_tokens if loaded.recipe.budget else 0
    supply, quota = {}, {}
    for name, request in requests.items():
        low, high = request.key_range
        texts = {
            text
            for text in documents(loaded.definitions[name].name)
            if low <= order_key(text_digest(_bytes(text).decode())) < high
        }
        supply[name] = sum(len(tokenizer.encode(_bytes(text).decode()).ids) + 1 for text in texts)
        quota[name] = request.tokens or int((request.weight or 0) / weights * (total - fixed))
    short = {name for name in supply if supply[name] < quota[name]}
    assert short == {"camel-biology", "wiki"}
    assert 2 * supply["wiki"] > 1.2 * quota["wiki"]
    assert supply["dclm"] > 130_000


def test_pretraining_half_has_its_tokens_below_one_half() -> None:
    assert load_recipe("sample-pretraining").recipe.sources["dclm"].key_range == (
        0,
        key_bound(Decimal("0.5")),
    )


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def test_tokenizer_puts_eod_at_0_and_gives_its_golden_ids() -> None:
    from tokenizers import Tokenizer

    definition = load_recipe("sample").tokenizer
    tokenizer = Tokenizer.from_file(str(RECIPES / "sample" / "tokenizer.json"))
    assert (tokenizer.token_to_id("<|endoftext|>"), tokenizer.token_to_id("<|padding|>")) == (0, 1)
    assert tokenizer.get_vocab_size() == definition.vocab_size == 2000
    tokenizer.encode_special_tokens = True
    for vector in definition.golden:
        assert tuple(tokenizer.encode(vector.text).ids) == vector.ids
