"""Texts that engines are compared on before one of them is trusted with a tokenizer: what
pre-tokenizers, normalisers and added tokens differ about.
"""

from __future__ import annotations

from collections.abc import Iterable

from mixtures.recipe.tokenizer.form import AddedToken

_SCRIPTS = (
    "The quick brown fox jumps over the lazy dog; isn't it WHAT'S said? We'LL see, they'd've 'S.",
    "  Indented.\n\n\tTabs\t\tand\r\nline ends\r\r\n \n  \n   trailing   \n",
    "def f(x: int) -> dict[str, int]:\n        return {'a': x ** 2, \"b\": -1e-9}  # 0x1F, 3_141\n",
    "1 12 123 1234 12345 3.14159 1,234,567.89 \u0661\u0662\u0663 \xbd \xb2 \u2167 2026-11"
    "-28T00:20Z",
    "Caf\xe9 cafe\u0301 \u212bngstr\xf6m A\u030a \ufb01n \uff21\uff22\uff23 \u2460 \u1e9b"
    "\u0323 na\xefve stra\xdfe \u0130stanbul",
    "\u8a00\u8a9e\u30e2\u30c7\u30eb\u306e\u4e8b\u524d\u5b66\u7fd2\u3002\u4e2d\u6587\uff0c"
    "\u5206\u8bcd\uff01 \ud55c\uad6d\uc5b4 \u1112\u1161\u11ab \uff76\uff9e",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629\u064b \u05e2\u05d1\u05e8\u05d9\u05ea "
    "\u0939\u093f\u0928\u094d\u0926\u0940 \u0e44\u0e17\u0e22 \u0395\u03bb\u03bb\u03b7"
    "\u03bd\u03b9\u03ba\u03ac \u0420\u0443\u0441\u0441\u043a\u0438\u0439 \u0102\u1eaf",
    "\U0001f9ec\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f \U0001f1e9"
    "\U0001f1ea \U0001d54f\U0001d7d8 \U0001f3f4\U000e0067\U000e0062\U000e007f",
    "\x00\x01\x07\x08\x0b\x0c\x1b[0m\x7f\x85\xa0\xad\u180e\u2003\u2028\u2029\u202f\u205f"
    "\u3000\ufeff\ufffd\uffff\U0010ffff",
    '<p class="a">&amp;&nbsp;</p> https://example.org/a_b?c=%20d#e me@example.org $x^{2'
    "}\\frac{1}{2}$",
    "...---===***___!!!???\u2026\u2014\u201cquoted\u201d\u2018it\u2019s\u2019 \xab\xbb "
    "\xbf\xa1 @#$%^&*()[]{}|\\/<>~`",
    "CamelCaseAndSNAKE_CASE andALLCAPS \u01c5ebro \u02b0\u02b7 \u0345 x\u0301\u0302\u0303\u0304",
    "a" * 300 + " " * 70 + "ab" * 200 + "\n" * 90 + "一" * 120 + "9" * 65 + "-" * 130,
    "\u2581\u2581lower one eighth \u2581 block \u0120 \u010a \xc4\xa0 <0x0A> <0xFF> Dz\u017e",
    " ",
    "  leading",
    "trailing  ",
    "\n",
    "",
)


def probes(added: Iterable[AddedToken]) -> list[str]:
    """Texts to compare engines on. added: tokens of the tokenizer, of which some are spelled out in
    them, among text and among white space.
    """
    tokens = list(added)
    # every one of 6,415 would say no more: the first and the last, and some between
    some = tokens[:: max(1, len(tokens) // 24)] + tokens[-2:]
    spelled = [
        form.format(token.content) if "{" not in token.content else token.content
        for token in some
        for form in ("a{0}b", " {0} c{0}{0}\n{0}", "{0}")
    ]
    return [*_SCRIPTS, *spelled, "".join(_SCRIPTS)]
