"""README's picture, `docs/mix-page.png`: the page of the sample mix in Chromium, as
`annealmix export --html` writes it.

`make picture` runs this, with a Chromium on the machine (Debian: apt-get install chromium). Fonts
are the machine's, so the bytes are not the same everywhere; what is shown is.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.browser.chromium import browser, find
from tests.pipeline.command_line import passes

PICTURE = Path(__file__).parents[2] / "docs" / "mix-page.png"
WIDTH, HEIGHT = 1100, 1060  # pixels: the heading and the shares of the sources
MAX_BYTES = 300_000


def main() -> None:
    """Build the sample, export its page, and photograph the top of it."""
    program = find()
    if program is None:
        raise SystemExit(
            "no chromium on this machine; install it (Debian: apt-get install chromium)"
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mix, store, page = folder / "sample", folder / "store", folder / "page.html"
        passes("build", "sample", "--out", mix, "--store", store)
        passes("export", mix, "--html", page, "--store", store)
        with browser(program, folder / "profile") as running:
            running.dress("light", WIDTH, HEIGHT)
            running.visit(page.as_uri())
            picture = running.picture(HEIGHT)
    if len(picture) > MAX_BYTES:
        raise SystemExit(f"the picture has {len(picture):,} bytes, more than {MAX_BYTES:,}")
    PICTURE.write_bytes(picture)
    print(f"{PICTURE.relative_to(Path.cwd())}: {len(picture):,} bytes")


if __name__ == "__main__":
    main()
