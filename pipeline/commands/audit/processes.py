"""The pass of `pipeline.commands.audit.rescan` on all cores: processes, since reading texts back
and judging them is Python's work for a good part.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np

from mixtures.audit.stream import cores
from mixtures.errors import AnnealmixError
from mixtures.mix.indexed import IndexedTokens
from pipeline.commands.audit.rescan import COUNTS, FilterCounts, Rescan, ShareJudge
from pipeline.executors.pool import end_with_caller
from pipeline.judges.filter import Filter
from pipeline.lookup.documents import SHARE_TOKENS, Share

WAITING = 3  # shares a process that are handed out ahead


def rescan(
    plan: Rescan,
    filters: Sequence[Filter],
    pair: IndexedTokens,
    workers: int | None = None,
    done: Callable[[int], None] | None = None,
) -> list[FilterCounts]:
    """Judge every document.

    Args:
        filters: those of the plan, opened. pair: the stream's, opened.
        workers: processes; None: one a core, and none beside this one for a small mix. done: called
            with the documents done so far.

    Returns:
        What each filter says.

    Raises:
        AuditFailed: the documents cannot be read. InputError: a text cannot be scored.
        AnnealmixError: a process was ended from outside.
    """
    if workers is None:
        workers = min(cores(), -(-len(pair.tokens) // SHARE_TOKENS))
    whole = [
        FilterCounts(np.zeros((len(plan.stream.sources), len(COUNTS)), np.int64)) for _ in filters
    ]
    shares, num_done = plan.stream.shares(pair), 0
    if workers > 1:
        results = _side_by_side(plan, shares, workers)
    else:
        judge = ShareJudge(plan, filters, pair)
        results = (judge.judge(share) for share in shares)
    for counts in results:
        for total, one in zip(whole, counts, strict=True):
            total.add(one, plan.num_scored)
        num_done += counts[0].total("documents")
        if done is not None:
            done(num_done)
    return whole


def _side_by_side(
    plan: Rescan, shares: Iterable[Share], workers: int
) -> Iterator[list[FilterCounts]]:
    """Results in the order of the shares."""
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (plan,))
    waiting: deque[Future[list[FilterCounts]]] = deque()
    try:
        for share in shares:
            waiting.append(pool.submit(_judge, share))
            if len(waiting) >= WAITING * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise AnnealmixError(
            "a process that judged documents was ended from outside, most likely for want of"
            " memory; start the same command again, with fewer --workers if it was memory"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_plans: list[Rescan] = []  # of this process
_judges: list[ShareJudge] = []


def _begin(plan: Rescan) -> None:
    """Start a process. Files are opened at its first share, whose errors come back as what they
    are.
    """
    end_with_caller()
    _plans.append(plan)


def _judge(share: Share) -> list[FilterCounts]:
    if not _judges:
        _judges.append(ShareJudge(_plans[0]))
    return _judges[0].judge(share)
