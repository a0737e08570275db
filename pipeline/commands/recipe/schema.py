"""`annealmix schema`: the JSON schema of what a user writes, for editors and other programs."""

from __future__ import annotations

import argparse

from pipeline.commands.options import add_command

RECORDS = ("recipe", "study", "source", "tokenizer", "filter", "evaluation-set")


def add_schema(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `schema`."""
    schema = add_command(
        commands,
        "schema",
        "print the JSON schema of a recipe, or of a definition that recipes refer to",
        "annealmix schema recipe > recipe.schema.json",
    )
    schema.add_argument("what", choices=RECORDS, help="what the YAML file holds")
    schema.set_defaults(command=_schema)


def _schema(options: argparse.Namespace) -> int:
    from pydantic import BaseModel

    from mixtures.recipe.model import Recipe
    from mixtures.recipe.source_definition import SourceDefinition
    from mixtures.recipe.tokenizer.request import TokenizerRequest
    from mixtures.rules.benchmark import Benchmark
    from mixtures.rules.filter_definition import FilterDefinition
    from mixtures.stream.arms.study import Study
    from pipeline.report import result

    records: tuple[type[BaseModel], ...] = (
        *(Recipe, Study, SourceDefinition, TokenizerRequest),
        *(FilterDefinition, Benchmark),
    )
    result(dict(zip(RECORDS, records, strict=True))[options.what].model_json_schema())
    return 0
