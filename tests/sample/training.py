"""The sample's tokenizer: a byte-level BPE of the same build as GPT-NeoX-20B's, with 2,000 ids,
trained on the sample's text.

Build: NFC, ByteLevel without prefix space, `<|endoftext|>` = id 0 and `<|padding|>` = id 1, then
the 256 bytes, then merges.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

VOCAB_SIZE = 2000
PADDED_VOCAB_SIZE = 2048  # the next multiple of 128, as trainers pad
EOD_TOKEN = "<|endoftext|>"

# What an engine gets wrong first: composition, special strings, runs of spaces and newlines, bytes
# beyond the vocabulary, controls.
GOLDEN_TEXTS = (
    "",
    " ",
    "The river of the old village was measured in spring.",
    "the river  and   the\n\n\nbridge\t.",
    "Cafe\u0301 = Café",
    "A literal <|endoftext|> stays text, and so does <|padding|>.",
    "川辺の家 🙂🏴‍☠️ 21\u00a0°C",
    "It's 1,234.5 × 10⁴; they'll don't",
    "\x00\x07\u2028\ufeff",
)


def train_tokenizer(texts: Sequence[str]) -> str:
    """Return the tokenizer.json of a byte-level BPE trained on the texts; equal texts in equal
    order give equal bytes.
    """
    from tokenizers import (
        AddedToken,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
        trainers,
    )

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=False, trim_offsets=True, use_regex=True
    )
    tokenizer.post_processor = processors.ByteLevel(
        add_prefix_space=False, trim_offsets=True, use_regex=True
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[
            AddedToken(EOD_TOKEN, normalized=False),
            AddedToken("<|padding|>", normalized=False),
        ],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    # One token a line: a change of the sample can be read in a diff. Keys stay in the library's
    # order.
    return json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, indent=0) + "\n"


def golden_vectors(tokenizer_json: str) -> list[tuple[str, list[int]]]:
    """Return the golden texts with the ids that the reference library gives, special strings kept
    as text.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.encode_special_tokens = True
    return [(text, tokenizer.encode(text, add_special_tokens=False).ids) for text in GOLDEN_TEXTS]


def _quoted(text: str) -> str:
    """Return the text as a double-quoted YAML scalar in ASCII (JSON would write pairs of
    surrogates, which YAML refuses).
    """
    return (
        '"'
        + "".join(
            char if " " <= char <= "~" and char not in '"\\' else _escape(ord(char))
            for char in text
        )
        + '"'
    )


def _escape(code: int) -> str:
    return (
        f"\\x{code:02x}"
        if code < 0x100
        else f"\\u{code:04x}"
        if code < 0x10000
        else f"\\U{code:08x}"
    )


def definition_yaml(tokenizer_json: str) -> str:
    """Return the text of recipes/tokenizers/sample.yaml."""
    from mixtures.recipe.tokenizer.form import canonical_digest

    lines = [
        "# Written by `python -m tests.sample.make_sample`; do not edit.",
        "name: sample",
        (
            "description: byte-level BPE of 2,000 ids for the shipped sample, of the same build as"
            " GPT-NeoX-20B's"
        ),
        "file: sample/tokenizer.json",
        f"digest: {canonical_digest(tokenizer_json.encode('utf-8'))}",
        f"eod: {_quoted(EOD_TOKEN)}",
        "eod_id: 0",
        f"vocab_size: {VOCAB_SIZE}",
        f"padded_vocab_size: {PADDED_VOCAB_SIZE}",
        "licence: Apache-2.0",
        "golden:",
    ]
    for text, ids in golden_vectors(tokenizer_json):
        lines += [f"  - text: {_quoted(text)}", f"    ids: {json.dumps(ids)}"]
    return "\n".join(lines) + "\n"
