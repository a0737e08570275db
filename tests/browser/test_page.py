"""The pages of the real annealing mix and of two of them in Chromium: nothing to complain about,
nothing asked of the network, and they fit a phone.
"""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import recipes
from tests.browser.chromium import Browser, browser, find
from tests.pipeline.arms.studies import ARMS, make_study, write_study
from tests.pipeline.command_line import passes

pytestmark = pytest.mark.browser
CUT_TEXTS = """
[...document.querySelectorAll(
    'h1, h2, h3, p, li, dt, dd, th, td, summary, figcaption, .bar span, svg text')]
  .filter(element => element.textContent.trim() && element.getClientRects().length)
  .filter(element => {
    const box = element.getBoundingClientRect();
    const frame = element.closest('svg') || element.closest('.scroll') || document.documentElement;
    const scrolls = frame.matches('.scroll');
    const outer = scrolls ? null : frame.getBoundingClientRect();
    return element.scrollWidth > element.clientWidth + 1
        && getComputedStyle(element).display !== 'inline' && !(element instanceof SVGElement)
      || outer && (box.left < outer.left - 1 || box.right > outer.right + 1);
  })
  .map(element => element.textContent.trim().slice(0, 60))
"""
"""Texts that are wider than their own box, or stand outside of the chart or the window."""
CONTRASTS = """
(() => {
  const light = colour => {
    const [r, g, b] = colour.match(/[0-9.]+/g).map(Number).map(c => c / 255)
      .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (!/, 0\\)$/.test(colour) && colour !== 'transparent') return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const found = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || element.closest('style')) continue;
    const style = getComputedStyle(element);
    const ink = element instanceof SVGElement ? style.fill : style.color;
    const [low, high] = [light(ink), light(behind(element))].sort((a, b) => a - b);
    found.add((high + 0.05) / (low + 0.05));
  }
  return [...found];
})()
"""
"""Contrasts of all texts to what is behind them, each once."""
FILTERED = "filters: [control-lists]\nnear: words\n"
WITHOUT = "filters: [{name: biology, terms: biology.txt, threshold: 1}]\n"
PAGES = ["mix", "pair", "arm"]


@pytest.fixture(scope="module")
def made(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages from the real data: of a preview of the annealing recipe, with a filter and a search
    for near-duplicates, and of two such previews, one of them without documents on biology.
    """
    folder = tmp_path_factory.mktemp("page")
    tokenizer = shared / "tokenizers" / "gpt-neox-20b.json"
    (folder / "biology.txt").write_text("protein\nvirus\nbacteria\n", encoding="utf-8")
    recipe = (Path(recipes.__file__).parent / "annealing-50b.yaml").read_text(encoding="utf-8")
    for name, more in (("mix", FILTERED), ("without", WITHOUT)):
        (folder / f"{name}.yaml").write_text(recipe + more, encoding="utf-8")
        source = ("--data", shared / "data", "--tokenizer", tokenizer, "--tokens", "1_000_000")
        place = ("--out", folder / name, "--store", folder / "store")
        passes("build", folder / f"{name}.yaml", *source, *place)
    pages = {name: folder / f"{name}.html" for name in PAGES}
    store = ("--store", folder / "store")
    mix = ("export", folder / "mix", "--html", pages["mix"], "--tokenizer", tokenizer)
    passes(*mix, *store)
    passes("diff", folder / "mix", folder / "without", "--html", pages["pair"], *store)
    (folder / "study").mkdir()
    study = write_study(folder / "study", arms={"weak": {**ARMS["weak"], "fill": "approved"}})
    make_study(study)
    arm = ("export", folder / "study" / "out" / "weak", "--html", pages["arm"])
    passes(*arm, "--store", folder / "study" / "store")
    return pages


@pytest.fixture(scope="module")
def page(made: dict[str, Path]) -> Path:
    return made["mix"]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find()
    if program is None:
        pytest.skip("needs chromium (Debian: apt-get install chromium)")
    with browser(program, tmp_path_factory.mktemp("profile")) as running:
        yield running


class _Asked(http.server.SimpleHTTPRequestHandler):
    """Serves the page, and notes every path that is asked for."""

    server: Loopback

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


class Loopback(http.server.ThreadingHTTPServer):
    """A server on this machine alone."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), lambda *given: _Asked(*given, directory=str(folder)))
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture(scope="module")
def server(page: Path) -> Iterator[Loopback]:
    served = Loopback(page.parent)
    thread = threading.Thread(
        target=served.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    )
    thread.start()
    yield served
    served.shutdown()
    served.server_close()
    thread.join()


def test_the_pages_are_below_half_a_megabyte(made):
    assert 100_000 < made["mix"].stat().st_size < 500_000
    assert 20_000 < made["pair"].stat().st_size < 200_000


def test_the_page_of_two_mixes_complains_of_nothing_and_asks_for_nothing(made, chromium):
    chromium.dress("light", 1280)
    visit = chromium.visit(made["pair"].as_uri())
    assert (visit.complaints, visit.requests) == ([], [made["pair"].as_uri()])
    assert chromium.value("document.querySelectorAll('main section').length") == 5
    assert chromium.value("document.querySelectorAll('.panels svg').length") >= 5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_of_a_file_complains_of_nothing_and_asks_for_nothing(page, chromium, scheme):
    chromium.dress(scheme, 1280)
    visit = chromium.visit(page.as_uri())
    assert visit.complaints == []
    assert visit.requests == [page.as_uri()]
    assert chromium.value("document.querySelectorAll('main section').length") == 10
    assert chromium.value("document.querySelectorAll('svg').length") >= 20


def test_the_page_of_a_server_makes_one_request(server, chromium):
    visit = chromium.visit(f"{server.address}/mix.html")
    assert visit.complaints == []
    assert visit.requests == [f"{server.address}/mix.html"]
    assert server.asked == ["/mix.html"]


def test_light_and_dark_are_two_looks_and_the_style_is_let_in(page, chromium):
    looks = []
    for scheme in ("light", "dark"):
        chromium.dress(scheme, 1280)
        chromium.visit(page.as_uri())
        bar = "getComputedStyle(document.querySelector('svg rect[fill^=var]')).fill"
        looks.append(
            (chromium.value("getComputedStyle(document.body).backgroundColor"), chromium.value(bar))
        )
    assert looks[0] == ("rgb(252, 252, 250)", looks[0][1])
    assert looks[0][0] != looks[1][0]
    assert looks[0][1] != looks[1][1]


@pytest.mark.parametrize("shown", PAGES)
@pytest.mark.parametrize("width", [360, 400, 768, 1280])
def test_nothing_but_tables_in_their_frames_is_wider_than_the_window(made, shown, chromium, width):
    chromium.dress("light", width)
    chromium.visit(made[shown].as_uri())
    assert chromium.value("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("shown", PAGES)
@pytest.mark.parametrize("width", [400, 1280])
def test_no_text_is_cut(made, shown, chromium, width):
    """Everything with text ends within its frame: a table's cell, a bar's name, a chart."""
    chromium.dress("light", width)
    chromium.visit(made[shown].as_uri())
    assert chromium.value(CUT_TEXTS) == []


@pytest.mark.parametrize("shown", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(made, shown, chromium, scheme):
    """The contrast that WCAG 2.2 asks of text (1.4.3)."""
    chromium.dress(scheme, 1280)
    chromium.visit(made[shown].as_uri())
    contrasts = chromium.value(CONTRASTS)
    assert len(contrasts) > 2
    assert min(contrasts) >= 4.5


def test_the_browser_would_see_a_request_and_a_complaint(server, chromium, page):
    """Without this the tests above could pass on anything."""
    bad = (
        "<!DOCTYPE html><script>console.error('no')</script><img"
        f" src='{server.address}/x.png'><script>throw Error('x')</script>"
    )
    (page.parent / "bad.html").write_text(bad)
    visit = chromium.visit((page.parent / "bad.html").as_uri())
    assert f"{server.address}/x.png" in visit.requests
    assert len(visit.complaints) >= 2  # of the console, and of the script that failed
    policy = "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'\">"
    (page.parent / "held.html").write_text(bad.replace("<script>", f"{policy}<script>", 1))
    asked = len(server.asked)
    assert chromium.visit((page.parent / "held.html").as_uri()).complaints
    assert len(server.asked) == asked
