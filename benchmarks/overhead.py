"""What `lakemark run script.py` adds to `python script.py`: CPU seconds and peak memory, script by script.

Both run by turns, so that a busy moment meets both; medians. "first" has no home yet: every installed file is compared
with its RECORD, the lock is made, everything is stored. Run: `python benchmarks/overhead.py [--quick] [SCRIPT...]`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

FIXED, SHARE = 1.0, 0.05  # the budget: a second, and 5 % of what the script itself takes

# `lakemark`, and at its end the CPU seconds of the command's own process, of all below it, and its peak memory
COMMAND = """
import json, resource, sys
from lakemark.cli.main import main
try:
    main()
finally:
    own, below = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    with open("usage.json", "w") as file:
        json.dump([own.ru_utime + own.ru_stime, below.ru_utime + below.ru_stime, own.ru_maxrss], file)
"""

# in a process of its own: what a process has held at most is passed on to those that it starts
MAKE_TABLE = """
import sys
import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

random = np.random.default_rng(1)
rows, columns = int(sys.argv[1]), int(sys.argv[2])
for start in range(0, rows, 1_000_000):
    values = random.normal(size=(min(1_000_000, rows - start), columns))
    names = {f"x{place}": values[:, place] for place in range(columns - 1)}
    target = values[:, 0] * values[:, 1] + np.sin(values[:, 2]) + values[:, -1]
    write_deltalake("table", pa.table({**names, "y": target}), mode="append")
"""

NOTHING = "pass\n"

TRAIN = """
import lightgbm
import numpy as np
from deltalake import DeltaTable
from sklearn.metrics import mean_absolute_error

frame = DeltaTable("table").to_pandas()
cut = len(frame) * 3 // 4
columns = [name for name in frame.columns if name != "y"]
model = lightgbm.LGBMRegressor(n_estimators={trees}, num_leaves=63, n_jobs=1, random_state=1, verbose=-1)
model.fit(frame[columns][:cut], frame["y"][:cut])
print(mean_absolute_error(frame["y"][cut:], model.predict(frame[columns][cut:])))
"""

FILES = """
from pathlib import Path

print(sum(len(path.read_bytes()) for path in sorted(Path("files").iterdir())))
"""

READ = """
from deltalake import DeltaTable

print(len(DeltaTable("table").to_pandas()))
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run took: CPU seconds, split where it was `lakemark run`, and mebibytes."""

    total: float
    parent: float
    child: float
    script: float
    memory: float
    parent_memory: float = 0.0


@dataclass(frozen=True, slots=True)
class Scene:
    """A script, what it reads, and how often to measure."""

    name: str
    script: str
    rounds: int
    prepare: Callable[[Path], None] = lambda _: None


def make_table(folder: Path, *, rows: int, columns: int) -> None:
    """Write a Delta table of numbers, in files of a million rows as a nightly load leaves them."""
    subprocess.run([sys.executable, "-c", MAKE_TABLE, str(rows), str(columns)], cwd=folder, check=True)


def make_files(folder: Path, *, count: int) -> None:
    (folder / "files").mkdir()
    for number in range(count):
        (folder / "files" / f"part-{number:04}.csv").write_text("".join(f"{number},{row}\n" for row in range(400)))


def scenes(*, quick: bool) -> tuple[Scene, ...]:
    trees, rows = (60, 1_000_000) if quick else (3_000, 10_000_000)
    return (
        Scene("nothing", NOTHING, 5 if quick else 15),
        Scene(
            "train",
            TRAIN.format(trees=trees),
            2 if quick else 5,
            lambda folder: make_table(folder, rows=160_000, columns=21),
        ),
        Scene("files", FILES, 3 if quick else 9, lambda folder: make_files(folder, count=1_000)),
        Scene("table", READ, 2 if quick else 5, lambda folder: make_table(folder, rows=rows, columns=5)),
    )


def environment(bytecode: Path) -> dict[str, str]:
    """Return the variables for all runs: byte code is kept, as it is on anyone's machine, and one thread computes."""
    dropped = {"PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "LAKEMARK_HOME"}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return kept | {"PYTHONPYCACHEPREFIX": str(bytecode), "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}


def cost_of(command: list[str], folder: Path, variables: Mapping[str, str]) -> tuple[float, float]:
    """Run a command; return CPU seconds, of all that it started too, and its peak memory in KiB."""
    with (folder / "said").open("w") as said, (folder / "answer").open("w") as answer:
        process = subprocess.Popen(command, cwd=folder, env=dict(variables), stdout=answer, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"a {' '.join(command[3:])} ended with {process.returncode}\n{(folder / 'said').read_text()}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def plain(folder: Path, variables: Mapping[str, str]) -> Cost:
    seconds, peak = cost_of([sys.executable, "script.py"], folder, variables)
    return Cost(seconds, 0.0, seconds, seconds, peak / 1024)


def captured(folder: Path, variables: Mapping[str, str]) -> Cost:
    total, _ = cost_of([sys.executable, "-P", "-c", COMMAND, "run", "--json", "script.py"], folder, variables)
    parent, child, parent_peak = json.loads((folder / "usage.json").read_text())
    outputs = json.loads((folder / "answer").read_text().splitlines()[-1])["receipt"]["outputs"]
    peak = outputs["peak_rss_bytes"] / 2**20
    return Cost(total, parent, child, outputs["cpu_seconds"], peak, parent_peak / 1024)


def median(costs: list[Cost]) -> Cost:
    fields = ("total", "parent", "child", "script", "memory", "parent_memory")
    return Cost(*(statistics.median(getattr(cost, field) for cost in costs) for field in fields))


def measure(scene: Scene, variables: Mapping[str, str]) -> dict[str, Cost]:
    """Return the medians of the plain script, the first capture (each in a new home) and later ones."""
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as kept:
        folder, aside = Path(name), Path(kept)
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
        (folder / ".gitignore").write_text(".lakemark/\nusage.json\nsaid\nanswer\n")
        (folder / "script.py").write_text(scene.script)
        scene.prepare(folder)
        plain(folder, variables)  # fills the caches of the system and of Python
        captured(folder, variables)
        costs: dict[str, list[Cost]] = {"plain": [], "first": [], "warm": []}
        for number in range(scene.rounds):
            if number < 3:
                # put aside, not deleted: for a while ext4 makes new files at a high price where many were deleted
                (folder / ".lakemark").rename(aside / f"{scene.name}-{number}")
                costs["first"].append(captured(folder, variables))
            costs["plain"].append(plain(folder, variables))
            costs["warm"].append(captured(folder, variables))
        return {kind: median(found) for kind, found in costs.items()}


def show(scene: Scene, costs: Mapping[str, Cost]) -> bool:
    """Print the rows of a scene and return whether its budget is met."""
    base = costs["plain"]
    for kind, cost in costs.items():
        extra = cost.total - base.total
        allowed = FIXED + SHARE * base.total
        verdict = ("met" if extra <= allowed else "MISSED") if kind == "warm" else ""
        parts = f"{cost.parent:.2f} | {cost.script:.2f} | {cost.child - cost.script:.2f}" if kind != "plain" else "| |"
        budget = f"{allowed:.2f} {verdict}" if kind == "warm" else ""
        memory = f"{cost.memory:.0f} | {cost.parent_memory:.0f}" if kind != "plain" else f"{cost.memory:.0f} |"
        added = f"{extra:+.2f}" if kind != "plain" else ""
        print(f"| {scene.name} | {kind} | {cost.total:.2f} | {parts} | {added} | {budget} | {memory} |", flush=True)
    return costs["warm"].total - base.total <= FIXED + SHARE * base.total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller scripts, fewer rounds: a minute instead of ten")
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT", help="nothing, train, files, table; default: all")
    options = parser.parse_args()
    chosen = [scene for scene in scenes(quick=options.quick) if scene.name in (options.scripts or [scene.name])]
    tools = ", ".join(f"{name} {version(name)}" for name in ("deltalake", "pandas", "lightgbm", "sqlalchemy"))
    print(f"Python {platform.python_version()}, {tools}, {os.cpu_count()} cores; CPU seconds, MiB; medians\n")
    print("script = in the script's process while it ran; after = in that process before and after, and git;")
    print("parent = the command's own process; the budget is 1 s + 5 % of the plain script, for warm runs\n")
    print("| script | run | total | parent | script | after | extra | budget | peak of the script | of the parent |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as bytecode:
        variables = environment(Path(bytecode))
        met = [show(scene, measure(scene, variables)) for scene in chosen]
    sys.exit(0 if all(met) else 1)


if __name__ == "__main__":
    main()
