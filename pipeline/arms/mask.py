"""An arm in which slots are masked: its base, whose files are all its own, and the runs of tokens
that are no targets. These are the slots, each whole (`mask`), or the terms of the filter in them
(`mask-terms`, `pipeline.judges.term_mask`).

Terms are looked for in the base's own tokens, at each place of a document in what stands there. So
whoever has the mix, its tokenizer and the filter can say of every token whether it should be
masked, and the audit does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixtures.errors import SupplyError
from mixtures.mix.files import TOKENS
from mixtures.mix.judged.arms import MaskClaim, MaskedClaim
from mixtures.mix.slots import MASK, MASK_FILE, MaskRuns, windows_touched
from mixtures.mix.tables import part_hash
from mixtures.rules.filter_files import load_terms
from mixtures.stream.arms.study import LoadedStudy
from pipeline.arms.base import Base
from pipeline.arms.slots import Places
from pipeline.arms.writing import Draft
from pipeline.judges.annotators.blocklist import Blocklist
from pipeline.judges.term_mask import Runs, TermMask
from pipeline.tokens.decoder import Decoder
from pipeline.tokens.find import content_of, find_tokenizer

BATCH_TOKENS = 1 << 20  # of documents whose terms are looked for at a time


def open_masks(study: LoadedStudy, tokenizer: Path | None) -> dict[str, TermMask]:
    """What finds the terms of each arm that masks them.

    Args:
        tokenizer: the file, as of a build; None: found as for one.

    Raises:
        RecipeError: texts cannot be read back from the ids of the base's tokenizer. Else as
            `find_tokenizer` and `load_terms`.
    """
    wanted = [arm for arm, one in study.study.arms.items() if one.fill == "mask-terms"]
    if not wanted:
        return {}
    base, found = study.base, {}
    file = find_tokenizer(base.tokenizer, tokenizer or base.tokenizer_file)
    decoder = Decoder(content_of(file), str(file))
    for arm in wanted:
        use = study.filters[arm]
        pin = use.definition.blocklist
        found[arm] = TermMask(Blocklist(load_terms(pin, use.brought.folder), pin.mode), decoder)
    return found


def mask_draft(base: Base, arm: str) -> Draft:
    """Which runs of tokens of an arm are no targets.

    Raises:
        SupplyError: terms are to be masked, and what a document's tokens spell holds none.
    """
    places, terms = base.places.among(base.slots.arms[arm]), base.masks.get(arm)
    runs = (
        Runs(np.arange(len(places.slot)), places.first_token, places.num_tokens)
        if terms is None
        else _term_runs(base, terms, places)
    )
    columns = {"start": runs.start, "length": runs.length}
    claim = MaskClaim(
        study=base.study.study.name,
        arm=arm,
        base=base.claims.identity,
        rules=base.rules,
        fill="mask" if terms is None else "mask-terms",
        mask=part_hash(MASK, columns),
        sources=_counts(base, places, runs),
        windows=windows_touched(runs.start, runs.length)[0],
        shares=MaskRuns(runs.start, runs.length).window_shares(base.claims.total_tokens),
    )
    return Draft(base.describe(arm, claim), MASK_FILE, MASK, columns)


def _counts(base: Base, places: Places, runs: Runs) -> dict[str, MaskedClaim]:
    """What is masked of each source. runs: of the places."""
    counts, of_place = {}, base.slots.source[places.slot]
    for number, name in enumerate(base.slots.names):
        mine = of_place[runs.document] == number
        counts[name] = MaskedClaim(
            documents=len(np.unique(places.slot[of_place == number])),
            positions=len(np.unique(runs.document[mine])),
            tokens=int(runs.length[mine].sum()),
        )
    return counts


def _term_runs(base: Base, terms: TermMask, places: Places) -> Runs:
    """The runs of terms at some places."""
    tokens = np.memmap(base.folder / TOKENS, base.claims.layout.dtype, "r")
    begins = 0 if base.claims.tokenizer.bos_id is None else 1
    found = [Runs(*(np.empty(0, np.int64) for _ in Runs._fields))]
    for batch in _batches(places.num_tokens):
        first, num_tokens = places.first_token[batch], places.num_tokens[batch]
        stretches = zip(first.tolist(), num_tokens.tolist(), strict=True)
        here = np.concatenate([tokens[start : start + count] for start, count in stretches])
        ends = np.cumsum(num_tokens)
        runs = terms.runs(here, ends - num_tokens + begins, ends - 1)
        shift = (first - (ends - num_tokens))[runs.document]
        found.append(Runs(runs.document + batch.start, runs.start + shift, runs.length))
    runs = Runs(*(np.concatenate(column) for column in zip(*found, strict=True)))
    _refuse_unfound(base, places, runs)
    return runs


def _batches(num_tokens: npt.NDArray[np.int64]) -> Iterator[slice]:
    """Stretches of documents of about BATCH_TOKENS tokens. num_tokens: int64 [num_docs]."""
    ends, at = np.cumsum(num_tokens), 0
    while at < len(ends):
        before = int(ends[at] - num_tokens[at])
        stop = max(at + 1, int(np.searchsorted(ends, before + BATCH_TOKENS, "right")))
        yield slice(at, stop)
        at = stop


def _refuse_unfound(base: Base, places: Places, runs: Runs) -> None:
    """Refuse a flagged document whose tokens spell no term, since they do not spell its text.

    Raises:
        SupplyError: names the first.
    """
    whole = places.num_tokens == base.slots.num_tokens[places.slot]
    whole[runs.document] = False
    if whole.any():
        place = int(np.argmax(whole))
        raise SupplyError(
            f"{base.folder}: document {int(places.position[place]):,} is flagged, and what its"
            f" tokens spell holds no term, as {int(whole.sum()):,} do: the tokenizer writes their"
            " text otherwise (U+2581 as a space), or the base was damaged, which `annealmix audit"
            f" {base.folder}` says. Mask documents whole (fill: mask), or build it again"
        )
