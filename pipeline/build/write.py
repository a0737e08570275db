"""A mix written: its strands of what is selected, described, gathered slice by slice, sealed, and
published under its name.
"""

from __future__ import annotations

from collections.abc import Mapping

from mixtures.errors import RecipeError
from mixtures.mix import manifest as manifests
from mixtures.mix.claims import Description
from mixtures.stream.selection import Selection
from pipeline.build.claims import seal
from pipeline.build.claims.contamination import contamination_report
from pipeline.build.claims.description import Chosen, describe
from pipeline.build.near import Found
from pipeline.build.output import output
from pipeline.build.placebo import refuse_unlike
from pipeline.build.select import Selected, inserts
from pipeline.build.workshop import Workshop
from pipeline.executors import execute
from pipeline.inputs.survey import SourceInputs
from pipeline.report import say
from pipeline.stages.eligible import Choice
from pipeline.stages.mix_folder import Layout, SliceUnit, prepare_folder
from pipeline.stages.write import WRITE_FORMAT, Write, WritePlan
from pipeline.store.mixes import note_mix, noted_mix
from pipeline.store.rules import short_key
from pipeline.store.store import Store


def write_mix(
    shop: Workshop, inputs: Mapping[str, SourceInputs], selected: Selected, near: Found | None
) -> manifests.Manifest:
    """Write a mix, or find it written.

    Args:
        inputs: by reading.

    Raises:
        AnnealmixError: nothing is left to write, or the place is taken, or what was written is not
            what was selected; nothing is then visible at `request.out`.
    """
    request = shop.request
    chosen = selected.choices(request) | inserts(request, selected.eligible)
    choices = {name: choice.rotated() for name, choice in chosen.items()}
    strands = [strand for choice in choices.values() for strand in choice.strands]
    token_bytes = request.rule.token_bytes
    layout = Layout(token_bytes, request.chunk_bytes // token_bytes, request.slice_chunks)
    if not any(strand.tokens for strand in strands):
        raise _nothing_left(shop.recipe.name, choices)
    plan = _plan(shop, selected, strands, layout)
    described = describe(
        Chosen(
            recipe=request.recipe,
            size=request.size,
            layout=layout,
            quotas=selected.quotas,
            choices=choices,
            inputs=inputs,
            contamination=contamination_report(
                request.recipe, shop.judges.index, selected.plan, choices
            ),
            near=near,
            placebos=selected.placebos,
        )
    )
    refuse_unlike(shop.recipe.name, described.filters)
    key = short_key([plan.decisive(), described.as_json()])
    with output.building(request.out, key) as folder:
        if folder is None:
            found = output.finished(request.out, described, layout)
            note(shop.store, described)
            return found
        prepare_folder(folder, layout, plan.total_tokens, plan.total_documents)
        # beside those of other stages, where the store may be written
        work = shop.store.work_folder / f"write-{key}" if shop.store.writable else folder / "work"
        execute(request.executor, Write, plan.model_copy(update={"folder": folder}), work)
        sealed = seal.seal(folder, described, strands, len(plan.units))
        note(shop.store, described)
        output.publish(folder, request.out)
        return sealed


def _nothing_left(name: str, choices: Mapping[str, Choice]) -> RecipeError:
    removed = any(sum(choice.removed) for choice in choices.values())
    what = (
        "every document of it is removed"
        if removed
        else "every quota resolves to 0 tokens; ask for more tokens"
    )
    return RecipeError(f"{name}: nothing is left at this size: {what}")


def _plan(
    shop: Workshop, selected: Selected, strands: list[Selection], layout: Layout
) -> WritePlan:
    tokenizer = shop.request.recipe.tokenizer
    total = sum(strand.tokens for strand in strands)
    slices = range(-(-total // layout.slice_tokens))
    return WritePlan(
        layout=layout,
        total_documents=sum(strand.documents for strand in strands),
        total_tokens=total,
        eod_id=tokenizer.eod_id,
        bos_id=tokenizer.bos_id,
        select=selected.plan,
        selections=tuple(strands),
        units=tuple(SliceUnit(slice=number) for number in slices),
        format=WRITE_FORMAT,
    )


def note(store: Store, described: Description) -> None:
    """Note the mix in the store, which `audit --store` holds it against."""
    if store.writable:
        note_mix(store.folder, described.as_json())
    elif not noted_mix(store.folder, described.as_json()):
        say(
            f"{store.folder}: is read-only here, so the mix is not noted there, and"
            " `audit --store` will miss its note"
        )
