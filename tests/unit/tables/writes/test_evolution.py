from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from lakemark._base.errors import InvalidInputError
from lakemark.tables.table import PROPERTIES, Table
from lakemark.tables.writes.schemas import is_wider


def test_append_with_new_and_missing_columns(table: Table) -> None:
    assert table.append(pa.table({"day": [4], "note": ["new"], "tags": [[{"a": 1}]]}), schema_mode="merge") == 2
    assert table.schema.names == ["day", "amount", "shop", "note", "tags"]
    rows = table.read().sort_by("day").to_pylist()
    assert rows[-1] == {"day": 4, "amount": None, "shop": None, "note": "new", "tags": [{"a": 1}]}
    assert rows[0]["note"] is None
    assert table.append(pa.table({"shop": ["z"]}), schema_mode="merge") == 3
    assert table.schema.names == ["day", "amount", "shop", "note", "tags"]


def test_append_with_merge_is_as_strict(table: Table) -> None:
    with pytest.raises(InvalidInputError, match="int64 in the table and double in the data"):
        table.append(pa.table({"day": [5.7], "note": ["new"]}), schema_mode="merge")
    with pytest.raises(InvalidInputError, match="columns 'day' and 'DAY' differ only by case"):
        table.append(pa.table({"DAY": [5]}), schema_mode="merge")
    with pytest.raises(InvalidInputError, match="column 'dya' is not in the table, did you mean 'day'"):
        table.append(pa.table({"dya": [5]}))
    with pytest.raises(InvalidInputError, match="schema_mode is 'overwrite', and may be None or 'merge'"):
        table.append(pa.table({"day": [5]}), schema_mode="overwrite")  # type: ignore[arg-type]  # what callers may write
    assert table.version == 1


def test_append_with_merge_keeps_columns_without_nulls(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    table.create(pa.schema([pa.field("a", pa.int64(), nullable=False), ("b", pa.string())]))
    with pytest.raises(InvalidInputError, match="column 'a' is missing in the data"):
        table.append(pa.table({"b": ["x"]}), schema_mode="merge")
    table.append(pa.table({"a": [1], "c": [1.5]}), schema_mode="merge")
    assert [field.nullable for field in table.schema] == [False, True, True]


def test_a_wider_type_is_taken_only_by_an_empty_table(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    table.create(pa.schema([("x", pa.int32()), ("y", pa.string())]))
    table.append(pa.table({"x": [2**40]}), schema_mode="merge")
    assert (table.schema.field("x").type, table.read().to_pylist()) == (pa.int64(), [{"x": 2**40, "y": None}])
    narrow = Table(tmp_path / "narrow")
    narrow.create(pa.table({"x": pa.array([1], pa.int32())}))
    with pytest.raises(InvalidInputError, match="outside of what int32 holds") as error:
        narrow.append(pa.table({"x": [2**40]}), schema_mode="merge")
    assert (error.value.hint or "").startswith("widen the column first, with Table.widen")
    narrow.append(pa.table({"x": pa.array([7], pa.int64())}), schema_mode="merge")
    assert narrow.schema.field("x").type == pa.int32()


def test_widen(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    columns = {
        "i": pa.array([1, None, 3], pa.int8()),
        "f": pa.array([0.1, None, float("nan")], pa.float32()),
        "d": pa.array([Decimal("1.50"), None, None], pa.decimal128(5, 2)),
        "p": ["a", "b", "a"],
    }
    table.create(pa.table(columns), partition_by=["p"], comment="kept")
    table.append(pa.table(columns))
    table.add_constraint("small", "i is null or i < 100")
    before, properties = table.read(), table.open().metadata()
    assert table.widen({"i": pa.int64(), "f": pa.float64(), "d": pa.decimal128(9, 4)}) == 3
    assert table.schema.types == [pa.int64(), pa.float64(), pa.decimal128(9, 4), pa.string()]
    assert sorted(map(repr, table.read().cast(before.schema).to_pylist())) == sorted(map(repr, before.to_pylist()))
    assert table.read(version=1).schema == before.schema
    after = table.open().metadata()
    assert (after.id, after.description, after.partition_columns) == (properties.id, "kept", ["p"])
    assert after.configuration == properties.configuration
    narrow = {pq.read_schema(Path(uri.removeprefix("file://"))).field("i").type for uri in table.open().file_uris()}
    assert narrow == {pa.int64()}  # no old file is left for a reader to choke on
    with pytest.raises(InvalidInputError, match="constraint 'small'"):
        table.append(pa.table({"i": [2**40], "f": [0.5], "d": [Decimal("1.0")], "p": ["a"]}))
    assert table.widen({"i": pa.int64()}) == 3  # as wide already: no commit


@pytest.mark.parametrize(
    ("column", "kind", "said"),
    [
        ("day", pa.float64(), "'day' of type int64 cannot be widened to double"),
        ("day", pa.int32(), "'day' of type int64 cannot be widened to int32"),
        ("shop", pa.int64(), "'shop' of type string cannot be widened to int64"),
        ("dya", pa.int64(), "has no column 'dya', did you mean 'day'"),
    ],
)
def test_what_does_not_widen(table: Table, column: str, kind: pa.DataType, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        table.widen({column: kind})
    assert table.version == 1


def test_wider_types() -> None:
    assert is_wider(pa.int8(), pa.int16())
    assert is_wider(pa.float32(), pa.float64())
    assert is_wider(pa.decimal128(5, 2), pa.decimal128(6, 2))
    assert not is_wider(pa.decimal128(5, 2), pa.decimal128(6, 4))
    assert not is_wider(pa.int64(), pa.int64())
    assert not is_wider(pa.date32(), pa.timestamp("us"))


def test_add_columns(table: Table) -> None:
    assert table.add_columns(pa.schema([("rank", pa.uint8()), ("note", pa.string())])) == 2
    assert table.schema.field("rank").type == pa.int16()
    assert table.read()["note"].to_pylist() == [None] * 3
    for columns, said in (
        (pa.schema([("day", pa.int64())]), "there is a column 'day' already, of type int64"),
        (pa.schema([pa.field("z", pa.int64(), nullable=False)]), "column 'z' may not hold nulls"),
        (pa.schema([("Day", pa.int64())]), "differ only by case"),
        (pa.schema([("t", pa.time64("us"))]), "which Delta cannot store"),
        (pa.schema([]), "no columns to add"),
    ):
        with pytest.raises(InvalidInputError, match=said):
            table.add_columns(columns)


def test_overwrite_with_another_schema(table: Table) -> None:
    assert table.overwrite(pa.table({"other": [1]}), schema_mode="overwrite") == 2
    assert table.schema.names == ["other"]
    partitioned = Table(table.uri + "-p")
    partitioned.create(pa.table({"p": ["a"], "x": [1]}), partition_by=["p"])
    with pytest.raises(InvalidInputError, match="partition column 'p' is not in the data"):
        partitioned.overwrite(pa.table({"x": [1]}), schema_mode="overwrite")


def test_properties(table: Table) -> None:
    assert table.set_properties({"delta.checkpointInterval": "50", "lakemark.owner": "ada"}) == 2
    found = table.open().metadata().configuration
    assert found == {**PROPERTIES, "delta.checkpointInterval": "50", "lakemark.owner": "ada"}
    made = Table(table.uri + "2")
    assert made.create(pa.table({"x": [1]}), properties={"lakemark.owner": "ada"}, comment="orders") == 1
    assert made.open().metadata().configuration == {**PROPERTIES, "lakemark.owner": "ada"}
    assert (made.open().metadata().description, made.read().num_rows) == ("orders", 1)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("delta.appendonly", "true", "Delta has no property 'delta.appendonly', did you mean 'delta.appendOnly'"),
        ("delta.appendOnly", "yes", "delta.appendOnly is 'yes', and must be true or false"),
        ("delta.logRetentionDuration", "3 days", "must be of the form interval NUMBER UNIT"),
        ("delta.checkpointInterval", "0", "must be a whole number above 0"),
        ("delta.isolationLevel", "Snapshot", "must be Serializable or WriteSerializable"),
        ("delta.minReaderVersion", "3", "would make the table one that not every engine reads"),
        ("delta.enableDeletionVectors", "true", "would make the table one that not every engine reads"),
        ("delta.constraints.a", "x > 0", "is no property to set"),
        (" ", "x", "a property has no name"),
    ],
)
def test_properties_that_are_refused(table: Table, name: str, value: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        table.set_properties({name: value})
    with pytest.raises(InvalidInputError, match=said):
        Table(table.uri + "2").create(pa.table({"x": [1]}), properties={name: value})
    assert table.version == 1


def test_folders_of_negative_fractions(tmp_path: Path) -> None:
    def rows(*values: str) -> pa.Table:
        return pa.table(
            {"p": pa.array([Decimal(value) for value in values], pa.decimal128(5, 2)), "x": [1] * len(values)}
        )

    write_deltalake(str(tmp_path / "t"), rows("1.25"), partition_by=["p"])  # as a foreign writer may have left it
    table = Table(tmp_path / "t")
    table.append(rows("2.50", "-2.00"))
    for write in (
        lambda: table.append(rows("1.00", "-0.25")),
        lambda: table.overwrite(rows("-1.25")),
        lambda: table.merge(rows("-1.25"), on=["p"]),
        lambda: table.update({"p": "cast(-0.5 as decimal(5, 2))"}),
    ):
        with pytest.raises(InvalidInputError, match="cannot write the folders of negative fractions; row"):
            write()
    assert sorted(table.read()["p"].to_pylist()) == [Decimal(text) for text in ("-2.00", "1.25", "2.50")]
