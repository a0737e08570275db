"""Make the sample that annealmix ships, from one seed: data in the published layouts, its
tokenizer, and the list of what is planted.

    python -m tests.sample.make_sample            write recipes/sample and
                                                    recipes/tokenizers/sample.yaml again
    python -m tests.sample.make_sample --check    make it in a temporary folder and compare; exit
                                                    code 1 if anything differs

    data/dclm-dedup/data/global-shard_01_of_10/local-shard_0_of_10/*.parquet
    data/camel-{biology,chemistry,physics}/*.zip
    data/dclm-baseline/global-shard_01_of_10/local-shard_0_of_10/*.jsonl.zst      data/PLANTED.json
    data/dolmino-{flan,stackexchange,pes2o,wiki}/*.json.gz                        tokenizer.json

Takes about ten seconds. All text is invented here (see `words` and `prose`); the same seed gives
the same rows anywhere. Packed bytes may differ where zlib or pyarrow differ, so the comparison is
of what the files say.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.sample.corpus import Corpus
from tests.sample.packing import pack, unpack, versions
from tests.sample.planting import plant_all, text_of
from tests.sample.sources import make_sources
from tests.sample.training import definition_yaml, train_tokenizer

SEED = 2508_06601
PACKED_WITH = "PACKED_WITH.json"
RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def make_corpus(seed: int = SEED) -> Corpus:
    """Return the sample's files with everything planted."""
    corpus = Corpus(make_sources(seed))
    plant_all(corpus, seed)
    return corpus


def write_sample(folder: Path, seed: int = SEED) -> None:
    """Write `sample/` and `tokenizers/sample.yaml` below the folder."""
    corpus = make_corpus(seed)
    data = folder / "sample" / "data"
    for file in corpus.files:
        target = data / file.source / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(pack(file))
    entries = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in corpus.planted())
    (data / "PLANTED.json").write_text(f"[\n{entries}\n]\n", encoding="utf-8")
    (data / PACKED_WITH).write_text(json.dumps(versions(), indent=1) + "\n", encoding="utf-8")
    texts = [
        text_of(record)
        for file in corpus.files
        for record in file.records
        if _is_document(record.value)
    ]
    tokenizer = train_tokenizer(texts)
    (folder / "sample" / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    (folder / "tokenizers").mkdir(exist_ok=True)
    (folder / "tokenizers" / "sample.yaml").write_text(definition_yaml(tokenizer), encoding="utf-8")


def _is_document(value: object) -> bool:
    return isinstance(value, dict) and (isinstance(value.get("text"), str) or "message_1" in value)


def made_files(folder: Path) -> list[str]:
    """Return the paths, below the folder of recipes, of what the seed decides (what packed the
    files is not among them).
    """
    data = folder / "sample" / "data"
    paths = [path for path in data.rglob("*") if path.is_file() and path.name != PACKED_WITH]
    paths += [folder / "sample" / "tokenizer.json", folder / "tokenizers" / "sample.yaml"]
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def differences(made: Path, shipped: Path) -> list[str]:
    """Return the paths of files that only one folder has, or that say different things in the
    two.
    """
    ours, theirs = made_files(made), made_files(shipped)
    found = sorted(set(ours) ^ set(theirs))
    return found + [
        path for path in ours if path in theirs and unpack(made / path) != unpack(shipped / path)
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.sample.make_sample", description="Make the shipped sample again."
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="compare a new sample with the shipped one and write nothing",
    )
    if not parser.parse_args(arguments).check:
        write_sample(RECIPES)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        write_sample(Path(folder))
        found = differences(Path(folder), RECIPES)
    for path in found:
        print(
            f"recipes/{path}: differs from what the script makes; run python -m"
            " tests.sample.make_sample",
            file=sys.stderr,
        )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
