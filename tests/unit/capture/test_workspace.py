from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from lakemark._base.errors import ConflictError
from lakemark.capture.workspace import Workspace, open_workspace
from lakemark.config.settings import Settings
from lakemark.tracking.spool import Spool


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    opened = open_workspace(Settings(home=tmp_path / ".lakemark", warehouse=str(tmp_path / "lake")))
    yield opened
    opened.database.close()


def test_the_catalog_makes_tables_in_the_warehouse_and_knows_tags(workspace: Workspace, tmp_path: Path) -> None:
    made = workspace.catalog.create("sales.orders", pa.table({"x": [1]}))
    assert made.uri == str(tmp_path.resolve() / "lake" / "main" / "sales" / "orders")
    workspace.tags.tag(made, 0, "q3")
    assert workspace.catalog.resolve("sales.orders@q3").at == 0
    assert [pin.holder for pin in workspace.pins.list()] == ["tag:q3"]


def test_what_an_unsettled_run_has_read_is_not_deleted(workspace: Workspace) -> None:
    workspace.catalog.create("sales.orders", pa.table({"x": [1]}))
    workspace.catalog.create("sales.days", pa.table({"x": [1]}))
    spool = Spool(workspace.home.spool / ("a" * 32))
    spool.write("read_table", table_id=workspace.catalog.record("sales.orders").table_id)
    spool.close()
    with pytest.raises(ConflictError, match=r"a run that is not settled yet has read main\.sales\.orders"):
        workspace.catalog.drop("sales.orders", delete_files=True)
    workspace.catalog.drop("sales.days", delete_files=True)
    assert [record.name for record in workspace.catalog.list()] == ["orders"]
