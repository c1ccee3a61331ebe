"""Two things at once on one table: as if one came after the other, nothing lost and nothing doubled.

The first test leaves nothing to chance: one operation opens the table, another one is done from begin to end, and the
first goes on with what it saw. `FAULTS_RACES=all` tries every pair, and every moment at which the table is opened.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from lakemark._base.errors import ConflictError, LakemarkError
from lakemark.tables.checks.rules import Check, RowCount
from lakemark.tables.checks.running import add_check, declared_checks
from lakemark.tables.table import Table
from lakemark.tables.upkeep.compaction import compact_small_files
from lakemark.tables.upkeep.maintenance import checkpoint, compact, z_order
from lakemark.tables.upkeep.vacuum import vacuum

EVERY = os.environ.get("FAULTS_RACES") == "all"
ROUNDS = 4


def rows(*ids: int, value: int = 0) -> pa.Table:
    parts = ["a" if number % 2 else "b" for number in ids]
    return pa.table({"id": ids, "p": parts, "x": pa.array([value] * len(ids), pa.int32())})


def pile(table: Table) -> bool:
    return compact_small_files(table, small_bytes=1 << 24, limit=1, message="of a stream")


OPERATIONS: Mapping[str, Callable[[Table], object]] = {
    "append": lambda table: table.append(rows(100, 3, value=4)),
    "append a column": lambda table: table.append(rows(101).append_column("c", pa.array(["c"])), schema_mode="merge"),
    "overwrite": lambda table: table.overwrite(rows(200, 3)),
    "overwrite where": lambda table: table.overwrite(rows(1, 3, value=9), where="id <= 4"),
    "overwrite part": lambda table: table.overwrite(rows(1, value=9), where="p = 'a'"),
    "delete": lambda table: table.delete("id = 5 or id = 3"),
    "delete part": lambda table: table.delete("p = 'a'"),
    "delete all": lambda table: table.delete(everything=True),
    "update": lambda table: table.update({"x": "x + 1"}, "id <= 8"),
    "merge": lambda table: table.merge(rows(2, 300, value=50), on=["id"]),
    "merge away": lambda table: table.merge(rows(9, 300, value=60), on=["id"], unmatched_by_source="delete"),
    "restore": lambda table: table.restore(1),
    "widen": lambda table: table.widen({"x": pa.int64()}),
    "add column": lambda table: table.add_columns(pa.schema([("d", pa.string())])),
    "set": lambda table: table.set_properties({"own.note": "n"}),
    "constrain": lambda table: table.add_constraint("small", "id < 100"),
    "check": lambda table: add_check(table, Check("few", RowCount(max=10))),
    "compact": compact,
    "compact part": lambda table: compact(table, where={"p": "a"}),
    "z-order": lambda table: z_order(table, ["id"]),
    "stream's compaction": pile,
    "checkpoint": checkpoint,
    "vacuum": lambda table: vacuum(table, pins=[], retention_hours=0),
}
FIRST = [name for name in OPERATIONS if name not in {"checkpoint", "set", "append a column", "add column"}]
SECOND = ["append", "delete", "merge", "restore", "compact"]


class Raced(Table):
    """A table to which somebody else does something right after it was opened for the n-th time."""

    def __init__(self, uri: str, turn: int, name: str) -> None:
        super().__init__(uri)
        self.turn = turn
        self.meddling = name
        self.opened = 0

    def open(self, *, version: int | None = None, timestamp: datetime | str | None = None) -> DeltaTable:
        table = super().open(version=version, timestamp=timestamp)
        self.opened += 1
        if self.opened == self.turn:
            meddler = threading.Thread(target=perform, args=(self.meddling, Table(self.uri)))
            meddler.start()
            meddler.join()
        return table


class Course:
    """Copies of one table, and what comes of operations that are done one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.numbers = itertools.count()
        self.known: dict[tuple[str, ...], object] = {}
        table = Table(folder / "start")
        table.create(rows(1, 2, 3, 4), partition_by=["p"])
        table.append(rows(5, 6, 7, 8))
        table.append(rows(9, 10))

    def copy(self) -> str:
        return str(shutil.copytree(self.folder / "start", self.folder / str(next(self.numbers))))

    def serial(self, *names: str) -> object:
        if names not in self.known:
            table = Table(self.copy())
            for name in names:
                perform(name, table)
            self.known[names] = state(table.uri)
        return self.known[names]


def perform(name: str, table: Table) -> LakemarkError | None:
    try:
        OPERATIONS[name](table)
    except LakemarkError as error:
        return error
    return None


def state(uri: str) -> object:
    found = Table(uri).read()
    found = found.select(sorted(found.column_names))
    return found.schema.remove_metadata(), Counter(map(repr, found.to_pylist()))


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    return Course(tmp_path_factory.mktemp("course"))


@pytest.mark.parametrize("first", OPERATIONS if EVERY else FIRST)
def test_what_was_opened_before_another_change(first: str, course: Course) -> None:
    raced = 0
    for second in OPERATIONS if EVERY else SECOND:
        for turn in range(1, 9 if EVERY else 2):
            uri = course.copy()
            table = Raced(uri, turn, second)
            error = perform(first, table)
            if table.opened < turn:
                break
            raced += 1
            allowed = [course.serial(second, first), course.serial(first, second)]
            if error is not None:
                allowed.append(course.serial(second))
            assert state(uri) in allowed, (first, second, turn, error)
            shutil.rmtree(uri)
    assert raced or first in {"vacuum", "checkpoint"}  # which open it in their own way


def test_a_check_and_rows_that_break_it_never_both_win(course: Course) -> None:
    uri = course.copy()
    assert isinstance(perform("check", Raced(uri, 1, "append")), ConflictError)
    assert declared_checks(Table(uri).open()) == ()
    assert Table(uri).count() == 12


WORKER = """
import sys
import pyarrow as pa
from lakemark._base.errors import ConflictError
from lakemark.tables.table import Table
from lakemark.tables.upkeep.compaction import compact_small_files
from lakemark.tables.upkeep.maintenance import compact, z_order

table, kind, number, rounds = Table(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
sys.stdin.readline()
for turn in range(rounds):
    key = 1000 * (number + 1) + turn
    try:
        if kind == "compact":
            compact(table)
        elif kind == "z-order":
            z_order(table, ["id"])
        elif kind == "stream":
            compact_small_files(table, small_bytes=1 << 24, limit=1, message="of a stream")
        elif kind == "append":
            table.append(pa.table({"id": [key], "hits": [0]}))
        elif kind == "delete":
            table.delete(f"id = {500 + number * rounds + turn}")
        elif kind == "update":
            table.update({"hits": "hits + 1"}, "id < 10")
        elif kind == "merge":
            table.merge(pa.table({"id": [1, key], "hits": [0, 0]}), on=["id"], matched="ignore")
    except ConflictError as error:
        if kind not in ("compact", "z-order", "stream"):  # those change no row, so they may lose every race
            raise
        print(error.message)
"""


def run_at_once(table: Table, kinds: list[str], *, rounds: int) -> None:
    running = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, table.uri, kind, str(number), str(rounds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, kind in enumerate(kinds)
    ]
    outcomes = [process.communicate("go\n") for process in running]
    assert [process.returncode for process in running] == [0] * len(kinds), outcomes


def check_counts(table: Table, kinds: list[str], *, rounds: int) -> None:
    """Look that each row is there once, and that no update was lost."""
    found = table.read().to_pylist()
    ids = Counter(row["id"] for row in found)
    assert set(ids.values()) == {1}, ids
    gone = {500 + at * rounds + turn for at, kind in enumerate(kinds) if kind == "delete" for turn in range(rounds)}
    added = {
        1000 * (at + 1) + turn for at, kind in enumerate(kinds) if kind in ("append", "merge") for turn in range(rounds)
    }
    assert set(ids) == (set(range(1, 10)) | set(range(500, 600)) | added) - gone
    hits = rounds * kinds.count("update")
    assert {row["hits"] for row in found if row["id"] < 10} == {hits}
    assert table.count() == len(found)


def filled(uri: str | Path) -> Table:
    """Return a table in many small files."""
    table = Table(uri)
    table.create(pa.table({"id": [*range(1, 10)], "hits": [0] * 9}))
    for start in range(500, 600, 20):
        table.append(pa.table({"id": list(range(start, start + 20)), "hits": [0] * 20}))
    return table


MIXES = {
    "compactions": ["compact", "compact", "z-order", "stream"],
    "compactions and writers": ["compact", "z-order", "append", "delete", "merge", "update"],
}


@pytest.mark.parametrize("mix", MIXES)
def test_processes_at_once(mix: str, tmp_path: Path) -> None:
    table, kinds = filled(tmp_path / "t"), MIXES[mix]
    run_at_once(table, kinds, rounds=ROUNDS)
    check_counts(table, kinds, rounds=ROUNDS)


@pytest.mark.parametrize("mix", MIXES)
def test_processes_at_once_on_an_object_store(mix: str, s3: str) -> None:
    table, kinds = filled(f"{s3}/t"), MIXES[mix]
    run_at_once(table, kinds, rounds=2)
    check_counts(table, kinds, rounds=2)


@pytest.mark.parametrize(("first", "second"), [("compact", "z-order"), ("stream's compaction", "compact")])
def test_a_compaction_on_an_object_store_that_another_one_overtakes(first: str, second: str, s3: str) -> None:
    uri = filled(f"{s3}/t").uri
    for turn in (1, 2, 3):
        Table(uri).append(pa.table({"id": [-turn], "hits": [0]}))
        table = Raced(uri, turn, second)
        assert isinstance(perform(first, table), ConflictError | None)
        assert {*Counter(Table(uri).read()["id"].to_pylist()).values()} == {1}
        assert Table(uri).count() == 109 + turn
