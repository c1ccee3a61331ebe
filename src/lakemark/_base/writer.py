"""Who writes: the run, and the step of it, that this process works for.

A run's process is told by `LAKEMARK_RUN_FOLDER`; a run that begins inside the process enters itself here. A context
variable, so that threads and tasks of several runs do not mix.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass
from pathlib import Path

__all__ = ["RUN_FOLDER_VARIABLE", "Writer", "current_writer", "write_as", "writing_as"]

RUN_FOLDER_VARIABLE = "LAKEMARK_RUN_FOLDER"
"""Names the spool folder of the run that a process belongs to."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes.

    Parameters
    ----------
    run_id : str, optional
        The run.
    node : str, optional
        The step of the run.
    """

    run_id: str | None = None
    node: str | None = None


_CURRENT: ContextVar[Writer | None] = ContextVar("lakemark_writer", default=None)


def current_writer() -> Writer:
    """Return who writes now; nobody outside of a run."""
    entered = _CURRENT.get()
    if entered is not None:
        return entered
    folder = Path(os.environ.get(RUN_FOLDER_VARIABLE, ""))
    return Writer(folder.name) if folder.is_absolute() else Writer()


def write_as(writer: Writer | None) -> None:
    """Write as this one from now on; None is whom the environment names."""
    _CURRENT.set(writer)


@contextmanager
def writing_as(writer: Writer) -> Iterator[None]:
    """Write as this one inside the block.

    Examples
    --------
    >>> with writing_as(Writer("4bf92f35", "train")):
    ...     current_writer().node
    'train'
    """
    token: Token[Writer | None] = _CURRENT.set(writer)
    try:
        yield
    finally:
        _CURRENT.reset(token)
