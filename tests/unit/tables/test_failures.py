from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, Field, write_deltalake
from deltalake.exceptions import DeltaError
from deltalake.schema import PrimitiveType

from lakemark._base.errors import ConflictError, InvalidInputError, LakemarkError, NotFoundError, StorageError
from lakemark.tables.failures import is_no_log, is_retryable, translate, translated
from lakemark.tables.table import Table


def test_no_table(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no Delta table at there"), translated("there"):
        DeltaTable(str(tmp_path / "nothing"))
    with pytest.raises(NotFoundError, match="no Delta table at there"), translated("there"):
        DeltaTable(str(tmp_path))


def test_a_table_is_there_already(table: Table) -> None:
    with pytest.raises(ConflictError, match="a table at there already") as error, translated("there"):
        write_deltalake(table.uri, pa.table({"x": [1]}))
    assert not is_retryable(error.value)


@pytest.mark.parametrize("change", ["delete", "add a column"])
def test_a_lost_race(table: Table, change: str) -> None:
    stale = table.open()
    if change == "delete":
        table.open().delete()
    else:
        table.open().alter.add_columns([Field("new", PrimitiveType("long"))])
    with pytest.raises(ConflictError, match="changed by somebody else") as error, translated(table.uri):
        write_deltalake(stale, pa.table({"day": [4], "amount": [1.0], "shop": ["x"]}), mode="append")
    assert is_retryable(error.value)


def test_other_columns(table: Table) -> None:
    with pytest.raises(InvalidInputError, match="does not fit the table"), translated(table.uri):
        write_deltalake(table.uri, pa.table({"other": [1]}), mode="append")


def test_a_file_is_gone(table: Table) -> None:
    next(Path(table.uri).glob("*.parquet")).unlink()
    with pytest.raises(StorageError, match="a data file of there is gone"), translated("there"):
        table.open().to_pyarrow_table()
    with pytest.raises(StorageError, match="a data file of there is gone"), translated("there"):
        table.open().scan().read_all()


def test_a_version_without_a_log(table: Table) -> None:
    with pytest.raises(DeltaError) as missing:
        DeltaTable(table.uri, version=9)
    assert is_no_log(missing.value)
    assert not is_no_log(ValueError("end version"))


def test_ours_pass_and_bugs_are_not_hidden() -> None:
    with pytest.raises(NotFoundError, match="ours"), translated("there"):
        raise NotFoundError("ours")
    with pytest.raises(ZeroDivisionError), translated("there"):
        _ = 1 / 0


def test_text_that_is_not_known_is_kept() -> None:
    error = translate(DeltaError("\x1b[31msomething new\x1b[0m\nmore"), "there")
    assert isinstance(error, StorageError)
    assert isinstance(error, LakemarkError)
    assert error.message == "there: something new"


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("could not write: Permission denied (os error 13)", StorageError, "no permission to do that at there"),
        ("Unable to copy data to file: No space left on device (os error 28)", StorageError, "takes no more"),
        ("sql parser error: Expected: an expression, found: EOF", InvalidInputError, "this is no SQL expression"),
        ('Schema error: No field named "Dya". Valid fields are target."Day", b.', InvalidInputError, "'Day'"),
        ("Delta table is append-only", InvalidInputError, "takes only new rows"),
        ("MERGE matched a target row with multiple source rows", InvalidInputError, "several rows of the data match"),
        ("Failed to commit transaction: 0", ConflictError, "was changed by somebody else meanwhile$"),
    ],
)
def test_texts_that_are_known(text: str, kind: type[LakemarkError], said: str) -> None:
    error = translate(DeltaError(text), "there")
    assert isinstance(error, kind)
    assert re.search(said, error.message), error.message
