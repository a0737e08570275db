"""What trainers leave beside the data that they read: indices of their own, which are no part of a
mix and say nothing of it.

    tokens_train_indexmap_...npy     GPT-NeoX (megatron/data/gpt2_dataset.py, ea7aefd), and
                                     Megatron-LM before megatron-core
    tokens/cache/GPTDataset_indices/ megatron-core without a `path_to_cache`
                                     (megatron/core/datasets/gpt_dataset.py, d98e8a6)
    index-cache/                     Megatron-LM of 2023 and Megatron-DeepSpeed

Each makes its indices anew where they are missing, so a copy of a mix does without them.
"""

from __future__ import annotations

import re

_SPLIT = r"(train|valid|test)"
_MADE_BY = {
    "GPT-NeoX": (
        rf"tokens_{_SPLIT}(_\d+)?_indexmap_(\d+|None)ns_\d+sl_\d+s(_[a-z_]+pi)?(_ac)?"
        r"_(doc|sample|shuffle)_idx\.npy"
    ),
    "megatron-core": (
        rf"tokens/cache/(?P<kind>[A-Z]\w*)_indices/[0-9a-f]{{32}}-(?P=kind)-{_SPLIT}"
        r"-(description\.txt|(document|sample|shuffle)_index\.npy)"
    ),
    "Megatron-LM": r"index-cache/[0-9a-f]{32}(\.dsc|_(doc|sample|shuffle)_idx\.npy)",
}
_FOLDERS = re.compile(r"tokens|tokens/cache|tokens/cache/[A-Z]\w*_indices|index-cache", re.ASCII)


def cache_of(path: str) -> str | None:
    """Whose cache a file is; None if it is nobody's.

    Args:
        path: below the folder of a mix, with `/`.
    """
    for trainer, pattern in _MADE_BY.items():
        if re.fullmatch(pattern, path, re.ASCII):
            return trainer
    return None


def is_cache_folder(path: str) -> bool:
    """Whether a folder, as a path below that of a mix, can hold a trainer's cache and nothing
    else.
    """
    return _FOLDERS.fullmatch(path) is not None
