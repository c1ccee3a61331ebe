from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lakemark._base.errors import ConflictError, InvalidInputError, StorageError
from lakemark.storage.database import open_database
from lakemark.storage.objects import ObjectStore
from lakemark.tables.log.files import StoredFile, TableFiles
from lakemark.tables.naming.catalog import Catalog
from lakemark.tables.naming.removal import delete_table
from lakemark.tables.pinning.markers import mark
from lakemark.tables.pinning.pins import hold
from lakemark.tables.pinning.tags import Tags
from lakemark.tables.table import Table
from lakemark.tracking.catalog import SqlCatalogStore
from lakemark.tracking.pins import SqlPinStore
from lakemark.tracking.table_tags import SqlTagStore


@pytest.fixture
def in_use() -> set[str]:
    """The ids of tables that runs under way have read."""
    return set()


@pytest.fixture
def catalog(tmp_path: Path, in_use: set[str]) -> Iterator[Catalog]:
    with open_database(tmp_path / "db") as database:
        tags = Tags(SqlTagStore(database), SqlPinStore(database), ObjectStore(tmp_path / "objects"))
        yield Catalog(SqlCatalogStore(database), str(tmp_path / "tables"), tags, in_use=lambda: in_use)


@pytest.fixture
def made(catalog: Catalog) -> Table:
    """A table of the warehouse with two files, in two folders, and two versions."""
    table = catalog.create("sales.orders", pa.table({"day": [1, 2], "x": [0, 0]}), partition_by=["day"])
    table.append(pa.table({"day": [3], "x": [0]}))
    return table


def whole(catalog: Catalog) -> bool:
    return len(catalog.resolve("sales.orders").read()["day"].to_pylist()) == 3


def test_all_of_a_table_is_deleted(catalog: Catalog, made: Table) -> None:
    planned = catalog.drop("sales.orders", delete_files=True, dry_run=True)
    assert (planned.files, planned.bytes > 1000, whole(catalog)) == (5, True, True)
    assert catalog.drop("sales.orders", delete_files=True) == planned
    assert not Path(made.uri).exists()
    assert catalog.list() == []
    assert catalog.create("sales.orders", pa.table({"day": [1]})).uri == made.uri


def test_what_a_pin_holds_stays(catalog: Catalog, made: Table) -> None:
    catalog.tags.tag(made, 0, "q3")
    with pytest.raises(ConflictError, match=r"versions of main\.sales\.orders are pinned, .* version 0 for tag:q3"):
        catalog.drop("sales.orders", delete_files=True)
    assert whole(catalog)
    catalog.tags.untag(made, "q3", "done")
    catalog.drop("sales.orders", delete_files=True)
    assert not made.exists()


def test_what_a_run_under_way_has_read_stays(catalog: Catalog, made: Table, in_use: set[str]) -> None:
    in_use.add(catalog.record("sales.orders").table_id)
    with pytest.raises(ConflictError, match="a run that is not settled yet has read"):
        catalog.drop("sales.orders", delete_files=True)
    assert whole(catalog)


def test_what_another_name_leads_to_stays(catalog: Catalog, made: Table) -> None:
    catalog.register("other.name", made.uri)
    with pytest.raises(ConflictError, match=r"main\.other\.name leads to .* too"):
        catalog.drop("sales.orders", delete_files=True)
    catalog.drop("other.name")
    write_deltalake(f"{made.uri}/inside", pa.table({"x": [1]}))
    catalog.register("other.name", f"{made.uri}/inside")
    with pytest.raises(ConflictError, match="or below it"):
        catalog.drop("sales.orders", delete_files=True)
    assert whole(catalog)


def test_what_is_not_in_the_warehouse_stays(catalog: Catalog, tmp_path: Path) -> None:
    write_deltalake(str(tmp_path / "events"), pa.table({"x": [1]}))
    catalog.register("raw.events", tmp_path / "events")
    with pytest.raises(InvalidInputError, match="is not in the warehouse"):
        catalog.drop("raw.events", delete_files=True)
    assert catalog.resolve("raw.events").read().num_rows == 1


def test_a_table_that_took_the_place_stays(catalog: Catalog, made: Table) -> None:
    (Path(made.uri) / "_delta_log" / f"{0:020}.json").unlink()
    (Path(made.uri) / "_delta_log" / f"{1:020}.json").unlink()
    assert catalog.drop("sales.orders", delete_files=True, dry_run=True).files == 0
    Table(made.uri).create(pa.table({"day": [7]}))
    with pytest.raises(ConflictError, match="was re-created"):
        catalog.drop("sales.orders", delete_files=True)
    assert made.read().num_rows == 1


def test_what_another_home_holds_stays(catalog: Catalog, made: Table) -> None:
    mark(TableFiles(made.uri), made.manifest(version=0).to_json(), home="7" * 32)
    with pytest.raises(ConflictError, match=r"another home holds versions of main\.sales\.orders"):
        catalog.drop("sales.orders", delete_files=True)
    assert whole(catalog)


def test_a_table_inside_of_another_stays(catalog: Catalog, made: Table) -> None:
    Table(f"{made.uri}/inner").create(pa.table({"x": [1]}))
    with pytest.raises(ConflictError, match=r"another table lies inside of .*orders, at inner"):
        catalog.drop("sales.orders", delete_files=True)
    assert whole(catalog)


def test_a_pin_made_meanwhile_holds(catalog: Catalog, made: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    pin, list_files = catalog.tags.tag, TableFiles.list

    def listed(files: TableFiles, prefix: str = "") -> Iterator[StoredFile]:
        if not prefix and not catalog.tags.list():  # between the look for pins and the deletion
            monkeypatch.undo()
            pin(made, 0, "q3")
        return list_files(files, prefix)

    monkeypatch.setattr(TableFiles, "list", listed)
    with pytest.raises(ConflictError, match=r"versions of main\.sales\.orders are pinned"):
        catalog.drop("sales.orders", delete_files=True)
    assert whole(catalog)
    assert [path.name for path in Path(made.uri).parent.iterdir()] == ["orders"]


def test_a_pin_that_comes_too_late_is_refused(catalog: Catalog, made: Table) -> None:
    def too_late(files: TableFiles) -> None:
        with pytest.raises(StorageError, match="cannot be pinned"):
            hold(manifest, holder="me", reason="", pins=catalog.tags.pins, objects=catalog.tags.objects)

    manifest = made.manifest()
    delete_table(made.uri, check=too_late, forget=lambda: None)
    assert catalog.tags.pins.list() == []
