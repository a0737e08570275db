"""`annealmix audit ARM --rewrites FILE`: what stands in the slots of an arm, beside the user's own
file and the base, which lies beside the arm.

    rewrites         every removed document of the base has its own rewrite in its slot, by digest,
                     at all of its places; the file is the one that the arm was made from
    rewrite tokens   these are the tokens that the reference library makes of the text, cut where
                     the slot ends

Memory: the slots of the arm.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mixtures.audit.documents import MixDocuments
from mixtures.audit.pair import pointer_faults, try_open
from mixtures.audit.report import Check, judge, unread
from mixtures.errors import RecipeError
from mixtures.keys import text_digest
from mixtures.mix.files import INDEX, TOKENS
from mixtures.mix.indexed import IndexedTokens
from mixtures.mix.judged.arms import RewritesClaim
from mixtures.words import plural
from mixtures.yaml.disk import read_bytes
from pipeline.arms.rewrites import RewritesFile
from pipeline.arms.slots import base_beside
from pipeline.commands.audit.sources import whole_ids
from pipeline.lookup.documents import StreamDocuments
from pipeline.tokens.engines import Engine, open_engine

NAMES = ("rewrites", "rewrite tokens")
BATCH_CHARS = 4 << 20  # that are encoded at a time


class _Slot(NamedTuple):
    """A place of a slot. first_token, num_tokens: of the rewrite in the stream."""

    position: int
    first_token: int
    num_tokens: int
    whole: int
    """Tokens that the rewrite has as a whole."""
    digest: bytes
    row: int


def check_rewrites(folder: Path, file: Path, tokenizer: Path | None) -> list[Check]:
    """The checks of NAMES.

    Args:
        tokenizer: the file; None finds the one that the manifest names.

    Raises:
        RecipeError: the mix is no arm of rewrites, or its base is not beside it. InputError: a row
            of the file is no rewrite. Else as `StreamDocuments.of_mix`.
    """
    mix = MixDocuments(folder)
    if mix.claims.arm is None or mix.claims.arm.rewrites is None:
        raise RecipeError(f"--rewrites: {folder} has no rewrites in slots; leave it out")
    stream, base = StreamDocuments.of_mix(folder, tokenizer), base_beside(folder)
    pair, faults = try_open(folder / TOKENS, folder / INDEX)
    if pair is None or (faults := pointer_faults(pair)):
        return [unread(name, f"the .bin and .idx cannot be read: {faults[0]}") for name in NAMES]
    for one in (mix, base):
        if one.fault or one.slots.fault:
            return [unread(name, one.fault or one.slots.fault) for name in NAMES]
    engine = open_engine("tokenizers", read_bytes(stream.tokenizer))
    return _Checked(mix, base, pair, engine).run(mix.claims.arm.rewrites, RewritesFile(file))


@dataclass
class _Checked:
    """The checks of one arm."""

    mix: MixDocuments
    base: MixDocuments
    pair: IndexedTokens
    engine: Engine
    faults: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in NAMES})

    def run(self, said: RewritesClaim, file: RewritesFile) -> list[Check]:
        slots: dict[bytes, list[_Slot]] = {}
        for removed, slot in self._slots():
            slots.setdefault(removed, []).append(slot)
        total, places = len(slots), sum(map(len, slots.values()))
        batch: list[tuple[str, list[_Slot]]] = []
        rows = tokens = size = 0
        for row, digest, text in file.rows():
            rows += 1
            found = slots.pop(bytes.fromhex(digest), None)
            if found is None:
                continue
            self._compare(row, text, found)
            batch.append((text, found))
            size += len(text)
            if size >= BATCH_CHARS:
                tokens, batch, size = tokens + self._encode(batch), [], 0
        tokens += self._encode(batch)
        if file.sha256 != said.sha256:
            other = f"{file.path}: has sha256 {file.sha256}, the arm {said.sha256}"
            self.faults["rewrites"].insert(0, other)
        if slots:
            first = min(slots.values(), key=lambda some: some[0].position)[0]
            self._fault(
                "rewrites",
                f"{plural(len(slots), 'document')} of the base in slots have no rewrite in the"
                f" file, the first is document {first.position:,}",
            )
        if said.unused > rows - total:
            self._fault(
                "rewrites", f"{said.unused:,} rewrites are said to be unused, of {rows - total:,}"
            )
        figures = (
            f"{plural(total, 'removed document')} at {plural(places, 'place')} have their own",
            f"{plural(tokens, 'token')} are those of the texts",
        )
        return [
            judge(name, figure, self.faults[name])
            for name, figure in zip(NAMES, figures, strict=True)
        ]

    def _slots(self) -> Iterator[tuple[bytes, _Slot]]:
        """The digest of what the base has in each slot, and the slot."""
        table = self.mix.slots
        columns = table.columns
        for part in self.base.parts("position", "first_token", "digest"):
            at = table.at(part["position"])
            for row in np.flatnonzero(at >= 0).tolist():
                first = int(table.first[at[row]])
                yield (
                    part["digest"][row].tobytes(),
                    _Slot(
                        int(part["position"][row]),
                        int(part["first_token"][row]),
                        int(columns["num_tokens"][first]),
                        int(columns["donor_tokens"][first]),
                        columns["digest"][first].tobytes(),
                        int(columns["row"][first]),
                    ),
                )

    def _compare(self, row: int, text: str, slots: list[_Slot]) -> None:
        digest = text_digest(text)
        for slot in slots:
            if slot.digest != digest or slot.row != row:
                self._fault(
                    "rewrites",
                    f"document {slot.position:,} stands for what row {row:,} rewrites, and is"
                    " another",
                )

    def _encode(self, batch: list[tuple[str, list[_Slot]]]) -> int:
        """Compare tokens. Returns how many."""
        eod_id, tokens = self.mix.claims.tokenizer.eod_id, 0
        encoded = whole_ids(self.engine, self.mix.claims, (text for text, _ in batch))
        for (_, slots), due in zip(batch, encoded, strict=True):
            for slot in slots:
                kept = slot.num_tokens
                held = self.pair.tokens[slot.first_token : slot.first_token + kept]
                tokens += kept
                if slot.whole != len(due) or not np.array_equal(
                    held, np.append(due[: kept - 1], eod_id)
                ):
                    self._fault(
                        "rewrite tokens",
                        f"document {slot.position:,}: its tokens are not those of its rewrite",
                    )
        return tokens

    def _fault(self, name: str, what: str) -> None:
        self.faults[name].append(what)
