"""The recording: the one object that every hook gets, with the plan, the spool and the objects of the run."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from lakemark._base.errors import StorageError
from lakemark.recorder.plan import Plan
from lakemark.storage.objects import ObjectStore
from lakemark.tracking.spool import Spool

__all__ = ["Recording"]

_PACKAGE = str(Path(__file__).parents[1])


class Recording:
    """What is being recorded, and where to.

    Parameters
    ----------
    plan : Plan
        What the starter of the process said.
    spool : Spool
        Takes the events.

    Attributes
    ----------
    instruments : set of str
        Modules that are in this process for Lakemark's sake, not the script's.
    """

    def __init__(self, plan: Plan, spool: Spool) -> None:
        self.plan = plan
        self.spool = spool
        self.objects = ObjectStore(Path(plan.home) / "objects", durable=False)  # synced when the run ends
        self.instruments: set[str] = set()
        self._local = threading.local()
        self._said: set[tuple[str, str]] = set()

    def is_ours(self) -> bool:
        """Return True while our own code runs in this thread, so that hooks look away."""
        return getattr(self._local, "depth", 0) > 0

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Mark what runs inside as our own code."""
        self._local.depth = getattr(self._local, "depth", 0) + 1
        try:
            yield
        finally:
            self._local.depth -= 1

    @contextmanager
    def instrumenting(self) -> Iterator[None]:
        """Count the modules that are imported inside as ours: what comes out of a run does not depend on them."""
        before = frozenset(sys.modules)
        try:
            yield
        finally:
            self.instruments |= sys.modules.keys() - before

    def missing(self, fact: str, why: str) -> None:
        """Write down, once, that a fact could not be seen; hooks end here, so this never fails."""
        if (fact, why) not in self._said:
            self._said.add((fact, why))
            with suppress(StorageError):  # on a full disk the script goes on; the command says what was not written
                self.spool.write("missing", fact=fact, why=why)

    def where(self) -> str:
        """Return `file:line` of the nearest frame of the user's own code, relative to the project.

        Frames of the project come first; where there is none, the nearest frame that is not ours is named.
        """
        frame: FrameType | None = sys._getframe(
            1
        )  # the public way, inspect.stack, reads source files and is a thousand times slower
        outside: str | None = None
        project = self.plan.project
        while frame is not None:
            name = frame.f_code.co_filename
            if not name.startswith(_PACKAGE):
                if name.startswith(project) and "site-packages" not in name:
                    return f"{Path(name).relative_to(project).as_posix()}:{frame.f_lineno}"
                outside = outside or f"{name}:{frame.f_lineno}"
            frame = frame.f_back
        return outside or "<unknown>"
