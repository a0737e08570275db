"""The sample mix as the installed command builds it, and as numpy and pyarrow read it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.dataset

from mixtures.yaml.disk import SHIPPED
from mixtures.yaml.tree import load_yaml

NUM_TOKENS = 200_000
VOCAB_SIZE = 2000
SPECIAL = {
    "single_word": False,
    "lstrip": False,
    "rstrip": False,
    "normalized": False,
    "special": True,
}


class Mix(NamedTuple):
    """A finished mix as numpy and pyarrow read it: tokens uint16 or int32 [num_tokens], first_token
    and num_tokens int64 [num_docs].
    """

    folder: Path
    tokens: npt.NDArray[np.integer[Any]]
    first_token: npt.NDArray[np.int64]
    num_tokens: npt.NDArray[np.int64]

    def document(self, index: int) -> npt.NDArray[np.integer[Any]]:
        return self.tokens[
            self.first_token[index] : self.first_token[index] + self.num_tokens[index]
        ]


def build_sample(folder: Path) -> Mix:
    """Build the sample mix below a folder."""
    return read_mix(build("sample", folder), "<u2")


BOS, EOD = 69_999, 2001


def build_wide(folder: Path) -> Mix:
    """Build the sample's sources with a tokenizer of 70,000 ids whose documents begin with BOS."""
    tokenizer = json.loads((SHIPPED / "sample" / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    # the sample's own ids go to the top, so that no token of a text fits two bytes
    ends = ((EOD, "</s>"), (BOS, "<s>"))
    tokenizer["added_tokens"] = [
        {**SPECIAL, "id": number, "content": token} for number, token in ends
    ]
    raised = {token: number + 66_000 for token, number in vocabulary.items() if number > 1}
    filled = {f"\u0120unused{number}": number for number in range(BOS + 1)}
    taken = {*raised.values(), BOS, EOD}
    tokenizer["model"]["vocab"] = {
        **raised,
        **{token: number for token, number in filled.items() if number not in taken},
        "</s>": EOD,
        "<s>": BOS,
    }
    folder.mkdir(exist_ok=True)
    (folder / "wide.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    recipe = load_yaml(SHIPPED / "sample.yaml").value
    recipe |= {"tokenizer": {"file": "wide.json", "eod": "</s>", "bos": "<s>"}}
    del recipe["exclude"]  # its data lies elsewhere
    shutil.copytree(SHIPPED / "sample" / "data", folder / "sample" / "data")
    (folder / "wide.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    return read_mix(build(str(folder / "wide.yaml"), folder), "<i4")


def build(recipe: str, folder: Path) -> Path:
    """Build a recipe with the installed command."""
    script = Path(sys.executable).parent / "annealmix"
    command = [str(script), "build", recipe]
    command += ["--out", str(folder / "mix"), "--store", str(folder / "store")]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder / "mix"


def read_mix(folder: Path, dtype: str) -> Mix:
    """A mix from its plain bytes and its table."""
    tokens = np.fromfile(folder / "tokens.bin", dtype)
    table = (
        pyarrow.dataset.dataset(folder / "documents.parquet", format="parquet")
        .to_table()
        .sort_by("position")
    )
    assert table["position"].to_pylist() == list(range(table.num_rows))
    first_token, num_tokens = (
        table[name].to_numpy().astype(np.int64) for name in ("first_token", "num_tokens")
    )
    return Mix(folder, tokens, first_token, num_tokens)
