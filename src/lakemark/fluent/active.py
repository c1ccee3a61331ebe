"""An active run: what it takes down, and how it ends."""

from __future__ import annotations

import hashlib
import importlib
import io
import os
import posixpath
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self, cast

from lakemark._base.canonical import Json, canonical
from lakemark._base.clock import now_ms
from lakemark._base.errors import ConflictError, InvalidInputError, NotFoundError
from lakemark._base.ids import short
from lakemark.config.home import Home
from lakemark.fluent import limits
from lakemark.storage.objects import ObjectStore
from lakemark.tracking.spool import Spool, read_events

__all__ = ["ActiveRun", "RunInfo"]

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What names a run.

    Parameters
    ----------
    run_id : str
        32 hexadecimal digits.
    run_name : str or None
        What people call it.
    experiment : str
        Where it is listed.
    parent_run_id : str or None
        The run around it.
    start_time : int
        Milliseconds since 1970-01-01 UTC.
    """

    run_id: str
    run_name: str | None
    experiment: str
    parent_run_id: str | None
    start_time: int


class _Described(Protocol):
    """A model by content; `lakemark.models.kept.DescribedModel`."""

    @property
    def fields(self) -> Mapping[str, Json]: ...

    @property
    def lacking(self) -> str | None: ...


class _KeptModule(Protocol):
    """What `lakemark.models.kept` offers."""

    def describe(self, model: object, *, name: str, how: str, objects: ObjectStore, limit: int) -> _Described: ...


class ActiveRun:
    """A run that takes things down until it ends. Safe for threads, and usable in forked children.

    Used in a `with` statement it ends with the block: FINISHED, or FAILED with the exception that left it. Made by
    `lakemark.start_run`.

    Parameters
    ----------
    info : RunInfo
        What names it.
    folder : Path
        Its spool folder.
    end : callable
        `end(run, status, error)` ends it; called by the `with` statement.
    store_limit : int
        Bytes up to which a model's pickle is kept.
    """

    def __init__(
        self,
        info: RunInfo,
        folder: Path,
        *,
        end: Callable[[ActiveRun, str, BaseException | None], None],
        store_limit: int,
    ) -> None:
        self.info = info
        self.folder = folder
        self.owner = os.getpid()
        self._end = end
        self._store_limit = store_limit
        self._lock = threading.Lock()
        self._spool: Spool | None = Spool(folder)
        self._declared = _declared_params(folder)

    @property
    def run_id(self) -> str:
        """The run's id, 32 hexadecimal digits."""
        return self.info.run_id

    @property
    def home(self) -> Home:
        """The home that it is kept in."""
        return Home(self.folder.parent.parent)

    def log_params(self, params: Mapping[str, object]) -> None:
        """Take down params; all are checked before the first is written.

        Raises
        ------
        InvalidInputError
            If a name or value is not allowed.
        ConflictError
            If a param was logged before with another value: params do not change.
        """
        checked = {limits.key("param", name): limits.param_value(name, value) for name, value in params.items()}
        with self._lock:
            spool = self._open()
            for name, text in checked.items():
                before = self._declared.get(name, text)
                if before != text:
                    raise ConflictError(
                        f"param {name!r} of run {short(self.run_id)} is {before!r} and cannot become {text!r}: "
                        "params do not change",
                        hint="log a value that changes with lakemark.log_metric or lakemark.set_tag",
                    )
            for name, text in checked.items():
                if name not in self._declared:
                    spool.write("param", key=name, value=text, how="declared")
                    self._declared[name] = text

    def log_metrics(self, metrics: Mapping[str, object], *, step: int | None = None) -> None:
        """Take down a point of each metric, all at one time; all are checked before the first is written."""
        checked = {limits.key("metric", name): limits.metric_value(name, value) for name, value in metrics.items()}
        at, place = now_ms(), limits.metric_step(next(iter(checked), ""), step)
        with self._lock:
            spool = self._open()
            for name, value in checked.items():
                spool.write("metric", key=name, value=value, step=place, timestamp=at, how="declared")

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags; a later value replaces an earlier one."""
        checked = {limits.key("tag", name): limits.tag_value(name, value) for name, value in tags.items()}
        with self._lock:
            spool = self._open()
            for name, text in checked.items():
                spool.write("tag", key=name, value=text)

    def log_artifact(self, path: str | os.PathLike[str], artifact_path: str | None = None) -> None:
        """Keep a copy of a file, or of all files of a folder, below `artifact_path`.

        Raises
        ------
        NotFoundError
            If there is no such file or folder.
        """
        source = Path(path)
        if not source.exists():
            raise NotFoundError(f"no file {source} to keep as an artifact of run {short(self.run_id)}")
        below = limits.artifact_path(artifact_path) if artifact_path else ""
        for file, relative in _files(source):
            name = source.name if source.is_file() else f"{source.name}/{relative}"
            with file.open("rb") as reader:
                self._keep(reader, posixpath.join(below, name))

    def log_artifacts(self, folder: str | os.PathLike[str], artifact_path: str | None = None) -> None:
        """Keep a copy of all files in a folder, below `artifact_path`.

        Raises
        ------
        NotFoundError
            If there is no such folder.
        """
        source = Path(folder)
        if not source.is_dir():
            raise NotFoundError(f"no folder {source} to keep as artifacts of run {short(self.run_id)}")
        below = limits.artifact_path(artifact_path) if artifact_path else ""
        for file, relative in _files(source):
            with file.open("rb") as reader:
                self._keep(reader, posixpath.join(below, relative))

    def log_model(self, model: object, name: str = "model") -> str:
        """Keep a fitted model as the artifacts `name/model.pkl` and `name/model.json`, and return its fingerprint.

        Notes
        -----
        A model whose pickle cannot be made, or is larger than the setting `store_limit`, is written down by its
        fingerprint alone.
        """
        limits.artifact_path(limits.key("model", name))
        # by name: it needs NumPy, which a script that logs no model need not have
        module = cast("_KeptModule", importlib.import_module("lakemark.models.kept"))
        objects = ObjectStore(self.home.objects)
        described = module.describe(model, name=name, how="declared", objects=objects, limit=self._store_limit)
        spool = self.spool()
        spool.write("model", **described.fields)
        blob = described.fields.get("blob")
        if isinstance(blob, str):
            with objects.path(blob).open("rb") as source:
                self._keep(source, f"{name}/model.pkl")
        else:
            spool.write("missing", fact=f"pickle of {name}", why=described.lacking or "unknown")
        self._keep(io.BytesIO(canonical({"format": "lakemark.model/1", **described.fields})), f"{name}/model.json")
        return str(described.fields["fingerprint"])

    def describe(self, *, name: str | None, experiment: str | None) -> None:
        """Say what the script calls this run and where it belongs; None says nothing."""
        if name is not None or experiment is not None:
            with self._lock:
                self._open().write("described", name=name, experiment=experiment)

    def spool(self) -> Spool:
        """Return the open spool.

        Raises
        ------
        ConflictError
            If the run has ended.
        """
        with self._lock:
            return self._open()

    def close(self) -> None:
        """Take nothing down any more."""
        with self._lock:
            spool, self._spool = self._spool, None
            if spool is not None:
                spool.close()

    def after_fork(self) -> None:
        """Give a forked child a lock that nobody holds and a spool of its own."""
        self._lock = threading.Lock()
        if self._spool is not None:
            self._spool = Spool(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        well = error is None or (isinstance(error, SystemExit) and error.code in (None, 0))
        self._end(self, "FINISHED" if well else "FAILED", None if well else error)

    def _open(self) -> Spool:
        if self._spool is None:
            raise ConflictError(
                f"run {short(self.run_id)} has ended, nothing can be added to it",
                hint="lakemark.start_run() starts another",
            )
        return self._spool

    def _keep(self, source: BinaryIO, relative: str) -> None:
        """Copy one file; it appears under its name when it is whole."""
        target = self.folder / "artifacts" / limits.artifact_path(relative)
        with self._lock:
            spool = self._open()
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                incoming = target.with_name(f".incoming-{os.getpid()}-{target.name}"[:200])
                digest, size = _copy(source, incoming)
                incoming.replace(target)
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                raise InvalidInputError(
                    f"artifact {relative!r} of run {short(self.run_id)} is a file and a folder at once"
                ) from None
            spool.write("artifact", path=relative, sha256=digest, size=size)


def _declared_params(folder: Path) -> dict[str, str]:
    return {
        str(event["key"]): str(event["value"])
        for _, event in read_events(folder)
        if event["event"] == "param" and event["how"] == "declared"
    }


def _files(source: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file of a folder, or the one file, with its path below it."""
    if source.is_file():
        yield source, source.name
        return
    for folder, names, files in os.walk(source):
        names.sort()
        for name in sorted(files):
            file = Path(folder) / name
            yield file, file.relative_to(source).as_posix()


def _copy(source: BinaryIO, target: Path) -> tuple[str, int]:
    sha, size = hashlib.sha256(), 0
    with target.open("wb") as writer:
        while piece := source.read(_PIECE):
            sha.update(piece)
            size += writer.write(piece)
    return sha.hexdigest(), size
