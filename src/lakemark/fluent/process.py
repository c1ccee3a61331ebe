"""The runs that are active in this process: who starts them, who ends them, whatever way the process ends.

There are two situations. Inside `lakemark run` (or a replay) the variable `LAKEMARK_RUN_FOLDER` names the spool folder
of a run that is there already: the first `start_run` takes it, and the command settles it. In a plain
`python train.py` the first run captures the program from within, and settles itself when it ends. In both, runs below
the first only write their spool, and are settled by the next command.
"""

from __future__ import annotations

import atexit
import dataclasses
import importlib
import os
import resource
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Protocol, cast

from lakemark._base.canonical import Json
from lakemark._base.clock import now_ms
from lakemark._base.errors import ConflictError
from lakemark._base.ids import new_run_id, short
from lakemark._base.writer import RUN_FOLDER_VARIABLE, Writer, write_as
from lakemark.config.home import Home, create_home
from lakemark.config.settings import Settings, read_settings
from lakemark.fluent import limits
from lakemark.fluent.active import ActiveRun, RunInfo
from lakemark.recorder.launch import describe_error
from lakemark.recorder.plan import read_plan
from lakemark.recorder.secrets import redact_argv
from lakemark.tracking.processes import process_start
from lakemark.tracking.spool import EVENTS_NAME, read_events

__all__ = ["ActiveRuns"]


class _Capture(Protocol):
    """A run that captures the program from within; `lakemark.capture.inprocess.InProcessRun`."""

    @property
    def instruments(self) -> frozenset[str]: ...

    def finish(self, status: str, error: Mapping[str, Json] | None) -> object: ...


class _CaptureModule(Protocol):
    """What `lakemark.capture.inprocess` offers."""

    def begin(self, run_folder: Path, home: Home, settings: Settings, *, known: frozenset[str]) -> _Capture: ...


@dataclass(slots=True)
class _Open:
    """A run that has not ended, and what has to be done when it does."""

    run: ActiveRun
    is_given: bool = False
    capture: _Capture | None = None
    wall: float = 0.0
    cpu: float = 0.0


class ActiveRuns:
    """The active runs of one process.

    Notes
    -----
    Each thread has a stack of its own, as in MLflow. A thread without a run logs to the process's first one; a run that
    such a thread starts lies below it. A forked child may log to the runs of its parent but never ends them.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._local = threading.local()
        self._runs: dict[str, _Open] = {}
        self._experiment: str | None = None
        self._given: str | None = None
        self._kind = "run"
        self._instruments: frozenset[str] = frozenset()
        self._settings: Settings | None = None
        self._error: BaseException | None = None
        self._watches_exit = False

    def start(
        self, name: str | None, *, experiment: str | None, nested: bool, tags: Mapping[str, object] | None
    ) -> ActiveRun:
        """Start a run on this thread's stack, or take the one that this process was started for."""
        name = limits.run_name(name)
        experiment = limits.experiment_name(experiment) if experiment is not None else self._experiment
        for key, value in (tags or {}).items():
            limits.tag_value(limits.key("tag", key), value)
        with self._lock:
            stack = self._stack()
            if stack and not nested:
                raise ConflictError(
                    f"run {short(stack[-1].run_id)} is active already",
                    hint="lakemark.end_run() ends it, lakemark.start_run(nested=True) starts another inside it",
                )
            self._watch_exit()
            given = self._take_given(name, experiment)
            run = given or self._create(name, experiment=experiment, parent=self._parent(stack))
            stack.append(run)
        run.set_tags(tags or {})
        return run

    def current(self) -> ActiveRun | None:
        """Return the run that this thread logs to, or None."""
        with self._lock:
            stack = self._stack()
            return stack[-1] if stack else next((entry.run for entry in self._runs.values()), None)

    def current_or_new(self) -> ActiveRun:
        """Return the run that this thread logs to; one is started where there is none."""
        with self._lock:
            return self.current() or self.start(None, experiment=None, nested=False, tags=None)

    def end_current(self, status: str) -> None:
        """End this thread's innermost run; where it has none, do nothing."""
        with self._lock:
            stack = self._stack()
            if stack:
                self.end(stack[-1], status, None)

    def end(self, run: ActiveRun, status: str, error: BaseException | None) -> None:
        """End a run, and before it those that were started inside it and left open."""
        with self._lock:
            while run in (stack := self._stack()) and stack[-1] is not run:
                self.end(stack[-1], status, error)
            if run in stack:
                stack.remove(run)
            if run.owner != os.getpid():
                return  # a forked child: the run is its parent's
            entry = self._runs.pop(run.run_id, None)
            if entry is not None:
                self._conclude(entry, status, error)

    def set_experiment(self, name: str) -> None:
        """Put the runs that start from now on into this experiment."""
        with self._lock:
            self._experiment = limits.experiment_name(name)

    def _stack(self) -> list[ActiveRun]:
        """Return this thread's runs, without those that another thread has ended."""
        stack: list[ActiveRun] = getattr(self._local, "stack", [])
        self._local.stack = [run for run in stack if run.run_id in self._runs]
        return cast("list[ActiveRun]", self._local.stack)

    def _parent(self, stack: list[ActiveRun]) -> str | None:
        if stack:
            return stack[-1].run_id
        return next(iter(self._runs), self._given)

    def _take_given(self, name: str | None, experiment: str | None) -> ActiveRun | None:
        """Return the run that this process was started for, the first time that it is asked for."""
        folder = Path(os.environ.get(RUN_FOLDER_VARIABLE, ""))
        if self._given is not None or not folder.is_absolute() or not (folder / EVENTS_NAME).is_file():
            return None
        created = next((event for _, event in read_events(folder) if event["event"] == "created"), None)
        if created is None:
            return None
        info = RunInfo(
            run_id=folder.name,
            run_name=name or cast("str | None", created["name"]),
            experiment=experiment or str(created["experiment"]),
            parent_run_id=cast("str | None", created["parent_run_id"]),
            start_time=cast("int", created["at"]),
        )
        self._given = info.run_id
        self._kind = str(created.get("kind") or "run")
        self._settings = _given_settings(folder, experiment=str(created["experiment"]))
        run = ActiveRun(info, folder, end=self.end, store_limit=self._settings.store_limit)
        run.describe(name=name, experiment=experiment)
        self._runs[run.run_id] = _Open(run, is_given=True)
        return run

    def _create(self, name: str | None, *, experiment: str | None, parent: str | None) -> ActiveRun:
        if self._settings is None:
            self._settings = read_settings()  # once in a process, and before there are hooks that would see it read
        settings, home = self._settings, create_home(self._settings.home.parent)
        info = RunInfo(new_run_id(), name, experiment or settings.experiment, parent, now_ms())
        run = ActiveRun(info, home.spool / info.run_id, end=self.end, store_limit=settings.store_limit)
        _write_created(run, kind=self._kind)
        entry = _Open(run, wall=time.monotonic(), cpu=time.process_time())
        if parent is None:
            try:
                entry.capture = _begin_capture(run, home, settings, known=frozenset(sys.modules) - self._instruments)
                self._instruments |= entry.capture.instruments if entry.capture is not None else frozenset()
            except BaseException:
                run.close()
                shutil.rmtree(run.folder, ignore_errors=True)
                raise
            write_as(Writer(info.run_id))
        self._runs[run.run_id] = entry
        return run

    def _conclude(self, entry: _Open, status: str, error: BaseException | None) -> None:
        """Write down how a run ended. The command writes that of a given run, the capture that of a captured one."""
        run = entry.run
        described = describe_error(error, project=_project()) if error is not None else None
        if entry.is_given:
            run.spool().write("ended", status=status, error=described)
        elif entry.capture is None:
            usage = resource.getrusage(resource.RUSAGE_SELF)
            run.spool().write(
                "finished",
                status=status,
                exit_code=0 if status == "FINISHED" else 1,
                wall_seconds=round(time.monotonic() - entry.wall, 3),
                cpu_seconds=round(time.process_time() - entry.cpu, 3),
                peak_rss_bytes=usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
                error=described,
            )
        run.close()
        if not entry.is_given and run.info.parent_run_id is None:
            write_as(None)
        if entry.capture is not None:
            entry.capture.finish(status, described)

    def _watch_exit(self) -> None:
        """Arrange, once, that whatever way the process ends its runs end too."""
        if self._watches_exit:
            return
        self._watches_exit = True
        atexit.register(self._end_all)
        os.register_at_fork(after_in_child=self._after_fork)
        sys.excepthook = self._notice(sys.excepthook)

    def _notice(
        self, before: Callable[[type[BaseException], BaseException, TracebackType | None], object]
    ) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
        """Return an exception hook that remembers what ended the program, then does what the one before it does."""

        def notice(kind: type[BaseException], error: BaseException, frames: TracebackType | None) -> None:
            self._error = error
            before(kind, error, frames)

        return notice

    def _end_all(self) -> None:
        status = "FINISHED" if self._error is None else "FAILED"
        for entry in reversed(list(self._runs.values())):
            if not entry.is_given:  # the command sees how the process ended
                self.end(entry.run, status, self._error)

    def _after_fork(self) -> None:
        self._lock = threading.RLock()
        for entry in self._runs.values():
            entry.run.after_fork()


def _given_settings(folder: Path, *, experiment: str) -> Settings:
    """Return the settings that the command told the process of its run: no file is read again."""
    settings = Settings(home=folder.parent.parent, experiment=experiment)
    if not (folder / "plan.json").is_file():
        return settings
    plan = read_plan(folder / "plan.json")
    return dataclasses.replace(
        settings, store_limit=plan.store_limit, sample_rows=plan.sample_rows, seed=plan.root_seed
    )


def _begin_capture(run: ActiveRun, home: Home, settings: Settings, *, known: frozenset[str]) -> _Capture | None:
    """Capture the program from within, where Lakemark is whole in this environment; elsewhere say what is missing."""
    try:
        module: ModuleType = importlib.import_module("lakemark.capture.inprocess")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("lakemark"):
            raise
        run.spool().write("missing", fact="capture", why=f"{error.name} is not installed in this environment")
        return None
    return cast("_CaptureModule", module).begin(run.folder, home, settings, known=known)


def _write_created(run: ActiveRun, *, kind: str) -> None:
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    script = str(getattr(main, "__file__", "") or "<interactive>")
    entry: dict[str, Json] = {
        "kind": "script" if spec is None else "module",
        "name": _relative(script) if spec is None else str(spec.name).removesuffix(".__main__"),
        "argv": list(redact_argv(sys.argv[1:])[0]),
    }
    run.spool().write(
        "created",
        run_id=run.run_id,
        name=run.info.run_name,
        kind=kind,
        experiment=run.info.experiment,
        parent_run_id=run.info.parent_run_id,
        pid=os.getpid(),
        process_start=process_start(os.getpid()) or "",
        entry=entry,
        cwd=str(Path.cwd()),
        project=_project(),
        how_started="api",
    )


def _relative(script: str) -> str:
    path = Path(script)
    inside = path.is_absolute() and path.is_relative_to(Path.cwd())
    return path.relative_to(Path.cwd()).as_posix() if inside else script


def _project() -> str:
    """Return the top of the git repository around the working directory, or the working directory."""
    here = Path.cwd()
    return str(next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here))
