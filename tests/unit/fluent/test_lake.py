from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

import lakemark
from lakemark._base.errors import NotFoundError
from lakemark.config.home import HOME_NAME, create_home
from lakemark.fluent.lake import resolve_table

ROWS = pa.table({"day": [1, 2]})


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path.resolve()


def test_without_a_home_a_path_works_and_none_is_made(here: Path) -> None:
    lakemark.table("./sales").create(ROWS)
    assert lakemark.table("sales").uri == lakemark.table(Path("sales")).uri == str(here / "sales")
    assert lakemark.table("sales@0").read().equals(ROWS)
    assert lakemark.table("s3://lake/sales@3").at == 3
    for text in ("orders", "sales.orders"):
        with pytest.raises(NotFoundError, match="no home whose catalog could know"):
            lakemark.table(text)
    assert not (here / HOME_NAME).exists()


def test_the_catalog_makes_the_home_and_finds_by_name(here: Path) -> None:
    made = lakemark.catalog().create("sales.orders", ROWS)
    assert made.uri == str(here / HOME_NAME / "tables" / "main" / "sales" / "orders")
    assert made.append(ROWS) == 1
    found = lakemark.table("sales.orders@0")
    assert (found.name, found.uri, found.at) == ("main.sales.orders", made.uri, 0)
    lakemark.catalog().tags.tag(made, 0, "q3")
    assert resolve_table("sales.orders@q3").at == 0
    with pytest.raises(NotFoundError, match=r"did you mean 'sales\.orders'"):
        lakemark.table("sales.order")


def test_a_path_object_is_never_a_name(here: Path) -> None:
    lakemark.catalog().create("sales", ROWS)
    assert lakemark.table("sales").uri.endswith("main/default/sales")
    assert lakemark.table(Path("sales")).uri == str(here / "sales")


def test_the_warehouse_is_a_setting(here: Path) -> None:
    (here / "lakemark.toml").write_text('warehouse = "lake"\n')
    assert lakemark.catalog().create("sales.orders", ROWS).uri == str(here / "lake" / "main" / "sales" / "orders")


def test_in_a_run_the_home_is_that_of_the_run(
    here: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = create_home(tmp_path_factory.mktemp("elsewhere"))
    (here / "lakemark.toml").write_text("not TOML, and not read")
    monkeypatch.setenv("LAKEMARK_RUN_FOLDER", str(home.spool / ("a" * 32)))
    made = lakemark.catalog().create("sales.orders", ROWS)
    assert made.uri == str(home.tables.resolve() / "main" / "sales" / "orders")
    assert lakemark.table("sales.orders").uri == made.uri
    monkeypatch.setenv("LAKEMARK_WAREHOUSE", str(here / "lake"))
    assert lakemark.catalog().create("a.b", ROWS).uri == str(here / "lake" / "main" / "a" / "b")


WITHOUT_DATABASE = """
import sys
sys.modules["sqlalchemy"] = None
import lakemark
print(lakemark.table("./sales").read().num_rows)
try:
    lakemark.table("sales.orders")
except lakemark._base.errors.MissingExtraError as error:
    print(error)
"""


def test_names_need_a_database_and_paths_do_not(here: Path) -> None:
    lakemark.catalog().create("sales.orders", ROWS)
    lakemark.table("./sales").create(ROWS)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_DATABASE], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.startswith("2\nnames and tags of tables are in the catalog of ")
    assert "needs sqlalchemy, which is not installed" in done.stdout
    assert "hint: install sqlalchemy, or name the table by its path" in done.stdout
