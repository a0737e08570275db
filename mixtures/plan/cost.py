"""What a build will take, stage by stage: core time, memory and disk, estimated before anything is
read.

Time is work over rate. The rates were measured on real text, on one core of the machine that they
name; a calibration of the machine at hand (`pipeline.commands.plan.calibration`) scales each by how
much faster or slower that machine does a kernel like it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction

from mixtures.estimates import SupplyEstimate
from mixtures.keys import KEY_SPACE
from mixtures.plan.source_plan import SourcePlan
from mixtures.recipe.loaded import LoadedRecipe
from mixtures.recipe.quality.steps import Quality

TEXT_BYTES_A_TOKEN = Fraction(43, 10)  # where no probe has counted
LEDGER_BYTES_A_DOCUMENT = 32
SELECT_BYTES_A_DOCUMENT = 48
INDEX_BYTES_A_DOCUMENT = 20
MIX_BYTES_A_DOCUMENT = INDEX_BYTES_A_DOCUMENT + 45  # and of both tables
WORKER_BYTES = 400_000_000  # a process with its libraries
# with a segment of text, the keys of a near partition, or a slice
WORKER_BYTES_OF_TEXT = 1_500_000_000
SEGMENT_TEXT_BYTES = 512 << 20  # at which a segment of the store ends
CHUNK_BYTES, SLICE_BYTES = 64 << 20, 512 << 20  # that are gathered at a time, and of one task
SORTED_ROWS, MAX_PARTITIONS = 4_500_000, 64  # of a partition of select, up to so many
# A worker of select or write: what it imports, and what it holds of each row that is sorted, of
# each document below the ceilings, and of each document of a slice.
STAGE_BYTES, SORT_BYTES_A_ROW, JUDGE_BYTES_A_DOCUMENT = 110_000_000, 20, 60
SLICE_BYTES_A_DOCUMENT = 270
ROWS_A_DOCUMENT = Fraction(22, 10)  # rows that are sorted while one document is judged and written
# of the store, of which a key partition needs a column of each segment, a chunk the tokens
MAPPED_COLUMNS_A_SECOND, OPENED_FILES_A_SECOND = 33_000, 100_000
# of seal: parts and chunks are hashed where they are written, the .idx as a whole
SEAL_SECONDS, INDEX_BYTES_A_SECOND = 1, 800_000_000

BAND_BYTES = 8 + 12  # of the near-duplicates' search, of each document
COMPETING_BYTES_A_DOCUMENT = 1 + 8 + 16 + 2 + 4 + 4
"""exempt; order_key, digest, source, segment, ledger_row."""
REDUCTION_BYTES_A_DOCUMENT = 13

# Text that a quality step takes in a second, on the machine of DEFAULT_RATES. The first four split
# words, which is nearly all of their time and is shared by those that see the same text. language
# and url are not measured: both are far faster than these.
WORD_STEP_BYTES_A_SECOND = {
    "gopher-quality": 230_000,
    "gopher-repetition": 180_000,
    "c4-quality": 260_000,
    "fineweb-quality": 310_000,
}
STEP_BYTES_A_SECOND = {
    "ftfy": 2_300_000,
    "pii": 5_000_000,
    "regex": 35_000_000,
    "symbol-lines-remover": 57_000_000,
}

GRAM_BYTES_A_SECOND = 75_000_000  # text that is searched for items of evaluation sets

# Escalated text that a classifier takes in a second. A `sequence` model is not timed: that depends
# on the model and on the device.
SCORE_BYTES_A_SECOND = {"linear": 40_000_000, "fasttext": 15_000_000}


@dataclass(frozen=True)
class Rates:
    """Work that one core does in a second."""

    read: int
    """Bytes of text, as of the next two."""
    tokenize: int
    blocklist: int
    words: int
    """Bytes of text, times the hashes that each shingle goes through."""
    characters: int
    """Likewise."""
    near: int
    """Band keys."""
    select: int
    """Documents, judged and written; sorting them is apart."""
    write: int
    """Tokens; opening the files that they come from is apart."""
    basis: str
    """Where and when that was measured."""


DEFAULT_RATES = Rates(
    read=75_000_000,
    tokenize=45_000_000,
    blocklist=70_000_000,
    words=95_000_000 * 112,
    characters=28_000_000 * 260,
    near=4_700_000,
    select=3_200_000,
    write=120_000_000,
    basis="defaults, of a 2-core x86-64 machine, 2026-11-22 to 2026-11-29",
)


@dataclass(frozen=True)
class Work:
    """What a build has to do."""

    text_bytes: Mapping[str, tuple[int, Quality]]
    """By reading (`LoadedRecipe.reading`), with its quality steps."""
    stored_documents: int
    """Of all readings."""
    documents: int
    """Under the key ceilings."""
    tokenized: int
    """Tokens, under the key ceilings."""
    total: int
    """Tokens of the mix."""
    escalated_bytes: int
    """Text for classifiers."""

    @property
    def segments(self) -> int:
        """Of the store, about: the end of a group of files ends one, too."""
        return sum(-(-size // SEGMENT_TEXT_BYTES) for size, _ in self.text_bytes.values())

    @property
    def read_bytes(self) -> int:
        """Text of all readings."""
        return sum(size for size, _ in self.text_bytes.values())


def text_bytes(supply: SupplyEstimate) -> int:
    """UTF-8 of a supply, as a probe counted it or from its tokens."""
    if supply.text_bytes is not None:
        return supply.text_bytes
    return int(supply.tokens * TEXT_BYTES_A_TOKEN)


def work_of(
    recipe: LoadedRecipe,
    rows: Mapping[str, SourcePlan],
    supplies: Mapping[str, SupplyEstimate],
    total: int,
) -> Work:
    """The work of a build. A definition is read once under the same quality steps, however many
    sources use it.

    Args:
        rows: of the plan's sources. total: tokens of the mix.
    """
    readings = {
        recipe.reading(name): (supply, recipe.recipe.sources[name].quality)
        for name, supply in supplies.items()
        if name in rows
    }
    tokenized = documents = escalated = 0
    for row in rows.values():
        share = Fraction(row.tokenized_share_estimated)
        tokens = int((row.supply_tokens_estimated or row.resolved_tokens) * share)
        removed = Fraction(row.removed_share_estimated or 0) + Fraction(
            row.copied_share_estimated or 0
        )
        tokenized += tokens
        documents += int((row.supply_documents_estimated or 0) * share)
        escalated += int(tokens * TEXT_BYTES_A_TOKEN * removed)
    return Work(
        text_bytes={
            name: (text_bytes(supply), steps) for name, (supply, steps) in readings.items()
        },
        stored_documents=sum(supply.documents for supply, _ in readings.values()),
        documents=documents,
        tokenized=tokenized,
        total=total,
        escalated_bytes=escalated,
    )


@dataclass(frozen=True)
class StageCost:
    """What a stage takes."""

    core_seconds: int | None
    """None: it depends on the model and on the device."""
    worker_bytes: int
    """Memory of a worker."""


@dataclass(frozen=True)
class NearCost:
    """What a search for near-duplicates takes."""

    near_documents: int
    near_store_bytes: int
    near_reduction_bytes: int
    """Memory of the reduction, which is one process."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Estimated disk, memory and core time."""

    text_bytes: int
    """To read."""
    store_bytes: int
    mix_bytes: int
    worker_bytes: int
    """Memory of a worker, but for the reduction of a search for near-duplicates."""
    ingest_seconds: Mapping[str, int]
    """Core time of each part of the ingest."""
    stages: Mapping[str, StageCost]
    near: NearCost | None
    rates: str
    """Where the rates are from."""

    @property
    def core_seconds(self) -> int:
        """Of all stages whose time is known."""
        return sum(stage.core_seconds or 0 for stage in self.stages.values())

    def as_json(self) -> dict[str, object]:
        """The fields, those of `near` beside the others, and `core_seconds_PART` of the ingest."""
        fields = asdict(self)
        parts = fields.pop("ingest_seconds").items()
        near = fields.pop("near") or {}
        by_part = {f"core_seconds_{name}": seconds for name, seconds in parts}
        return {**fields, **near, "core_seconds": self.core_seconds, **by_part}


def estimate_cost(
    recipe: LoadedRecipe, rows: Mapping[str, SourcePlan], work: Work, rates: Rates
) -> Cost:
    """What a build takes, by the rows of the plan's sources and the rates of the machine."""
    within = {name: row.supply_documents_estimated or 0 for name, row in rows.items()}
    near = near_cost(recipe, within)
    ingest_seconds = _ingest_seconds(recipe, work, rates)
    seconds: dict[str, int | None] = {"ingest": sum(ingest_seconds.values())}
    if kinds := classifier_kinds(recipe):
        seconds["score"] = None
        if all(kind in SCORE_BYTES_A_SECOND for kind in kinds):
            rates_of = [SCORE_BYTES_A_SECOND[kind] for kind in kinds]
            seconds["score"] = sum(work.escalated_bytes // rate for rate in rates_of)
    if recipe.recipe.near and near:
        seconds["near"] = near.near_documents * recipe.recipe.near.effective.bands // rates.near
    token_bytes = recipe.tokenizer.dtype.itemsize
    memory = _memory(rows, work, token_bytes)
    seconds |= _seconds_of_mix(work, token_bytes, rates)
    return Cost(
        text_bytes=work.read_bytes,
        store_bytes=work.tokenized * token_bytes
        + work.stored_documents * LEDGER_BYTES_A_DOCUMENT
        + work.documents * (SELECT_BYTES_A_DOCUMENT + 12),
        mix_bytes=work.total * token_bytes + work.documents * MIX_BYTES_A_DOCUMENT,
        worker_bytes=max(*memory.values(), WORKER_BYTES_OF_TEXT),
        ingest_seconds=ingest_seconds,
        stages={
            name: StageCost(value, memory.get(name, WORKER_BYTES_OF_TEXT))
            for name, value in seconds.items()
        },
        near=near,
        rates=rates.basis,
    )


def _seconds_of_mix(work: Work, token_bytes: int, rates: Rates) -> dict[str, int]:
    """Core time of select, write and seal. Each key partition opens a column of each segment, each
    chunk the tokens of each, and each slice two columns of each.
    """
    judged = work.documents + work.stored_documents / ROWS_A_DOCUMENT
    mix_bytes = work.total * token_bytes
    opened = -(-mix_bytes // CHUNK_BYTES) + 2 * -(-mix_bytes // SLICE_BYTES)
    partitions = key_partitions(work.stored_documents)
    return {
        "select": int(judged / rates.select)
        + partitions * work.segments // MAPPED_COLUMNS_A_SECOND,
        "write": work.total // rates.write + opened * work.segments // OPENED_FILES_A_SECOND,
        "seal": SEAL_SECONDS + work.documents * INDEX_BYTES_A_DOCUMENT // INDEX_BYTES_A_SECOND,
    }


def key_partitions(documents: int) -> int:
    """Key partitions in which so many documents are selected."""
    count = 1
    while count < MAX_PARTITIONS and documents > count * SORTED_ROWS:
        count *= 2
    return count


def _densest(rows: Mapping[str, SourcePlan], partitions: int) -> int:
    """Documents below the ceilings in the key partition that has most of them: what a mix takes of
    a source that it does not use whole lies in a few.
    """
    counts = [Fraction(0)] * partitions
    for row in rows.values():
        low, high = map(Fraction, row.keys)
        top = Fraction(row.key_ceiling_estimated)
        density = (row.supply_documents_estimated or 0) / (high - low)
        for number in range(partitions):
            begin, end = Fraction(number, partitions), Fraction(number + 1, partitions)
            shared = min(top, end) - max(low, begin)
            if shared > 0:
                counts[number] += density * shared
    return int(max(counts))


def _memory(rows: Mapping[str, SourcePlan], work: Work, token_bytes: int) -> dict[str, int]:
    """Memory of a worker, of the stages that read no text."""
    partitions = key_partitions(work.stored_documents)
    sort_bytes = work.stored_documents // partitions * SORT_BYTES_A_ROW
    share = min(Fraction(SLICE_BYTES, max(work.total * token_bytes, 1)), Fraction(1))
    return {
        "select": STAGE_BYTES + sort_bytes + _densest(rows, partitions) * JUDGE_BYTES_A_DOCUMENT,
        "write": STAGE_BYTES + CHUNK_BYTES + int(work.documents * share) * SLICE_BYTES_A_DOCUMENT,
        "seal": WORKER_BYTES,
    }


def classifier_kinds(recipe: LoadedRecipe) -> list[str]:
    """Kinds of the classifiers that judge; `sequence` for a filter that is still to be brought, as
    the published ones are.
    """
    brought = [item.definition.classifier for item in recipe.filters if item.bundle]
    missing = [
        item for item in recipe.filters if item.bundle is None and item.request.level != "strong"
    ]
    return [*(pin.kind for pin in brought if pin), *("sequence" for _ in missing)]


def _ingest_seconds(recipe: LoadedRecipe, work: Work, rates: Rates) -> dict[str, int]:
    """Core time of each part of the reading pass."""
    tokenized = int(work.tokenized * TEXT_BYTES_A_TOKEN)
    seconds = {"read": work.read_bytes // rates.read, "tokenize": tokenized // rates.tokenize}
    if recipe.filters:
        seconds["blocklist"] = len(recipe.filters) * tokenized // rates.blocklist
    if recipe.recipe.decontaminate:
        seconds["grams"] = tokenized // GRAM_BYTES_A_SECOND
    if near := recipe.recipe.near:
        seconds["bands"] = (
            work.read_bytes
            * near.effective.hashes
            // (rates.words if near.effective.unit == "words" else rates.characters)
        )
    if any(steps for _, steps in work.text_bytes.values()):
        seconds["quality"] = sum(
            _quality_seconds(steps, size) for size, steps in work.text_bytes.values()
        )
    return seconds


def _quality_seconds(steps: Quality, num_bytes: int) -> int:
    """Core time of a source's quality steps."""
    words, others = (
        [Fraction(1, rates[step.name]) for step in steps if step.name in rates]
        for rates in (WORD_STEP_BYTES_A_SECOND, STEP_BYTES_A_SECOND)
    )
    return int(num_bytes * (max(words, default=0) + sum(others)))


def near_cost(recipe: LoadedRecipe, within: Mapping[str, int]) -> NearCost | None:
    """What the recipe's search takes; None if it asks for none.

    Args:
        within: estimated documents of each source in its key range.
    """
    near = recipe.recipe.near
    if near is None:
        return None
    documents = sum(count for name, count in within.items() if near.competes(name))
    if near.excluded:
        documents += sum(_excluded_documents(other) for other in recipe.excluded)
    document_bytes = near.effective.bands * BAND_BYTES + COMPETING_BYTES_A_DOCUMENT
    return NearCost(documents, documents * document_bytes, documents * REDUCTION_BYTES_A_DOCUMENT)


def _excluded_documents(recipe: LoadedRecipe) -> int:
    """Published documents of a recipe's key ranges."""
    count = 0
    for name, request in recipe.recipe.sources.items():
        if size := recipe.definitions[name].published:
            count += size.documents * request.key_range.width // KEY_SPACE
    return count
