"""The server that workers are forked from, and the modules that it imports for all of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

MODULES = {
    "ingest": "pipeline.stages.ingest",
    "score": "pipeline.stages.score",
    "near": "pipeline.stages.near.stages",
    "select": "pipeline.stages.select",
    "write": "pipeline.stages.write",
    "arms": "pipeline.arms.slices",
}
"""Where stages are, by what their names begin with: a node that is to do a task of one has only its
name.
"""
FILE = "ANNEALMIX_PRELOADED"
"""Environment variable of the server: path of a tokenizer.json."""
IMPORTED = ["pipeline.executors.local", *MODULES.values(), "pipeline.executors.preloaded"]
served: set[Path] = set()
"""Tokenizers that the server has loaded, or will have."""


def begin_server(tokenizer: Path | None = None) -> None:
    """Have the server that workers are forked from start in the background, if there is none yet:
    what it imports takes a core half a second.

    Args:
        tokenizer: the file of one that workers will need, loaded once for all of them.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(IMPORTED)
    resource_tracker.ensure_running()  # which unblocks signals when it is begun
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the caller obeys it
    if tokenizer:
        os.environ[FILE] = str(tokenizer)
        served.add(tokenizer)
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop(FILE, None)
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
