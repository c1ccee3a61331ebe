"""A stream of many commits from table to table, beside a bare loop that reads the same files and appends them.

Both run in a process of their own, in turns, with as many files in a batch. Seconds of wall and CPU (all threads, with
the import of what is needed), medians. Linearity: the CPU of one batch with 10 and with 500 commits behind it.
Run: `python benchmarks/streams.py [--commits 200] [--rows 20000] [--rounds 5]`.
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
from importlib.metadata import version
from pathlib import Path

STREAM = """
import sys
from lakemark.tables.streams import read_stream
from lakemark.tables.table import Table
source, sink, files = sys.argv[1:]
read_stream(Table(source), {"startingVersion": 1, "maxFilesPerTrigger": files}).write(Table(sink), name="q").run()
"""

LOOP = """
import json, sys
from pathlib import Path
from urllib.parse import unquote
import pyarrow.dataset as ds
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
source, sink, count = sys.argv[1:]
table = DeltaTable(source)
paths = []
for number in range(1, table.version() + 1):
    for line in (Path(source) / "_delta_log" / f"{number:020}.json").read_text().splitlines():
        action = json.loads(line)
        if "add" in action:
            paths.append(str(Path(source) / unquote(action["add"]["path"])))
for batch, start in enumerate(range(0, len(paths), int(count))):
    rows = ds.dataset(paths[start : start + int(count)], format="parquet").scanner().to_reader()
    target = DeltaTable(sink) if batch else sink
    done = CommitProperties(app_transactions=[Transaction("q", batch)])
    write_deltalake(target, rows, mode="append", commit_properties=done)
"""

NEXT = """
import resource, sys
from lakemark.tables.streams import read_stream
from lakemark.tables.table import Table
import pyarrow as pa
source, sink = Table(sys.argv[1]), Table(sys.argv[2])
query = read_stream(source).write(sink, name="q")
query.run()
for _ in range(20):
    source.append(pa.table({"id": [1], "price": [1.0], "amount": pa.array([1], pa.int32()), "shop": ["a"]}))
before = resource.getrusage(resource.RUSAGE_SELF)
read_stream(source, {"maxFilesPerTrigger": 1}).write(sink, name="q", compact_every=0).run()
after = resource.getrusage(resource.RUSAGE_SELF)
print((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 20)
"""


def fill(folder: Path, commits: int, rows: int) -> None:
    """Make the source: an empty table, then so many commits of one file each."""
    import numpy as np
    import pyarrow as pa
    from deltalake import DeltaTable, write_deltalake

    rng = np.random.default_rng(0)
    schema = pa.schema([("id", pa.int64()), ("price", pa.float64()), ("amount", pa.int32()), ("shop", pa.string())])
    DeltaTable.create(str(folder), schema)
    table = DeltaTable(str(folder))
    shops = np.array([f"shop {number}" for number in range(1000)])
    for number in range(commits):
        columns = [
            pa.array(np.arange(number * rows, (number + 1) * rows)),
            pa.array(rng.normal(size=rows)),
            pa.array(rng.integers(0, 10_000, rows).astype("int32")),
            pa.array(shops[rng.integers(0, 1000, rows)]),
        ]
        write_deltalake(table, pa.Table.from_arrays(columns, schema=schema), mode="append")


def measure(code: str, *arguments: object) -> tuple[float, float, float]:
    """Return wall and CPU seconds, and the peak of memory in MB, of a process."""
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code, *(str(one) for one in arguments)])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def compare(source: Path, files: int, *, rounds: int, rows: int) -> None:
    """Print what both cost with so many files in a batch."""
    found: dict[str, list[tuple[float, float, float]]] = {"stream": [], "bare loop": []}
    for _ in range(rounds):
        for name, code in (("stream", STREAM), ("bare loop", LOOP)):
            with tempfile.TemporaryDirectory() as folder:
                found[name].append(measure(code, source, Path(folder) / "sink", files))
    for name, costs in found.items():
        wall, cpu, memory = (statistics.median(column) for column in zip(*costs, strict=True))
        print(
            f"| {files} files a batch | {name} | {wall:.2f} | {cpu:.2f} | {rows / wall / 1e6:.2f} | "
            f"{rows / cpu / 1e6:.2f} | {memory:.0f} |"
        )


def next_batch(commits: int) -> float:
    """Return the CPU milliseconds of a batch of one commit, with so many commits in the source before it."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        fill(source, commits, 1)
        out = subprocess.run(
            [sys.executable, "-c", NEXT, source, Path(folder) / "sink"],
            capture_output=True,
            text=True,
            check=True,
        )
    return float(out.stdout) * 1000


def main() -> None:
    """Print the tables of RESULTS.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--commits", type=int, default=200)
    parser.add_argument("--rows", type=int, default=20_000, help="rows of a commit")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print(f"Python {platform.python_version()}, deltalake {version('deltalake')}, pyarrow {version('pyarrow')}")
    print(f"{given.commits} commits of {given.rows} rows, 4 columns\n")
    print("| | | wall s | CPU s | M rows/s | M rows/CPU s | peak MB |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        fill(source, given.commits, given.rows)
        for files in (1000, 10, 1):
            compare(source, files, rounds=given.rounds, rows=given.commits * given.rows)
    for commits in (10, 500):
        print(f"\none batch after {commits} commits: {next_batch(commits):.1f} ms of CPU")


if __name__ == "__main__":
    main()
