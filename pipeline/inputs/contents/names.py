"""What the name of a file says of it: hidden, a companion of data, unfinished, of which split,
which shard of how many.

Splits are told by the words by which the library `datasets` tells them of files that nobody
describes (`datasets.data_files`, SPLIT_KEYWORDS), but more narrowly (`splits_of`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

SPLITS: dict[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""Words that say each split."""

HUB_DOWNLOADS = ".cache/huggingface/download"
"""In a folder that the hub's client downloads to: what is not there whole yet."""

_SPLIT_OF_WORD = {word: split for split, words in SPLITS.items() for word in words}
_SEPARATORS = re.compile(r"[-._ 0-9/]+")
_UNFINISHED = re.compile(
    r".+\.(incomplete|tmp|temp|part|partial|filepart|crdownload|download|opdownload|aria2"
    r"|unfinished|uploading)|_temporary",
    re.IGNORECASE,
)
_RSYNC = re.compile(r"\.(.+)\.[A-Za-z0-9]{6}")  # what rsync writes before it renames
_WORDS_OF_COMPANIONS = (
    "readme|licen[sc]e|copying|notice|citation|changelog|contributing|authors|datasheet"
    "|dataset[-_]?card|data[-_]?card|(md5|sha1|sha256|sha512)sums?|checksums?"
)
_COMPANIONS = re.compile(
    # with nothing else in a name whose ending may be data: `notice.txt`, not `readme_alice.txt`
    rf"({_WORDS_OF_COMPANIONS})(\.txt|[-_][^.]*)?"
    rf"|({_WORDS_OF_COMPANIONS})([-_.][^.]*)?\.(md|rst|html|pdf|bib|cff)"
    r"|.+\.(md|md5|sha1|sha256|sha512|crc|asc|sig)"
    r"|_success|_metadata|_common_metadata|_(committed|started)_.*"
    r"|dataset_(info|infos|dict)\.json|croissant\.json|thumbs\.db|desktop\.ini",
    re.IGNORECASE,
)
_FOLDERS_OF_SYSTEMS = ("__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found")
_SHARD = re.compile(
    r"(?P<before>.*?)(?P<number>\d+)(?P<of>[-_.]of[-_.])(?P<total>\d+)(?P<after>.*)"
)
_MOST_SHARDS = 1_000_000


class Shard(NamedTuple):
    """A part of a numbered set, by its own name: `train-00002-of-00041.parquet`."""

    series: str
    """What all parts of the set share: the path with `*` in the place of the number."""
    number: int
    total: int


def is_hidden(path: str) -> bool:
    """Whether the file, or a folder above it, begins with a dot."""
    return path.startswith(".") or "/." in path


def is_companion(path: str) -> bool:
    """Whether it goes with data and is none: what describes or checks data, and what operating
    systems, Spark and the hub leave beside it.
    """
    *folders, name = path.split("/")
    return any(part in _FOLDERS_OF_SYSTEMS for part in folders) or bool(_COMPANIONS.fullmatch(name))


def is_unfinished(path: str) -> bool:
    """Whether it is what a download or a copy writes before it renames: a part of a file that is
    not there yet.
    """
    return any(_UNFINISHED.fullmatch(part) for part in path.split("/"))


def rsync_target(path: str) -> str | None:
    """The name that a hidden file of an rsync under way is to get; None for other names."""
    match = _RSYNC.fullmatch(path.rsplit("/", 1)[-1])
    return match[1] if match else None


def splits_of(paths: Sequence[str]) -> dict[str, str | None]:
    """The split that each path names; None: none.

    A part of a path that begins with the word names a split (`train-0.parquet`, `data/test/a`).
    Elsewhere in a name (`corpus_test.jsonl`) the word counts if there is the same name with
    another split's word or without one: `piqa_validation.jsonl` alone is a name.
    """
    kin: dict[str, set[str | None]] = {}
    named = {path: _split_named(path) for path in paths}
    for split, rest in named.values():
        kin.setdefault(rest, set()).add(split)
    return {
        path: _split_begun(path) or (split if len(kin[rest]) > 1 else None)
        for path, (split, rest) in named.items()
    }


def _split_begun(path: str) -> str | None:
    for part in path.lower().split("/"):
        if split := _SPLIT_OF_WORD.get(_SEPARATORS.split(part)[0]):
            return split
    return None


def _split_named(path: str) -> tuple[str | None, str]:
    """The first split whose word is in a path, and the other words."""
    words = [word for word in _SEPARATORS.split(path.lower()) if word]
    split = next((word for word in words if word in _SPLIT_OF_WORD), None)
    rest = " ".join(word for word in words if word != split)
    return (_SPLIT_OF_WORD[split] if split else None), rest


def shard_of(path: str) -> Shard | None:
    """Which part of a numbered set a file is. What follows the count is no part of the set's name
    but for the ending, since the hub puts a hash there.
    """
    folder, slash, name = path.rpartition("/")
    match = _SHARD.fullmatch(name)
    if match is None or not 0 < int(match["total"]) <= _MOST_SHARDS:
        return None
    number, total = int(match["number"]), int(match["total"])
    if number > total:
        return None
    ending = "." + match["after"].partition(".")[2] if "." in match["after"] else ""
    series = f"{folder}{slash}{match['before']}*{match['of']}{match['total']}{ending}"
    return Shard(series, number, total)
