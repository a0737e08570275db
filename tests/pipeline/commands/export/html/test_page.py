"""The page of a mix shows its figures and nothing that acts: whatever texts, names and licences say
stays text.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import recipes
from mixtures.keys import order_key
from mixtures.mix import manifest as manifests
from mixtures.mix.claims import read_claims, typed
from pipeline.commands.build.report import FATES, notes
from pipeline.commands.export.card import dataset_card
from pipeline.commands.export.html import bars, figures
from pipeline.commands.export.html.page import page
from pipeline.commands.page.svg import inline
from tests.mixtures.audit.forged_mix import ForgedMix, forge
from tests.pipeline.command_line import CHECKOUT, fails
from tests.pipeline.corpus import make, nfc, prose, read_mix, sharded, write_files, write_recipe
from tests.pipeline.planted import TERMS, planted, write_filters

EVIL = (
    "<script>alert(1)</script><img src=http://127.0.0.1/x onerror=alert(2)>]]></style></title><!--"
    " \"'><svg onload=alert(3)>&lt;b&gt;"
)
EVIL_FILE = "<img src=x onerror=alert(4)>'\""
TOKENIZER = Path(recipes.__file__).parent / "sample" / "tokenizer.json"
A = [f"{EVIL} {text}" for text in planted(1, 40)]
B = [*planted(2, 120), *(f"{text} and more" for text in planted(2, 120)[:40:4])]
SOURCES: dict[str, dict[str, Any]] = {
    "a": {"tokens": 900, "shortfall": {"repeat": 9}},
    "b": {"tokens": 1800},
}
NEAR = {"sources": ["b"], "rule": {"unit": "words", "shingle": 3, "bands": 6, "rows": 2}}
ELEMENTS = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "link",
        "style",
        "body",
        "div",
        "header",
        "p",
        "h1",
        "h2",
        "h3",
        "dl",
        "dt",
        "dd",
        "strong",
        "a",
        "nav",
        "ol",
    ),
    *(
        "ul",
        "li",
        "main",
        "section",
        "span",
        "figure",
        "figcaption",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "details",
        "summary",
        "code",
    ),
    *(
        "article",
        "pre",
        "polygon",
        "circle",
        "blockquote",
        "footer",
        "svg",
        "g",
        "path",
        "rect",
        "line",
        "text",
        "defs",
        "clippath",
    ),
}


@pytest.fixture(scope="module", autouse=True)
def extra() -> None:
    """Skip what draws where the extra is not installed."""
    for needed in ("altair", "jinja2", "vl_convert"):
        pytest.importorskip(
            needed, reason=f"{needed} is of the extra `report`: pip install 'annealmix[report]'"
        )


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a mix that a filter with a classifier and a search for near-duplicates went
    over, and its store.
    """
    folder = tmp_path_factory.mktemp("html")
    write_filters(folder / "filters")
    write_files(folder / "data", "a", {EVIL_FILE: A})
    write_files(folder / "data", "b", sharded(B, 2))
    recipe = write_recipe(
        folder,
        SOURCES,
        filters=["toy"],
        near=NEAR,
        copies="approved",
        published={"sources": {"a": {"percent": 33.3}}},
    )
    for name, more in (("a", {"licence": EVIL, "non_commercial": True}), ("b", {})):
        file = folder / f"{name}.yaml"
        file.write_text(json.dumps({**json.loads(file.read_text()), **more}))
    make(recipe, folder, folder / "data", filters=folder / "filters")
    return folder


@pytest.fixture(scope="module")
def shown(work: Path) -> str:
    """The page with everything that it can show."""
    return page(work / "out", work / "store", TOKENIZER, 100)


@pytest.fixture(scope="module")
def bare(work: Path) -> str:
    """The page without store and tokenizer."""
    return page(work / "out", None, None, 3)


class Elements(HTMLParser):
    """What a page is made of. text: all that is shown; quotes: the texts of documents."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.comments: list[str] = []
        self.text = ""
        self.quotes: list[str] = []
        self._quoting = False
        self.feed(content)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._quoting = tag == "blockquote"
        self.quotes += [""] if self._quoting else []

    def handle_endtag(self, tag: str) -> None:
        self._quoting = False

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._quoting:
            self.quotes[-1] += data


def check_harmless(content: str) -> Elements:
    """Known elements alone, no handlers, no addresses but those of the page's own parts."""
    elements = Elements(content)
    assert {tag for tag, _ in elements.found} <= ELEMENTS
    assert not elements.comments
    for tag, attributes in elements.found:
        assert not [
            name
            for name in attributes
            if name.startswith("on")
            or name in ("style", "src", "srcset", "xlink:href", "formaction")
        ]
        address = attributes.get("href")
        assert (
            address is None
            or re.fullmatch("#[a-z]+", address)
            or (tag == "a" and re.fullmatch(r"https://[a-z.]+/datasets/[A-Za-z0-9./-]+", address))
            or (tag, address) == ("link", "data:,")
        ), (tag, address)
        for value in attributes.values():
            assert not re.search(r"url\((?!#[a-z0-9-]+\))", value or ""), (tag, value)
    identifiers = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(set(identifiers)) == len(identifiers)
    return elements


def test_hostile_texts_licences_and_file_names_stay_text(shown):
    elements = check_harmless(shown)
    assert elements.text.count(EVIL) >= 3  # the licence, and documents of the source
    assert EVIL_FILE in elements.text


def test_hostile_names_and_strings_of_a_forged_mix_stay_text(work, tmp_path):
    """Names of sources are drawn in charts, too. An audit would say what is wrong with such a mix;
    the page is made all the same.
    """
    shutil.copytree(work / "out", tmp_path / "mix")

    def change(mix: ForgedMix) -> None:
        manifest = mix.manifest
        manifest["name"] = f"{EVIL}\n\x1b[31m"
        manifest["published"]["sources"] = {EVIL: {"percent": EVIL}}
        manifest["filters"][0]["label"] = EVIL
        for source in manifest["sources"]:
            source["name"] = EVIL if source["name"] == "a" else source["name"]
            source["definition"] = EVIL
            source["refilled"] = {EVIL: 3}
        manifest["removed"][EVIL] = {**manifest["removed"].pop("a"), f"quality {EVIL}": 1}
        manifest["inputs"] = {EVIL: [{"path": EVIL, "size": 0, "sha256": "0" * 64}]}
        manifest["excluded"] = [
            {"recipe": EVIL, "source": EVIL, "definition": EVIL, "keys": ["0", "1"]}
        ]
        benchmark = {
            "name": EVIL,
            "identity": "0" * 64,
            "items": 71,
            "not_indexed": 13,
            "missed": {"short": [EVIL]},
            "whole": 0,
            "documents": 3,
            "ngrams": 5,
            "hits": [
                {"item": f"{EVIL}{number}", "documents": number, "found": 1, "total": 2}
                for number in range(1, 6)
            ],
        }
        manifest["contamination"] = {"action": "report", "sets": [benchmark], "documents": {}}
        manifest["recipe"]["budget"], manifest["size"] = (
            {
                "steps": 3,
                "batch": 9,
                "trainer": "neox",
                "sequence": 64,
            },
            {},
        )
        for document in mix.documents:
            document.source = EVIL if document.source == "a" else document.source

    forge(tmp_path / "mix", change)
    (tmp_path / "mix" / "build.json").write_text(
        json.dumps({"finished": EVIL, "packages": {"annealmix": EVIL}})
    )
    elements = check_harmless(page(tmp_path / "mix", None, TOKENIZER, 1))
    assert elements.text.count(EVIL) >= 10
    assert "\x1b" not in elements.text
    assert (
        f"{EVIL}: 5 of 71 items were found; 3 documents hold one, most often {EVIL}5 (5),"
        f" {EVIL}4 (4), {EVIL}3 (3);"
    ) in elements.text
    assert all(
        trainer in elements.text
        for trainer in (
            "gpt-neox",
            "megatron-core",
            "olmo-core",
            "batches of 9 sequences of 64 tokens",
        )
    )


def test_data_sets_of_the_hub_are_linked_and_other_names_are_not(work, tmp_path):
    shutil.copytree(work / "out", tmp_path / "mix")

    def change(mix: ForgedMix) -> None:
        repos = ("owner/name", "owner/name?x=//evil", "javascript:alert(1)", "../../x")
        named: list[Any] = []
        for repo in repos:
            item = json.loads(json.dumps(mix.manifest["recipe"]["sources"][0]))
            item["definition"] |= {"repo": repo, "revision": "0a" * 20, "name": f"n{len(named)}"}
            named.append(item)
        mix.manifest["recipe"]["insert"] = named

    forge(tmp_path / "mix", change)
    elements = check_harmless(page(tmp_path / "mix", None, TOKENIZER, 1))
    links = [attributes["href"] or "" for tag, attributes in elements.found if tag == "a"]
    (link,) = [link for link in links if "0a0a" in link]
    assert link.endswith(f"/datasets/owner/name/tree/{'0a' * 20}")
    assert not [link for link in links if "evil" in link or "alert" in link or ".." in link]


def test_the_policy_of_the_page_allows_its_own_style_and_nothing_else(shown):
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', shown)
    (style,) = re.findall(r"<style>(.*?)</style>", shown, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    rules = (
        "default-src 'none'; style-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action"
        " 'none'"
    )
    assert policy.replace("&#39;", "'") == rules.format(digest)
    assert shown.index("Content-Security-Policy") < shown.index("<title>")


def test_the_same_mix_gives_the_same_page_in_another_process(work, shown, tmp_path):
    surroundings = {**os.environ, "PYTHONHASHSEED": "77", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    command = [
        sys.executable,
        "-m",
        "annealmix",
        "export",
        work / "out",
        "--html",
        tmp_path / "page.html",
    ]
    command += ["--store", work / "store", "--tokenizer", TOKENIZER, "--samples", 100]
    subprocess.run(
        list(map(str, command)), cwd=CHECKOUT, env=surroundings, check=True, capture_output=True
    )
    assert (tmp_path / "page.html").read_bytes() == shown.encode()


def test_sampled_documents_are_those_with_the_lowest_order_keys_and_shown_with_the_tokenizer_alone(
    work, shown, bare
):
    documents = read_mix(work / "out", TOKENIZER)
    text, silent = Elements(shown).text, Elements(bare).text
    for source in ("a", "b"):
        mine = [
            document for document in documents if document.source == source and not document.copy
        ]
        assert all(
            nfc(document.text)[:600] in text and document.digest[:8] in text
            for document in mine[:100]
        )
        assert all(document.digest[:8] in silent for document in mine[:3])
        first = [
            order_key(bytes.fromhex(document.digest)) for document in mine if document.epoch == 0
        ]
        assert first == sorted(first)
    assert not [
        document for document in documents if document.source == "b" and document.text in silent
    ]
    assert "without the tokenizer" in silent


def texts_that_are_not_in_the_mix(work: Path) -> Iterator[str]:
    there = {document.digest for document in read_mix(work / "out", TOKENIZER)}
    for text in [*A, *B]:
        if hashlib.blake2b(text.encode(), digest_size=16).hexdigest() not in there:
            yield text


def test_removed_documents_are_listed_without_their_texts(work, shown):
    text, quotes = Elements(shown).text, Elements(shown).quotes
    gone, there = (
        list(texts_that_are_not_in_the_mix(work)),
        [nfc(document.text) for document in read_mix(work / "out", TOKENIZER)],
    )
    assert len(gone) > 10
    assert len(quotes) > 10
    assert set(quotes) <= {one if len(one) <= 600 else f"{one[:600]}…" for one in there}
    digests = {hashlib.blake2b(one.encode(), digest_size=16).hexdigest() for one in gone}
    for reason in ("filter toy", "near-duplicate of b"):
        listed = re.findall(rf"([0-9a-f]{{8}}){reason}", text)
        assert listed
        assert set(listed) <= {digest[:8] for digest in digests}
    assert not [digest for digest in digests if digest[:9] in text]


def test_scores_are_those_that_decided(work, shown):
    (item,) = manifests.load(work / "out")["filters"]
    counts = [
        int(number.replace(",", ""))
        for number in re.findall(r"(?:in the mix|removed): ([0-9,]+)", Elements(shown).text)
    ]
    assert sum(counts) == item["scores"]["documents"]
    assert counts[1] == sum(removed["documents"] for removed in item["removed"].values())


def test_the_waterfall_ends_at_the_documents_of_the_mix(work):
    claims = read_claims(work / "out")
    steps = bars.waterfall(claims)
    rows = sum(reasons["rows"] for reasons in claims.removed.values())
    kept = sum(reasons["kept"] for reasons in claims.removed.values())
    assert (steps[0].label, steps[-1].label) == (f"{rows:,}", f"{kept:,}")
    taken = [int(step.label[1:].replace(",", "")) for step in steps[1:-1]]
    assert rows - sum(taken) == kept
    assert {step.name for step in steps} >= {
        FATES[fate] for fate in ("near", "filter", "quota", "kept")
    }
    drawn = {bar.name: sum(part.width for part in bar.parts) for bar in bars.fates(claims)}
    assert drawn == {name: pytest.approx(100, abs=0.01) for name in SOURCES}
    total = figures.fate_table(claims).rows[-1]
    assert int(total[1].replace(",", "")) == sum(int(cell.replace(",", "")) for cell in total[2:])


def test_every_chart_draws_its_rows(shown):
    """A chart whose data got lost is a frame with axes, and nothing else would notice."""
    pictures = dict(re.findall(r'<svg[^>]*aria-label="([^"]*)"[^>]*>(.*?)</svg>', shown, re.DOTALL))
    painted = {
        title: (
            set(re.findall(r'(?:fill|stroke)="var\(--([a-z0-9]+)\)"', picture))
            - {"soft", "line", "ink", "paper", "warn"}
        )
        for title, picture in pictures.items()
    }
    strands, sources, steps = 4, 2, 5
    of_the_mix = 6  # all of it, its prefixes, scores, removed by length, clusters of two sizes
    assert len(painted) == 3 * strands + sources + steps + of_the_mix
    assert all(painted.values()), painted
    assert painted["Scores that toy gave, and its threshold"] == {"kept", "filter"}
    stepwise = "Rows of all sources, step by step: "
    assert set().union(
        *(colours for title, colours in painted.items() if title.startswith(stepwise))
    ) == {"read", "near", "filter", "quota", "kept"}


def test_the_sources_with_the_most_tokens_have_pictures_and_the_tables_have_all(
    work, tmp_path, monkeypatch
):
    monkeypatch.setattr(figures, "MAX_PICTURES", 1)
    claims = read_claims(work / "out")
    most = max(claims.sources, key=lambda source: source.realised_tokens)
    assert [claims.sources[number] for number in figures.pictured(claims)] == [most]
    text = page(work / "out", None, None, 0)
    assert f"Drawn are the 1 of {len(claims.sources)} sources" in text
    for source in claims.sources:
        assert source.name in text


def test_what_is_published_and_what_is_forbidden_is_said(shown):
    text = Elements(shown).text
    assert "33.3%" in text
    assert "Not for commercial use as a whole" in text
    assert "a (copies)" in text or "b (copies)" in text


def test_without_the_store_the_page_says_what_it_lacks(bare):
    text = Elements(bare).text
    assert "The scores lie in the store" in text
    assert "listed only if the page is made with the store" in text


def test_nonsense_is_refused_and_nothing_is_written(work, tmp_path, monkeypatch):
    out = work / "out"
    assert "inside the mix" in fails(2, "export", out, "--html", out / "page.html")
    assert not (out / "page.html").exists()
    (tmp_path / "mine.html").write_text("mine")
    assert "exists" in fails(2, "export", out, "--html", tmp_path / "mine.html")
    assert (tmp_path / "mine.html").read_text() == "mine"
    assert "no store" in fails(2, "export", out, "--html", tmp_path / "b.html", "--store", tmp_path)
    fails(2, "export", out, "--html", tmp_path / "b.html", "--samples", "101")
    fails(6, "export", work, "--html", tmp_path / "b.html")
    nowhere = tmp_path / "nowhere" / "b.html"
    assert "no folder" in fails(2, "export", out, "--html", nowhere)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert "pip install 'annealmix[report]'" in fails(
        2, "export", out, "--html", tmp_path / "b.html"
    )
    assert not (tmp_path / "b.html").exists()


def test_a_source_of_which_nothing_is_left_has_no_quota_of_0_and_binds_nobody(tmp_path):
    """Nor have copies that nothing was copied into. The page, the card and the tables say the
    same.
    """
    write_filters(tmp_path / "filters")
    for name, texts in {
        "a": prose(1, 30),
        "b": [f"{' and '.join(TERMS)} {number}" for number in range(5)],
    }.items():
        write_files(tmp_path / "data", name, {"part": texts})
    more: dict[str, Any] = {"filters": ["list", "toy"], "removed": "shrink", "copies": "approved"}
    recipe = write_recipe(tmp_path, {"a": {"tokens": 300}, "b": {"all": "true"}}, **more)
    file = tmp_path / "b.yaml"
    file.write_text(json.dumps({**json.loads(file.read_text()), "non_commercial": True}))
    manifest = make(recipe, tmp_path, tmp_path / "data", filters=tmp_path / "filters")
    assert [item["realised_tokens"] for item in manifest["sources"] if item["name"] == "b"] == [
        0,
        0,
    ]
    shown = Elements(page(tmp_path / "out", None, None, 1)).text
    assert "b has no document within its quota that is not removed and is not in the mix." in shown
    assert "quota of 0" not in shown
    assert "Not for commercial use" not in shown
    assert "No commercial use" not in dataset_card(typed(manifest, "m"), "m")
    assert "sources.b: every document within its quota is removed; it is not in the mix" in notes(
        typed(manifest, "m").sources
    )


def test_a_mix_of_one_document_has_a_page(tmp_path):
    write_files(tmp_path / "data", "a", {"part": prose(5, 1)})
    make(write_recipe(tmp_path, {"a": {"tokens": 1}}), tmp_path, tmp_path / "data")
    check_harmless(page(tmp_path / "out", tmp_path / "store", TOKENIZER, 2))


def svg(inside: str) -> str:
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        f' viewBox="0 0 9 9">{inside}</svg>'
    )


@pytest.mark.parametrize(
    "inside",
    [
        "<script>alert(1)</script>",
        "<foreignObject><p>x</p></foreignObject>",
        '<image href="http://127.0.0.1/x"/>',
        '<use xlink:href="#x"/>',
        (
            '<g onclick="alert(1)" style="fill:red" xlink:href="http://127.0.0.1/" class="x"'
            ' clip-path="url(http://127.0.0.1/)"/>'
        ),
    ],
)
def test_a_picture_keeps_nothing_that_could_act(inside):
    cleaned = inline(svg(inside), "x", "a title")
    check_harmless(cleaned)
    assert not re.search("script|href|onclick|style|http|url|foreignObject", cleaned)


@pytest.mark.parametrize(
    "inside",
    [
        '<g fill="url(http://127.0.0.1/)"/>',
        '<g fill="#123456"/>',
        '<g stroke-width="1;x"/>',
        '<g d="M0,0&quot;"/>',
    ],
)
def test_a_picture_with_other_values_than_numbers_and_colours_of_the_theme_is_refused(inside):
    with pytest.raises(ValueError, match="a chart has"):
        inline(svg(inside), "x", "a title")


def test_clip_paths_of_two_pictures_have_different_names():
    inside = '<g clip-path="url(#clip7)"/><defs><clipPath id="clip7"/></defs>'
    assert re.findall("x-[0-9]", inline(svg(inside), "x", "")) == ["x-0", "x-0"]
    assert inline(svg(inside), "x", "") == inline(svg(inside.replace("clip7", "clip9")), "x", "")
