"""The database in a temporary folder: it goes away, and what a stream raises comes through."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from lakemark._base.errors import InvalidInputError, StorageError
from lakemark.tables.scratch import Scratch

ROWS = pa.table({"A": [3, 1, 2], "a": ["x", None, "z"]})


def test_columns_are_named_by_their_place() -> None:
    with Scratch() as scratch:
        scratch.load("t", ROWS.to_batches(), schema=ROWS.schema, only="c0 > 1")
        assert scratch.rows("SELECT c1, c0 FROM t ORDER BY c0") == [("z", 2), ("x", 3)]


def test_queries_run_while_a_stream_is_open() -> None:
    many = pa.table({"x": range(200_000)})
    with Scratch() as scratch:
        scratch.load("t", many.to_batches(max_chunksize=10_000), schema=many.schema)
        stream = scratch.stream("SELECT c0 FROM t ORDER BY c0")
        first = next(stream)
        assert scratch.rows("SELECT count(*) FROM t") == [(200_000,)]
        assert sum(batch.num_rows for batch in stream) == 200_000 - first.num_rows


def test_the_folder_goes_with_the_object(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    scratch.load("t", ROWS.to_batches(), schema=ROWS.schema)
    assert [path.is_dir() for path in tmp_path.iterdir()] == [True]
    scratch.close()
    scratch.close()
    assert list(tmp_path.iterdir()) == []
    forgotten = Scratch(tmp_path)
    assert forgotten.folder.is_dir()
    del forgotten
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_what_the_stream_raises_is_raised() -> None:
    def rows() -> Iterator[pa.RecordBatch]:
        yield ROWS.to_batches()[0]
        raise InvalidInputError("no more", hint="stop")

    with Scratch() as scratch, pytest.raises(InvalidInputError, match="no more"):
        scratch.load("t", rows(), schema=ROWS.schema)


def test_failures_are_ours(tmp_path: Path) -> None:
    with Scratch() as scratch, pytest.raises(StorageError, match="failed: Catalog Error"):
        scratch.rows("SELECT * FROM nothing")
    with pytest.raises(StorageError, match="no folder for temporary files"):
        Scratch(tmp_path / "nowhere")


def test_ctrl_c_ends_a_query() -> None:
    with Scratch() as scratch:
        later = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        later.start()
        with pytest.raises(KeyboardInterrupt):
            scratch.rows("SELECT sum(sin(a.range)) FROM range(100000) a, range(10000000) b")
        later.join()
        assert scratch.rows("SELECT 1") == [(1,)]
