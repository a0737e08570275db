"""Strict YAML: what is read is what is written, and everything that could be read in two ways is
refused with its line.
"""

from __future__ import annotations

import re
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from mixtures.errors import RecipeError
from mixtures.yaml.events import YamlTree
from mixtures.yaml.fields import Checked, Exact, Integer, Location, Model, Name, Positive, Text
from mixtures.yaml.tree import load_yaml, parse_yaml, validate

words = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=12)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def quoted(text: str) -> str:
    """Write a string in YAML's double quotes, every special character escaped."""
    escaped = "".join(
        c if c.isascii() and c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}"
        for c in text
    )
    return f'"{escaped}"'


def flow(value: Any) -> str:
    """Write nested dicts, lists and strings in flow style."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    return quoted(value)


nested = st.recursive(
    texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(texts, nested, max_size=5))
def test_every_tree_of_text_is_read_back_as_it_was_written(value):
    assert parse_yaml(flow(value), "x.yaml").value == value


@given(st.lists(words, min_size=1, max_size=20, unique=True), st.data())
def test_lines_point_at_the_line_of_each_key(keys, data):
    gaps = [data.draw(st.integers(0, 3)) for _ in keys]
    text, line = "", 1
    expected: dict[Location, int] = {}
    for key, gap in zip(keys, gaps, strict=True):
        text += "# a comment\n" * gap + f"{key}: 1\n"
        line += gap
        expected[(key,)] = line
        line += 1
    expected[()] = gaps[0] + 1
    assert parse_yaml(text, "x.yaml").lines == expected


def read(text: str) -> YamlTree | str:
    """Parse, or say what the error says."""
    try:
        return parse_yaml(text, "x.yaml")
    except RecipeError as error:
        return str(error)


@given(st.text(max_size=60) | st.text("{}[]:,-&*!|>'\"%@`#? \nab<", max_size=40))
def test_any_text_gives_a_mapping_or_a_recipe_error_with_file_and_line(text):
    outcome = read(text)
    if isinstance(outcome, YamlTree):
        assert isinstance(outcome.value, dict)
        assert outcome.faults == ()
    else:
        assert all(re.match(r"x\.yaml:[1-9][0-9]*: .", line) for line in outcome.split("\n"))


@pytest.mark.parametrize(
    "scalar",
    [
        "1.10",
        "017",
        "0x1F",
        "12:30:45",
        "no",
        "yes",
        "on",
        "true",
        "null",
        "~",
        "1e3",
        ".inf",
        "2026-01-01",
        "50_000",
        "+1",
        "=",
        "0o7",
    ],
)
def test_a_scalar_is_read_as_written(scalar):
    assert parse_yaml(f"a: {scalar}\nb: [{scalar}]\n", "x.yaml").value == {
        "a": scalar,
        "b": [scalar],
    }


def test_an_empty_plain_scalar_is_none_and_an_empty_string_is_a_string():
    assert parse_yaml("a:\nb: ''\nc: \"\"\n", "x.yaml").value == {"a": None, "b": "", "c": ""}


def test_carriage_returns_before_line_feeds_and_a_leading_byte_order_mark_are_read():
    assert parse_yaml("\ufeffa: 1\r\nb: 2\r\n", "x.yaml").value == {"a": "1", "b": "2"}


HOSTILE = {
    "python object (case 42)": (
        "a: 1\nb: !!python/object/apply:os.system [id]\n",
        2,
        "a tag (tag:yaml.org,2002:python/object/apply:os.system)",
    ),
    "local tag": ("a: !x y\n", 1, "a tag (!x)"),
    "tag on a mapping": ("a: !x {b: c}\n", 1, "a tag (!x)"),
    "tag on a key": ("a: 1\n!x b: 2\n", 2, "a tag (!x)"),
    "anchor": ("a: 1\nb: &x 2\n", 2, "an anchor (&x)"),
    "anchor on a mapping": ("a: &x {b: c}\n", 1, "an anchor (&x)"),
    "anchor on a list": ("a: &x [b]\n", 1, "an anchor (&x)"),
    "alias": ("a: &x 1\nb: *x\n", 2, "an alias (*x)"),
    "alias as a key": ("a: &x 1\n*x : 2\n", 2, "an alias as a key"),
    "merge key": ("a: 1\n<<: {b: 2}\n", 2, "a merge key"),
    "duplicate key": ("a: 1\nb: 2\na: 3\n", 3, "a duplicate key, first on line 1"),
    "duplicate key below": ("a:\n  b: 1\n  b: 2\n", 3, "a.b: a duplicate key, first on line 2"),
    "duplicate key in quotes": ("a: 1\n'a': 2\n", 2, "a duplicate key"),
    "list as a key": ("a: 1\n[b]: 2\n", 2, "a list or mapping as a key"),
    "mapping as a key": ("? {a: b}\n: 2\n", 1, "a list or mapping as a key"),
    "empty key": ("a: 1\n: 2\n", 2, "an empty key"),
    "second document": ("a: 1\n---\nb: 2\n", 2, "a second document"),
    "list at the top": ("- a\n", 1, "the top level is no mapping"),
    "scalar at the top": ("\nhello\n", 2, "the top level is no mapping"),
    "nothing": ("", 1, "an empty file"),
    "only a comment": ("# a\n", 1, "an empty file"),
    "directive": ("%YAML 1.1\n---\na: no\n", 1, "a YAML directive"),
    "unknown directive": ("%X y\n---\na: no\n", 1, "a YAML directive"),
    "control character": ("a: 1\nb: \x07\n", 2, "character U+0007"),
    "escape sequence of a terminal": ("a: 1\n# \x1b[2K\n", 2, "character U+001B"),
    "NUL": ("a: 1\x00\n", 1, "character U+0000"),
    "line separator that hides a key": ("# a comment\u2028name: x\n", 1, "character U+2028"),
    "carriage return that hides a key": ("# a comment\rname: x\n", 1, "character U+000D"),
    "bidirectional override": ("a: 1\nb: \u202e1\n", 2, "character U+202E"),
    "byte order mark inside": ("a: 1\nb: \ufeff1\n", 2, "character U+FEFF"),
    "half of a surrogate pair": ('a: 1\nb: "\\ud800"\n', 2, "half of a surrogate pair"),
    "escape beyond Unicode": ('a: "\\U00110000"\n', 1, "not valid YAML"),
    "tab as indentation": ("a:\n\tb: 1\n", 2, "not valid YAML"),
    "open bracket": ("a: [1\nb: 2\n", 2, "not valid YAML"),
    "open quote": ("a: 1\nb: 'x\n", 3, "not valid YAML"),
    "two colons": ("a: 1\nb: c: d\n", 2, "not valid YAML"),
    "too deep": ("a: " + "[" * 30 + "]" * 30, 1, "more than 20 levels"),
    "100,000 brackets": ("a: " + "[" * 100_000, 1, "more than 20 levels"),
    "too large": ("a: " + "x" * (256 << 10), 1, "more than 262,144 bytes"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_yaml_is_refused_with_its_line(case):
    text, line, what = HOSTILE[case]
    with pytest.raises(RecipeError) as caught:
        parse_yaml(text, "x.yaml")
    assert any(
        said.startswith(f"x.yaml:{line}: ") and what in said
        for said in str(caught.value).split("\n")
    ), str(caught.value)


def test_an_alias_bomb_is_refused_without_being_expanded():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    with pytest.raises(RecipeError, match=r"x\.yaml:2: a1\[0\]: an alias \(\*a0\)"):
        parse_yaml("\n".join(lines), "x.yaml")


def test_thousands_of_faults_are_cut_to_a_readable_message():
    with pytest.raises(RecipeError) as caught:
        parse_yaml("\n".join(["a: 1"] * 5000), "x.yaml")
    lines = str(caught.value).split("\n")
    assert len(lines) == 101
    assert lines[-1] == "x.yaml: and 4899 more"


def test_what_stands_under_a_duplicate_key_does_not_change_what_stands_under_the_first():
    with pytest.raises(RecipeError) as caught:
        parse_yaml("a: {x: 1}\na: {x: 2}\na: {x: 3, x: 4}\n", "x.yaml")
    assert str(caught.value).split("\n") == [
        "x.yaml:2: a: a duplicate key, first on line 1; keep one of them",
        "x.yaml:3: a: a duplicate key, first on line 1; keep one of them",
        "x.yaml:3: a.x: a duplicate key, first on line 3; keep one of them",
    ]


def test_a_file_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path):
    file = tmp_path / "x.yaml"
    file.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(RecipeError, match=r"x\.yaml:2: byte 0xff is not UTF-8"):
        load_yaml(file)


def test_what_is_no_regular_file_is_refused(tmp_path: Path):
    with pytest.raises(RecipeError, match="not a regular file"):
        load_yaml(tmp_path)
    with pytest.raises(RecipeError, match="not a regular file"):
        load_yaml(Path("/dev/zero"))
    with pytest.raises(RecipeError, match="cannot be read"):
        load_yaml(tmp_path / "absent.yaml")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_yaml(tmp_path / "a\0b.yaml")


class Leaf(Model):
    count: Positive = 1
    share: Exact | None = None


class Tree(Model):
    name: Name
    note: Text = ""
    leaves: dict[Name, Leaf] = {}  # noqa: RUF012  # pydantic copies defaults
    rows: tuple[Leaf, ...] = ()
    ids: tuple[Integer, ...] = ()


class Pair(Checked):
    low: Integer | None = None
    high: Integer | None = None

    @classmethod
    def cross_faults(cls, given):
        if "low" in given and "high" in given and int(given["low"]) > int(given["high"]):
            yield ("high",), f"is below low ({given['low']})"


def faults(model: type[BaseModel], text: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        validate(model, parse_yaml(text, "x.yaml"))
    return str(caught.value).split("\n")


def test_all_faults_are_reported_at_once_each_with_line_and_path():
    text = (
        "nam: x\nleaves:\n  one:\n    cuont: 1\n    share: 1e3\n  Two: {count: 0}\nrows:\n- count:"
        " no\n- 5\nids: [1, 017, -1]\nnote: [a]\n"
    )
    assert faults(Tree, text) == [
        "x.yaml:1: nam: unknown key; did you mean 'name'? allowed: name, note, leaves, rows, ids",
        "x.yaml:1: name: missing; this key is required",
        "x.yaml:4: leaves.one.cuont: unknown key; did you mean 'count'? allowed: count, share",
        "x.yaml:5: leaves.one.share: '1e3' is not a plain decimal number; write it like 16.87",
        (
            "x.yaml:6: leaves.Two: 'Two' is not a name; write at most 64 of a-z, 0-9, '.' and '-',"
            " a letter or digit first"
        ),
        "x.yaml:6: leaves.Two.count: found '0'; input should be greater than or equal to 1",
        (
            "x.yaml:8: rows[0].count: 'no' is not a whole number; write digits only, such as"
            " 50_000_000_000"
        ),
        "x.yaml:9: rows[1]: found '5'; a mapping is needed with the keys count, share",
        "x.yaml:10: ids[1]: '017' is not a whole number; write digits only, such as 50_000_000_000",
        "x.yaml:10: ids[2]: '-1' is not a whole number; write digits only, such as 50_000_000_000",
        "x.yaml:11: note: a list is not text; write one value",
    ]


def test_an_empty_value_is_a_fault_and_reported_once():
    assert faults(Tree, "name: x\nleaves:\n  one: {count: }\nrows:\n") == [
        "x.yaml:3: leaves.one.count: nothing is written here; give a value or remove the key",
        "x.yaml:4: rows: nothing is written here; give a value or remove the key",
    ]


def test_a_rule_between_fields_is_reported_beside_a_malformed_field():
    assert faults(Pair, "low: 5\nhigh: 3\nmiddle: 4\n") == [
        "x.yaml:2: high: is below low (5)",
        "x.yaml:3: middle: unknown key; allowed: low, high",
    ]


def test_control_characters_never_reach_the_terminal():
    (line,) = faults(Tree, 'name: "\\e[31m\\u0007"\n')
    assert line.isprintable()
    lines = faults(Tree, 'name: x\n"\\e[31m\\nrows": 5\n')
    assert len(lines) == 1
    assert lines[0].isprintable()


@given(st.integers(0, 10**18 - 1))
def test_whole_numbers_are_exact_with_and_without_underscores(number):
    tree = validate(Tree, parse_yaml(f"name: x\nids: [{number}, {number:_}]\n", "x.yaml"))
    assert tree.ids == (number, number)


@given(st.decimals(0, 10**6, places=6))
def test_decimals_are_exact(number):
    tree = validate(Tree, parse_yaml(f"name: x\nleaves: {{a: {{share: {number:f}}}}}\n", "x.yaml"))
    assert tree.leaves["a"].share == number


@pytest.mark.parametrize(
    "number",
    ["1__0", "_1", "1_", "1_00", "1,000", "1e3", "0x10", "00", "1.0", "٣", "１", "9" * 5000, ""],
)
def test_a_number_that_could_be_read_in_two_ways_is_refused(number):
    (line,) = faults(Tree, f"name: x\nids: ['{number}']\n")
    assert line.startswith("x.yaml:2: ids[0]: ")
    assert len(line) < 250
