from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, Field, write_deltalake
from deltalake.schema import PrimitiveType

from lakemark._base.errors import ConflictError, InvalidInputError, NotFoundError, StorageError
from lakemark.tables.table import PROPERTIES, Commit, Table


def test_versions_and_rows(table: Table) -> None:
    assert table.version == 1
    assert table.read(version=0).to_pydict() == {"day": [1, 2], "amount": [9.5, None], "shop": ["a b", "c/d"]}
    assert table.read().num_rows == 3
    assert table.read(columns=["shop", "day"]).to_pydict() == {"shop": ["a b", "c/d", "é"], "day": [1, 2, 3]}
    assert table.schema.names == ["day", "amount", "shop"]


def test_a_new_table_keeps_its_log(table: Table) -> None:
    assert table.open().metadata().configuration == dict(PROPERTIES)
    assert table.open().protocol()[:2] == (1, 2)


def test_opening_reads_few_commits_one_by_one(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    table.create(pa.table({"x": [1]}))
    for number in range(21):
        table.append(pa.table({"x": [number]}))
    assert [file.name[:20] for file in (tmp_path / "t" / "_delta_log").glob("*.checkpoint.parquet")] == [f"{19:020}"]
    assert table.read(version=19).num_rows + 2 == table.read().num_rows == 22


def test_create_from_a_schema(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    assert not table.exists()
    assert table.create(pa.schema([("x", pa.uint8()), ("p", pa.string())]), partition_by=["p"]) == 0
    assert table.exists()
    assert (table.read().num_rows, table.schema.field("x").type) == (0, pa.int16())
    assert table.open().metadata().configuration == dict(PROPERTIES)
    assert table.append(pa.table({"x": pa.array([200], pa.uint8()), "p": ["a"]})) == 1
    assert table.read().to_pylist() == [{"x": 200, "p": "a"}]


def test_create_only_once(table: Table) -> None:
    with pytest.raises(ConflictError, match="there is a table at"):
        table.create(pa.table({"x": [1]}))
    with pytest.raises(InvalidInputError, match="partition column 'dya' is not in the data, did you mean 'day'"):
        Table(table.uri + "2").create(pa.table({"day": [1]}), partition_by=["dya"])


def test_partitions_read_back_with_their_types(tmp_path: Path) -> None:
    rows = pa.table(
        {
            "p": ["a b/c%é=", None, "x"],
            "at": pa.array([1, None, 3], pa.timestamp("us", "UTC")),
            "flag": [True, None, False],
            "x": [1, 2, 3],
        }
    )
    table = Table(tmp_path / "t")
    table.create(rows, partition_by=["p", "at", "flag"])
    assert table.read().sort_by("x").to_pylist() == rows.to_pylist()
    assert table.read().schema == rows.schema


def test_decimals_make_no_partitions(tmp_path: Path) -> None:
    rows = pa.table({"p": [Decimal("-0.25")], "x": [1]})
    with pytest.raises(InvalidInputError, match="cannot write the folders of negative fractions"):
        Table(tmp_path / "t").create(rows, partition_by=["p"])


def test_rows_come_in_the_order_of_writing(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    table.create(pa.table({"x": [0]}))
    for number in range(1, 15):
        table.append(pa.table({"x": [number]}))
    assert table.read()["x"].to_pylist() == list(range(15))
    assert table.batches(version=9).read_all()["x"].to_pylist() == list(range(10))


def test_head_reads_no_more_than_asked(table: Table) -> None:
    assert (table.head(2).rows.num_rows, table.head(2).complete) == (2, False)
    assert (table.head(3).rows.num_rows, table.head(3).complete, table.head(3).version) == (3, True, 1)
    assert (table.head(None, version=0).rows.num_rows, table.head(0).rows.num_rows) == (2, 0)


def test_a_refused_value_changes_nothing(table: Table) -> None:
    files = sorted(Path(table.uri).rglob("*"))
    for day in ([5.7], ["77"]):
        for write in (table.append, table.overwrite):
            with pytest.raises(InvalidInputError, match="column 'day' is int64 in the table"):
                write(pa.table({"day": day, "amount": [1.0], "shop": ["x"]}))
    assert table.version == 1
    assert table.read().num_rows == 3
    assert [path for path in sorted(Path(table.uri).rglob("*")) if path.suffix == ".json"] == [
        path for path in files if path.suffix == ".json"
    ]


@pytest.mark.parametrize("library", ["pandas", "polars", "batch", "reader"])
def test_data_of_every_library(table: Table, library: str) -> None:
    columns = {"day": [4], "amount": [2.5], "shop": ["z"]}
    data = {
        "pandas": pd.DataFrame(columns),
        "polars": pl.DataFrame(columns),
        "batch": pa.RecordBatch.from_pydict(columns),
        "reader": pa.table(columns).to_reader(),
    }[library]
    assert table.append(data) == 2
    assert table.read().num_rows == 4


def test_overwrite_keeps_the_old_versions(table: Table) -> None:
    assert table.overwrite(pa.table({"day": [9], "amount": [0.0], "shop": ["z"]})) == 2
    assert (table.read().num_rows, table.read(version=1).num_rows) == (1, 3)
    with pytest.raises(InvalidInputError, match="column 'other' is not in the table"):
        table.overwrite(pa.table({"other": [1]}))
    assert table.overwrite(pa.table({"other": [1]}), schema_mode="overwrite") == 3
    assert table.read().to_pydict() == {"other": [1]}
    assert table.read(version=0).num_rows == 2


def test_commits_carry_the_run(table: Table) -> None:
    rows = pa.table({"day": [4], "amount": [1.0], "shop": ["x"]})
    table.append(rows, commit=Commit(run_id="abc", node="fit", message="more rows"))
    table.overwrite(rows, commit=Commit(run_id="def"))
    latest, before, *older = table.history()
    assert (latest.version, latest.commit, latest.operation) == (3, Commit(run_id="def"), "WRITE")
    assert before.commit == Commit(run_id="abc", node="fit", message="more rows")
    assert before.metrics["num_added_rows"] == "1"
    assert [record.version for record in older] == [1, 0]
    assert [record.version for record in table.history(limit=1)] == [3]


@pytest.mark.parametrize("version", [2, -1, 10**12])
def test_a_version_out_of_range_names_the_range(table: Table, version: int) -> None:
    with pytest.raises(NotFoundError, match=f"has no version {version} to open: it has 0 to 1") as error:
        table.read(version=version)
    assert (error.value.context["first"], error.value.context["latest"]) == (0, 1)


def test_no_table(tmp_path: Path) -> None:
    for version in (None, 0):
        with pytest.raises(NotFoundError, match="no Delta table at"):
            Table(tmp_path / "nothing").read(version=version)


def test_a_column_that_is_not_there(table: Table) -> None:
    with pytest.raises(NotFoundError, match="has no column 'amonut', did you mean 'amount'"):
        table.read(columns=["amonut"])


def test_timestamps(table: Table) -> None:
    second, first = (record.timestamp_ms for record in table.history())
    assert table.read(timestamp=datetime.fromtimestamp(second / 1000, tz=UTC)).num_rows == 3
    if first < second:
        assert table.read(timestamp=datetime.fromtimestamp((second - 1) / 1000, tz=UTC)).num_rows == 2
    for timestamp, kind in (
        (datetime(2013, 1, 1, tzinfo=UTC), NotFoundError),
        ("2999-01-01T00:00:00Z", NotFoundError),
        ("2013-01-01", InvalidInputError),
    ):
        with pytest.raises(kind):
            table.read(timestamp=timestamp)
    with pytest.raises(InvalidInputError, match="both a version and a timestamp"):
        table.read(version=0, timestamp="2013-01-01T00:00:00Z")


def test_a_timestamp_does_not_depend_on_when_the_log_was_copied(table: Table) -> None:
    latest = table.history(limit=1)[0].timestamp_ms
    for commit in (Path(table.uri) / "_delta_log").glob("*.json"):
        os.utime(commit, (0, 0) if "1.json" in commit.name else (2**31, 2**31))
    assert table.open(timestamp=datetime.fromtimestamp(latest / 1000, tz=UTC)).version() == 1


class Meddling:
    """Rows that somebody who reads them pays for: on the first time, another row of the table is deleted."""

    def __init__(self, table: Table, rows: pa.Table) -> None:
        self.table, self.rows, self.times = table, rows, 0

    def __len__(self) -> int:
        return len(self.rows)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        self.times += 1
        if self.times == 1:
            self.table.open().delete("day = 1")
        return self.rows.__arrow_c_stream__(requested_schema)


ROW = pa.table({"day": [4], "amount": [1.0], "shop": ["x"]})


def test_an_append_after_a_lost_race_is_done_again(table: Table) -> None:
    rows = Meddling(table, ROW)
    assert table.append(rows) == 3
    assert rows.times == 2
    assert sorted(table.read()["day"].to_pylist()) == [2, 3, 4]


def test_a_stream_that_is_used_up_is_not_written_again(table: Table) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        meddler = threading.Thread(target=lambda: table.open().delete("day = 1"))
        meddler.start()  # in a thread of its own, since deltalake cannot be called from inside a write
        meddler.join()
        yield from ROW.to_batches()

    with pytest.raises(ConflictError, match="changed by somebody else"):
        table.append(pa.RecordBatchReader.from_batches(ROW.schema, batches()))
    assert sorted(table.read()["day"].to_pylist()) == [2, 3]


def test_an_evolved_table_reads_old_rows_as_null(table: Table) -> None:
    table.open().alter.add_columns([Field("note", PrimitiveType("string"))])
    table.append(pa.table({"day": [4], "amount": [1.0], "shop": ["x"], "note": ["new"]}))
    assert table.read(columns=["note"])["note"].to_pylist() == [None, None, None, "new"]
    assert table.read(version=1).column_names == ["day", "amount", "shop"]


@pytest.mark.parametrize("storage", ["u", "i"])
def test_deletion_vectors_are_obeyed_in_one_order(deletion_table: Callable[[str], Table], storage: str) -> None:
    table = deletion_table(storage)
    assert table.read()["x"].to_pylist() == [0, 2, 3, 5, 6, 7, 8, 9]
    assert table.read(version=0)["x"].to_pylist() == list(range(10))


def test_mapped_columns(tmp_path: Path) -> None:
    schema = pa.schema([("a b", pa.int64()), ("c", pa.string())])
    DeltaTable.create(str(tmp_path / "t"), schema, configuration={"delta.columnMapping.mode": "name"})
    write_deltalake(str(tmp_path / "t"), pa.table({"a b": [1, 2], "c": ["x", None]}), mode="append")
    assert sorted(Table(tmp_path / "t").read()["a b"].to_pylist()) == [1, 2]
    assert Table(tmp_path / "t").read(columns=["c"]).column_names == ["c"]


def test_a_file_that_somebody_vacuumed(table: Table) -> None:
    next(Path(table.uri).glob("*.parquet")).unlink()
    with pytest.raises(StorageError, match=r"a data file of .* is gone"):
        table.read()


def test_a_cleaned_log_says_what_is_left(cleaned: tuple[Table, list[bytes]]) -> None:
    table, _ = cleaned
    with pytest.raises(
        NotFoundError, match="has no version 1 to open: it has 3 to 4, the log of older ones was cleaned"
    ):
        table.read(version=1)
    assert table.read(version=3)["x"].to_pylist() == [3]


@pytest.mark.parametrize("name", ["t[1]", "a%20b", "x^", "a|b"])
def test_folders_that_deltalake_cannot_write_to_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInputError, match="a table's folder may not have"):
        Table(tmp_path / name).create(pa.table({"x": [1]}))
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["a b", "ü", "a#b", "a?b", "x{1}", "a'b", "a<b"])
def test_folders_with_odd_names_are_fine(tmp_path: Path, name: str) -> None:
    table = Table(tmp_path / name)
    table.create(pa.table({"x": [1]}))
    table.append(pa.table({"x": [2]}))
    assert table.read()["x"].to_pylist() == [1, 2]
