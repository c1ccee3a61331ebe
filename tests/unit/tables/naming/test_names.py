from __future__ import annotations

import pyarrow as pa
import pytest

from lakemark._base.errors import InvalidInputError
from lakemark.tables.naming.names import TableKey, TableRef, brief, dotted, parse_columns, parse_name, parse_table


@pytest.mark.parametrize(
    ("text", "name", "at"),
    [
        ("orders", ("main", "default", "orders"), None),
        ("sales.orders", ("main", "sales", "orders"), None),
        ("eu.sales.orders", ("eu", "sales", "orders"), None),
        ("Sales.ORDERS@0", ("main", "sales", "orders"), 0),
        ("sales.orders@007", ("main", "sales", "orders"), 7),
        ("sales.orders@q3-training.2", ("main", "sales", "orders"), "q3-training.2"),
        ("sales.orders@2024.", ("main", "sales", "orders"), "2024."),
        ("flights-2013.day_1", ("main", "flights-2013", "day_1"), None),
        ("`Big Sales`.`v1.0`@3", ("main", "big sales", "v1.0"), 3),
        ("verkäufe.straße", ("main", "verkäufe", "straße"), None),
        ("e\u0301.t", ("main", "\u00e9", "t"), None),
    ],
)
def test_names(text: str, name: TableKey, at: int | str | None) -> None:
    assert parse_table(text) == TableRef(text, None, name, at)
    assert parse_name(dotted(name)) == name
    assert parse_name(brief(name)) == name


@pytest.mark.parametrize(
    ("text", "uri", "at"),
    [
        ("./sales", "./sales", None),
        ("~", "~", None),
        ("..", "..", None),
        ("lake/flights@q3", "lake/flights", "q3"),
        ("a@1/sales@12", "a@1/sales", 12),
        ("lake/a@b c", "lake/a@b c", None),
        (r"C:\lake\sales", r"C:\lake\sales", None),
        ("file:///lake/a%20b@3", "file:///lake/a%20b", 3),
        ("s3://me@lake/sales", "s3://me@lake/sales", None),
        ("abfss://lake@account", "abfss://lake@account", None),
        ("abfss://lake@account/sales@3", "abfss://lake@account/sales", 3),
        ("lake/sales@-1", "lake/sales@-1", None),
    ],
)
def test_paths(text: str, uri: str, at: int | str | None) -> None:
    assert parse_table(text) == TableRef(text, uri, None, at)


def test_the_place_is_the_text_without_version() -> None:
    assert [parse_table(text).place for text in ("Sales@007", "lake/a@b@c", "sales")] == ["Sales", "lake/a@b", "sales"]
    assert [parse_table(text).full_name for text in ("`A b`.c", "./a")] == ["main.`a b`.c", None]


@pytest.mark.parametrize("text", ["", "@3", "@"])
def test_no_table(text: str) -> None:
    with pytest.raises(InvalidInputError, match="names no table"):
        parse_table(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a.b.c.d", "it has 4 parts"),
        ("my table", "it has ' ' in it"),
        ("a*b", r"it has '\*' in it"),
        ("a..b", "a part is empty"),
        ("-a", "starts or ends wrongly"),
        ("a.`..`", "starts or ends wrongly"),
        ("sales@", "neither a version nor a tag"),
        ("sales@-1", "neither a version nor a tag"),
        ("x" * 201, "longer than 200 bytes"),
        ("a\n", r"it has '\\n' in it"),
    ],
)
def test_names_that_are_none(text: str, problem: str) -> None:
    with pytest.raises(InvalidInputError, match=problem) as caught:
        parse_table(text)
    assert caught.value.hint is not None
    assert "CATALOG.SCHEMA.TABLE" in caught.value.hint


def test_columns() -> None:
    schema = parse_columns("day:date, amount: decimal(10, 2),at:timestamp , id:long")
    assert schema.names == ["day", "amount", "at", "id"]
    assert schema.types == [pa.date32(), pa.decimal128(10, 2), pa.timestamp("us", "UTC"), pa.int64()]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("day", "not of the form NAME:TYPE"),
        ("", "not of the form NAME:TYPE"),
        ("day:dat", "no type is named 'dat', did you mean 'date'"),
        ("x:long,x:long", "'x' is there twice"),
        ("x:decimal(50,2)", "more digits"),
        ("x:decimal(2,5)", "more digits"),
    ],
)
def test_columns_that_are_none(text: str, problem: str) -> None:
    with pytest.raises(InvalidInputError, match=problem):
        parse_columns(text)


@pytest.mark.parametrize("text", ["Straße", "ΌΔΟΣ", "ǅ", "é", "e\u0301", "数据.表", "`Ä ö`.x"])
def test_a_name_in_full_is_the_same_name(text: str) -> None:
    name = parse_name(text)
    assert parse_name(dotted(name)) == parse_name(brief(name)) == name


def test_a_letter_that_is_two_signs_when_small_is_none() -> None:
    with pytest.raises(InvalidInputError, match="no name of a table"):
        parse_name("İstanbul")  # else nothing would find the table again
