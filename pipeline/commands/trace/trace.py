"""`annealmix trace`: what happened to one document or token, and why.

    --token, --position, --digest, --source --file --row -> places in the mix (mixtures.mix.trace,
    from its files alone)
    not there, or a store is named                        -> what became of its rows
                                                          (pipeline.lookup.fates, from the store)

What a trainer read in a step is asked of `pipeline.commands.trace.steps`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixtures.errors import RecipeError
from mixtures.keys import order_key
from mixtures.mix.trace import DIGEST_DIGITS, Place, TracedMix
from pipeline.places.places import RemoteFolder

if TYPE_CHECKING:
    from pipeline.lookup.fates import Fate, Fates
    from pipeline.lookup.text import Texts

Answer = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """What is asked of a mix: exactly one of token, position, digest, and origin (source, file,
    row).

    store: None if the user named none; default_store: where a build would have put it. data: folder
        of the sources' files.
    filters: folder of filters, whose terms are shown with the text.
    """

    mix: Path
    token: int | None = None
    position: int | None = None
    digest: str | None = None
    origin: tuple[str, str, int] | None = None
    store: Path | None = None
    default_store: Path = Path("annealmix-store")
    data: Path | RemoteFolder | None = None
    tokenizer: Path | None = None
    filters: Path | None = None
    show_text: bool = False


def trace(question: Question) -> Answer:
    """Answer a question: {places: [of the mix], rows: [of the sources]}; rows only where the store
    was asked.

    Raises:
        RecipeError: there is no such token, document, source, file or row. ManifestError: mix or
            store is damaged.
        InputError: a file that must be read again is damaged or another.
    """
    return _Trace(question).answer()


def described(mix: TracedMix, place: Place) -> Answer:
    """What a mix says of one of its documents: its columns, order key, and what holds of all
    documents of its source.
    """
    strand = mix.strand(place)
    said: Answer = {**vars(place), "order_key": f"{order_key(bytes.fromhex(place.digest)):016x}"}
    said |= strand.model_dump(include={"definition", "licence", "non_commercial", "insert"})
    return said | ({"whole_tokens": strand.cut.num_tokens} if place.cut and strand.cut else {})


class _Trace:
    def __init__(self, question: Question) -> None:
        self.question = question
        self.mix = TracedMix(question.mix)
        self.texts = self._texts() if question.show_text else None

    def answer(self) -> Answer:
        places = self._found()
        fates = self._fates(bool(places))
        rows = [self._row(fates, fate) for fate in self._asked(fates, places)] if fates else []
        return {
            "mix": self.mix.claims.identity,
            "places": [self._place(place) for place in places],
            "rows": rows,
        }

    def _found(self) -> list[Place]:
        asked = self.question
        if asked.token is not None:
            return [self.mix.document(self.mix.position_of(asked.token))]
        if asked.position is not None:
            return [self.mix.document(asked.position)]
        if asked.digest is not None:
            return self.mix.places_of(asked.digest)
        assert asked.origin is not None
        self._require_origin(*asked.origin[:2])
        return self.mix.places_from(*asked.origin)

    def _require_origin(self, source: str, file: str) -> None:
        """Refuse a source or file that the mix was not made from."""
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

    def _fates(self, in_mix: bool) -> Fates | None:
        """What answers for the store, where it is asked: it is named, or a row is not in the
        mix.
        """
        asked = self.question
        folder = asked.store or (
            asked.default_store if asked.origin is not None and not in_mix else None
        )
        if folder is None:
            return None
        from pipeline.lookup.fates import Fates
        from pipeline.lookup.selection import MixStore

        return Fates(MixStore(self.mix.claims, folder))

    def _asked(self, fates: Fates, places: list[Place]) -> list[Fate]:
        """What became of the rows that the question is about."""
        asked = self.question
        if asked.origin is not None:
            return [fates.of_row(*asked.origin, asked.data)]
        if places:
            return fates.of_digest(bytes.fromhex(places[0].digest))
        assert asked.digest is not None
        if len(asked.digest) < DIGEST_DIGITS[1]:
            raise RecipeError(
                f"no document of the mix has a digest that begins with {asked.digest}; give all 32"
                " digits to ask the store"
            )
        return fates.of_digest(bytes.fromhex(asked.digest))

    def _place(self, place: Place) -> Answer:
        said = described(self.mix, place)
        if self.question.token is not None:
            said["token"], said["place_in_document"] = (
                self.question.token,
                self.question.token - place.first_token,
            )
        return said | self._text(self.mix.tokens(place) if self.texts else None)

    def _row(self, fates: Fates, fate: Fate) -> Answer:
        said = fate.as_json()
        if fate.document is None:
            return said
        said |= {"positions_of_its_text": self.mix.positions_of(fate.document.digest.hex())}
        return (
            said
            if fate.reason == "kept"
            else said | self._text(fates.tokens(fate.document) if self.texts else None)
        )

    def _text(self, tokens: list[int] | None) -> Answer:
        """The text, and the terms of the filters in it; nothing without `show_text`."""
        if self.texts is None:
            return {}
        return self.texts.shown(tokens)

    def _texts(self) -> Texts:
        from pipeline.lookup.text import Texts

        return Texts(self.mix.claims, self.question.tokenizer, self.question.filters)
