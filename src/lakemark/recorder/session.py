"""One recorded session: hooks in, script or block runs, hooks out, last facts written.

The order at the start matters: randomness and models first, because a hook on a library must stand before the library
is imported. The order at the end matters too: models are fingerprinted before the environment is observed, because
looking at a model may import what it is made of.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lakemark._base.canonical import Json
from lakemark._base.fields import records
from lakemark.recorder.compute import observe_compute
from lakemark.recorder.environment import find_installed, loaded_files, observe_environment
from lakemark.recorder.hooks import conclude_reads, install_reads
from lakemark.recorder.imports import uninstall
from lakemark.recorder.modelhooks import conclude_models, install_models
from lakemark.recorder.plan import Plan
from lakemark.recorder.recording import Recording
from lakemark.recorder.redirects import World
from lakemark.tracking.spool import Spool

__all__ = ["Session", "open_session"]


@dataclass(frozen=True, slots=True)
class _Clock:
    wall: float
    cpu: float

    @staticmethod
    def read() -> _Clock:
        times = os.times()
        return _Clock(time.monotonic(), times.user + times.system + times.children_user + times.children_system)


class Session:
    """What `open_session` returns; close it once.

    Parameters
    ----------
    recording : Recording
        Where facts go.
    instruments : frozenset of str
        Modules that are in this process for Lakemark's sake, not the script's.
    """

    def __init__(self, recording: Recording, *, instruments: frozenset[str]) -> None:
        self.recording = recording
        recording.instruments |= instruments
        self._started = _Clock.read()

    @property
    def instruments(self) -> frozenset[str]:
        """Modules that are in this process for Lakemark's sake, not the script's."""
        return frozenset(self.recording.instruments)

    def close(self, *, status: str, exit_code: int, error: Mapping[str, Json] | None) -> None:
        """Write the last facts and the `finished` event, take the hooks out, close the spool."""
        ended = _Clock.read()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        recording = self.recording
        with recording.quiet():
            self._conclude()
            uninstall()
            recording.objects.sync()
            recording.spool.write(
                "finished",
                status=status,
                exit_code=exit_code,
                wall_seconds=round(ended.wall - self._started.wall, 3),
                cpu_seconds=round(ended.cpu - self._started.cpu, 3),
                peak_rss_bytes=peak,
                error=error,
            )
            recording.spool.close()

    def _conclude(self) -> None:
        recording = self.recording
        steps = (("model", conclude_models), ("data", conclude_reads), ("env", self._conclude_environment))
        for fact, conclude in steps:
            try:
                conclude(recording)
            except Exception as failure:  # noqa: BLE001 - a fact that can't be had must not cost the run its other facts
                recording.missing(fact, f"{type(failure).__name__}: {failure}")

    def _conclude_environment(self, recording: Recording) -> None:
        plan = recording.plan
        installed = find_installed(cache=Path(plan.home) / "cache" / "record.json")
        used = {name: module for name, module in sys.modules.items() if name not in self.instruments}
        environment = observe_environment(used, installed=installed)
        if self.instruments:
            environment["instrument_packages"] = _others(observe_environment(installed=installed), environment)
        recording.spool.write("environment", **environment)
        world = World(plan)
        for file in loaded_files(project=Path(plan.project), modules=used, installed=installed):
            path = Path(str(file["path"]))
            if path.is_file():
                original = {key: world.original(value) for key, value in file.items() if isinstance(value, str)}
                recording.spool.write("loaded", **file | original, sha256=recording.objects.put_file(path))
        recording.spool.write("compute", **observe_compute())


def open_session(plan: Plan, spool: Spool, *, seed: bool, instruments: frozenset[str] = frozenset()) -> Session:
    """Install all hooks.

    Parameters
    ----------
    plan : Plan
        What to do.
    spool : Spool
        Takes the events.
    seed : bool
        Start the global random generators at `plan.root_seed`. False where the user's program is already under way.
    instruments : frozenset of str
        Modules that are loaded already for our sake.
    """
    recording = Recording(plan, spool)
    with recording.quiet():
        install_models(recording, seed=seed)
        install_reads(recording)
    return Session(recording, instruments=instruments)


def _others(whole: Mapping[str, Json], part: Mapping[str, Json]) -> list[Json]:
    """Return the packages that are here for our sake: the lock needs them, since the script imports us."""
    names = {package["name"] for package in records(part, "packages")}
    return [package for package in records(whole, "packages") if package["name"] not in names]
