"""Verification: look at all pinned versions, by their files' sizes or by their content, and explain what is gone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from lakemark._base.clock import rfc3339
from lakemark._base.errors import LakemarkError
from lakemark.storage.objects import ObjectStore
from lakemark.tables.log.manifest import location
from lakemark.tables.log.pieces import Places
from lakemark.tables.pinning.digests import Digests, FileCheck, Progress
from lakemark.tables.pinning.pins import PinRecord, PinState, PinStatus, ReleasedPinRecord, verify

__all__ = ["VersionState", "let_go_versions", "look_at", "verify_versions"]


@dataclass(frozen=True, slots=True)
class VersionState:
    """What became of one pinned version.

    Parameters
    ----------
    pin : PinRecord
        One of the pins on it, the oldest.
    holders : tuple of str
        Who holds it; none where it was let go.
    state : PinState
        Whether it can be read.
    check : FileCheck, optional
        What a deep look found.
    released : ReleasedPinRecord, optional
        The last pin on it, where it was let go.
    """

    pin: PinRecord
    holders: tuple[str, ...]
    state: PinState
    check: FileCheck | None = None
    released: ReleasedPinRecord | None = None

    @property
    def explanation(self) -> str:
        """Why it need not be there any more; empty for a version that is held."""
        if self.released is None:
            return ""
        moment = rfc3339(self.released.released_ms or 0)
        said = f"{self.released.holder} let it go at {moment}: {self.released.release_reason or 'no reason was given'}"
        return f"lost on purpose, {said}" if self.state.missing else said


def look_at(pin: PinRecord, objects: ObjectStore, *, places: Places | None = None) -> PinState:
    """Return whether a pinned version can be read; unknown, with the reason, where that cannot be told."""
    try:
        return verify(pin, objects.get(pin.manifest), places=places)
    except LakemarkError as error:
        return PinState(PinStatus.UNKNOWN, detail=error.message)


def verify_versions(
    pins: Iterable[PinRecord],
    objects: ObjectStore,
    *,
    digests: Digests | None = None,
    progress: Progress | None = None,
) -> list[VersionState]:
    """Look at each pinned version once, however many pins it has.

    Parameters
    ----------
    pins : iterable of PinRecord
        The pins, oldest first.
    objects : ObjectStore
        Where their manifests are.
    digests : Digests, optional
        Compare the content of each file too.
    progress : callable, optional
        Is told of each piece that was read.

    Returns
    -------
    list of VersionState
        In the order of the pins; a version that cannot be looked at is unknown, and the others go on.
    """
    by_version: dict[tuple[str, str], list[PinRecord]] = {}
    for pin in pins:
        by_version.setdefault((location(pin.table_uri), pin.manifest), []).append(pin)
    places = {uri: Places(uri) for uri, _ in by_version}
    found = []
    for (uri, _), held in by_version.items():
        state, check = look_at(held[0], objects, places=places[uri]), None
        if digests is not None and state.status is not PinStatus.UNKNOWN:
            state, check = _look_deeper(held[0], state, digests, places=places[uri], progress=progress)
        holders = tuple(dict.fromkeys(pin.holder for pin in held))
        found.append(VersionState(held[0], holders, state, check))
    return found


def let_go_versions(
    released: Iterable[ReleasedPinRecord], held: Sequence[VersionState], objects: ObjectStore
) -> list[VersionState]:
    """Return the versions that nobody holds any more, each with the last pin on it, so that their loss is explained.

    Parameters
    ----------
    released : iterable of ReleasedPinRecord
        Pins that were let go, oldest first.
    held : sequence of VersionState
        The versions that are held.
    objects : ObjectStore
        Where manifests are.
    """
    kept = {(location(version.pin.table_uri), version.pin.manifest) for version in held}
    last = {
        (location(pin.table_uri), pin.manifest): pin for pin in sorted(released, key=lambda pin: pin.released_ms or 0)
    }
    places = {uri: Places(uri) for uri, _ in last}
    return [
        VersionState(pin, (), look_at(pin, objects, places=places[key[0]]), released=pin)
        for key, pin in last.items()
        if key not in kept
    ]


def _look_deeper(
    pin: PinRecord, state: PinState, digests: Digests, *, places: Places, progress: Progress | None
) -> tuple[PinState, FileCheck | None]:
    try:
        check = digests.check(pin.manifest, places=places, progress=progress)
    except LakemarkError as error:
        return PinState(PinStatus.UNKNOWN, detail=error.message), None
    broken = sorted({*state.missing, *check.changed, *check.unreadable})
    if not (check.changed or check.unreadable):
        return state, check
    if state.missing:  # a file that is gone is more than one that was changed
        return replace(state, missing=tuple(broken)), check
    what = f"{len(check.changed)} of {check.files} files have other content than when they were looked at first"
    if not check.changed:
        what = f"{len(check.unreadable)} of {check.files} files cannot be read"
    return PinState(PinStatus.FILES_CHANGED, tuple(broken), what), check
