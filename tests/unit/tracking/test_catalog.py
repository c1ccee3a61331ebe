from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lakemark.storage.database import open_database
from lakemark.tables.naming.entries import CatalogStore
from lakemark.tracking.catalog import CatalogRow, SqlCatalogStore

ORDERS = ("main", "sales", "orders")
EVENTS = ("main", "raw", "events")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlCatalogStore]:
    with open_database(tmp_path / "db") as database:
        yield SqlCatalogStore(database)


def add(store: CatalogStore, name: tuple[str, str, str], *, uri: str = "/lake/orders") -> object:
    return store.add(name, uri=uri, table_id="id", managed=False, comment="of the shop", created_ms=7)


def test_a_name_has_one_owner(store: SqlCatalogStore) -> None:
    row = CatalogRow(*ORDERS, uri="/lake/orders", table_id="id", managed=False, comment="of the shop", created_ms=7)
    assert store.get(ORDERS) is None
    assert add(store, ORDERS) is None
    assert store.get(ORDERS) == row
    assert add(store, ORDERS, uri="/lake/others") == row
    assert store.list() == [row]


def test_lists_are_by_name(store: SqlCatalogStore) -> None:
    for name in (ORDERS, EVENTS, ("eu", "sales", "orders")):
        add(store, name)
    names = [(row.catalog, row.schema, row.name) for row in store.list()]
    assert names == [("eu", "sales", "orders"), EVENTS, ORDERS]
    assert [row.catalog for row in store.list(schema="sales")] == ["eu", "main"]
    assert [row.schema for row in store.list(catalog="main")] == ["raw", "sales"]


def test_renaming_never_takes_a_name(store: SqlCatalogStore) -> None:
    add(store, ORDERS)
    add(store, EVENTS, uri="/lake/events")
    taken = store.rename(ORDERS, EVENTS)
    assert taken is not None
    assert taken.uri == "/lake/events"
    assert store.rename(ORDERS, ("eu", "a", "b")) is None
    assert [row.uri for row in store.list()] == ["/lake/orders", "/lake/events"]


def test_comments_and_removal(store: SqlCatalogStore) -> None:
    add(store, ORDERS)
    add(store, EVENTS)
    store.set_comment(ORDERS, "new")
    assert [row.comment for row in store.list()] == ["of the shop", "new"]
    assert store.remove(ORDERS)
    assert not store.remove(ORDERS)
    assert [row.name for row in store.list()] == ["events"]
