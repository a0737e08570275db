"""A recipe as its file describes it: sources and what is asked of them, exclusions, evaluation
sets, filters, inserts, and what is published of the mix.

Rules between these parts are in `mixtures.recipe.faults`; every broken one is reported, whatever
else is wrong with the file. The strings under fields are in the schema that editors read
(`annealmix schema recipe`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from mixtures.recipe.decontaminate import Decontamination
from mixtures.recipe.faults import recipe_faults
from mixtures.recipe.filter_use import FilterRequests, Insert
from mixtures.recipe.heading import Heading
from mixtures.recipe.near_request import NearField, near_faults
from mixtures.recipe.source_request import SourceRequest
from mixtures.recipe.tokenizer.request import TokenizerField
from mixtures.yaml.fields import Described, Exact, LocalPath, Location, Name, Positive, Reference


class PublishedFigures(Described):
    """What a paper or card states of one source of the mix."""

    documents: Positive | None = None
    tokens: Positive | None = None
    percent: Exact | None = None
    """As printed."""
    removed_percent: Annotated[Exact, Field(ge=0, lt=100)] | None = None
    """Of its documents, by the filters."""
    copied_percent: Annotated[Exact, Field(ge=0, le=100)] | None = None
    """Likewise, by `copies: approved`."""


class Published(Described):
    """What is published of the mix that a recipe rebuilds; printed beside the realised figures, and
    no mix depends on it.
    """

    documents: Positive | None = None
    """Of the mix, copies counted."""
    tokens: Positive | None = None
    removed_percent: Annotated[Exact, Field(ge=0, lt=100)] | None = None
    copied_percent: Annotated[Exact, Field(ge=0, le=100)] | None = None
    sources: dict[Name, PublishedFigures] = Field(default_factory=dict)
    """By the name of a source or of a corpus."""


def _named_sources(value: Any) -> Any:
    if isinstance(value, list | tuple):
        raise ValueError(
            "found a list; each source has a name, such as notes: {data: FOLDER, text: COLUMN,"
            " weight: 1}"
        )
    return value


class Recipe(Heading):
    """A mix, as its file describes it."""

    tokenizer: TokenizerField
    """A shipped one by name, a tokenizer.json beside the recipe or OWNER/NAME on the hub, with the
    tokens around a document."""
    special_tokens: Literal["text", "parse"] = "text"
    """Whether strings such as `<|endoftext|>` inside a document stay text or become special ids."""
    max_quarantined: Annotated[Exact, Field(ge=0, le=1)] = Decimal(0)
    """Share of a source's rows that may be unreadable before the build fails."""
    exclude: tuple[Reference, ...] = ()
    """Recipes (names, or files beside this one); documents in one of their sources and key ranges
    are not taken here."""
    data: LocalPath | None = None
    """Folder with the sources in their published layout, relative to the recipe, used where
    `--data` is not given."""
    sources: Annotated[
        dict[Name, SourceRequest], Field(min_length=1), BeforeValidator(_named_sources)
    ]
    """In order of priority: of equal documents in several sources, the first source keeps its
    own."""
    decontaminate: Decontamination | None = None
    """Evaluation sets of which no document may hold an item."""
    filters: FilterRequests = ()
    """A document that any of them flags is removed."""
    removed: Literal["refill", "shrink"] = "refill"
    """`refill` takes the next documents instead, so that every quota is met; `shrink` selects
    first and removes then, as the published mixes did: what is left is the unfiltered mix without
    the flagged documents, in its order, and the total falls."""
    copies: Literal["none", "approved"] = "none"
    """`approved` adds a second copy of every document that a filter escalated and none flagged
    (they count in their source's quota under refill, and come on top under shrink)."""
    insert: dict[Name, Insert] = Field(default_factory=dict)
    """Documents of the user's, by name."""
    near: NearField | None = None
    """Near-duplicates that are removed, before filters and quotas look at anything."""
    published: Published | None = None

    @property
    def corpora(self) -> dict[str, tuple[str, ...]]:
        """The sources of each corpus, in the recipe's order."""
        names = dict.fromkeys(one.corpus for one in self.sources.values() if one.corpus)
        return {
            corpus: tuple(name for name, one in self.sources.items() if one.corpus == corpus)
            for corpus in names
        }

    @property
    def shrinks(self) -> bool:
        """Whether removed documents leave a gap in the stream."""
        return self.removed == "shrink"

    @classmethod
    def cross_faults(cls, given: Mapping[str, Any]) -> Iterable[tuple[Location, str]]:
        """Rules between the sources, the budget and the filters, on whatever part of them is
        well-formed.
        """
        yield from recipe_faults(given)
        yield from near_faults(given)
