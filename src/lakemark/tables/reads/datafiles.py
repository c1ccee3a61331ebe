"""One data file of a version: its rows, in the order of the file, as the table's columns."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from lakemark.tables.reads.layout import Naming, find, fit
from lakemark.tables.reads.predicates import Predicate

__all__ = ["DataFile", "Request"]

_BATCH_ROWS = 65_536
_FEW_BYTES = 3  # a value; written out, a text takes 4 and itself: so small, it is numbers into a dictionary


class _Pruning(Protocol):
    def matching_groups(
        self, path: str, filesystem: fs.FileSystem, schema: pa.Schema, *, conditions: Sequence[pc.Expression]
    ) -> list[int]: ...


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of each file.

    Parameters
    ----------
    fields : tuple of pyarrow.Field
        The columns of the table to return, in this order.
    naming : Naming
        How the file's columns are found.
    predicate : Predicate, optional
        The rows to return; it speaks only of columns among `fields`.
    """

    fields: tuple[pa.Field, ...]
    naming: Naming
    predicate: Predicate | None = None


@dataclass(frozen=True, slots=True)
class DataFile:
    """A Parquet file of a table.

    Parameters
    ----------
    path : str
        As `filesystem` knows it.
    filesystem : pyarrow.fs.FileSystem
        Where it is.
    constants : mapping of str to pyarrow.Scalar
        The values of the partition, by the column's name.
    keep : pyarrow.BooleanArray, optional
        False for rows that were deleted; rows behind its end count.
    """

    path: str
    filesystem: fs.FileSystem
    constants: Mapping[str, pa.Scalar]
    keep: pa.BooleanArray | None = None

    def batches(self, request: Request) -> Iterator[pa.RecordBatch]:
        """Yield its rows that are asked for; one batch is in memory at a time."""
        if request.predicate is not None and not self._may_match(request.predicate):
            return
        with self._open(None, ()) as footer:
            metadata, physical = footer.metadata, footer.schema_arrow
        names = {
            field.name: physical.field(place).name
            for field in request.fields
            if field.name not in self.constants and (place := find(field, physical, request.naming)) is not None
        }
        groups = self._groups(request, physical, metadata)
        with self._open(metadata, _few_texts(metadata, physical, set(names.values()))) as file:
            for batch in self._kept(file, sorted(set(names.values())), groups):
                rows = self._conform(batch, names, request)
                if request.predicate is not None:
                    rows = rows.filter(request.predicate.expression)
                if rows.num_rows:
                    yield rows

    def _open(self, metadata: pq.FileMetaData | None, dictionaries: tuple[str, ...]) -> pq.ParquetFile:
        local = isinstance(self.filesystem, fs.LocalFileSystem)
        return pq.ParquetFile(
            self.path,
            filesystem=None if local else self.filesystem,
            metadata=metadata,
            memory_map=local,
            pre_buffer=not local,
            read_dictionary=list(dictionaries),
            coerce_int96_timestamp_unit="us",
        )

    def _may_match(self, predicate: Predicate) -> bool:
        """Return False where the values of the partition already say that no row can match."""
        row = pa.table({name: pa.repeat(value, 1) for name, value in self.constants.items()})
        said = [condition for condition in predicate.conditions if condition.columns <= self.constants.keys()]
        return all(row.filter(condition.expression).num_rows for condition in said if condition.columns)

    def _groups(self, request: Request, physical: pa.Schema, metadata: pq.FileMetaData) -> list[int]:
        """Return the row groups that may have rows that match, by the bounds that the file keeps of its columns.

        The bounds of floats leave NaN out, so these say nothing of what is above or not below a number.
        """
        every = list(range(metadata.num_row_groups))
        if request.predicate is None or request.naming is not Naming.PLAIN:
            return every
        table = pa.schema(list(request.fields))
        told = [
            condition.expression
            for condition in request.predicate.conditions
            if condition.columns
            and all(
                name in physical.names
                and physical.field(name).type == table.field(name).type
                and not pa.types.is_floating(table.field(name).type)
                for name in condition.columns
            )
            and not condition.columns & self.constants.keys()
        ]
        if not told:
            return every
        pruning = cast("_Pruning", importlib.import_module("lakemark.tables.reads.pruning"))
        return pruning.matching_groups(self.path, self.filesystem, physical, conditions=told)

    def _kept(self, file: pq.ParquetFile, names: list[str], groups: list[int]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of row groups as the file has them, without those that were deleted."""
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
        starts = [0, *accumulate(sizes)]
        parts = [groups] if len(groups) == len(sizes) else [[group] for group in groups]
        for part in parts:
            position = starts[part[0]] if part else 0
            for batch in file.iter_batches(_BATCH_ROWS, row_groups=part, columns=names):
                keep = None if self.keep is None else self.keep.slice(position, batch.num_rows)
                position += batch.num_rows
                if keep is not None and keep.false_count:
                    rest = pa.repeat(pa.scalar(value=True), batch.num_rows - len(keep))
                    yield batch.filter(pa.concat_arrays([keep, rest]))
                else:
                    yield batch

    def _conform(self, batch: pa.RecordBatch, names: Mapping[str, str], request: Request) -> pa.RecordBatch:
        columns = []
        for field in request.fields:
            if field.name in self.constants:
                columns.append(pa.repeat(self.constants[field.name], batch.num_rows))
            elif field.name in names:
                columns.append(fit(batch.column(names[field.name]), field, request.naming))
            else:
                columns.append(pa.nulls(batch.num_rows, field.type))
        return pa.RecordBatch.from_arrays(columns, schema=pa.schema(list(request.fields)))


def _few_texts(metadata: pq.FileMetaData, physical: pa.Schema, names: set[str]) -> tuple[str, ...]:
    """Return the columns of texts that repeat: read as numbers into a dictionary, they cost half."""
    texts = {name for name in names if pa.types.is_string(physical.field(name).type)}
    if not texts or not metadata.num_row_groups:
        return ()
    first = metadata.row_group(0)
    places = {
        path: place for place in range(metadata.num_columns) if (path := first.column(place).path_in_schema) in texts
    }
    sizes = {
        path: sum(
            metadata.row_group(group).column(place).total_uncompressed_size for group in range(metadata.num_row_groups)
        )
        for path, place in places.items()
    }
    return tuple(sorted(name for name, size in sizes.items() if size < _FEW_BYTES * metadata.num_rows))
