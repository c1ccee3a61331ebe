from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from lakemark._base.errors import InvalidInputError
from lakemark.tables.quoting import quoted
from lakemark.tables.table import Table
from lakemark.tables.writes.expressions import count_rows, exact, expression_type, is_true_for, select

SCHEMA = pa.schema(
    [
        ("i", pa.int32()),
        ("d", pa.decimal128(5, 2)),
        ("at", pa.timestamp("us", "UTC")),
        ("s", pa.string()),
        ("l", pa.list_(pa.int64())),
    ]
)


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("i * 2", pa.int64()),
        ("cast(at as date)", pa.date32()),
        ("d", pa.decimal128(5, 2)),
        ("i > 1 -- and so on", pa.bool_()),
    ],
)
def test_types(expression: str, kind: pa.DataType) -> None:
    assert expression_type(SCHEMA, expression, name="x") == kind


def test_types_of_what_is_none() -> None:
    with pytest.raises(InvalidInputError, match="x has no column 'l'"):  # nested columns cannot be used
        expression_type(SCHEMA, "l", name="x")
    with pytest.raises(InvalidInputError, match="no SQL expression"):
        expression_type(SCHEMA, "i +", name="x")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("i > 3", True),
        ("i > 7", False),
        ("s is null", True),
        ("s = 'a'", False),  # null is not true
        ("d = 1.50 and at > timestamp '2020-01-01T00:00:00Z'", True),
        ("l is null", None),
        ("i +", None),
    ],
)
def test_what_a_row_as_text_says(expression: str, expected: bool | None) -> None:
    row = {"i": "7", "d": "1.50", "at": "2024-02-29T00:00:00Z", "s": "", "l": "[1]"}
    assert is_true_for(expression, row, SCHEMA) is expected


def test_select(table: Table) -> None:
    opened = table.open()
    assert sorted(select(opened, ["day * 10 as ten"], where="day > 1").read_all()["ten"].to_pylist()) == [20, 30]
    assert (count_rows(opened), count_rows(opened, "day > 1 -- late")) == (3, 2)
    assert quoted('a "b"') == '"a ""b"""'


ROWS = pa.table(
    {
        "id": pa.array([1, 2, 3, 4, None, -2], pa.int32()),
        "p": ["a", "b", None, "1.5", "a", "b"],
        "f": pa.array([0.5, 1.0, 0.1, None, 2.5, 0.0], pa.float32()),
        "v": [0, 1, 2, 3, 4, 5],
    }
)


@pytest.mark.parametrize("partitions", [[], ["id"], ["p"], ["id", "p"]], ids=str)
@pytest.mark.parametrize(
    "where",
    [
        "id < 2.5",
        "id = 2.5 -- or less",
        "id <> 2.5",
        "2.5 >= id",
        "id between -1.5 and 1.5",
        "id in (1.5, 2)",
        "id > -2.5e0",
        "f > 0.4999999999",
        "f = .5",
        "id / 2 = 1",
        "id + 1 = 3",
        "case when id = 2 then true else false end",
        "p = '1.5'",
        "upper(p) = 'A' or p is null",
        "p = 'b'",
        "not (id = 2)",
        "true",
        "id / 2 = 1 and v >= 0.5",
    ],
)
def test_a_condition_means_what_sql_says(tmp_path: Path, partitions: list[str], where: str) -> None:
    plain = Table(tmp_path / "plain")
    plain.create(ROWS)
    wanted = set(select(plain.open(), ["v"], where=where).read_all()["v"].to_pylist())
    found = {}
    for act in ("delete", "update", "overwrite"):
        table = Table(tmp_path / act)
        table.create(ROWS, partition_by=partitions)
        assert table.count(where) == len(wanted)
        if act == "delete":
            assert table.delete(where).deleted == len(wanted)
            found[act] = set(range(6)) - set(table.read()["v"].to_pylist())
        elif act == "update":
            assert table.update({"v": "v + 100"}, where).updated == len(wanted)
            found[act] = {value - 100 for value in table.read()["v"].to_pylist() if value >= 100}
        else:
            table.overwrite(ROWS.slice(0, 0), where=where)
            found[act] = set(range(6)) - set(table.read()["v"].to_pylist())
        assert found[act] == wanted


def test_a_constant_is_not_rounded(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    table.create(ROWS)
    table.update({"v": "case when id < 2.5 then 1 else 0 end"})
    assert sum(table.read()["v"].to_pylist()) == 3
    with pytest.raises(InvalidInputError, match="2 rows would break a rule"):
        table.add_constraint("low", "id <= 2.5 or id is null")
    table.delete("id > 2.5")
    table.add_constraint("low", "id <= 2.5 or id is null")
    with pytest.raises(InvalidInputError, match="constraint 'low'"):
        table.append(ROWS.slice(2, 1))
    table.merge(ROWS.slice(5), on="target.id < 1.5 and target.id > 0.5 and source.id = -2", unmatched="ignore")
    assert sorted(row or 0 for row in table.read()["id"].to_pylist()) == [-2, -2, 0, 2]


@pytest.mark.parametrize(
    ("text", "exactly"),
    [
        ("x = 1.5", "x = (1.5 + 0)"),
        ("x = -.5e-3 or y = 1e9", "x = -(.5e-3 + 0) or y = (1e9 + 0)"),
        ("s = '1.5''2.5' and \"1.5\" > 2 -- 1.5", "s = '1.5''2.5' and \"1.5\" > 2 -- 1.5"),
        ("cast(x as decimal(10, 2)) = a1.b and x2.5e3 > 1 /* 1.5 */", None),
    ],
)
def test_constants(text: str, exactly: str | None) -> None:
    assert exact(text) == (exactly or text)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("id * id", "beyond what an integer shorter than int64 holds, and would be stored as 0"),
        ("cast(id * id as double)", "beyond what an integer shorter than int64 holds"),
        ("id + id", "shorter than int64"),
        ("v * v", "beyond what int64 holds"),
    ],
)
def test_integers_do_not_wrap_around(tmp_path: Path, expression: str, said: str) -> None:
    table = Table(tmp_path)
    table.create(pa.table({"id": pa.array([2**30], pa.int32()), "v": [2**62], "d": [0.0], "w": [0]}))
    column = "d" if "double" in expression else "w"
    with pytest.raises(InvalidInputError, match=said):
        table.update({column: expression})
    table.update({"w": "cast(id as bigint) * id"})
    table.update({"w": "id / 4 * 3 + id % 7", "id": "id - 1"})
    assert table.read()["w"].to_pylist() == [2**30 // 4 * 3 + 2**30 % 7]
