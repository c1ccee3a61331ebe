"""SQL over tables, as people type it."""

from __future__ import annotations

from lakemark.fluent import lake
from lakemark.tables.queries import sql as engine

__all__ = ["sql"]


def sql(text: str, *, threads: int | None = None, memory_limit: str | None = None) -> engine.SqlResult:
    """Return the result of a query over tables: Arrow, pandas, Polars or batches.

    Parameters
    ----------
    text : str
        One SELECT, WITH or VALUES, in DuckDB's SQL. A table is a name of the catalog, or a path in double quotes;
        behind it stands `VERSION AS OF 12` or `TIMESTAMP AS OF '2024-06-01T00:00:00Z'`; `"sales.orders@q3"` is a tag.
    threads : int, optional
        Without it one inside a recorded run, so that sums of floats are the same each time, and all cores outside.
    memory_limit : str, optional
        For example `"2GB"`; without it four fifths of the memory. What is over it goes to the temporary folder.

    Raises
    ------
    InvalidInputError
        For a query that is wrong, with line and column; for a statement or function that does more than read tables.
    NotFoundError
        For no such table, column, version or time.
    """
    return engine.sql(text, resolve=lake.resolve_table, threads=threads, memory_limit=memory_limit)
