"""The pictures of docs/: the page of the sample mix in Chromium, as `annealmix export --html` makes
it, at the width of a screen and of a phone; and that of two mixes, as `annealmix diff --html` makes
it, of the sample and of the same without documents that name copper.

`make picture` runs this, with a Chromium on the machine (Debian: apt-get install chromium). Fonts
are the machine's, so the bytes are not the same everywhere; what is shown is.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import recipes
from tests.browser.chromium import browser, find
from tests.pipeline.command_line import passes

DOCS = Path(__file__).parents[2] / "docs"
PICTURES = (
    # name, page, width and height in pixels: the heading and the shares of the sources
    ("mix-page.png", "mix", 1100, 1060),
    ("mix-page-phone.png", "mix", 400, 1000),
    ("diff-page.png", "pair", 1100, 1060),
)
MAX_BYTES = 300_000
WITHOUT = "filters: [{name: copper, terms: copper.txt, threshold: 1}]\n"


def main() -> None:
    """Build the mixes, write their pages, and photograph the top of them."""
    program = find()
    if program is None:
        raise SystemExit(
            "no chromium on this machine; install it (Debian: apt-get install chromium)"
        )
    with tempfile.TemporaryDirectory() as name:
        pages = _pages(Path(name))
        with browser(program, Path(name) / "profile") as running:
            for picture, page, width, height in PICTURES:
                running.dress("light", width, height)
                running.visit(pages[page].as_uri())
                content = running.picture(height)
                if len(content) > MAX_BYTES:
                    raise SystemExit(
                        f"{picture} has {len(content):,} bytes, more than {MAX_BYTES:,}"
                    )
                (DOCS / picture).write_bytes(content)
                print(f"docs/{picture}: {len(content):,} bytes")


def _pages(folder: Path) -> dict[str, Path]:
    store = ("--store", folder / "store")
    shipped = Path(recipes.__file__).parent
    without = folder / "without-copper.yaml"
    recipe = (shipped / "sample.yaml").read_text(encoding="utf-8")
    recipe = recipe.replace("name: sample", "name: sample-without-copper", 1)
    without.write_text(recipe + WITHOUT, encoding="utf-8")
    (folder / "copper.txt").write_text("copper\n", encoding="utf-8")
    passes("build", "sample", "--out", folder / "sample", *store)
    data = ("--data", shipped / "sample" / "data")
    passes("build", without, "--out", folder / "without", *store, *data)
    pages = {name: folder / f"{name}.html" for name in ("mix", "pair")}
    passes("export", folder / "sample", "--html", pages["mix"], *store)
    passes("diff", folder / "sample", folder / "without", "--html", pages["pair"], *store)
    return pages


if __name__ == "__main__":
    main()
