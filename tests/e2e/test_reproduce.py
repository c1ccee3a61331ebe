"""That run again, with proof: each way in which it can go, with the real command."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from deltalake import DeltaTable, write_deltalake
from tests.e2e.conftest import Project, sales

pytestmark = pytest.mark.slow


def test_a_run_is_bit_exact_after_its_world_has_moved_on(project: Project) -> None:
    project.run("run", "--name", "monday", "train.py")
    project.land(start=200)
    DeltaTable(project.table).optimize.compact()
    project.write("train.py", "raise SystemExit('edited')\n")
    project.run("tables", "vacuum", "data/sales", "--retention-hours", "0", "--yes")

    verdict = project.json("reproduce", "monday", "--level", "5")

    assert verdict["schema"] == "lakemark.verdict/1"
    assert verdict["title"] == "bit-exact model"
    assert {check["name"]: check["same"] for check in verdict["checks"]} == dict.fromkeys(
        ("code", "environment", "data", "params", "seeds", "compute", "metrics", "predictions", "model"), True
    )
    assert (project.folder / "train.py").read_text() == "raise SystemExit('edited')\n"


def test_version_zero_is_pinned_and_replayed_as_zero(project: Project) -> None:
    project.run("run", "--name", "first", "train.py")
    project.land(start=200)
    project.run("reproduce", "first", "--level", "5")
    replay = project.json("runs", "--all")["runs"][0]
    assert [table["version"] for table in project.receipt(replay["run_id"])["inputs"]["data"]["tables"]] == [0]


def test_data_that_a_foreign_tool_vacuumed_cannot_be_read_again(project: Project) -> None:
    project.run("run", "--name", "monday", "train.py")
    project.land(start=500, mode="overwrite")
    table = DeltaTable(project.table)
    table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)

    done = project.run("reproduce", "monday", expect=1)

    assert "could not run (level 0 of 5)" in done.stdout
    assert "table sales at version 0" in done.stdout
    assert "1 of 1 files are missing" in done.stdout
    assert "backup" in done.stderr


def test_a_table_that_was_dropped_and_made_again_is_not_taken_for_the_old_one(project: Project) -> None:
    project.run("run", "--name", "monday", "train.py")
    shutil.rmtree(project.table)
    project.land(start=900)

    done = project.run("reproduce", "monday", expect=1)

    assert "level 0" in done.stdout
    assert "re-created" in done.stdout
    assert "version 0" in done.stdout
    assert "backup" in done.stderr


def test_a_pin_outlives_the_log(project: Project) -> None:
    project.run("run", "--name", "monday", "train.py")
    for night in range(1, 4):
        project.land(start=200 * night)
    table = DeltaTable(project.table)
    table.create_checkpoint()
    old = 40 * 24 * 3600
    for entry in (project.table / "_delta_log").glob("*.json"):
        stat = entry.stat()
        os.utime(entry, (stat.st_atime - old, stat.st_mtime - old))
    table.cleanup_metadata()
    assert not (project.table / "_delta_log" / f"{0:020}.json").exists()

    project.run("reproduce", "monday", "--level", "5")


def test_a_label_flipped_deep_in_a_large_table_is_seen(project: Project) -> None:
    rows = sales(200_000)
    write_deltalake(project.table, rows, mode="overwrite")
    project.run("run", "--name", "before", "train.py")
    flipped = rows["z"].to_numpy().copy()
    flipped[190_000] += 1.0
    changed = rows.set_column(3, "z", [flipped])
    write_deltalake(project.table, changed, mode="overwrite")
    project.run("run", "--name", "after", "train.py")

    done = project.run("diff", "before", "after")

    assert "version 1 -> 2" in done.stdout.replace("→", "->")
    before, after = (project.receipt(name)["inputs"]["data"]["tables"][0]["content"] for name in ("before", "after"))
    assert before["rows"] == after["rows"] == 200_000
    assert before["unordered"] != after["unordered"]


def test_another_row_order_is_named_as_the_cause(project: Project) -> None:
    project.run("run", "--name", "ordered", "train.py")
    rows = DeltaTable(project.table).to_pyarrow_table()
    order = np.random.default_rng(1).permutation(len(rows))
    write_deltalake(project.table, rows.take(order), mode="overwrite")
    project.run("run", "--name", "shuffled", "train.py")

    done = project.run("diff", "ordered", "shuffled")

    assert "the same 200 rows in another order" in done.stdout


def test_a_lock_that_cannot_be_met_names_the_package(project: Project, tmp_path: Path) -> None:
    project.write(
        "vendor/phantom_package-9.9.9.dist-info/METADATA",
        "Metadata-Version: 2.1\nName: phantom-package\nVersion: 9.9.9\n",
    )
    project.write("vendor/phantom_package-9.9.9.dist-info/RECORD", "phantom_package.py,,\n")
    project.write("vendor/phantom_package.py", "VALUE = 1\n")
    project.write(
        "uses.py", "import sys; sys.path.insert(0, 'vendor')\nimport phantom_package\nprint(phantom_package.VALUE)\n"
    )
    project.run("run", "--name", "phantom", "uses.py")

    done = project.run("reproduce", "phantom", expect=1)

    assert "level 0" in done.stdout
    assert "phantom-package" in done.stdout


def test_the_level_asked_for_sets_the_exit_code(project: Project) -> None:
    project.run("run", "--name", "plain", project.write("noop.py", "print(1)\n").name)
    project.run("reproduce", "plain", "--level", "5", expect=1)
