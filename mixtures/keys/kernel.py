"""Keyed BLAKE2b hashes (RFC 7693) of many digests, 8 bytes each: what `mixtures.keys.order_key`
makes of one. Import it late: it brings numba.

A keyed hash begins with a block that holds the key alone, so that its state is computed once; a
digest is a second and last block.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mixtures.keys.compiled import compiled

Uint64s = npt.NDArray[np.uint64]

BLOCK_BYTES, DIGEST_BYTES, HASH_BYTES = 128, 16, 8
INITIAL = np.array(
    [
        0x6A09E667F3BCC908,
        0xBB67AE8584CAA73B,
        0x3C6EF372FE94F82B,
        0xA54FF53A5F1D36F1,
        0x510E527FADE682D1,
        0x9B05688C2B3E6C1F,
        0x1F83D9ABFB41BD6B,
        0x5BE0CD19137E2179,
    ],
    np.uint64,
)
_ORDERS = """
0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15
14 10 4 8 9 15 13 6 1 12 0 2 11 7 5 3
11 8 12 0 5 2 15 13 10 14 3 6 7 1 9 4
7 9 3 1 13 12 11 14 2 6 5 10 4 0 15 8
9 0 5 7 2 4 10 15 14 1 11 12 6 8 3 13
2 12 6 10 0 11 8 3 4 13 7 5 15 14 1 9
12 5 1 15 14 13 4 10 0 7 6 3 9 2 8 11
13 11 7 14 12 1 3 9 5 0 15 4 8 6 2 10
6 15 14 9 11 3 0 8 12 2 13 7 1 4 10 5
10 2 8 4 7 6 1 5 15 11 9 14 3 12 13 0
0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15
14 10 4 8 9 15 13 6 1 12 0 2 11 7 5 3
"""  # words of a block, round by round
ORDERS = np.array(_ORDERS.split(), np.uint8).reshape(12, 16)
_16, _24, _32, _40, _48, _63, _1 = (np.uint64(bits) for bits in (16, 24, 32, 40, 48, 63, 1))


@compiled
def _mixed(
    a: np.uint64, b: np.uint64, c: np.uint64, d: np.uint64, x: np.uint64, y: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    a = a + b + x
    d = d ^ a
    d = (d >> _32) | (d << _32)
    c = c + d
    b = b ^ c
    b = (b >> _24) | (b << _40)
    a = a + b + y
    d = d ^ a
    d = (d >> _16) | (d << _48)
    c = c + d
    b = b ^ c
    b = (b >> _63) | (b << _1)
    return a, b, c, d


@compiled
def _compress(state: Uint64s, block: Uint64s, num_bytes: np.uint64, last: np.uint64) -> None:
    """Take a block into the state. state: uint64 [8]; block: uint64 [16]; num_bytes: up to its end;
    last: all bits of the last block, else 0.
    """
    h0, h1, h2, h3, h4, h5, h6, h7 = state
    i0, i1, i2, i3, i4, i5, i6, i7 = INITIAL
    i4, i6 = i4 ^ num_bytes, i6 ^ last
    for turn in range(12):
        m = ORDERS[turn]
        h0, h4, i0, i4 = _mixed(h0, h4, i0, i4, block[m[0]], block[m[1]])
        h1, h5, i1, i5 = _mixed(h1, h5, i1, i5, block[m[2]], block[m[3]])
        h2, h6, i2, i6 = _mixed(h2, h6, i2, i6, block[m[4]], block[m[5]])
        h3, h7, i3, i7 = _mixed(h3, h7, i3, i7, block[m[6]], block[m[7]])
        h0, h5, i2, i7 = _mixed(h0, h5, i2, i7, block[m[8]], block[m[9]])
        h1, h6, i3, i4 = _mixed(h1, h6, i3, i4, block[m[10]], block[m[11]])
        h2, h7, i0, i5 = _mixed(h2, h7, i0, i5, block[m[12]], block[m[13]])
        h3, h4, i1, i6 = _mixed(h3, h4, i1, i6, block[m[14]], block[m[15]])
    state[0] ^= h0 ^ i0
    state[1] ^= h1 ^ i1
    state[2] ^= h2 ^ i2
    state[3] ^= h3 ^ i3
    state[4] ^= h4 ^ i4
    state[5] ^= h5 ^ i5
    state[6] ^= h6 ^ i6
    state[7] ^= h7 ^ i7


@compiled
def _hash_all(digests: Uint64s, keyed: Uint64s, hashes: Uint64s) -> None:
    """Fill in hashes, uint64 [num_docs]. digests: uint64 [num_docs, 2], little-endian words; keyed:
    uint64 [8], the state behind the block of the key.
    """
    block, state = np.zeros(16, np.uint64), np.empty(8, np.uint64)
    for at in range(len(digests)):
        block[0], block[1] = digests[at, 0], digests[at, 1]
        state[:] = keyed
        _compress(state, block, np.uint64(BLOCK_BYTES + DIGEST_BYTES), np.uint64(2**64 - 1))
        hashes[at] = state[0]


def keyed_hashes(digests: Uint64s, key: bytes) -> Uint64s:
    """Hashes, little-endian, uint64 [num_docs]. digests: uint64 [num_docs, 2], their big-endian
    halves; key: at most 64 bytes.
    """
    keyed = INITIAL.copy()
    keyed[0] ^= np.uint64(0x01010000 | len(key) << 8 | HASH_BYTES)
    block = np.frombuffer(key.ljust(BLOCK_BYTES, b"\0"), "<u8").astype(np.uint64)
    _compress(keyed, block, np.uint64(BLOCK_BYTES), np.uint64(0))
    hashes = np.empty(len(digests), np.uint64)
    _hash_all(digests.byteswap(), keyed, hashes)
    return hashes
