"""What `diff` of two versions costs that share most of their files, beside joining both versions whole.

Each contender runs in a process of its own, by turns: wall and CPU seconds, all threads counted, and the peak of its
memory; medians. All count the rows added, removed and changed by key, and must agree; without a key a changed row
counts as removed and added. The peers are joins that people would write in DuckDB and Polars; both read all files.

It exits with 1 where ours counts other rows than the peers, or fails after the files that both versions share were
taken away: it must not need them.
Run: `python benchmarks/diff.py [--rows N] [--files N] [--rounds N]`.
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
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

CONTENDERS = (
    "lakemark",
    "lakemark, statistics of whole versions",
    "lakemark, without a key",
    "lakemark, nothing shared",
    "duckdb join",
    "polars join",
)
COLUMNS = ("delay", "distance", "origin", "at")
_CHANGED = 1000


def make(folder: Path, rows: int, files: int) -> None:
    """Write version `files - 1` with all rows, and one after it in which one file has other rows."""
    random = np.random.default_rng(7)
    places = pa.array([f"place {number}" for number in range(300)])
    each = rows // files
    for file in range(files):
        part = pa.table(
            {
                "id": np.arange(file * each, (file + 1) * each),
                "delay": pa.array(random.normal(size=each), mask=random.random(each) < 0.03),
                "distance": pa.array(random.integers(0, 5000, each), pa.int32()),
                "origin": places.take(pa.array(random.integers(0, 300, each))),
                "at": pa.array(random.integers(0, 10**15, each), pa.timestamp("us", "UTC")),
            }
        )
        write_deltalake(folder, part, mode="append")
    DeltaTable(folder).update(
        predicate=f"id >= {each - _CHANGED} AND id < {each}", updates={"distance": "distance + 1"}
    )
    copy = DeltaTable(folder).to_pyarrow_table()
    write_deltalake(folder.with_name("copy"), copy)


def ours(folder: Path, name: str) -> tuple[list[int], str]:
    from lakemark.tables.differences.diff import diff
    from lakemark.tables.reading import TableReader

    newest = DeltaTable(folder).version()
    after = TableReader(folder.with_name("copy")) if "nothing" in name else TableReader(folder, at=newest)
    how = "all" if "statistics" in name else "changed"
    key = None if "without" in name else ["id"]
    with diff(TableReader(folder, at=newest - 1), after, key=key, statistics=how) as found:
        counts = found.counts
        read = f"{found.files.before + found.files.after} (+ {found.files.shared} shared)"
        return [counts.added, counts.removed, counts.changed], f"{read}, {found.files.bytes / 2**20:.0f} MiB"


def duckdb_join(before: list[str], after: list[str]) -> list[int]:
    import duckdb

    differs = " OR ".join(f"b.{name} IS DISTINCT FROM a.{name}" for name in COLUMNS)
    found = duckdb.execute(
        f"""SELECT count(*) FILTER (WHERE b.id IS NULL), count(*) FILTER (WHERE a.id IS NULL),
                   count(*) FILTER (WHERE b.id IS NOT NULL AND a.id IS NOT NULL AND ({differs}))
            FROM read_parquet({before}) b FULL JOIN read_parquet({after}) a ON b.id = a.id"""  # noqa: S608 -- files of this benchmark
    ).fetchall()
    return list(found[0])


def polars_join(folder: Path, newest: int) -> list[int]:
    import polars as pl

    before = pl.scan_delta(str(folder), version=newest - 1).with_columns(old=True)
    after = pl.scan_delta(str(folder), version=newest).with_columns(new=True)
    joined = before.join(after, on="id", how="full")
    same = pl.all_horizontal([pl.col(name).eq_missing(pl.col(f"{name}_right")) for name in COLUMNS])
    counted = joined.select(
        pl.col("old").is_null().sum(),
        removed=pl.col("new").is_null().sum(),
        changed=(pl.col("old").is_not_null() & pl.col("new").is_not_null() & ~same).sum(),
    )
    return list(counted.collect(engine="streaming").row(0))


def peak_memory() -> float:
    """Return MiB; `getrusage` would count what the parent had when it started this process."""
    status = Path("/proc/self/status").read_text().split()
    return int(status[status.index("VmHWM:") + 1]) / 2**10


def contend(folder: Path, name: str) -> None:
    """Run one contender and print what it took as JSON."""
    newest = DeltaTable(folder).version()
    sides = [DeltaTable(folder, version=number).file_uris() for number in (newest - 1, newest)]
    wall, cpu = time.perf_counter(), os.times()
    if name.startswith("lakemark"):
        counts, read = ours(folder, name)
    else:
        counts = polars_join(folder, newest) if "polars" in name else duckdb_join(*sides)
        size = sum(Path(file).stat().st_size for side in sides for file in side)
        read = f"{sum(map(len, sides))}, {size / 2**20:.0f} MiB"
    done = os.times()
    print(
        json.dumps(
            {
                "counts": counts,
                "read": read,
                "wall": time.perf_counter() - wall,
                "cpu": done.user - cpu.user + done.system - cpu.system,
                "memory": peak_memory(),
            }
        )
    )


def alone(folder: Path, name: str) -> Any:  # noqa: ANN401 -- JSON
    """Return what one contender prints, in a process of its own."""
    command = [sys.executable, __file__, "--contend", str(folder), name]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def counted_without_shared_files(folder: Path) -> Any:  # noqa: ANN401 -- JSON
    """Return what ours counts where the files that both versions share are gone, None where it fails then."""
    newest = DeltaTable(folder).version()
    before, after = (set(DeltaTable(folder, version=number).file_uris()) for number in (newest - 1, newest))
    for file in before & after:
        Path(file).unlink()
    try:
        return alone(folder, "lakemark")["counts"]
    except subprocess.CalledProcessError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contend", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contend:
        contend(Path(options.contend[0]), options.contend[1])
        return
    tools = ", ".join(f"{name} {version(name)}" for name in ("deltalake", "pyarrow", "duckdb", "polars", "numpy"))
    print(f"Python {platform.python_version()}, {tools}, {os.cpu_count()} cores; medians of {options.rounds}")
    print(f"{options.rows:,} rows in {options.files} files, of which 1 differs in {_CHANGED} rows\n")
    taken: dict[str, list[Any]] = {name: [] for name in CONTENDERS}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "table"
        make(folder, options.rows, options.files)
        for _ in range(options.rounds):
            for name in CONTENDERS:
                taken[name].append(alone(folder, name))
        away = counted_without_shared_files(folder)
    print("| contender | added, removed, changed | files read | wall s | CPU s | peak MiB |")
    print("|---|---|---|---|---|---|")
    for name, found in taken.items():
        wall, cpu, memory = (statistics.median(one[what] for one in found) for what in ("wall", "cpu", "memory"))
        print(f"| {name} | {found[0]['counts']} | {found[0]['read']} | {wall:.2f} | {cpu:.2f} | {memory:.0f} |")
    counts = {name: found[0]["counts"] for name, found in taken.items()}
    alike = [counts[name] for name in CONTENDERS if name != "lakemark, without a key"]
    wrong = [] if alike.count(alike[0]) == len(alike) else ["the counts differ"]
    if away != counts["lakemark"]:
        wrong.append("files that both versions share are needed")
    if wrong:
        print(f"\nover the budget: {', '.join(wrong)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
