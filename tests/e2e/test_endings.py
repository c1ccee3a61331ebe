"""How a script ends: with pools that nobody shut down, and with an exception hook of its own."""

from __future__ import annotations

import sqlite3

import pytest
from tests.e2e.conftest import Project

pytestmark = pytest.mark.slow

POOLS = """\
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV

pool = ThreadPoolExecutor(2)
pool.submit(print, "a first task").result()
x = np.arange(60.0).reshape(-1, 2)
search = GridSearchCV(Ridge(), {"alpha": [1, 2]}, n_jobs=2).fit(x, x[:, 0])
print(search.score(x, x[:, 0]))
pool.submit(print, "a last task")
"""

HOOK = """\
import sys

def hook(kind, error, frames):
    print("the script's own hook saw", kind.__name__, file=sys.stderr)

sys.excepthook = hook
raise ValueError("no")
"""

NESTED = """\
import lakemark

lakemark.start_run("outer")
lakemark.start_run("inner", nested=True)
raise ValueError("no")
"""


def test_a_script_that_leaves_its_pools_open_ends(bare: Project) -> None:
    bare.write("pools.py", POOLS)
    done = bare.run("run", "--name", "pools", "pools.py")
    assert "a last task" in done.stdout
    outputs = bare.receipt("pools")["outputs"]
    assert outputs["models"]
    assert outputs["predictions"]["values"]


def test_the_exception_hook_of_a_script_is_called(bare: Project) -> None:
    bare.write("hook.py", HOOK)
    done = bare.run("run", "hook.py", expect=1)
    assert "the script's own hook saw ValueError" in done.stderr
    assert "Traceback" not in done.stderr


def test_runs_that_an_exception_left_open_have_failed(bare: Project) -> None:
    bare.write("nested.py", NESTED)
    done = bare.run("run", "nested.py", expect=1)
    assert done.stderr.count("ValueError: no") == 1
    assert {run["name"]: run["status"] for run in bare.runs()} == {"outer": "FAILED", "inner": "FAILED"}


def test_a_nested_run_is_never_taken_for_its_outer_one(bare: Project) -> None:
    bare.write("inner.py", NESTED.replace('raise ValueError("no")', "pass"))
    bare.run("run", "inner.py")
    with sqlite3.connect(bare.home / "lakemark.db") as connection:
        keys = dict(connection.execute("SELECT name, memo_key FROM runs").fetchall())
    assert keys["outer"] is not None
    assert keys["inner"] is None
