"""The manifest: what a mix is, in integers and strings, so that it reads and hashes the same
everywhere. Here it is JSON, and what is hashed of it; `mixtures.mix.claims` gives it types.

    identity   what the stream is: BLAKE3 of the canonical JSON of {layout, total_tokens,
               total_documents, bin, idx, documents}.
               Two mixes with the same identity have the same tokens, documents, order, sources,
               epochs and cuts, whatever was asked to get them.
    mix_id     what the mix is: BLAKE3 of the canonical JSON of {identity, recipe, tokenizer}, where
               the recipe names its filters by all that they decide by. Two arms whose filters
               happened to remove the same documents have one identity and two mix ids.
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
from mixtures.yaml.disk import read_bytes

MANIFEST_FORMAT = 5
MANIFEST = "manifest.json"

Manifest = dict[str, Any]


def canonical(value: Any) -> bytes:
    """The JSON that is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def identity(manifest: Manifest) -> str:
    """Compute the identity that a manifest's own hashes give."""
    hashes = manifest["hashes"]
    parts = {name: hashes[name] for name in ("bin", "idx", "documents")}
    parts |= {name: manifest[name] for name in ("layout", "total_tokens", "total_documents")}
    return blake3(canonical(parts)).hexdigest()


def mix_id(manifest: Manifest) -> str:
    """Compute the id of the mix that a manifest's own recipe, tokenizer and hashes give."""
    parts = {name: manifest[name] for name in ("recipe", "tokenizer")}
    return blake3(canonical({"identity": identity(manifest), **parts})).hexdigest()


def digest(manifest: Manifest) -> str:
    """Compute the digest of a manifest, whatever it says of its own."""
    return blake3(
        canonical({key: value for key, value in manifest.items() if key != "digest"})
    ).hexdigest()


def sealed(manifest: Manifest) -> Manifest:
    """Add identity, mix id and digest to a manifest."""
    manifest = {**manifest, "identity": identity(manifest), "mix_id": mix_id(manifest)}
    return {**manifest, "digest": digest(manifest)}


def names(manifest: Manifest) -> str:
    """What a finished mix is called in a message."""
    return f"identity {manifest['identity']}, mix id {manifest['mix_id']}"


def dump(manifest: Manifest) -> bytes:
    """The bytes of manifest.json."""
    return json.dumps(manifest, sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"


def load(folder: Path) -> Manifest:
    """Read the manifest of a mix folder as it is written, if its digest says that it is
    (`mixtures.mix.claims.read_claims` also gives it types).

    Raises:
        ManifestError: it is missing, damaged, of another format, or not what its digest says.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(read_bytes(path), parse_float=_no_float, parse_constant=_no_float)
    except (FileNotFoundError, NotADirectoryError):
        raise ManifestError(f"{path}: missing; {folder} is no finished mix") from None
    except OSError as error:
        raise ManifestError(
            f"{path}: cannot be read ({error.strerror}); {folder} is no mix that you may read"
        ) from None
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{path}: damaged: {error}") from None
    if not isinstance(manifest, dict):
        raise ManifestError(f"{path}: top level is no object")
    for name in ("format", "digest"):
        if name not in manifest:
            raise ManifestError(f"{path}: {name} is missing")
    if manifest["format"] != MANIFEST_FORMAT:
        raise ManifestError(
            f"{path}: format {manifest['format']}, this version reads {MANIFEST_FORMAT}; build the"
            " mix again, or read it with the version that build.json names"
        )
    try:
        content = digest(manifest)
    # a lone surrogate, or nesting that can be read but not written
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{path}: damaged: {error}") from None
    if content != manifest["digest"]:
        raise ManifestError(
            f"{path}: its content has digest {content}, it says {manifest['digest']}: it was edited"
            " after it was written"
        )
    return manifest


def _no_float(text: str) -> None:
    raise ValueError(f"the number {text} is not an integer")
