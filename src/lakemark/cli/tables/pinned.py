"""What the commands on pins share: the table that is meant, its pins, and whose may be let go."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import click

from lakemark.cli.tables.output import open_table

if TYPE_CHECKING:
    from lakemark.capture.workspace import Workspace
    from lakemark.tables.pinning.pins import PinRecord
    from lakemark.tables.pinning.verification import VersionState

__all__ = [
    "TablePlace",
    "deep_option",
    "held_elsewhere",
    "may_let_go",
    "pins_of",
    "pins_of_version",
    "proved_by",
    "record_digests",
    "releasable",
    "showing_progress",
    "table_or_place",
]

deep_option = click.option("--deep", is_flag=True, help="Read all files, and write their sha256 down.")

_TAG = "tag:"
_Record = TypeVar("_Record", bound="PinRecord")


@dataclass(frozen=True, slots=True)
class TablePlace:
    """A table that pins are on, which need not be there any more.

    Parameters
    ----------
    uri : str
        Where it is, or was.
    at : int, optional
        The version that was named.
    table_id : str, optional
        Its id, if there is a table.
    """

    uri: str
    at: int | None = None
    table_id: str | None = None


def table_or_place(context: click.Context, text: str) -> TablePlace:
    """Return the table that TABLE or TABLE@VERSION names, or the place where one was."""
    from lakemark._base.errors import NotFoundError
    from lakemark.tables.log.manifest import location
    from lakemark.tables.naming.names import parse_table
    from lakemark.tables.reading import TableReader

    ref = parse_table(text)
    try:
        table = open_table(context, text)
        return TablePlace(table.uri, table.at, str(TableReader(table.uri).open().metadata().id))
    except NotFoundError:
        if isinstance(ref.at, str):
            raise
        return TablePlace(location(ref.place), ref.at)


def pins_of(pins: Iterable[_Record], place: TablePlace | None) -> list[_Record]:
    """Return the pins on a table: by its place, or by its id, which stays when a table is moved."""
    from lakemark.tables.log.manifest import location

    if place is None:
        return list(pins)
    return [
        pin
        for pin in pins
        if (location(pin.table_uri) == place.uri or pin.table_id == place.table_id) and place.at in (None, pin.version)
    ]


def held_elsewhere(workspace: Workspace, place: TablePlace) -> int:
    """Return how many versions of a table other homes hold, as the markers in its folder say; 0 if none can be read."""
    from lakemark._base.errors import LakemarkError
    from lakemark.config.identity import home_identity
    from lakemark.tables.log.files import TableFiles
    from lakemark.tables.pinning.markers import markers

    try:
        found = markers(TableFiles(place.uri))
    except LakemarkError:
        return 0
    return sum(bool(homes - {home_identity(workspace.home)}) for homes in found.values())


def pins_of_version(workspace: Workspace, place: TablePlace) -> list[PinRecord]:
    """Return the pins on one version, at least one."""
    from lakemark._base.errors import NotFoundError

    held = pins_of(workspace.pins.list(), place)
    if held:
        return held
    released = pins_of(workspace.pins.list_released(), place)
    last = max(released, key=lambda pin: pin.released_ms or 0, default=None)
    what = f": {last.holder} let it go ({last.release_reason})" if last is not None else ""
    raise NotFoundError(
        f"no pin holds version {place.at} of {place.uri}{what}", hint=f"lakemark tables pins {place.uri} lists the pins"
    )


def releasable(
    workspace: Workspace, held: Sequence[PinRecord], place: TablePlace, *, holder: str | None
) -> list[PinRecord]:
    """Return the pins that are meant, by a holder or by there being no other; never that of a tag."""
    from lakemark._base.errors import ConflictError, InvalidInputError, NotFoundError, nearest

    names = list(dict.fromkeys(pin.holder for pin in held))
    if holder is None:
        by_hand = [name for name in names if not _is_tagged(workspace, held, name)]
        if len(by_hand) > 1:
            raise InvalidInputError(
                f"version {place.at} of {place.uri} is held by {', '.join(by_hand)}", hint=f"--holder {by_hand[0]}"
            )
        holder = by_hand[0] if by_hand else names[0]
    if holder not in names:
        close = nearest(holder, names)
        raise NotFoundError(
            f"{holder!r} does not hold version {place.at} of {place.uri}"
            + (f", did you mean {close!r}?" if close else ""),
            hint=f"it is held by {', '.join(names)}",
        )
    if _is_tagged(workspace, held, holder):
        name = holder.removeprefix(_TAG)
        raise ConflictError(
            f"version {place.at} of {place.uri} is held by its tag {name!r}",
            hint=f"lakemark tables untag {place.uri} {name} --reason TEXT",
        )
    return [pin for pin in held if pin.holder == holder]


def may_let_go(workspace: Workspace, chosen: Sequence[PinRecord], held: Sequence[PinRecord], *, yes: bool) -> None:
    """Ask before the pin of a run goes."""
    from lakemark._base.ids import short

    runs = [run for pin in chosen if (run := workspace.store.find_run(pin.holder)) is not None]
    if not runs:
        return
    names = ", ".join(f"{short(run.run_id)} ({run.name})" if run.name else short(run.run_id) for run in runs)
    others = len(held) > len(chosen)
    what = "relies on other pins then" if others else "can no longer be reproduced once the files are deleted"
    click.echo(f"run {names} {what}", err=True)
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("letting go of what a run has read needs --yes where nobody can be asked")
    click.confirm("let go?", abort=True, err=True)


def record_digests(workspace: Workspace, manifest: str, uri: str) -> None:
    """Write the sha256 of each file of a pinned version down, with progress."""
    from lakemark.tables.log.pieces import Places
    from lakemark.tables.pinning.digests import Digests
    from lakemark.tracking.file_digests import SqlDigestStore

    digests = Digests(SqlDigestStore(workspace.database), workspace.objects)
    with showing_progress() as progress:
        digests.check(manifest, places=Places(uri), progress=progress)


def proved_by(workspace: Workspace, version: VersionState) -> tuple[str, ...]:
    """Return the runs whose receipts say that they got the very rows that a version has, in any order.

    A receipt says what the script got, which may be some of the columns: so rows that differ prove nothing. The table
    is read only where a receipt says anything of its content and the table opens the version.
    """
    from lakemark.tables.fingerprint import fingerprint
    from lakemark.tables.pinning.pins import PinStatus
    from lakemark.tables.reading import TableReader

    if version.state.status is not PinStatus.READABLE:
        return ()
    told = {holder: hashes for holder in version.holders if (hashes := _told_rows(workspace, version, holder))}
    if not told:
        return ()
    found = fingerprint(TableReader(version.pin.table_uri, at=version.pin.version).batches())
    return tuple(holder for holder, hashes in told.items() if (found.algorithm, found.unordered) in hashes)


def _told_rows(workspace: Workspace, version: VersionState, holder: str) -> set[tuple[str, str]]:
    """Return what the receipt of a run says of the rows that it got from a version: algorithm and hash."""
    from lakemark._base.fields import records, section
    from lakemark.capture.settle import read_receipt

    run = workspace.store.find_run(holder)
    receipt = None if run is None else read_receipt(workspace, run)
    if receipt is None:
        return set()
    this = (version.pin.table_id, version.pin.version)
    rows = records(section(receipt, "inputs", "data"), "tables")
    contents = [row["content"] for row in rows if (row["table_id"], row["version"]) == this]
    return {(str(content["algorithm"]), str(content["unordered"])) for content in contents if isinstance(content, dict)}


class showing_progress:  # noqa: N801  # a block, named as one
    """Show on a terminal's stderr how many bytes were read, about five times a second."""

    def __init__(self) -> None:
        self._bytes = 0
        self._shown_ns = 0
        self._is_shown = sys.stderr.isatty()

    def __enter__(self) -> Callable[[int], None]:
        return self._more

    def __exit__(self, *_: object) -> None:
        if self._is_shown and self._shown_ns:
            click.echo("\r\x1b[K", nl=False, err=True)

    def _more(self, count: int) -> None:
        import time

        from lakemark.cli.text import size

        self._bytes += count
        now = time.monotonic_ns()
        if self._is_shown and now - self._shown_ns > 200_000_000:
            self._shown_ns = now
            click.echo(f"\r{size(self._bytes)} read\x1b[K", nl=False, err=True)


def _is_tagged(workspace: Workspace, held: Sequence[PinRecord], holder: str) -> bool:
    """Return True if a tag holds one of these pins; what a killed move of a tag left over, nobody holds."""
    if not holder.startswith(_TAG):
        return False
    mine = (pin for pin in held if pin.holder == holder)
    records = ((pin, workspace.tags.store.get(pin.table_id, holder.removeprefix(_TAG))) for pin in mine)
    return any(record is not None and record.version == pin.version for pin, record in records)
