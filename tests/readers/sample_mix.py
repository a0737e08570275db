"""The sample mix as the installed command builds it, and as numpy and pyarrow read it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.dataset

NUM_TOKENS = 200_000
VOCAB_SIZE = 2000


class Mix(NamedTuple):
    """A finished mix as numpy and pyarrow read it: tokens uint16 [num_tokens], first_token and
    num_tokens int64 [num_docs].
    """

    folder: Path
    tokens: npt.NDArray[np.uint16]
    first_token: npt.NDArray[np.int64]
    num_tokens: npt.NDArray[np.int64]

    def document(self, index: int) -> npt.NDArray[np.uint16]:
        return self.tokens[
            self.first_token[index] : self.first_token[index] + self.num_tokens[index]
        ]


def build_sample(folder: Path) -> Mix:
    """Build the sample mix below a folder."""
    script = Path(sys.executable).parent / "annealmix"
    command = [
        str(script),
        "build",
        "sample",
        "--out",
        str(folder / "mix"),
        "--store",
        str(folder / "store"),
    ]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    tokens = np.fromfile(folder / "mix" / "tokens.bin", "<u2")
    table = (
        pyarrow.dataset.dataset(folder / "mix" / "documents.parquet", format="parquet")
        .to_table()
        .sort_by("position")
    )
    assert table["position"].to_pylist() == list(range(table.num_rows))
    first_token, num_tokens = (
        table[name].to_numpy().astype(np.int64) for name in ("first_token", "num_tokens")
    )
    return Mix(folder / "mix", tokens, first_token, num_tokens)
