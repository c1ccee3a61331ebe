"""The tables that a query names, and the query with a view in the place of each.

`sqlglot` finds the tables; the text itself stays as it was written, so that what the engine says about a place in it
can be told at the line of the person who wrote it. A version is written in any of these ways::

    FROM sales.orders VERSION AS OF 12          FROM sales.orders VERSION AS OF 'q3-training'
    FROM sales.orders TIMESTAMP AS OF '2024-06-01T00:00:00Z'
    FROM sales.orders AT (VERSION => 12)        FROM sales.orders AT (TIMESTAMP => '2024-06-01T00:00:00Z')
    FROM sales.orders@12                        FROM "lake/sales@q3-training"
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, cast

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from lakemark._base.errors import InvalidInputError, nearest
from lakemark.tables.quoting import quoted

__all__ = ["Query", "Reference", "Rewritten", "parse_query"]

_READING = (exp.Select, exp.SetOperation, exp.Subquery, exp.Values)
_NOT_READING = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.Command, exp.Into)
_WITHOUT_NAMES = (exp.Columns, exp.Pivot, exp.PositionalColumn)
_BEGINNINGS = ("SELECT", "FROM", "WITH", "VALUES", "(")
_BOUND = "write one SELECT, WITH or VALUES; tables are changed by lakemark tables append, overwrite, create"
_CLAUSE = re.compile(r"(?:FOR\s+)?(VERSION|TIMESTAMP)", re.IGNORECASE)
_PART = re.compile(r"[\w-]+(@[\w.-]+)?")
_ZONED = {"TIMESTAMP", "TIMESTAMPTZ"}

_Span: TypeAlias = "tuple[int, int]"
_Edit: TypeAlias = "tuple[int, int, str]"


class _Token(Protocol):
    """What is used of a token of `sqlglot`."""

    @property
    def text(self) -> str: ...

    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Reference:
    """A table that a query names, at one place of its text.

    Parameters
    ----------
    name : str
        As written, without quotes: `sales.orders`, `lake/sales@12`.
    start, end : int
        Where the name is in the text, in characters; `end` is the first behind it.
    alias : str or None
        What the query calls its rows, if it gives them a name of its own.
    version : int or None
        From `VERSION AS OF 12`.
    tag : str or None
        From `VERSION AS OF 'q3-training'`.
    timestamp : str or None
        From `TIMESTAMP AS OF '2024-06-01T00:00:00Z'`.
    """

    name: str
    start: int
    end: int
    alias: str | None = None
    version: int | None = None
    tag: str | None = None
    timestamp: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """One statement that only reads.

    Parameters
    ----------
    text : str
        As it was written.
    references : tuple of Reference
        The tables, in the order of the text; one that is named twice is there twice.
    columns : frozenset of str or None
        Names, in small letters, among which are those of all columns that are read; None where all may be, as for `*`.
    """

    text: str
    references: tuple[Reference, ...]
    columns: frozenset[str] | None = None
    _edits: tuple[_Edit, ...] = ()

    def rewritten(self, views: Sequence[str]) -> Rewritten:
        """Return the text for the engine.

        Parameters
        ----------
        views : sequence of str
            The view for each of `references`.
        """
        edits = list(self._edits)
        for reference, view in zip(self.references, views, strict=True):
            alias = "" if reference.alias is not None else f" AS {quoted(_last_name(reference.name))}"
            edits.append((reference.start, reference.end, f"{quoted(view)}{alias}"))
        return Rewritten(self.text, tuple(sorted(edits)))

    def place(self, offset: int) -> tuple[int, int]:
        """Return line and column, from 1, of a character."""
        before = self.text[: max(offset, 0)]
        return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A text with some places replaced, that knows which place of the original a place of it was.

    Parameters
    ----------
    original : str
        The text as it was.
    edits : tuple of (int, int, str)
        Start, end and what stands there instead; in order, without overlap.
    """

    original: str
    edits: tuple[_Edit, ...]

    @property
    def text(self) -> str:
        """The text for the engine."""
        parts, done = [], 0
        for start, end, instead in self.edits:
            parts += [self.original[done:start], instead]
            done = end
        return "".join([*parts, self.original[done:]])

    def original_offset(self, offset: int) -> int:
        """Return the character of the original that stands for a character of the new text."""
        shift = 0
        for start, end, instead in self.edits:
            if offset < start + shift:
                break
            if offset < start + shift + len(instead):
                return start
            shift += len(instead) - (end - start)
        return min(offset - shift, len(self.original))


def parse_query(text: str) -> Query:
    """Return a query and the tables that it names.

    Parameters
    ----------
    text : str
        One statement in DuckDB's SQL: SELECT, WITH or VALUES.

    Raises
    ------
    InvalidInputError
        For text that is no SQL, with line and column; for any statement that does more than read, by its name; for a
        version that stands behind no table.

    Examples
    --------
    >>> [(table.name, table.version) for table in parse_query("from sales.orders version as of 12").references]
    [('sales.orders', 12)]
    """
    try:
        tokens = sqlglot.tokenize(text, read="duckdb")
    except TokenError as error:
        raise InvalidInputError(f"the query cannot be read: {error}") from error
    travels = {travel.behind: travel for travel in _travels(tokens, text)}
    blanked = list(text)
    for travel in travels.values():
        for place in range(*travel.span):
            blanked[place] = blanked[place] if blanked[place] == "\n" else " "
    statement = _statement("".join(blanked), tokens)
    references, used, columns = [], set(), []
    for table in _tables(statement):
        parts = [part for part in table.parts if isinstance(part, exp.Identifier)]
        start, end = _span(parts[0])[0], _span(parts[-1])[1]
        found = travels.get(end)
        used.add(end)
        name, alias = _name([part.name for part in parts]), table.alias or None
        references.append(_at(Reference(name, start, end, alias), found))
        if alias is None and len(parts) > 1:
            columns.append([part.name.casefold() for part in parts])
    for travel in travels.values():
        if travel.behind not in used:
            line, column = Query(text, ()).place(travel.span[0])
            raise InvalidInputError(
                f"line {line}, column {column}: {text[slice(*travel.span)].strip()!r} stands behind no table",
                hint="a version stands right behind the name: FROM sales.orders VERSION AS OF 12 AS o",
            )
    edits = [(*travel.span, " ") for travel in travels.values()]
    edits += [(*span, "") for span in _qualifiers(statement, columns)]
    ordered = tuple(sorted(references, key=lambda one: one.start))
    return Query(text, ordered, _columns_of(statement, ordered), tuple(edits))


@dataclass(frozen=True, slots=True)
class _Travel:
    """A version in the text: what it says, where it stands, and where the name before it ends."""

    kind: str
    value: int | str
    span: _Span
    behind: int


def _at(reference: Reference, travel: _Travel | None) -> Reference:
    if travel is None:
        return reference
    version = travel.value if isinstance(travel.value, int) else None
    text = None if isinstance(travel.value, int) else travel.value
    is_time = travel.kind == "TIMESTAMP"
    return Reference(
        reference.name,
        reference.start,
        reference.end,
        reference.alias,
        version=version,
        tag=None if is_time else text,
        timestamp=text if is_time else None,
    )


def _travels(tokens: Sequence[_Token], text: str) -> Iterator[_Travel]:
    for place in range(1, len(tokens)):
        behind = tokens[place - 1].end + 1
        rest = tokens[place:]
        words = [token.text.upper() for token in rest[:4]]
        if tokens[place].text == "@" and tokens[place].start == behind and len(rest) > 1:
            if rest[1].start == tokens[place].end + 1:  # FROM sales.orders@12
                yield _Travel("VERSION", _number(rest[1]), (behind, rest[1].end + 1), behind)
        elif words[:1] == ["FOR"] and len(words) > 1 and _CLAUSE.fullmatch(words[1]) and words[2:] == ["AS", "OF"]:
            yield _clause(rest[1:], (rest[0].start, behind), text)
        elif _CLAUSE.fullmatch(words[0]) and words[1:3] == ["AS", "OF"] and tokens[place - 1].text.upper() != "FOR":
            yield _clause(rest, (rest[0].start, behind), text)
        elif words[:2] == ["AT", "("] and len(rest) > 5 and rest[3].text == "=>" and rest[5].text == ")":
            value = _value(words[2], rest[4], text)
            yield _Travel(words[2], value, (rest[0].start, rest[5].end + 1), behind)


def _clause(tokens: Sequence[_Token], place: _Span, text: str) -> _Travel:
    kind = cast("re.Match[str]", _CLAUSE.fullmatch(tokens[0].text.upper()))[1]
    given = tokens[3:]
    if given and given[0].text.upper() in _ZONED and len(given) > 1:  # TIMESTAMP AS OF TIMESTAMP '...'
        given = given[1:]
    if not given:
        given = [tokens[2]]
    return _Travel(kind, _value(kind, given[0], text), (place[0], given[0].end + 1), place[1])


def _value(kind: str, token: _Token, text: str) -> int | str:
    value = _number(token)
    is_text = text[token.start] in "'\""
    if kind in {"VERSION", "TIMESTAMP"} and (is_text or (kind == "VERSION" and isinstance(value, int))):
        return token.text if is_text else value
    line, column = Query(text, ()).place(token.start)
    wanted = "a number or 'a tag'" if kind == "VERSION" else "a time like '2024-06-01T00:00:00Z'"
    raise InvalidInputError(f"line {line}, column {column}: {kind} needs {wanted}, not {token.text!r}")


def _number(token: _Token) -> int | str:
    return int(token.text) if token.text.isdecimal() else token.text


def _statement(text: str, tokens: Sequence[_Token]) -> exp.Expression:
    """Return the one statement, or refuse what is more than a question."""
    if not tokens:
        raise InvalidInputError("the query is empty", hint=_BOUND)
    first = tokens[0].text.upper()
    if first not in _BEGINNINGS:
        close = nearest(first, _BEGINNINGS)
        raise InvalidInputError(
            f"a query only reads, {first} is refused" + (f"; did you mean {close}?" if close else ""), hint=_BOUND
        )
    try:
        found = [statement for statement in sqlglot.parse(text, read="duckdb") if statement is not None]
    except ParseError as error:
        told = error.errors[0] if error.errors else {}
        where = f"line {told['line']}, column {_column(text, told)}: " if told.get("line") else ""
        what = f"unexpected {told['highlight']!r}" if told.get("highlight") else "the query cannot be read"
        raise InvalidInputError(f"{where}{what}") from error
    if len(found) != 1:
        raise InvalidInputError(f"the query has {len(found)} statements", hint=_BOUND)
    (statement,) = found
    bad = next((node for node in statement.walk() if isinstance(node, _NOT_READING)), None)
    if not isinstance(statement, _READING) or bad is not None:
        named = first if bad is None or bad.key == "command" else bad.key.upper()
        raise InvalidInputError(f"a query only reads, {named} is refused", hint=_BOUND)
    return cast("exp.Expression", statement)


def _column(text: str, told: dict[str, object]) -> int:
    """Return where the word begins; `sqlglot` tells the column of its end."""
    return max(cast("int", told["col"]) - len(cast("str", told.get("highlight") or "")) + 1, 1) if text else 1


def _tables(statement: exp.Expression) -> Iterator[exp.Table]:
    for table in statement.find_all(exp.Table):
        if isinstance(table.this, exp.Dot):
            raise InvalidInputError(
                f"{table.this.sql()} has too many names for a table", hint="CATALOG.SCHEMA.TABLE, or a path in quotes"
            )
        if isinstance(table.this, exp.Identifier) and not _is_step(table):
            yield table


def _is_step(table: exp.Table) -> bool:
    """Return whether a name is that of a WITH around it: an earlier one, or itself where it is recursive."""
    if len(table.parts) > 1:
        return False
    name, node = table.name.casefold(), cast("exp.Expression | None", table)
    inside: exp.Expression | None = None
    while node is not None:
        steps = node.args.get("with_") or node.args.get("with")
        for step in steps.expressions if isinstance(steps, exp.With) else ():
            if step is inside and not cast("exp.With", steps).recursive:
                break
            if step.alias.casefold() == name:
                return True
            if step is inside:
                break
        if isinstance(node, exp.CTE):
            inside = node
        node = cast("exp.Expression | None", node.parent)
    return False


def _columns_of(statement: exp.Expression, tables: Sequence[Reference]) -> frozenset[str] | None:
    """Return every name in a query, or None where it takes columns without naming them: `*`, a whole row, by place."""
    rows = {(table.alias or _last_name(table.name)).casefold() for table in tables}
    for node in statement.walk():
        if isinstance(node, exp.Star) and not isinstance(node.parent, exp.Count):
            return None
        if isinstance(node, _WITHOUT_NAMES) or (isinstance(node, exp.Column) and node.name.casefold() in rows):
            return None
        if isinstance(node, exp.Table) and node.alias_column_names:  # FROM orders AS o(first, second)
            return None
        if isinstance(node, exp.Join) and "NATURAL" in str(node.method).upper():
            return None
    return frozenset(part.name.casefold() for part in statement.find_all(exp.Identifier))


def _qualifiers(statement: exp.Expression, tables: Sequence[Sequence[str]]) -> Iterator[_Span]:
    """Yield what is to be cut from columns such as `sales.orders.amount`: the view has one name only."""
    for column in statement.find_all(exp.Column):
        parts = [part for part in column.parts if isinstance(part, exp.Identifier | exp.Star)]
        names = [part.name.casefold() for part in parts]
        for table in tables:
            for length in range(len(table), 1, -1):
                if len(names) > length and names[:length] == list(table[-length:]):
                    yield _span(parts[0])[0], _span(parts[length - 1])[0]
                    break
            else:
                continue
            break


def _span(part: exp.Expression) -> _Span:
    return cast("int", part.meta["start"]), cast("int", part.meta["end"]) + 1


def _name(parts: Sequence[str]) -> str:
    """Return the name as people type it: a part with other letters than a name has stands in backticks."""
    return parts[0] if len(parts) == 1 else ".".join(part if _PART.fullmatch(part) else f"`{part}`" for part in parts)


def _last_name(name: str) -> str:
    bare = re.sub(r"@[^/@]*$", "", name).rstrip("/").replace("`", "")
    return bare.rpartition("/")[2] if "/" in bare else bare.rpartition(".")[2]
