"""A manifest reads back as it was written, and any other bytes in its place are refused with exit
code 6.
"""

from __future__ import annotations

import json
import tempfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from mixtures.errors import ManifestError
from mixtures.mix import manifest as manifests
from mixtures.mix.claims import read_claims

HASHES = {
    "chunks": ["a" * 64],
    "bin": "b" * 64,
    "idx": "c" * 64,
    "documents_parts": ["d" * 64],
    "documents": "e" * 64,
    "provenance_parts": [],
    "provenance": "f" * 64,
}
SOURCE = {
    "name": "wiki",
    "copy": 0,
    "insert": False,
    "definition": "dolmino-wiki",
    "licence": "CC-BY-SA",
    "non_commercial": False,
    "keys": ["0", "ff"],
    "asked_tokens": 5,
    "resolved_tokens": 5,
    "realised_tokens": 5,
    "documents": 2,
    "epochs": 1,
    "longest_tokens": 3,
    "cut": None,
    "refilled": {},
    "deviation": {"bound_tokens": 1, "measured_tokens": 1},
}
PLAIN: dict[str, Any] = {
    "format": manifests.MANIFEST_FORMAT,
    "name": "mix \u00e9",
    "recipe": {"name": "mix"},
    "recipe_digest": "00",
    "size": {},
    "tokenizer": {
        "name": "toy",
        "digest": "00",
        "eod": "<eod>",
        "eod_id": 0,
        "bos": None,
        "bos_id": None,
        "vocab_size": 9,
        "special_tokens": "text",
    },
    "tokenizer_origin": None,
    "layout": {"token_dtype": "uint16", "chunk_tokens": 4, "slice_tokens": 8},
    "total_tokens": 5,
    "total_documents": 2,
    "eod_tokens": 2,
    "bos_tokens": 0,
    "sources": [SOURCE],
    "removed": {},
    "contamination": {},
    "filters": [],
    "near": None,
    "excluded": [],
    "published": {},
    "revisions": {},
    "inputs": {},
    "hashes": HASHES,
}
SEALED = manifests.sealed(PLAIN)
BYTES = manifests.dump(SEALED)


def load(content: bytes) -> manifests.Manifest:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / manifests.MANIFEST).write_bytes(content)
        return read_claims(Path(folder)).as_json()


def plain_hash(value: Any) -> str:
    return blake3(
        json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    ).hexdigest()


def test_a_sealed_manifest_reads_back_as_it_was():
    assert load(BYTES) == SEALED
    assert manifests.dump(load(BYTES)) == BYTES


def test_identity_and_digest_are_those_of_the_description():
    parts = {name: HASHES[name] for name in ("bin", "idx", "documents")}
    parts |= {name: PLAIN[name] for name in ("layout", "total_tokens", "total_documents")}
    assert SEALED["identity"] == plain_hash(parts)
    mix = {
        "identity": SEALED["identity"],
        **{name: PLAIN[name] for name in ("recipe", "tokenizer")},
    }
    assert SEALED["mix_id"] == plain_hash(mix)
    names = {name: SEALED[name] for name in ("identity", "mix_id")}
    assert SEALED["digest"] == plain_hash({**PLAIN, **names})


@pytest.mark.parametrize(
    "name", sorted(set(PLAIN) - {"hashes", "layout", "total_tokens", "total_documents"})
)
def test_identity_follows_what_the_mix_is_and_not_where_it_came_from(name):
    other = {
        **PLAIN,
        name: (
            []
            if isinstance(PLAIN[name], list)
            else {"changed": 1}
            if isinstance(PLAIN[name], dict)
            else "changed"
        ),
    }
    if other == PLAIN:
        other[name] = ["changed"]
    sealed = manifests.sealed(other)
    assert sealed["identity"] == SEALED["identity"]
    assert (sealed["mix_id"] == SEALED["mix_id"]) == (name not in {"recipe", "tokenizer"})
    assert sealed["digest"] != SEALED["digest"]


@given(st.integers(0, len(BYTES) - 1), st.integers(1, 255))
def test_every_changed_byte_is_refused_or_changes_nothing_that_is_said(place, bits):
    content = bytearray(BYTES)
    content[place] ^= bits
    try:
        found = load(bytes(content))
    except ManifestError:
        return
    assert found == SEALED


@given(st.integers(0, len(BYTES) - 3))
def test_a_manifest_that_is_cut_off_is_refused(length):
    with pytest.raises(ManifestError):
        load(BYTES[:length])


@given(st.binary(max_size=60))
def test_bytes_of_any_kind_are_refused(content):
    with pytest.raises(ManifestError):
        load(content)


VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just("\ud800")
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=5,
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value of a manifest."""
    items = (
        list(value.items())
        if isinstance(value, dict)
        else list(enumerate(value))
        if isinstance(value, list)
        else []
    )
    return [at, *(place for key, item in items for place in places(item, (*at, key)))]


@given(st.sampled_from(places(SEALED)[1:]), VALUES, st.booleans())
def test_another_value_anywhere_is_refused_even_if_the_digest_is_made_to_fit(place, value, fit):
    changed = deepcopy(SEALED)
    holder: Any = changed
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    try:
        if fit and "digest" not in place:
            changed["digest"] = manifests.digest(changed)
        content = json.dumps(changed).encode()
    except ValueError:
        return
    try:
        found = load(content)
    except ManifestError:
        return
    # What is left is of the form that the format says, and says what its digest covers.
    assert manifests.digest(found) == found["digest"]
    assert all(isinstance(found[name], type(SEALED[name])) for name in SEALED)


@pytest.mark.parametrize(
    "content",
    [b'{"a": "\\ud800"}', b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}", b"NaN", b"\xff\xfe"],
)
def test_hostile_json_is_refused_by_name(content):
    with pytest.raises(ManifestError, match=r"manifest\.json"):
        load(content)


@pytest.mark.parametrize("text", ["1.0", "1e3", "NaN", "-Infinity"])
def test_numbers_that_are_no_integers_are_refused(text):
    with pytest.raises(ManifestError, match="not an integer"):
        load(BYTES.replace(b'"eod_tokens": 2', f'"eod_tokens": {text}'.encode()))


def test_lone_surrogates_inside_a_well_formed_manifest_are_refused():
    with pytest.raises(ManifestError, match="damaged"):
        load(BYTES.replace(b"CC-BY-SA", b"\\ud800"))


def test_a_folder_without_a_manifest_and_a_file_are_no_mix(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for place in (tmp_path, tmp_path / "none", tmp_path / "file"):
        with pytest.raises(ManifestError, match="no finished mix"):
            read_claims(place)


@pytest.mark.parametrize(
    ("holder", "name"),
    [
        *(([], name) for name in PLAIN if name not in ("layout", "hashes")),
        *((["layout"], name) for name in PLAIN["layout"]),
        *((["tokenizer"], name) for name in PLAIN["tokenizer"]),
        *((["sources", 0], name) for name in SOURCE),
        *((["hashes"], name) for name in HASHES),
    ],
)
def test_a_manifest_without_a_field_is_refused_by_the_name_of_the_field(holder, name):
    changed = deepcopy(SEALED)
    value: Any = changed
    for key in holder:
        value = value[key]
    del value[name]
    changed["digest"] = manifests.digest(changed)
    with pytest.raises(ManifestError, match=name):
        load(json.dumps(changed).encode())


def test_an_empty_search_for_near_duplicates_is_none():
    with pytest.raises(ManifestError, match=r"near\.\w+: Field required"):
        load(manifests.dump(manifests.sealed({**PLAIN, "near": {}})))


@pytest.mark.parametrize("where", [(), ("layout",), ("hashes",), ("sources", 0), ("tokenizer",)])
def test_a_field_that_the_format_does_not_have_is_refused(where):
    manifest = json.loads(manifests.dump(PLAIN))
    place = manifest
    for step in where:
        place = place[step]
    place["later"] = {"a": [None, 1]}
    with pytest.raises(ManifestError, match=r"later: Extra inputs"):
        load(manifests.dump(manifests.sealed(manifest)))
