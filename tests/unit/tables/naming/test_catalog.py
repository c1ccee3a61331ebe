from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lakemark._base.errors import ConflictError, InvalidInputError, NotFoundError, StorageError
from lakemark.storage.database import open_database
from lakemark.storage.objects import ObjectStore
from lakemark.tables.naming.catalog import Catalog
from lakemark.tables.naming.entries import key_of
from lakemark.tables.naming.names import brief
from lakemark.tables.pinning.tags import Tags
from lakemark.tables.table import Commit, Table
from lakemark.tracking.catalog import SqlCatalogStore
from lakemark.tracking.pins import SqlPinStore
from lakemark.tracking.table_tags import SqlTagStore

ROWS = pa.table({"day": [1, 2], "amount": [9.5, 7.25]})


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalog]:
    monkeypatch.chdir(tmp_path)
    with open_database(tmp_path / "db") as database:
        tags = Tags(SqlTagStore(database), SqlPinStore(database), ObjectStore(tmp_path / "objects"))
        yield Catalog(SqlCatalogStore(database), str(tmp_path / "tables"), tags)


def external(folder: str, *, rows: pa.Table = ROWS) -> str:
    """Make a table with `deltalake` alone."""
    write_deltalake(folder, rows)
    return str(Path(folder).resolve())


def names(catalog: Catalog) -> list[str]:
    return [brief(key_of(record)) for record in catalog.list()]


def test_a_made_table_lies_in_the_warehouse_and_is_found_by_its_name(catalog: Catalog, tmp_path: Path) -> None:
    made = catalog.create("sales.Orders", ROWS, comment="of the shop", commit=Commit(message="first"))
    assert made.uri == f"{tmp_path.resolve()}/tables/main/sales/orders"
    assert made.append(ROWS) == 1
    found = catalog.resolve("SALES.orders")
    assert (found.name, found.uri, found.at, found.version) == ("main.sales.orders", made.uri, None, 1)
    assert catalog.resolve("main.sales.orders@0").read().num_rows == 2
    record = catalog.record("sales.orders")
    assert (record.managed, record.comment) == (True, "of the shop")
    other = catalog.create("a.b.c", ROWS.schema, partition_by=["day"], properties={"delta.appendOnly": "true"})
    metadata = other.open().metadata()
    assert (metadata.partition_columns, metadata.configuration["delta.appendOnly"]) == (["day"], "true")
    assert made.open().metadata().description == "of the shop"


def test_a_tag_names_a_version(catalog: Catalog) -> None:
    made = catalog.create("sales.orders", ROWS)
    made.append(ROWS)
    catalog.tags.tag(made, 0, "q3")
    for text in ("sales.orders@q3", f"{made.uri}@q3"):
        assert catalog.resolve(text).at == 0
    with pytest.raises(NotFoundError, match=r"no tag 'q4' on main\.sales\.orders, did you mean 'q3'"):
        catalog.resolve("sales.orders@q4")


def test_a_name_comes_before_a_folder_and_a_folder_before_nothing(catalog: Catalog) -> None:
    here = external("sales")
    assert catalog.resolve("sales").uri == here
    made = catalog.create("sales", ROWS)
    assert catalog.resolve("sales").uri == made.uri
    assert catalog.resolve("./sales").uri == here
    Path("odd@name/_delta_log").mkdir(parents=True)
    assert catalog.resolve("./odd@name").uri.endswith("/odd@name")


@pytest.mark.parametrize("typed", ["sales.ordes", "orders", "sales.orders.x", "`sales`.order"])
def test_an_unknown_name_tells_the_nearest(catalog: Catalog, typed: str) -> None:
    catalog.create("sales.orders", ROWS)
    with pytest.raises(NotFoundError, match=r"did you mean 'sales\.orders'") as caught:
        catalog.resolve(typed)
    assert caught.value.hint is not None
    assert f"./{typed}" in caught.value.hint
    with pytest.raises(NotFoundError, match="no table is named 'zzz', and there is no such folder\n"):
        catalog.resolve("zzz@3")
    with pytest.raises(NotFoundError, match=r"did you mean 'sales\.orders'"):
        catalog.record(typed)


def test_a_name_is_given_once(catalog: Catalog) -> None:
    catalog.create("sales.orders", ROWS)
    with pytest.raises(ConflictError, match=r"the name main\.sales\.orders is taken, by the table at .*/orders"):
        catalog.create("main.sales.orders", ROWS)
    with pytest.raises(InvalidInputError, match="it has 4 parts"):
        catalog.create("a.b.c.d", ROWS)
    with pytest.raises(InvalidInputError, match="partition column 'dya' is not in the data"):
        catalog.create("sales.days", ROWS, partition_by=["dya"])
    assert names(catalog) == ["sales.orders"]


def test_what_a_killed_create_has_left_is_told_and_can_be_taken(catalog: Catalog, tmp_path: Path) -> None:
    left = Table(tmp_path / "tables" / "main" / "sales" / "orders")
    left.create(ROWS)
    with pytest.raises(ConflictError, match="no name leads to it") as caught:
        catalog.create("sales.orders", ROWS)
    assert caught.value.hint == f"lakemark tables register main.sales.orders {left.uri} gives it the name"
    assert catalog.register("sales.orders", left.uri).read().num_rows == 2
    assert catalog.record("sales.orders").managed


def test_who_loses_the_race_for_a_name_is_told(catalog: Catalog) -> None:
    def create_after(name: str, *, other: Callable[[], object]) -> None:
        with catalog.creating(name) as table:
            other()
            table.create(ROWS)

    with pytest.raises(ConflictError, match=r"the name main\.sales\.orders is taken"):
        create_after("sales.orders", other=lambda: catalog.create("sales.orders", ROWS))
    with pytest.raises(ConflictError, match=r"the name main\.sales\.days is taken, by the table at .*/days"):
        create_after("sales.days", other=lambda: catalog.register("sales.days", external("days")))
    assert names(catalog) == ["sales.days", "sales.orders"]


def test_registering_protects_and_can_be_done_again(catalog: Catalog) -> None:
    here = external("events")
    table = catalog.register("raw.events", "events", comment="clicks")
    assert (table.uri, table.name, table.version) == (here, "main.raw.events", 1)
    assert table.open().metadata().configuration["delta.enableExpiredLogCleanup"] == "false"
    assert catalog.register("raw.events", here).version == 1
    assert catalog.record("raw.events").comment == "clicks"
    catalog.register("raw.events", f"file://{here}", comment="all clicks")
    record = catalog.record("raw.events")
    assert (record.comment, record.managed) == ("all clicks", False)
    with pytest.raises(ConflictError, match=r"the name main\.raw\.events is taken, by the table at .*/events"):
        catalog.register("raw.events", external("others"))
    assert DeltaTable("others").version() == 0


def test_a_table_can_be_registered_as_it_is(catalog: Catalog) -> None:
    external("events")
    assert catalog.register("raw.events", "events", protect=False).version == 0


def test_what_cannot_be_protected_says_so(catalog: Catalog) -> None:
    here = external("events")
    first = Path(here) / "_delta_log" / f"{0:020}.json"
    lines = first.read_text().splitlines()
    newer = {"protocol": {"minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": ["rowTracking", "unheardOf"]}}
    first.write_text("\n".join(json.dumps(newer) if '"protocol"' in line else line for line in lines))
    with pytest.raises(StorageError, match="keep its old versions readable cannot be set") as caught:
        catalog.register("raw.events", here)
    assert caught.value.hint == "lakemark tables register --no-protect leaves the table as it is"
    assert names(catalog) == []
    assert catalog.register("raw.events", here, protect=False).version == 0


@pytest.mark.parametrize("place", ["nothing", "file.csv", "folder"])
def test_only_a_delta_table_can_be_registered(catalog: Catalog, place: str) -> None:
    Path("file.csv").write_text("x\n1\n")
    Path("folder").mkdir()
    with pytest.raises(NotFoundError, match=f"no Delta table at .*/{place}"):
        catalog.register("raw.events", place)
    assert names(catalog) == []


def test_another_table_in_the_place_is_never_read_for_it(catalog: Catalog) -> None:
    here = external("events")
    catalog.register("raw.events", here)
    shutil.rmtree(here)
    with pytest.raises(NotFoundError, match=r"main\.raw\.events was at .*/events, where is no Delta table any more"):
        catalog.resolve("raw.events")
    external("events")
    for use in (lambda: catalog.resolve("raw.events@0"), lambda: catalog.describe("raw.events")):
        with pytest.raises(ConflictError, match=r"main\.raw\.events was re-created at .*/events") as caught:
            use()
    assert caught.value.hint is not None
    assert f"lakemark tables register main.raw.events {here}" in caught.value.hint
    with pytest.raises(ConflictError, match="is taken"):
        catalog.register("raw.events", here)
    catalog.drop("raw.events")
    catalog.register("raw.events", here)
    assert catalog.resolve("raw.events").read().num_rows == 2


def test_lists_and_searches(catalog: Catalog) -> None:
    catalog.create("sales.orders", ROWS, comment="of the Shop")
    catalog.create("eu.sales.days", pa.table({"shop_id": [1], "Day": [2]}))
    gone = catalog.register("raw.shop", external("shop"))
    shutil.rmtree(gone.uri)
    assert names(catalog) == ["eu.sales.days", "raw.shop", "sales.orders"]
    assert [record.name for record in catalog.list(schema="SALES")] == ["days", "orders"]
    assert [record.name for record in catalog.list(catalog="main", schema="sales")] == ["orders"]
    assert [(found.record.name, found.columns) for found in catalog.search("SHOP")] == [
        ("days", ("shop_id",)),
        ("shop", ()),
        ("orders", ()),
    ]
    assert [found.columns for found in catalog.search("day")] == [("Day",), ("day",)]
    assert catalog.search("nothing") == []


def test_renaming_keeps_the_files_and_frees_the_name(catalog: Catalog) -> None:
    made = catalog.create("sales.orders", ROWS)
    assert catalog.rename("sales.orders", "old.orders").uri == made.uri
    again = catalog.create("sales.orders", pa.table({"x": [1]}))
    assert again.uri == f"{made.uri}-2"
    assert catalog.resolve("old.orders").read().equals(ROWS)
    assert catalog.resolve("sales.orders").schema.names == ["x"]
    with pytest.raises(ConflictError, match=r"main\.old\.orders is taken"):
        catalog.rename("sales.orders", "old.orders")
    with pytest.raises(NotFoundError, match="no table is named"):
        catalog.rename("nothing", "something")


def test_dropping_forgets_the_name_only(catalog: Catalog) -> None:
    made = catalog.create("sales.orders", ROWS)
    assert catalog.drop("sales.orders", dry_run=True).files == 0
    assert names(catalog) == ["sales.orders"]
    catalog.drop("sales.orders")
    assert names(catalog) == []
    assert made.read().num_rows == 2
    with pytest.raises(NotFoundError, match="no table is named"):
        catalog.drop("sales.orders")


def test_a_table_whose_first_rows_are_refused_has_its_name(catalog: Catalog) -> None:
    wrong = pa.table({"a": [2], "b": [5]})
    with pytest.raises(
        InvalidInputError, match=r"was made and is empty: lakemark tables append .* adds corrected rows"
    ):
        catalog.create("sales.sums", wrong, generated={"b": "a + a"})
    catalog.resolve("sales.sums").append(pa.table({"a": [2]}))
    assert catalog.resolve("sales.sums").read().to_pylist() == [{"a": 2, "b": 4}]
