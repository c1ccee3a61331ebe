"""Tags: names that people give to versions of a table, and that keep these versions readable.

A tag is a row that names a version and a pin with the holder `tag:NAME`. The steps are: the manifest into the object
store, the pin, the row of the tag. The row is refused unless the pin holds, and the pin cannot be let go while the row
names its version, so a tag never stands without its pin, whatever is killed or races. What a killed step leaves over is
a pin too many, which the next `tag` or `untag` of that name clears away.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lakemark._base.errors import ConflictError, InvalidInputError, LakemarkError, NotFoundError, StorageError, nearest
from lakemark.storage.objects import ObjectStore
from lakemark.tables.log.manifest import parse
from lakemark.tables.pinning.pins import PinRecord, PinStore, hold, let_go
from lakemark.tables.reading import TableReader

__all__ = ["TagRecord", "TagStore", "Tags", "tag_holder"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_HOLDER = "tag:"


class TagRecord(Protocol):
    """What a tag says."""

    @property
    def table_id(self) -> str:
        """The id in the table's metadata: a table made again at the same place has another, and none of its tags."""

    @property
    def tag(self) -> str:
        """The name."""

    @property
    def table_uri(self) -> str:
        """Where the table was when it was tagged."""

    @property
    def version(self) -> int:
        """The version, from 0."""

    @property
    def manifest(self) -> str:
        """The sha256 of its manifest in the object store."""

    @property
    def comment(self) -> str:
        """What for, in words; may be empty."""

    @property
    def created_ms(self) -> int:
        """When it was set to this version, in milliseconds since 1970-01-01 UTC."""


class TagStore(Protocol):
    """Where tags are kept."""

    def put(
        self,
        *,
        table_id: str,
        tag: str,
        table_uri: str,
        version: int,
        manifest: str,
        comment: str,
        created_ms: int,
        replaces: int | None,
    ) -> bool:
        """Keep a tag; False where it does not name version `replaces` (None: is not there) or its pin does not hold."""

    def get(self, table_id: str, tag: str) -> TagRecord | None:
        """Return one tag, None where there is none."""

    def list(self, table_id: str | None = None) -> Sequence[TagRecord]:
        """Return the tags of one table, or of all, by table and name."""

    def remove(self, table_id: str, tag: str) -> bool:
        """Remove a tag, not its pin; False where there is none."""


def tag_holder(name: str) -> str:
    """Return who holds the pin of a tag.

    Examples
    --------
    >>> tag_holder("q3-training")
    'tag:q3-training'
    """
    return f"{_HOLDER}{name}"


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of tables.

    Parameters
    ----------
    store : TagStore
        Where the tags are.
    pins : PinStore
        Where their pins are.
    objects : ObjectStore
        Where the manifests are.
    """

    store: TagStore
    pins: PinStore
    objects: ObjectStore

    def tag(self, table: TableReader, version: int, name: str, *, comment: str = "", move: bool = False) -> TagRecord:
        """Give a version a name; from then on it is kept readable.

        Parameters
        ----------
        table : TableReader
            The table.
        version : int
            From 0.
        name : str
            Letters, digits, dots, dashes and underscores, not digits alone.
        comment : str, optional
            What for.
        move : bool, default False
            Take the name from the version that has it.

        Raises
        ------
        InvalidInputError
            If the name is not allowed.
        NotFoundError
            If there is no such version.
        ConflictError
            If another version has the name, or somebody else set the tag at the same moment.
        StorageError
            If files of the version are gone already.
        """
        _check_name(name)
        manifest = table.manifest(version=version)
        before = self.store.get(manifest.table_id, name)
        if before is not None and before.version != version and not move:
            raise ConflictError(
                f"tag {name!r} of {_shown(table)} names version {before.version} already",
                hint="--move gives the name to the other version",
                version=before.version,
            )
        holder, why = tag_holder(name), comment or f"tagged {name}"
        pin = hold(manifest, holder=holder, reason=why, pins=self.pins, objects=self.objects)
        if not self.store.put(
            table_id=pin.table_id,
            tag=name,
            table_uri=pin.table_uri,
            version=version,
            manifest=pin.manifest,
            comment=comment or (before.comment if before is not None and before.version == version else ""),
            created_ms=pin.created_ms,
            replaces=None if before is None else before.version,
        ):
            let_go(pin, pins=self.pins, reason=f"tag {name} was set by somebody else meanwhile")
            raise ConflictError(
                f"tag {name!r} of {_shown(table)} was changed by somebody else meanwhile",
                hint="do it again",
                retry=True,
            )
        self._release(pin.table_id, name, keep=version, reason=f"tag {name} moved to version {version}")
        return self._get(pin.table_id, name)

    def untag(self, table: TableReader, name: str, reason: str) -> int:
        """Take a name away and let its version go, unless others hold it too; return the version.

        Parameters
        ----------
        table : TableReader
            The table.
        name : str
            The tag.
        reason : str
            Why; it is remembered, so that a version that is gone can be explained.

        Raises
        ------
        InvalidInputError
            If there is no reason.
        NotFoundError
            If there is no such tag; the nearest is named.

        Notes
        -----
        A tag of a table that is gone, or that was made again, is found by the place where the table was.
        """
        if not reason.strip():
            raise InvalidInputError(f"untagging {name!r} needs a reason", hint="--reason TEXT")
        record = self._find_left(table, name) or self._find_pin(table, name) or self._find(table, name)
        self.store.remove(record.table_id, name)
        self._release(record.table_id, name, keep=None, reason=reason)
        return record.version

    def list(self, table: TableReader | None = None) -> Sequence[TagRecord]:
        """Return the tags of a table, or of all tables, by table and name."""
        return self.store.list(None if table is None else _table_id(table))

    def version(self, table: TableReader, name: str) -> int:
        """Return the version that a tag names.

        Raises
        ------
        NotFoundError
            If the table has no such tag; the nearest is named.
        ConflictError
            If the table is a copy of the tagged one, and that version has other rows in it.
        """
        record = self._find(table, name)
        if record.table_uri != table.uri:
            self._check_copy(table, record)
        return record.version

    def _release(self, table_id: str, name: str, *, keep: int | None, reason: str) -> None:
        """Let go of the pins of a tag on all versions but one; the store keeps the one that the tag names."""
        holder = tag_holder(name)
        for pin in self.pins.list():
            if pin.holder == holder and pin.table_id == table_id and pin.version != keep:
                let_go(pin, pins=self.pins, reason=reason)

    def _get(self, table_id: str, name: str) -> TagRecord:
        found = self.store.get(table_id, name)
        if found is None:
            raise ConflictError(f"tag {name!r} was removed by somebody else meanwhile", hint="do it again", retry=True)
        return found

    def _find(self, table: TableReader, name: str) -> TagRecord:
        table_id = _table_id(table)
        found = self.store.get(table_id, name)
        if found is None:
            raise self._no_tag(table, table_id, name)
        return found

    def _find_left(self, table: TableReader, name: str) -> TagRecord | None:
        """Return a tag that was left at a place: there is no table any more, or another one without such a tag."""
        now = _table_id(table) if table.exists() else None
        if now is not None and self.store.get(now, name) is not None:
            return None
        left = [record for record in self.store.list() if record.tag == name and record.table_uri == table.uri]
        return max(left, key=lambda record: record.created_ms, default=None)

    def _find_pin(self, table: TableReader, name: str) -> PinRecord | None:
        """Return the pin that is left of a tag which was taken away by somebody who came no further."""
        if not table.exists() or self.store.get(_table_id(table), name) is not None:
            return None
        this = (_table_id(table), tag_holder(name))
        return next((pin for pin in self.pins.list() if (pin.table_id, pin.holder) == this), None)

    def _no_tag(self, table: TableReader, table_id: str, name: str) -> NotFoundError:
        names = [record.tag for record in self.store.list(table_id)]
        close = nearest(name, names)
        message = f"no tag {name!r} on {_shown(table)}"
        if close:
            return NotFoundError(f"{message}, did you mean {close!r}?", hint=f"its tags are {', '.join(names)}")
        if any(record.tag == name and record.table_uri == table.uri for record in self.store.list()):
            return NotFoundError(
                f"{message}: the table that was there before had one, and was made again since",
                hint=f"lakemark tables pins {table.uri} says what is left of it",
            )
        hint = f"its tags are {', '.join(names)}" if names else f"lakemark tables tag {_shown(table)} {name} sets it"
        return NotFoundError(message, hint=hint)

    def _check_copy(self, table: TableReader, record: TagRecord) -> None:
        """Make sure that a table elsewhere with the same id, moved or copied, has the tagged version."""
        try:
            tagged = parse(self.objects.get(record.manifest)).log_identity
        except LakemarkError as error:
            raise StorageError(f"the manifest of tag {record.tag!r} cannot be read: {error.message}") from error
        if table.manifest(version=record.version).log_identity != tagged:
            raise ConflictError(
                f"tag {record.tag!r} is of {record.table_uri}; version {record.version} of {_shown(table)}, a copy of "
                "it, has other files",
                hint=f"lakemark tables read {record.table_uri}@{record.tag}",
            )


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name.isdigit():
        raise InvalidInputError(
            f"{name!r} cannot name a version: a tag has letters, digits and . _ -, not digits alone, at most 200, "
            "and begins with a letter, a digit or _",
            hint="for example q3-training",
        )


def _table_id(table: TableReader) -> str:
    return str(table.open().metadata().id)


def _shown(table: TableReader) -> str:
    return table.name or table.uri
