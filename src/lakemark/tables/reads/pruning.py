"""Row groups that cannot have rows which match; loaded with the first condition, for its library loads pandas."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyarrow import fs

__all__ = ["matching_groups"]


def matching_groups(
    path: str, filesystem: fs.FileSystem, schema: pa.Schema, *, conditions: Iterable[pc.Expression]
) -> list[int]:
    """Return the numbers of the row groups of a Parquet file that may have rows for which all conditions hold.

    Parameters
    ----------
    path : str
        The file.
    filesystem : pyarrow.fs.FileSystem
        Where it is.
    schema : pyarrow.Schema
        The columns as the file has them.
    conditions : iterable of pyarrow.compute.Expression
        Of these columns; they are compared with the bounds that the file keeps.
    """
    fragment = ds.ParquetFileFormat().make_fragment(path, filesystem)
    for condition in conditions:
        fragment = fragment.subset(condition, schema)
    return [group.id for group in fragment.row_groups]
