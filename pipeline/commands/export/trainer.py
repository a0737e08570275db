"""`annealmix export MIX --trainer NAME`: the data configuration of a trainer, for the mix where it
lies.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mixtures.errors import RecipeError
from mixtures.mix.claims import Claims, read_claims
from mixtures.mix.files import TOKENS
from mixtures.recipe.load import load_tokenizer_definition
from mixtures.trainers.config import Schedule, TrainedMix, configuration, most_steps, warnings
from mixtures.trainers.names import Trainer
from mixtures.trainers.schedule import budget_fit
from pipeline.commands.destination import refuse_place, refuse_taken
from pipeline.lookup.documents import StreamDocuments
from pipeline.report import say
from pipeline.store.records import sync, write_whole


@dataclass(frozen=True)
class Wish:
    """What the user asked of the schedule; None: the recipe's, or what the mix is large enough
    for.
    """

    sequence: int | None = None
    batch: int | None = None
    steps: int | None = None


def export_trainer(
    mix: Path, trainer: Trainer, out: Path | None, tokenizer: Path | None, wish: Wish
) -> None:
    """Write the configuration to `out`, or print it to stdout. Warnings go to stderr, too.

    Without `steps`, the schedule is the recipe's if it is given in steps and the mix is of full
    size, else as long as no token is seen twice. For nanotron, which reads a folder of .ds files, a
    folder OUT.ds with a link to the .bin is made beside `out`.

    Raises:
        RecipeError: as `refuse_place`, `out` is needed, the mix is smaller than a step, or a path
            cannot stand in a configuration.
        ManifestError, InputError: as `StreamDocuments.of_mix`.
    """
    link = None
    if out is not None:
        refuse_place(out, mix)
    if trainer == "nanotron":
        if out is None:
            raise RecipeError(
                "export: nanotron reads a folder with a file that ends in .ds, which is made beside"
                " --out FILE; name one"
            )
        link = out.with_name(f"{out.name}.ds").absolute()
        refuse_taken(link)
    claims = read_claims(mix)
    file = StreamDocuments.of_mix(mix, tokenizer).tokenizer.absolute()
    trained = _trained(mix.absolute(), claims, file, link)
    schedule = _schedule(trainer, claims, wish)
    for warning in warnings(trainer, trained.num_tokens, schedule):
        say(f"warning: {warning}")
    text = configuration(trainer, trained, schedule)
    if out is None:
        sys.stdout.write(text)
        return
    if link is None:
        write_whole(out, text.encode())
        return
    with _linked(link, mix.absolute() / TOKENS):
        write_whole(out, text.encode())


def _trained(mix: Path, claims: Claims, tokenizer: Path, link: Path | None) -> TrainedMix:
    for path in (mix, tokenizer, link or mix):
        if not str(path).isprintable():
            raise RecipeError(
                f"{str(path)!r}: the path holds control characters, which a configuration cannot;"
                " move it"
            )
    claim = claims.tokenizer
    return TrainedMix(
        name=claims.name,
        identity=claims.identity,
        tokens=str((mix / TOKENS).with_suffix("")),
        folder=str(link or mix),
        num_tokens=claims.total_tokens,
        num_documents=claims.total_documents,
        token_bytes=claims.layout.dtype.itemsize,
        vocab_size=claim.vocab_size,
        eod_id=claim.eod_id,
        tokenizer_file=str(tokenizer),
        tokenizer=_published(claim.name, claim.digest) or str(tokenizer.parent),
    )


def _published(name: str, digest: str) -> str | None:
    """The repository of a tokenizer that annealmix knows."""
    try:
        definition = load_tokenizer_definition(name)
    except RecipeError:
        return None
    return definition.repo if definition.digest == digest else None


def _schedule(trainer: Trainer, claims: Claims, wish: Wish) -> Schedule:
    whole = not (claims.size.scale or claims.size.tokens)
    fit = budget_fit(claims.recipe.get("budget"), whole=whole, num_tokens=claims.total_tokens)
    sequence, batch = wish.sequence or fit.sequence, wish.batch or fit.batch
    meant = None if fit.inferred or wish.sequence or wish.batch else fit.steps
    steps = wish.steps or meant or most_steps(trainer, claims.total_tokens, sequence, batch)
    if not steps:
        raise RecipeError(
            f"export: {claims.total_tokens:,} tokens are less than a step of {batch:,} x"
            f" {sequence:,} for {trainer}; give a smaller --batch or --sequence, or --steps N to"
            " repeat them"
        )
    return Schedule(sequence, batch, steps)


@contextmanager
def _linked(folder: Path, tokens: Path) -> Iterator[None]:
    """A folder with a link to the .bin, which vanishes if the body does not end well."""
    try:
        folder.mkdir()
    except FileExistsError:
        raise RecipeError(f"{folder}: exists; delete it, or name another --out") from None
    try:
        (folder / "tokens.ds").symlink_to(tokens)
        yield
        sync(folder)
    except BaseException:
        shutil.rmtree(folder)
        raise
