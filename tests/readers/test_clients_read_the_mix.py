"""Trainers' own loaders read the sample mix, and agree with the plain bytes on every document and
every token.

Needs megatron-core and torch, which have an environment of their own: `make test-readers`.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from tests.readers.sample_mix import NUM_TOKENS, VOCAB_SIZE, Mix

pytestmark = pytest.mark.readers


def test_table_covers_every_token_of_the_file_once(mix: Mix) -> None:
    assert len(mix.tokens) == NUM_TOKENS
    assert mix.tokens.max() < VOCAB_SIZE
    ends = mix.first_token + mix.num_tokens
    assert ends[-1] == NUM_TOKENS
    np.testing.assert_array_equal(mix.first_token, np.concatenate(([0], ends[:-1])))
    assert not mix.tokens[ends - 1].any(), "a document does not end in EOD (id 0)"


def test_megatron_core_reads_every_document_with_the_same_tokens(mix: Mix) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # optional accelerators that are not installed
        from megatron.core.datasets.indexed_dataset import IndexedDataset
    for mmap in (True, False):
        read = IndexedDataset(str(mix.folder / "tokens"), mmap=mmap)
        assert len(read) == len(mix.first_token)
        assert read.index.dtype == np.uint16
        np.testing.assert_array_equal(read.sequence_lengths, mix.num_tokens)
        np.testing.assert_array_equal(read.index.sequence_pointers, mix.first_token * 2)
        np.testing.assert_array_equal(read.document_indices, np.arange(len(mix.first_token) + 1))
        for index in range(len(read)):
            np.testing.assert_array_equal(read[index], mix.document(index))


def test_megatron_core_reads_parts_of_documents_with_the_same_tokens(mix: Mix) -> None:
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    read = IndexedDataset(str(mix.folder / "tokens"))
    longest = int(mix.num_tokens.argmax())
    for offset, length in ((0, 1), (1, 7), (int(mix.num_tokens[longest]) - 1, 1)):
        np.testing.assert_array_equal(
            read.get(longest, offset, length), mix.document(longest)[offset : offset + length]
        )


@pytest.mark.parametrize("sequence", [1, 127, 2048])
def test_datatrove_reads_every_window_with_the_same_tokens(mix: Mix, sequence: int) -> None:
    from datatrove.utils.dataset import DatatroveFolderDataset

    read = DatatroveFolderDataset(
        str(mix.folder), sequence, filename_pattern="*.bin", recursive=False, token_size=2
    )
    width = sequence + 1  # inputs and the target of the last one
    assert len(read) == NUM_TOKENS // width
    wanted = mix.tokens[: len(read) * width].reshape(-1, width)
    for index in range(0, len(read), 1 if sequence > 1 else 97):
        np.testing.assert_array_equal(read[index]["input_ids"].numpy(), wanted[index])


def test_datatrove_finds_the_documents_by_their_eod(mix: Mix) -> None:
    from datatrove.utils.dataset import DatatroveFolderDataset

    read = DatatroveFolderDataset(
        str(mix.folder),
        NUM_TOKENS - 1,
        "*.bin",
        recursive=False,
        token_size=2,
        return_positions=True,
        positions_from_eos_token_id=0,
    )
    assert len(read) == 1
    starts = np.flatnonzero(read[0]["positions"].numpy() == 0)
    np.testing.assert_array_equal(starts, mix.first_token)
