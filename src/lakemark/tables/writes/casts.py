"""The strict casts of a write: a value reaches the table unchanged or not at all.

`deltalake` by itself writes 5.7 into an integer column as 5, and '77' as 77. Here a value may change its width, never
what it says:

==================  ==========================================================================================
from                to
==================  ==========================================================================================
any integer         an integer type that holds the value; a float if it is within +-2**24 (float32) or +-2**53
float               a wider float; a narrower one that holds the value exactly; never an integer, not even 5.0
text, binary        text, binary in another layout (large, view, dictionary); never text to number or back
timestamp           another unit or zone if the instant stays the same; never with a zone to without or back
decimal, integer    a decimal that holds the value exactly
null                anything that may be null
list, struct, map   the same, where each part fits whatever its value
==================  ==========================================================================================

Columns are matched by name, in any order; none may be new, and none missing unless the stream is told to fill it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from lakemark._base.errors import InvalidInputError, LakemarkError, nearest
from lakemark.tables.fingerprint import ArrowStream
from lakemark.tables.reads.ahead import read_ahead
from lakemark.tables.writes.together import together

__all__ = ["StrictStream", "always_fits", "arrow_reader", "check_case", "is_hard_to_partition", "storable_schema"]

_Problem: TypeAlias = "tuple[str | None, pa.Array | None]"
"""Why a column must not be cast, and a mask of the values at fault (None: all of them)."""

_SHOWN = 5
_DECIMAL_DIGITS = 38
_OTHER_PARTITIONS = "such rows need a table that is not partitioned by this column"
_FRACTIONS = "deltalake cannot write the folders of negative fractions"
_EMPTY = "Delta reads an empty partition as a null"
_FLOAT_LIMIT = {pa.float16(): 2**11, pa.float32(): 2**24, pa.float64(): 2**53}
_NEXT_SIGNED = {pa.uint8(): pa.int16(), pa.uint16(): pa.int32(), pa.uint32(): pa.int64(), pa.uint64(): pa.int64()}


class StrictStream:
    """A stream of batches with exactly the table's schema, made from one that may differ in layout and width.

    Parameters
    ----------
    data : ArrowStream
        What is to be written.
    target : pyarrow.Schema, optional
        The table's schema; without it, what Delta can store of the data's own.
    fill_nulls : bool, default False
        Give columns that the data lacks nulls, where they may hold nulls.
    computed : collection of str
        Columns that the writer computes: where the data lacks them, so does the stream.
    partitions : collection of str
        Columns whose values become folders: of these, negative fractions and empty texts are refused.

    Attributes
    ----------
    failure : LakemarkError or None
        Why the stream stopped. The error itself is lost on its way through Arrow's C interface.
    rows : int
        Rows that were handed on.

    Raises
    ------
    InvalidInputError
        On construction for columns that do not match; while streaming, in `failure`, for values.
    """

    def __init__(
        self,
        data: ArrowStream,
        target: pa.Schema | None = None,
        *,
        fill_nulls: bool = False,
        computed: Collection[str] = (),
        partitions: Collection[str] = (),
    ) -> None:
        source = arrow_reader(data)
        schema = storable_schema(source.schema) if target is None else target
        self.schema = pa.schema(
            [field for field in schema if field.name not in computed or field.name in source.schema.names]
        )
        self._filled = {
            field.name
            for field in self.schema
            if fill_nulls and field.nullable and field.name not in source.schema.names
        }
        _check_columns(source.schema, self.schema, filled=self._filled)
        self.failure: LakemarkError | None = None
        self.rows = 0
        self._source = source
        self._partitions = partitions

    def reader(self) -> pa.RecordBatchReader:
        """Return the reader to write from; it can be read once."""
        return pa.RecordBatchReader.from_batches(self.schema, read_ahead(together(self.batches())))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the batches that `reader` hands on; they can be had once."""
        try:
            for batch in self._source:
                columns = [self._column(batch, field) for field in self.schema]
                yield pa.RecordBatch.from_arrays(columns, schema=self.schema)
                self.rows += batch.num_rows
        except LakemarkError as error:
            self.failure = error
            raise
        except (pa.ArrowException, OSError) as error:
            told = str(error).removeprefix("Invalid: ").partition(". Detail: Python exception")[0]
            self.failure = InvalidInputError(f"the data cannot be read: {told}")
            raise

    def _column(self, batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
        if field.name in self._filled:
            return pa.nulls(batch.num_rows, field.type)
        column = self._cast(batch, field)
        if field.name in self._partitions and is_hard_to_partition(field.type):
            self._check_folders(column, field)
        lost = _lost_nulls(column, field.type)
        if lost:
            problem = "a part of it may not hold nulls"
            raise _Refusal(field, column, column.type, self.rows).error(problem, lost)
        return column

    def _check_folders(self, column: pa.Array, field: pa.Field) -> None:
        if pa.types.is_decimal(field.type):
            bad, problem = pc.and_(pc.less(column, 0), pc.not_equal(pc.floor(column), column)), _FRACTIONS
        else:
            bad, problem = pc.equal(pc.binary_length(column), 0), _EMPTY
        if pc.any(bad).as_py():
            rows = pc.indices_nonzero(bad).to_pylist()
            raise _Refusal(field, column, column.type, self.rows).error(problem, rows, hint=_OTHER_PARTITIONS)

    def _cast(self, batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
        column = batch.column(field.name)
        kind = column.type
        while isinstance(column, pa.ExtensionArray):
            column = column.storage
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if column.null_count and not field.nullable:
            missing = pc.indices_nonzero(pc.is_null(column)).to_pylist()
            raise _Refusal(field, column, kind, self.rows).error("the column may not hold nulls", missing)
        if column.type == field.type:
            return column
        problem, bad = _problem(column, field.type)
        if problem:
            rows = pc.indices_nonzero(pc.is_valid(column) if bad is None else bad).to_pylist()
            sides = "" if bad is not None else "\n" + _side_by_side(self._source.schema, self.schema)
            raise _Refusal(field, column, kind, self.rows).error(problem, rows, sides=sides)
        return _exact_cast(column, field.type)


def arrow_reader(data: ArrowStream) -> pa.RecordBatchReader:
    """Return the rows of anything that speaks Arrow's stream protocol as a reader; a reader is itself.

    Raises
    ------
    InvalidInputError
        For what does not speak it.
    """
    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    if isinstance(data, pa.RecordBatchReader):
        return data
    if not hasattr(data, "__arrow_c_stream__"):
        raise InvalidInputError(
            f"{type(data).__name__} is no table of rows",
            hint="give a pyarrow, polars or pandas frame, a record batch reader, or a FileSource",
        )
    return pa.RecordBatchReader.from_stream(data)


def storable_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema of a table that holds such data: what Delta knows no type for is widened.

    Raises
    ------
    InvalidInputError
        For a column that Delta has no type for: a time of day, a duration, only nulls; for names that differ only by
        case.
    """
    check_case(schema.names)
    return pa.schema([field.with_type(_storable(field.type, field.name)).remove_metadata() for field in schema])


def _storable(kind: pa.DataType, name: str) -> pa.DataType:
    types = pa.types
    while isinstance(kind, pa.BaseExtensionType) or types.is_dictionary(kind):
        kind = kind.value_type if types.is_dictionary(kind) else kind.storage_type
    if types.is_struct(kind):
        fields = [kind.field(place) for place in range(kind.num_fields)]
        return pa.struct([field.with_type(_storable(field.type, f"{name}.{field.name}")) for field in fields])
    if types.is_map(kind):
        return pa.map_(_storable(kind.key_type, name), _storable(kind.item_type, name))
    if _is_list(kind):
        return pa.list_(_storable(kind.value_type, name))
    return _NEXT_SIGNED.get(kind) or _storable_leaf(kind, name)


def _storable_leaf(kind: pa.DataType, name: str) -> pa.DataType:
    types = pa.types
    known: tuple[tuple[Callable[[pa.DataType], bool], pa.DataType], ...] = (
        (_is_text, pa.string()),
        (_is_binary, pa.binary()),
        (types.is_float16, pa.float32()),
        (types.is_date, pa.date32()),
        (lambda one: types.is_timestamp(one) and one.tz is None, pa.timestamp("us")),
        (types.is_timestamp, pa.timestamp("us", "UTC")),
    )
    for belongs, storable in known:
        if belongs(kind):
            return storable
    if types.is_decimal(kind) and not types.is_decimal256(kind):
        return pa.decimal128(kind.precision, kind.scale)
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
        return kind
    raise InvalidInputError(
        f"column {name!r} is of type {kind}, which Delta cannot store",
        hint="it has no value to tell its type by: make the table with a schema (--schema), then append"
        if types.is_null(kind)
        else "give the column a type that it can store: number, text, boolean, date, timestamp, list, struct",
        column=name,
    )


def is_hard_to_partition(kind: pa.DataType) -> bool:
    """Return True for a type that has values which cannot be the name of a partition's folder."""
    return bool(pa.types.is_decimal(kind) or _is_text(kind))


def check_case(names: Sequence[str]) -> None:
    """Raise for columns whose names differ only by case.

    Raises
    ------
    InvalidInputError
        Other engines cannot tell them apart.
    """
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise InvalidInputError(
                f"columns {other!r} and {name!r} differ only by case, which other engines cannot tell apart",
                hint=f"rename column {name!r}",
            )


def _lost_nulls(column: pa.Array, kind: pa.DataType) -> list[int]:
    """Return the rows that have a null in a part of a nested value that may hold none: there, it would be lost."""
    if not _has_required(kind):
        return []
    if pa.types.is_struct(kind):
        found: set[int] = set()
        valid = column.is_valid()
        for place in range(kind.num_fields):
            part = pc.struct_field(column, [place])
            if not kind.field(place).nullable:
                found.update(pc.indices_nonzero(pc.and_(valid, part.is_null())).to_pylist())
            found.update(_lost_nulls(part, kind.field(place).type))
        return sorted(found)
    if pa.types.is_map(kind):
        column, kind = (
            pa.ListArray.from_arrays(column.offsets, column.items, mask=column.is_null()),
            pa.list_(kind.item_field),
        )
    rows = pc.list_parent_indices(column)
    values = pc.list_flatten(column)
    bad = set(_lost_nulls(values, kind.value_type))
    if not kind.value_field.nullable:
        bad.update(pc.indices_nonzero(values.is_null()).to_pylist())
    return sorted({rows[place].as_py() for place in bad})


def _has_required(kind: pa.DataType) -> bool:
    if pa.types.is_map(kind):
        return not kind.item_field.nullable or _has_required(kind.item_type)
    if _is_list(kind):
        return not kind.value_field.nullable or _has_required(kind.value_type)
    if pa.types.is_struct(kind):
        fields = [kind.field(place) for place in range(kind.num_fields)]
        return any(not field.nullable or _has_required(field.type) for field in fields)
    return False


def _problem(column: pa.Array, target: pa.DataType) -> _Problem:
    source, types = column.type, pa.types
    if types.is_null(source) or always_fits(source, target):
        return None, None
    if types.is_integer(source) and (types.is_integer(target) or types.is_floating(target)):
        return _integer_problem(column, target)
    if types.is_floating(source) and types.is_floating(target):
        back = column.cast(target, safe=False).cast(source)
        changed = pc.and_not(pc.not_equal(back, column), pc.is_nan(column))
        return _reported(changed, f"{target} does not hold the value exactly")
    exact = (
        (types.is_timestamp(source) and types.is_timestamp(target) and (source.tz is None) == (target.tz is None))
        or (types.is_date(source) and types.is_date(target))
        or (types.is_decimal(target) and (types.is_decimal(source) or types.is_integer(source)))
    )
    if exact:
        return _by_safe_cast(column, target)
    return "a cast would change what the values say", None


def _integer_problem(column: pa.Array, target: pa.DataType) -> _Problem:
    if pa.types.is_integer(target):
        return _reported(_outside(column, *_integer_range(target)), f"outside of what {target} holds")
    limit = _FLOAT_LIMIT[target]
    return _reported(_outside(column, -limit, limit), f"{target} does not hold every integer beyond +-{limit}")


def always_fits(source: pa.DataType, target: pa.DataType) -> bool:
    """Return True where every value of one type is a value of the other.

    Examples
    --------
    >>> always_fits(pa.int16(), pa.int32()), always_fits(pa.int64(), pa.float64())
    (True, False)
    """
    types = pa.types
    source = source.value_type if types.is_dictionary(source) else source
    if source == target or (_is_text(source) and _is_text(target)) or (_is_binary(source) and _is_binary(target)):
        return True
    if types.is_integer(source) and types.is_integer(target):
        low, high = _integer_range(source)
        return _integer_range(target)[0] <= low and high <= _integer_range(target)[1]
    if types.is_integer(source) and types.is_floating(target):
        return max(abs(limit) for limit in _integer_range(source)) <= _FLOAT_LIMIT[target]
    if types.is_floating(source) and types.is_floating(target):
        return bool(source.bit_width <= target.bit_width)
    return _nested_fits(source, target)


def _nested_fits(source: pa.DataType, target: pa.DataType) -> bool:
    types = pa.types
    if _is_list(source) and _is_list(target):
        return always_fits(source.value_type, target.value_type)
    if types.is_map(source) and types.is_map(target):
        return always_fits(source.key_type, target.key_type) and always_fits(source.item_type, target.item_type)
    if types.is_struct(source) and types.is_struct(target):
        ours, theirs = ([kind.field(place) for place in range(kind.num_fields)] for kind in (source, target))
        return [field.name for field in ours] == [field.name for field in theirs] and all(
            always_fits(mine.type, its.type) for mine, its in zip(ours, theirs, strict=True)
        )
    return False


def _by_safe_cast(column: pa.Array, target: pa.DataType) -> _Problem:
    if _casts(column, target):
        return None, None
    mask = pa.array([not _casts(column.slice(row, 1), target) for row in range(len(column))])
    return f"{target} does not hold the value exactly", mask


def _exact_cast(column: pa.Array, target: pa.DataType) -> pa.Array:
    """Cast, raising where a value does not fit; of integers to decimals Arrow looks at the type alone."""
    if pa.types.is_integer(column.type) and pa.types.is_decimal(target):
        column = column.cast(pa.decimal128(_DECIMAL_DIGITS, 0)).cast(pa.decimal256(76, target.scale))
    return column.cast(target)


def _casts(column: pa.Array, target: pa.DataType) -> bool:
    try:
        _exact_cast(column, target)
    except pa.ArrowInvalid:
        return False
    return True


def _reported(bad: pa.Array, problem: str) -> _Problem:
    return (problem, bad) if pc.any(bad).as_py() else (None, None)


def _outside(column: pa.Array, low: int, high: int) -> pa.Array:
    """Return which integers are out of a range; bounds that the column's type cannot reach are left out."""
    smallest, largest = _integer_range(column.type)
    below = pc.less(column, pa.scalar(max(low, smallest), column.type))
    above = pc.greater(column, pa.scalar(min(high, largest), column.type))
    return pc.or_(below, above)


def _integer_range(kind: pa.DataType) -> tuple[int, int]:
    if pa.types.is_unsigned_integer(kind):
        return 0, 2**kind.bit_width - 1
    return -(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1) - 1


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A refused column of a batch: where it was to go, what it is, and the number of its first row."""

    field: pa.Field
    column: pa.Array
    kind: pa.DataType
    first: int

    def error(self, problem: str, rows: Sequence[int], *, sides: str = "", hint: str = "") -> InvalidInputError:
        """Name both types, the first values at fault with their rows (from 0), and what to do."""
        name, target = self.field.name, self.field.type
        values = [f"row {self.first + row}: {_shown(self.column[row])}" for row in rows[:_SHOWN]]
        more = f" and {len(rows) - _SHOWN} more in this batch" if len(rows) > _SHOWN else ""
        seen = f"; {', '.join(values)}{more}" if values else ""
        return InvalidInputError(
            f"column {name!r} is {target} in the table and {self.kind} in the data: {problem}{seen}{sides}",
            hint=hint or self._hint(),
            column=name,
            rows=tuple(self.first + row for row in rows[:_SHOWN]),
        )

    def _hint(self) -> str:
        name, target = self.field.name, self.field.type
        own = f"convert column {name!r} to {target} yourself, so that any loss is your decision"
        wider = target != self.kind and not pa.types.is_null(target) and always_fits(target, self.kind)
        return f"widen the column first, with Table.widen or `lakemark tables widen`; or {own}" if wider else own


def _shown(value: pa.Scalar) -> str:
    try:
        return repr(value.as_py())
    except (OverflowError, ValueError):
        return "a moment beyond the years 1 to 9999"


def _check_columns(source: pa.Schema, target: pa.Schema, *, filled: Collection[str]) -> None:
    """Raise unless both have the same columns, each once, in any order; `filled` may be missing."""
    unknown = [name for name in source.names if name not in target.names]
    missing = [name for name in target.names if name not in source.names and name not in filled]
    twice = sorted({name for name in source.names if source.names.count(name) > 1})
    if not (unknown or missing or twice):
        return
    said = [f"column {name!r} is in the data twice" for name in twice]
    for name in unknown:
        close = nearest(name, missing or target.names)
        said.append(f"column {name!r} is not in the table" + (f", did you mean {close!r}?" if close else ""))
    said += [f"column {name!r} is missing in the data" for name in missing]
    if len(said) > _SHOWN:
        said = [*said[:_SHOWN], f"{len(said) - _SHOWN} more"]
    raise InvalidInputError(
        "; ".join(said) + "\n" + _side_by_side(source, target),
        hint="rename, drop or add columns so that both sides match",
        unknown=tuple(unknown),
        missing=tuple(missing),
    )


def _side_by_side(source: pa.Schema, target: pa.Schema) -> str:
    names: Sequence[str] = list(dict.fromkeys([*target.names, *source.names]))
    rows = [("column", "table", "data")] + [
        (name, *(str(schema.field(name).type) if schema.names.count(name) == 1 else "-" for schema in (target, source)))
        for name in names
    ]
    widths = [max(len(row[place]) for row in rows) for place in range(3)]
    return "\n".join("  " + "  ".join(row[place].ljust(widths[place]) for place in range(3)).rstrip() for row in rows)


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_text(kind: pa.DataType) -> bool:
    return kind in (pa.string(), pa.large_string(), pa.string_view())


def _is_binary(kind: pa.DataType) -> bool:
    return kind in (pa.binary(), pa.large_binary(), pa.binary_view()) or bool(pa.types.is_fixed_size_binary(kind))
