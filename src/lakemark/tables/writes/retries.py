"""Writes that are done again after a lost race."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from lakemark._base.errors import ConflictError
from lakemark.tables.failures import is_retryable
from lakemark.tables.fingerprint import ArrowStream
from lakemark.tables.writes.sources import FileSource

__all__ = ["is_replayable", "retried"]

T = TypeVar("T")

_TRIES = 20
_WAIT_SECONDS = 0.05


def retried(work: Callable[[], T], *, replayable: bool = True) -> T:
    """Do a piece of work from scratch until it wins its race, at most 20 times, with growing random waits.

    Parameters
    ----------
    work : callable
        Opens the table, reads what it needs, writes and commits, so that doing it again takes account of all that
        others have committed.
    replayable : bool, default True
        False where the data can be read only once; then the first lost race is raised.

    Raises
    ------
    ConflictError
        The last one, when all tries are used up.
    """
    for attempt in range(_TRIES):
        try:
            return work()
        except ConflictError as error:
            if attempt == _TRIES - 1 or not is_retryable(error) or not replayable:
                raise
        time.sleep(random.uniform(0, _WAIT_SECONDS * 2 ** min(attempt, 5)))  # noqa: S311  # not a secret
    raise AssertionError("unreachable")


def is_replayable(data: ArrowStream) -> bool:
    """Return True where asking for the stream again gives all rows again: frames do, readers are used up.

    Examples
    --------
    >>> import pyarrow as pa
    >>> rows = pa.table({"x": [1]})
    >>> is_replayable(rows), is_replayable(rows.to_reader())
    (True, False)
    """
    return hasattr(data, "__len__") or isinstance(data, FileSource)
