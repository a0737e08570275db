"""What an arm of a study says of its slots: `slots.parquet` of one whose slots are filled, and
`mask.parquet` of one in which they, or the terms in them, are masked. What the manifest says of
them stands in `mixtures.mix.judged`.

A slot is the document of the base that the arm's filter removes, wherever it stands: a source that
is used twice has it at two positions. One row a donor and position, by (position, offset). The
table is hashed by what it says, as the others are (`mixtures.mix.tables.part_hash`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mixtures.errors import ManifestError
from mixtures.keys import digest_columns
from mixtures.mix.judged.arms import WINDOW_TOKENS, MaskShares
from mixtures.mix.tables import Columns, from_arrow
from mixtures.stream.arms.donors import Fill

Int64s = npt.NDArray[np.int64]
SLOTS = pa.schema(
    [
        ("position", pa.uint64()),  # index of the document in the stream
        ("slot", pa.uint64()),  # among the slots of all arms; two arms that share it share donors
        ("offset", pa.uint32()),  # tokens of the slot before this donor
        ("num_tokens", pa.uint32()),  # of the donor in the slot, EOD included
        ("length", pa.uint32()),  # tokens of the slot
        ("source", pa.string()),  # of the removed document
        ("kind", pa.string()),  # exact, cut or joined (mixtures.stream.arms.donors)
        ("digest", pa.binary(16)),  # of the donor
        ("donor_source", pa.string()),
        ("donor_tokens", pa.uint32()),  # that the donor has where it is whole
        ("file", pa.string()),  # of the donor, below the folder of its source
        ("row", pa.uint64()),
    ]
)
SLOTS_FILE = "slots.parquet"
_MORE: Mapping[Fill, pa.Field] = {
    "approved": pa.field("repeat", pa.uint32()),  # times the donor stood already: 0 for unused ones
    # whether it is the rewrite of the removed document
    "rewrites": pa.field("rewrite", pa.bool_()),
}
"""A column behind those, of arms with a certain fill."""
_ORIGIN = ("file", "row")
"""Columns that a public arm does not have (`mixtures.mix.public`)."""
OF_BASE = pa.field("of_base", pa.bool_())
"""A column that it has where donors may be repeats: whether the base has the donor, which else its
key says."""
MASK = pa.schema(
    [
        ("start", pa.uint64()),  # tokens of the stream before the run
        ("length", pa.uint32()),  # tokens of it: a document, EOD included, or some of its text
    ]
)
MASK_FILE = "mask.parquet"


def slots_schema(fill: Fill, *, public: bool = False) -> pa.Schema:
    """The schema of the table of an arm with this fill."""
    whole = SLOTS.append(_MORE[fill]) if fill in _MORE else SLOTS
    if not public:
        return whole
    kept = pa.schema([field for field in whole if field.name not in _ORIGIN])
    return kept.append(OF_BASE) if fill == "approved" else kept


def windows_touched(
    first_token: npt.NDArray[np.int64], num_tokens: npt.NDArray[np.int64], last: int = -1
) -> tuple[int, int]:
    """How many windows of the stream, cut from its first token on, some documents touch.

    Args:
        first_token, num_tokens: int64 [num_docs], in the order of the stream. last: the last window
            that documents before these touch; -1 for none.

    Returns:
        The windows that none of those touches, and the last one of all.
    """
    if not len(first_token):
        return 0, last
    low = first_token // WINDOW_TOKENS
    high = (first_token + num_tokens - 1) // WINDOW_TOKENS
    before = np.append(last, high[:-1])
    return int((high - low + 1 - (low == before)).sum()), int(high[-1])


class MaskRuns:
    """The runs of a mask.

    Args:
        starts, lengths: int64 [num_runs], tokens; ascending, and none overlaps another.
    """

    def __init__(self, starts: Int64s, lengths: Int64s) -> None:
        self._ends = np.concatenate([[0], starts + lengths])
        self._starts = starts
        self._masked = np.concatenate([[0], np.cumsum(lengths)])

    @classmethod
    def read(cls, folder: Path) -> MaskRuns:
        """Those of a mix, as its table has them; the audit holds them against the manifest.

        Raises:
            ManifestError: the table cannot be read.
        """
        table = _read(folder / MASK_FILE, MASK.names)
        starts, lengths = (table.column(name).to_numpy().astype(np.int64) for name in MASK.names)
        return cls(starts, lengths)

    def within(self, first: int, end: int) -> list[tuple[int, int]]:
        """The masked tokens among tokens first .. end - 1 of the stream, counted from the first:
        where each run of them begins, and its length.
        """
        low = int(np.searchsorted(self._ends[1:], first, "right"))
        high = int(np.searchsorted(self._starts, end))
        starts = np.maximum(self._starts[low:high], first) - first
        ends = np.minimum(self._ends[low + 1 : high + 1], end) - first
        return list(zip(starts.tolist(), (ends - starts).tolist(), strict=True))

    def before(self, tokens: Int64s) -> Int64s:
        """How many of the tokens before some of the stream are masked: int64 [num] of int64
        [num].
        """
        runs = np.searchsorted(self._starts, tokens)  # that begin before
        return self._masked[runs] - np.maximum(self._ends[runs] - tokens, 0)

    def window_shares(self, total_tokens: int) -> MaskShares:
        """Of the windows of a stream, cut from its first token on."""
        bounds = np.append(np.arange(0, total_tokens, WINDOW_TOKENS), total_tokens)
        return mask_shares(np.diff(self.before(bounds)), np.diff(bounds))


def mask_shares(masked: Int64s, num_tokens: Int64s) -> MaskShares:
    """Figures of some stretches: masked tokens, and all, int64 [num_stretches] each."""
    if not len(masked):
        return MaskShares(min=0, median=0, p99=0, max=0, whole=0)
    last = len(masked) - 1
    ranks = [0, last // 2, -(-99 * len(masked) // 100) - 1, last]  # of a percentile, the nearest
    least, median, p99, most = np.partition(masked, ranks)[ranks].tolist()
    whole = int((masked == num_tokens).sum())
    return MaskShares(min=least, median=median, p99=p99, max=most, whole=whole)


@dataclass(frozen=True)
class Donor:
    """A donor, or its part that stands in a slot: the columns of SLOTS, digest in hex."""

    position: int
    slot: int
    offset: int
    num_tokens: int
    length: int
    source: str
    kind: str
    digest: str
    donor_source: str
    donor_tokens: int
    file: str
    row: int
    repeat: int = 0
    rewrite: bool = False


def donor_digests(folder: Path) -> npt.NDArray[np.uint64]:
    """Digests of the donors in an arm's slots, uint64 [num_donors, 2].

    Raises:
        ManifestError: the table cannot be read.
    """
    column = _read(folder / SLOTS_FILE, ["digest"]).column("digest").combine_chunks()
    return digest_columns(b"".join(column.to_pylist()))


def first_donors(folder: Path, low: int, high: int) -> Columns:
    """Of each slot at positions low .. high - 1 the donor that begins it: the columns of SLOTS, by
    position, [num_places] each.

    Raises:
        ManifestError: the table cannot be read.
    """
    position, offset = pc.field("position"), pc.field("offset")
    wanted = (position >= low) & (position < high) & (offset == 0)
    return from_arrow(SLOTS, _read(folder / SLOTS_FILE, SLOTS.names, wanted))


def inner_donors(folder: Path, low: int, high: int) -> tuple[Int64s, Int64s]:
    """Position and offset of the donors that stand behind another in the slots at positions low ..
    high - 1; int64 [num_donors] each.

    Raises:
        ManifestError: the table cannot be read.
    """
    position, offset = pc.field("position"), pc.field("offset")
    wanted = (position >= low) & (position < high) & (offset > 0)
    found = _read(folder / SLOTS_FILE, ["position", "offset"], wanted)
    at, behind = (column.to_numpy().astype(np.int64) for column in found.columns)
    return at, behind


def _read(path: Path, columns: list[str], filters: pc.Expression | None = None) -> pa.Table:
    try:
        return pq.read_table(path, columns=columns, filters=filters)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise ManifestError(f"{path}: cannot be read: {error}") from None


class SlotReader:
    """The slots of an arm, looked up one by one.

    Raises, as its methods:
        ManifestError: the table cannot be read.
    """

    def __init__(self, folder: Path, fill: Fill) -> None:
        self._path, self._names = folder / SLOTS_FILE, slots_schema(fill).names
        self._positions: npt.NDArray[np.uint64] = np.unique(
            _read(self._path, ["position"]).column("position").to_numpy()
        )

    def at(self, position: int) -> list[Donor]:
        """What stands in the slot at a position, in its order; none where there is no slot."""
        at = int(np.searchsorted(self._positions, np.uint64(position)))
        if at == len(self._positions) or self._positions[at] != position:
            return []
        return self._rows(pc.field("position") == position)

    def of_slot(self, slot: int) -> list[Donor]:
        """What stands in a slot, in its order, at the first of its positions; none if the arm does
        not have it.
        """
        found = self._rows(pc.field("slot") == slot)
        return [donor for donor in found if donor.position == found[0].position]

    def of_donor(self, digest: bytes) -> list[Donor]:
        """Where a document fills a slot, at every position; none if it fills none."""
        half = digest_columns(digest)[0, 0]
        at = int(np.searchsorted(self._halves, half))
        if at == len(self._halves) or self._halves[at] != half:
            return []
        return self._rows(pc.field("digest") == pa.scalar(digest, pa.binary(16)))

    @cached_property
    def _halves(self) -> npt.NDArray[np.uint64]:
        """First halves of the donors' digests, ascending: uint64 [num_halves]."""
        return np.unique(donor_digests(self._path.parent)[:, 0])

    def _rows(self, wanted: pc.Expression) -> list[Donor]:
        rows = _read(self._path, self._names, wanted).to_pylist()
        return [Donor(**{**row, "digest": row["digest"].hex()}) for row in rows]
