"""`annealmix export ARM --removed FILE`: the documents that an arm of a study removes or masks, for
whoever rewrites them. One JSON object a line, in the order of the stream, each document once:

    digest   in hex: what a file of rewrites names it by (`pipeline.arms.rewrites`)
    source   name in the recipe
    text     what the base's ids spell
    tokens   their number in the base, EOD included
    cut      whether the base has its beginning alone, to end the source's quota

They are in the base of the study, which lies beside the arm. The file is the user's own: its owner
alone may read it, and no mix names what stands in it. Memory: a share of about 4 MB of text.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixtures.audit.documents import MixDocuments
from mixtures.audit.tables.mask import mask_runs
from mixtures.errors import AuditFailed
from pipeline.arms.slots import base_beside
from pipeline.commands.destination import private_file, refuse_file
from pipeline.lookup.documents import Share, StreamDocuments


def export_removed(arm: Path, out: Path, tokenizer: Path | None) -> tuple[int, int]:
    """Write the file.

    Args:
        tokenizer: the file; None finds the one that the manifest names.

    Returns:
        How many documents, and of how many tokens.

    Raises:
        RecipeError: it is no arm of a study, its base does not lie beside it, or as `refuse_file`.
        AuditFailed: what the base has is not what its manifest says. ManifestError, InputError: as
            `StreamDocuments.of_mix`.
    """
    refuse_file(out, arm)
    mix, base = MixDocuments(arm), base_beside(arm)
    if base.fault:
        raise AuditFailed(base.fault)
    wanted = _Wanted(mix)
    stream = StreamDocuments.of_mix(base.folder, tokenizer)
    pair, decoder = stream.open(), stream.decoder()
    seen: set[bytes] = set()
    documents = num_tokens = 0
    with private_file(out) as file:
        for share in stream.shares(pair):
            mine = np.flatnonzero(wanted.among(share))
            if not len(mine):
                continue
            low, high = int(share.starts[0]), int(share.ends[-1])
            tokens = np.asarray(pair.tokens[low:high])
            starts, ends = share.starts[mine] - low, share.ends[mine] - low
            texts = decoder.texts(tokens, *stream.text_bounds(tokens, starts, ends), low)
            assert share.digest is not None
            for at, text in zip(mine.tolist(), texts, strict=True):
                digest, size = share.digest[at].tobytes(), int(share.ends[at] - share.starts[at])
                if digest in seen:
                    continue
                seen.add(digest)
                row = {
                    "digest": digest.hex(),
                    "source": stream.sources[share.source[at]],
                    "text": text,
                    "tokens": size,
                    "cut": bool(share.cut[at]),
                }
                file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
                documents, num_tokens = documents + 1, num_tokens + size
    return documents, num_tokens


class _Wanted:
    """Finds what an arm removes or masks among the documents of its base."""

    def __init__(self, mix: MixDocuments) -> None:
        if mix.fault:
            raise AuditFailed(mix.fault)
        self._slots, self._starts = mix.slots, np.empty(0, np.int64)
        if mix.claims.mask is not None:
            self._starts, _ = mask_runs(mix.folder, mix.claims.mask, mix.max_rows)

    def among(self, share: Share) -> npt.NDArray[np.bool_]:
        """bool [num_docs]."""
        position = (share.first + np.arange(len(share))).astype(np.uint64)
        masked = np.searchsorted(self._starts, share.starts) < np.searchsorted(
            self._starts, share.ends
        )
        found: npt.NDArray[np.bool_] = masked | (self._slots.at(position) >= 0)
        return found
