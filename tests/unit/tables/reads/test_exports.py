from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakemark._base.errors import StorageError
from lakemark.tables.reads.exports import Format, export

ROWS = pa.table({"x": [1, None], "s": ["a,b", 'q"'], "f": [float("nan"), 0.5]})


def test_each_format(tmp_path: Path) -> None:
    assert export(ROWS.to_reader(), tmp_path / "a.csv", kind=Format.CSV) == 2
    assert (tmp_path / "a.csv").read_text() == '"x","s","f"\n1,"a,b",nan\n,"q""",0.5\n'
    export(ROWS.to_reader(), tmp_path / "a.json", kind=Format.JSON)
    lines = [json.loads(line) for line in (tmp_path / "a.json").read_text().splitlines()]
    assert lines == [{"x": 1, "s": "a,b", "f": "NaN"}, {"x": None, "s": 'q"', "f": 0.5}]
    export(ROWS.to_reader(), tmp_path / "a.parquet", kind=Format.PARQUET)
    assert pq.read_table(tmp_path / "a.parquet").schema == ROWS.schema


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    place = tmp_path / "a.csv"
    place.write_text("before")

    def torn() -> pa.RecordBatchReader:
        def batches() -> object:
            yield ROWS.to_batches()[0]
            raise StorageError("gone")

        return pa.RecordBatchReader.from_batches(ROWS.schema, batches())

    with pytest.raises(StorageError, match="gone"):
        export(torn(), place, kind=Format.CSV)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.csv"]
    assert place.read_text() == "before"
    with pytest.raises(StorageError, match="No such file or directory"):
        export(ROWS.to_reader(), tmp_path / "no" / "a.csv", kind=Format.CSV)


def test_what_csv_has_no_form_for_is_text(tmp_path: Path) -> None:
    rows = pa.table({"l": [[1, None], None], "b": [b"a", None]})
    export(rows.to_reader(), tmp_path / "a.csv", kind=Format.CSV)
    assert (tmp_path / "a.csv").read_text() == '"l","b"\n"[1, null]","YQ=="\n,\n'
