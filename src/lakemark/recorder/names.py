"""Names of tables, and splits: what a script asked the catalog for, and which rows it trained and tested on.

A name or a tag may mean another table or version tomorrow, so what it meant is written down, and a replay is answered
with it: without the catalog, and without the database that holds it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from datetime import datetime
from types import ModuleType
from typing import Protocol, TypeAlias, TypeVar, cast

from lakemark._base.canonical import Json
from lakemark._base.clock import now_ms, rfc3339
from lakemark._base.errors import LakemarkError
from lakemark.recorder import imports
from lakemark.recorder.plan import NamedTable
from lakemark.recorder.recording import Recording
from lakemark.recorder.redirects import World

__all__ = ["Names"]

F = TypeVar("F", bound=Callable[..., object])
_Key: TypeAlias = tuple[str, str, str]


class _Table(Protocol):
    """What is used of a `lakemark.tables.table.Table`."""

    @property
    def uri(self) -> str: ...

    @property
    def at(self) -> int | None: ...

    @property
    def name(self) -> str | None: ...


class _TableModule(Protocol):
    def Table(self, uri: str, *, at: int | None, name: str | None) -> _Table: ...  # noqa: N802 -- a class


class _Record(Protocol):
    """What is used of a row of the catalog."""

    @property
    def catalog(self) -> str: ...

    @property
    def schema(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def uri(self) -> str: ...


class _CatalogStore(Protocol):
    def get(self, name: _Key) -> object: ...

    def add(self, name: _Key, *, uri: str, table_id: str, managed: bool, comment: str, created_ms: int) -> object: ...


class _Catalog(Protocol):
    """What is used of a `lakemark.tables.naming.catalog.Catalog`."""

    @property
    def store(self) -> _CatalogStore: ...

    @property
    def warehouse(self) -> str: ...


class _NamesModule(Protocol):
    def parse_name(self, text: str) -> _Key: ...

    def dotted(self, name: _Key) -> str: ...


class _TimesModule(Protocol):
    def milliseconds(self, timestamp: datetime | str) -> int: ...


class _Splits(Protocol):
    def to_document(self) -> dict[str, Json]: ...


class Names:
    """What `lakemark.table`, `lakemark.sql` and `lakemark.stream` resolve, and what `lakemark.split` makes.

    Parameters
    ----------
    recording : Recording
        Takes the events.
    world : World
        Says what a table is called in the original world, and which of its versions a replay has.
    """

    def __init__(self, recording: Recording, world: World) -> None:
        self._recording = recording
        self._world = world
        redirect = recording.plan.redirect
        self._known = {} if redirect is None else {named.text: named for named in redirect.names}
        self._said: set[str] = set()

    def install(self) -> None:
        """Patch the functions that people type when they are imported."""
        imports.after_import("lakemark.fluent.lake", self._patch_tables)
        imports.after_import("lakemark.tables.naming.catalog", self._patch_catalog)
        imports.after_import("lakemark.tables.reading", self._patch_times)
        imports.after_import("lakemark.fluent.splits", self._patch_splits)

    def _patch_tables(self, module: ModuleType) -> None:
        imports.patch_function(module, "resolve_table", self._wrap_resolve)
        imports.patch_function(module, "catalog", self._wrap_open)

    def _patch_catalog(self, module: ModuleType) -> None:
        imports.patch_function(module.Catalog, "resolve", self._wrap_catalog)
        imports.patch_function(module.Catalog, "record", self._wrap_record)

    def _patch_times(self, module: ModuleType) -> None:
        imports.patch_function(module.TableReader, "version_at", self._wrap_version_at)

    def _patch_splits(self, module: ModuleType) -> None:
        imports.patch_function(module, "split", self._wrap_split)

    def _wrap_open(self, original: F) -> F:
        def catalog() -> object:
            with self._recording.instrumenting():
                return original()

        return cast("F", catalog)

    def _wrap_resolve(self, original: F) -> F:
        def resolve_table(text: str) -> object:
            return self._resolve(text, lambda: original(text))

        return cast("F", resolve_table)

    def _wrap_catalog(self, original: F) -> F:
        def resolve(catalog: object, text: str) -> object:
            return self._resolve(text, lambda: original(catalog, text))

        return cast("F", resolve)

    def _wrap_record(self, original: F) -> F:
        """Let a replay's own catalog know the name that the script renames or drops."""

        def record(catalog: _Catalog, name: str) -> object:
            if self._recording.is_ours():
                return original(catalog, name)
            known = self._known.get(name)
            if known is not None and known.name is not None:
                self._remember(catalog, known)
            found = cast("_Record", original(catalog, name))
            self._say(NamedTable(name, self._name_of(found.uri), None, _dotted(found)))
            return found

        return cast("F", record)

    def _remember(self, catalog: _Catalog, known: NamedTable) -> None:
        with self._recording.quiet():
            names = cast("_NamesModule", _of_tables("naming.names"))
            key = names.parse_name(known.name or "")
            if catalog.store.get(key) is None:
                catalog.store.add(
                    key,
                    uri=known.uri,
                    table_id=self._world.table_id(known.uri),
                    managed=known.uri.startswith(f"{catalog.warehouse}/"),
                    comment="",
                    created_ms=now_ms(),
                )

    def _name_of(self, uri: str) -> str:
        """Return where a table is in the original world."""
        with self._recording.quiet():
            return self._world.table_name(uri)

    def _resolve(self, text: str, ask: Callable[[], object]) -> object:
        """Return the table that a name meant in the original run, or ask the catalog."""
        if self._recording.is_ours():
            return ask()
        known = self._known.get(text)
        if known is not None:
            tables = cast("_TableModule", _of_tables("table"))
            table = tables.Table(known.uri, at=known.at, name=known.name)
        else:
            # that the catalog looks at a table is no read of the script's
            with self._recording.quiet(), self._recording.instrumenting():
                table = cast("_Table", ask())
        self._write(text, table)
        return table

    def _wrap_version_at(self, original: F) -> F:
        def version_at(table: _Table, timestamp: datetime | str) -> object:
            if self._recording.is_ours():
                return original(table, timestamp)
            times = cast("_TimesModule", _of_tables("log.timestamps"))
            uri = self._name_of(table.uri)
            text = f"{uri}@{rfc3339(times.milliseconds(timestamp))}"
            known = self._known.get(text)
            found = self._version_at(uri, lambda: original(table, timestamp)) if known is None else known.at
            self._say(NamedTable(text, uri, found, table.name))
            return found

        return cast("F", version_at)

    def _version_at(self, uri: str, ask: Callable[[], object]) -> int:
        """Return the version of a time that the original run did not ask for, or that of a recorded run."""
        if self._world.active and self._world.table(uri, None).kind == "written":
            return cast("int", ask())
        with self._recording.quiet():  # looking up the time is no read of the latest version
            try:
                found = cast("int | None", ask())
            except LakemarkError:
                if self._world.nearest_pin(uri, None) is None:
                    raise
                found = None
            nearest = self._world.nearest_pin(uri, found)
        return cast("int", found) if nearest is None else nearest

    def _write(self, text: str, table: _Table) -> None:
        """Write down what a name or a tag meant; a path with or without a number means itself."""
        is_tagged = table.at is not None and not text.endswith(f"@{table.at}")
        if table.name is not None or is_tagged:
            self._say(NamedTable(text, self._name_of(table.uri), table.at, table.name))

    def _say(self, named: NamedTable) -> None:
        if named.text not in self._said:
            self._said.add(named.text)
            self._recording.spool.write(
                "named_table", text=named.text, uri=named.uri, version=named.at, name=named.name, how="observed"
            )

    def _wrap_split(self, original: F) -> F:
        def split(*args: object, **kwargs: object) -> object:
            made = original(*args, **kwargs)
            with self._recording.quiet():
                self._recording.spool.write("split", **cast("_Splits", made).to_document())
            return made

        return cast("F", split)


def _dotted(found: _Record) -> str:
    names = cast("_NamesModule", _of_tables("naming.names"))
    return names.dotted((found.catalog, found.schema, found.name))


def _of_tables(name: str) -> ModuleType:
    """Return a module that is loaded by now, or with the next line that the script runs."""
    return importlib.import_module(f"lakemark.tables.{name}")
