"""Readers and writers of pandas, pyarrow and polars: the files behind a frame, and the content that was delivered."""

from __future__ import annotations

import functools
import glob
import importlib
import inspect
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Protocol, TypeVar, cast

from lakemark.recorder import imports
from lakemark.recorder.files import Files
from lakemark.recorder.recording import Recording
from lakemark.recorder.redirects import World, is_glob, local_path

__all__ = ["Frames", "called_by"]

F = TypeVar("F", bound=Callable[..., object])

_FRAME_LIMIT = 512 << 20
_FEW_CELLS = 1 << 16
_LIBRARIES = frozenset({"deltalake", "pandas", "polars", "pyarrow"})
_CALLERS = _LIBRARIES | {"lakemark"}  # what these read themselves is part of a table, or of a frame
_FRAMES = frozenset({"DataFrame", "Table"})

# module -> readers; the first parameter of each names what is read
_READERS = {
    "pandas": (
        "read_csv read_excel read_feather read_fwf read_json read_orc read_parquet read_pickle read_sas read_stata "
        "read_table read_xml"
    ),
    "pyarrow.csv": "open_csv read_csv",
    "pyarrow.dataset": "dataset",
    "pyarrow.feather": "read_feather read_table",
    "pyarrow.json": "read_json",
    "pyarrow.orc": "read_table",
    "pyarrow.parquet": "read_pandas read_schema read_table",
    "polars": (
        "read_avro read_csv read_excel read_ipc read_ipc_stream read_json read_ndjson read_parquet scan_csv scan_ipc "
        "scan_ndjson scan_parquet"
    ),
}
_READER_CLASSES = {"pyarrow.parquet": "ParquetDataset ParquetFile"}

# module -> class or "" -> writers; the second parameter of each names what is written
_WRITERS = {
    "pandas": {"DataFrame": "to_feather to_hdf to_orc to_parquet"},
    "pyarrow.csv": {"": "write_csv"},
    "pyarrow.feather": {"": "write_feather"},
    "pyarrow.orc": {"": "write_table"},
    "pyarrow.parquet": {"": "write_table write_to_dataset write_metadata", "ParquetWriter": "__init__"},
    "polars": {
        "DataFrame": (
            "write_avro write_csv write_excel write_ipc write_ipc_stream write_json write_ndjson write_parquet"
        ),
        "LazyFrame": "sink_csv sink_ipc sink_ndjson sink_parquet",
    },
}


class _Fingerprint(Protocol):
    algorithm: str
    rows: int
    ordered: str
    unordered: str


class Frames:
    """What readers hand to the script.

    Parameters
    ----------
    recording : Recording
        Takes the events.
    world : World
        Says where files are in a replay.
    files : Files
        Takes what is read and written.
    """

    def __init__(self, recording: Recording, world: World, files: Files) -> None:
        self._recording = recording
        self._world = world
        self._files = files
        self._delivered: set[tuple[object, ...]] = set()
        self._lock = threading.Lock()

    def install(self) -> None:
        """Patch the readers and writers of each library when it is imported."""
        for name in {*_READERS, *_READER_CLASSES, *_WRITERS}:
            imports.after_import(name, self._patch)

    def deliver(self, frame: object, *, source: str, version: int | None, via: str) -> None:
        """Write down the content hash of a frame that a reader returns; what is no frame is left alone."""
        if type(frame).__name__ not in _FRAMES or type(frame).__module__.partition(".")[0] not in _LIBRARIES:
            return
        with self._recording.quiet():
            try:
                self._write(frame, source=source, version=version, via=via)
            except Exception as error:  # noqa: BLE001 - the edge of the hook: the script has its frame and goes on
                self._recording.missing("data", f"no content hash of {source} ({via}): {type(error).__name__}: {error}")

    def _write(self, frame: object, *, source: str, version: int | None, via: str) -> None:
        size = _size(frame)
        if size > _FRAME_LIMIT:
            self._recording.missing("data", f"no content hash of {source} ({via}): the frame is large ({size} bytes)")
            return
        module = importlib.import_module("lakemark.tables.fingerprint")
        found = cast("_Fingerprint", module.fingerprint_frame(frame))
        columns = [str(name) for name in _columns(frame)]
        key = (source, version, found.ordered, *columns)
        with self._lock:
            if key in self._delivered:
                return
            self._delivered.add(key)
        self._recording.spool.write(
            "delivered",
            source=source,
            version=version,
            rows=found.rows,
            columns=columns,
            algorithm=found.algorithm,
            ordered=found.ordered,
            unordered=found.unordered,
            via=via,
        )

    def _patch(self, module: ModuleType) -> None:
        name = module.__name__
        for reader in _READERS.get(name, "").split():
            imports.patch_function(
                module, reader, functools.partial(self._wrap_reader, via=f"{name}.{reader}", place=0)
            )
        for reader in _READER_CLASSES.get(name, "").split():
            wrap = functools.partial(self._wrap_reader, via=f"{name}.{reader}", place=1)
            imports.patch_function(getattr(module, reader), "__init__", wrap)
        for owner, writers in _WRITERS.get(name, {}).items():
            for writer in writers.split():
                imports.patch_function(getattr(module, owner) if owner else module, writer, self._wrap_writer)

    def _wrap_reader(self, original: F, *, via: str, place: int) -> F:
        parameter = list(inspect.signature(original).parameters)[place]

        def read(*args: object, **kwargs: object) -> object:
            if self._recording.is_ours() or called_by(_CALLERS):
                return original(*args, **kwargs)
            given = args[place] if len(args) > place else kwargs.get(parameter)
            with self._recording.quiet():
                source, mapped = self._see(given, via=via, local=_is_local(kwargs.get("filesystem")))
            if mapped is not given:
                args, kwargs = _replaced(args, kwargs, place=place, parameter=parameter, value=mapped)
            result = original(*args, **kwargs)
            if source is not None:
                self.deliver(result, source=source, version=None, via=via)
            return result

        return cast("F", read)

    def _wrap_writer(self, original: F) -> F:
        parameter = list(inspect.signature(original).parameters)[1]

        def write(*args: object, **kwargs: object) -> object:
            if self._recording.is_ours() or called_by(_CALLERS):
                return original(*args, **kwargs)
            given = args[1] if len(args) > 1 else kwargs.get(parameter)
            with self._recording.quiet():
                mapped = self._map_written(given)
            if mapped is not given:
                args, kwargs = _replaced(args, kwargs, place=1, parameter=parameter, value=mapped)
            return original(*args, **kwargs)

        return cast("F", write)

    def _map_written(self, given: object) -> object:
        path = local_path(given) if isinstance(given, str | os.PathLike) else None
        if path is None:
            return given
        place = self._world.to_write(path)
        self._files.wrote(place)
        return given if place == path else place

    def _see(self, given: object, *, via: str, local: bool) -> tuple[str | None, object]:
        """Write down the files behind a reader's argument; return their common name, and the argument to read with."""
        try:
            if isinstance(given, list | tuple) and given and all(isinstance(one, str | os.PathLike) for one in given):
                pairs = [self._see_one(one, via=via, local=local) for one in given]
                names = [name for name, _ in pairs if name is not None]
                same = all(mapped is one for (_, mapped), one in zip(pairs, given, strict=True))
                common = os.path.commonpath(names) if len(names) == len(given) else None
                return common, given if same else type(given)([mapped for _, mapped in pairs])
            if isinstance(given, str | os.PathLike):
                return self._see_one(given, via=via, local=local)
            name = getattr(given, "name", None)
            return self._world.name(name) if isinstance(name, str) else None, given
        except Exception as error:  # noqa: BLE001 - the edge of the hook: the reader itself must go on
            self._recording.missing("data", f"{via} was not seen: {type(error).__name__}: {error}")
            return None, given

    def _see_one(self, given: str | os.PathLike[str], *, via: str, local: bool) -> tuple[str | None, object]:
        path = local_path(given) if local else None
        if path is None:
            self._recording.missing("data", f"{via} read a file that is not local: {_without_secrets(given)}")
            return None, given
        path = os.path.expanduser(path)  # noqa: PTH111 - text in, text out
        place = self._world.to_read(path)
        if os.path.isdir(place):  # noqa: PTH112 - text in, text out
            place = self._world.to_list(path)
        for file in _files_of(place):
            self._files.read(file, via=via)
        return self._world.name(path), given if place == path else place


def called_by(libraries: frozenset[str]) -> bool:
    """Return True where the function that asks was called from inside of one of `libraries`, so not by the script."""
    caller = sys._getframe(2).f_globals.get("__name__")  # frame 1 is the wrapper that asks
    return isinstance(caller, str) and caller.partition(".")[0] in libraries


def _files_of(place: str) -> Iterator[str]:
    """Yield the files that a path, a folder or a pattern names, in the order of their names."""
    if os.path.isfile(place):  # noqa: PTH113 - text in, text out
        yield place
    elif os.path.isdir(place):  # noqa: PTH112 - text in, text out
        for folder, folders, names in os.walk(place):
            folders.sort()
            yield from (f"{folder}/{name}" for name in sorted(names) if not name.startswith("."))
    elif is_glob(place):
        yield from sorted(file for file in glob.glob(place, recursive=True) if Path(file).is_file())  # noqa: PTH207 - absolute patterns


def _replaced(
    args: tuple[object, ...], kwargs: dict[str, object], *, place: int, parameter: str, value: object
) -> tuple[tuple[object, ...], dict[str, object]]:
    """Return the arguments of a call with one of them replaced."""
    if len(args) > place:
        return (*args[:place], value, *args[place + 1 :]), kwargs
    return args, kwargs | {parameter: value}


def _is_local(filesystem: object) -> bool:
    return filesystem is None or type(filesystem).__name__ == "LocalFileSystem"


def _without_secrets(source: str | os.PathLike[str]) -> str:
    """Return a URI without its user and its query, which may hold a token."""
    text = os.fspath(source).partition("?")[0]
    scheme, separator, rest = text.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _columns(frame: object) -> Iterable[object]:
    names = getattr(frame, "column_names", None)  # pyarrow
    return cast("Iterable[object]", getattr(frame, "columns", ()) if names is None else names)


def _size(frame: object) -> int:
    """Return about how many bytes a frame holds, without looking into its strings."""
    rows, columns = cast("tuple[int, int]", getattr(frame, "shape", (_FEW_CELLS, 1)))
    if rows * columns < _FEW_CELLS:  # pandas takes longer to answer than their hash does
        return rows * columns * 8
    if hasattr(frame, "memory_usage"):  # pandas
        return int(cast("int", frame.memory_usage(index=True, deep=False).sum()))
    estimate = getattr(frame, "estimated_size", None)  # polars
    return int(cast("int", estimate() if callable(estimate) else getattr(frame, "nbytes", 0)))
