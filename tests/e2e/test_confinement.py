"""A replay writes to its own folders only, whoever writes: through links, from C++, from other processes."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from tests.e2e.conftest import Project

pytestmark = pytest.mark.slow

THROUGH_LINKS = """\
import sys

sys.path.insert(0, "vendor")
import tool
import pandas as pd
from sklearn.linear_model import LinearRegression

rows = pd.read_csv("data/rows.csv")
model = LinearRegression().fit(rows[["x"]], rows["y"])
print(model.predict(rows[["x"]]))
open("data/result.txt", "w").write(f"made by {tool.NAME}")
"""

FROM_LIBRARIES = """\
import pathlib, sys
from sqlite3 import dbapi2
import lightgbm, numpy as np

outside = pathlib.Path(sys.argv[1])
x = np.arange(200.0).reshape(-1, 2)
model = lightgbm.train({"verbose": -1, "num_threads": 1}, lightgbm.Dataset(x, x[:, 0]), 2)
model.predict(x)
model.save_model(str(outside / "model.txt"))
with dbapi2.connect(outside / "notes.sqlite") as connection:
    connection.execute("INSERT INTO notes VALUES ('by the script')")
"""

FROM_PROCESSES = """\
import subprocess, sys

subprocess.run([sys.executable, "-c", f"open({sys.argv[1]!r}, 'w').write('by the script')"], check=True)
"""


def test_links_out_of_the_project_lead_to_what_the_run_read(project: Project, tmp_path: Path) -> None:
    library, disk = tmp_path / "library", tmp_path / "disk"
    for folder in (library, disk):
        folder.mkdir()
    (library / "tool.py").write_text("NAME = 'one'\n")
    (disk / "rows.csv").write_text("x,y\n1,2\n3,4\n5,7\n")
    (project.folder / "vendor").symlink_to(library)
    (project.folder / "data" / "rows.csv").unlink(missing_ok=True)
    for name in ("rows.csv", "result.txt"):
        (project.folder / "data" / name).symlink_to(disk / name)
    project.write("links.py", THROUGH_LINKS)
    project.run("run", "--name", "links", "links.py")
    mine = {
        library / "tool.py": "NAME = 'my edit'\n",
        disk / "rows.csv": "x,y\n1,2\n3,4\n5,9\n",
        disk / "result.txt": "my notes",
    }
    for path, text in mine.items():
        path.write_text(text)
    verdict = project.json("reproduce", "links")
    assert verdict["level"] == 5
    assert {path: path.read_text() for path in mine} == mine


def test_files_that_libraries_write_by_themselves(bare: Project, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    with sqlite3.connect(outside / "notes.sqlite") as connection:
        connection.execute("CREATE TABLE notes (note TEXT)")
    bare.write("libraries.py", FROM_LIBRARIES)
    bare.run("run", "--name", "libraries", "libraries.py", str(outside))
    (outside / "model.txt").write_text("mine")
    assert bare.json("reproduce", "libraries")["level"] == 5
    assert (outside / "model.txt").read_text() == "mine"
    assert sqlite3.connect(outside / "notes.sqlite").execute("SELECT count(*) FROM notes").fetchone() == (1,)


def test_processes_that_a_replay_starts_are_held_by_the_kernel(bare: Project, tmp_path: Path) -> None:
    outside, scratch = tmp_path / "outside.txt", tmp_path / "scratch"
    scratch.mkdir()
    bare.write("processes.py", FROM_PROCESSES)
    bare.run("run", "--name", "processes", "processes.py", str(outside))
    outside.write_text("mine")
    done = bare.run("reproduce", "processes", expect=1, TMPDIR=str(scratch))
    assert "CalledProcessError" in done.stdout
    assert outside.read_text() == "mine"


def test_a_working_directory_without_files_is_made_again(bare: Project) -> None:
    (bare.folder / "empty").mkdir()
    bare.write("here.py", "import pathlib\nprint(pathlib.Path.cwd().name)\n")
    bare.run("run", "--name", "here", "../here.py", cwd="empty")
    done = bare.run("reproduce", "here", "--show-output", expect=None)
    assert "empty" in done.stdout
    assert "could not run" not in done.stdout
