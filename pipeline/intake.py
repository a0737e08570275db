"""What is there and what must still be read: inputs of each source, the store's groups that cover them, and the units of an ingest.

Groups are reused by their files' state: a file that was added is read alone, a file that was changed is read again with the others
of its group. How files are grouped is of no consequence for a mix; it only sets how much one task reads.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

from mixtures.errors import RecipeError
from mixtures.keys import KeyRange
from mixtures.plan import CEILING_MARGIN, SupplyEstimate
from mixtures.source import SourceDefinition
from pipeline.ingest import SEGMENT_BYTES
from pipeline.inputs import InputFile, list_inputs
from pipeline.readers import DocumentReader
from pipeline.stage import Unit
from pipeline.store import Group, Store, TokenRule, group_name
from pipeline.tokenizing import Tokenizer

GROUP_BYTES = (16 << 20, 512 << 20)  # smallest and largest target of a group's input files
GROUPS = 512  # groups of a source that are aimed at between those
PROBE_BYTES = 1 << 20  # text that a probe tokenizes


@dataclass(frozen=True)
class SourceInputs:
    """A source's files as listed now, the groups of the store that cover some of them, and the groups that must be read anew.

    groups: each with its files in the group's order.
    """

    definition: SourceDefinition
    files: list[InputFile]
    groups: list[tuple[Group, list[InputFile]]]
    new_groups: list[list[InputFile]]


def survey(store: Store, definition: SourceDefinition, data: Path | None) -> SourceInputs:
    """List a source's files and find the groups that hold them already. A branch of the hub is read at the commit that the store froze."""
    files = list_inputs(definition if data else store.frozen(definition), data)
    groups, rest = _cover(store.groups(definition), files)
    return SourceInputs(definition, files, groups, _grouped(rest, sum(file.size for file in files)))


def refuse_shared_files(surveys: dict[str, SourceInputs]) -> None:
    """Two definitions that read the same file with the same rows would count every document twice.

    Raises:
        RecipeError: names the file and both sources.
    """
    seen: dict[tuple[object, ...], str] = {}
    for name, found in surveys.items():
        where = tuple(sorted((column, values) for column, values in found.definition.where.items()))
        for file in found.files:
            first = seen.setdefault((file.url, where), name)
            if surveys[first].definition.name != found.definition.name:
                raise RecipeError(f"sources.{name} and sources.{first} read the same file {file.url}; leave one of them out")


def _cover(groups: Iterable[Group], files: Sequence[InputFile]) -> tuple[list[tuple[Group, list[InputFile]]], list[InputFile]]:
    """Choose groups that hold exactly files of the list, no file twice. Returns them and the files that none holds."""
    rest = {file.path: file for file in files}
    chosen = []
    for group in groups:
        members = [rest.get(known["path"]) for known in group.inputs]
        if all(file and _same(known, file) for known, file in zip(group.inputs, members, strict=True)):
            chosen.append((group, [file for file in members if file]))
            for known in group.inputs:
                del rest[known["path"]]
    return chosen, list(rest.values())


def _same(known: dict[str, object], file: InputFile) -> bool:
    """Whether a file still has the content that a group was read from; a file that was only touched is hashed to find out."""
    if known["size"] != file.size and "://" not in file.url:
        return False
    if not file.local:
        return known["etag"] == file.etag and known["url"] == file.url
    if (known["mtime_ns"], known["inode"]) == (file.mtime_ns, file.inode):
        return file.sha256 in (None, known["sha256"])
    with open(file.url, "rb") as stream:
        digest = sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    return known["sha256"] == digest.hexdigest()


def _grouped(files: Sequence[InputFile], source_bytes: int) -> list[list[InputFile]]:
    """Group neighbouring files to a size that grows with the source."""
    target = min(max(source_bytes // GROUPS, GROUP_BYTES[0]), GROUP_BYTES[1])
    groups: list[list[InputFile]] = []
    size = target
    for file in files:
        if size >= target:
            groups.append([])
            size = 0
        groups[-1].append(file)
        size += file.size
    return groups


def covered_to(found: SourceInputs, rule: TokenRule, keys: KeyRange) -> int:
    """The key up to which every group of a source is tokenized from keys[0] on; keys[0] if one is not, or is still to be read."""
    if found.new_groups or not found.groups:
        return keys[0]
    ends = []
    for group, _ in found.groups:
        missing = group.missing(rule, keys)
        ends.append(missing[0][0] if missing else keys[1])
    return min(ends)


def probe(found: SourceInputs, tokenizer: Tokenizer) -> SupplyEstimate:
    """Estimate what a whole source holds from one of its files (the middle one by size): good enough for a ceiling, never for a count."""
    file = sorted(found.files, key=lambda file: (file.size, file.path))[len(found.files) // 2]
    sample: list[str] = []
    sample_bytes = text_bytes = documents = 0
    for _, text in DocumentReader(file, found.definition):
        documents += 1
        text_bytes += len(text)
        if sample_bytes < PROBE_BYTES:
            sample.append(text)
            sample_bytes += len(text)
    if not sample_bytes:
        return SupplyEstimate(0, 0, "probe")
    tokens, _ = tokenizer.encode(sample)
    files = sum(other.size for other in found.files) / file.size if file.size else 1.0
    return SupplyEstimate(int(documents * files), int(len(tokens) * text_bytes / sample_bytes * files), f"probe of {file.path}")


def ceiling(keys: KeyRange, share: float) -> int:
    """The key below which `share` of a key range lies, with margin, inside the range."""
    low, high = keys
    wanted = math.ceil((high - low) * min(share * float(CEILING_MARGIN), 1.0))
    return min(low + wanted, high)


def ingest_units(store: Store, found: SourceInputs, rule: TokenRule, ranges: Sequence[KeyRange]) -> list[Unit]:
    """Units that read what is new and tokenize what is missing of `ranges` (none: the ledger alone is needed)."""
    units = []
    for group, files in found.groups:
        missing = [part for keys in ranges for part in group.missing(rule, keys)]
        if missing:
            units.append(_unit(found, group.folder, files, missing, group.record["segment_bytes"]))
    for files in found.new_groups:
        units.append(_unit(found, store.source_folder(found.definition) / group_name(files), files, list(ranges), SEGMENT_BYTES))
    return units


def _unit(found: SourceInputs, folder: Path, files: Sequence[InputFile], ranges: Sequence[KeyRange], segment_bytes: int) -> Unit:
    return {
        "source": found.definition.name,
        "folder": str(folder),
        "files": [asdict(replace(file)) for file in files],
        "ranges": [[f"{low:x}", f"{high:x}"] for low, high in ranges],
        "segment_bytes": segment_bytes,
    }
