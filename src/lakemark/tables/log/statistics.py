"""Statistics: what a log says of the values in each data file, so that readers skip the files that cannot match.

`deltalake` gives them as Arrow values, not as the log spells them. Only the types whose values have one spelling in
JSON are taken here: integers, texts and dates. A reader does without those of the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import cast

import pyarrow as pa
from deltalake import DeltaTable

from lakemark._base.canonical import Json

__all__ = ["file_statistics"]

_PARTS = {"min": "minValues", "max": "maxValues", "null_count": "nullCount"}


def file_statistics(table: DeltaTable) -> Mapping[str, Mapping[str, Json]]:
    """Return smallest and largest values and numbers of nulls as a log spells them, by the path of the data file.

    Parameters
    ----------
    table : deltalake.DeltaTable
        Open at a version.

    Notes
    -----
    They are of all rows in a file, those that a deletion vector takes away too. Columns have the names of the log.
    """
    actions = pa.table(table.get_add_actions())
    if not {"path", *_PARTS} <= set(actions.column_names):
        return {}
    paths = cast("list[str]", actions["path"].to_pylist())
    wanted = [field.name for field in actions.schema.field("min").type if _is_plain(field.type)]
    columns = {part: cast("list[Mapping[str, object] | None]", actions[part].to_pylist()) for part in _PARTS}
    return {
        path: {
            name: {column: _spelled(value) for column in wanted if (value := (told or {}).get(column)) is not None}
            for name, told in ((_PARTS[part], columns[part][row]) for part in _PARTS)
        }
        for row, path in enumerate(paths)
    }


def _is_plain(kind: pa.DataType) -> bool:
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return bool(is_text or pa.types.is_integer(kind) or pa.types.is_date(kind))


def _spelled(value: object) -> Json:
    return value.isoformat() if isinstance(value, date) else cast("int | str", value)
