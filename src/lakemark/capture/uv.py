"""The `uv` program: where it is, and how it is started so that nothing of the current environment leaks in."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

try:
    import uv
except ImportError:  # the program alone, on the PATH, is enough
    uv = None  # type: ignore[assignment]  # a module or nothing

__all__ = ["Outcome", "find_uv", "installer_environment", "run_installer"]

_LEAKS = frozenset(
    {
        "CONDA_PREFIX",
        "PIP_CONSTRAINT",
        "PIP_PREFIX",
        "PIP_REQUIREMENT",
        "PIP_TARGET",
        "PIP_USER",
        "PYTHONHOME",
        "PYTHONPATH",
        "UV_BUILD_CONSTRAINT",
        "UV_CONSTRAINT",
        "UV_EXCLUDE_NEWER",
        "UV_OVERRIDE",
        "UV_PROJECT",
        "UV_PROJECT_ENVIRONMENT",
        "UV_PYTHON",
        "UV_REQUIRE_HASHES",
        "UV_RESOLUTION",
        "UV_SYSTEM_PYTHON",
        "VIRTUAL_ENV",
        "__PYVENV_LAUNCHER__",
    }
)


_CERTIFICATES = {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"}
"""Trust what the system trusts, a company's authority too, as pip does; two names, for newer and older uv."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an installer did.

    Parameters
    ----------
    exit_code : int or None
        None where it was stopped because it took too long.
    said : str
        What it wrote to stderr, and to stdout where it failed.
    """

    exit_code: int | None
    said: str


def find_uv() -> Path | None:
    """Return the `uv` program: the one that was installed with us, else the one on the PATH; None without any."""
    if uv is not None:
        try:
            return Path(uv.find_uv_bin())
        except FileNotFoundError:
            pass  # the package without its program
    found = shutil.which("uv")
    return Path(found) if found else None


def installer_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for an installer: indexes, proxies and certificates stay, the active environment does not.

    Parameters
    ----------
    environ : mapping of str to str, optional
        `os.environ` where not given.
    """
    kept = {name: value for name, value in (os.environ if environ is None else environ).items() if name not in _LEAKS}
    quiet = {"UV_NO_PROGRESS": "1", "NO_COLOR": "1", "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return _CERTIFICATES | kept | quiet


def run_installer(command: Sequence[str | Path], *, folder: Path, seconds: float) -> Outcome:
    """Run an installer in a folder that holds no settings, and wait at most `seconds`."""
    try:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=folder,
            env=installer_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Outcome(None, f"{Path(command[0]).name} did not end within {seconds:.0f} s")
    said = done.stderr if done.returncode == 0 else done.stderr + b"\n" + done.stdout
    return Outcome(done.returncode, said.decode(errors="replace").strip())
