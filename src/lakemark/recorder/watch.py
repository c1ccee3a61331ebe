"""Which calls into a library are the script's own: the outermost ones, in the process that is recorded.

A `fit` of a pipeline calls `fit` of its steps, a search fits hundreds of candidates, `cross_val_score` calls metrics.
None of these is something that the script did. A call counts where no observed call is under way in its thread and
no frame of a modelling library is below it on the stack (which also covers the worker threads of a forest).
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Protocol, TypeVar, cast

from lakemark.recorder.recording import Recording

__all__ = ["Call", "Hook", "Observer", "Watch"]

F = TypeVar("F", bound=Callable[..., object])

_LIBRARIES = ("sklearn", "lightgbm")


@dataclass(frozen=True, slots=True)
class Call:
    """One call that the script made.

    Parameters
    ----------
    name : str
        The function's or method's name.
    args : tuple
        Its positional arguments; a method's first is the object.
    kwargs : mapping
        Its keyword arguments.
    original : callable
        The function itself.
    """

    name: str
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    original: Callable[..., object]

    def argument(self, place: int, *names: str) -> object:
        """Return an argument by its place or one of its names; None where it was not given."""
        if place < len(self.args):
            return self.args[place]
        return next((self.kwargs[name] for name in names if name in self.kwargs), None)


class Observer(Protocol):
    """Who is told of the script's calls."""

    def before(self, call: Call, /) -> None:
        """Hear of a call that is about to be made."""

    def after(self, call: Call, result: object, /) -> None:
        """Hear of a call that returned."""


class Watch:
    """Tells the script's calls to observers, and keeps what goes wrong there away from the script.

    Parameters
    ----------
    recording : Recording
        Where a failure of ours is written down.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self._local = threading.local()
        self._process = os.getpid()

    def is_busy(self) -> bool:
        """Return True inside an observed call, inside our own code and in a forked child."""
        busy: bool = getattr(self._local, "busy", False)
        return busy or self.recording.is_ours() or os.getpid() != self._process

    def run(self, call: Call, observer: Observer) -> object:
        """Make the call, and tell `observer` of it where it is the script's own."""
        told = not _inside_library(sys._getframe(1))
        self._local.busy = True
        try:
            if told:
                self.attempt(call.name, lambda: observer.before(call))
            result = call.original(*call.args, **call.kwargs)
            if told:
                self.attempt(call.name, lambda: observer.after(call, result))
            return result
        finally:
            self._local.busy = False

    def attempt(self, fact: str, work: Callable[[], object]) -> None:
        """Do some of our own work; a failure is written down as a missing fact."""
        with self.recording.quiet():
            try:
                work()
            except Exception as error:  # noqa: BLE001 - the edge of a hook: the script goes on whatever happens to us
                self.recording.missing(fact, f"{type(error).__name__}: {error}"[:300])


class Hook:
    """What stands in a patched function's closure.

    Functions of classes in a script are pickled with their closure when they go to worker processes. There is nothing
    to record there, so a hook pickles as one that only calls the original.

    Parameters
    ----------
    watch : Watch
        Decides what is the script's own.
    observer : Observer
        Is told.
    """

    def __init__(self, watch: Watch, observer: Observer) -> None:
        self._watch = watch
        self._observer = observer

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return (_NoHook, ())

    def call(self, original: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        """Call the original, observed or not."""
        if self._watch.is_busy():
            return original(*args, **kwargs)
        return self._watch.run(Call(original.__name__, args, kwargs, original), self._observer)

    def wrap(self, original: F) -> F:
        """Return a function for `original`'s place; see `lakemark.recorder.imports.patch_function`."""
        return wrap_with(self, original)


class _NoHook:
    """A hook in a process where nothing is recorded."""

    def call(self, original: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        return original(*args, **kwargs)


def wrap_with(hook: Hook, original: F) -> F:
    """Return a plain function that goes through `hook`."""

    @functools.wraps(original)
    def observed(*args: object, **kwargs: object) -> object:
        return hook.call(original, args, kwargs)

    return cast("F", observed)


def _inside_library(frame: FrameType | None) -> bool:
    while frame is not None:
        name = frame.f_globals.get("__name__")
        if isinstance(name, str) and name.partition(".")[0] in _LIBRARIES:
            return True
        frame = frame.f_back
    return False
