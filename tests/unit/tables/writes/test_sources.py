from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakemark._base.errors import InvalidInputError, NotFoundError
from lakemark.tables.table import Table
from lakemark.tables.writes.sources import FileSource


def test_a_source_can_be_read_again(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,s\n1,a\n2,b\n")
    pq.write_table(pa.table({"x": [1, 2], "s": ["a", "b"]}), tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text('{"x": 1, "s": "a"}\n{"x": 2, "s": "b"}\n')
    for name in ("a.csv", "a.parquet", "a.jsonl"):
        source = FileSource(tmp_path / name)
        for _ in range(2):
            assert pa.table(source).to_pydict() == {"x": [1, 2], "s": ["a", "b"]}


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no file"):
        FileSource(tmp_path / "nothing.csv")
    (tmp_path / "a.xlsx").touch()
    with pytest.raises(InvalidInputError, match=r"neither \.csv nor \.parquet"):
        FileSource(tmp_path / "a.xlsx")
    (tmp_path / "a.parquet").write_text("no")
    with pytest.raises(InvalidInputError, match=r"a\.parquet cannot be read"):
        FileSource(tmp_path / "a.parquet").reader()


def test_a_value_of_another_type_further_on(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n" + "1\n" * 1_000_000 + "word\n")
    with pytest.raises(InvalidInputError, match="word"):
        Table(tmp_path / "t").create(FileSource(tmp_path / "a.csv"))
    (tmp_path / "a.jsonl").write_text('{"x": 1}\n' * 1_000_000 + '{"y": 2}\n')
    with pytest.raises(InvalidInputError, match="unexpected field"):
        Table(tmp_path / "t").create(FileSource(tmp_path / "a.jsonl"))
    assert not Table(tmp_path / "t").exists()
