"""Names that trainers give to their indices are known, and no others."""

from __future__ import annotations

import pytest

from mixtures.mix.caches import cache_of, is_cache_folder

MD5 = "0123456789abcdef0123456789abcdef"
MEGATRON = f"tokens/cache/GPTDataset_indices/{MD5}-GPTDataset"


@pytest.mark.parametrize(
    ("path", "trainer"),
    [
        *(
            (f"tokens_{name}_indexmap_{asked}ns_2048sl_1234s{how}_{kind}_idx.npy", "GPT-NeoX")
            for name, asked, how, kind in (
                ("train", "24412160", "_packedpi_ac", "doc"),
                ("valid_0", "None", "_pack_until_overflowpi", "sample"),
                ("test", "0", "", "shuffle"),  # before packing could be chosen
            )
        ),
        (f"{MEGATRON}-train-description.txt", "megatron-core"),
        (f"{MEGATRON}-valid-sample_index.npy", "megatron-core"),
        (f"index-cache/{MD5}.dsc", "Megatron-LM"),
        (f"index-cache/{MD5}_doc_idx.npy", "Megatron-LM"),
    ],
)
def test_a_cache_is_named_by_its_trainer(path: str, trainer: str) -> None:
    assert cache_of(path) == trainer


@pytest.mark.parametrize(
    "path",
    [
        "tokens.bin",
        "tokens_train_indexmap_1ns_2sl_3s_doc_idx.npy\n",
        "tokens_train_indexmap_1ns_2sl_3s_doc_idx.npz",
        "tokens_train_indexmap_\u0661ns_2sl_3s_doc_idx.npy",
        "other_train_indexmap_1ns_2sl_3s_doc_idx.npy",
        "documents.parquet/tokens_train_indexmap_1ns_2sl_3s_doc_idx.npy",
        f"{MEGATRON}-train-notes.txt",
        f"tokens/cache/GPTDataset_indices/{MD5}-BERTDataset-train-sample_index.npy",
        f"tokens/cache/{MD5}-GPTDataset-train-sample_index.npy",
        f"index-cache/{MD5}.py",
    ],
)
def test_what_is_only_like_a_cache_is_none(path: str) -> None:
    assert cache_of(path) is None


def test_folders_of_caches_are_known_step_by_step() -> None:
    parts = ["tokens", "cache", "GPTDataset_indices"]
    assert all(is_cache_folder("/".join(parts[:end])) for end in (1, 2, 3))
    assert not any(map(is_cache_folder, ("tokens/other", "cache", "documents.parquet", "")))
