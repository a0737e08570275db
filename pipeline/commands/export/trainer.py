"""`annealmix export MIX --trainer NAME`: the data configuration of a trainer, for the mix where it
lies, and links to it that carry its identity.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mixtures.audit.documents import MixDocuments
from mixtures.audit.tables.mask import mask_runs
from mixtures.errors import RecipeError
from mixtures.mix.claims import Claims
from mixtures.mix.files import INDEX, TOKENS
from mixtures.mix.slots import MaskRuns
from mixtures.mix.trace import TracedMix
from mixtures.trainers.config import MASKED, TrainedMix, configuration, warnings
from mixtures.trainers.epochs import neox_weighted_samples, pooled_epochs
from mixtures.trainers.fit import most_steps
from mixtures.trainers.names import SEEDS, Trainer
from mixtures.trainers.schedule import Schedule, schedule_for
from pipeline.commands.destination import refuse_place
from pipeline.commands.export.batches import batch_shares
from pipeline.commands.export.labels import write_labels
from pipeline.lookup.documents import StreamDocuments
from pipeline.report import say
from pipeline.store.records import sync, write_whole

SHOWN_IDENTITY = 16  # hex digits of it in names: no two mixes of a study share them
_PAIR = ((".bin", TOKENS), (".idx", INDEX))
_LINKS: dict[Trainer, tuple[tuple[str, str], ...]] = {
    "neox": _PAIR,
    "megatron": _PAIR,
    "olmo-core": ((".bin", TOKENS),),
    "nanotron": ((".ds", TOKENS),),
}
"""Of each trainer: how links end, and the files of the mix that they lead to."""


def export_trainer(
    mix: Path,
    trainer: Trainer,
    out: Path | None,
    tokenizer: Path | None,
    *,
    sequence: int | None = None,
    batch: int | None = None,
    steps: int | None = None,
) -> Schedule:
    """Write the configuration to `out`, and beside it a folder OUT.IDENTITY with links to the .bin
    and the .idx, which the configuration names. Warnings go to stderr, too.

    Trainers tell data apart by path or by name and size, and the mixes of a study have one size and
    may take each other's place. So the links are named by the identity; and what a trainer writes
    beside its data (GPT-NeoX) or into a cache lies in that folder, not in the mix.

    Args:
        sequence, batch, steps: None: the recipe's, or what the mix is large enough for.

    Without `steps`, the schedule is the one that the mix is meant for, else as long as no token is
    seen twice (`schedule_for`, and `_masked_neox` of a masked mix).

    Returns:
        The schedule.

    Raises:
        RecipeError: as `refuse_place`, `out` is needed, the mix is smaller than a step, or a path
            cannot stand in a configuration.
        ManifestError: the .bin or the .idx is not as long as the manifest says; and, with
            InputError, as `StreamDocuments.of_mix`.
    """
    if out is None:
        raise RecipeError(
            "export: a configuration names links to the mix, which are made beside --out FILE; name"
            " one"
        )
    refuse_place(out, mix)
    traced = TracedMix(mix)
    claims, _ = traced.claims, traced.index  # as long as its manifest says
    links = out.with_name(f"{out.name}.{claims.identity[:SHOWN_IDENTITY]}").absolute()
    refuse_place(links, mix)
    if claims.mask and trainer not in MASKED:
        raise RecipeError(
            f"export: {trainer} has no input that says which tokens are targets, and {claims.name}"
            f" masks {claims.mask.tokens:,} of them; those that have are {', '.join(MASKED)}"
        )
    file = StreamDocuments.of_mix(mix, tokenizer).tokenizer.absolute()
    trained = _trained(mix.absolute(), claims, file, links)
    schedule = schedule_for(
        claims.schedule, trainer, claims.total_tokens, sequence=sequence, batch=batch, steps=steps
    )
    if not schedule.steps:
        raise RecipeError(
            f"export: {claims.total_tokens:,} tokens are less than a step of {schedule.batch:,} x"
            f" {schedule.sequence:,} for {trainer}; give a smaller --batch or --sequence, or"
            " --steps N to repeat them"
        )
    runs = None
    if claims.mask:
        if trainer == "neox":
            schedule = _masked_neox(schedule, claims, asked=steps is not None)
        runs = mask_runs(mix, claims.mask, MixDocuments(mix).max_rows)
        shares = batch_shares(traced, MaskRuns(*runs), schedule)
        size = f"batch of {schedule.batch:,} x {schedule.sequence:,} tokens"
        masked = shares.told(size, schedule.batch * schedule.sequence)
        masked += f", in the order of seed {SEEDS[trainer]}"
        trained = replace(trained, masked=masked, without_target=shares.whole)
        say(trained.masked)
    for warning in warnings(trained, schedule):
        say(f"warning: {warning}")
    text = configuration(trained, schedule)
    with _linked(
        links, {trained.tokens + new: mix.absolute() / old for new, old in _LINKS[trainer]}
    ):
        if trained.labels is not None and runs is not None:
            write_labels(mix, claims, trainer, trained.labels, runs)
        write_whole(out, text.encode())
    return schedule


def _masked_neox(schedule: Schedule, claims: Claims, *, asked: bool) -> Schedule:
    """The schedule of a masked mix, of which GPT-NeoX makes one epoch: of a list of paths it asks
    0.5% more sequences than it makes steps of. Steps that nobody asked for are as many as fit.

    Raises:
        RecipeError: the user or the recipe asks for more; says how many steps there are.
    """
    batch, sequence, num_tokens = schedule.batch, schedule.sequence, claims.total_tokens

    def fits(steps: int) -> bool:
        samples = neox_weighted_samples(steps * batch)
        return pooled_epochs(num_tokens, sequence, samples) == 1

    if fits(schedule.steps):
        return schedule
    steps = most_steps("neox", num_tokens, sequence, batch)
    while steps and not fits(steps):
        steps = min(steps - 1, int(steps * 0.9999))
    if steps and not asked and claims.schedule is None:
        return replace(schedule, steps=steps)
    raise RecipeError(
        f"export: with label paths GPT-NeoX asks for 0.5% more sequences than {schedule.steps:,}"
        f" steps take, which are more than an epoch of {num_tokens:,} tokens, and shuffles two"
        f" together; give --steps {steps}, or fewer"
    )


def _trained(mix: Path, claims: Claims, tokenizer: Path, links: Path) -> TrainedMix:
    for path in (mix, tokenizer, links):
        if not str(path).isprintable():
            raise RecipeError(
                f"{str(path)!r}: the path holds control characters, which a configuration cannot;"
                " move it"
            )
    claim, origin = claims.tokenizer, claims.tokenizer_origin
    inner = claims.arm.inner_documents if claims.arm else 0  # behind another in their slot
    return TrainedMix(
        name=claims.name,
        identity=claims.identity,
        mix_id=claims.mix_id,
        tokens=str(links / f"tokens-{claims.identity[:SHOWN_IDENTITY]}"),
        folder=str(links),
        cache=str(links / "cache"),
        num_tokens=claims.total_tokens,
        num_documents=claims.total_documents + inner,
        num_eods=claims.eod_tokens,
        token_bytes=claims.layout.dtype.itemsize,
        vocab_size=claim.vocab_size,
        eod_id=claim.eod_id,
        bos_id=claim.bos_id,
        tokenizer_file=str(tokenizer),
        tokenizer=origin.repo if origin else str(tokenizer.parent),
        labels=(str(links / f"labels-{claims.mix_id[:SHOWN_IDENTITY]}") if claims.mask else None),
    )


@contextmanager
def _linked(folder: Path, links: Mapping[str, Path]) -> Iterator[None]:
    """A folder with links in it, which vanishes if the body does not end well.

    Args:
        links: what each points to, by its path.
    """
    try:
        folder.mkdir()
    except FileExistsError:
        raise RecipeError(f"{folder}: exists; delete it, or name another --out") from None
    try:
        for link, file in links.items():
            Path(link).symlink_to(file)
        yield
        sync(folder)
    except BaseException:
        shutil.rmtree(folder)
        raise
