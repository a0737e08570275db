"""`annealmix export MIX --public DIR`: a copy of a mix that can be published (`mixtures.mix.public`
says what it hides, and what not).
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from pathlib import Path

import pyarrow.parquet as pq

from mixtures.audit import audit_mix
from mixtures.audit.tables.parts import proven_part
from mixtures.audit.tables.slot_table import SlotTable
from mixtures.errors import AuditFailed, InputError, RecipeError
from mixtures.mix import manifest as manifests
from mixtures.mix.blocks import BLOCK_ROWS
from mixtures.mix.claims import Claims, read_claims
from mixtures.mix.files import INDEX, TOKENS, part_path
from mixtures.mix.public import SALT_BYTES, public_manifest, salted
from mixtures.mix.slots import MASK_FILE, OF_BASE, SLOTS_FILE, slots_schema
from mixtures.mix.tables import DOCUMENTS, Columns, part_hash, to_arrow
from mixtures.yaml.disk import read_bytes
from pipeline import report
from pipeline.commands.destination import appearing, refuse_inside
from pipeline.report import say
from pipeline.store.records import write_whole

NEW_SALT_BYTES = 32


def export_public(mix: Path, out: Path, salt_file: Path | None) -> manifests.Manifest:
    """Make the public form of a mix at `out`, and audit it before it appears.

    Args:
        salt_file: the salt, made there (mode 0600) if it is missing. None: a salt that is kept
            nowhere, so that nobody, its maker included, can link the digests to anything again.

    Returns:
        The manifest.

    Raises:
        RecipeError: as `refuse_place`, the salt lies inside the mix, the mix is public already, or
            the salt is too short.
        InputError: others may read the salt.
        AuditFailed: the mix is not what its manifest says.
    """
    for place in (out, *([salt_file] if salt_file else [])):
        refuse_inside(place, mix)
    claims = read_claims(mix)
    if claims.public:
        raise RecipeError(
            f"{mix}: is public already; name the mix that it was made of, identity"
            f" {claims.public.of}"
        )
    if claims.arm and claims.arm.rewrites:
        raise RecipeError(
            f"{mix}: has rewrites in slots ({claims.arm.rewrites.file}), of which it knows no"
            " source and no licence, so it has no public form; publish these as a data set of your"
            " own, and the base"
        )
    with appearing(out, mix) as folder:
        salt = secrets.token_bytes(NEW_SALT_BYTES) if salt_file is None else read_salt(salt_file)
        part_path(folder, "documents", 0).parent.mkdir()
        count = len(claims.hashes.documents_parts)
        parts: list[str] = []
        with report.progress("salt digests", count, lambda: len(parts)):
            for number in range(count):
                target = part_path(folder, "documents", number)
                parts.append(_salted_part(proven_part(mix, claims, number), target, salt))
        for name in (TOKENS, INDEX):
            shutil.copyfile(mix / name, folder / name)
        slots = _salted_slots(mix, claims, folder, salt) if claims.arm else None
        if claims.mask:
            shutil.copyfile(mix / MASK_FILE, folder / MASK_FILE)
        public = public_manifest(claims, salt, parts, slots)
        write_whole(folder / manifests.MANIFEST, manifests.dump(public))
        with report.counted("audit") as progress:
            audit = audit_mix(folder, progress=progress)
        if audit.failures:
            failures = "; ".join(f"{check.name}: {check.detail}" for check in audit.failures[:3])
            raise AuditFailed(
                f"{mix}: its public form does not pass its audit: {failures}; `annealmix audit"
                f" {mix}` says what is off"
            )
    return public


def _salted_part(columns: Columns, target: Path, salt: bytes) -> str:
    """Write the public form of a part of the documents table. Returns the hash of what it says.

    columns: [num_docs] each.
    """
    columns = {**columns, "digest": salted(columns["digest"], salt)}
    pq.write_table(
        to_arrow(DOCUMENTS, columns),
        target,
        compression="zstd",
        row_group_size=BLOCK_ROWS,
        use_dictionary=["source"],
    )
    return part_hash(DOCUMENTS, columns)


def _salted_slots(mix: Path, claims: Claims, folder: Path, salt: bytes) -> str:
    """Write the public form of an arm's table of slots. Returns the hash of what it says."""
    table = SlotTable.proven(mix, claims)
    schema = slots_schema(table.fill, public=True)
    digest = salted(table.columns["digest"], salt)
    columns = {**table.columns, "digest": digest, OF_BASE.name: table.of_base}
    pq.write_table(to_arrow(schema, columns), folder / SLOTS_FILE, compression="zstd")
    return part_hash(schema, columns)


def read_salt(file: Path) -> bytes:
    """Read a salt, or make one where there is none.

    Raises:
        InputError: others than the owner may read it. RecipeError: it has not 16 to 64 bytes.
    """
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        try:
            salt = read_bytes(file)
        except OSError as error:
            raise InputError(
                f"{file}: the salt cannot be read ({error.strerror}); name a file of its own"
            ) from None
        if (mode := stat.S_IMODE(file.stat().st_mode)) & 0o077:
            raise InputError(
                f"{file}: others may read the salt (mode {mode:03o}); chmod 600, or make another if"
                " it was seen"
            ) from None
        if not SALT_BYTES[0] <= len(salt) <= SALT_BYTES[1]:
            raise RecipeError(
                f"{file}: {len(salt):,} bytes; a salt has {SALT_BYTES[0]} to {SALT_BYTES[1]} random"
                " bytes"
            ) from None
        return salt
    salt = secrets.token_bytes(NEW_SALT_BYTES)
    with os.fdopen(handle, "wb") as opened:
        opened.write(salt)
        opened.flush()
        os.fsync(handle)
    say(
        f"{file}: a new salt; keep it to make other mixes public with the same, and publish it"
        " never"
    )
    return salt
