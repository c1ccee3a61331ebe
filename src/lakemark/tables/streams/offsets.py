"""Where in a table a stream is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

from lakemark._base.canonical import Json
from lakemark._base.errors import StorageError

__all__ = ["Offset", "Position", "offset_from_json"]


@dataclass(frozen=True, slots=True)
class Offset:
    """How far a stream has read its source: all before this place was handed on.

    Parameters
    ----------
    table_id : str
        The id of the source in its metadata.
    version : int
        The commit that comes next, or is half read; for a snapshot the version that it is of.
    index : int
        How many files of it were read.
    initial : bool
        True while the rows that the table had at the start are read; `index` then counts the files of that version,
        by modification time, then path.
    """

    table_id: str
    version: int
    index: int = 0
    initial: bool = False

    def at(self, index: int) -> Offset:
        """Return the place after so many files of the same commit."""
        return replace(self, index=index)

    def after(self) -> Offset:
        """Return the place after the whole commit, or the whole snapshot."""
        return Offset(self.table_id, self.version + 1)

    def to_json(self) -> Mapping[str, Json]:
        """Return it with the names that Spark uses for the same."""
        return {
            "reservoirId": self.table_id,
            "reservoirVersion": self.version,
            "index": self.index,
            "isInitialSnapshot": self.initial,
        }


@dataclass(frozen=True, slots=True)
class Position:
    """The last batch of a query that a sink has, and where in the source the next one begins.

    Parameters
    ----------
    batch_id : int
        From 0.
    offset : Offset
        The end of that batch.
    """

    batch_id: int
    offset: Offset


def offset_from_json(data: object) -> Offset:
    """Return the offset that `Offset.to_json` wrote.

    Raises
    ------
    StorageError
        If it is none.
    """
    try:
        fields = cast("Mapping[str, object]", data)
        found = (fields["reservoirId"], fields["reservoirVersion"], fields["index"], fields["isInitialSnapshot"])
    except (KeyError, TypeError):
        raise StorageError(f"not the offset of a stream: {data!r}") from None
    match found:
        case (str() as table_id, int() as version, int() as index, bool() as initial):
            return Offset(table_id, version, index, initial)
    raise StorageError(f"not the offset of a stream: {data!r}")
