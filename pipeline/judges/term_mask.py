"""Which tokens of a document spell the terms of a blocklist.

    tokens -> the bytes that they spell (pipeline.tokens.decoder) -> text -> content
           -> places of terms (mixtures.rules.term_places) -> characters of the text -> bytes
           -> every token that spells one of these bytes

Nothing is read but the tokens: a tokenizer whose ids spell their texts says of each byte whose it
is, so a token that holds a part of a character, or reaches beyond a term, is found as exactly as
any other. What is searched is what stands in the mix: of a document that was cut, the tokens that
are left.

Cost, of English documents that hold terms: 7 MB of text a second in mode `words`, 15 in
`published`, on one core (2026-11-29, a 2-core x86-64 machine).
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mixtures.keys import content_of
from mixtures.keys.alignment import places_in_text
from mixtures.rules.term_places import Place
from pipeline.judges.annotators.blocklist import Blocklist
from pipeline.tokens.decoder import Decoder

Int64s = npt.NDArray[np.int64]
_NO_UTF8 = re.compile("[\udc80-\udcff]")  # bytes that are none, as `surrogateescape` reads them


class Runs(NamedTuple):
    """Runs of tokens, in their order: arrays [num_runs]."""

    document: Int64s
    """Index of the document that each lies in."""
    start: Int64s
    length: Int64s


class TermMask:
    """A blocklist, and the tokenizer of the tokens that it is to be found in."""

    def __init__(self, blocklist: Blocklist, decoder: Decoder) -> None:
        self._blocklist, self._decoder = blocklist, decoder

    def runs(self, tokens: npt.NDArray[np.integer], starts: Int64s, ends: Int64s) -> Runs:
        """The runs of tokens that spell a term, each as long as can be.

        Args:
            tokens: ids, any integers [num_tokens]. starts, ends: int64 [num_docs], ascending; the
                texts of documents, without what begins and ends them.

        Raises:
            AuditFailed: an id that the tokenizer does not have.
        """
        content, offsets = self._decoder.bytes(tokens, starts)
        bounds = zip(offsets[starts].tolist(), offsets[ends].tolist(), strict=True)
        texts = [content[low:high].decode("utf-8", "surrogateescape") for low, high in bounds]
        edges = np.zeros(len(tokens) + 1, np.int32)  # +1 where a place begins, -1 behind it
        for start, end, text, places in zip(
            starts.tolist(), ends.tolist(), texts, self._places(texts), strict=True
        ):
            if not places:
                continue
            at = offsets[start : end + 1]
            low, high = at[0] + _byte_offsets(text)[np.array(places, np.int64)].T
            # a token that spells nothing, before the first byte of a place, is not in it
            first = start + np.searchsorted(at, low, "right") - 1
            behind = start + np.searchsorted(at, high, "left")
            np.add.at(edges, first, 1)
            np.add.at(edges, behind, -1)
        masked = np.concatenate([[False], np.cumsum(edges[:-1]) > 0, [False]])
        turns = np.flatnonzero(masked[1:] != masked[:-1])
        begins, behind = turns[0::2], turns[1::2]
        document = np.searchsorted(starts, begins, "right") - 1
        return Runs(document, begins, behind - begins)

    def _places(self, texts: list[str]) -> list[list[Place]]:
        """Characters of each text."""
        readable = [_NO_UTF8.sub("\ufffd", text) for text in texts]
        contents = [content_of(text) for text in readable]
        return [
            places if content == text else places_in_text(text, places)
            for text, content, places in zip(
                readable, contents, self._blocklist.places(contents), strict=True
            )
        ]


def _byte_offsets(text: str) -> Int64s:
    """Where each character's bytes begin, and where the last one's end: int64 [len(text) + 1]."""
    code = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    num_bytes = 1 + (code >= 0x80) + (code >= 0x800) + (code >= 0x10000)
    num_bytes[(code >= 0xDC80) & (code <= 0xDCFF)] = 1  # a byte that is no UTF-8
    return np.concatenate([[0], np.cumsum(num_bytes)])
