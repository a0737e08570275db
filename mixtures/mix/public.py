"""A mix that can be published: the same stream, without where its documents came from, and with
digests that name nothing elsewhere.

A document's digest is a hash of its text, without a secret. Whoever has a text can make its digest,
and with the tables of a mix, a store or another arm find out whether it was taken, and with the
order keys that follow from digests whether it was removed. So a public mix has `blake2b-128(digest,
key=salt)` instead, and neither file nor row. Mixes that were made public with one salt can be
compared with each other; the salt itself is in none of them.

Of an arm of a study (`mixtures.mix.slots`) a public table of slots names donors by their public
digests and sources, and of removed documents says where they stood, and nothing else.

What this does not hide: the tokens spell the documents, so whoever has the .bin can look for a text
in it, and can compute digests of what it spells. It hides what is only in tables: file, row, and
the link to stores, to other mixes and to lists of what was removed. Nor does it hide of an arm that
something was removed at a place: documents of a source stand in the order of their keys, so whoever
has a text can find where it would stand, and whether a slot of its length is there.

Not possible in a public mix: what needs order keys or provenance (`LACKS`). The audit names these
checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from mixtures.keys import DIGEST_BYTES
from mixtures.mix.claim import PublicClaim
from mixtures.mix.claims import Claims
from mixtures.mix.judged.near import ClusterClaim
from mixtures.mix.manifest import Manifest, sealed
from mixtures.mix.tables import root_hash

SALT_BYTES = (16, 64)  # fewer could be guessed, more is no key of BLAKE2b
# uses of one key that cannot be taken for each other
_DIGEST, _SALT = b"annealmix public", b"annealmix salt"

_KEYS = "order keys follow from digests, which are salted in a public mix"
_ORIGIN = "a public mix does not say where its documents came from"
LACKS = {"key ranges": _KEYS, "key order": _KEYS, "provenance": _ORIGIN, "provenance hash": _ORIGIN}
"""Checks that a public mix cannot have, and why."""


def salted(digests: npt.NDArray[np.uint8], salt: bytes) -> npt.NDArray[np.uint8]:
    """Public digests of documents, uint8 [num_docs, 16] both. Equal ones stay equal."""
    raw = np.ascontiguousarray(digests).tobytes()
    rows = range(0, len(raw), DIGEST_BYTES)
    public = [
        blake2b(
            raw[at : at + DIGEST_BYTES], digest_size=DIGEST_BYTES, key=salt, person=_DIGEST
        ).digest()
        for at in rows
    ]
    return np.frombuffer(b"".join(public), np.uint8).reshape(-1, DIGEST_BYTES)


def _salted_cluster(cluster: ClusterClaim, salt: bytes) -> ClusterClaim:
    digest = np.frombuffer(bytes.fromhex(cluster.survivor), np.uint8)
    return cluster.model_copy(update={"survivor": salted(digest, salt).tobytes().hex()})


def salt_name(salt: bytes) -> str:
    """What names a salt without telling it."""
    return blake2b(digest_size=32, key=salt, person=_SALT).hexdigest()


def public_manifest(
    claims: Claims, salt: bytes, documents_parts: Sequence[str], slots: str | None = None
) -> Manifest:
    """The manifest of the public form of a mix.

    Input files that were read from this machine are left out; those of the hub are published anyway
    (`revisions` says where).

    Args:
        documents_parts: hashes of the parts of the public documents table. slots: of an aligned
            arm, hash of its public table of slots.
    """
    hashes = claims.hashes.model_copy(
        update={
            "documents_parts": list(documents_parts),
            "documents": root_hash(list(documents_parts)),
            "provenance_parts": [],
            "provenance": root_hash([]),
        }
    )
    inputs = {
        name: files if name in claims.revisions else [] for name, files in claims.inputs.items()
    }
    public = PublicClaim(of=claims.identity, salt=salt_name(salt))
    near = claims.near and claims.near.model_copy(
        update={"largest": [_salted_cluster(cluster, salt) for cluster in claims.near.largest]}
    )
    update = {"hashes": hashes, "inputs": inputs, "near": near, "public": public}
    if claims.arm:
        update["arm"] = claims.arm.model_copy(update={"slots": slots})
    return sealed(claims.model_copy(update=update).as_json())
