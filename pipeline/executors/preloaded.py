"""Imported by the server that workers are forked from: it makes once what all of them share.

The server learns from its environment alone which tokenizer is meant. Loading starts no thread,
which a fork would lose; encoding does, so nothing is encoded here. Of a file that cannot be loaded,
whoever needs it tells.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from mixtures.keys import content_of
from pipeline.executors.server import FILE
from pipeline.tokens.engines import ENGINES, preload

if file := os.environ.get(FILE):
    content_of("e\u0301")  # which compiles a pattern of thousands of code points
    for name in ENGINES:
        # a panic of the native library derives from BaseException alone
        with suppress(BaseException):
            preload(name, Path(file).read_bytes())
