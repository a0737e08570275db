"""A chart as it may stand inside a page: known elements and attributes only, identifiers of its
own, short numbers.

Names of sources are text in a chart. Vega escapes them; that nothing else ever comes through is
held here, by taking the picture apart and writing down again what is on a list. No scripts, links,
styles, or references to anything but the chart's own clip paths.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

_NAMESPACE = "{http://www.w3.org/2000/svg}"
_ELEMENTS = {"svg", "g", "path", "rect", "line", "text", "tspan", "circle", "defs", "clipPath"}
_ALLOWED = (
    (  # geometry
        re.compile("d|transform|[xy][12]?|[cd][xy]|r|width|height|viewBox"),
        re.compile(r"[A-Za-z0-9 .,()+-]*"),
    ),
    (  # paint
        re.compile("fill|stroke"),
        re.compile(r"none|transparent|currentColor|var\(--[a-z0-9-]+\)"),
    ),
    (  # looks
        re.compile(
            "((fill|stroke)-)?opacity|stroke-(width|dasharray|linecap|miterlimit)|text-anchor"
            "|font-(size|weight)|display"
        ),
        re.compile(r"[A-Za-z0-9 .,%-]*"),
    ),
)
"""Names of attributes, and what each may be."""
_NUMBER = re.compile(r"-?\d+\.\d{3,}")


def inline(picture: str, name: str, title: str) -> str:
    """An SVG file as an element of a page.

    Args:
        name: of the chart, distinct on its page, letters and digits. title: what it shows, for
            those who do not see it.

    Raises:
        ValueError: it holds a colour that is not of the page's theme, or other text where a number
            belongs.
    """
    root = ElementTree.fromstring(picture)
    clips = {
        clip.get("id"): f"{name}-{number}"
        for number, clip in enumerate(root.iter(f"{_NAMESPACE}clipPath"))
    }
    for element in list(root.iter()):
        for child in list(element):
            if _hidden(child):
                element.remove(child)
    for element in root.iter():
        _clean(element, clips)
    root.attrib |= {"role": "img", "aria-label": title}
    return ElementTree.tostring(root, encoding="unicode")


def _hidden(element: ElementTree.Element) -> bool:
    """Whether it shows nothing: unknown, or one of the empty frames that vega draws around
    groups.
    """
    known = element.tag.removeprefix(_NAMESPACE) in _ELEMENTS
    empty = element.tag == f"{_NAMESPACE}path" and (
        not element.get("d") or not (element.get("fill") or element.get("stroke"))
    )
    return not known or (empty and element.get("class") in ("background", "foreground"))


def _clean(element: ElementTree.Element, clips: dict[str | None, str]) -> None:
    kept = {}
    for name, value in element.attrib.items():
        if allowed := next((what for names, what in _ALLOWED if names.fullmatch(name)), None):
            if not allowed.fullmatch(value):
                raise ValueError(f"a chart has {name}={value[:60]!r}")
            kept[name] = _NUMBER.sub(_rounded, value)
        elif (
            name == "clip-path"
            and (clip := re.fullmatch(r"url\(#([A-Za-z0-9_-]+)\)", value))
            and clip[1] in clips
        ):
            kept[name] = f"url(#{clips[clip[1]]})"
        elif name == "id" and value in clips:
            kept[name] = clips[value]
    element.tag = element.tag.removeprefix(_NAMESPACE)
    element.attrib.clear()
    element.attrib |= kept


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
