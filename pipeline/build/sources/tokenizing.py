"""The tokenizer of a build. Its workers load it; the builder must know that the file is the one
that is meant, how many tokens a few texts have, and which engine makes them. It asks a worker,
where there may be several: they have an engine at hand before it would have loaded one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, cached_property, partial
from pathlib import Path

from pipeline.build.request import BuildRequest
from pipeline.executors.pool import answering
from pipeline.inputs.probe import CountTokens
from pipeline.report import say
from pipeline.stages.ingest import EngineInUse, PlannedTokenizer, count_tokens
from pipeline.tokens.engines import NumTokens
from pipeline.tokens.find import find_tokenizer
from pipeline.tokens.tokenizer import prove


class Tokenizing:
    """The tokenizer of a request; nothing of it is looked for before it is asked."""

    def __init__(self, request: BuildRequest) -> None:
        self._request = request
        self._engine: EngineInUse | None = None

    @property
    def unused(self) -> PlannedTokenizer:
        """For a plan whose units tokenize nothing."""
        recipe = self._request.recipe
        return PlannedTokenizer(
            path=None,
            definition=recipe.tokenizer,
            special_tokens=recipe.recipe.special_tokens,
            folders=self._request.rule.folders,
        )

    @cached_property
    def planned(self) -> PlannedTokenizer:
        """For a plan whose units tokenize.

        Raises:
            InputError, ManifestError: no file is the tokenizer that is meant.
        """
        return self.unused.model_copy(
            update={"path": self.path, "sha256": prove(self.path, self._request.recipe.tokenizer)}
        )

    @cached_property
    def path(self) -> Path:
        """Its file.

        Raises:
            InputError, ManifestError: none is the tokenizer that is meant.
        """
        recipe = self._request.recipe
        return find_tokenizer(recipe.tokenizer, self._request.tokenizer or recipe.tokenizer_file)

    @contextmanager
    def counting(self) -> Iterator[CountTokens]:
        """Counts the tokens of texts, from the first time that it is asked by one process.

        Raises (when it is asked):
            ManifestError, RecipeError: as `Tokenizer`.
        """
        with ExitStack() as stack:

            @cache
            def opened() -> Callable[[list[str]], tuple[NumTokens, EngineInUse]]:
                counted = partial(count_tokens, self.planned)
                return stack.enter_context(answering(counted, self.path, _tell_stopped))

            def count(texts: list[str]) -> NumTokens:
                num_tokens, self._engine = opened()(texts)
                return num_tokens

            yield count

    @property
    def engine(self) -> EngineInUse:
        """Which library makes the ids.

        Raises:
            ManifestError, RecipeError: as `Tokenizer`.
        """
        if self._engine is None:
            with self.counting() as count:
                count([])
        assert self._engine is not None
        return self._engine


def _tell_stopped(pid: int) -> None:
    say(
        "probe: the worker that counts tokens is stopped by a signal and does nothing;"
        f" kill -CONT {pid} lets it go on"
    )
