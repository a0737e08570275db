"""The manifest: what a mix is, in integers and strings, so that it reads and hashes the same
everywhere.

    identity   what the mix is: BLAKE3 of the canonical JSON of {layout, total_tokens,
               total_documents, bin, idx, documents}.
               Two mixes with the same identity have the same tokens, documents, order, sources,
               epochs and cuts.
    digest     BLAKE3 of the canonical JSON of the manifest without this field: an edited manifest
               is noticed before anything is recounted.

`sources` lists the strands of the stream: each source (copy 0), the copies of some of its documents
(copy 1), and the inserts.

Canonical JSON: sorted keys, no white space, UTF-8. 64-bit values are hex text, exact ratios are
text such as `1/50000`. Provenance and inputs have hashes of their own, since the same mix can be
made from the same documents in other files.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from blake3 import blake3

from mixtures.errors import ManifestError

MANIFEST_FORMAT = 4
MANIFEST = "manifest.json"

Manifest = dict[str, Any]

_FIELDS: dict[str, type | tuple[type, ...]] = {
    "format": int,
    "name": str,
    "recipe": dict,
    "recipe_digest": str,
    "size": dict,
    "tokenizer": dict,
    "layout": dict,
    "total_tokens": int,
    "total_documents": int,
    "eod_tokens": int,
    "sources": list,
    "removed": dict,
    "contamination": dict,
    "filters": list,
    "near": (dict, type(None)),
    "excluded": list,
    "published": dict,
    "revisions": dict,
    "inputs": dict,
    "hashes": dict,
    "identity": str,
    "digest": str,
}
_SOURCE_FIELDS: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "copy": int,
    "insert": bool,
    "definition": str,
    "licence": str,
    "non_commercial": bool,
    "keys": list,
    "asked_tokens": int,
    "resolved_tokens": int,
    "realised_tokens": int,
    "documents": int,
    "epochs": int,
    "longest_tokens": int,
    "cut": (dict, type(None)),
    "refilled": dict,
    "deviation": dict,
}
_HASH_FIELDS: dict[str, type | tuple[type, ...]] = {
    "chunks": list,
    "bin": str,
    "idx": str,
    "documents_parts": list,
    "documents": str,
    "provenance_parts": list,
    "provenance": str,
}


def canonical(value: Any) -> bytes:
    """The JSON that is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def identity(manifest: Manifest) -> str:
    """Compute the identity that a manifest's own hashes give."""
    hashes = manifest["hashes"]
    parts = {name: hashes[name] for name in ("bin", "idx", "documents")}
    parts |= {name: manifest[name] for name in ("layout", "total_tokens", "total_documents")}
    return blake3(canonical(parts)).hexdigest()


def digest(manifest: Manifest) -> str:
    """Compute the digest of a manifest, whatever it says of its own."""
    return blake3(
        canonical({key: value for key, value in manifest.items() if key != "digest"})
    ).hexdigest()


def sealed(manifest: Manifest) -> Manifest:
    """Add identity and digest to a manifest."""
    manifest = {**manifest, "identity": identity(manifest)}
    return {**manifest, "digest": digest(manifest)}


def dump(manifest: Manifest) -> bytes:
    """The bytes of manifest.json."""
    return json.dumps(manifest, sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"


def load(folder: Path) -> Manifest:
    """Read and check the manifest of a mix folder.

    Raises:
        ManifestError: it is missing, damaged, of another format, or not what its digest says.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_bytes(), parse_float=_no_float, parse_constant=_no_float)
    except (FileNotFoundError, NotADirectoryError):
        raise ManifestError(f"{path}: missing; {folder} is no finished mix") from None
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{path}: damaged: {error}") from None
    _check_fields(path, "", manifest, _FIELDS)
    if manifest["format"] != MANIFEST_FORMAT:
        raise ManifestError(
            f"{path}: format {manifest['format']}, this version reads {MANIFEST_FORMAT}"
        )
    for number, source in enumerate(manifest["sources"]):
        _check_fields(path, f"sources[{number}].", source, _SOURCE_FIELDS)
    _check_fields(path, "hashes.", manifest["hashes"], _HASH_FIELDS)
    try:
        found = digest(manifest)
    except (
        ValueError,
        RecursionError,
    ) as error:  # a lone surrogate, or nesting that can be read but not written
        raise ManifestError(f"{path}: damaged: {error}") from None
    if found != manifest["digest"]:
        raise ManifestError(
            f"{path}: its content has digest {found}, it says {manifest['digest']}: it was edited"
            " after it was written"
        )
    return dict(manifest)


def _no_float(text: str) -> None:
    raise ValueError(f"the number {text} is not an integer")


def _check_fields(
    path: Path, where: str, value: Any, fields: dict[str, type | tuple[type, ...]]
) -> None:
    if not isinstance(value, dict):
        raise ManifestError(f"{path}: {where or 'top level'} is no object")
    for name, kind in fields.items():
        if name not in value:
            raise ManifestError(f"{path}: {where}{name} is missing")
        if not isinstance(value[name], kind) or (isinstance(value[name], bool) and kind is int):
            raise ManifestError(
                f"{path}: {where}{name} is {type(value[name]).__name__}, not what the format says"
            )
