"""The house keeps what was won: its figures, and that they are counted rightly."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house.measure import House, circles, floors

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def figures() -> dict[str, str]:
    return House(CHECKOUT).figures()


def test_floors_are_the_longest_way_down():
    graph = {"cli": {"build", "words"}, "build": {"store"}, "store": {"words"}, "words": set()}
    assert floors(graph) == 4
    assert circles(graph) == []


def test_a_circle_stands_on_one_floor_and_is_named():
    graph = {"cli": {"a"}, "a": {"b"}, "b": {"c"}, "c": {"a", "words"}, "words": set()}
    assert floors(graph) == 3
    assert [sorted(names) for names in circles(graph)] == [["a", "b", "c"]]


def test_a_tree_is_counted_by_its_syntax(tmp_path):
    (tmp_path / "mixtures" / "mix").mkdir(parents=True)
    (tmp_path / "mixtures" / "mix" / "__init__.py").write_text('"""A room."""\n')
    (tmp_path / "mixtures" / "mix" / "files.py").write_text(
        '"""Files."""\n\nimport numpy as np\nimport numpy.typing as npt\n\n\n'
        "def rows(plan: dict[str, int], keys: npt.NDArray[np.uint64], a, b, c, d, e, f) -> int:\n"
        '    """Rows. keys: uint64 [num_docs]."""\n'
        '    # a comment\n    return plan["first"] + len(keys)  # noqa: X\n'
    )
    (tmp_path / "mixtures" / "words.py").write_text(
        "def plural() -> int:\n    from mixtures.mix.files import rows\n\n    return rows\n"
    )
    figures = House(tmp_path).figures()
    assert figures["floors of rooms"] == "2"
    assert figures["statements"] == "7"
    assert figures["functions with more than 6 of them"] == "1"
    assert figures["string subscripts of plans, units, records"] == "1"
    assert figures["array functions with shapes"] == "1 of 1, 100%"
    assert figures["comments in 100 lines"] == f"{100 / 17:.1f}"
    assert figures["most entries in a folder"] == "2 (mixtures)"


@pytest.mark.parametrize(
    ("figure", "most"),
    [
        ("most entries in a folder", 13),
        ("floors of rooms", 12),
        ("circles of files", 0),
        ("circles of rooms", 0),
        ("functions with more than 6 of them", 0),
        ("lines over 100 columns", 0),
        ("dict[str, Any]", 40),
    ],
)
def test_the_house_keeps_what_was_won(figures, figure, most):
    counted = figures[figure]
    assert int(counted.split()[0].replace(",", "")) <= most, f"{figure}: {counted}, at most {most}"


def test_functions_on_arrays_say_their_shapes(figures):
    assert int(figures["array functions with shapes"].split()[-1].rstrip("%")) >= 95
