"""The words of a build, and what lies in a bucket."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.s3.conftest import Bucket


def build(recipe: Path, data: Any, out: Any, store: Any) -> list[Any]:
    """The words of a build."""
    return ["build", recipe, "--data", data, "--out", out, "--store", store]


def fetched(bucket: Bucket, prefix: str, folder: Path) -> Path:
    """The objects below a prefix, read with nothing of annealmix."""
    for key in bucket.names(prefix):
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bucket.system.cat_file(f"{bucket.url}/{prefix}/{key}"))
    return folder
