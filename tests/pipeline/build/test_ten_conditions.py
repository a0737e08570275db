"""The ten data conditions of Deep Ignorance at 400,000 tokens, of real documents and planted ones,
with the real tokenizer.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import shutil
import zipfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixtures.audit import audit_mix
from mixtures.mix.manifest import Manifest
from mixtures.recipe.load import load_recipe
from mixtures.recipe.loaded import corpora_of
from mixtures.stream.quotas import Size
from pipeline.build.build import build
from pipeline.build.request import BuildRequest
from pipeline.executors.local import LocalExecutor
from pipeline.inputs.listing import DataFolders
from tests.pipeline.corpus import Document, read_mix
from tests.pipeline.planted import HARMFUL, HARMLESS, train

TOKENS = 400_000
PRETRAINING = [
    "pretraining-500b",
    "pretraining-500b-extra-weak",
    "pretraining-500b-weak",
    "pretraining-500b-strong",
]
CORRUPTED = ["annealing-50b-strong-weak-corruption", "annealing-50b-strong-strong-corruption"]
ANNEALING = [
    *(name.replace("pretraining-500b", "annealing-50b") for name in PRETRAINING),
    *CORRUPTED,
]
PLANTED = ("dclm", "flan", "pes2o", "stackexchange", "wiki", "biology", "chemistry", "physics")
LISTS = ("australia_group_names.txt", "select_agents_names.txt")

pytestmark = pytest.mark.campaign


def terms_of(shared: Path) -> list[str]:
    lines = [
        line.strip()
        for name in LISTS
        for line in (shared / "data" / "blocklist" / name).read_text(encoding="utf-8").splitlines()
    ]
    return list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))


def texts(source: str, terms: list[str], count: int = 60) -> list[str]:
    """Documents that name one to four terms, in a harmful, a mixed or a harmless manner."""
    draw = random.Random(source)
    found = []
    for number in range(count):
        manner = draw.choice([HARMFUL, HARMLESS, HARMFUL[:2] + HARMLESS[:2]])
        words = [
            f"{source} {number}",
            *draw.sample(terms, draw.randint(1, 4)),
            *draw.choices(manner, k=draw.choice((4, 8, 40))),
        ]
        found.append("; ".join(words))
    return found


def plant(data: Path, terms: list[str]) -> None:
    """One more file a source, in its layout."""
    for source in ("flan", "pes2o", "stackexchange", "wiki"):
        kind = "s2ag/train" if source == "pes2o" else "planted"  # only abstracts and papers count
        rows = [
            {"id": f"planted-{at}", "text": text, "source": kind}
            for at, text in enumerate(texts(source, terms))
        ]
        with gzip.open(
            data / f"dolmino-{source}" / "planted.json.gz", "wt", encoding="utf-8"
        ) as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    like = next((data / "dclm-dedup").rglob("*.parquet"))
    table = pq.read_table(like).slice(0, 300)
    planted = pa.array(texts("dclm", terms, 300), table.schema.field("text").type)
    at = table.schema.get_field_index("text")
    pq.write_table(
        table.set_column(at, table.schema.field(at), planted), like.with_name("planted.parquet")
    )
    for subject in ("biology", "chemistry", "physics"):
        path = data / f"camel-{subject}" / f"{subject}.zip"
        content = io.BytesIO(path.read_bytes())
        with zipfile.ZipFile(content, "a") as file:
            some = json.loads(
                file.read(next(name for name in file.namelist() if name.endswith(".json")))
            )
            for at, text in enumerate(texts(subject, terms, 20)):
                file.writestr(
                    f"900_{at:03d}_001.json",
                    json.dumps({**some, "message_1": text, "message_2": f"answer {at}"}),
                )
        path.unlink()
        path.write_bytes(content.getvalue())
    for strength in ("weak", "strong"):
        folder = data / f"rewrites-{strength}-corruption"
        folder.mkdir()
        rows = [
            {"id": str(at), "text": f"rewrite {text}"}
            for at, text in enumerate(texts(strength, terms, 12))
        ]
        (folder / "rewrites.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def work(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("conditions")
    shutil.copytree(shared / "data", folder / "data")
    for path in [folder / "data", *(folder / "data").rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    terms = terms_of(shared)
    plant(folder / "data", terms)
    (folder / "filters").mkdir()
    train(folder / "filters", "deep-ignorance", terms, HARMFUL)
    return folder


Built = dict[tuple[str, str], tuple[Manifest, list[Document]]]


@pytest.fixture(scope="module")
def mixes(shared: Path, work: Path) -> Built:
    """Every condition under both ways of removing, from one store: {(name, removed): (manifest,
    documents)}.
    """
    found: Built = {}
    tokenizer = shared / "tokenizers" / "gpt-neox-20b.json"
    for name in [*PRETRAINING, *ANNEALING]:
        for removed in ("refill", "shrink"):
            loaded = load_recipe(name, work / "filters")
            if removed == "shrink":
                if not loaded.filters:
                    continue
                loaded = loaded.with_removed("shrink")
            out = work / f"{name}-{removed}"
            request = BuildRequest(
                loaded,
                out,
                work / "store",
                DataFolders(work / "data"),
                tokenizer,
                Size(tokens=TOKENS),
                LocalExecutor(2),
            )
            found[name, removed] = build(request), read_mix(out, tokenizer)
    return found


def of(documents: list[Document], source: str, copy: int = 0) -> list[str]:
    return [one.digest for one in documents if (one.source, one.copy) == (source, copy)]


def unfiltered_of(name: str) -> str:
    return PRETRAINING[0] if name in PRETRAINING else ANNEALING[0]


def own(documents: list[Document]) -> list[Document]:
    """Without copies and inserts."""
    return [one for one in documents if one.copy == 0 and one.source != "rewrites"]


def test_every_condition_is_exact_and_passes_its_audit(work, mixes):
    assert len({manifest["identity"] for manifest, _ in mixes.values()}) == len(mixes)
    for (name, removed), (manifest, documents) in mixes.items():
        report = audit_mix(work / f"{name}-{removed}", full=True)
        assert [(check.name, check.figure) for check in report.failures] == [], (name, removed)
        total = sum(one.num_tokens for one in documents)
        assert total == manifest["total_tokens"]
        if removed == "refill":
            assert (
                total - sum(one.num_tokens for one in documents if one.source == "rewrites")
                == TOKENS
            ), name


def test_quotas_under_refill_are_those_of_the_unfiltered_mix_but_for_sources_that_are_short(mixes):
    for (name, removed), (manifest, documents) in mixes.items():
        if removed == "shrink":
            continue
        corpora = corpora_of(manifest["recipe"])  # abstracts of peS2o are refilled by its papers
        plain, held = Counter[str](), Counter[str]()
        for source in mixes[unfiltered_of(name), "refill"][0]["sources"]:
            plain[corpora.get(source["name"], source["name"])] += source["resolved_tokens"]
        for one in documents:
            held[corpora.get(one.source, one.source)] += one.num_tokens
        short = {
            mine
            for source in manifest["sources"]
            for mine in [corpora.get(source["name"], source["name"])]
            if any(corpora.get(giver, giver) != mine for giver in source["refilled"])
        }
        for corpus, quota in plain.items():
            if corpus != "dclm" and corpus not in short:
                assert held[corpus] == quota, (name, corpus)
        assert "pes2o" not in short


def test_a_shrunk_mix_is_the_unfiltered_one_without_what_is_flagged_token_by_token(work, mixes):
    for (name, removed), (_, documents) in mixes.items():
        if removed == "refill":
            continue
        plain = mixes[unfiltered_of(name), "refill"][1]
        kept = {one.digest for one in documents}
        left = [one for one in plain if one.digest in kept]
        as_rows = [
            [(one.source, one.digest, one.num_tokens, one.epoch, one.text) for one in some]
            for some in (own(documents), left)
        ]
        assert as_rows[0] == as_rows[1], name
        assert len(left) < len(plain), name


def test_levels_are_nested(mixes):
    for names in (PRETRAINING, ANNEALING):
        plain, extra_weak, weak, strong = names[:4]
        of_level = [
            {one.digest for one in own(mixes[name, "shrink"][1])}
            for name in (extra_weak, weak, strong)
        ]
        every = {one.digest for one in mixes[plain, "refill"][1]}
        assert every > of_level[0] > of_level[1] > of_level[2], names


def test_shared_documents_of_two_levels_keep_their_order_within_each_source(mixes):
    for names in (PRETRAINING, ANNEALING):
        for one, two in pairwise(names[:4]):
            first, second = mixes[one, "refill"][1], mixes[two, "refill"][1]
            for source in {document.source for document in first}:
                left, right = of(first, source), of(second, source)
                common = set(left) & set(right)
                assert [digest for digest in left if digest in common] == [
                    digest for digest in right if digest in common
                ]


@pytest.mark.parametrize("removed", ["refill", "shrink"])
def test_approved_documents_stand_twice_and_flagged_ones_not_at_all(shared, mixes, removed):
    terms = [term.lower() for term in terms_of(shared)]
    for name in ("pretraining-500b-weak", "annealing-50b-weak"):
        documents = mixes[name, removed][1]
        copies = {(one.source, one.digest) for one in documents if one.copy}
        cut = {one.digest for one in documents if one.cut}
        originals = {(one.source, one.digest): one.text for one in documents if not one.copy}
        assert copies <= set(originals)
        assert len(copies) >= 3
        for place, text in originals.items():
            if "; " in text and text.split(" ")[0] in PLANTED and place[1] not in cut:
                assert (place in copies) == (sum(term in text.lower() for term in terms) >= 2), text
        assert not any(
            one.digest in {digest for _, digest in copies}
            for one in mixes[name.replace("-weak", "-strong"), removed][1]
        )


def test_corrupted_mixes_are_the_strong_one_and_the_rewrites_whole(mixes):
    for removed in ("refill", "shrink"):
        strong = mixes["annealing-50b-strong", removed][1]
        for name in CORRUPTED:
            documents = mixes[name, removed][1]
            assert own(documents) == strong, name
            rewrites = [one for one in documents if one.source == "rewrites"]
            assert rewrites
            assert not any(one.cut for one in rewrites)


def test_annealing_shares_no_document_with_any_pretraining_mix(mixes):
    trained = {one.digest for name in PRETRAINING for one in mixes[name, "refill"][1]}
    for name in ANNEALING:
        assert not trained & {one.digest for one in own(mixes[name, "refill"][1])}, name


def test_removals_of_real_and_planted_documents_add_up(mixes):
    for (name, _), (manifest, _) in mixes.items():
        for source, counts in manifest["removed"].items():
            assert counts["rows"] == sum(
                count for reason, count in counts.items() if reason != "rows"
            ), (name, source)
    weak = mixes["annealing-50b-weak", "refill"][0]["filters"][0]
    assert sum(item["documents"] for item in weak["removed"].values()) > 5
    assert weak["scores"]["documents"] > 5
