"""Commands on checks: declare what must hold of a table's rows, and ask whether it does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from lakemark.cli.tables.output import json_option, open_table, print_json, print_version, table_argument

if TYPE_CHECKING:
    from lakemark._base.canonical import Json
    from lakemark.tables.checks.results import CheckResult
    from lakemark.tables.checks.rules import Check

__all__ = ["add_check", "check", "checks", "drop_check"]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_AGE = re.compile(r"(\d+)([smhd])")
_FORMS = {
    "range": "COLUMN:MIN:MAX, one of them may be empty",
    "in_set": "COLUMN:A,B,C",
    "regex": "COLUMN:PATTERN",
    "row_count": "MIN:MAX, one of them may be empty",
    "freshness": "COLUMN:AGE with s, m, h or d: updated:24h",
}


@click.command(short_help="Ask the checks of a table.")
@table_argument
@json_option
@click.pass_context
def check(context: click.Context, *, table: str, as_json: bool) -> None:
    """Ask the checks that TABLE declares of its rows, or of those of TABLE@VERSION.

    The results are kept in the home, if there is one. Exits with 1 where a check of severity error fails.
    """
    from lakemark.cli.text import plain, terminal_width
    from lakemark.cli.text import table as table_lines
    from lakemark.tables.checks.rules import Severity
    from lakemark.tables.checks.running import run_checks

    source = open_table(context, table)
    opened = source.open()
    results = run_checks(opened)
    _keep(context, results, uri=source.uri, table_id=str(opened.metadata().id), version=opened.version())
    failed = any(not one.passed and one.severity is Severity.ERROR for one in results)
    if as_json:
        found: list[Json] = [{**one.document(), "samples": list(one.samples)} for one in results]
        print_json(
            "lakemark.tables.check/1",
            {"table": source.uri, "version": opened.version(), "passed": not failed, "results": found},
        )
    elif not results:
        _tell_none(table)
    else:
        rows = [(_state(one), plain(one.name), plain(one.detail)) for one in results]
        for line in table_lines(("RESULT", "CHECK", "FOUND"), rows, width=terminal_width()):
            click.echo(line)
        for one in results:
            for sample in one.samples:
                click.echo(f"{plain(one.name)}: {plain(sample)}", err=True)
    if failed:
        context.exit(1)


@click.command(short_help="List the checks of a table.")
@table_argument
@json_option
@click.pass_context
def checks(context: click.Context, *, table: str, as_json: bool) -> None:
    """List the checks that TABLE declares."""
    from lakemark.cli.text import plain, terminal_width
    from lakemark.cli.text import table as table_lines
    from lakemark.tables.checks.rules import describe
    from lakemark.tables.checks.running import declared_checks

    source = open_table(context, table)
    found = declared_checks(source.open())
    if as_json:
        print_json("lakemark.tables.checks/1", {"table": source.uri, "checks": [one.document() for one in found]})
    elif not found:
        _tell_none(table)
    else:
        rows = [(plain(one.name), str(one.severity), plain(describe(one.rule))) for one in found]
        for line in table_lines(("CHECK", "SEVERITY", "RULE"), rows, width=terminal_width()):
            click.echo(line)


@click.command(short_help="Declare a check with a table.")
@table_argument
@click.argument("name")
@click.option("--not-null", metavar="COLUMN", help="No value is null.")
@click.option(
    "--unique", metavar="COLUMN", multiple=True, help="No two rows have the same value; repeat it for more columns."
)
@click.option("--range", "range_", metavar="COLUMN:MIN:MAX", help="Values lie between both; one may be empty.")
@click.option("--in-set", metavar="COLUMN:A,B", help="Values are among these.")
@click.option("--regex", metavar="COLUMN:PATTERN", help="The whole value matches.")
@click.option("--rows", metavar="MIN:MAX", help="The table has so many rows; one may be empty.")
@click.option("--fresh", metavar="COLUMN:AGE", help="The newest value is at most so old: updated:24h.")
@click.option("--sql", metavar="QUERY", help="Returns the rows at fault: SELECT * FROM {table} WHERE price < cost.")
@click.option("--severity", type=click.Choice(["error", "warning"]), default="error", help="Refuse rows, or flag them.")
@click.option("--no-verify", is_flag=True, help="Do not ask it of the rows that are there.")
@json_option
@click.pass_context
def add_check(
    context: click.Context,
    /,
    *,
    table: str,
    name: str,
    severity: str,
    no_verify: bool,
    as_json: bool,
    **rules: str | tuple[str, ...] | None,
) -> None:
    """Declare a check with TABLE, one rule of those below; from now on each write is asked.

    The rows that are there must hold it, except with --severity warning or --no-verify.
    """
    from lakemark.tables.checks.rules import parse_check
    from lakemark.tables.checks.running import add_check as add

    given = {option: said for option, said in rules.items() if said}
    if len(given) != 1:
        raise click.UsageError(f"give one rule, not {len(given)}; --not-null COLUMN is one")
    ((option, said),) = given.items()
    target = open_table(context, table, writable=True)
    document: dict[str, object] = {"name": name, "severity": severity, **_rule(option, said)}
    made: Check = parse_check(document)
    print_version(target, add(target, made, verify=not no_verify), as_json=as_json)


@click.command(short_help="Take a check away from a table.")
@table_argument
@click.argument("name")
@json_option
@click.pass_context
def drop_check(context: click.Context, *, table: str, name: str, as_json: bool) -> None:
    """Take the check NAME away from TABLE; results that were kept stay."""
    from lakemark.tables.checks.running import drop_check as drop

    target = open_table(context, table, writable=True)
    print_version(target, drop(target, name), as_json=as_json)


def _rule(option: str, said: str | tuple[str, ...]) -> dict[str, object]:
    """Return kind and fields of a rule from its option."""
    if isinstance(said, tuple):
        return {"kind": option, "columns": list(said)}
    text = said
    kind = {"range_": "range", "rows": "row_count", "fresh": "freshness"}.get(option, option)
    whole: dict[str, dict[str, object]] = {
        "not_null": {"column": text},
        "sql": {"query": text},
    }
    if kind in whole:
        return {"kind": kind, **whole[kind]}
    parts = text.split(":", 2 if kind == "range" else 1)
    if len(parts) != (3 if kind == "range" else 2):
        raise click.UsageError(f"{text!r} is not of the form {_FORMS[kind]}")
    if kind == "row_count":
        return {"kind": kind, "min": _count(parts[0]), "max": _count(parts[1])}
    return {"kind": kind, "column": parts[0], **_fields(kind, parts[1:])}


def _fields(kind: str, rest: Sequence[str]) -> dict[str, object]:
    if kind == "range":
        return {"min": rest[0] or None, "max": rest[1] or None}
    if kind == "in_set":
        return {"values": rest[0].split(",")}
    return {"pattern": rest[0]} if kind == "regex" else {"max_age": _age(rest[0])}


def _count(text: str) -> int | None:
    if text and not text.isdecimal():
        raise click.UsageError(f"{text!r} is no number of rows; the form is {_FORMS['row_count']}")
    return int(text) if text else None


def _age(text: str) -> int:
    found = _AGE.fullmatch(text)
    if found is None:
        raise click.UsageError(f"{text!r} is no age; the form is {_FORMS['freshness']}")
    return int(found[1]) * _SECONDS[found[2]]


def _keep(context: click.Context, results: Sequence[CheckResult], *, uri: str, table_id: str, version: int) -> None:
    """Keep the results in the home; without one they are only shown."""
    from lakemark.cli.opening import open_here
    from lakemark.cli.tables.output import find_catalog
    from lakemark.tables.checks.results import keep

    if results and find_catalog(context) is not None:
        keep(open_here(context).check_results, results, table_uri=uri, table_id=table_id, version=version)


def _state(result: CheckResult) -> str:
    if result.passed:
        return "ok"
    return "failed" if result.severity == "error" else "warning"


def _tell_none(table: str) -> None:
    click.echo(
        f"{table} declares no checks\n\nhint: lakemark tables add-check {table} NAME --not-null COLUMN", err=True
    )
