"""Conditions on rows: a small part of SQL, as an expression of Arrow that files and row groups are left out by.

Words: comparisons (`=`, `<>`, `<`, `<=`, `>`, `>=`) of a column with a value or another column, `between`, `in`,
`is null`, `and`, `or`, `not`, and boolean columns. SQL's logic holds: what is compared with null is neither true nor
false, and only rows for which the whole is true are kept. NaN is above all numbers and equal to itself, as in DuckDB
and Spark, and for `delete` and `update`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from lakemark._base.errors import InvalidInputError, NotFoundError, nearest
from lakemark.tables.reads.predicates import Condition, Predicate

__all__ = ["parse"]

_Value: TypeAlias = bool | int | str | Decimal

_Compare: TypeAlias = Callable[[pc.Expression, pc.Expression], pc.Expression]

_COMPARISONS: dict[type[exp.Expr], _Compare] = {
    exp.EQ: operator.eq,
    exp.NEQ: operator.ne,
    exp.LT: operator.lt,
    exp.LTE: operator.le,
    exp.GT: operator.gt,
    exp.GTE: operator.ge,
}
_ALLOWED = "comparisons of columns and values with and, or, not, in, between, is null"


def parse(text: str, schema: pa.Schema) -> Predicate:
    """Return the condition that SQL text describes.

    Parameters
    ----------
    text : str
        What could stand behind `where`, without the word; times without an offset are in UTC.
    schema : pyarrow.Schema
        The columns, and their types.

    Raises
    ------
    NotFoundError
        For a column that there is not; the nearest is named.
    InvalidInputError
        For text that is no SQL, more of SQL than is allowed, or a value that is not of its column's type.

    Examples
    --------
    >>> rows = pa.table({"day": [1, 2, 3], "shop": ["a", None, "b"]})
    >>> rows.filter(parse("day >= 2 and shop is not null", rows.schema).expression).to_pylist()
    [{'day': 3, 'shop': 'b'}]
    """
    try:
        tree = sqlglot.condition(text, dialect="duckdb")
    except SqlglotError as error:
        reason = str(error).splitlines()[0]
        raise InvalidInputError(f"{text!r} is no condition in SQL: {reason}", hint=f"allowed are {_ALLOWED}") from error
    builder = _Builder(text, schema)
    conditions = tuple(builder.condition(part) for part in _conjuncts(tree))
    whole = conditions[0].expression
    for condition in conditions[1:]:
        whole &= condition.expression
    return Predicate(whole, conditions)


@dataclass(frozen=True, slots=True)
class _Builder:
    text: str
    schema: pa.Schema

    def condition(self, node: exp.Expr) -> Condition:
        names = frozenset(self._name(column) for column in node.find_all(exp.Column))
        expression = self._truth(node)
        try:
            self.schema.empty_table().filter(expression)
        except (pa.ArrowException, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise InvalidInputError(f"{node.sql()!r} of the condition {self.text!r} has no answer: {reason}") from error
        return Condition(expression, names)

    def _truth(self, node: exp.Expr) -> pc.Expression:
        """Return a node that is true, false or null."""
        match node.unnest():
            case exp.And() as both:
                found = self._truth(both.left) & self._truth(both.right)
            case exp.Or() as either:
                found = self._truth(either.left) | self._truth(either.right)
            case exp.Not() as negated:
                found = ~self._truth(negated.this)
            case exp.Boolean() as constant:
                found = pc.scalar(bool(constant.this))
            case exp.Column() as column if pa.types.is_boolean(self._field(column).type):
                found = self._column(column)
            case other:
                found = self._comparison(other)
        return found

    def _comparison(self, node: exp.Expr) -> pc.Expression:
        match node:
            case exp.Is() if isinstance(node.expression, exp.Null):
                return self._column(node.this).is_null()
            case exp.Between():
                low, high = node.args["low"], node.args["high"]
                return self._compared(operator.ge, node.this, low) & self._compared(operator.le, node.this, high)
            case exp.In() if node.expressions and not node.args.get("query"):
                return self._membership(node)
        compare = _COMPARISONS.get(type(node))
        if compare is None:
            raise self._refused(node)
        return self._compared(compare, node.this, node.expression)

    def _compared(self, compare: _Compare, left: exp.Expr, right: exp.Expr) -> pc.Expression:
        found = compare(self._operand(left, beside=right), self._operand(right, beside=left))
        if not (self._is_float(left) or self._is_float(right)):
            return found
        one, other = (
            pc.is_nan(self._column(side)) if self._is_float(side) else pc.scalar(value=False) for side in (left, right)
        )
        return pc.if_else(one | other, compare(one, other), found)  # as truths: NaN is above what is not

    def _is_float(self, node: exp.Expr) -> bool:
        node = node.unnest()
        return isinstance(node, exp.Column) and bool(pa.types.is_floating(self._field(node).type))

    def _membership(self, node: exp.In) -> pc.Expression:
        field = self._field(node.this)
        found = [_scalar(self._value(item), field, self.text, exact=True).as_py() for item in node.expressions]
        if pa.types.is_floating(field.type) and 0 in found:
            found = [*found, 0.0, -0.0]  # equal, but two values to Arrow's hash
        values = pa.array(found, field.type)
        column = pc.field(field.name)
        unknown = column.is_null() & pc.scalar(pa.scalar(None, pa.bool_()))  # null is in no list, and not out of one
        return column.isin(values) | unknown

    def _operand(self, node: exp.Expr, *, beside: exp.Expr) -> pc.Expression:
        node, beside = node.unnest(), beside.unnest()
        if isinstance(node, exp.Column):
            return self._column(node)
        value = self._value(node)
        if isinstance(beside, exp.Column):
            return pc.scalar(_scalar(value, self._field(beside), self.text))
        raise self._refused(node)

    def _value(self, node: exp.Expr) -> _Value:
        match node:
            case exp.Literal() if node.is_string:
                return str(node.this)
            case exp.Literal():
                text = str(node.this)
                return int(text) if text.isdigit() else Decimal(text)
            case exp.Boolean():
                return bool(node.this)
            case exp.Neg():
                inner = self._value(node.this)
                if isinstance(inner, Decimal):
                    return inner.copy_negate()  # `-` rounds to 28 digits
                if isinstance(inner, int) and not isinstance(inner, bool):
                    return -inner
            case exp.Cast() if isinstance(node.this, exp.Literal) and node.this.is_string:
                return str(node.this.this)  # date '2013-06-24': the column says what it is
        raise self._refused(node)

    def _column(self, node: exp.Expr) -> pc.Expression:
        return pc.field(self._name(node))

    def _field(self, node: exp.Expr) -> pa.Field:
        return self.schema.field(self._name(node))

    def _name(self, node: exp.Expr) -> str:
        node = node.unnest()
        if not isinstance(node, exp.Column) or node.table:
            raise self._refused(node)
        name = node.name
        if name not in self.schema.names:
            close = nearest(name, self.schema.names)
            raise NotFoundError(
                f"there is no column {name!r} for the condition {self.text!r}"
                + (f", did you mean {close!r}?" if close else ""),
                hint=f"the columns are {', '.join(self.schema.names)}; a text is written in 'single quotes'",
            )
        return name

    def _refused(self, node: exp.Expr) -> InvalidInputError:
        return InvalidInputError(
            f"{node.sql()!r} in the condition {self.text!r} is more than a read can do",
            hint=f"allowed are {_ALLOWED}; lakemark sql has all of SQL",
        )


def _conjuncts(node: exp.Expr) -> Iterator[exp.Expr]:
    node = node.unnest()
    if isinstance(node, exp.And):
        yield from _conjuncts(node.left)
        yield from _conjuncts(node.right)
    else:
        yield node


def _scalar(value: _Value, field: pa.Field, text: str, *, exact: bool = False) -> pa.Scalar:
    """Return a value as its column has it; a number beside numbers stays a number."""
    try:
        found = _typed(value, field.type)
        return pa.array([found.as_py()]).cast(field.type)[0] if exact else found
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise InvalidInputError(
            f"{str(value)!r} in the condition {text!r} is no value of column {field.name!r}, which is {field.type}"
        ) from error


def _typed(value: _Value, kind: pa.DataType) -> pa.Scalar:
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if isinstance(value, bool):
        if not pa.types.is_boolean(kind):
            raise TypeError(kind)
        return pa.scalar(value)
    if isinstance(value, str):
        return _from_text(value, kind, numeric=numeric)
    if not numeric:
        raise TypeError(kind)
    if pa.types.is_floating(kind):
        return pa.scalar(float(value))
    if pa.types.is_integer(kind) and value == int(value):
        return pa.scalar(int(value))
    found = pa.scalar(Decimal(value))
    if pa.types.is_decimal(kind):
        with suppress(pa.ArrowInvalid):  # a value that the column cannot have still compares with those it has
            return found.cast(kind)
    return found


def _from_text(value: str, kind: pa.DataType, *, numeric: bool) -> pa.Scalar:
    if pa.types.is_timestamp(kind):
        moment = datetime.fromisoformat(value)
        if kind.tz is None:
            if moment.tzinfo is not None:
                raise ValueError(value)
            return pa.scalar(moment, kind)
        return pa.scalar(moment if moment.tzinfo else moment.replace(tzinfo=UTC), kind)
    if pa.types.is_date(kind):
        return pa.scalar(date.fromisoformat(value), kind)
    if numeric or pa.types.is_boolean(kind) or pa.types.is_nested(kind):
        raise TypeError(kind)
    return pa.scalar(value.encode() if pa.types.is_binary(kind) else value, kind)
