"""Delta tables: which version was opened, what was read of it, what was written; and in a replay, the pinned answer."""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Protocol, TypeVar, cast
from urllib.parse import quote

from lakemark._base.errors import LakemarkError
from lakemark.recorder import imports
from lakemark.recorder.files import Files
from lakemark.recorder.frames import Frames, called_by
from lakemark.recorder.recording import Recording
from lakemark.recorder.redirects import TableAnswer, World, local_path
from lakemark.tables.log.manifest import DeltaTableLike, observe

__all__ = ["Deltas"]

F = TypeVar("F", bound=Callable[..., object])
Call = Callable[..., object]

_ANSWER = "_lakemark_answer"
_HANDLE = "_lakemark_handle"
_LIBRARIES = frozenset({"deltalake", "pandas", "polars", "pyarrow"})
_OURS = frozenset({"lakemark"})
_CHANGES = {
    "DeltaTable": (
        "cleanup_metadata compact_logs create_checkpoint create_write_transaction delete generate merge repair restore "
        "update vacuum"
    ),
    "TableOptimizer": "compact z_order",
    "TableMerger": "execute",
    "TableAlterer": (
        "add_columns add_constraint add_feature drop_column_not_null drop_constraint set_column_metadata "
        "set_table_description set_table_name set_table_properties"
    ),
}


class _Handle(Protocol):
    """What is used of a `deltalake.DeltaTable`."""

    _storage_options: dict[str, str] | None

    @property
    def table_uri(self) -> str: ...

    def version(self) -> int: ...

    def metadata(self) -> _Metadata: ...


class _Located(Protocol):
    """What is used of a `lakemark.tables.reading.TableReader`."""

    @property
    def uri(self) -> str: ...


class _Metadata(Protocol):
    @property
    def id(self) -> object: ...


@dataclasses.dataclass(slots=True, eq=False)
class _Asking:
    """A reader of polars that is under way; polars opens the table in a thread of its own."""

    uri: str
    requested: object
    via: str
    answer: TableAnswer | None = None

    def meets(self, answer: TableAnswer) -> bool:
        is_number = self.requested is None or hasattr(self.requested, "__index__")
        return self.uri == answer.uri and (not is_number or self.requested == answer.requested)


class Deltas:
    """What the script reads and writes through `deltalake`, which `polars` reads through as well.

    Parameters
    ----------
    recording : Recording
        Takes the events.
    world : World
        Says which version a replay answers with, and where it writes.
    files : Files
        Looks away below the folders of tables.
    frames : Frames
        Takes what readers deliver.
    """

    def __init__(self, recording: Recording, world: World, *, files: Files, frames: Frames) -> None:
        self._recording = recording
        self._world = world
        self._files = files
        self._frames = frames
        self._local = threading.local()
        self._lock = threading.Lock()
        self._asking: list[_Asking] = []
        self._seen: set[tuple[str, int | None, int]] = set()
        self._first_written: dict[str, int] = {}

    def install(self) -> None:
        """Patch `deltalake` and polars' Delta readers when they are imported."""
        imports.after_import("deltalake.table", self._patch_table)
        for name in ("deltalake.writer.writer", "deltalake.writer.convert_to", "deltalake.writer", "deltalake"):
            imports.after_import(name, self._patch_writers)
        imports.after_import("polars", self._patch_polars)
        imports.after_import("lakemark.tables.reading", self._patch_reading)
        imports.after_import("lakemark.tables.pinning.clones", self._patch_clones)

    def _patch_table(self, module: ModuleType) -> None:
        table = module.DeltaTable
        originals = {name: vars(table)[name] for name in ("__init__", "load_as_version")}
        imports.patch_function(table, "__init__", self._wrap_open)
        imports.patch_function(table, "load_as_version", functools.partial(self._wrap_travel, **originals))
        imports.patch_function(table, "update_incremental", functools.partial(self._wrap_update, **originals))
        imports.patch_function(table, "create", self._wrap_create)
        for reader in ("to_pandas", "to_pyarrow_table"):
            imports.patch_function(table, reader, functools.partial(self._wrap_reader, name=reader))
        for owner, names in _CHANGES.items():
            for name in names.split():
                imports.patch_function(getattr(module, owner), name, functools.partial(self._wrap_change, name=name))
        if self._world.active:
            imports.patch_function(table, "is_deltatable", self._wrap_exists)

    def _patch_writers(self, module: ModuleType) -> None:
        imports.patch_function(module, "write_deltalake", self._wrap_writer)
        imports.patch_function(module, "convert_to_deltalake", self._wrap_convert)

    def _patch_reading(self, module: ModuleType) -> None:
        for reader in ("read", "to_pandas"):
            imports.patch_function(module.TableReader, reader, functools.partial(self._wrap_own_reader, name=reader))
        imports.patch_function(module.TableReader, "newest", self._wrap_newest)
        if self._world.active:
            imports.patch_function(module.TableReader, "has_commit", self._wrap_has_commit)

    def _patch_clones(self, module: ModuleType) -> None:
        for name in ("clone", "clone_pinned"):
            imports.patch_function(module, name, self._wrap_clone)

    def _patch_polars(self, module: ModuleType) -> None:
        for name in ("read_delta", "scan_delta"):
            imports.patch_function(module, name, functools.partial(self._wrap_polars, name=name))

    # opening

    def _wrap_open(self, original: F) -> F:
        def open_table(
            handle: _Handle, table_uri: str, version: object = None, *args: object, **kwargs: object
        ) -> None:
            if self._recording.is_ours() or (version is not None and not hasattr(version, "__index__")):
                original(handle, table_uri, version, *args, **kwargs)
                return
            with self._recording.quiet():
                target = self._is_target(table_uri)
                answer = None if target else self._world.table(table_uri, _number(version))
            if answer is None:
                place = self._world.table_to_write(table_uri) if self._world.active else table_uri
                original(handle, place, version, *args, **kwargs)
                self._local.handle, self._local.opened = handle, handle.version()
            elif answer.kind == "recorded":
                original(handle, table_uri, version, *args, **kwargs)
                self._observe(handle, answer)
            else:
                original(handle, answer.open_uri, answer.open_version, *args, **kwargs)
                self._observe(handle, answer)

        return cast("F", open_table)

    def _wrap_travel(self, original: F, *, __init__: Call, load_as_version: Call) -> F:
        def travel(handle: _Handle, version: object) -> None:
            before = _answer(handle)
            if self._recording.is_ours() or before is None:
                original(handle, version)
                return
            if before.kind == "recorded":
                original(handle, version)
                with self._recording.quiet():
                    answer = self._world.table(before.uri, handle.version())
                self._observe(handle, answer)
                return
            with self._recording.quiet():
                number = _number(version)
                if number is None:
                    number = self._version_at(handle, version, __init__=__init__, load_as_version=load_as_version)
                answer = self._world.table(before.uri, number)
            __init__(handle, answer.open_uri, answer.open_version, storage_options=handle._storage_options)
            self._observe(handle, answer)

        return cast("F", travel)

    def _wrap_update(self, original: F, *, __init__: Call, load_as_version: Call) -> F:
        del load_as_version

        def update(handle: _Handle) -> None:
            before = _answer(handle)
            if self._recording.is_ours() or before is None:
                original(handle)
                return
            with self._recording.quiet():
                answer = self._world.table(before.uri, None)
            if answer.kind == "recorded":
                original(handle)
            else:
                __init__(handle, answer.open_uri, answer.open_version, storage_options=handle._storage_options)
            self._observe(handle, answer)

        return cast("F", update)

    def _wrap_exists(self, original: F) -> F:
        """In a replay a table is there if the original run read it, or if the replay has made it."""

        def is_deltatable(table_uri: str, *args: object, **kwargs: object) -> object:
            if self._recording.is_ours():
                return original(table_uri, *args, **kwargs)
            with self._recording.quiet():
                answer = self._world.table(table_uri, None)
                pinned = answer.kind == "pinned" or self._world.nearest_pin(answer.uri, None) is not None
            return pinned or (answer.kind == "written" and original(answer.open_uri, *args, **kwargs))

        return cast("F", is_deltatable)

    def _version_at(self, handle: _Handle, moment: object, *, __init__: Call, load_as_version: Call) -> int:
        """Return the version of a time, asked of the table where it was: a rebuilt one has other times."""
        answer = cast("TableAnswer", _answer(handle))
        probe = object.__new__(type(handle))
        try:
            __init__(probe, answer.uri, None, storage_options=handle._storage_options)
            load_as_version(probe, moment)
        except Exception:
            gone = self._world.nearest_pin(answer.uri, None)
            if gone is None:
                raise
            return gone
        found = probe.version()
        nearest = self._world.nearest_pin(answer.uri, found)
        return found if nearest is None else nearest

    def _observe(self, handle: _Handle, answer: TableAnswer) -> None:
        """Write down what was opened, once per version and way of asking."""
        setattr(handle, _ANSWER, answer)
        with self._recording.quiet():
            try:
                self._files.skip_table(local_path(handle.table_uri) or handle.table_uri)
                if answer.kind != "written":
                    self._write_read(handle, answer)
                self._local.answer = _answer(handle)
                self._tell(cast("TableAnswer", _answer(handle)))
            except Exception as error:  # noqa: BLE001 - the edge of the hook: the script has its table and goes on
                self._recording.missing("data", f"table {answer.uri} was not seen: {type(error).__name__}: {error}")

    def _write_read(self, handle: _Handle, answer: TableAnswer) -> None:
        version = handle.version() if answer.version is None else answer.version
        made_here = version >= self._first_written.get(answer.uri, version + 1)
        answer = dataclasses.replace(answer, version=version, kind="written" if made_here else answer.kind)
        setattr(handle, _ANSWER, answer)
        if made_here:
            return  # no input of this run
        with self._lock:
            known = (answer.uri, answer.requested, version) in self._seen
            by_number = answer.requested is not None and (answer.uri, None, version) in self._seen
            self._seen.add((answer.uri, answer.requested, version))
        if known or by_number:
            return
        if answer.kind == "unknown":
            which = "the latest version" if answer.requested is None else f"version {answer.requested}"
            self._recording.missing("data", f"{which} of table {answer.uri} was not read by the original run")
        found = dataclasses.replace(observe(cast("DeltaTableLike", handle)), uri=answer.uri, version=version)
        self._recording.spool.write(
            "read_table",
            uri=answer.uri,
            requested=answer.requested,
            version=version,
            table_id=found.table_id,
            schema_sha256=found.schema_sha256,
            log_identity=found.log_identity,
            rows=found.rows,
            files=found.files,
            bytes=found.bytes,
            manifest=self._recording.objects.put(found.to_json()),
            via=next((asking.via for asking in self._asking if asking.meets(answer)), None) or _via(),
            how="observed",
        )

    # reading

    def _wrap_reader(self, original: F, *, name: str) -> F:
        def read(handle: _Handle, *args: object, **kwargs: object) -> object:
            frame = original(handle, *args, **kwargs)
            answer = _answer(handle)
            if answer is not None and not self._recording.is_ours() and not called_by(_LIBRARIES):
                self._deliver(frame, answer, via=f"deltalake.DeltaTable.{name}")
            return frame

        return cast("F", read)

    def _wrap_own_reader(self, original: F, *, name: str) -> F:
        """Take what `lakemark.table(...)` delivers: it opens one version, in the thread that asks."""

        def read(table: object, *args: object, **kwargs: object) -> object:
            self._local.answer = None
            frame = original(table, *args, **kwargs)
            answer = self._local.answer
            if answer is not None and not self._recording.is_ours() and not called_by(_OURS):
                self._deliver(frame, answer, via=f"lakemark.table.{name}")
            return frame

        return cast("F", read)

    def _wrap_newest(self, original: F) -> F:
        """See no read where our own reader only looks which versions there are."""

        def newest(table: _Located) -> object:
            if self._world.active and self._world.table(table.uri, None).kind == "written":
                return original(table)
            with self._recording.quiet():
                return original(table)

        return cast("F", newest)

    def _wrap_has_commit(self, original: F) -> F:
        """In a replay, a pinned version is there, whatever became of the log where the table was."""

        def has_commit(table: _Located, version: int) -> object:
            with self._recording.quiet():
                pinned = self._world.table(table.uri, version).kind == "pinned"
            return pinned or original(table, version)

        return cast("F", has_commit)

    def _wrap_polars(self, original: F, *, name: str) -> F:
        def read(source: object, *args: object, **kwargs: object) -> object:
            if self._recording.is_ours() or called_by(_LIBRARIES):
                return original(source, *args, **kwargs)
            with self._recording.quiet():
                uri = self._name_of(source)
            given = args[0] if args else kwargs.get("version")
            asking = _Asking(uri, given, f"polars.{name}", _answer(source))
            self._asking.append(asking)
            try:
                frame = original(self._polars_source(source), *args, **kwargs)
            finally:
                self._asking.remove(asking)
            if asking.answer is not None:
                self._deliver(frame, asking.answer, via=asking.via)
            return frame

        return cast("F", read)

    def _name_of(self, source: object) -> str:
        """Return the name of what polars shall read; it may be anything."""
        answer = _answer(source)
        if answer is not None:
            return answer.uri
        return self._world.table_name(source) if isinstance(source, str | os.PathLike) else ""

    def _tell(self, answer: TableAnswer) -> None:
        """Tell the readers that wait for this table what they got."""
        for asking in [asking for asking in self._asking if asking.meets(answer)]:
            asking.answer = answer

    def _polars_source(self, source: object) -> object:
        """Return a source that polars hands on to `deltalake` as it is: it refuses a path that is not there."""
        if not self._world.active or not isinstance(source, str | os.PathLike):
            return source
        name = self._world.name(source)
        return f"file://{quote(name)}" if name.startswith("/") else source

    def _deliver(self, frame: object, answer: TableAnswer, *, via: str) -> None:
        if answer.kind != "written":
            self._frames.deliver(frame, source=answer.uri, version=answer.version, via=via)

    # writing

    def _wrap_writer(self, original: F) -> F:
        def write(table_or_uri: object, *args: object, **kwargs: object) -> object:
            if self._recording.is_ours():
                return original(table_or_uri, *args, **kwargs)
            with self._recording.quiet():
                target, uri = self._target(table_or_uri, appends=kwargs.get("mode") == "append")
                handle = cast("_Handle", target) if _is_table(target) else None
                before = handle.version() if handle is not None else None
            with self._writing(uri):
                result = original(target, *args, **kwargs)
                self._wrote(handle, uri=uri, before=before)
            return result

        return cast("F", write)

    def _wrap_convert(self, original: F) -> F:
        def convert(uri: str, *args: object, **kwargs: object) -> object:
            if self._recording.is_ours():
                return original(uri, *args, **kwargs)
            with self._recording.quiet():
                self._refuse(uri, "convert_to_deltalake")
                name = self._world.table_name(uri)
            with self._writing(name):
                result = original(uri, *args, **kwargs)
                self._wrote(None, uri=name, before=None)
            return result

        return cast("F", convert)

    def _wrap_create(self, original: F) -> F:
        def create(cls: type, table_uri: str, *args: object, **kwargs: object) -> object:
            if self._recording.is_ours():
                return original(cls, table_uri, *args, **kwargs)
            with self._recording.quiet():
                uri = self._world.table_name(table_uri)
                place = self._world.table_to_write(table_uri) if self._world.active else table_uri
            with self._writing(uri):
                handle = cast("_Handle", original(cls, place, *args, **kwargs))
                self._wrote(handle, uri=uri, before=None)
            return handle

        return cast("F", create)

    def _wrap_clone(self, original: F) -> F:
        """See the table that a clone makes: file by file, and not through `deltalake`."""

        def clone(source: object, destination: str | os.PathLike[str], *args: object, **kwargs: object) -> object:
            if self._recording.is_ours():
                return original(source, destination, *args, **kwargs)
            with self._recording.quiet():
                uri = self._world.table_name(destination)
            with self._writing(uri):
                made = original(source, destination, *args, **kwargs)
                self._wrote(None, uri=uri, before=None)
            return made

        return cast("F", clone)

    def _wrap_change(self, original: F, *, name: str) -> F:
        def change(owner: object, *args: object, **kwargs: object) -> object:
            handle = owner if _is_table(owner) else getattr(owner, "table", getattr(owner, _HANDLE, None))
            if self._recording.is_ours() or not _is_table(handle) or (name == "vacuum" and _is_dry(args, kwargs)):
                return original(owner, *args, **kwargs)
            table = cast("_Handle", handle)
            with self._recording.quiet():
                answer = _answer(table)
                uri = answer.uri if answer is not None else self._world.table_name(table.table_uri)
                self._refuse(table.table_uri, name)
                before = table.version()
            result = original(owner, *args, **kwargs)
            if name == "merge":
                setattr(result, _HANDLE, table)
            else:
                self._wrote(table, uri=uri, before=before)
            return result

        return cast("F", change)

    def _target(self, table_or_uri: object, *, appends: bool) -> tuple[object, str]:
        """Return what to write to, and its name in the original world."""
        if _is_table(table_or_uri):
            handle = cast("_Handle", table_or_uri)
            answer = _answer(handle)
            uri = answer.uri if answer is not None else self._world.table_name(handle.table_uri)
            if self._world.is_own(handle.table_uri):
                return handle, uri
        else:
            uri = self._world.table_name(cast("str", table_or_uri))
        if not self._world.active:
            return table_or_uri, uri
        base = self._world.table(uri, None)
        if appends and base.kind != "written" and not self._world.is_own(base.open_uri):
            self._recording.missing("data", f"the replay appended to an empty copy of table {uri}")
        return self._world.table_to_write(uri), uri

    def _refuse(self, place: str, name: str) -> None:
        """Raise where a replay would change a table that is not its own."""
        if not self._world.is_own(place):
            raise LakemarkError(
                f"{name} on table {place}: a replay changes no table that the original run only read",
                hint="let the script write to a table of its own; a run that changes its own input can't be replayed",
            )

    def _wrote(self, handle: _Handle | None, *, uri: str, before: int | None) -> None:
        """Write down the version that a write left behind, unless it left none."""
        with self._recording.quiet():
            try:
                table = handle
                if table is None and (table := self._local.handle) is not None:
                    before = self._local.opened
                table = table or cast("_Handle", sys.modules["deltalake"].DeltaTable(self._world.table_to_write(uri)))
                version = table.version()
                self._files.skip_table(local_path(table.table_uri) or table.table_uri)
                if version != before:
                    self._first_written.setdefault(uri, version)
                    self._world.wrote_table(uri)
                    if (answer := _answer(table)) is not None:  # what is read through this handle was made here
                        setattr(table, _ANSWER, dataclasses.replace(answer, version=version, kind="written"))
                    table_id = str(table.metadata().id)
                    self._recording.spool.write("write_table", uri=uri, version=version, table_id=table_id)
            except Exception as error:  # noqa: BLE001 - the edge of the hook: the script has written and goes on
                self._recording.missing("data", f"a write to {uri} was not seen: {type(error).__name__}: {error}")

    @contextmanager
    def _writing(self, uri: str) -> Iterator[None]:
        """Mark opens of this one table, in this thread, as part of writing it."""
        before = getattr(self._local, "target", None)
        self._local.target, self._local.handle = uri, None
        try:
            yield
        finally:
            self._local.target, self._local.handle = before, None

    def _is_target(self, table_uri: str) -> bool:
        target = getattr(self._local, "target", None)
        return target is not None and self._world.table_name(table_uri) == target


def _answer(handle: object) -> TableAnswer | None:
    answer = getattr(handle, _ANSWER, None)
    return answer if isinstance(answer, TableAnswer) else None


def _number(version: object) -> int | None:
    """Return a version that was asked for by number, also by numpy's; None for the latest and for a time."""
    return int(cast("int", version)) if hasattr(version, "__index__") else None


def _is_table(value: object) -> bool:
    return hasattr(value, "table_uri") and hasattr(value, "_storage_options")


def _is_dry(args: tuple[object, ...], kwargs: dict[str, object]) -> bool:
    """Return True for a vacuum that only lists: `vacuum(retention_hours, dry_run=True)`."""
    return bool(args[1] if len(args) > 1 else kwargs.get("dry_run", True))


def _via() -> str:
    """Return which reader opens a table: the nearest caller that is not `deltalake`, and ours if the script uses it."""
    frame = sys._getframe(2)
    ours = "deltalake.DeltaTable"
    while frame.f_back is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.startswith("lakemark.tables."):
            ours = "lakemark.table"
        elif name.partition(".")[0] not in {"deltalake", "lakemark"}:
            break
        frame = frame.f_back
    return "polars.scan_delta" if frame.f_globals.get("__name__", "").startswith("polars.") else ours
