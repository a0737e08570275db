"""Domain names of a mix, counted from the URLs that the rows of its sources name."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from mixtures.errors import InputError, RecipeError
from pipeline.commands.export.release.domains import Domains, count_domains, domain_of
from pipeline.inputs.listing import DataFolders
from tests.pipeline.command_line import fails, passes
from tests.pipeline.corpus import make, prose, read_mix, write_recipe
from tests.pipeline.input_files import json_lines, pack

HOSTS = ["a.example", "b.example:8080", "www.A.example", "c.example.", None, "not a host/"]
NAMES = ["a.example", "b.example", "a.example", "c.example", None, None]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mix of two files of rows with a nested URL, gone through twice, and a source without."""
    folder = tmp_path_factory.mktemp("domains")
    for number in range(2):
        rows = [
            {
                "text": text,
                "meta": {"url": host and f"https://{host}/{text[:4]}"},
            }
            for text, host in zip(prose(number, 60), HOSTS * 10, strict=True)
        ]
        (folder / "data" / "web").mkdir(parents=True, exist_ok=True)
        path = folder / "data" / "web" / f"{number}.json.gz"
        path.write_bytes(pack("jsonl.gz", json_lines(rows)))
    (folder / "data" / "plain").mkdir()
    plain = json_lines([{"text": text} for text in prose(9, 30)])
    (folder / "data" / "plain" / "0.json.gz").write_bytes(pack("jsonl.gz", plain))
    sources: dict[str, dict[str, object]] = {
        "web": {"tokens": 30_000, "shortfall": {"repeat": 9}, "keys": [0, 0.8]},
        "plain": {"all": "true"},
    }
    make(write_recipe(folder / "recipe", sources), folder, folder / "data")
    return folder


def test_domains_count_each_document_of_the_mix_once(work: Path):
    hosts = {(f"{file}.json.gz", row): NAMES[row % 6] for file in range(2) for row in range(60)}
    documents, tokens, seen = Counter[str](), Counter[str](), set()
    repeated = unnamed = 0
    for document in read_mix(work / "out"):
        if document.source != "web":
            continue
        place = (document.file, document.row)
        repeated += place in seen
        if document.epoch == 0:
            name = hosts[place]
            unnamed += name is None
            if name:
                documents[name] += 1
                tokens[name] += document.num_tokens
        seen.add(place)
    counted = count_domains(work / "out", {"web": "meta.url"}, DataFolders(work / "data"))
    assert repeated
    assert counted.documents == documents
    assert counted.tokens == tokens
    assert counted.unnamed == unnamed > 0


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://www.Example.org/a?b#c", "example.org"),
        (" http://user:secret@news.example.org:80/ ", "news.example.org"),
        ("//example.org/a", "example.org"),
        ("https://bücher.example/", "bücher.example"),
        ("http://127.0.0.1/", "127.0.0.1"),
        ("https://example.org./", "example.org"),
        ("example.org/a", None),
        ("https:///a", None),
        ("https://[::1/", None),
        ("https://=cmd()/", None),
        ('https://a",b/', None),
        ("", None),
    ],
)
def test_the_domain_of_a_url(url: str, name: str | None):
    assert domain_of(url) == name


@pytest.mark.parametrize(("number", "listed"), [(0, 0), (1, 1), (10, 1), (11, 2), (100, 10)])
def test_the_top_is_a_tenth_of_the_domains_by_tokens(number: int, listed: int):
    domains = Domains(["web"])
    for at in range(number):
        domains.add(f"https://{at:03d}.example/", 1_000 - at)
    assert [domain.name for domain in domains.top] == [f"{at:03d}.example" for at in range(listed)]


def test_a_release_lists_the_domains_that_are_asked_for(work: Path, tmp_path: Path):
    words = ("--urls", "web=meta.url", "--data", work / "data", "--workers", "1")
    passes("export", work / "out", "--release", tmp_path / "out", *words)
    rows = list(csv.DictReader((tmp_path / "out" / "DOMAINS.csv").open(encoding="utf-8")))
    assert [row["domain"] for row in rows] == ["a.example"]
    page = (tmp_path / "out" / "TRAINING-SUMMARY.md").read_text(encoding="utf-8")
    assert "1 of 3 domains, the tenth with the most tokens" in page
    assert "the first of them: `a.example`" in page
    assert "DOMAINS.csv" in (tmp_path / "out" / "SHA256SUMS").read_text()
    assert "`DOMAINS.csv`" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_a_source_or_column_that_is_not_there_is_named(work: Path, tmp_path: Path):
    mix, data = work / "out", DataFolders(work / "data")
    with pytest.raises(RecipeError, match="did you mean 'web'"):
        count_domains(mix, {"wep": "url"}, data)
    with pytest.raises(InputError, match="url"):
        count_domains(mix, {"plain": "url"}, data)
    said = fails(2, "export", mix, "--release", tmp_path / "out", "--data", work / "data")
    assert "--data is for --urls" in said
    assert "write SOURCE=COLUMN" in fails(2, "export", mix, "--release", "x", "--urls", "web")


def test_a_file_that_is_not_the_one_that_was_read_is_refused(work: Path, tmp_path: Path):
    (tmp_path / "web").mkdir()
    first = (work / "data" / "web" / "0.json.gz").read_bytes()
    (tmp_path / "web" / "0.json.gz").write_bytes(first)
    mix, columns, data = work / "out", {"web": "meta.url"}, DataFolders(tmp_path)
    with pytest.raises(InputError, match=r"1\.json\.gz is not there"):
        count_domains(mix, columns, data)
    (tmp_path / "web" / "1.json.gz").write_bytes(first)
    with pytest.raises(InputError, match="the mix was made from"):
        count_domains(mix, columns, data)
