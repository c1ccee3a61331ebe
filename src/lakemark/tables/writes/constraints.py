"""The rules of a table, which every write obeys: constraints, columns without nulls, generated columns.

They are Delta's own, so that other engines obey them too. What comes here is the error: it names the rule and shows the
rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import pyarrow as pa
from deltalake import DeltaTable

from lakemark._base.errors import ConflictError, InvalidInputError, LakemarkError, NotFoundError, nearest
from lakemark.tables.failures import PREVIEW, translated
from lakemark.tables.log.commits import KEEP_LOG, Commit, commit_properties
from lakemark.tables.log.manifest import location
from lakemark.tables.quoting import quoted
from lakemark.tables.reading import TableReader
from lakemark.tables.writes.expressions import check_predicate, exact, is_true_for
from lakemark.tables.writes.retries import retried
from lakemark.tables.writes.targets import open_target

__all__ = ["GENERATED", "Rule", "add_constraint", "drop_constraint", "explained", "generated_columns", "rules"]

GENERATED = b"delta.generationExpression"
"""Where a field's metadata has what the column is computed from."""

_PREFIX = "delta.constraints."
_SHOWN = 5
_WIDTH = 40
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Rule:
    """What must be true for every row of a table.

    Parameters
    ----------
    name : str
        Of the constraint, or what the rule is about.
    expression : str
        SQL.
    """

    name: str
    expression: str


def rules(table: DeltaTable) -> list[Rule]:
    """Return the rules of the version that `table` has open."""
    found = [
        Rule(f"constraint {name.removeprefix(_PREFIX)!r}", text)
        for name, text in sorted(table.metadata().configuration.items())
        if name.startswith(_PREFIX)
    ]
    found += [
        Rule(f"column {field.name!r}", f"{quoted(field.name)} is not null")
        for field in pa.schema(table.schema().to_arrow())
        if not field.nullable
    ]
    found += [
        Rule(f"generated column {name!r}", f"{quoted(name)} is not distinct from ({text})")
        for name, text in generated_columns(table).items()
    ]
    return found


def generated_columns(table: DeltaTable) -> Mapping[str, str]:
    """Return the columns that the writer computes, and from what."""
    schema = pa.schema(table.schema().to_arrow())
    return {field.name: field.metadata[GENERATED].decode() for field in schema if GENERATED in (field.metadata or {})}


def add_constraint(target: TableReader, name: str, expression: str, *, commit: Commit | None = None) -> int:
    """Add a condition that all rows meet, those that are there first, and return the new version."""
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            f"{name!r} is no name of a constraint", hint="take letters, digits and _, for example amount_is_positive"
        )

    def add() -> int:
        table = open_target(target)
        named = {known.lower(): text for known, text in _constraints(table).items()}
        if name.lower() in named:
            raise ConflictError(
                f"{target.uri} has a constraint {name!r} already: {named[name.lower()]}",
                hint=f"lakemark tables constrain {target.uri} {name} --drop removes it",
            )
        check_predicate(table, expression, name=name)
        with explained(table, also=[Rule(f"constraint {name!r}", expression)]):
            # alone: on an old handle, deltalake would not look at the rows that came since
            table.alter.add_constraint(
                {name: exact(expression)},
                commit_properties=commit_properties(commit, alone=True),
                post_commithook_properties=KEEP_LOG,
            )
        return table.version()

    return retried(add)


def drop_constraint(target: TableReader, name: str, *, commit: Commit | None = None) -> int:
    """Remove a constraint and return the new version."""

    def drop() -> int:
        table = open_target(target)
        known = _constraints(table)
        if name not in known:
            close = nearest(name, known)
            raise NotFoundError(
                f"{target.uri} has no constraint {name!r}" + (f", did you mean {close!r}?" if close else ""),
                hint=f"it has {', '.join(known)}" if known else "it has none",
            )
        with translated(target.uri):
            table.alter.drop_constraint(
                name,
                commit_properties=commit_properties(commit, alone=True),
                post_commithook_properties=KEEP_LOG,
            )
        return table.version()

    return retried(drop)


@contextmanager
def explained(table: DeltaTable, *, also: Sequence[Rule] = ()) -> Iterator[None]:
    """Raise our errors for those of `deltalake` inside the block; where rows break a rule, show both.

    Parameters
    ----------
    table : DeltaTable
        The table that is written.
    also : sequence of Rule
        Rules that are no property of the table: a constraint that is being added, the predicate of an overwrite.
    """
    try:
        with translated(location(table.table_uri)):
            yield
    except LakemarkError as error:
        if PREVIEW not in error.context:
            raise
        raise _broken(error, [*also, *rules(table)], pa.schema(table.schema().to_arrow())) from error


def _broken(error: LakemarkError, known: Sequence[Rule], schema: pa.Schema) -> InvalidInputError:
    names, rows = _parse(cast("str", error.context[PREVIEW]))
    shown = rows[:_SHOWN]
    texts = [dict(zip(names, row, strict=True)) for row in shown]
    broken = [rule for rule in known if any(is_true_for(rule.expression, row, schema) is False for row in texts)]
    named = broken or list(known)
    more = cast("int", error.context["count"]) > len(shown)
    said = "; ".join(f"{rule.name}: {rule.expression}" for rule in named)
    one_of = "one of " if not broken and len(named) > 1 else ""
    return InvalidInputError(
        f"{error.message}, {one_of}{said}\n{_lines(names, shown, more=more)}",
        hint="nothing was written; leave such rows out or correct them",
        rules=tuple(rule.name for rule in named),
        rows=tuple(tuple(row) for row in shown),
    )


def _parse(preview: str) -> tuple[list[str], list[list[str]]]:
    """Return the columns and rows of the text table that `deltalake` gives; a value may go over several lines."""
    lines = [line for line in preview.splitlines() if line.startswith("|")]
    if not lines:
        return [], []
    names = [part.strip() for part in lines[0].strip("|").split("|")]
    rows = [[part.strip() for part in line.strip("|").split("|")] for line in lines[1:]]
    keep = [place for place, name in enumerate(names) if not name.startswith("__delta_rs")]
    whole = [row for row in rows if len(row) == len(names)]  # one with a | in its text cannot be told apart
    return [names[place] for place in keep], [[row[place] for place in keep] for row in whole]


def _lines(names: Sequence[str], rows: Sequence[Sequence[str]], *, more: bool) -> str:
    table = [[_cut(part) for part in row] for row in [names, *rows]]
    widths = [max(len(row[place]) for row in table) for place in range(len(names))]
    lines = [
        "  " + "  ".join(part.ljust(width) for part, width in zip(row, widths, strict=True)).rstrip() for row in table
    ]
    return "\n".join([*lines, "  ..."] if more else lines)


def _cut(text: str) -> str:
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    shown = text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."
    return shown or "-"


def _constraints(table: DeltaTable) -> dict[str, str]:
    configuration = table.metadata().configuration
    return {name.removeprefix(_PREFIX): text for name, text in configuration.items() if name.startswith(_PREFIX)}
