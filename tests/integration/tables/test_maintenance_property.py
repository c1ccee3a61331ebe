"""Whatever is done to a table, in whatever order: a pinned version reads the same, byte by byte.

`MAINTENANCE_EXAMPLES=500` tries that many sequences of operations instead of a few.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakemark._base.errors import LakemarkError, NotFoundError
from lakemark.tables.fingerprint import fingerprint
from lakemark.tables.pinning.clones import rebuild
from lakemark.tables.table import Table
from lakemark.tables.upkeep.maintenance import checkpoint, compact, z_order
from lakemark.tables.upkeep.schedule import UpkeepPolicy, maintain
from lakemark.tables.upkeep.vacuum import vacuum

EXAMPLES = int(os.environ.get("MAINTENANCE_EXAMPLES", "8"))


@dataclass
class Seen:
    """What a version was when it was pinned."""

    manifest: bytes
    content: bytes
    ordered: str


@dataclass
class Lake:
    """One table, and the versions of it that are pinned."""

    table: Table
    folder: Path
    pinned: dict[int, Seen] = field(default_factory=dict)
    rebuilt: int = 0

    def rows(self, number: int) -> pa.Table:
        columns = {"key": [number, number + 1], "shop": ["a", f"s {number % 2}"], "amount": [number / 7, None]}
        rows = pa.table(columns)
        for name in self.table.schema.names[3:]:
            rows = rows.append_column(name, pa.array([number, None], pa.int64()))
        return rows

    def manifests(self) -> list[bytes]:
        return [seen.manifest for seen in self.pinned.values()]

    def pin(self, _number: int) -> None:
        version = self.table.version
        data = self.table.read(version=version)
        self.pinned[version] = Seen(self.table.manifest().to_json(), written(data), fingerprint(data).ordered)

    def unpin(self, number: int) -> None:
        if self.pinned:
            del self.pinned[sorted(self.pinned)[number % len(self.pinned)]]

    def append(self, number: int) -> None:
        self.table.append(self.rows(number))

    def overwrite(self, number: int) -> None:
        self.table.overwrite(self.rows(number))

    def delete(self, number: int) -> None:
        self.table.delete(f"key = {number}")

    def update(self, number: int) -> None:
        self.table.update({"amount": "amount + 1"}, f"key <= {number}")

    def merge(self, number: int) -> None:
        self.table.merge(self.rows(number), on="key")

    def add_column(self, _number: int) -> None:
        names = self.table.schema.names
        self.table.add_columns(pa.schema([(f"extra{len(names)}", pa.int64())]))

    def compact(self, _number: int) -> None:
        compact(self.table)

    def z_order(self, _number: int) -> None:
        z_order(self.table, ["key"])

    def checkpoint(self, _number: int) -> None:
        checkpoint(self.table)

    def vacuum(self, _number: int) -> None:
        vacuum(self.table, pins=self.manifests(), retention_hours=0)

    def maintain(self, _number: int) -> None:
        policy = UpkeepPolicy(small_files=2, log_commits=2, retention_hours=0)
        [done] = maintain([self.table], needed=lambda _: self.manifests(), policy=policy)
        assert done.errors == ()

    def restore(self, number: int) -> None:
        version = self.table.version
        try:
            self.table.restore(number % (version + 1))
        except LakemarkError:  # its log was cleaned, or its files are gone: then nothing happens
            assert self.table.version == version

    def clean_log(self, _number: int) -> None:
        """Do what other engines do to a log once it is old."""
        self.table.open().create_checkpoint()
        for path in (Path(self.table.uri) / "_delta_log").iterdir():
            os.utime(path, (1_000_000_000, 1_000_000_000))
        self.table.open().cleanup_metadata()

    def check(self) -> None:
        for version, seen in self.pinned.items():
            assert content(self.read(version, seen)) == (seen.content, seen.ordered)

    def read(self, version: int, seen: Seen) -> pa.Table:
        try:
            return self.table.read(version=version)
        except NotFoundError:
            self.rebuilt += 1
            place = self.folder / f"rebuilt-{self.rebuilt}"
            rebuild(seen.manifest, place)
            return Table(place).read()


def written(data: pa.Table) -> bytes:
    """Return the Arrow IPC bytes of a table, in one batch: how a reader cuts its batches is no content."""
    sink = pa.BufferOutputStream()
    whole = data.combine_chunks()
    with pa.ipc.new_stream(sink, whole.schema) as stream:
        stream.write_table(whole)
    return bytes(sink.getvalue())


def content(data: pa.Table) -> tuple[bytes, str]:
    return written(data), fingerprint(data).ordered


STEPS: Mapping[str, Callable[[Lake, int], None]] = {
    "pin": Lake.pin,
    "unpin": Lake.unpin,
    "append": Lake.append,
    "overwrite": Lake.overwrite,
    "delete": Lake.delete,
    "update": Lake.update,
    "merge": Lake.merge,
    "add_column": Lake.add_column,
    "compact": Lake.compact,
    "z_order": Lake.z_order,
    "checkpoint": Lake.checkpoint,
    "vacuum": Lake.vacuum,
    "maintain": Lake.maintain,
    "restore": Lake.restore,
    "clean_log": Lake.clean_log,
}
QUIET = {"pin", "unpin", "compact", "z_order", "checkpoint", "vacuum", "maintain", "clean_log"}
"""What changes no row."""

plans = st.lists(st.tuples(st.sampled_from(list(STEPS)), st.integers(0, 6)), min_size=3, max_size=12)


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(plan=plans, partitioned=st.booleans())
def test_pinned_versions_read_the_same_after_anything(
    plan: list[tuple[str, int]], partitioned: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("lake")
    lake = Lake(Table(folder / "t"), folder)
    first = pa.table({"key": [0, 1, 2], "shop": ["a", "s 1", None], "amount": [0.5, None, -0.0]})
    lake.table.create(first, partition_by=["shop"] if partitioned else [])
    lake.pin(0)
    for step, number in plan:
        before = fingerprint(lake.table.read()).unordered
        STEPS[step](lake, number)
        lake.check()
        after = fingerprint(lake.table.read()).unordered
        assert step not in QUIET or after == before


def test_all_steps_after_another(tmp_path: Path) -> None:
    lake = Lake(Table(tmp_path / "t"), tmp_path)
    lake.table.create(pa.table({"key": [0, 1, 2], "shop": ["a", "b", None], "amount": [0.5, None, -0.0]}))
    lake.pin(0)
    for number, step in enumerate(step for name in STEPS if name != "unpin" for step in (name, "pin", "vacuum")):
        STEPS[step](lake, number % 5)
        lake.check()
    assert lake.rebuilt > 0
    assert len(lake.pinned) > 5
