"""`annealmix export MIX --text DIR`: the documents as parquet shards, in stream order, for
`datasets.load_dataset(DIR)`.

    DIR/train-00000-of-00004.parquet, ...: columns
      id        digest in hex; later epochs end in -eN, copies in -cN, donors that stand elsewhere,
                too, in -rN
      source    name in the recipe; in a slot of an aligned arm that of its donors, or the file of
                rewrites
      text      what the ids spell, without the EOD that ends the document
      tokens    their number, that EOD included
      position  in the stream, from 0
      cut       shortened to end its source's quota

The text is read back from the ids: it has the form that the tokenizer's normaliser gave it
(GPT-NeoX-20B: NFC), a special id inside a document is its string, and a document that was cut ends
where it was cut, with U+FFFD if that is inside a character.

A shard is a fixed stretch of the stream, whoever writes it: the bytes do not depend on the number
of workers. Memory: a share of about 4 MB of text and the table of one slice for each worker.
"""

from __future__ import annotations

import shutil
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mixtures.audit.tables.parts import proven_part
from mixtures.audit.tables.slot_table import SlotTable
from mixtures.errors import AuditFailed
from mixtures.mix.claims import Claims, read_claims
from mixtures.mix.files import part_path
from mixtures.mix.indexed import IndexedTokens
from mixtures.mix.tables import Columns
from pipeline.commands.destination import appearing
from pipeline.executors.local import LocalExecutor
from pipeline.executors.stage import Plan, Stage, Unit
from pipeline.lookup.documents import SHARE_TOKENS, StreamDocuments
from pipeline.report import progress

SHARD_TOKENS = 1 << 26  # about 270 MB of text
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("text", pa.string()),
        ("tokens", pa.int64()),
        ("position", pa.int64()),
        ("cut", pa.bool_()),
    ]
)


def export_text(
    mix: Path,
    out: Path,
    tokenizer: Path | None,
    workers: int | None = None,
    shard_tokens: int = SHARD_TOKENS,
) -> tuple[int, int]:
    """Write the shards.

    Args:
        tokenizer: the file; None finds the one that the manifest names. workers: processes
            (default: the cores).

    Returns:
        How many documents, and in how many shards.

    Raises:
        RecipeError: as `refuse_place`, or the tokenizer's ids do not spell texts.
        AuditFailed: the mix is not what its manifest says.
        ManifestError, InputError: as `StreamDocuments.of_mix`.
    """
    stream = StreamDocuments.of_mix(mix, tokenizer)
    claims = read_claims(mix)
    shards = list(_shards(claims, stream.open(), shard_tokens))
    with appearing(out, mix) as folder:
        names = [
            f"train-{number:05d}-of-{len(shards):05d}.parquet" for number in range(len(shards))
        ]
        units = [
            TextUnit(**shard, file=folder / name) for shard, name in zip(shards, names, strict=True)
        ]
        plan = TextPlan(
            mix=mix.absolute(), tokenizer=stream.tokenizer.absolute(), units=tuple(units)
        )
        with progress("shards of text", len(units), lambda: TextShards.num_done(plan)):
            LocalExecutor(workers).execute(TextShards, plan, folder / "work")
        shutil.rmtree(folder / "work")
    return claims.total_documents, len(shards)


def _shards(claims: Claims, pair: IndexedTokens, shard_tokens: int) -> Iterator[dict[str, int]]:
    """Stretches of documents, none over the border of a slice, since that is where parts of the
    tables end.
    """
    slice_tokens, total = claims.layout.slice_tokens, len(pair.pointers)
    itemsize = pair.tokens.dtype.itemsize

    def first_from(token: int) -> int:
        return bisect_left(
            range(total), token * itemsize, key=lambda at: int(pair.pointers[at])
        )  # numpy would copy all pointers

    for part in range(claims.num_slices):
        begin, stop = part * slice_tokens, min((part + 1) * slice_tokens, claims.total_tokens)
        first = first_from(begin)
        for token in range(begin, stop, shard_tokens):
            low, high = first_from(token), first_from(min(token + shard_tokens, stop))
            if high > low:
                yield {"part": part, "row": low - first, "position": low, "documents": high - low}


class TextUnit(Unit):
    """A shard: `documents` of them from `row` of a part of the tables on, from `position` of the
    mix.
    """

    part: int
    row: int
    position: int
    documents: int
    file: Path


class TextPlan(Plan[TextUnit]):
    """The mix and the file of its tokenizer."""

    mix: Path
    tokenizer: Path


class TextShards(Stage[TextPlan, TextUnit]):
    """Writes the shards."""

    name = "text"
    plan_type = TextPlan

    def prepare(self, plan: TextPlan) -> None:
        """Open the mix and the tokenizer."""
        self._mix = plan.mix
        self._stream = StreamDocuments.of_mix(self._mix, plan.tokenizer)
        self._pair, self._decoder = self._stream.open(), self._stream.decoder()
        self._claims = read_claims(self._mix)
        self._slots = SlotTable.proven(self._mix, self._claims)

    @staticmethod
    def outputs(plan: TextPlan, unit: TextUnit) -> list[Path]:
        """The shard."""
        return [unit.file]

    @staticmethod
    def describe(unit: TextUnit) -> str:
        """Its documents."""
        return f"documents {unit.position:,} to {unit.position + unit.documents - 1:,}"

    @classmethod
    def is_done(cls, plan: TextPlan, unit: TextUnit) -> bool:
        """Whether the shard has its name, which it gets when it is whole. An export that stops is
        made anew, so nothing is recorded.
        """
        return unit.file.is_file()

    def do(self, plan: TextPlan, unit: TextUnit) -> None:
        """Write one shard, a row group for each share."""
        columns, starts, ends = self._documents(unit)
        written = unit.file.with_name(f".{unit.file.name}")
        with pq.ParquetWriter(
            written, SCHEMA, compression="zstd", use_dictionary=["source"]
        ) as writer:
            at = 0
            while at < len(starts):
                stop = max(at + 1, int(np.searchsorted(ends, starts[at] + SHARE_TOKENS, "right")))
                low, here = int(starts[at]), slice(at, stop)
                tokens = np.asarray(self._pair.tokens[low : int(ends[stop - 1])])
                bounds = self._stream.text_bounds(tokens, starts[here] - low, ends[here] - low)
                texts = self._decoder.texts(tokens, *bounds, low)
                writer.write_table(
                    _table({name: values[here] for name, values in columns.items()}, texts)
                )
                at = stop
        written.rename(unit.file)

    def _documents(self, unit: TextUnit) -> tuple[Columns, Any, Any]:
        """Columns of a shard's documents, and where each starts and ends in the stream, as table
        and .idx say alike.

        Columns [num_docs]; starts and ends: int64 [num_docs], tokens.
        """
        path = part_path(self._mix, "documents", unit.part)
        size = self._pair.tokens.dtype.itemsize
        rows = slice(unit.row, unit.row + unit.documents)
        columns = {
            name: values[rows]
            for name, values in proven_part(self._mix, self._claims, unit.part).items()
        }
        columns["repeat"] = self._slots.repeats(self._slots.at(columns["position"]))
        starts = columns["first_token"].astype(np.int64)
        lengths = columns["num_tokens"].astype(np.int64)
        at = self._slots.at(columns["position"])
        first = self._slots.first[at[at >= 0]]
        columns["source"][at >= 0] = self._slots.columns["donor_source"][first]
        if self._claims.arm and (made := self._claims.arm.rewrites):
            columns["source"][columns["source"] == ""] = made.file
        here = slice(unit.position, unit.position + unit.documents)
        if not (
            np.array_equal(starts * size, self._pair.pointers[here])
            and np.array_equal(lengths, self._pair.sizes[here])
        ):
            fault = "does not agree with the .idx on where documents begin and end"
            raise AuditFailed(
                f"{path}: {fault}; `annealmix audit {self._mix}` says what else is off"
            )
        return columns, starts, starts + lengths


def _table(columns: Columns, texts: list[str]) -> pa.Table:
    """A share of a shard: columns and texts [num_docs]."""
    marks = {"e": columns["epoch"], "c": columns["copy"], "r": columns["repeat"]}
    numbers = zip(*(column.tolist() for column in marks.values()), strict=True)
    names = [
        digest.tobytes().hex()
        + "".join(
            f"-{mark}{number}" for mark, number in zip(marks, of_document, strict=True) if number
        )
        for digest, of_document in zip(columns["digest"], numbers, strict=True)
    ]
    values = {
        "id": names,
        "source": columns["source"].tolist(),
        "text": texts,
        "tokens": columns["num_tokens"].tolist(),
        "position": columns["position"].tolist(),
        "cut": columns["cut"].tolist(),
    }
    return pa.table(
        {name: pa.array(value, SCHEMA.field(name).type) for name, value in values.items()},
        schema=SCHEMA,
    )
