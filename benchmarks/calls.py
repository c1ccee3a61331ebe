"""What one call costs that Lakemark watches: the same loops in a plain process and below `lakemark run`.

CPU microseconds a call, medians of paired rounds. Run: `python benchmarks/calls.py [--rounds 5]`.
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
from importlib.metadata import version
from pathlib import Path

SCRIPT = """
import json, os, sys
import numpy as np
import pandas as pd
from deltalake import DeltaTable
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import cross_val_score

x = np.random.default_rng(0).normal(size=(1000, 10))
y = x[:, 0] + x[:, 1]
frame = pd.DataFrame(x, columns=list("abcdefghij"))
model = Ridge().fit(x, y)
found = model.predict(x)
numbers = iter(range(10**9))


def write_one():
    with open(f"written-{next(numbers) % 100}.txt", "w") as file:
        file.write("x")


def open_one():
    with open("one.csv") as file:
        file.read()


def fit_and_measure():
    mean_absolute_error(y, Ridge().fit(x, y).predict(x))


LOOPS = {
    "open a file again": (open_one, 5000),
    "write a file": (write_one, 2000),
    "os.stat": (lambda: os.stat("one.csv"), 20000),
    "numpy.random.default_rng(1)": (lambda: np.random.default_rng(1), 5000),
    "Ridge.predict, 1 row": (lambda: model.predict(x[:1]), 3000),
    "Ridge.fit, 1,000 x 10": (lambda: Ridge().fit(x, y), 500),
    "fit, predict, mean_absolute_error": (fit_and_measure, 300),
    "cross_val_score, 5 folds": (lambda: cross_val_score(Ridge(), x, y, cv=5), 30),
    "pandas.read_csv, 10 rows": (lambda: pd.read_csv("one.csv"), 500),
    "DeltaTable.to_pandas, 3 rows": (lambda: DeltaTable("table").to_pandas(), 100),
}
taken = {}
for name, (call, count) in LOOPS.items():
    call()
    before = os.times()
    for _ in range(count):
        call()
    after = os.times()
    taken[name] = (after.user + after.system - before.user - before.system) / count * 1e6
with open(sys.argv[1], "w") as file:
    json.dump(taken, file)
"""

PREPARE = """
import pyarrow as pa
from deltalake import write_deltalake

write_deltalake("table", pa.table({"a": [1, 2, 3]}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    command = str(Path(sys.executable).with_name("lakemark"))
    commands = {"plain": [sys.executable, "script.py"], "captured": [command, "run", "script.py"]}
    rows: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "script.py").write_text(SCRIPT)
        (folder / "one.csv").write_text("a,b\n" + "1,2\n" * 10)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        subprocess.run([sys.executable, "-c", PREPARE], cwd=folder, check=True)
        for number in range(options.rounds + 1):  # the first fills the caches
            for kind, words in commands.items():
                taken = folder / f"{kind}.json"
                subprocess.run([*words, str(taken)], cwd=folder, check=True, capture_output=True, env=environment)
                for loop, microseconds in json.loads(taken.read_text()).items():
                    if number:
                        rows.setdefault(loop, {}).setdefault(kind, []).append(microseconds)
    tools = ", ".join(f"{name} {version(name)}" for name in ("deltalake", "pandas", "scikit-learn"))
    print(f"Python {platform.python_version()}, {tools}, {os.cpu_count()} cores; medians of {options.rounds}\n")
    print("| call | plain, CPU µs | below `lakemark run` | added |")
    print("|---|---|---|---|")
    for loop, kinds in rows.items():
        plain, captured = statistics.median(kinds["plain"]), statistics.median(kinds["captured"])
        print(f"| {loop} | {plain:,.1f} | {captured:,.1f} | {captured - plain:+,.1f} |")


if __name__ == "__main__":
    main()
