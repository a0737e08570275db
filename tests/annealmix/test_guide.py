"""The examples of docs/python.md give what it says."""

from __future__ import annotations


def test_every_example_of_the_guide_gives_what_it_shows(guide):
    assert guide[1] == ""
