"""kill -9, and a full disk, at every step of what is done to tables: all of it or nothing, and the next one goes.

`FAULTS_STEPS=0` tries every step of each operation, instead of some of them.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from tests.faults import Stage, Trial, stage

from lakemark.capture.workspace import Workspace, open_workspace
from lakemark.config.home import create_home
from lakemark.config.identity import home_identity
from lakemark.config.settings import read_settings
from lakemark.tables.checks.rules import Check, Unique
from lakemark.tables.checks.running import add_check
from lakemark.tables.log.files import TableFiles
from lakemark.tables.pinning.markers import markers
from lakemark.tables.pinning.pins import hold, verify
from lakemark.tables.streams import read_stream
from lakemark.tables.table import Table

__all__ = ["stage"]

STEPS = int(os.environ.get("FAULTS_STEPS", "3"))
PINNED = 1

BEGIN = """
import os, sys
from pathlib import Path
import pyarrow as pa
from lakemark.tables.table import Table
folder = Path(sys.argv[1])
os.chdir(folder)
table = Table(folder / "t")
rows = pa.table({"p": ["a", "b", "a"], "id": [7, 20, 21], "x": pa.array([9, 9, 9], pa.int32())})
def workspace():
    from lakemark.capture.workspace import open_workspace
    from lakemark.config.settings import read_settings
    return open_workspace(read_settings(), folder=folder)
def manifests(ours):
    from lakemark.tables.upkeep.vacuum import pinned_manifests
    return pinned_manifests(ours.pins.list(), ours.objects, table=table)
"""
END = """
print("done", flush=True)
"""
OPERATIONS = {
    "create": 'Table(folder / "new").create(rows, partition_by=["p"])',
    "create generated": 'Table(folder / "new").create(rows, properties={"own.note": "n"})',
    "create managed": 'workspace().catalog.create("sales.new", rows)',
    "append": "table.append(rows)",
    "append with a column": 'table.append(rows.append_column("c", rows["p"]), schema_mode="merge")',
    "overwrite": "table.overwrite(rows)",
    "overwrite where": "table.overwrite(rows.slice(0, 1), where=\"p = 'a' and id > 4\")",
    "delete": 'table.delete("id < 3")',
    "update": 'table.update({"x": "x + 1"})',
    "merge": 'table.merge(rows, on=["id"])',
    "widen": 'table.widen({"x": pa.int64()})',
    "restore": "table.restore(0)",
    "constrain": 'table.add_constraint("small", "id < 1000")',
    "guarded append": 'Table(folder / "guarded").append(rows)',
    "compact": "from lakemark.tables.upkeep.maintenance import compact; compact(table)",
    "z-order": 'from lakemark.tables.upkeep.maintenance import z_order; z_order(table, ["id"])',
    "checkpoint": "from lakemark.tables.upkeep.maintenance import checkpoint; checkpoint(table)",
    "vacuum": "from lakemark.tables.upkeep.vacuum import vacuum; vacuum(table, pins=[], retention_hours=0)",
    "maintain": """
from lakemark.tables.upkeep.schedule import UpkeepPolicy, maintain
ours, policy = workspace(), UpkeepPolicy(small_files=2, log_commits=2, retention_hours=0)
[done] = maintain([table], needed=lambda table: manifests(ours), policy=policy)
if done.errors:
    raise done.errors[0]
""",
    "tag": 'workspace().tags.tag(table, 2, "best")',
    "move": 'workspace().tags.tag(table, 2, "first", move=True)',
    "untag": 'workspace().tags.untag(table, "first", "over")',
    "clone": 'from lakemark.tables.pinning.clones import clone; clone(table, folder / "new")',
    "copy": 'from lakemark.tables.pinning.clones import clone; clone(table, folder / "new", shallow=False)',
    "stream": """
from lakemark.tables.streams import StreamOptions, read_stream
one = StreamOptions(max_files_per_trigger=1)
read_stream(table, one).write(Table(folder / "sink"), name="q", compact_every=1).run()
""",
    "stream that makes its sink": """
from lakemark.tables.streams import StreamOptions, read_stream
one = StreamOptions(max_files_per_trigger=1)
read_stream(table, one).write(Table(folder / "new"), name="q").run()
""",
}
"""What is done, and then shall be done again."""


@dataclass(frozen=True)
class Lake:
    """A folder with a home and tables, kept aside so that each trial finds the same."""

    folder: Path
    aside: Path

    def reset(self) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(self.aside, self.folder, symlinks=True)

    def perform(
        self,
        stage: Stage,
        what: str,
        *,
        kill_at: int | None = None,
        full_at: int | None = None,
        denied: bool = False,
    ) -> Trial:
        code = BEGIN + OPERATIONS[what] + END
        return stage.run(code, self.folder, under=self.folder, kill_at=kill_at, full_at=full_at, denied=denied)

    def contents(self) -> dict[str, tuple[str, ...]]:
        """Return the rows of every table, the columns as well."""
        found = {}
        for log in sorted(self.folder.glob("**/_delta_log/00000000000000000000.json")):
            place = log.parent.parent
            if place.name.startswith("."):  # what a clone that was killed has left
                continue
            rows = Table(place).read()
            said = sorted(map(repr, rows.to_pylist()))
            found[str(place.relative_to(self.folder))] = (str(rows.schema.remove_metadata()), *said)
        return found


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    top = tmp_path_factory.mktemp("lake")
    folder = top / "lake"
    folder.mkdir()
    table = Table(folder / "t")
    table.create(pa.table({"p": ["a"], "id": [0], "x": pa.array([0], pa.int32())}))
    for number in range(1, 9):
        table.append(pa.table({"p": ["a" if number % 2 else "b"], "id": [number], "x": pa.array([0], pa.int32())}))
    table.overwrite(table.read().slice(1))
    read_stream(table).write(Table(folder / "sink"), name="q").run()
    for number in (9, 10):
        table.append(pa.table({"p": ["b"], "id": [number], "x": pa.array([0], pa.int32())}))
    guarded = Table(folder / "guarded")
    guarded.create(pa.table({"p": ["a"], "id": [0], "x": pa.array([0], pa.int32())}))
    add_check(guarded, Check("one", Unique(("id",))))
    create_home(folder)
    ours = open_workspace(read_settings(), folder=folder)
    hold(table.manifest(version=PINNED), holder="ada", reason="", pins=ours.pins, objects=ours.objects)
    ours.tags.tag(table, 3, "first")
    ours.database.close()
    shutil.copytree(folder, top / "aside", symlinks=True)
    return Lake(folder, top / "aside")


def steps(count: int) -> list[int]:
    """Return the steps to try, from 1 to the number that there are."""
    every = range(1, count + 1)
    if not STEPS or count <= STEPS:
        return list(every)
    return sorted({1, count, *random.Random(count).sample(every, STEPS - 2)})


def check_promises(lake: Lake, pinned: pa.Table, *, tidy: bool = False) -> None:
    """Look that pinned versions read as before, tags have pins, and pins markers; tidy: that no pin is too many."""
    table = Table(lake.folder / "t")
    assert table.read(version=PINNED).equals(pinned)
    ours: Workspace = open_workspace(read_settings(), folder=lake.folder)
    try:
        held = {(pin.holder, pin.version, pin.manifest) for pin in ours.pins.list()}
        assert {(holder, version) for holder, version, _ in held} >= {("ada", PINNED)}
        for tag in ours.tags.list():
            assert (f"tag:{tag.tag}", tag.version, tag.manifest) in held
        assert not tidy or len(held) == 1 + len(ours.tags.list())
        marked = markers(TableFiles(table.uri))
        for pin in ours.pins.list():
            assert home_identity(ours.home) in marked[pin.manifest]
            assert verify(pin, ours.objects.get(pin.manifest)).is_whole
        for record in ours.catalog.list():
            assert ours.catalog.resolve(f"{record.schema}.{record.name}").read().num_rows
    finally:
        ours.database.close()


def legal(what: str, seen: dict[str, tuple[str, ...]], states: list[dict[str, tuple[str, ...]]]) -> bool:
    """Return True if the tables are as before or as after, or, where there are several commits, as between them."""
    if seen in states:
        return True
    before, after = states
    several = what.startswith("stream") or what == "create generated"
    kept = all(seen.get(name) == rows for name, rows in before.items() if after.get(name) == rows)
    return several and kept and all(Counter(rows) <= Counter(after.get(name, ())) for name, rows in seen.items())


@pytest.mark.parametrize("what", OPERATIONS)
def test_a_kill_at_any_step(what: str, lake: Lake, stage: Stage) -> None:
    lake.reset()
    before = lake.contents()
    pinned = Table(lake.folder / "t").read(version=PINNED)
    whole = lake.perform(stage, what)
    assert whole.output == "done\n", whole.output
    after = lake.contents()
    check_promises(lake, pinned)
    again = lake.perform(stage, what)
    twice = lake.contents() if again.output == "done\n" else None
    for step in steps(len(whole.calls)):
        lake.reset()
        trial = lake.perform(stage, what, kill_at=step)
        where = (what, step, trial.calls[-2:], whole.calls[step - 1])
        assert trial.killed or trial.output == "done\n", (where, trial.output)
        seen = lake.contents()
        assert legal(what, seen, [before, after]), (where, seen)
        if trial.output == "done\n":
            assert seen == after, where
        check_promises(lake, pinned)
        following = lake.perform(stage, what)
        if following.output == "done\n":
            assert lake.contents() in (after, twice), where
        else:
            assert seen == after or what.startswith("create"), (where, following.output)
            assert "lakemark._base.errors." in following.output, where
        check_promises(lake, pinned, tidy=True)


@pytest.mark.parametrize("what", OPERATIONS)
def test_a_disk_that_is_full_from_any_step_on(what: str, lake: Lake, stage: Stage) -> None:
    lake.reset()
    before = lake.contents()
    pinned = Table(lake.folder / "t").read(version=PINNED)
    whole = lake.perform(stage, what)
    assert whole.output == "done\n", whole.output
    after = lake.contents()
    for step in steps(len(whole.calls)):
        lake.reset()
        trial = lake.perform(stage, what, full_at=step)
        where = (what, step, whole.calls[step - 1], trial.output)
        seen = lake.contents()
        assert legal(what, seen, [before, after]), (where, seen)
        check_promises(lake, pinned)
        if trial.output.endswith("done\n"):
            assert seen == after, where
            continue
        assert trial.status == 1, where
        assert "lakemark._base.errors." in trial.output.rpartition("Traceback")[2], where
        following = lake.perform(stage, what)
        if seen == before:
            assert following.output == "done\n", (where, following.output)
            assert lake.contents() == after, where
        check_promises(lake, pinned, tidy=True)


@pytest.mark.parametrize("what", OPERATIONS)
def test_nothing_may_be_written(what: str, lake: Lake, stage: Stage) -> None:
    lake.reset()
    before = lake.contents()
    pinned = Table(lake.folder / "t").read(version=PINNED)
    trial = lake.perform(stage, what, denied=True)
    assert trial.status == 1, trial.output
    raised = trial.output.rpartition("Traceback")[2]
    assert "lakemark._base.errors.StorageError" in raised, trial.output
    assert "ermission" in raised or "readonly" in raised or "unable to open" in raised, trial.output
    assert lake.contents() == before
    check_promises(lake, pinned, tidy=True)
