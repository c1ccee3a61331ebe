"""All hooks on reads and writes, in the order that they need."""

from __future__ import annotations

from lakemark.recorder import imports
from lakemark.recorder.deltas import Deltas
from lakemark.recorder.detours import install_detours
from lakemark.recorder.files import Files
from lakemark.recorder.frames import Frames
from lakemark.recorder.names import Names
from lakemark.recorder.recording import Recording
from lakemark.recorder.redirects import World

__all__ = ["conclude_reads", "install_reads"]


def install_reads(recording: Recording) -> None:
    """See from now on what the script reads and writes; in a replay, answer it as `plan.redirect` says.

    Parameters
    ----------
    recording : Recording
        Takes the events. `imports.uninstall` ends it.
    """
    world = World(recording.plan)
    files = Files(recording, world)
    frames = Frames(recording, world, files)
    with recording.quiet():
        world.prepare()
        Deltas(recording, world, files=files, frames=frames).install()
        frames.install()
        Names(recording, world).install()
        install_detours(recording, world)
        files.listen()


def conclude_reads(recording: Recording) -> None:
    """Write down which hooks could not be put in place; everything else was written when it happened."""
    for module, why in imports.failures():
        recording.missing("data", f"a hook on {module} could not be put in place: {why}")
