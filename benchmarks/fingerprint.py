"""What the content hash `lmfp1` costs, beside reading the same table and beside the row hashes of pandas and polars.

CPU seconds of this process, all threads counted; by turns, medians. The bytes are those of the Arrow table in memory.
It exits with 1 where `lmfp1` of the Arrow table takes more than a CPU second for 0.5 GB.
Run: `python benchmarks/fingerprint.py [--rows N] [--rounds N]`.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from lakemark.tables.fingerprint import fingerprint, fingerprint_frame

BUDGET = 0.5e9
"""Bytes a CPU second, at least."""


def numbers(rows: int) -> pa.Table:
    random = np.random.default_rng(1)
    return pa.table({f"x{place}": random.normal(size=rows) for place in range(5)})


def mixed(rows: int) -> pa.Table:
    """Return what a table of events looks like: numbers, a few names, many names, times, and some nulls."""
    random = np.random.default_rng(2)
    places = pa.array([f"place {number}" for number in range(300)])
    return pa.table(
        {
            "id": np.arange(rows),
            "delay": pa.array(random.normal(size=rows), mask=random.random(rows) < 0.03),
            "origin": places.take(pa.array(random.integers(0, 300, rows))),
            "tail": pa.array([f"N{number}" for number in random.integers(0, 10**6, rows)]),
            "at": pa.array(random.integers(0, 10**15, rows), pa.timestamp("us", "UTC")),
        }
    )


def cpu_seconds(action: Callable[[], object]) -> float:
    before = os.times()
    action()
    after = os.times()
    return after.user - before.user + after.system - before.system


def measure(folder: Path, table: pa.Table, rounds: int) -> dict[str, float]:
    """Return the median CPU seconds of each contender."""
    write_deltalake(folder, table)
    arrow = DeltaTable(folder).to_pyarrow_table()
    pandas_frame, polars_frame = arrow.to_pandas(), pl.DataFrame(arrow)
    contenders: dict[str, Callable[[], object]] = {
        "read to Arrow (deltalake)": lambda: DeltaTable(folder).to_pyarrow_table(),
        "read to pandas (deltalake)": lambda: DeltaTable(folder).to_pandas(),
        "lmfp1 of the Arrow table": lambda: fingerprint(arrow),
        "lmfp1 of the pandas frame": lambda: fingerprint_frame(pandas_frame),
        "pandas.util.hash_pandas_object": lambda: pd.util.hash_pandas_object(pandas_frame, index=False),
        "polars.DataFrame.hash_rows": polars_frame.hash_rows,
    }
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, action in contenders.items():
            seconds = cpu_seconds(action)
            if number:
                taken[name].append(seconds)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    tools = ", ".join(f"{name} {version(name)}" for name in ("deltalake", "pyarrow", "pandas", "polars", "numpy"))
    print(f"Python {platform.python_version()}, {tools}, {os.cpu_count()} cores; medians of {options.rounds}\n")
    print("| table | contender | CPU s | MiB a CPU second | / reading to pandas |")
    print("|---|---|---|---|---|")
    slow = []
    for kind, make in (("5 columns of floats", numbers), ("mixed, with strings", mixed)):
        table = make(options.rows)
        with tempfile.TemporaryDirectory() as name:
            costs = measure(Path(name) / "table", table, options.rounds)
        label = f"{kind}, {options.rows:,} rows, {table.nbytes / 2**20:.0f} MiB"
        reading = costs["read to pandas (deltalake)"]
        if table.nbytes < BUDGET * costs["lmfp1 of the Arrow table"]:
            slow.append(kind)
        for contender, seconds in costs.items():
            rate = f"{table.nbytes / 2**20 / seconds:,.0f}" if seconds else ""
            print(f"| {label} | {contender} | {seconds:.2f} | {rate} | {seconds / reading:.2f} |", flush=True)
    if slow:
        print(f"\nslower than the budget: {', '.join(slow)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
