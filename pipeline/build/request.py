"""What a build is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mixtures.recipe.loaded import LoadedRecipe
from mixtures.stream.quotas import Size
from pipeline.build.output.places import RemotePlaces
from pipeline.executors import Executor
from pipeline.executors.local import LocalExecutor
from pipeline.inputs.listing import DataFolders
from pipeline.stages.write import CHUNK_BYTES, SLICE_CHUNKS
from pipeline.store.rules import TokenRule


@dataclass(frozen=True)
class BuildRequest:
    """What a build is asked to do. data: folders to read instead of the hub; chunk_bytes and
    slice_chunks: see `Layout`; remote: where out and store are working copies.
    """

    recipe: LoadedRecipe
    out: Path
    store: Path
    data: DataFolders = field(default_factory=DataFolders)
    tokenizer: Path | None = None
    size: Size = field(default_factory=Size)
    executor: Executor = field(default_factory=LocalExecutor)
    chunk_bytes: int = CHUNK_BYTES
    slice_chunks: int = SLICE_CHUNKS
    remote: RemotePlaces = field(default_factory=RemotePlaces)
    tokenized_to: Mapping[str, int] = field(default_factory=dict)
    """Keys up to which sources are tokenized, whatever their quotas need."""
    told: bool = False
    """Whether notes on the files and their rows were printed already."""

    @property
    def rule(self) -> TokenRule:
        """The rule of the tokens that the mix is made of."""
        tokenizer = self.recipe.tokenizer
        return TokenRule(
            tokenizer.digest,
            self.recipe.recipe.special_tokens,
            tokenizer.eod_id,
            tokenizer.bos_id,
            tokenizer.dtype.itemsize,
        )
