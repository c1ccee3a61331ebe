"""What SQL over a table costs, beside DuckDB on the bare files, the SQL of Polars and the query builder of `deltalake`.

Each contender runs in a process of its own (Linux), by turns: CPU seconds (all threads) and wall seconds of a call in a
warm process and of the first one with its imports, and the most memory; medians.
Run: `python benchmarks/sql.py [--rows N] [--rounds N]`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

BUDGET = 1.25
"""CPU seconds of ours over those of DuckDB on the bare files."""

GROUPED = "SELECT store, count(*) AS n, sum(price) AS total, max(sold) AS latest FROM {} WHERE units > 2 GROUP BY store"
PARTS = 10


def make(folder: Path, rows: int) -> None:
    """Write sales in ten files, then a version that deletes nearly all: queries ask for the one before."""
    random = np.random.default_rng(3)
    names = pa.array([f"store {number}" for number in range(300)])
    for _ in range(PARTS):
        part = rows // PARTS
        write_deltalake(
            folder,
            pa.table(
                {
                    "id": random.integers(0, 10**9, part),
                    "price": random.normal(10, 3, part),
                    "units": random.integers(0, 9, part).astype(np.int32),
                    "store": names.take(pa.array(random.integers(0, 300, part))),
                    "sold": pa.array(random.integers(0, 10**15, part), pa.timestamp("us", "UTC")),
                }
            ),
            mode="append",
        )
    write_deltalake(folder, DeltaTable(folder).to_pyarrow_dataset().head(1000), mode="overwrite")


def ours(folder: str, at: int) -> int:
    from lakemark.tables.queries.sql import query
    from lakemark.tables.reading import TableReader

    text = GROUPED.format(f"sales VERSION AS OF {at}")
    return int(query(text, resolve=lambda _: TableReader(folder)).read_all().num_rows)


def duckdb_files(folder: str, at: int) -> int:
    import duckdb

    files = DeltaTable(folder, version=at).file_uris()
    relation = duckdb.connect().sql(GROUPED.format(f"read_parquet({files})"))
    return len(relation.to_arrow_table())


def polars_sql(folder: str, at: int) -> int:
    import polars as pl

    frame = pl.scan_delta(folder, version=at)
    return len(pl.SQLContext(sales=frame).execute(GROUPED.format("sales"), eager=True))


def query_builder(folder: str, at: int) -> int:
    from deltalake import QueryBuilder

    found = QueryBuilder().register("sales", DeltaTable(folder, version=at)).execute(GROUPED.format("sales"))
    return len(pa.table(found.read_all()))


CONTENDERS = {
    "lakemark sql": ours,
    "DuckDB on the files": duckdb_files,
    "Polars SQL": polars_sql,
    "deltalake QueryBuilder": query_builder,
}


def measure(name: str, folder: Path, at: int) -> list[float]:
    """Return what `child` prints, from a process of its own."""
    command = [sys.executable, __file__, "--only", name, "--folder", str(folder), "--at", str(at)]
    return list(map(float, subprocess.check_output(command, text=True).split()))


def child(name: str, folder: str, at: int) -> None:
    """Print CPU and wall seconds of the second call, and of the first one with its imports, and MB."""
    times = [cpu_and_wall(CONTENDERS[name], folder, at) for _ in range(2)]
    status = Path("/proc/self/status").read_text()
    print(*times[1], *times[0], int(status.partition("VmHWM:")[2].split()[0]) / 1024)


def cpu_and_wall(function: Callable[[str, int], int], folder: str, at: int) -> tuple[float, float]:
    before, began = os.times(), time.perf_counter()
    assert function(folder, at) == 300
    after = os.times()
    return after.user - before.user + after.system - before.system, time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only")
    parser.add_argument("--folder")
    parser.add_argument("--at", type=int)
    given = parser.parse_args()
    if given.only:
        child(given.only, given.folder, given.at)
        return 0
    print(", ".join(f"{name} {version(name)}" for name in ("duckdb", "polars", "deltalake", "pyarrow")))
    figures: dict[str, list[list[float]]] = {name: [] for name in CONTENDERS}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "sales"
        make(folder, given.rows)
        for turn in range(given.rounds + 1):
            for name in CONTENDERS:
                figure = measure(name, folder, PARTS - 1)
                if turn:
                    figures[name].append(figure)
    medians = {name: list(map(statistics.median, zip(*turns, strict=True))) for name, turns in figures.items()}
    print(f"{given.rows:,} rows in {PARTS} files, at an older version; medians of {given.rounds}\n")
    print("| contender | CPU s | wall s | first call: CPU s | wall s | MB |\n|---|---|---|---|---|---|")
    for name, values in medians.items():
        print(f"| {name} | {' | '.join(f'{value:.2f}' for value in values[:4])} | {values[4]:.0f} |")
    ratio = medians["lakemark sql"][0] / medians["DuckDB on the files"][0]
    print(f"\nours to DuckDB on the files: {ratio:.2f}x, at most {BUDGET}")
    return int(ratio > BUDGET)


if __name__ == "__main__":
    sys.exit(main())
