"""Several runs at once in one home, and what every command prints for programs."""

from __future__ import annotations

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.e2e.conftest import LAKEMARK, Project

from lakemark.config.home import Home
from lakemark.storage.database import open_database
from lakemark.tracking.pins import SqlPinStore
from lakemark.tracking.spool import Spool

pytestmark = pytest.mark.slow

READS = """\
import sys
import lakemark
from deltalake import DeltaTable

rows = DeltaTable("data/sales").to_pyarrow_table().num_rows
for step in range(int(sys.argv[1])):
    lakemark.log_metric("rows", rows + step, step=step)
"""


def test_two_runs_at_once_each_pin_what_they_read(project: Project) -> None:
    project.write("reads.py", READS)
    with ThreadPoolExecutor(2) as pool:
        for done in pool.map(lambda name: project.run("run", "--name", name, "reads.py", "100"), ("one", "other")):
            assert "finished: rows 299" in done.stderr

    found = project.runs()
    assert sorted(run["name"] for run in found) == ["one", "other"]
    for run in found:
        points = project.receipt(run["run_id"])["outputs"]["metrics"]
        assert [(row["step"], row["value"]) for row in points] == [(step, 200 + step) for step in range(100)]
    database = open_database(Home(project.home).database)
    pins = [(pin.holder, pin.table_uri, pin.version) for pin in SqlPinStore(database).list()]
    database.close()
    assert sorted(pins) == sorted((run["run_id"], str(project.table), 0) for run in found)
    project.check_database()


def test_eight_runs_at_once_in_a_home_that_is_not_there_yet(bare: Project) -> None:
    bare.write("tiny.py", "import sys\nimport lakemark\nlakemark.log_metric('number', int(sys.argv[1]))\n")
    new = str(bare.folder / "other" / ".lakemark")
    processes = [
        subprocess.Popen(
            [str(LAKEMARK), "run", "--json", "tiny.py", str(number)],
            cwd=bare.folder,
            env={**os.environ, "LAKEMARK_HOME": new},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]
    documents = []
    for process in processes:
        said, told = process.communicate()
        assert process.returncode == 0, told
        documents.append(json.loads(said))

    assert len({document["run_id"] for document in documents}) == 8
    listed = json.loads(bare.run("runs", "--json", LAKEMARK_HOME=new).stdout)["runs"]
    assert {run["run_id"]: run["metrics"] for run in listed} == {
        document["run_id"]: {"number": number} for number, document in enumerate(documents)
    }
    assert {run["status"] for run in listed} == {"FINISHED"}
    assert list((bare.folder / "other" / ".lakemark" / "spool").iterdir()) == []
    assert len(bare.git("for-each-ref", "refs/lakemark/runs").splitlines()) == 8


def test_several_commands_at_once_find_one_killed_run(bare: Project) -> None:
    spool = Spool(bare.home / "spool" / ("d" * 32))
    spool.write(
        "created",
        run_id="d" * 32,
        name="dead",
        kind="run",
        experiment="default",
        parent_run_id=None,
        pid=2**22 + 1,
        process_start="0",
        entry={"kind": "script", "name": "train.py", "argv": []},
        cwd=str(bare.folder),
        how_started="command",
    )
    for step in range(5_000):
        spool.write("metric", key="loss", value=1.0, step=step, timestamp=step, how="declared")
    spool.close()
    with ThreadPoolExecutor(4) as pool:
        for done in pool.map(lambda _: bare.run("runs", "--json"), range(4)):
            assert done.stderr == ""
            (run,) = json.loads(done.stdout)["runs"]
            assert (run["name"], run["status"], run["metrics"]) == ("dead", "KILLED", {"loss": 1.0})
    assert len(bare.receipt("dead")["outputs"]["metrics"]) == 5_000
    bare.check_database()


def test_every_command_prints_a_document_with_its_schema(project: Project) -> None:
    project.write("reads.py", READS)
    schemas = {
        ("init",): "lakemark.init/1",
        ("run", "--json", "--name", "a", "reads.py", "1"): "lakemark.run/1",
        ("run", "--json", "--name", "b", "reads.py", "2"): "lakemark.run/1",
        ("runs",): "lakemark.runs/1",
        ("show", "a"): "lakemark.show/1",
        ("diff", "a", "b"): "lakemark.diff/1",
        ("reproduce", "a"): "lakemark.verdict/1",
        ("explain", "a", "b"): "lakemark.explanation/1",
        ("config", "show"): "lakemark.config/1",
        ("tables", "history", "data/sales"): "lakemark.tables.history/1",
        ("tables", "pins"): "lakemark.tables.pins/1",
        ("tables", "vacuum", "data/sales", "--dry-run"): "lakemark.tables.vacuum/1",
    }
    found = {}
    for command in schemas:
        words = command if "--json" in command else (*command, "--json")
        found[command] = json.loads(project.run(*words).stdout)["schema"]
    assert found == schemas
    assert project.receipt("a")["schema"] == "lakemark.receipt/1"
