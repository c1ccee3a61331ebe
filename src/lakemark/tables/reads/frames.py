"""Rows as frames of pandas and Polars, which are loaded when they are asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import pyarrow as pa

from lakemark._base.errors import MissingExtraError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

__all__ = ["Reading", "lazy_frame", "pandas_frame"]

Reading = Callable[[Sequence[str] | None], pa.RecordBatchReader]
"""Begins a new stream of some columns, None is all."""


def pandas_frame(rows: pa.RecordBatchReader) -> pd.DataFrame:
    """Return rows as a frame of pandas; they are used up.

    Raises
    ------
    MissingExtraError
        If pandas is not installed.
    """
    _load("pandas")
    frame: pd.DataFrame = rows.read_all().to_pandas()
    return frame


def lazy_frame(schema: pa.Schema, read: Reading) -> pl.LazyFrame:
    """Return a lazy frame of Polars that reads batches when it is collected, and only the columns that it needs.

    Parameters
    ----------
    schema : pyarrow.Schema
        Of the rows.
    read : callable
        Given columns, begins a new stream of them.

    Raises
    ------
    MissingExtraError
        If Polars is not installed.
    """
    polars = _load("polars")
    plugins = importlib.import_module("polars.io.plugins")

    def batches(  # noqa: PLR0917  # what Polars calls
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        del batch_size
        left = n_rows
        wanted = with_columns
        if wanted is not None and predicate is not None:
            wanted = list(dict.fromkeys([*wanted, *predicate.meta.root_names()]))
        for batch in read(wanted):
            frame = polars.DataFrame(batch if left is None else batch.slice(0, left))
            left = None if left is None else left - len(frame)
            found = frame if predicate is None else frame.filter(predicate)
            yield found if with_columns is None else found.select(with_columns)
            if left == 0:
                return

    columns = polars.DataFrame(schema.empty_table()).schema
    frame: pl.LazyFrame = plugins.register_io_source(batches, schema=columns)
    return frame


def _load(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(f"{name} is not installed", hint=f"pip install {name}") from error
