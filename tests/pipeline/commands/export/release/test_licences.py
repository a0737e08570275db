"""What licences ask by their names, and where they do not go together."""

from __future__ import annotations

import json

import pytest

from mixtures.mix.claims import Claims, typed
from pipeline.commands.export.release.licences import Terms, conflicts, licences_page, terms_of
from tests.pages import CHECKOUT

SAMPLE = CHECKOUT / "manifests" / "sample.json"


def claims_of(**licences: str) -> Claims:
    """The sample's claims with these sources alone, by their licences; `_` in a name stands for
    `-`.
    """
    manifest = json.loads(SAMPLE.read_bytes())
    sources = {source["name"]: source for source in manifest["sources"]}
    wanted = {name.replace("_", "-"): licence for name, licence in licences.items()}
    manifest["sources"] = [
        sources[name] | {"licence": licence, "non_commercial": False}
        for name, licence in wanted.items()
    ]
    return typed(manifest, "m")


@pytest.mark.parametrize(
    ("name", "terms"),
    [
        ("CC-BY-4.0", Terms("CC-BY", "CC-BY-4.0")),
        ("cc by-sa 3.0", Terms("CC-BY-SA", "CC-BY-SA-3.0", share_alike=True)),
        ("CC-BY-SA", Terms("CC-BY-SA", None, share_alike=True)),
        ("CC-BY-NC-4.0", Terms("CC-BY-NC", "CC-BY-NC-4.0", non_commercial=True)),
        (
            "CC-BY-NC-SA-2.5",
            Terms("CC-BY-NC-SA", "CC-BY-NC-SA-2.5", non_commercial=True, share_alike=True),
        ),
        ("CC-BY-ND-4.0", Terms("CC-BY-ND", "CC-BY-ND-4.0", no_derivatives=True)),
        ("CC0", Terms("CC0-1.0", "CC0-1.0")),
        ("ODC-BY", Terms("ODC-By-1.0", "ODC-By-1.0")),
        ("odbl", Terms("ODbL-1.0", "ODbL-1.0", share_alike=True)),
        ("CC-BY-XX-4.0", Terms("CC-BY-XX-4.0", known=False)),
        ("ask us", Terms("ask us", known=False)),
    ],
)
def test_a_name_says_what_its_licence_asks(name: str, terms: Terms):
    assert terms_of(name) == terms


@pytest.mark.parametrize(
    "licences",
    [
        {"wiki": "CC-BY-SA-4.0", "flan": "CC-BY-SA"},
        {"wiki": "CC-BY-4.0", "flan": "ODC-BY", "pes2o": "CC0", "dclm": "CC-BY-SA"},
        {"wiki": "CC-BY-NC-4.0", "flan": "CC-BY-NC-3.0"},
    ],
)
def test_licences_that_go_together_are_no_conflict(licences: dict[str, str]):
    assert conflicts(claims_of(**licences)) == []


@pytest.mark.parametrize(
    ("licences", "said"),
    [
        ({"wiki": "not given", "flan": "CC0"}, "no licence is given of wiki"),
        ({"wiki": "ask us"}, "does not know: wiki (ask us)"),
        ({"wiki": "CC-BY-ND-4.0"}, "forbid changed copies: wiki (CC-BY-ND-4.0)"),
        (
            {"wiki": "CC-BY-NC-4.0", "flan": "CC-BY-4.0", "dclm": "CC0"},
            "no commercial use: wiki (CC-BY-NC-4.0); so of the whole, though 2 other sources",
        ),
        (
            {"wiki": "CC-BY-SA-4.0", "flan": "ODbL-1.0"},
            "CC-BY-SA (wiki) asks that what is made of it is passed on under itself, which the"
            " licences of flan (ODbL-1.0) do not allow",
        ),
    ],
)
def test_a_conflict_names_its_sources_and_licences(licences: dict[str, str], said: str):
    assert said in "\n".join(conflicts(claims_of(**licences)))


def test_share_alike_and_non_commercial_are_two_conflicts():
    found = conflicts(claims_of(wiki="CC-BY-SA-4.0", camel_physics="CC-BY-NC-4.0"))
    assert len(found) == 2
    assert "camel-physics (CC-BY-NC-4.0) do not allow" in found[1]


def test_a_source_that_is_said_to_be_non_commercial_is_bound_whatever_its_licence_is_called():
    claims = claims_of(wiki="CC0", flan="CC0")
    claims.sources[0].__dict__["non_commercial"] = True
    assert "no commercial use: wiki (CC0)" in conflicts(claims)[0]


def test_a_source_that_gave_nothing_is_in_no_conflict():
    claims = claims_of(wiki="not given", flan="CC0")
    claims.sources[0].__dict__["realised_tokens"] = 0
    assert conflicts(claims) == []


def test_the_page_names_one_licence_as_one():
    assert "under one licence, CC0" in licences_page(claims_of(wiki="CC0", flan="CC0"))
    assert "no one licence" in licences_page(claims_of(wiki="CC0", flan="MIT"))
    assert "no one licence" in licences_page(claims_of(wiki="not given"))
