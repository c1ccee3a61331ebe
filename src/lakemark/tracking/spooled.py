"""Runs that were written down and are not settled yet."""

from __future__ import annotations

from pathlib import Path

from lakemark.config.home import Home

__all__ = ["pending_spools"]


def pending_spools(home: Home) -> tuple[Path, ...]:
    """Return the folders of runs that are not settled, in the order of their ids.

    Their processes may be alive and writing: `lakemark.tracking.processes.is_alive` tells.
    """
    if not home.spool.is_dir():
        return ()
    return tuple(sorted(path for path in home.spool.iterdir() if path.is_dir() and not path.name.startswith(".")))
