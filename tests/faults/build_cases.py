"""Cases of what happens around a build: stopped, disturbed or short of space, with damaged
decisions, other filters, more than 32 bits.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import recipes
from mixtures.errors import AnnealmixError
from mixtures.mix import indexed
from mixtures.recipe.load import load_recipe
from mixtures.recipe.tokenizer.form import canonical_digest
from pipeline.build import build as building
from pipeline.build.claims import seal
from pipeline.build.request import BuildRequest
from pipeline.executors.local import LocalExecutor
from pipeline.inputs.listing import DataFolders
from pipeline.stages.segments import SegmentBuilder
from tests.faults.endings import Builds, Case, Ending, first_line
from tests.pipeline.command_line import Process, run, until
from tests.pipeline.corpus import make, prose, sharded, write_files
from tests.pipeline.input_files import flip_bit
from tests.pipeline.planted import TERMS, planted, write_list_filter

TEXTS = prose(78, 200, (1, 8))


def whole(folder: Path, texts: list[str] = TEXTS, **more: Any) -> Builds:
    """Undamaged inputs: three files of one source."""
    write_files(folder / "data", "a", sharded(texts, 3), "jsonl")
    return Builds(folder, more=more)


def worst(endings: list[Ending]) -> Ending:
    """The last ending, if all are of one letter."""
    return next((one for one in endings if one.letter != endings[-1].letter), endings[-1])


def new_file(folder: Path) -> Ending:
    builds = whole(folder)
    builds.build()
    kept = (folder / "out" / "tokens.bin").read_bytes()
    write_files(folder / "data", "a", {"new": prose(79, 5)}, "jsonl")
    ended = builds.build()
    refused = (
        ended.code == 2
        and "inputs" in ended.err
        and (folder / "out" / "tokens.bin").read_bytes() == kept
    )
    return Ending("F" if refused else "?", ended.code, None, first_line(ended, folder))


def another_task_count(folder: Path) -> Ending:
    """A build in two tasks that is stopped after its ingest, and then goes on in seven; what is
    compared was built in one.
    """
    builds = whole(folder)
    builds.build("reference", store="reference-store")
    with mock.patch.object(building, "write_mix", side_effect=AnnealmixError("stopped")):
        stopped = builds.build("out", "--tasks", "2")
    assert stopped.code == 1
    return builds.same(builds.build("out", "--tasks", "7"), folder / "reference")


def killed(folder: Path) -> Ending:
    builds = whole(folder)
    builds.build("reference", store="reference-store")
    words: list[str | Path] = [
        "build",
        builds.recipe(),
        "--data",
        folder / "data",
        "--store",
        folder / "store",
        "--out",
        folder / "out",
    ]
    process = Process(folder / "log", *words)
    until(
        lambda: any(folder.glob("store/sources/*/*/.ledger*")) or process.process.poll() is not None
    )
    process.kill()
    ended = builds.build()
    left = [path for path in folder.iterdir() if path.name.startswith(".")]
    return (
        builds.same(ended, folder / "reference")
        if not left
        else Ending("?", ended.code, None, f"{left[0].name} is left")
    )


@contextmanager
def file_size_limit(num_bytes: int) -> Iterator[None]:
    """Files of this process may grow to so many bytes: what a quota or a full disk is to a test."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def no_space(folder: Path) -> Ending:
    builds = whole(folder)
    with file_size_limit(3000):
        ended = builds.build()
    refused = builds.failed(ended, codes=(1,))
    return (
        refused
        if builds.read(builds.build(), len(TEXTS)).letter == "H"
        else replace(refused, letter="?")
    )


def damaged_decision(folder: Path) -> Ending:
    """Which documents give way to near-copies is first truncated, then missing."""
    builds = whole(
        folder,
        near={"rule": "words"},
        texts=[*TEXTS, *(" ".join(TEXTS[at : at + 30]) + end for at in (0, 50) for end in "ab")],
    )
    builds.build("reference")
    path = next(
        path
        for path in sorted(folder.glob("store/near/*/drops/*"))
        if path.name != "done.json" and path.stat().st_size
    )
    endings = []
    for damage in (lambda: path.write_bytes(path.read_bytes()[:-1]), path.unlink):
        damage()
        endings.append(builds.failed(builds.build()))
    return worst(endings)


def vanished(folder: Path) -> Ending:
    """A document is read and never reaches the ledger: what a stage puts out is held against what
    it took in.
    """
    add = SegmentBuilder.add

    def forgetful(self: SegmentBuilder, file: int, row: int, text: str) -> None:
        if row != 7:
            add(self, file, row, text)

    builds = whole(folder)
    with mock.patch.object(SegmentBuilder, "add", forgetful):
        return builds.failed(builds.build(), codes=(1,))


def filtered(folder: Path, spoil: Callable[[Path], object]) -> Ending:
    write_list_filter(folder / "filters", "list", TERMS)
    builds = whole(folder, planted(1, 60), filters=["list"])
    spoil(folder / "filters" / "list.txt")
    return builds.failed(builds.build("out", "--filters", folder / "filters"))


def second_builder(folder: Path) -> Ending:
    """Another process holds the output's place for a moment; the builder names it, waits, and
    builds.
    """
    builds = whole(folder)
    builds.build("reference", store="reference-store")
    hold = (
        "import fcntl, os, sys, time; f = open(sys.argv[1], 'a+'); fcntl.lockf(f, fcntl.LOCK_EX);"
        " f.write(f'{os.getpid()} on here'); "
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", hold + "f.flush(); time.sleep(1)", str(folder / ".out.lock")]
    )
    until(lambda: (folder / ".out.lock").exists() and (folder / ".out.lock").stat().st_size)
    ended = builds.build()
    holder.wait()
    named = (
        f"waiting for the output {folder / 'out'}, held by process {holder.pid} on here"
        in ended.err
    )
    if not named:
        return Ending("?", ended.code, None, first_line(ended, folder))
    return replace(
        builds.same(ended, folder / "reference"),
        message="waiting for the output out, held by process ...",
    )


def large_vocabulary(folder: Path) -> Ending:
    """A vocabulary of 70,000 ids is written as int32, and read back so."""
    content = json.loads((Path(recipes.__file__).parent / "sample" / "tokenizer.json").read_text())
    content["model"]["vocab"] |= {f"\u0120unused{number}": number for number in range(2000, 70_000)}
    file = folder / "large.json"
    file.write_text(json.dumps(content))
    builds = whole(folder)
    loaded = load_recipe(str(builds.recipe()))
    sizes = {
        "vocab_size": 70_000,
        "padded_vocab_size": 70_016,
        "digest": canonical_digest(file.read_bytes()),
    }
    large = replace(loaded, tokenizer=loaded.tokenizer.model_copy(update=sizes))
    request = BuildRequest(
        large, folder / "out", folder / "store", DataFolders(folder / "data"), file
    )
    building.build(replace(request, executor=LocalExecutor(1)))
    wide = indexed.open_indexed(folder / "out" / "tokens.bin", folder / "out" / "tokens.idx")
    small = make(builds.recipe(), folder, folder / "data", "small", "small-store")
    narrow = np.fromfile(folder / "small" / "tokens.bin", "<u2")
    right = wide.tokens.dtype == np.dtype("<i4") and np.array_equal(wide.tokens, narrow)
    return Ending("H" if right else "?", 0, small["total_documents"])


def pair(folder: Path, count: int, first: int, lengths: list[int], first_token: int) -> Path:
    """A sparse .idx of `count` documents of which some consecutive ones are written, and nothing
    else on the disk.
    """
    with (folder / "x.idx").open("wb") as file:
        file.write(indexed.header(count, "uint16"))
        file.truncate(indexed.file_size(count))
        for offset, content in indexed.pieces(
            count, first, first_token, np.array(lengths, np.int64), 2
        ):
            file.seek(offset)
            file.write(content)
    with (folder / "x.bin").open("wb") as file:
        file.truncate(2 * (first_token + sum(lengths)))
    return folder


def pointers_above_two_gibibytes(folder: Path) -> Ending:
    pair(folder, 3, 0, [5 << 28, 5 << 28, 7], 0)
    opened = indexed.open_indexed(folder / "x.bin", folder / "x.idx")
    right = (
        opened.pointers.tolist() == [0, 5 << 29, 5 << 30] and len(opened.tokens) == (5 << 29) + 7
    )
    return Ending("H" if right else "?", 0)


def documents_above_two_billion(folder: Path) -> Ending:
    count = (1 << 31) + 9
    pair(folder, count, count - 3, [4, 5, 6], 1 << 33)
    opened = indexed.open_indexed(folder / "x.bin", folder / "x.idx")
    right = opened.documents[-4:].tolist() == [count - 3, count - 2, count - 1, count]
    right &= (
        opened.pointers[-3:].tolist() == [1 << 34, (1 << 34) + 8, (1 << 34) + 18]
        and len(opened.sizes) == count
    )
    return Ending("H" if right else "?", 0)


def damaged_mixes(folder: Path) -> Ending:
    """An audit of each: an empty .bin, a .bin that lacks a token, an .idx with another magic."""
    builds = whole(folder)
    builds.build()
    tokens, index = folder / "out" / "tokens.bin", folder / "out" / "tokens.idx"
    content, endings = tokens.read_bytes(), []
    for damage in (
        lambda: tokens.write_bytes(b""),
        lambda: tokens.write_bytes(content[:-2]),
        lambda: flip_bit(index, 3),
    ):
        damage()
        ended = run("audit", folder / "out")
        seen = ended.code == 3 and "FAILED" in ended.out and "Traceback" not in ended.err
        told = next((line.strip() for line in ended.out.splitlines() if "FAILED" in line), "")
        endings.append(
            Ending("F" if seen else "?", ended.code, None, told.replace(str(folder), "")[:150])
        )
        tokens.write_bytes(content)
    return worst(endings)


def bounded_finish(folder: Path) -> Ending:
    """Sealing, whose memory must not grow with the documents: measured at 500 and at 5,000 of them
    in as many slices.
    """
    peaks, sealing = [], seal.seal

    def measured(*arguments: Any) -> Any:
        tracemalloc.start()
        sealed = sealing(*arguments)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        return sealed

    with mock.patch.object(seal, "seal", measured):
        for count in (500, 5000):
            builds = whole(folder / str(count), prose(80, count, (1, 3)))
            ended = builds.build()
    read = builds.read(ended, 5000)
    return (
        read if peaks[1] < peaks[0] + 100_000 else Ending("?", 0, read.documents, f"{peaks} bytes")
    )


BUILD_CASES = [
    Case("21", "a new input file after completion", "F", new_file),
    Case("22", "another task count on a rerun", "S", another_task_count),
    Case("23", "SIGKILL, then resume", "S", killed),
    Case("24", "disk full, file-size limit, quota", "F", no_space),
    Case("25", "missing or truncated decision file", "F", damaged_decision),
    Case("26", "a document vanishes between stages", "F", vanished),
    Case("27", "blocklist missing", "F", lambda folder: filtered(folder, Path.unlink)),
    Case(
        "28",
        "filter file with other bytes than pinned",
        "F",
        lambda folder: filtered(folder, lambda path: flip_bit(path, 3)),
    ),
    Case("29", "two writers on one output folder", "FS", second_builder),
    Case("31", "a vocabulary above 65,536", "FH", large_vocabulary),
    Case("32", "byte pointers above 2 GiB", "H", pointers_above_two_gibibytes),
    Case("33", "document index above int32", "FH", documents_above_two_billion),
    Case("34", "empty .bin, .idx of another .bin, bad magic", "F", damaged_mixes),
    Case("35", "memory while finalising many documents", "H", bounded_finish),
]
