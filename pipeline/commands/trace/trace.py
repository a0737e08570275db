"""`annealmix trace`: what happened to one document or token, and why.

    --token, --position, --digest, --source --file --row -> documents of the mix, from its files
                                                          alone (mixtures.mix.trace)
    not there, or a store is named                       -> what became of its rows, from the store
                                                          (pipeline.lookup.fates)

What a trainer read in a step is asked of `pipeline.commands.trace.steps`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixtures.errors import RecipeError
from mixtures.keys import order_key
from mixtures.mix.slots import Donor
from mixtures.mix.trace import DIGEST_DIGITS, Position, TracedMix
from mixtures.recipe.source_definition import NOT_GIVEN
from pipeline.commands.options import DEFAULT_STORE
from pipeline.lookup.fate import Origin
from pipeline.places.places import Place as Folder

if TYPE_CHECKING:
    from pipeline.lookup.fate import Fate
    from pipeline.lookup.fates import Fates
    from pipeline.lookup.text import DocumentText, Texts


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of a mix: exactly one of token, position, digest, and origin."""

    mix: Path
    token: int | None = None
    position: int | None = None
    digest: str | None = None
    """8 to 32 hex digits, in lower case."""
    origin: Origin | None = None
    store: Path | None = None
    """None: that of a build that named none, and only for a row that is not in the mix."""
    data: Folder | None = None
    """Folder of the sources' files."""
    tokenizer: Path | None = None
    filters: Path | None = None
    """Folder of filters, whose terms are shown with the text."""
    show_text: bool = False


@dataclass(frozen=True, kw_only=True)
class TracedDocument:
    """What a mix says of one of its documents: its columns, and what holds of all documents of its
    source.
    """

    columns: Position
    definition: str
    licence: str
    non_commercial: bool
    insert: bool
    whole_tokens: int | None
    """Of a document that is cut: its tokens before that."""
    token: int | None = None
    """The token of the stream that was asked for."""
    text: DocumentText | None = None
    donors: Sequence[Donor] = ()
    """Of an aligned arm's slot, what stands there; its first is the document."""
    masked: Sequence[tuple[int, int]] | None = None
    """Of a masked arm, the runs of tokens that are no targets: where in the document each begins,
    and its tokens."""

    @property
    def order_key(self) -> str:
        """In hex."""
        return f"{order_key(bytes.fromhex(self.columns.digest)):016x}"

    @property
    def token_of_document(self) -> int | None:
        """The token that was asked for, counted from the document's first."""
        return None if self.token is None else self.token - self.columns.first_token

    def as_json(self) -> dict[str, object]:
        """For `--json`, and for a list of documents."""
        names = ("order_key", "definition", "licence", "non_commercial", "insert")
        value = vars(self.columns) | {name: getattr(self, name) for name in names}
        if self.whole_tokens is not None:
            value["whole_tokens"] = self.whole_tokens
        if self.token is not None:
            value |= {"token": self.token, "place_in_document": self.token_of_document}
        if self.donors:
            value["donors"] = [asdict(donor) for donor in self.donors]
        if self.masked is not None:
            value["masked"] = [list(run) for run in self.masked]
        return value | (self.text.as_json() if self.text else {})


@dataclass(frozen=True)
class TracedRow:
    """What became of a row of a source."""

    fate: Fate
    positions: list[int] | None
    """Of documents of the mix with its text; None: the row is no document."""
    text: DocumentText | None

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        value = self.fate.as_json()
        if self.positions is not None:
            value["positions_of_its_text"] = self.positions
        return value | (self.text.as_json() if self.text else {})


@dataclass(frozen=True)
class Answer:
    """Documents of the mix, and rows of its sources; rows only where the store was asked."""

    mix: str
    """Its identity."""
    mix_id: str
    documents: list[TracedDocument]
    rows: list[TracedRow]

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "mix": self.mix,
            "mix_id": self.mix_id,
            "places": [document.as_json() for document in self.documents],
            "rows": [row.as_json() for row in self.rows],
        }


def trace(question: Question) -> Answer:
    """Answer a question.

    Raises:
        RecipeError: there is no such token, document, source, file or row. ManifestError: mix or
            store is damaged.
        InputError: a file that must be read again is damaged or another.
    """
    return _Trace(question).answer()


def described(
    mix: TracedMix, columns: Position, *, token: int | None = None, text: DocumentText | None = None
) -> TracedDocument:
    """What a mix says of one of its documents."""
    strand, donors = mix.strand(columns), mix.donors(columns.position)
    # what stands in a slot is of the source that gave it; a rewrite is the user's, of no source
    rewritten = bool(donors) and donors[0].rewrite
    given = donors and not rewritten
    origin = mix.strand(replace(columns, source=donors[0].donor_source)) if given else strand
    whole = strand.cut.num_tokens if columns.cut and strand.cut and not donors else None
    first, end = columns.first_token, columns.first_token + columns.num_tokens
    return TracedDocument(
        columns=columns,
        definition=origin.definition,
        licence=NOT_GIVEN if rewritten else origin.licence,
        non_commercial=origin.non_commercial and not rewritten,
        insert=strand.insert,
        whole_tokens=whole,
        token=token,
        text=text,
        donors=donors,
        masked=None if mix.masked is None else mix.masked.within(first, end),
    )


class _Trace:
    def __init__(self, question: Question) -> None:
        self.question = question
        self.mix = TracedMix(question.mix)
        self.texts = self._texts() if question.show_text else None

    def answer(self) -> Answer:
        documents = self._documents()
        fates = self._fates(in_mix=bool(documents))
        return Answer(
            self.mix.claims.identity,
            self.mix.claims.mix_id,
            [self._document(columns) for columns in documents],
            [self._row(fates, fate) for fate in self._asked(fates, documents)] if fates else [],
        )

    def _documents(self) -> list[Position]:
        asked = self.question
        if asked.token is not None:
            return [self.mix.document(self.mix.position_of(asked.token))]
        if asked.position is not None:
            return [self.mix.document(asked.position)]
        if asked.digest is not None:
            return self.mix.places_of(asked.digest)
        assert asked.origin is not None
        self._require_origin(asked.origin)
        return self.mix.places_from(asked.origin.source, asked.origin.file, asked.origin.row)

    def _require_origin(self, origin: Origin) -> None:
        """Refuse a source or file that the mix was not made from."""
        source, file = origin.source, origin.file
        definitions = {strand.name: strand.definition for strand in self.mix.claims.sources}
        if source not in definitions:
            raise RecipeError(
                f"{self.mix.folder}: has no source {source!r}; it has {', '.join(definitions)}"
            )
        files = [item.path for item in self.mix.claims.inputs[definitions[source]]]
        if file not in files:
            raise RecipeError(
                f"{self.mix.folder}: source {source} was not made from a file {file!r}; it was made"
                f" from {len(files):,}, such as {files[0]}"
            )

    def _fates(self, *, in_mix: bool) -> Fates | None:
        """What answers for the store, where it is asked: it is named, or a row is not in the
        mix.
        """
        asked = self.question
        folder = asked.store or (
            Path(DEFAULT_STORE) if asked.origin is not None and not in_mix else None
        )
        if folder is None:
            return None
        from pipeline.commands.trace.arm import open_fates

        return open_fates(self.mix.folder, self.mix.claims, folder)

    def _asked(self, fates: Fates, documents: list[Position]) -> list[Fate]:
        """What became of the rows that the question is about."""
        asked = self.question
        if asked.origin is not None:
            return [fates.of_row(asked.origin, asked.data)]
        if documents:
            return fates.of_digest(bytes.fromhex(documents[0].digest))
        assert asked.digest is not None
        if len(asked.digest) < DIGEST_DIGITS[1]:
            raise RecipeError(
                f"no document of the mix has a digest that begins with {asked.digest}; give all 32"
                " digits to ask the store"
            )
        return fates.of_digest(bytes.fromhex(asked.digest))

    def _document(self, columns: Position) -> TracedDocument:
        text = self.texts.document(self.mix.tokens(columns)) if self.texts else None
        return described(self.mix, columns, token=self.question.token, text=text)

    def _row(self, fates: Fates, fate: Fate) -> TracedRow:
        if fate.document is None:
            return TracedRow(fate, None, None)
        positions = self.mix.positions_of(fate.document.digest.hex())
        if self.texts is None or fate.reason == "kept":
            return TracedRow(fate, positions, None)
        return TracedRow(fate, positions, self.texts.document(fates.tokens(fate.document)))

    def _texts(self) -> Texts:
        from pipeline.lookup.text import Texts

        return Texts(self.mix.claims, self.question.tokenizer, self.question.filters)
