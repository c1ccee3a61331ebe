"""What rebuilding an environment costs, beside plain `uv venv` + `uv pip sync` and `venv` + `pip install`.

All packages lie in the caches of uv and pip (the first, unmeasured round sees to it). Wall and CPU seconds of this
process and its children. Run: `python benchmarks/rebuild.py [--rounds 3]`.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from lakemark.capture.lock import make_lock
from lakemark.capture.uv import find_uv, installer_environment
from lakemark.recorder.environment import observe_environment
from lakemark.reproduce.environment import rebuild

PYTHON = platform.python_version()


def packages_of(*names: str) -> list[dict[str, object]]:
    """Return what a script that imports these would record."""
    for name in names:
        __import__(name)
    return observe_environment()["packages"]  # type: ignore[return-value]  # a list of rows


def run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True, env=installer_environment())


def seconds() -> tuple[float, float]:
    times = os.times()
    return time.perf_counter(), times.user + times.system + times.children_user + times.children_system


def median_cost(action: Callable[[Path], object], rounds: int) -> tuple[float, float]:
    """Return the medians of wall and CPU seconds, each round in a folder of its own, the first one not counted."""
    costs = []
    for _ in range(rounds + 1):
        with tempfile.TemporaryDirectory() as name:
            wall, cpu = seconds()
            action(Path(name))
            wall_after, cpu_after = seconds()
            costs.append((wall_after - wall, cpu_after - cpu))
    return statistics.median(cost[0] for cost in costs[1:]), statistics.median(cost[1] for cost in costs[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    uv = find_uv()
    if uv is None:
        sys.exit("uv is not installed")
    with tempfile.TemporaryDirectory() as kept:
        lock = make_lock(packages_of("sklearn.ensemble", "lightgbm", "pandas"), cache=Path(kept), python_version=PYTHON)
        requirements = Path(kept) / "lock.txt"
        requirements.write_text(lock.text)

        def uv_sync(folder: Path) -> None:
            run(uv, "venv", "-q", "--python", sys.executable, folder / "v")
            run(uv, "pip", "sync", "-q", "--python", folder / "v" / "bin" / "python", "--require-hashes", requirements)

        def pip_install(folder: Path) -> None:
            run(sys.executable, "-m", "venv", folder / "v")
            options = ("-q", "--require-hashes", "--no-deps", "-r", requirements)
            run(folder / "v" / "bin" / "python", "-m", "pip", "install", *options)

        rows = {
            "lakemark, built and every file verified": median_cost(
                lambda folder: rebuild(lock.text, python_version=PYTHON, cache=folder),
                options.rounds,
            ),
            "lakemark, taken from its cache and verified": median_cost(
                lambda _: rebuild(lock.text, python_version=PYTHON, cache=Path(kept)),
                options.rounds,
            ),
            "uv venv + uv pip sync, not verified": median_cost(uv_sync, options.rounds),
            "venv + pip install, not verified": median_cost(pip_install, options.rounds),
        }
    tools = ", ".join(f"{name} {version(name)}" for name in ("uv", "scikit-learn", "lightgbm", "pandas"))
    print(f"{PYTHON}, {tools}, {os.cpu_count()} cores; lock complete: {lock.complete}; medians of {options.rounds}\n")
    print("| contender | wall s | CPU s | wall / uv |")
    print("|---|---|---|---|")
    peer = rows["uv venv + uv pip sync, not verified"][0]
    for contender, (wall, cpu) in rows.items():
        print(f"| {contender} | {wall:.2f} | {cpu:.2f} | {wall / peer:.2f} |")


if __name__ == "__main__":
    main()
