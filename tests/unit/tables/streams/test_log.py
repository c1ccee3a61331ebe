from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from lakemark._base.errors import NotFoundError, StorageError
from lakemark.tables.streams.log import CommitLog
from lakemark.tables.table import Table


def test_what_a_commit_did(source: Table) -> None:
    log = CommitLog(source.uri)
    first, second = log.read(0), log.read(1)
    assert (first.table_id, first.schema_json is None) == (source.manifest().table_id, False)
    assert (second.table_id, second.schema_json, second.operation) == (None, None, "WRITE")
    assert second.added[0] in source.manifest(version=1).entries or second.added[0].rows is None
    assert (len(second.added), second.removed_files, second.changes_rows) == (1, 0, True)
    source.open().delete("x = 1")
    deleted = log.read(5)
    assert (deleted.added, deleted.removed_files, deleted.changes_rows) == ((), 1, True)
    assert deleted.removed_bytes == second.added[0].size
    source.open().optimize.compact()
    assert not log.read(6).changes_rows


def test_commits_from_the_newest_back_to_where_the_log_ends(source: Table) -> None:
    assert [commit.version for commit in CommitLog(source.uri).newest_first(4)] == [4, 3, 2, 1, 0]
    (Path(source.uri) / "_delta_log" / f"{1:020}.json").unlink()
    assert [commit.version for commit in CommitLog(source.uri).newest_first(4)] == [4, 3, 2]


def test_what_cannot_be_read(source: Table) -> None:
    log = CommitLog(source.uri)
    with pytest.raises(NotFoundError, match="has no commit 9 any more"):
        log.read(9)
    (Path(source.uri) / "_delta_log" / f"{2:020}.json").write_text('{"add": {}}\n')
    with pytest.raises(StorageError, match="is no commit of a Delta table"):
        log.read(2)
    (Path(source.uri) / "_delta_log" / f"{3:020}.json").write_text("{")
    with pytest.raises(StorageError, match="is no commit of a Delta table"):
        log.read(3)


def test_paths_as_the_log_spells_them(tmp_path: Path) -> None:
    table = Table(tmp_path / "parts")
    table.create(pa.table({"x": [1], "p": ["a b/c"]}), partition_by=["p"])
    added = CommitLog(table.uri).read(0).added[0]
    assert added.partition_values == {"p": "a b/c"}
    assert added.path == table.manifest().entries[0].path


def test_an_empty_text_of_a_partition_is_a_null(tmp_path: Path) -> None:
    table = Table(tmp_path / "parts")
    table.create(pa.table({"x": [1], "p": pa.array([None], pa.int64())}), partition_by=["p"])
    commit = Path(table.uri) / "_delta_log" / f"{0:020}.json"
    text = commit.read_text()
    assert '{"p":null}' in text
    commit.write_text(text.replace('{"p":null}', '{"p":""}'))
    assert CommitLog(table.uri).read(0).added[0].partition_values == {"p": None}
