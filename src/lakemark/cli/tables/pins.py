"""Commands on pins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lakemark.cli.tables.output import json_option, print_json

if TYPE_CHECKING:
    from lakemark._base.canonical import Json
    from lakemark.capture.workspace import Workspace
    from lakemark.tables.pins import PinRecord, PinState

__all__ = ["pins"]


@click.command(short_help="List the pins, and whether they can still be read.")
@click.argument("table", required=False)
@json_option
@click.pass_context
def pins(context: click.Context, *, table: str | None, as_json: bool) -> None:
    """List the pins on TABLE, or on all tables, and whether the versions can still be read."""
    from lakemark._base.clock import rfc3339
    from lakemark.cli.opening import open_here
    from lakemark.cli.text import plain, terminal_width
    from lakemark.cli.text import table as table_lines
    from lakemark.tables.manifest import location

    workspace = open_here(context)
    found = [pin for pin in workspace.pins.list() if table is None or location(pin.table_uri) == location(table)]
    states = [_state(workspace, pin) for pin in found]
    if as_json:
        documents = [_pin_document(pin, state) for pin, state in zip(found, states, strict=True)]
        print_json("lakemark.tables.pins/1", {"pins": documents})
        return
    if not found:
        what = "there are no pins yet" if table is None else f"there is no pin on {location(table)}"
        click.echo(f"{what}\n\nhint: lakemark run pins the tables that a run reads", err=True)
        return
    rows = [
        (f"{pin.table_uri}@{pin.version}", state.status, pin.holder, rfc3339(pin.created_ms), plain(pin.reason or "-"))
        for pin, state in zip(found, states, strict=True)
    ]
    for line in table_lines(("TABLE", "STATE", "HOLDER", "SINCE", "REASON"), rows, width=terminal_width()):
        click.echo(line)


def _state(workspace: Workspace, pin: PinRecord) -> PinState:
    from lakemark._base.errors import LakemarkError
    from lakemark.tables.pins import PinState, PinStatus, verify

    try:
        return verify(pin, workspace.objects.get(pin.manifest))
    except LakemarkError as error:
        return PinState(PinStatus.UNKNOWN, detail=error.message)


def _pin_document(pin: PinRecord, state: PinState) -> Json:
    from lakemark._base.clock import rfc3339

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
    }
