"""What reading a table costs, beside plain deltalake, Polars and DuckDB; and what opening one with many commits costs.

CPU seconds (all threads), wall seconds and peak memory of a process of its own for each read, imports not counted in
the seconds; by turns, medians. The peers that decide: `to_pyarrow_table`, which is what people call, for a table; for a
stream `DeltaTable.scan()`, cast to the types that the table declares, since it hands out texts as views, and its rows
in any order. Both of those and the raw scan are printed.

Memory is constant if a table with four times the rows takes no more than a quarter more at its peak, streamed.

Opening is measured in CPU milliseconds in this process, on tables as Lakemark makes them whose every commit replaced
the one file, at the worst moment: as many commits as there can be since the last checkpoint. Beside it a whole command,
and the same table with the checkpoints of a table that `deltalake` makes.

It exits with 1 where a budget is missed. Run: `python benchmarks/reads.py [--rows N] [--rounds N] [--commits N]`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from lakemark.tables.reading import TableReader
from lakemark.tables.table import PROPERTIES

FILES = 10
BUDGET = 1.05
MEMORY_BUDGET = 1.25
OPEN_BUDGET = 2.0
OURS, THEIRS = int(PROPERTIES["delta.checkpointInterval"]), 100


def exhaust(batches: Iterable[pa.RecordBatch]) -> int:
    return sum(batch.num_rows for batch in batches)


def as_declared(place: str) -> int:
    """Stream with the types that the table declares: the engine hands out texts as views."""
    table = DeltaTable(place)
    schema = pa.schema(table.schema().to_arrow())
    return exhaust(batch.cast(schema) for batch in pa.RecordBatchReader.from_stream(table.scan()))


def by_duckdb(place: str) -> int:
    with duckdb.connect() as engine:
        found = engine.read_parquet(sorted(DeltaTable(place).file_uris()))
        return exhaust(found.to_arrow_reader(65_536))


READS: dict[str, tuple[str, Callable[[str], int]]] = {
    "deltalake to_pyarrow_table": ("table", lambda place: DeltaTable(place).to_pyarrow_table().num_rows),
    "lakemark read": ("table", lambda place: TableReader(place).read().num_rows),
    "polars scan_delta, streaming": ("table", lambda place: pl.scan_delta(place).collect(engine="streaming").height),
    "deltalake scan (no order)": (
        "stream",
        lambda place: exhaust(pa.RecordBatchReader.from_stream(DeltaTable(place).scan())),
    ),
    "deltalake scan, declared types": ("stream", as_declared),
    "deltalake to_pyarrow_dataset": (
        "stream",
        lambda place: exhaust(DeltaTable(place).to_pyarrow_dataset().scanner().to_reader()),
    ),
    "lakemark batches": ("stream", lambda place: exhaust(TableReader(place).batches())),
    "duckdb on the files": ("stream", by_duckdb),
}
PEERS = {"table": "deltalake to_pyarrow_table", "stream": "deltalake scan, declared types"}


def make(place: str, rows: int, *, files: int = FILES) -> None:
    """Write a table of ten files or more: int64, float64, float32, int32 and a text of 1,000 values."""
    random = np.random.default_rng(1)
    names = pa.array([f"name {number}" for number in range(1000)])
    size = rows // files
    for number in range(files):
        columns = {
            "id": np.arange(number * size, (number + 1) * size),
            "amount": random.normal(size=size),
            "score": random.normal(size=size).astype("f4"),
            "kind": random.integers(0, 1000, size).astype("i4"),
            "name": names.take(pa.array(random.integers(0, 1000, size))),
        }
        write_deltalake(place, pa.table(columns), mode="append")


def one(name: str, place: str) -> None:
    """Do one read in this process, and say what it took."""
    TableReader(place).head(1)  # what is loaded late is loaded now, for all alike
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    rows = READS[name][1](place)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    print(json.dumps({"rows": rows, "cpu": cpu, "wall": wall, "memory": peak_mib()}), flush=True)
    os._exit(0)  # some of these libraries end in threads that outlive the interpreter


def peak_mib() -> float:
    """Return the peak of this process alone; what `getrusage` says may be that of the process that started it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return float(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def alone(name: str, place: str) -> dict[str, float]:
    """Return what one read takes in a process of its own."""
    command = [sys.executable, __file__, "--one", name, "--place", place]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def measure_reads(place: str, rounds: int) -> dict[str, dict[str, float]]:
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in READS}
    for turn in range(rounds + 1):
        for name, found in taken.items():
            figures = alone(name, place)
            if turn:
                found.append(figures)
    return {name: {key: statistics.median(one[key] for one in many) for key in many[0]} for name, many in taken.items()}


def make_log(place: str, commits: int, *, every: int) -> None:
    """Write a table whose commits each replace its one file, with a checkpoint after so many."""
    write_deltalake(place, pa.table({"x": [1]}), configuration=dict(PROPERTIES))
    log = Path(place) / "_delta_log"
    first = [json.loads(line) for line in (log / f"{0:020}.json").read_text().splitlines()]
    add = next(action["add"] for action in first if "add" in action)
    last, began = add["path"], int(time.time() * 1000)
    for number in range(1, commits):
        name = f"part-{number:05}.parquet"
        (Path(place) / name).hardlink_to(Path(place) / add["path"])
        info = {"timestamp": began + number, "operation": "WRITE", "operationParameters": {}}
        gone = {"path": last, "deletionTimestamp": info["timestamp"], "dataChange": True}
        actions = [{"commitInfo": info}, {"add": add | {"path": name}}, {"remove": gone}]
        (log / f"{number:020}.json").write_text("".join(json.dumps(action) + "\n" for action in actions))
        last = name
        if number % every == 0 and number + 2 * every > commits:  # older ones are not looked at
            DeltaTable(place, version=number).create_checkpoint()


def cpu_milliseconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (time.process_time() + children.ru_utime + children.ru_stime) * 1000


def measure_opens(places: dict[str, str], rounds: int) -> dict[tuple[str, str], float]:
    """Return the median CPU milliseconds of opening each table, all threads and processes counted."""
    command = [str(Path(sys.executable).with_name("lakemark")), "tables", "schema"]
    taken: dict[tuple[str, str], list[float]] = {}
    for turn in range(rounds + 1):
        for label, place in places.items():
            actions: dict[str, Callable[[], object]] = {
                "deltalake, latest": lambda place=place: DeltaTable(place),
                "lakemark, latest": lambda place=place: TableReader(place).open(),
                "deltalake, version 5": lambda place=place: DeltaTable(place, version=5),
                "lakemark, version 5": lambda place=place: TableReader(place).open(version=5),
                "names of the files in the log": lambda place=place: list(Path(place, "_delta_log").iterdir()),
                "lakemark tables schema": lambda place=place: subprocess.run(
                    [*command, place], check=True, capture_output=True
                ),
            }
            for name, action in actions.items():
                start = cpu_milliseconds()
                action()
                if turn:
                    taken.setdefault((label, name), []).append(cpu_milliseconds() - start)
    return {key: statistics.median(values) for key, values in taken.items()}


def report_reads(found: dict[str, dict[str, float]]) -> list[str]:
    """Print a line for each read, and return which budgets are missed."""
    print("| read | CPU s | wall s | peak MiB | CPU / deltalake |\n|---|---|---|---|---|")
    for name, taken in found.items():
        peer = found[PEERS[READS[name][0]]]
        ratio = taken["cpu"] / peer["cpu"]
        print(
            f"| {name} | {taken['cpu']:.2f} | {taken['wall']:.2f} | {taken['memory']:,.0f} | {ratio:.2f} |", flush=True
        )
    pairs = (("lakemark read", PEERS["table"]), ("lakemark batches", PEERS["stream"]))
    return [ours for ours, peer in pairs if found[ours]["cpu"] > BUDGET * found[peer]["cpu"]]


def report_memory(places: dict[int, str], rounds: int) -> list[str]:
    print("\n| stream of | lakemark batches, peak MiB | deltalake scan, peak MiB |\n|---|---|---|")
    peaks = {
        (rows, name): statistics.median(alone(name, place)["memory"] for _ in range(rounds))
        for rows, place in places.items()
        for name in ("lakemark batches", "deltalake scan, declared types")
    }
    for rows in places:
        print(
            f"| {rows:,} rows | " + " | ".join(f"{peak:,.0f}" for (of, _), peak in peaks.items() if of == rows) + " |"
        )
    few, many = sorted(places)
    ratio = peaks[many, "lakemark batches"] / peaks[few, "lakemark batches"]
    return ["the memory of a stream"] if ratio > MEMORY_BUDGET else []


def report_opens(found: dict[tuple[str, str], float]) -> list[str]:
    few, *more = dict.fromkeys(label for label, _ in found)
    print(f"\n| open, CPU ms | {few} | {' | ratio | '.join(more)} | ratio |")
    print("|---" * (2 + 2 * len(more)) + "|")
    for name in dict.fromkeys(name for _, name in found):
        base = found[few, name]
        others = [f"{found[label, name]:.1f} | {found[label, name] / base:.1f}" for label in more]
        print(f"| {name} | {base:.1f} | {' | '.join(others)} |", flush=True)
    ratio = found[more[0], "lakemark, latest"] / found[few, "lakemark, latest"]
    return ["opening a table with many commits"] if ratio > OPEN_BUDGET else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--commits", type=int, default=10_000)
    parser.add_argument("--one", choices=READS, help=argparse.SUPPRESS)
    parser.add_argument("--place", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options.one, options.place)
    tools = ", ".join(f"{name} {version(name)}" for name in ("deltalake", "pyarrow", "polars", "duckdb"))
    print(f"Python {platform.python_version()}, {tools}, {os.cpu_count()} cores; medians of {options.rounds}")
    print(f"{options.rows:,} rows in {FILES} files\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(str(folder / "rows"), options.rows)
        missed = report_reads(measure_reads(str(folder / "rows"), options.rounds))
        make(str(folder / "more"), options.rows * 4, files=FILES * 4)
        sizes = {options.rows: str(folder / "rows"), options.rows * 4: str(folder / "more")}
        missed += report_memory(sizes, rounds=3)
        shutil.rmtree(folder / "more")
        logs = {
            "10 commits": (10, OURS),
            f"{options.commits:,} commits": (options.commits, OURS),
            f"the same, a checkpoint each {THEIRS}": (options.commits, THEIRS),
        }
        for number, (commits, every) in enumerate(logs.values()):
            make_log(str(folder / f"log{number}"), commits, every=every)
        places = {label: str(folder / f"log{number}") for number, label in enumerate(logs)}
        missed += report_opens(measure_opens(places, options.rounds))
    if missed:
        print(f"\nover the budget: {', '.join(missed)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
