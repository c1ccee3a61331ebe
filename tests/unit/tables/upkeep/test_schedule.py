from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from lakemark._base.errors import StorageError
from lakemark.tables.table import Table
from lakemark.tables.upkeep.schedule import UpkeepPolicy, maintain

POLICY = UpkeepPolicy(small_files=3, log_commits=3, retention_hours=0)


@pytest.fixture
def many(tmp_path: Path) -> Table:
    made = Table(tmp_path / "many")
    made.create(pa.table({"x": [0]}))
    for number in range(1, 4):
        made.append(pa.table({"x": [number]}))
    return made


def test_a_table_gets_what_it_needs(many: Table) -> None:
    steps: list[str] = []
    [planned] = maintain([many], needed=lambda _: (), policy=POLICY, dry_run=True)
    assert planned.compaction is not None
    assert (len(planned.compaction.merged), planned.checkpoint, many.version) == (4, 3, 3)
    [done] = maintain([many], needed=lambda _: (), policy=POLICY, progress=lambda _, step: steps.append(step))
    assert steps == ["compact", "checkpoint", "vacuum"]
    assert done.compaction is not None
    assert done.vacuum is not None
    assert (done.compaction.merged, done.checkpoint) == (planned.compaction.merged, 4)
    assert done.vacuum.deleted == done.compaction.merged
    [again] = maintain([many], needed=lambda _: (), policy=POLICY)
    assert (again.compaction, again.checkpoint) == (None, None)
    assert again.vacuum is not None
    assert again.vacuum.deleted == ()


def test_a_young_table_needs_nothing(table: Table) -> None:
    [done] = maintain([table], needed=lambda _: ())
    assert (done.compaction, done.checkpoint, done.errors) == (None, None, ())


def test_one_that_fails_does_not_keep_the_others(many: Table, table: Table, tmp_path: Path) -> None:
    def needed(of: Table) -> tuple[bytes, ...]:
        if of is many:
            raise StorageError("a manifest is gone")
        return ()

    rounds = list(maintain([Table(tmp_path / "none"), many, table], needed=needed, policy=POLICY))
    assert [len(done.errors) for done in rounds] == [2, 1, 0]
    assert rounds[1].compaction is not None
    assert rounds[1].vacuum is None
    assert all((Path(many.uri) / path).exists() for path in rounds[1].compaction.merged)
