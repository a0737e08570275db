"""What tests need to find in the sample: copies, damaged rows, awkward texts and listed names, each
noted with its place.

    duplicate-in-file, duplicate-across-files, duplicate-across-sources: a row whose training text
        is that of the row `of`
    near-duplicate: `of` with a few words changed
    composed-accents, nfd-twin: a text in NFC, and the same in NFD: another digest, but the same
        tokens under a tokenizer with NFC
    malformed-json, not-an-object, invalid-utf8, null-text, number-text, missing-text: a row to
        quarantine
    empty-text, white-space-text, short-text, long-text: a text of that length
    lone-surrogate, byte-order-mark, crlf, no-final-newline, line-separator, nul-character: a row to
        read all the same
    duplicate-id: another text under the id of the row `of`
    special-string: a text with a literal <|endoftext|>
    listed-names, disguised-names: a text that names the `names` of public lists of agents, as
        listed, or in another case or spacing
    evaluation-item: a text that holds a question and its answers (invented, like all of it)
"""

from __future__ import annotations

import json
import unicodedata
from typing import Any

from tests.sample.corpus import Corpus, Record, SampleFile
from tests.sample.prose import Draw, Writer
from tests.sample.sources import dclm_row, dolmino_row
from tests.sample.words import LISTED_NAMES

_NAMING = (
    "The committee added {} to the public control list in spring.",
    "The printed register mentions {} on its second page.",
    "A poster in the library of the ministry lists {} among other entries.",
    "Whoever ships laboratory goods looks up {} in the annex first.",
    "The quiz asked whether {} stands on the list of the council.",
)
_QUESTIONS = (
    (
        "Which instrument at the old harbour of an invented town shows the height of the river to"
        " the keeper of the northern gate?\nA. the copper barometer\nB. the painted gauge\nC. the"
        " brass sundial\nD. the wooden compass\nAnswer: B"
    ),
    (
        "A shepherd of an invented valley counts eleven sheep at the gate and seven at the pond;"
        " how many sheep does the ledger show?\nA. four\nB. eleven\nC. eighteen\nD."
        " seventy-seven\nAnswer: C"
    ),
)


def text_of(record: Record) -> str:
    """Return the training text of an undamaged record."""
    assert isinstance(record.value, dict)
    value = record.value
    return (
        str(value["text"]) if "text" in value else f"{value['message_1']}\n\n{value['message_2']}"
    )


class Planter:
    """Plants into a corpus; every record is used for one thing only."""

    def __init__(self, corpus: Corpus, seed: int) -> None:
        self.corpus = corpus
        self.draw = Draw(seed * 100 + 99)
        self.writer = Writer(self.draw)
        self._used: set[int] = set()
        self._number = 0

    def take(self, file: SampleFile) -> Record:
        """Return a record of the file that nothing else uses."""
        while True:
            record = self.draw.pick(file.records)
            if id(record) not in self._used and isinstance(record.value, dict):
                self._used.add(id(record))
                return record

    def row(self, file: SampleFile, text: Any) -> dict[str, Any]:
        """Return a new row of the file's source with this text."""
        self._number += 1
        if file.source.startswith("dclm"):
            return dclm_row(text, f"https://planted.example/{self._number}")
        source = file.source.removeprefix("dolmino-")
        return dolmino_row(
            source, f"planted-{self._number}", text, {}, "s2ag/train" if source == "pes2o" else None
        )

    def add(
        self,
        file: SampleFile,
        kind: str,
        value: dict[str, Any] | bytes,
        note: str,
        of: Record | None = None,
    ) -> Record:
        record = file.insert(Record(value), self.draw)
        self._used.add(id(record))
        self.corpus.plant(kind, record, note, of)
        return record

    def add_text(
        self, file: SampleFile, kind: str, text: str, note: str, of: Record | None = None
    ) -> Record:
        return self.add(file, kind, self.row(file, text), note, of)

    def copy(self, original: SampleFile, target: SampleFile) -> None:
        """Plant the training text of a record of one file in another."""
        record = self.take(original)
        where = (
            "across-sources"
            if original.source != target.source
            else "across-files"
            if original is not target
            else "in-file"
        )
        self.add_text(target, f"duplicate-{where}", text_of(record), "same training text", record)

    def sentences(self, count: int) -> str:
        self.writer.start_topic()
        return " ".join(self.writer.sentence() for _ in range(count))


def _line(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8")


def _plant_copies(planter: Planter, files: dict[str, list[SampleFile]]) -> None:
    dclm, flan, pes2o = files["dclm-dedup"], files["dolmino-flan"], files["dolmino-pes2o"]
    exchange, wiki = files["dolmino-stackexchange"][0], files["dolmino-wiki"][0]
    for file in dclm:
        planter.copy(file, file)
        planter.copy(file, file)
    for first, second in ((0, 1), (1, 0), (1, 2), (2, 0)):
        planter.copy(dclm[first], dclm[second])
    for file in (*flan, *pes2o, exchange, files["dclm-baseline"][0]):
        planter.copy(file, file)
    for file_a, file_b in (flan, flan, pes2o, pes2o):
        planter.copy(file_a, file_b)
    # DCLM's own keys decide on which side of a key range a copy falls, so there are enough for both
    # sides.
    targets = (flan[0], pes2o[0], wiki, flan[1], pes2o[1], exchange, flan[0], pes2o[0])
    for number in range(32):
        planter.copy(dclm[number % 3], targets[number % 8])
    for original, target in (
        (flan[0], pes2o[1]),
        (pes2o[0], wiki),
        (wiki, flan[1]),
        (exchange, dclm[2]),
    ):
        planter.copy(original, target)
    for name in ("biology", "chemistry", "physics"):
        planter.copy(files[f"camel-{name}"][0], dclm[1])


def _plant_twins(planter: Planter, files: dict[str, list[SampleFile]]) -> None:
    for file in (*files["dclm-dedup"], *files["dclm-dedup"], files["dolmino-pes2o"][0]):
        record = planter.take(file)
        tokens = text_of(record).split(" ")
        for _ in range(max(1, len(tokens) // 60)):
            tokens[planter.draw.below(len(tokens))] = planter.writer.noun()
        planter.add_text(
            file, "near-duplicate", " ".join(tokens), "about one word in 60 changed", record
        )
    for file in (files["dclm-dedup"][0], files["dolmino-wiki"][0]):
        text = f"Le café de Zoë Söderström. {planter.sentences(3)}"
        original = planter.add_text(
            file, "composed-accents", text, "accents in composed form (NFC)"
        )
        planter.add_text(
            file,
            "nfd-twin",
            unicodedata.normalize("NFD", text_of(original)),
            "decomposed accents",
            original,
        )


def _plant_damage(planter: Planter, files: dict[str, list[SampleFile]]) -> None:
    flan, exchange, wiki = (
        files["dolmino-flan"],
        files["dolmino-stackexchange"][0],
        files["dolmino-wiki"][0],
    )
    pes2o, baseline = files["dolmino-pes2o"], files["dclm-baseline"][0]
    for file in (flan[0], exchange, baseline):
        whole = _line(planter.row(file, planter.sentences(2)))
        planter.add(file, "malformed-json", whole[: len(whole) // 2], "the line ends in mid-object")
    for file in (flan[1], pes2o[0], baseline):
        spoilt = _line(planter.row(file, "Grey\x00" + planter.sentences(2))).replace(
            b"Grey\\u0000", b"Gr\xe9y "
        )
        planter.add(file, "invalid-utf8", spoilt, "a Latin-1 byte E9 in the text")
    planter.add(flan[0], "not-an-object", b'["a", "list"]', "a JSON list")
    for file, kind, text in (
        (flan[0], "null-text", None),
        (flan[1], "number-text", 1848),
        (pes2o[1], "number-text", 2.5),
        (files["dclm-dedup"][0], "null-text", None),
    ):
        row = planter.row(file, "")
        row["text"] = text
        planter.add(file, kind, row, f"text is {json.dumps(text)}")
    for file in (flan[1], exchange, wiki):
        row = planter.row(file, "")
        del row["text"]
        planter.add(file, "missing-text", row, "no key text")


def _plant_awkward(planter: Planter, files: dict[str, list[SampleFile]]) -> None:
    dclm, flan, exchange = (
        files["dclm-dedup"],
        files["dolmino-flan"],
        files["dolmino-stackexchange"][0],
    )
    pes2o, wiki = files["dolmino-pes2o"], files["dolmino-wiki"][0]
    for file in (dclm[0], flan[0], exchange):
        planter.add_text(file, "empty-text", "", "the empty string")
    planter.add_text(flan[0], "white-space-text", " \n\t ", "ASCII white space only")
    planter.add_text(
        pes2o[0], "white-space-text", "\u00a0\u2003\n", "NBSP, em space and a newline only"
    )
    planter.add_text(flan[1], "short-text", "Yes.", "one word")
    planter.writer.start_topic()
    planter.add_text(
        dclm[1], "long-text", planter.writer.paragraphs(1500), "far longer than any other"
    )
    for file in (flan[1], exchange):
        broken = json.dumps(
            planter.row(file, f"Half a smile \ud83d here. {planter.sentences(2)}")
        ).encode("ascii")
        planter.add(file, "lone-surrogate", broken, "an unpaired \\ud83d escape")
    planter.add(
        pes2o[1],
        "crlf",
        _line(planter.row(pes2o[1], planter.sentences(3))) + b"\r",
        "the line ends in CR LF",
    )
    broken_lines = f"Line one\u2028line two\u0085line three. {planter.sentences(2)}"
    planter.add_text(wiki, "line-separator", broken_lines, "U+2028 and U+0085 unescaped")
    planter.add_text(
        flan[0],
        "nul-character",
        f"Before\x00after. {planter.sentences(1)}",
        "U+0000, escaped in JSON",
    )
    planter.add_text(dclm[2], "nul-character", f"Before\x00after. {planter.sentences(1)}", "U+0000")
    for file in (dclm[0], dclm[1], dclm[2], flan[0]):
        text = (
            f"{planter.sentences(2)} The manual prints <|endoftext|> in a box."
            f" {planter.sentences(2)}"
        )
        planter.add_text(file, "special-string", text, "a literal <|endoftext|>")
    for index, question in enumerate(_QUESTIONS):
        for file in (dclm[index], flan[index]):
            planter.add_text(
                file,
                "evaluation-item",
                f"{planter.sentences(2)}\n\n{question}\n\n{planter.sentences(2)}",
                question,
            )
    original = planter.take(flan[0])
    assert isinstance(original.value, dict)
    planter.add(
        flan[1],
        "duplicate-id",
        planter.row(flan[1], planter.sentences(2)) | {"id": original.value["id"]},
        "same id",
        original,
    )
    flan[1].byte_order_mark = True
    planter.corpus.plant("byte-order-mark", flan[1].records[0], "the file begins with U+FEFF")
    wiki.final_newline = False
    planter.corpus.plant("no-final-newline", wiki.records[-1], "the file ends without a newline")


def _naming_text(planter: Planter, names: tuple[str, ...]) -> str:
    parts = [planter.sentences(2)]
    for name in names:
        parts += [
            planter.draw.pick(_NAMING).format(name),
            planter.sentences(planter.draw.between(1, 3)),
        ]
    return " ".join(parts)


def _plant_names(planter: Planter, files: dict[str, list[SampleFile]]) -> None:
    dclm, flan, pes2o = files["dclm-dedup"], files["dolmino-flan"], files["dolmino-pes2o"]
    targets = (
        dclm[0],
        dclm[1],
        dclm[2],
        pes2o[0],
        pes2o[1],
        dclm[0],
        flan[0],
        flan[1],
        dclm[1],
        files["dolmino-wiki"][0],
    )
    for number in range(30):
        names = tuple(
            LISTED_NAMES[(number * 3 + i * 7) % len(LISTED_NAMES)] for i in range(number % 3 + 1)
        )
        file = targets[number // 3]
        record = file.insert(Record(planter.row(file, _naming_text(planter, names))), planter.draw)
        planter.corpus.plant(
            "listed-names",
            record,
            f"names {len(names)} listed item{'s' * (len(names) > 1)}",
            names=names,
        )
    disguises = (
        ("in capitals", str.upper),
        ("joined by NBSP", lambda name: name.replace(" ", "\u00a0")),
        ("over two lines", _wrap),
    )
    for number, (how, disguise) in enumerate(disguises):
        names = LISTED_NAMES[number * 2 : number * 2 + 2]
        record = dclm[2].insert(
            Record(planter.row(dclm[2], _naming_text(planter, tuple(map(disguise, names))))),
            planter.draw,
        )
        planter.corpus.plant("disguised-names", record, f"names 2 listed items {how}", names=names)


def _wrap(name: str) -> str:
    return name.replace(" ", "\n", 1)


def plant_all(corpus: Corpus, seed: int) -> None:
    """Plant everything, in a fixed order."""
    files: dict[str, list[SampleFile]] = {}
    for file in corpus.files:
        files.setdefault(file.source, []).append(file)
    planter = Planter(corpus, seed)
    for plant in (_plant_copies, _plant_twins, _plant_damage, _plant_names, _plant_awkward):
        plant(planter, files)
