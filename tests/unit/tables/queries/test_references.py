"""The tables that a query names, and the places of a text that was rewritten."""

from __future__ import annotations

import pytest

from lakemark._base.errors import InvalidInputError
from lakemark.tables.queries.references import Query, Reference, parse_query


@pytest.mark.parametrize(
    ("text", "name", "version", "tag", "timestamp"),
    [
        ("select * from sales.orders", "sales.orders", None, None, None),
        ("select * from sales.orders version as of 12", "sales.orders", 12, None, None),
        ("select * from sales.orders FOR VERSION AS OF 12", "sales.orders", 12, None, None),
        ("select * from sales.orders version as of 'q3-training' as o", "sales.orders", None, "q3-training", None),
        ("select * from sales.orders@12", "sales.orders", 12, None, None),
        ("select * from sales.orders@q3 o", "sales.orders", None, "q3", None),
        ("from main.sales.orders at (version => 3)", "main.sales.orders", 3, None, None),
        ("from orders timestamp as of '2024-06-01T00:00:00Z'", "orders", None, None, "2024-06-01T00:00:00Z"),
        ("from orders timestamp as of timestamp '2024-06-01T00:00:00Z'", "orders", None, None, "2024-06-01T00:00:00Z"),
        ("from orders at (timestamp => '2024-06-01T00:00:00Z')", "orders", None, None, "2024-06-01T00:00:00Z"),
        ("from 'lake/orders@3'", "lake/orders@3", None, None, None),
        ('from "lake/orders"', "lake/orders", None, None, None),
        ('from sales."two words"', "sales.`two words`", None, None, None),
    ],
)
def test_a_table_is_found_with_its_version(
    text: str, name: str, version: int | None, tag: str | None, timestamp: str | None
) -> None:
    (found,) = parse_query(text).references
    assert (found.name, found.version, found.tag, found.timestamp) == (name, version, tag, timestamp)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("with a as (select * from a) select * from a", ["a"]),
        ("with recursive r as (select 1 n union all select n + 1 from r where n < 3) from r", []),
        ("with a as (from t), b as (from a) select * from b join u using (x)", ["t", "u"]),
        ("select (select max(x) from b) from a where x in (select x from c) union all from d", ["b", "a", "c", "d"]),
        ("select * from a, lateral (select * from b where b.x = a.x)", ["a", "b"]),
        ("select 'from x', $$ from y $$ -- from z\nfrom t", ["t"]),
        ("select * from range(3), unnest([1, 2])", []),
        ("values (1), (2)", []),
    ],
)
def test_steps_functions_and_texts_are_no_tables(text: str, names: list[str]) -> None:
    assert [reference.name for reference in parse_query(text).references] == names


def test_the_text_stays_as_it_is_around_the_tables() -> None:
    query = parse_query("SELECT sales.orders.id  FROM sales.orders VERSION AS OF 3 -- all")
    assert query.rewritten(["v"]).text == 'SELECT orders.id  FROM "v" AS "orders"   -- all'


def test_an_alias_is_kept() -> None:
    assert parse_query("from a.b@3 o, a.c as p").rewritten(["v", "w"]).text == 'from "v"  o, "w" as p'


def test_a_place_in_the_new_text_is_one_in_the_old() -> None:
    text = "select\n x from sales.orders@3 where y"
    query = parse_query(text)
    rewritten = query.rewritten(["view"])
    for word in ("x", "where", "y"):
        place = rewritten.text.rindex(word)
        assert rewritten.original_offset(place) == text.rindex(word)
    assert query.place(text.index("x")) == (2, 2)
    assert rewritten.original_offset(rewritten.text.index("view")) == text.index("sales")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("copy t to 'x'", "COPY is refused"),
        ("attach 'x'", "ATTACH is refused"),
        ("install httpfs", "INSTALL is refused"),
        ("set threads = 1", "SET is refused"),
        ("pragma version", "PRAGMA is refused"),
        ("create table t as select 1", "CREATE is refused"),
        ("insert into t select 1", "INSERT is refused"),
        ("delete from t", "DELETE is refused"),
        ("explain select 1", "EXPLAIN is refused"),
        ("with a as (select 1) insert into t from a", "INSERT is refused"),
        ("select 1 into t", "INTO is refused"),
        ("selct 1", "did you mean SELECT"),
        ("", "the query is empty"),
        ("select 1; select 2", "2 statements"),
        ("select x version as of 3 from t", "line 1, column 10: 'version as of 3' stands behind no table"),
        ("select * from t version as of x", "VERSION needs a number or 'a tag', not 'x'"),
        ("select * from t timestamp as of 3", "TIMESTAMP needs a time"),
        ("select * from a.b.c.d", "too many names"),
        ("select (1\nfrom t", "line 2"),
        ("select 'x", "cannot be read"),
    ],
)
def test_what_is_no_query_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_query(text)
    assert said.lower() in caught.value.message.lower()


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("select count(*), sum(B) from s.t where c > 1", {"b", "c"}),
        ("select a.x from t a join u using (y)", {"x", "y"}),
        ("select * from t", None),
        ("from t", None),
        ("select t.* exclude (a) from t", None),
        ("select t from s.t", None),
        ("select s.t from s.t", None),
        ("select o from t o", None),
        ("select columns('a.*') from t", None),
        ("select a from t natural join u", None),
        ("select second from t as o(first, second)", None),
        ("select #2 from t", None),
        ("select a from (pivot t on b in (1, 2) using sum(c))", None),
    ],
)
def test_the_columns_that_may_be_read(text: str, columns: set[str] | None) -> None:
    found = parse_query(text).columns
    assert found is None if columns is None else found is not None and columns <= found


def test_a_query_without_tables_is_itself() -> None:
    assert Query("select 1", ()).rewritten([]).text == "select 1"
    assert Reference("t", 0, 1).alias is None
