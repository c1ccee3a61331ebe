"""Running a script or a module as `__main__`, as the interpreter itself would, with our own frames out of sight."""

from __future__ import annotations

import importlib.util
import io
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType

from lakemark._base.canonical import Json
from lakemark.recorder.plan import EntryPoint
from lakemark.recorder.secrets import redact_text

__all__ = ["describe_error", "run_entry", "show_error"]

_OURS = str(Path(__file__).parents[1])


def run_entry(entry: EntryPoint, *, import_roots: Sequence[str] = ()) -> None:
    """Execute the entry point in a fresh `__main__`; whatever it raises, SystemExit too, comes through.

    Parameters
    ----------
    entry : EntryPoint
        What to run.
    import_roots : sequence of str
        Folders for `sys.path`, where those of PYTHONPATH stand; for processes that the script starts they are added
        to that variable. (Were they there from the start, a module of the project could stand before one that we need.)

    Notes
    -----
    `runpy` is not used: it puts the old `__main__` back when the code ends, and what is pickled after the end (the
    model) then can't find its classes.
    """
    if entry.kind == "module":
        code, spec = _module_code(entry.name)
        called = spec.origin or entry.name
        _enter_main(called, spec=spec, package=spec.parent or "")
        sys.path.insert(0, str(Path.cwd()))
    else:
        called, path = entry.name, Path(entry.name).absolute()
        with io.open_code(str(path)) as file:
            source = file.read()
        code = compile(source, str(path), "exec", dont_inherit=True)
        _enter_main(str(path), spec=None, package=None)
        sys.path.insert(0, str(path.resolve().parent))
    sys.path[1:1] = import_roots
    if import_roots:
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([*([before] if before else []), *import_roots])
    sys.argv = [called, *entry.argv]
    exec(code, sys.modules["__main__"].__dict__)  # noqa: S102 - running the user's script is what this is for


def _module_code(name: str) -> tuple[CodeType, ModuleSpec]:
    sys.path.insert(0, str(Path.cwd()))
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{name}.__main__")
    except ModuleNotFoundError:
        spec = None
    finally:
        del sys.path[0]
    get_code = getattr(spec.loader, "get_code", None) if spec is not None else None
    code = get_code(spec.name) if spec is not None and get_code is not None else None
    if spec is None or code is None:
        raise ModuleNotFoundError(f"No module named {name}", name=name)
    return code, spec


def _enter_main(path: str, *, spec: ModuleSpec | None, package: str | None) -> None:
    main = ModuleType("__main__")
    main.__file__ = path
    main.__spec__ = spec
    main.__package__ = package
    main.__loader__ = spec.loader if spec is not None else None
    main.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = main


def show_error(error: BaseException) -> None:
    """Print an uncaught exception as Python does, without the frames of ours that stand before, or in between."""
    shown = traceback.TracebackException.from_exception(error)
    known: list[traceback.TracebackException | None] = [shown]
    while known:
        part = known.pop()
        if part is not None:
            part.stack = traceback.StackSummary.from_list([frame for frame in part.stack if _is_users(frame)])
            known += [part.__cause__, part.__context__, *(part.exceptions or ())]
    print("".join(shown.format()), end="", file=sys.stderr)  # noqa: T201 - where Python prints it


def _is_users(frame: traceback.FrameSummary) -> bool:
    return not frame.filename.startswith((_OURS, "<frozen "))


def describe_error(error: BaseException, *, project: str) -> dict[str, Json]:
    """Return an exception as the `error` of a `finished` event: type, message, the user's frames (the last eight)."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame)]
    return {
        "type": type(error).__qualname__,
        "message": redact_text(str(error))[:2_000],
        "frames": [
            {
                "file": _relative(frame.filename, project),
                "line": frame.lineno,
                "function": frame.name,
                "code": frame.line or "",
            }
            for frame in frames[-8:]
        ],
    }


def _relative(path: str, project: str) -> str:
    inside = path.startswith(project.rstrip(os.sep) + os.sep)
    return os.path.relpath(path, project) if inside else path
