"""The text, shingles and band keys of near-duplicate search, as a rule, and what the kernels take
of it: tables of code points, constants and permutations.

1. Fold each code point by itself, so that no rule looks at a neighbour. Ignored characters vanish.
  What is no word character
   (`mixtures.rules.word_characters`, Unicode 13.0: U+00A0, all of Zs, Zl and Zp, punctuation,
   symbols, controls) and superscript digits separate words. All else becomes NFKD of its case
   folding, without characters of a canonical combining class (accents); what of that is no word
   character separates. Runs of separators are one space, and none stands at either end. datatrove's
   `simplify_text` is the model (lower case, punctuation a space, accents gone), but that numbers
   count: texts that differ in nothing else are exercises of one kind, not copies.
2. Tokens, 64-bit: of words, mix(FNV-1a over the word's code points); of characters, the code
  points, single spaces included. A word ends at a space, and where a script begins or ends that is
  written without spaces between words (`UNSPACED`). In such a script each character begins a word:
  of itself and up to REACH - 1 more behind it in the same stretch. So n words are n + REACH - 1
  characters there, about as much text as n words elsewhere.
3. Shingle of tokens t_0 .. t_(n-1): mix(t_0 B^(n-1) + ... + t_(n-1)) mod 2^64. A document with
  fewer than n tokens has none.
4. Permutation i of 32-bit numbers: x -> a_i x + b_i mod 2^32, a_i odd (so it is one to one), a_i
  and b_i the two little-endian halves
   of blake2b-64 of "annealmix-near-1 " and i in decimal, the lowest bit of a_i set. Minimum i is
   the smallest image of the upper half of any shingle. Halves, since every processor multiplies
   vectors of 32 bits; two documents of 100,000 shingles share about two halves by chance, a Jaccard
   similarity of 0.00001.
5. Key of band k: h = mix(k + 1), then h = mix(h xor m) for each of its `rows` minima in order. Keys
  of two bands never meet but by
   chance, so all bands share one key space: at 410M documents of 14 bands, one pair of keys in
   expectation is equal by chance.

Verification (`NearRule.verify`) compares texts as they are: white space is folded to single spaces
and none at the ends, all else stands for itself, so that case, accents, punctuation and ignored
characters count. Tokens and shingles are as above; a text of fewer tokens than a
shingle has one shingle, of all of them.

mix is the finalizer of splitmix64 (Steele, Lea and Flood 2014), which is one to one.
"""

from __future__ import annotations

import unicodedata
from hashlib import blake2b

FNV_OFFSET = 0xCBF29CE484222325
FNV_PRIME = 0x100000001B3
BASE = 0x9E3779B97F4A7C15
MIX_FIRST = 0xBF58476D1CE4E5B9
MIX_SECOND = 0x94D049BB133111EB

REACH = 4
# Blocks of scripts that are written without spaces between words: Thai, Lao, Myanmar, Khmer, Tai
# Le, New Tai Lue, Tai Tham, Balinese; iteration marks, kana, Bopomofo; ideographs; Yi; Javanese,
# Myanmar's extensions, Tai Viet; Tangut, kana and Nushu; ideographs. Tibetan marks its syllables.
UNSPACED = """
E00-EFF 1000-109F 1780-17FF 1950-19DF 1A20-1AAF 1B00-1B7F 3005-3007 3021-3029 3031-3035 3038-303C
3040-312F 31A0-31BF 31F0-31FF 3400-4DBF 4E00-A4CF A980-A9FF AA60-AADF F900-FAFF 16FE0-18D7F
1AFF0-1B2FF 20000-3FFFD
"""
# White_Space of Unicode 13.0, and what Python's `str.isspace` adds.
WHITE_SPACE = "9-D 1C-20 85 A0 1680 2000-200A 2028-2029 202F 205F 3000"


def stretches(table: str) -> list[tuple[int, int]]:
    """The stretches of code points of a table of `mixtures.rules.word_characters`: the first, and
    the one behind the last.
    """
    ends = (entry.split("-") for entry in table.split())
    return [(int(pair[0], 16), int(pair[-1], 16) + 1) for pair in ends]


def decomposed(text: str) -> str:
    """NFKD of the case folding."""
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())


def permutation(number: int) -> tuple[int, int]:
    """The factor and the summand of a permutation."""
    raw = blake2b(b"annealmix-near-1 " + str(number).encode(), digest_size=8).digest()
    return int.from_bytes(raw[:4], "little") | 1, int.from_bytes(raw[4:], "little")
