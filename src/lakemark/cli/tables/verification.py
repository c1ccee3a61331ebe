"""The command that looks if pinned versions can still be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lakemark.cli.tables.output import json_option, known_names, print_json
from lakemark.cli.tables.pinned import pins_of, proved_by, showing_progress, table_or_place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lakemark._base.canonical import Json
    from lakemark.tables.pinning.verification import VersionState

__all__ = ["verify"]


@click.command(short_help="Look if the pinned versions can still be read.")
@click.argument("table", metavar="[TABLE[@VERSION]]", required=False)
@click.option("--deep", is_flag=True, help="Read all files too, and compare them with what was written down first.")
@json_option
@click.pass_context
def verify(context: click.Context, *, table: str | None, deep: bool, as_json: bool) -> None:
    """Look if each pinned version of TABLE, or of all tables, can still be read.

    Without --deep by the size of each file; with it by the content: the first deep look writes the sha256 of each file
    down, later ones compare, and rows that a run has read whole are compared with what its receipt says of them. Exits
    with 1 if a version is not whole. Versions that were let go are explained.
    """
    from lakemark._base.errors import NotFoundError
    from lakemark.cli.opening import open_here
    from lakemark.tables.pinning.digests import Digests
    from lakemark.tables.pinning.verification import let_go_versions, verify_versions
    from lakemark.tracking.file_digests import SqlDigestStore

    workspace = open_here(context)
    place = None if table is None else table_or_place(context, table)
    digests = Digests(SqlDigestStore(workspace.database), workspace.objects) if deep else None
    with showing_progress() as progress:
        held = verify_versions(
            pins_of(workspace.pins.list(), place), workspace.objects, digests=digests, progress=progress
        )
    released = pins_of(workspace.pins.list_released(), place) if place is not None else []
    proofs = {version.pin.manifest: proved_by(workspace, version) for version in held} if deep else {}
    gone = let_go_versions(released, held, workspace.objects)
    if place is not None and place.at is not None and not (held or gone):
        raise NotFoundError(
            f"version {place.at} of {place.uri} is not pinned, so nothing says what it was",
            hint=f"lakemark tables pin {table} --reason TEXT pins it",
        )
    if as_json:
        _print_document(held, gone, proofs if deep else None)
    else:
        _print_lines(held, gone, proofs if deep else None, names=known_names(context))
    if not all(version.state.is_whole for version in held):
        context.exit(1)


def _print_document(
    held: Sequence[VersionState],
    gone: Sequence[VersionState],
    proofs: Mapping[str, Sequence[str]] | None,
) -> None:
    print_json(
        "lakemark.tables.verify/1",
        {
            "deep": proofs is not None,
            "whole": all(version.state.is_whole for version in held),
            "versions": [_document(version, proofs or {}) for version in (*held, *gone)],
        },
    )


def _document(version: VersionState, proofs: Mapping[str, Sequence[str]]) -> Json:
    check = version.check
    digests = None if check is None else "recorded" if check.recorded else "compared"
    return {
        "table": version.pin.table_uri,
        "table_id": version.pin.table_id,
        "version": version.pin.version,
        "manifest": version.pin.manifest,
        "holders": list(version.holders),
        "state": str(version.state.status),
        "whole": version.state.is_whole,
        "missing": list(version.state.missing),
        "changed": [] if check is None else list(check.changed),
        "recoverable": version.state.recoverable,
        "detail": version.state.detail,
        "digests": digests,
        "same_rows_as": list(proofs.get(version.pin.manifest, ())),
        "let_go": version.explanation or None,
    }


def _print_lines(
    held: Sequence[VersionState],
    gone: Sequence[VersionState],
    proofs: Mapping[str, Sequence[str]] | None,
    *,
    names: Mapping[str, str],
) -> None:
    from lakemark.cli.text import plain, terminal_width
    from lakemark.cli.text import table as table_lines

    def named(version: VersionState) -> str:
        return f"{names.get(version.pin.table_uri, version.pin.table_uri)}@{version.pin.version}"

    if not (held or gone):
        click.echo(
            "there are no pins to look at\n\nhint: lakemark tables pin TABLE --reason TEXT pins a version", err=True
        )
        return
    rows = [
        (
            plain(named(version)),
            str(version.state.status) if version.holders else "let go",
            plain(_said(version)),
            plain(", ".join(version.holders) or "-"),
        )
        for version in (*held, *gone)
    ]
    for line in table_lines(("TABLE", "STATE", "DETAIL", "HELD BY"), rows, width=terminal_width()):
        click.echo(line)
    if proofs is not None:
        _print_first_looks(held)
    for version in held:
        runs = (proofs or {}).get(version.pin.manifest, ())
        if runs:
            click.echo(plain(f"{named(version)} has the very rows that {', '.join(runs)} read"), err=True)
    for version in held:
        advice = _advice(version, name=named(version))
        if advice:
            click.echo(plain(f"hint: {named(version)}: {advice}"), err=True)


def _print_first_looks(held: Sequence[VersionState]) -> None:
    first = sum(version.check is not None and version.check.recorded for version in held)
    if first:
        what = f"{first} version{'s' * (first != 1)}"
        click.echo(f"the files of {what} were written down for later looks to compare with", err=True)


def _said(version: VersionState) -> str:
    detail = version.state.detail
    return f"{detail}; {version.explanation}" if version.explanation else detail


def _advice(version: VersionState, *, name: str) -> str:
    """Return what to do about a version that its table cannot read; empty where there is nothing to do."""
    from lakemark.tables.pinning.pins import PinStatus

    state = version.state
    if state.status is PinStatus.READABLE:
        return ""
    if state.recoverable:
        return f"its files are all there: lakemark tables clone {name} DEST makes a table of them"
    if state.missing:
        files = f"{state.missing[0]} and {len(state.missing) - 1} more" if len(state.missing) > 1 else state.missing[0]
        return f"put {files} back from a backup, or lakemark tables unpin {name} --reason TEXT says that it may go"
    return "make the table and the home readable, and look again"
