"""Commands on pins: what holds which version, and holding and letting go by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lakemark.cli.tables.output import json_option, known_names, open_table, print_json
from lakemark.cli.tables.pinned import (
    deep_option,
    held_elsewhere,
    may_let_go,
    pins_of,
    pins_of_version,
    record_digests,
    releasable,
    table_or_place,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lakemark._base.canonical import Json
    from lakemark.tables.pinning.holdings import TableHolding
    from lakemark.tables.pinning.pins import PinRecord
    from lakemark.tables.pinning.verification import VersionState

__all__ = ["pin", "pins", "protect", "unpin"]


@click.command(short_help="List the pins: what holds what, and how many bytes.")
@click.argument("table", required=False)
@json_option
@click.pass_context
def pins(context: click.Context, *, table: str | None, as_json: bool) -> None:
    """List the pins on TABLE, or on all tables, whether the versions can still be read, and how many bytes they keep.

    KEPT are the bytes of files that only pins keep, because the latest version does not need them any more. OWN are
    those that nobody but this holder keeps.
    """
    from lakemark.cli.opening import open_here
    from lakemark.config.identity import home_identity
    from lakemark.tables.pinning.holdings import account
    from lakemark.tables.pinning.verification import verify_versions

    workspace = open_here(context)
    place = None if table is None else table_or_place(context, table)
    found = pins_of(workspace.pins.list(), place)
    versions = {
        (version.pin.table_uri, version.pin.manifest): version for version in verify_versions(found, workspace.objects)
    }
    holdings = {
        holding.uri: holding for holding in account(found, workspace.objects, home=home_identity(workspace.home))
    }
    others = 0 if place is None else held_elsewhere(workspace, place)
    if as_json:
        documents = [_pin_document(pin, versions, holdings) for pin in found]
        tables = [_table_document(holding) for holding in holdings.values()]
        print_json("lakemark.tables.pins/1", {"pins": documents, "tables": tables, "held_elsewhere": others})
        return
    if others:
        what = f"{others} version{'s' * (others != 1)} of {table} held by other homes"
        click.echo(f"{what}: _lakemark/pins/ in the table names them; vacuum keeps these too", err=True)
    if not found:
        what = "there are no pins yet" if place is None else f"there is no pin on {place.uri}"
        click.echo(f"{what}\n\nhint: lakemark run pins the tables that a run reads", err=True)
        return
    _print_pins(found, versions, holdings, names=known_names(context))


@click.command(short_help="Keep a version of TABLE readable.")
@click.argument("table", metavar="TABLE[@VERSION]")
@click.option("--reason", metavar="TEXT", required=True, help="Why; it is shown beside the pin.")
@click.option("--holder", metavar="NAME", default="hand", show_default=True, help="Who holds it.")
@deep_option
@json_option
@click.pass_context
def pin(context: click.Context, *, table: str, reason: str, holder: str, deep: bool, as_json: bool) -> None:
    """Keep a version of TABLE readable, the latest if none is named, until it is unpinned."""
    from lakemark._base.errors import InvalidInputError
    from lakemark.cli.opening import open_here
    from lakemark.tables.pinning.pins import hold

    if not reason.strip() or not holder.strip():
        raise InvalidInputError("a pin needs a holder and a reason", hint='--reason "for the audit of 2026"')
    if holder.startswith("tag:"):
        raise InvalidInputError(f"{holder!r} is for tags", hint=f"lakemark tables tag {table} {holder[4:]}")
    workspace = open_here(context, make=True)
    target = open_table(context, table)
    manifest = target.manifest()
    made = hold(manifest, holder=holder, reason=reason, pins=workspace.pins, objects=workspace.objects)
    if deep:
        record_digests(workspace, made.manifest, made.table_uri)
    if as_json:
        print_json(
            "lakemark.tables.pin/1",
            {
                "table": made.table_uri,
                "table_id": made.table_id,
                "version": made.version,
                "manifest": made.manifest,
                "holder": made.holder,
                "reason": made.reason,
            },
        )
    else:
        click.echo(f"{target.name or made.table_uri}@{made.version}")


@click.command(short_help="Let go of a pinned version of TABLE.")
@click.argument("table", metavar="TABLE@VERSION")
@click.option("--holder", metavar="NAME", help="Whose pin; needed where several hold it.")
@click.option("--reason", metavar="TEXT", required=True, help="Why; it is remembered when the version is gone.")
@click.option("--dry-run", is_flag=True, help="Only say what would be let go.")
@click.option("--yes", is_flag=True, help="Do not ask, though a run could no longer be reproduced.")
@json_option
@click.pass_context
def unpin(
    context: click.Context, *, table: str, holder: str | None, reason: str, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Let go of a pinned version of TABLE; the next vacuum may delete its files, unless others hold it."""
    from lakemark._base.errors import InvalidInputError
    from lakemark.cli.opening import open_here
    from lakemark.tables.pinning.pins import let_go

    if not reason.strip():
        raise InvalidInputError("letting go needs a reason", hint='--reason "erased by law"')
    workspace = open_here(context)
    place = table_or_place(context, table)
    if place.at is None:
        raise click.UsageError(f"{table} names no version; write {table}@VERSION")
    held = pins_of_version(workspace, place)
    chosen = releasable(workspace, held, place, holder=holder)
    if not dry_run:
        may_let_go(workspace, chosen, held, yes=yes)
        for one in chosen:
            let_go(one, pins=workspace.pins, reason=reason)
        workspace.pins.sweep(place.uri)
    left = [one.holder for one in held if one not in chosen]
    if as_json:
        document: Mapping[str, Json] = {
            "table": place.uri,
            "version": place.at,
            "dry_run": dry_run,
            "released": [one.holder for one in chosen],
            "holders": list(left),
        }
        print_json("lakemark.tables.unpin/1", document)
        return
    name = known_names(context).get(place.uri, place.uri)
    verb = "would let go" if dry_run else "let go"
    rest = f"still held by {', '.join(left)}" if left else "nobody holds it: the next vacuum may delete its files"
    click.echo(f"{', '.join(one.holder for one in chosen)} {verb} of {name}@{place.at}; {rest}", err=True)


@click.command(short_help="Let other engines keep old versions of TABLE too.")
@click.argument("table")
@json_option
@click.pass_context
def protect(context: click.Context, *, table: str, as_json: bool) -> None:
    """Set the properties of TABLE that make other engines keep its old versions readable, where they are weaker."""
    from lakemark.tables.pinning.protection import protect as protect_table

    target = open_table(context, table, writable=True)
    changed = protect_table(target)
    if as_json:
        document: Mapping[str, Json] = {"table": target.uri, "changed": changed, "version": target.version}
        print_json("lakemark.tables.protect/1", document)
    elif changed:
        click.echo(f"{target.name or target.uri}@{target.version}")
    else:
        click.echo(f"{target.name or target.uri} was protected already", err=True)


def _print_pins(
    found: Sequence[PinRecord],
    versions: Mapping[tuple[str, str], VersionState],
    holdings: Mapping[str, TableHolding],
    *,
    names: Mapping[str, str],
) -> None:
    from lakemark._base.clock import rfc3339
    from lakemark.cli.text import plain, size, terminal_width
    from lakemark.cli.text import table as table_lines
    from lakemark.tables.log.manifest import location

    rows = []
    for pin in found:
        holding = holdings[location(pin.table_uri)]
        cost = holding.versions[pin.manifest]
        rows.append(
            (
                plain(f"{names.get(location(pin.table_uri), pin.table_uri)}@{pin.version}"),
                str(versions[pin.table_uri, pin.manifest].state.status),
                size(cost.bytes),
                size(cost.kept_bytes),
                size(holding.holders[pin.holder].exclusive_bytes),
                plain(pin.holder),
                rfc3339(pin.created_ms),
                plain(pin.reason or "-"),
            )
        )
    header = ("TABLE", "STATE", "BYTES", "KEPT", "OWN", "HOLDER", "SINCE", "REASON")
    for line in table_lines(header, rows, width=terminal_width()):
        click.echo(line)
    for holding in holdings.values():
        for note in _notes(holding, name=names.get(holding.uri, holding.uri)):
            click.echo(plain(note), err=True)


def _notes(holding: TableHolding, *, name: str) -> list[str]:
    """Return what is to say of a whole table, below the pins."""
    from lakemark.cli.text import size

    count = len(holding.versions)
    what = f"{count} version{'s' * (count != 1)}"
    notes = [f"{name}: {what}, {size(holding.bytes)}; only pins keep {size(holding.kept_bytes)} of it"]
    unmarked = sum(not cost.marked for cost in holding.versions.values())
    if unmarked and holding.exists:
        notes.append(
            f"warning: {unmarked} of the pinned versions of {name} could not be marked in its folder: "
            "a vacuum from another home does not see these pins"
        )
    if not holding.protected:
        notes.append(f"warning: other engines may delete old versions of {name}: lakemark tables protect {name}")
    return notes + [f"warning: {name}: {problem}" for problem in holding.problems]


def _pin_document(
    pin: PinRecord, versions: Mapping[tuple[str, str], VersionState], holdings: Mapping[str, TableHolding]
) -> Json:
    from lakemark._base.clock import rfc3339
    from lakemark.tables.log.manifest import location

    state = versions[pin.table_uri, pin.manifest].state
    cost = holdings[location(pin.table_uri)].versions[pin.manifest]
    return {
        "table": pin.table_uri,
        "table_id": pin.table_id,
        "version": pin.version,
        "manifest": pin.manifest,
        "holder": pin.holder,
        "reason": pin.reason,
        "created": rfc3339(pin.created_ms),
        "state": str(state.status),
        "missing": list(state.missing),
        "recoverable": state.recoverable,
        "detail": state.detail,
        "bytes": cost.bytes,
        "kept_bytes": cost.kept_bytes,
        "marked": cost.marked,
    }


def _table_document(holding: TableHolding) -> Json:
    return {
        "table": holding.uri,
        "versions": len(holding.versions),
        "bytes": holding.bytes,
        "kept_bytes": holding.kept_bytes,
        "exists": holding.exists,
        "protected": holding.protected,
        "problems": list(holding.problems),
        "holders": [
            {"holder": name, "versions": cost.versions, "exclusive_bytes": cost.exclusive_bytes}
            for name, cost in holding.holders.items()
        ],
    }
