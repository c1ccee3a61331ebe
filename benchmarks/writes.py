"""What our write of a table costs over `deltalake` alone, beside Polars and DuckDB; and what an upsert costs.

CPU seconds of this process, all threads counted; by turns, the order turned round each time. Who comes second finds
memory warm, so two rounds, one in each order, are one pair: the ratio is the median over the pairs. The peer of each is
`write_deltalake` with the same rows. It exits with 1 where ours costs more than 5 % over it.
Run: `python benchmarks/writes.py [--rows N] [--rounds N]`.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from lakemark.tables.table import Table

BUDGET = 1.05
CREATE, APPEND, MERGE = "deltalake: a new table", "deltalake: append", "deltalake: merge"
PEERS = {
    "Table.append, same types": APPEND,
    "Table.append, int32 into int64": APPEND,
    "Table.merge": MERGE,
    APPEND: APPEND,
    MERGE: MERGE,
}
MERGED = 20  # one row of so many is merged


def rows(count: int) -> pa.Table:
    """Return rows of int64, float64, float32, int32 and text."""
    random = np.random.default_rng(1)
    names = pa.array([f"customer {number}" for number in range(100_000)])
    return pa.table(
        {
            "id": np.arange(count),
            "amount": random.normal(size=count),
            "weight": random.normal(size=count).astype("f4"),
            "day": random.integers(0, 20_000, count, dtype="i4"),
            "customer": names.take(pa.array(random.integers(0, len(names), count))),
        }
    )


def cpu_seconds(action: Callable[[], object]) -> float:
    before = os.times()
    action()
    after = os.times()
    return after.user - before.user + after.system - before.system


def writers(folder: Path, data: pa.Table) -> Mapping[str, Callable[[], object]]:
    """Return the contenders, each of which writes the same rows to a place of its own."""
    narrow = data.set_column(0, "id", data["id"].cast(pa.int32()))
    frame = pl.DataFrame(data)
    filled = Table(folder / "filled")
    filled.create(data.schema)
    Table(folder / "filled-peer").create(data.schema)
    return {
        CREATE: lambda: write_deltalake(folder / "peer", data),
        "Table.create": lambda: Table(folder / "ours").create(data),
        APPEND: lambda: write_deltalake(folder / "filled-peer", data, mode="append"),
        "Table.append, same types": lambda: filled.append(data),
        "Table.append, int32 into int64": lambda: filled.append(narrow),
        "polars.DataFrame.write_delta": lambda: frame.write_delta(str(folder / "polars")),
        "duckdb COPY TO parquet": lambda: copy_to_parquet(data, folder / "duck.parquet"),
    }


def copy_to_parquet(data: pa.Table, path: Path) -> None:
    connection = duckdb.connect()
    connection.register("data", data)
    connection.execute(f"COPY data TO '{path}' (FORMAT parquet)")


def mergers(folder: Path, data: pa.Table) -> Mapping[str, Callable[[], object]]:
    """Return contenders that upsert rows, half of which are new, into a table of their own."""
    count = len(data)
    some = data.slice(count - count // MERGED // 2)
    new = some.set_column(0, "id", pa.array(np.arange(count, count + len(some))))
    source = pa.concat_tables([some, new]).combine_chunks()
    for name in ("peer", "ours"):
        shutil.rmtree(folder / name, ignore_errors=True)
        write_deltalake(folder / name, data)

    def plain() -> None:
        merger = DeltaTable(folder / "peer").merge(
            source, predicate="target.id = source.id", source_alias="source", target_alias="target"
        )
        merger.when_matched_update_all().when_not_matched_insert_all().execute()

    return {
        MERGE: plain,
        "Table.merge": lambda: Table(folder / "ours").merge(source, on=["id"]),
    }


def measure(prepare: Callable[[], Mapping[str, Callable[[], object]]], rounds: int) -> dict[str, list[float]]:
    """Return the CPU seconds of each contender in each round; tables are new in each."""
    taken: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        contenders = prepare()
        for name in list(contenders) if number % 2 else reversed(list(contenders)):
            seconds = cpu_seconds(contenders[name])
            if number:
                taken.setdefault(name, []).append(seconds)
    return taken


def report(kind: str, taken: Mapping[str, list[float]]) -> dict[str, float]:
    """Print a line for each contender and return its ratio to what deltalake takes for the same."""
    ratios = {}
    for name, seconds in taken.items():
        peer = taken[PEERS.get(name, CREATE)]
        both = [sum(seconds[at : at + 2]) / sum(peer[at : at + 2]) for at in range(0, len(seconds), 2)]
        ratios[name] = statistics.median(both)
        print(f"| {kind} | {name} | {statistics.median(seconds):.2f} | {ratios[name]:.2f} |", flush=True)
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=10, help="an even number")
    options = parser.parse_args()
    tools = ", ".join(f"{name} {version(name)}" for name in ("deltalake", "pyarrow", "polars", "duckdb"))
    print(f"Python {platform.python_version()}, {tools}, {os.cpu_count()} cores; medians of {options.rounds}\n")
    data = rows(options.rows)
    print("| what | contender | CPU s | / deltalake |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def fresh() -> Mapping[str, Callable[[], object]]:
            shutil.rmtree(folder)
            folder.mkdir()
            return writers(folder, data)

        label = f"write {options.rows:,} rows, {data.nbytes / 2**20:.0f} MiB"
        ratios = report(label, measure(fresh, options.rounds))
        shutil.rmtree(folder)
        folder.mkdir()
        label = f"upsert {options.rows // MERGED:,} rows into {options.rows:,}"
        report(label, measure(lambda: mergers(folder, data), max(options.rounds // 4 * 2, 2)))
    missed = [name for name in ("Table.create", "Table.append, same types") if ratios[name] > BUDGET]
    if missed:
        print(f"\nover the budget of {BUDGET}: {', '.join(missed)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
