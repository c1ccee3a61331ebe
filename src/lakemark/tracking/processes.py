"""Which process writes a run, and whether it still lives. Standard library only: it is asked in users' processes too.

A process number alone is not enough: numbers are used again. A number with the time of the start is one process.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

__all__ = ["is_alive", "process_start"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def process_start(pid: int) -> str | None:
    """Return when a process started, as text that no other process of this machine has; None if it is gone.

    Parameters
    ----------
    pid : int
        Its number.

    Notes
    -----
    On Linux: the boot's id and the clock ticks since the boot; elsewhere what `ps` says, which is exact to a second.
    A zombie, which has ended and waits for its parent to notice, is gone.

    Examples
    --------
    >>> import os
    >>> process_start(os.getpid()) == process_start(os.getpid())
    True
    """
    if _BOOT_ID.exists():
        return _from_proc(pid)
    return _from_ps(pid)


def is_alive(pid: int, started: str | None) -> bool:
    """Return True if the process `pid` lives and is the one that started then.

    Parameters
    ----------
    pid : int
        Its number.
    started : str or None
        What `process_start` said of it; where that is not known, any process of this number counts.
    """
    now = process_start(pid)
    if now is None:
        return False
    return started in (None, "", "None", now)


def _from_proc(pid: int) -> str | None:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
        boot = _BOOT_ID.read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = status[status.rindex(")") + 2 :].split()  # the program's name before it may hold anything, blanks too
    state, ticks = fields[0], fields[19]
    return None if state in "ZX" else f"{boot}:{ticks}"


def _from_ps(pid: int) -> str | None:
    asked = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
        env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
        capture_output=True,
        text=True,
        check=False,
    )
    state, _, started = asked.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else " ".join(started.split())
