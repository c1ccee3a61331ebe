"""What a snapshot of the code costs, beside `git stash create` and `git add -A` into a private index.

CPU seconds of this process and its children. Run: `python benchmarks/snapshot.py [--rounds 5]`.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import resource
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from lakemark.capture.code import snapshot
from lakemark.config.home import Home, create_home

CHANGED = 20
SCENES = ("tracked", "untracked", "no repository")


def git(folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, env=environment)


def write_files(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"package{number % 50}" / f"part{number % 7}" / f"m{number}.py" for number in range(count)]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"def f{number}(x):\n    return x * {number}\n\n\n" * 30)
    return paths


def make_project(folder: Path, *, scene: str, count: int) -> None:
    """Build a project: `count` files, a few of them changed and new since the commit."""
    folder.mkdir(parents=True)
    paths = write_files(folder, count)
    if scene == "no repository":
        return
    git(folder, "init", "-q")
    git(folder, "config", "user.name", "a")
    git(folder, "config", "user.email", "a@b")
    git(folder, "config", "gc.auto", "0")  # which would go on in the background
    if scene == "tracked":
        git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "all")
    for number, path in enumerate(paths[:CHANGED]):
        path.write_text(f"changed = {number}\n")
        (folder / f"new{number}.py").write_text(f"new = {number}\n")


def cpu_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def take(project: Path, home: Home, number: int) -> None:
    snapshot(project, home=home, run_id=f"run{number}")


def stash(project: Path, _home: Home, _number: int) -> None:
    git(project, "stash", "create")


def add_all(project: Path, _home: Home, _number: int) -> None:
    """Do by hand what a snapshot does, without its safety: a private index, everything added, a tree."""
    with tempfile.TemporaryDirectory() as name:
        environment = {**os.environ, "GIT_INDEX_FILE": f"{name}/index"}
        index = project / ".git" / "index"
        if index.exists():
            shutil.copy2(index, f"{name}/index")
        git(project, "add", "-A", environment=environment)
        git(project, "write-tree", environment=environment)


CONTENDERS: dict[str, Callable[[Path, Home, int], None]] = {
    "lakemark": take,
    "git stash create": stash,
    "git add -A": add_all,
}


def measure(kept: Path, *, scene: str, count: int, rounds: int) -> dict[str, tuple[float, float]]:
    """Return for each contender the cost of the first time, and the median of the later ones, in its own project.

    Projects are kept until the end: for minutes ext4 makes new files at a high price where many were deleted.
    """
    figures = {}
    for contender, action in CONTENDERS.items():
        if scene == "no repository" and contender != "lakemark":
            continue
        folder = Path(tempfile.mkdtemp(dir=kept))
        project = folder / "project"
        make_project(project, scene=scene, count=count)
        home = create_home(folder)
        taken = []
        for number in range(rounds + 1):
            before = cpu_seconds()
            action(project, home, number)
            taken.append(cpu_seconds() - before)
        figures[contender] = (taken[0], statistics.median(taken[1:]))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 5_000, 20_000])
    options = parser.parse_args()
    version = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"{platform.python_version()}, {version}, {os.cpu_count()} cores")
    print(f"CPU seconds; first = nothing is stored yet, later = median of {options.rounds} more\n")
    print("| files | scene | contender | first | later | later / lakemark | later per 1,000 files |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as kept:
        for count, scene in itertools.product(options.counts, SCENES):
            figures = measure(Path(kept), scene=scene, count=count, rounds=options.rounds)
            ours = figures["lakemark"][1]
            for contender, (first, later) in figures.items():
                ratio = f"{later / ours:.2f}" if ours else "-"
                row = f"{first:.3f} | {later:.3f} | {ratio} | {later / count * 1_000:.4f}"
                print(f"| {count:,} | {scene} | {contender} | {row} |", flush=True)


if __name__ == "__main__":
    main()
