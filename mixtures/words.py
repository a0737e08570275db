"""Words that messages and reports share."""

from __future__ import annotations


def plural(count: int, noun: str) -> str:
    """`1 document`, `2,101 documents`, `2 copies`."""
    plurals = f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2:] != "ey" else f"{noun}s"
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {plurals}"


def first_line(error: BaseException, silent: str = "no reason given") -> str:
    """The first line of what an error says; `silent` where it says nothing."""
    return (str(error).strip().splitlines() or [silent])[0]


def strand_label(source: str, copy: int) -> str:
    """Names a strand: a source, or the copies of some of its documents."""
    return f"{source} (copies)" if copy else source


def percent_text(part: int, whole: int, decimals: int) -> str:
    """part / whole in percent by integers alone, half a last digit rounded away from zero: exact
    text at any scale.
    """
    if whole <= 0:
        return "-"
    scaled = (2 * 100 * 10**decimals * abs(part) + whole) // (2 * whole)
    sign = "-" if part < 0 and scaled else ""
    return f"{sign}{scaled // 10**decimals}.{scaled % 10**decimals:0{decimals}d}"


def share_text(part: int, whole: int | None, decimals: int = 2) -> str:
    """The same with `%`; `-` where there is no whole, or it is not known."""
    return f"{percent_text(part, whole, decimals)}%" if whole else "-"
