"""When a query takes its batches, and what ends it."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from types import FrameType

from lakemark._base.errors import InvalidInputError, nearest

__all__ = ["StopRequest", "Trigger", "check_interval", "parse_trigger"]

_SLICE_SECONDS = 0.1
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Trigger(StrEnum):
    """When a query takes its batches."""

    AVAILABLE_NOW = "available-now"
    """What there is at the start, in batches within the limits; then the query ends."""
    ONCE = "once"
    """What there is at the start, as one batch whatever the limits; then the query ends."""
    CONTINUOUS = "continuous"
    """One batch at each interval, until the query is stopped."""


def parse_trigger(text: str) -> Trigger:
    """Return the trigger of a name.

    Raises
    ------
    InvalidInputError
        For another name; the nearest is named.
    """
    try:
        return Trigger(text)
    except ValueError:
        close = nearest(text, [kind.value for kind in Trigger])
        raise InvalidInputError(
            f"no trigger is named {text!r}" + (f", did you mean {close!r}?" if close else ""),
            hint=f"triggers are {', '.join(Trigger)}",
        ) from None


class StopRequest:
    """Whether a query shall end after the batch under way: asked from another thread, or by a signal.

    Attributes
    ----------
    signal : int or None
        The signal that asked, if one did.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._asked = threading.Event()

    def ask(self) -> None:
        """Ask, from any thread."""
        self._asked.set()

    def clear(self) -> None:
        """Forget it."""
        self._asked.clear()
        self.signal = None

    @property
    def made(self) -> bool:
        """True once somebody asked."""
        return self.signal is not None or self._asked.is_set()

    def wait(self, seconds: float) -> None:
        """Wait so long, or until somebody asks."""
        end = time.monotonic() + seconds
        while not self.made and (left := end - time.monotonic()) > 0:
            self._asked.wait(min(left, _SLICE_SECONDS))

    @contextmanager
    def by_signals(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM as asking inside the block, in the main thread; the second time they do as before."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) or signal.SIG_DFL for number in _SIGNALS}

        def note(number: int, _: FrameType | None) -> None:
            self.signal = number  # no lock: it may be held by what the signal interrupts
            signal.signal(number, before[signal.Signals(number)])

        for number in _SIGNALS:
            signal.signal(number, note)
        try:
            yield
        finally:
            for number in _SIGNALS:
                signal.signal(number, before[number])


def check_interval(seconds: float) -> float:
    """Return an interval between batches, in seconds.

    Raises
    ------
    InvalidInputError
        Below 0, or not a finite number.
    """
    if not math.isfinite(seconds) or seconds < 0:
        raise InvalidInputError(f"interval is {seconds}", hint="it takes seconds, from 0")
    return seconds
