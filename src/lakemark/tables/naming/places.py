"""Places: tables that are named by a path or a URI, with or without a catalog."""

from __future__ import annotations

from pathlib import Path

from lakemark._base.errors import NotFoundError
from lakemark.tables.naming.names import TableRef, parse_table
from lakemark.tables.table import Table

__all__ = ["find_place", "is_whole", "open_place"]


def open_place(text: str) -> Table:
    """Return the table that a path or URI names, where there is no home, and so no catalog.

    Raises
    ------
    NotFoundError
        For a name, unless there is such a folder, and for a tag.
    """
    ref = parse_table(text)
    place = find_place(ref)
    hint = "lakemark init makes a home here, and lakemark config show --origin says where one is looked for"
    if place is None:
        raise NotFoundError(
            f"there is no folder {ref.place!r}, and no home whose catalog could know a table of this name", hint=hint
        )
    if not isinstance(ref.at, str):
        return Table(place, at=ref.at)
    if not is_whole(ref):
        raise NotFoundError(f"{text}: there is no home whose tags could have {ref.at!r}", hint=hint)
    return Table(text)


def find_place(ref: TableRef) -> str | None:
    """Return the path or URI of a table that is not in the catalog, or None where the text can only be a name.

    A file is no table, but who names one means the file, and shall be told what it is.
    """
    if ref.uri is not None:
        return ref.uri
    return ref.place if Path(ref.place).exists() else None


def is_whole(ref: TableRef) -> bool:
    """Return True for a table whose folder has the `@` in its own name."""
    return isinstance(ref.at, str) and (Path(ref.text).expanduser() / "_delta_log").is_dir()
