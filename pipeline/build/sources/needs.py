"""What is there and what must still be read: inputs of each source, the store's groups that cover
them, and the units of an ingest.

Groups are reused by their files' state: a file that was added is read alone, a file that was
changed is read again with the others of its group. How files are grouped is of no consequence for a
mix; it only sets how much one task reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixtures.errors import InputError
from mixtures.keys import KeyRange, merged
from pipeline.inputs.file import InputFile
from pipeline.inputs.survey import SourceInputs, group_name
from pipeline.judges.judges import Judges
from pipeline.stages.ingest import SEGMENT_BYTES, IngestUnit
from pipeline.store.records import is_done
from pipeline.store.rules import BandRule, TokenRule
from pipeline.store.store import Due, Group, Store


@dataclass(frozen=True)
class Needs:
    """What a build must have of a source's documents. tokenized, judged, searched: key ranges; of
    documents outside of them the ledger is enough. bands: the rule by which those of `searched`
    have band keys.
    """

    rule: TokenRule
    judges: Judges
    tokenized: Sequence[KeyRange] = ()
    judged: Sequence[KeyRange] = ()
    bands: BandRule | None = None
    searched: Sequence[KeyRange] = ()

    def noted(self, group: Group | None) -> list[Due]:
        """What a reading of a group must note beside tokens.
        group: None: nothing of it is there yet.
        """
        noted = self.judges.due(group, self.judged)
        if bands := self.bands:
            missing = [
                part
                for keys in merged(self.searched)
                for part in (group.missing(bands, keys) if group else [keys])
            ]
            noted += [Due(bands.folders, keys) for keys in missing]
        return noted


def ingest_units(store: Store, found: SourceInputs, needs: Needs) -> list[IngestUnit]:
    """Units that read what is new, tokenize what is missing, and note what filters must know."""
    units = []
    for group, files in found.groups:
        missing = [part for keys in needs.tokenized for part in group.missing(needs.rule, keys)]
        annotations = needs.noted(group)
        if missing or annotations:
            units.append(
                _unit(found, group.folder, files, missing, annotations, group.record.segment_bytes)
            )
    for files in found.new_groups:
        folder = store.source_folder(found.definition, found.quality) / group_name(files)
        units.append(_unit(found, folder, files, needs.tokenized, needs.noted(None), SEGMENT_BYTES))
    return units


def _unit(
    found: SourceInputs,
    folder: Path,
    files: Sequence[InputFile],
    ranges: Sequence[KeyRange],
    annotations: Sequence[Due],
    segment_bytes: int,
) -> IngestUnit:
    return IngestUnit(
        source=found.reading,
        folder=folder,
        files=tuple(files),
        ranges=tuple(ranges),
        annotations=tuple(annotations),
        segment_bytes=segment_bytes,
    )


def refuse_unread(inputs: Mapping[str, SourceInputs]) -> None:
    """After an ingest every file is in the store, or something wrote to it meanwhile.

    Raises:
        InputError: names the file.
    """
    for found in inputs.values():
        if found.new_groups:
            raise InputError(
                f"{found.new_groups[0][0].url}: changed while it was read; nothing may write to the"
                " inputs during a build"
            )


def other_tokens(folder: Path, rule: TokenRule) -> bool:
    """Whether a group holds tokens of its documents, but by another rule."""
    names = [path.name for path in folder.glob("tokens-*") if is_done(path)]
    return bool(names) and not any(name.startswith(f"{rule.folders}-") for name in names)
