"""Read a mix with OLMo-core as a configuration of `annealmix export --trainer olmo-core` says. Runs
in OLMo-core's own environment.

    python olmo_reads.py CONFIG OUT

CONFIG is JSON, OUT an .npz: windows uint32 [num_windows, sequence], bounds int64 [num_docs, 2] of
documents as OLMo-core finds them by the EOD id, batches and steps: of the data loader's first
epoch, and of the duration; seen: int64 [.], windows that the epoch's batches hold; labels: int64
[num_windows, sequence], the target at each token, -100 where there is none.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from olmo_core.data.data_loader import NumpyDataLoaderConfig
from olmo_core.data.numpy_dataset import NumpyFSLDatasetConfig
from olmo_core.data.utils import get_labels, iter_document_indices
from olmo_core.train.common import Duration


def main(config_file: str, out: str) -> None:
    """Open what the configuration names, and write down what was read."""
    config = json.loads(Path(config_file).read_text(encoding="utf-8"))
    dataset = NumpyFSLDatasetConfig.from_dict(config["dataset"]).build()
    dataset.prepare()
    items = [dataset[index] for index in range(len(dataset))]
    windows = np.array([item["input_ids"].numpy() for item in items], np.uint32)
    labels = [
        get_labels({name: item[name][None] for name in ("input_ids", "label_mask") if name in item})
        for item in items
    ]
    loader = NumpyDataLoaderConfig.from_dict(config["data_loader"]).build(dataset)
    loader.reshuffle(epoch=1)
    seen = np.concatenate([batch["index"].numpy() for batch in loader])
    fields = {
        name: value
        for name, value in config["trainer"]["max_duration"].items()
        if name != "_CLASS_"
    }
    tokenizer, dtype = config["dataset"]["tokenizer"], np.dtype(config["dataset"]["dtype"]).type
    bounds = list(
        iter_document_indices(
            config["dataset"]["paths"][0], eos_token_id=tokenizer["eos_token_id"], dtype=dtype
        )
    )
    np.savez(
        out,
        windows=windows,
        bounds=np.array(bounds, np.int64),
        batches=np.array(loader.total_batches),
        steps=np.array(Duration(**fields).value),
        seen=seen,
        labels=np.concatenate([label.numpy() for label in labels]),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
