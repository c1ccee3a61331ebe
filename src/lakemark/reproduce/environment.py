"""Rebuilding an environment from its lock, and proving that its files are the ones that the packages brought.

A rebuilt environment lies in `cache/environments/KEY`, where KEY is made of the lock, the Python version and the
platform. It is built in that very place, since virtual environments cannot be moved, under an exclusive lock; a note
inside, written last, tells a whole one from an interrupted one.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from lakemark._base.canonical import Json, canonical, digest
from lakemark._base.errors import ConflictError, LakemarkError
from lakemark._base.files import write_atomic
from lakemark._base.hashing import sha256_bytes
from lakemark.capture.uv import Outcome, find_uv, run_installer
from lakemark.recorder.distributions import InstalledDistributions

__all__ = ["LockError", "RebuiltEnvironment", "rebuild"]

_FORMAT = "lakemark.environment/1"
_NOTE = "lakemark-environment.json"
_SECONDS = 1_800.0


class LockError(LakemarkError):
    """A lock cannot be met; `context` holds the `stage` and, where one is to blame, the `package`.

    Stages: `lock` (the text itself), `python`, `version`, `platform`, `hash`, `offline`, `install`, `integrity`.
    """

    code = "lock"


@dataclass(frozen=True, slots=True)
class RebuiltEnvironment:
    """An environment that is what its lock says.

    Parameters
    ----------
    python : Path
        Its interpreter.
    seconds : float
        How long it took to get it.
    cached : bool
        Whether it was there already.
    """

    python: Path
    seconds: float
    cached: bool


@dataclass(frozen=True, slots=True)
class _Order:
    """What is to be built, and where."""

    lock_text: str
    python_version: str
    folder: Path
    uv: Path | None

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"


def rebuild(lock_text: str, *, python_version: str, cache: Path, use_uv: bool = True) -> RebuiltEnvironment:
    """Return an environment with exactly the packages of a lock, built where there is none yet.

    Parameters
    ----------
    lock_text : str
        Requirements with hashes, as `make_lock` writes them.
    python_version : str
        The exact version, for example `"3.11.7"`.
    cache : Path
        A folder that may be deleted at any time.
    use_uv : bool, default True
        False builds with `venv` and `pip`, as where uv is missing.

    Raises
    ------
    LockError
        If the lock cannot be met, with the stage and the package; or if an installed file is not the one that its
        package brought, though the installer says that all is well (uv links files from its cache, so an edit in any
        environment shows up in all).
    ConflictError
        If another process builds the same environment for longer than half an hour.

    Notes
    -----
    Every file is compared with RECORD after the build; on later calls only its size and times are, unless these have
    changed. A damaged environment is built anew once. Processes may call this at the same time.
    """
    started = time.monotonic()
    key = digest([_FORMAT, sha256_bytes(lock_text.encode()), python_version, platform.system(), platform.machine()])
    folder = cache.resolve() / "environments" / key[:32]
    order = _Order(lock_text, python_version, folder, find_uv() if use_uv else None)
    with _exclusive(folder.with_suffix(".lock")):
        cached = _is_as_noted(folder) and _runs(order) and not _modified(folder)
        if not cached:
            _build(order)
    return RebuiltEnvironment(order.python, time.monotonic() - started, cached)


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Hold a lock file; the system lets go of it when the process ends, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        until = time.monotonic() + _SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise ConflictError(
                        f"another process has been building {path.stem} for {_SECONDS:.0f} s",
                        hint="wait for it, or end it",
                    ) from None
                time.sleep(0.05)
        yield


def _build(order: _Order) -> None:
    """Build in place; what an earlier attempt left is removed first, and what fails is removed after."""
    shutil.rmtree(order.folder, ignore_errors=True)
    _check_hashes(order.lock_text)
    try:
        _create(order)
        requirements = order.folder / "lakemark-lock.txt"
        requirements.write_text(order.lock_text)
        _install(order, requirements)
        _verify(order)
        note: dict[str, Json] = {"format": _FORMAT, "python": order.python_version, "packages": _packages(order.folder)}
        write_atomic(order.folder / _NOTE, canonical(note))
    except BaseException:
        shutil.rmtree(order.folder, ignore_errors=True)
        raise


def _is_as_noted(folder: Path) -> bool:
    """Tell whether an environment is whole, and nothing was installed into it or out of it since."""
    try:
        note = json.loads((folder / _NOTE).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(note, dict) and note.get("packages") == _packages(folder)


def _packages(folder: Path) -> list[Json]:
    return [[name, one.version] for name, one in sorted(_installed(folder).all.items())]


def _installed(folder: Path) -> InstalledDistributions:
    sites = [str(site) for site in sorted(folder.glob("lib*/python*/site-packages"))]
    return InstalledDistributions(sites, cache=folder / "lakemark-verified.json")


def _verify(order: _Order) -> None:
    """Prove that what was installed is what the packages brought."""
    for package, paths in _modified(order.folder).items():
        shown = ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
        raise LockError(
            f"{package} was installed with files that are not its own: {shown}",
            hint=f"uv cache clean {package}  (a file in uv's cache was edited)" if order.uv else None,
            stage="integrity",
            package=package,
        )


def _check_hashes(lock_text: str) -> None:
    """Refuse a line without a hash before anything is made."""
    for requirement in re.sub(r"\\\n", " ", lock_text).splitlines():
        line = requirement.strip()
        if line and not line.startswith("#") and "--hash=" not in line:
            package = line.partition("==")[0].strip()
            raise LockError(
                f"lock unsatisfiable: {line} has no hash, so nothing proves that it is the same package",
                hint="lakemark run makes a complete lock where uv is installed and the index has the package",
                stage="lock",
                package=package,
            )


def _create(order: _Order) -> None:
    interpreter = _interpreter(order.python_version)
    if order.uv is not None:
        wanted = str(interpreter or order.python_version)
        outcome = run_installer(
            [order.uv, "venv", "--quiet", "--no-project", "--python", wanted, order.folder],
            folder=order.folder.parent,
            seconds=_SECONDS,
        )
    elif interpreter is not None:
        bare = ["--without-pip"] if _has_pip() else []
        outcome = run_installer(
            [interpreter, "-m", "venv", *bare, order.folder], folder=order.folder.parent, seconds=_SECONDS
        )
    else:
        outcome = Outcome(1, f"python{order.python_version} is not on the PATH")
    if outcome.exit_code != 0:
        raise LockError(
            f"Python {order.python_version} is not here and could not be installed: {_first_line(outcome.said)}",
            hint=f"uv python install {order.python_version}",
            stage="python",
        )


def _interpreter(python_version: str) -> Path | None:
    """Return an interpreter of exactly this version: ours, or one on the PATH."""
    if platform.python_version() == python_version:
        return Path(sys.executable)
    found = shutil.which(f"python{'.'.join(python_version.split('.')[:2])}")
    if found is None or _version(Path(found)) != python_version:
        return None
    return Path(found)


def _version(python: Path) -> str | None:
    code = "import platform; print(platform.python_version())"
    try:
        done = subprocess.run(
            [python, "-I", "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _runs(order: _Order) -> bool:
    """Tell whether the interpreter that an environment leans on is still there."""
    return os.access(order.python, os.X_OK)


def _install(order: _Order, requirements: Path) -> None:
    if not order.lock_text.strip():
        return
    if order.uv is not None:
        command: list[str | Path] = [order.uv, "pip", "sync", "--quiet", "--python", order.python]
        command += ["--require-hashes", requirements]
    else:
        command = [sys.executable, "-I", "-m", "pip", "--python", order.python]
        if not _has_pip():
            command = [order.python, "-I", "-m", "pip"]
        command += ["install", "--quiet", "--require-hashes", "--no-deps", "-r", requirements]
    outcome = run_installer(command, folder=order.folder, seconds=_SECONDS)
    if outcome.exit_code != 0:
        raise _explain(outcome)


def _has_pip() -> bool:
    """Tell whether our own environment has a pip that can serve others; then the rebuilt one needs none."""
    return find_spec("pip") is not None


_NAME = r"(?P<package>[A-Za-z0-9][A-Za-z0-9._-]*)"
_CAUSES = (
    ("offline", rf"{_NAME} was not found in the cache", "the index could not be reached for {0}"),
    ("offline", r"Failed to fetch: \S*/(?P<package>[A-Za-z0-9._-]+)/", "the index could not be reached for {0}"),
    ("offline", rf"(?:Max retries|NewConnectionError)[^/]*/simple/{_NAME}/", "the index could not be reached for {0}"),
    ("hash", rf"Hash mismatch for `{_NAME}==(?P<version>[^`]+)`", "{0}=={1} has another hash than the lock"),
    ("hash", rf"DO NOT MATCH THE HASHES.*?\b{_NAME}==(?P<version>\S+)", "{0}=={1} has another hash than the lock"),
    ("version", rf"no version of {_NAME}==(?P<version>\S+)", "no such version {0}=={1}"),
    ("version", rf"{_NAME} was not found in the package registry", "the index has no package {0}"),
    ("platform", rf"{_NAME}==(?P<version>\S+) has no wheels", "no wheel of {0}=={1} for this Python and platform"),
    ("version", rf"No matching distribution found for {_NAME}==(?P<version>\S+)", "no such version {0}=={1}"),
    ("install", rf"Failed to build `{_NAME}==(?P<version>[^`]+)`", "{0}=={1} has no wheel and could not be built"),
)


def _explain(outcome: Outcome) -> LockError:
    """Find in an installer's words the package that the lock fails on, and say at which stage."""
    said = " ".join(outcome.said.split())
    for stage, pattern, form in _CAUSES:
        match = re.search(pattern, said)
        if match:
            package, version = match["package"], match.groupdict().get("version")
            hints = {
                "offline": "try again with a network, or point UV_DEFAULT_INDEX at an index that has it",
                "version": "the index that had it may be set by UV_INDEX or UV_DEFAULT_INDEX",
                "hash": f"uv cache clean {package}, or an index that has the original file",
            }
            return LockError(
                f"lock unsatisfiable: {form.format(package, (version or '').rstrip(','))}",
                hint=hints.get(stage),
                stage=stage,
                package=package,
            )
    return LockError(f"lock unsatisfiable: {_first_line(outcome.said)}", stage="install")


def _first_line(said: str) -> str:
    lines = [line.strip().removeprefix("error: ").removeprefix("ERROR: ") for line in said.splitlines()]
    return next(filter(None, lines), "the installer gave no reason")


def _modified(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return the packages with files that are not as they came: name -> paths."""
    installed = _installed(folder)
    seen = {name: installed.verify(one).modified for name, one in installed.all.items()}
    installed.save()
    return {name: paths for name, paths in seen.items() if paths}
