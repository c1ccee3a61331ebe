"""Many writers at once, in threads and in processes: every row is counted afterwards."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakemark._base.errors import ConflictError, InvalidInputError
from lakemark.tables.table import Table

WRITERS = 4
ROUNDS = 5

WRITER = """
import sys
import pyarrow as pa
from lakemark.tables.table import Table

uri, kind, number, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
table = Table(uri)
for turn in range(rounds):
    if kind == "append":
        table.append(pa.table({"id": [1000 * (number + 1) + turn], "hits": [0]}))
    elif kind == "upsert":  # all writers meet in the same key, and each adds a key of its own
        table.merge(pa.table({"id": [1, 1000 * (number + 1) + turn], "hits": [0, 0]}), on=["id"], matched="ignore")
    elif kind == "update":
        table.update({"hits": "hits + 1"}, "id < 10")
    elif kind == "delete":
        table.delete(f"id = {500 + number * rounds + turn}")
    elif kind == "compact":
        from lakemark._base.errors import ConflictError
        from lakemark.tables.failures import translated
        try:
            with translated(uri):
                table.open().optimize.compact()
        except ConflictError:
            pass  # compaction changes no row, so it may lose every race
"""


def processes(table: Table, kinds: list[str], *, rounds: int = ROUNDS) -> None:
    """Run one writer for each kind, all at once, and look that none has failed."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, table.uri, kind, str(number), str(rounds)], stderr=subprocess.PIPE, text=True
        )
        for number, kind in enumerate(kinds)
    ]
    failed = [text for process in running if (text := process.communicate()[1]) and process.returncode]
    assert not failed, failed[0]


def threads(work: list[Callable[[], object]]) -> None:
    """Run all at once, and raise what one of them raised."""
    errors: list[Exception] = []

    def run(one: Callable[[], object]) -> None:
        try:
            one()
        except Exception as error:  # noqa: BLE001  # raised below, in the thread of the test
            errors.append(error)

    running = [threading.Thread(target=run, args=(one,)) for one in work]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if errors:
        raise errors[0]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """A table with the keys 1 to 9, and 500 to 599 to be deleted."""
    made = Table(tmp_path / "t")
    made.create(pa.table({"id": [*range(1, 10), *range(500, 600)], "hits": [0] * 109}))
    return made


def test_processes_that_append_lose_nothing(table: Table) -> None:
    processes(table, ["append"] * WRITERS)
    ids = Counter(table.read()["id"].to_pylist())
    assert {key for key in ids if key >= 1000} == {1000 * (n + 1) + t for n in range(WRITERS) for t in range(ROUNDS)}
    assert set(ids.values()) == {1}
    assert table.version == WRITERS * ROUNDS


def test_processes_that_upsert_the_same_key_insert_it_once(table: Table) -> None:
    table.delete("id = 1")
    processes(table, ["upsert"] * WRITERS)
    ids = Counter(table.read()["id"].to_pylist())
    assert set(ids.values()) == {1}
    assert len(ids) == 109 + WRITERS * ROUNDS


def test_processes_of_every_kind(table: Table) -> None:
    processes(table, ["append", "upsert", "update", "delete", "compact", "update"])
    rows = table.read().to_pylist()
    ids = Counter(row["id"] for row in rows)
    assert set(ids.values()) == {1}
    gone = {500 + 3 * ROUNDS + turn for turn in range(ROUNDS)}
    added = {1000 * number + turn for number in (1, 2) for turn in range(ROUNDS)}
    assert set(ids) == (set(range(1, 10)) | set(range(500, 600)) | added) - gone
    assert {row["hits"] for row in rows if row["id"] < 10} == {2 * ROUNDS}  # no update was lost


def test_processes_on_an_object_store(s3: str) -> None:
    table = Table(f"{s3}/t")
    table.create(pa.table({"id": [1, *range(500, 600)], "hits": [0] * 101}))
    processes(table, ["append", "upsert", "update", "delete"], rounds=2)
    rows = table.read().to_pylist()
    gone = {500 + 3 * 2 + turn for turn in range(2)}
    added = {1000, 1001, 2000, 2001}
    ids = Counter(row["id"] for row in rows)
    assert (set(ids.values()), set(ids)) == ({1}, ({1} | set(range(500, 600)) | added) - gone)
    assert next(row["hits"] for row in rows if row["id"] == 1) == 2


def test_threads_of_every_kind(table: Table) -> None:
    def appends(number: int) -> None:
        for turn in range(ROUNDS):
            table.append(pa.table({"id": [1000 * (number + 1) + turn], "hits": [0]}))

    def updates() -> None:
        for _ in range(ROUNDS):
            table.update({"hits": "hits + 1"}, "id < 10")

    def deletes() -> None:
        for turn in range(ROUNDS):
            table.delete(f"id = {500 + turn}")

    threads([lambda: appends(0), lambda: appends(1), updates, updates, deletes])
    rows = table.read().to_pylist()
    assert len(rows) == 109 + 2 * ROUNDS - ROUNDS
    assert {row["hits"] for row in rows if row["id"] < 10} == {2 * ROUNDS}


def test_an_overwrite_is_never_mixed_with_an_append(table: Table) -> None:
    threads(
        [
            lambda: [table.overwrite(pa.table({"id": [n, n], "hits": [0, 0]})) for n in range(ROUNDS)],
            lambda: [table.append(pa.table({"id": [100 + n], "hits": [0]})) for n in range(ROUNDS)],
        ]
    )
    operations = [(record.version, record.parameters.get("mode")) for record in table.history()]
    last = max((version for version, mode in operations if mode == "Overwrite"), default=0)
    appended_after = table.version - last
    ids = table.read()["id"].to_pylist()
    assert len(ids) == 2 + appended_after
    for version, mode in operations:
        if mode == "Overwrite":
            assert len(table.read(version=version)) == 2


def meddling(rows: pa.Table, meddle: Callable[[], object]) -> pa.RecordBatchReader:
    """Return rows that can be read once, and during whose reading somebody else writes."""

    def batches() -> Iterator[pa.RecordBatch]:
        meddler = threading.Thread(target=meddle)
        meddler.start()  # in a thread of its own, since deltalake cannot be called from inside a write
        meddler.join()
        yield from rows.to_batches()

    return pa.RecordBatchReader.from_batches(rows.schema, batches())


def test_an_overwrite_that_can_be_read_once_loses_to_an_append(table: Table) -> None:
    new = pa.table({"id": [7], "hits": [7]})
    with pytest.raises(ConflictError, match="changed by somebody else"):
        table.overwrite(meddling(new, lambda: table.append(pa.table({"id": [8], "hits": [8]}))))
    assert len(table.read()) == 110
    assert table.overwrite(new) == 2
    assert table.read().to_pylist() == new.to_pylist()


def test_a_constraint_and_a_row_that_breaks_it_never_both_win(table: Table) -> None:
    for turn in range(ROUNDS):
        won: list[str] = []
        key = 10_000 + turn

        def constrain(key: int = key, won: list[str] = won) -> None:
            with contextlib.suppress(InvalidInputError):
                table.add_constraint(f"below_{key}", f"id < {key}")
                won.append("constraint")

        def append(key: int = key, won: list[str] = won) -> None:
            with contextlib.suppress(InvalidInputError):
                table.append(pa.table({"id": [key], "hits": [1]}))
                won.append("row")

        threads([constrain, append])
        assert len(won) == 1, won
        table.delete("id >= 10000")
        if won == ["constraint"]:
            table.drop_constraint(f"below_{key}")


def test_a_table_that_is_widened_while_others_append(table: Table) -> None:
    narrow = Table(table.uri + "-narrow")
    narrow.create(pa.table({"x": pa.array([1, 2, 3], pa.int32())}))
    threads(
        [
            lambda: narrow.widen({"x": pa.int64()}),
            *([lambda: [narrow.append(pa.table({"x": pa.array([4], pa.int32())})) for _ in range(ROUNDS)]] * 3),
        ]
    )
    assert narrow.schema.field("x").type == pa.int64()
    assert sorted(narrow.read()["x"].to_pylist()) == [1, 2, 3, *[4] * 3 * ROUNDS]
    types = {pq.read_schema(path).field("x").type for path in files(narrow)}
    assert types == {pa.int64()}


def files(table: Table) -> list[Path]:
    """Return the data files of the latest version."""
    return [Path(uri.removeprefix("file://")) for uri in table.open().file_uris()]
