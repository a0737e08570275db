"""Strict readers: every row of an input file is a document, or counted with its reason; a damaged
file is an error.

Reading order: `document` (what a caller uses), `rows` (what passes between the parts), `raw`
(bytes, hash, identity), `compression`, `json_lines`, `parquet`, `zip_members`, `dataset_rows` (one
published layout each), `remote` (files of the hub).
"""

from pipeline.inputs.readers.document import DocumentReader
from pipeline.inputs.readers.rows import Quarantined, ReadLimits

__all__ = ["DocumentReader", "Quarantined", "ReadLimits"]
