"""A replay touches nothing of the user's, and sees what the run saw."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from tests.e2e.conftest import Project

pytestmark = pytest.mark.slow

# reads and writes in every way, and draws random numbers that nobody seeded
WRITES = """\
import os, pathlib, random, shutil, sys
import numpy as np
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import mean_absolute_error

outside = pathlib.Path(sys.argv[1])
scale = int(open("scale.txt").read()) + int((outside / "shift.txt").read_text())
rows = DeltaTable("data/sales").to_pandas()
x = rows[["x", "y"]].to_numpy() + np.random.rand(len(rows), 2)
y = scale * x[:, 0] + random.random() + np.random.default_rng().normal(size=len(rows))
model = RandomForestRegressor(n_estimators=5).fit(x, y)
print(scale, mean_absolute_error(y, model.predict(x)))

open("relative.txt", "w").write(str(y[0]))
open(os.path.abspath("absolute.txt"), "w").write(str(y[1]))
open("log.txt", "a").write("a line\\n")
(outside / "outside.txt").write_text(str(y[2]))
(outside / "deep" / "er").mkdir(parents=True, exist_ok=True)
(outside / "deep" / "er" / "file.txt").write_text(str(y[3]))
for gone in (pathlib.Path("gone.txt"), outside / "gone.txt"):
    if gone.exists():
        gone.unlink()
shutil.rmtree(outside / "folder", ignore_errors=True)
os.replace("relative.txt", "renamed.txt")
for mode in ("overwrite", "append"):
    write_deltalake("data/out", pa.table({"y": y[:3]}), mode=mode)
write_deltalake(str(outside / "table"), pa.table({"y": y[:3]}), mode="append")
assert len(DeltaTable("data/out").to_pyarrow_table()) == 6
"""


def contents(*folders: Path) -> dict[str, str]:
    """Return the hash of every file that is the user's."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    own = [path for path in files if not {".lakemark", ".git"} & set(path.parts)]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in own}


def test_nothing_of_the_users_changes_and_the_replay_sees_the_old_content(project: Project, tmp_path: Path) -> None:
    outside, scratch = tmp_path / "outside", tmp_path / "scratch"
    for folder in (outside, scratch):
        folder.mkdir()
    project.write("scale.txt", "2")
    (outside / "shift.txt").write_text("1")
    for uri in (project.folder / "data" / "out", outside / "table"):
        write_deltalake(uri, pa.table({"y": [0.0]}))
    project.write("writes.py", WRITES)
    project.run("run", "--name", "writes", "writes.py", str(outside))
    receipt = project.receipt("writes")
    versions = {row["uri"]: row["version"] for row in receipt["outputs"]["tables_written"]}
    assert versions == {str(project.folder / "data" / "out"): 2, str(outside / "table"): 1}
    assert str(outside / "deep" / "er" / "file.txt") in receipt["outputs"]["files_written"]
    unseeded = [row["api"] for row in receipt["inputs"]["randomness"]["unseeded"]]
    assert "numpy.random.default_rng" in unseeded

    project.write("scale.txt", "7")
    (outside / "shift.txt").write_text("7")
    project.write("relative.txt", "mine")
    project.write("gone.txt", "mine")
    (outside / "gone.txt").write_text("mine")
    (outside / "folder").mkdir()
    (outside / "folder" / "kept.txt").write_text("mine")
    project.land(100, start=200)
    before = contents(project.folder, outside)
    done = project.run("reproduce", "writes", "--level", "5", "--show-output", TMPDIR=str(scratch))

    assert done.stdout.startswith("3 ")
    assert contents(project.folder, outside) == before
    assert DeltaTable(project.folder / "data" / "out").version() == 2
    assert DeltaTable(outside / "table").version() == 1
    assert list(scratch.iterdir()) == []


def test_a_file_that_was_too_large_to_keep(bare: Project, tmp_path: Path) -> None:
    large = tmp_path / "large.csv"
    large.write_text("x\n" + "1\n" * 5_000)
    bare.write("count.py", f"import lakemark\nlakemark.log_metric('letters', len(open({str(large)!r}).read()))\n")
    bare.run("run", "--name", "count", "count.py", LAKEMARK_STORE_LIMIT="1000")
    assert [row["stored"] for row in bare.receipt("count")["inputs"]["data"]["files"]] == [False]
    assert "not kept" in bare.run("show", "count").stdout
    bare.run("reproduce", "count", "--level", "3")  # it is still there, and still the same

    with large.open("a") as file:
        file.write("1\n")
    done = bare.run("reproduce", "count", expect=1)
    assert "verdict: could not run (level 0 of 5)" in done.stdout
    assert f"data: file {large} is not what it was when the run read it" in done.stdout
    assert "LAKEMARK_STORE_LIMIT" in done.stderr
