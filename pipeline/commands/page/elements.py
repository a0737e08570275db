"""Tables and bars of a page, and the template that makes a page of them.

Bars and bands are drawn by the template itself: their lengths are percents of the window, so they
fit a phone as they fit a screen, and no name is cut.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixtures.errors import RecipeError
from pipeline import report
from pipeline.report import printable

if TYPE_CHECKING:
    from jinja2 import Environment

MAX_PICTURES = 8
"""Sources that have pictures of their own on a page, those with the most tokens: of hundreds nobody
would look at all, and the tables have them.
"""
HUES = 10  # colours for strands in the style sheet
LEAST = 0.35
"""Percent of the width that a bar has at least, so that 0.02% is seen; its figure stands beside."""
Row = Mapping[str, Any]
"""A row of a chart: values by the fields that the chart draws."""
_FOLDER = Path(__file__).parent
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Table:
    """A table. texts: how many columns at the left hold text; total: whether the last row is a
    sum.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int = 1
    total: bool = False

    @classmethod
    def of(cls, shown: report.Table, *, texts: int = 1, total: bool = False) -> Table:
        """A table as the terminal shows it."""
        return cls(shown.names, shown.cells, texts, total)


@dataclass(frozen=True)
class Part:
    """A stretch of a bar, in percent of the chart's width. colour: a variable of the style
    sheet.
    """

    begin: float
    width: float
    colour: str


@dataclass(frozen=True)
class Bar:
    """A row of a chart. label: its figure. asked, published: marks on it, in percent of the chart's
    width; None: it has none.
    """

    name: str
    label: str
    parts: Sequence[Part]
    asked: float | None = None
    published: float | None = None


def visible_part(begin: float, width: float, colour: str) -> Part:
    """A part that is seen however short it is."""
    wide = max(width, LEAST) if width else 0.0
    return Part(round(min(begin, 100 - wide), 3), round(wide, 3), colour)


def hue(number: int) -> str:
    """Name of the colour of a strand."""
    return f"hue{number % HUES}"


def percent(part: int, whole: int) -> float:
    """For a chart, where a rounded figure suffices."""
    return round(100 * part / whole, 5) if whole else 0.0


def visible(text: str) -> str:
    """A text with U+FFFD for control characters, which a page cannot hold; lines and tabs stay."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def require_packages() -> None:
    """Refuse to begin what ends in a page that cannot be drawn.

    Raises:
        RecipeError: a package of the extra `report` is missing.
    """
    try:
        for name in ("altair", "vl_convert", "jinja2"):
            import_module(name)
    except ImportError as error:
        raise RecipeError(
            f"the page needs altair, vl-convert and jinja2 ({error}): pip install"
            " 'annealmix[report]'"
        ) from None


def templates(*folders: Path, autoescape: bool) -> Environment:
    """The templates of some folders. autoescape: whether they are HTML."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(template: Path, values: Mapping[str, Any]) -> str:
    """A page.

    Args:
        template: may import the macros of `elements.html.j2`. values: by their names in it.
    """
    environment = templates(template.parent, _FOLDER, autoescape=True)
    environment.filters |= {"printable": printable, "visible": visible}
    style = (_FOLDER / "page.css").read_text(encoding="utf-8")
    style_hash = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    page: str = environment.get_template(template.name).render(
        **values, style=style, style_hash=style_hash
    )
    return page
