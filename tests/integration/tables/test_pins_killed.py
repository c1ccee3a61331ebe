"""kill -9 while tags move and tables are cloned: never a tag without its pin and marker, never half a table."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

from lakemark.config.home import create_home
from lakemark.config.identity import home_identity
from lakemark.storage.database import open_database
from lakemark.storage.objects import ObjectStore
from lakemark.tables.log.files import TableFiles
from lakemark.tables.pinning.clones import clone
from lakemark.tables.pinning.markers import MarkedPins, marked_manifests, markers
from lakemark.tables.pinning.pins import verify
from lakemark.tables.pinning.tags import Tags
from lakemark.tables.table import Table
from lakemark.tracking.pins import SqlPinStore
from lakemark.tracking.table_tags import SqlTagStore

ROUNDS = 3

TAGGING = """
import sys
from pathlib import Path
from lakemark.capture.workspace import open_workspace
from lakemark.config.settings import read_settings
from lakemark.tables.table import Table
folder = Path(sys.argv[1])
workspace, table = open_workspace(read_settings(), folder=folder), Table(folder / "t")
print("ready", flush=True)
while True:
    for version in (0, 1):
        workspace.tags.tag(table, version, "best", move=True)
    workspace.tags.untag(table, "best", "again")
"""
CLONING = """
import shutil, sys
from pathlib import Path
from lakemark.tables.pinning.clones import clone
from lakemark.tables.table import Table
folder = Path(sys.argv[1])
print("ready", flush=True)
while True:
    shutil.rmtree(folder / "old", ignore_errors=True)
    if (folder / "mine").exists():
        (folder / "mine").rename(folder / "old")
    clone(Table(folder / "t"), folder / "mine", shallow=False)
"""


def kill_at_random(script: str, folder: Path) -> None:
    """Run a script until a random moment after it said that it is ready."""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True, cwd=folder
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(random.uniform(0, 0.15))  # not a secret
        child.kill()


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """A table of two versions, in many files."""
    made = Table(tmp_path / "t")
    made.create(pa.table({"p": list(range(20)), "x": list(range(20))}), partition_by=["p"])
    made.append(pa.table({"p": [1], "x": [20]}))
    return made


def test_a_tag_never_stands_without_its_pin(table: Table, tmp_path: Path) -> None:
    home = create_home(tmp_path)
    files = TableFiles(table.uri)
    with open_database(home.database) as database:
        objects = ObjectStore(home.objects)
        pins = MarkedPins(SqlPinStore(database), objects, home)
        tags = Tags(SqlTagStore(database), pins, objects)
        for _ in range(ROUNDS):
            kill_at_random(TAGGING, tmp_path)
            held = {(pin.holder, pin.version, pin.manifest) for pin in pins.list()}
            for tag in tags.list():
                assert (f"tag:{tag.tag}", tag.version, tag.manifest) in held
            homes = markers(files)
            assert all(home_identity(home) in homes[manifest] for _, _, manifest in held)
            assert len(marked_manifests(files)) >= len({manifest for _, _, manifest in held})
            for pin in pins.list():
                assert verify(pin, objects.get(pin.manifest)).is_whole
        tags.tag(table, 1, "best", move=True)
        assert [(pin.holder, pin.version) for pin in pins.list()] == [("tag:best", 1)]
        tags.untag(table, "best", "done")
        assert (list(pins.list()), marked_manifests(files)) == ([], [])


def test_a_clone_is_whole_or_not_there(table: Table, tmp_path: Path) -> None:
    rows = table.read()
    for _ in range(ROUNDS):
        kill_at_random(CLONING, tmp_path)
        mine = Table(tmp_path / "mine")
        if Path(mine.uri).exists():
            assert mine.read().equals(rows)
    for name in ("mine", "old"):
        shutil.rmtree(tmp_path / name, ignore_errors=True)
    assert clone(table, tmp_path / "mine").read().equals(rows)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "t"]
    assert table.read().equals(rows)
