"""Imported by the server that workers are forked from: it loads an engine, which all of them share.

The server learns from its environment alone which file is meant. Loading starts no thread, which a
fork would lose; encoding does, so nothing is encoded here. Of a file that cannot be loaded, whoever
needs it tells.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from pipeline.tokens.engines import preload

FILE = "ANNEALMIX_PRELOADED"
"""Environment variable: path of a tokenizer.json."""

if file := os.environ.get(FILE):
    # a panic of the native library derives from BaseException alone
    with suppress(BaseException):
        preload(Path(file).read_bytes())
