"""The catalog among processes that race and die, and on an object store."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from lakemark._base.errors import ConflictError, NotFoundError
from lakemark.capture.workspace import Workspace, open_workspace
from lakemark.config.settings import Settings
from lakemark.tables.table import Table

CREATE = """
import sys, pyarrow as pa
import lakemark
from lakemark._base.errors import ConflictError
catalog = lakemark.catalog()
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[2])):
    try:
        catalog.create(f"sales.t{number}", pa.table({"writer": [int(sys.argv[1])]}))
        print(number, flush=True)
    except ConflictError as error:
        assert "is taken" in error.message or "is being made at this moment" in error.message, error
"""

# a create that dies when the table is there and the name is not given
KILLED = """
import os, signal, pyarrow as pa
import lakemark
with lakemark.catalog().creating("sales.orders") as table:
    table.create(pa.table({"x": [1, 2]}))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    opened = open_workspace(Settings(home=tmp_path / ".lakemark"))
    yield opened
    opened.database.close()


def start(code: str, folder: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *(str(argument) for argument in arguments)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder, env=os.environ
    )


def test_of_processes_that_make_the_same_tables_one_wins_each(workspace: Workspace, tmp_path: Path) -> None:
    names, processes = 12, [start(CREATE, tmp_path, writer, 12) for writer in range(3)]
    won: dict[int, int] = {}
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for writer, process in enumerate(processes):
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        for word in out.split():
            assert int(word) not in won, "two processes made one table"
            won[int(word)] = writer
    assert sorted(won) == list(range(names))
    for number, writer in won.items():
        assert workspace.catalog.resolve(f"sales.t{number}").read()["writer"].to_pylist() == [writer]


def test_a_create_that_was_killed_can_be_taken_up(workspace: Workspace, tmp_path: Path) -> None:
    killed = start(KILLED, tmp_path)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    catalog = workspace.catalog
    with pytest.raises(NotFoundError, match="no table is named"):
        catalog.resolve("sales.orders")
    with pytest.raises(ConflictError, match="or whoever made it was stopped") as caught:
        catalog.create("sales.orders", pa.table({"x": [3]}))
    hint = caught.value.hint or ""
    assert hint.startswith("lakemark tables register main.sales.orders ")
    assert catalog.register("sales.orders", hint.split()[4]).read()["x"].to_pylist() == [1, 2]


def test_tables_on_an_object_store(workspace: Workspace, s3: str) -> None:
    Table(f"{s3}/raw/events").create(pa.table({"x": [1]}))
    registered = workspace.catalog.register("raw.events", f"{s3}/raw/events/")
    assert (registered.uri, registered.read().num_rows) == (f"{s3}/raw/events", 1)
    with pytest.raises(NotFoundError, match=f"no Delta table at {s3}/raw/nothing"):
        workspace.catalog.register("raw.nothing", f"{s3}/raw/nothing")
    remote = open_workspace(Settings(home=workspace.home.path, warehouse=f"{s3}/warehouse"))
    made = remote.catalog.create("sales.orders", pa.table({"x": [1, 2]}))
    assert made.uri == f"{s3}/warehouse/main/sales/orders"
    assert remote.catalog.resolve("sales.orders@0").read().num_rows == 2
    assert remote.catalog.describe("sales.orders").rows == 2
    assert remote.catalog.drop("sales.orders", delete_files=True).files == 2
    assert not made.exists()
    assert remote.catalog.create("sales.orders", pa.table({"x": [3]})).read().num_rows == 1
    remote.database.close()


SCRIPT = """
import lakemark, pyarrow as pa
made = lakemark.catalog().create("sales.orders", pa.table({"x": [1, 2]}))
assert lakemark.table("sales.orders").uri == made.uri
assert lakemark.table("raw.events@0").read().num_rows == 3
"""


def test_a_recorded_script_finds_the_catalog_of_its_run(workspace: Workspace, tmp_path: Path) -> None:
    workspace.catalog.create("raw.events", pa.table({"x": [1, 2, 3]}))
    (tmp_path / "lakemark.toml").write_text('warehouse = "lake"\n')
    (tmp_path / "train.py").write_text(SCRIPT)
    command = Path(sys.executable).with_name("lakemark")
    subprocess.run([command, "run", "train.py"], check=True, capture_output=True, cwd=tmp_path)
    made = workspace.catalog.resolve("sales.orders")
    assert made.uri == str(tmp_path.resolve() / "lake" / "main" / "sales" / "orders")
    assert made.history()[0].commit.run_id is not None
    shown = subprocess.run(
        [command, "show", str(made.history()[0].commit.run_id), "--json"], check=True, capture_output=True, cwd=tmp_path
    )
    assert b'"main.raw.events"' in shown.stdout
    assert b"lakemark.toml" not in shown.stdout
