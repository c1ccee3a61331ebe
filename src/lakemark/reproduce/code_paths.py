"""Which files differ between the code snapshots of two runs, as git tells it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from lakemark._base.canonical import Json
from lakemark._base.fields import text
from lakemark.config.home import Home
from lakemark.reproduce.factors import CodeDiff

__all__ = ["code_paths"]

_SECONDS = 60


def code_paths(home: Home) -> CodeDiff:
    """Return a function from two `inputs.code` to the paths whose content differs, relative to the project.

    Parameters
    ----------
    home : Home
        Holds the snapshots of code that is in no repository.

    Notes
    -----
    Where the snapshots are not at hand (another machine, a repository that was moved), the list is empty: the paths
    are told to people, nothing else depends on them.
    """

    def differing(a: Mapping[str, Json], b: Mapping[str, Json]) -> list[str]:
        trees = [tree for tree in (text(a, "tree"), text(b, "tree")) if tree is not None]
        project = text(b, "project")
        if len(trees) < 2 or project is None:
            return []
        where = ["--git-dir", str(home.code)] if text(b, "vcs") == "private" else ["-C", project]
        try:
            done = subprocess.run(
                ["git", *where, "diff-tree", "-r", "--name-only", "-z", *trees],
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return []
        return [path for path in done.stdout.split("\0") if path] if done.returncode == 0 else []

    return differing
