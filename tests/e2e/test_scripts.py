"""Scripts as they come: ones that fail in every way, and ones that are started in every way."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from tests.e2e.conftest import Project

pytestmark = pytest.mark.slow

FAILS = """\
def inner(rows):
    raise ValueError(f"no rows in {rows}")

def outer():
    try:
        {}["key"]
    except KeyError as error:
        raise RuntimeError("outer") from error

try:
    outer()
except RuntimeError:
    inner([])
"""


def test_a_script_that_fails_shows_its_own_frames_and_keeps_its_receipt(shared: Project) -> None:
    shared.write("src/fails.py", FAILS)
    done = shared.run("run", "--name", "fails", "src/fails.py", expect=1)

    assert done.stderr.splitlines()[:13] == shared.python("src/fails.py", expect=1).stderr.splitlines()[:13]
    shown = done.stderr.partition("run fails (")[0]
    assert "The above exception was the direct cause" in shown
    assert shown.rstrip().endswith("ValueError: no rows in []")
    assert not any(word in shown for word in ("lakemark", "runpy", "<frozen"))
    receipt = shared.receipt("fails")
    assert receipt["status"] == "FAILED"
    assert receipt["inputs"]["env"]["how"] == "observed"
    frames = [(row["file"], row["line"], row["function"]) for row in receipt["outputs"]["error"]["frames"]]
    assert frames == [("src/fails.py", 13, "<module>"), ("src/fails.py", 2, "inner")]
    told = shared.run("show", "fails")
    assert "ValueError: no rows in []" in told.stdout
    assert "src/fails.py:2 in inner" in told.stdout
    assert "reproduce" not in told.stderr  # there is nothing to compare with


@pytest.mark.parametrize(
    ("script", "code", "status", "error"),
    [
        ("import sys\nsys.exit(3)\n", 3, "FAILED", "SystemExit: 3"),
        ("import sys\nsys.exit('text of the script')\n", 1, "FAILED", "SystemExit: text of the script"),
        ("import sys\nsys.exit(0)\n", 0, "FINISHED", None),
        ("x = = 1\n", 1, "FAILED", "SyntaxError: invalid syntax (ends.py, line 1)"),
        ("import os\nprint('before', flush=True)\nos._exit(7)\n", 7, "FAILED", "exit code 7"),
        ("import ctypes\nctypes.string_at(0)\n", 139, "FAILED", "SIGSEGV"),
    ],
)
def test_each_end_of_a_script(shared: Project, script: str, code: int, status: str, error: str | None) -> None:
    shared.write("ends.py", script)
    done = shared.run("run", "--json", "ends.py", expect=code)

    document = json.loads(done.stdout)
    assert (document["schema"], document["exit_code"] % 256, document["receipt"]["status"]) == (
        "lakemark.run/1",
        code if code < 128 else 256 - (code - 128),
        status,
    )
    told = shared.run("show", document["run_id"]).stdout
    assert (error or "error ") in told if error else "error " not in told
    if "text" in script:
        assert done.stderr.startswith("text of the script\n")


def test_what_is_not_there_starts_no_run(shared: Project) -> None:
    before = shared.runs()
    done = shared.run("run", "nothing.py", expect=3)
    assert done.stderr.startswith("error: no script nothing.py in ")
    assert shared.runs() == before
    assert "No module named package.nothing" in shared.run("run", "-m", "package.nothing", expect=1).stderr


def test_a_module_with_relative_imports(shared: Project) -> None:
    shared.write("package/__init__.py", "")
    shared.write("package/values.py", "VALUE = 5\n")
    shared.write("package/inner/__init__.py", "")
    shared.write(
        "package/inner/train.py",
        "import sys\nimport lakemark\nfrom ..values import VALUE\nfrom package.values import VALUE as SAME\n"
        "lakemark.log_metric('value', VALUE + SAME)\nprint(__name__, __package__, sys.argv[1:])\n",
    )
    done = shared.run("run", "--name", "module", "-m", "package.inner.train", "--depth", "3")

    assert done.stdout == "__main__ package.inner ['--depth', '3']\n"
    assert shared.receipt("module")["inputs"]["code"]["entry"] == {
        "kind": "module",
        "name": "package.inner.train",
        "argv": ["--depth", "3"],
    }
    shared.run("reproduce", "module", "--level", "3")


def test_a_script_below_the_top_with_odd_arguments_and_standard_input(shared: Project) -> None:
    shared.write("jobs/nightly/beside.py", "VALUE = 2\n")
    shared.write("jobs/nightly/in.txt", "40")
    shared.write(
        "jobs/nightly/job.py",
        "import sys\nimport lakemark\nimport beside\n"
        "lakemark.log_metric('value', beside.VALUE + int(open('in.txt').read()))\n"
        "print(sys.argv, repr(sys.stdin.read()))\n",
    )
    words = ("a b", "naïve é", "--x=日本", "-")
    done = shared.run("run", "--name", "below", "nightly/job.py", *words, cwd="jobs", said="a line\n", expect=1)
    assert "No such file or directory: 'in.txt'" in done.stderr
    done = shared.run("run", "--name", "below", "job.py", *words, cwd="jobs/nightly", said="a line\n")

    assert done.stdout == f"{['job.py', *words]} 'a line\\n'\n"
    receipt = shared.receipt("below")
    assert receipt["inputs"]["code"]["cwd"] == "jobs/nightly"
    assert receipt["inputs"]["code"]["entry"]["argv"] == list(words)
    assert receipt["inputs"]["params"]["values"]["x"] == "日本"
    assert {"fact": "data", "why": "standard input was read, and is not kept"} in receipt["completeness"]["missing"]
    shared.run("reproduce", "below", "--level", "3")


def test_a_forked_child_that_comes_to_the_end_does_not_end_the_run(shared: Project) -> None:
    shared.write(
        "forks.py",
        "import os, sys\nimport lakemark\nchild = os.fork()\nif child == 0:\n    sys.exit(3)\n"
        "os.waitpid(child, 0)\nlakemark.log_metric('after', 1)\n",
    )
    shared.run("run", "--name", "forks", "forks.py")
    receipt = shared.receipt("forks")
    assert receipt["status"] == "FINISHED"
    assert [row["key"] for row in receipt["outputs"]["metrics"]] == ["after"]
    assert receipt["outputs"]["error"] is None


def test_worker_processes_work_and_are_no_runs(shared: Project) -> None:
    shared.write(
        "workers.py",
        "from concurrent.futures import ProcessPoolExecutor\nfrom multiprocessing import get_context\n"
        "import lakemark\n\ndef square(number):\n    return number * number\n\n"
        "if __name__ == '__main__':\n"
        "    with ProcessPoolExecutor(2, mp_context=get_context('spawn')) as pool:\n"
        "        lakemark.log_metric('sum', sum(pool.map(square, range(4))))\n",
    )
    before = len(shared.runs("--all"))
    shared.run("run", "--name", "workers", "workers.py")
    assert shared.runs("--all")[0]["metrics"] == {"sum": 14.0}
    assert len(shared.runs("--all")) == before + 1


def test_code_that_lies_outside_of_the_project(bare: Project, tmp_path: Path) -> None:
    for name, source in {
        "elsewhere/outer.py": "import sys\nimport beside\nsys.path.insert(0, sys.argv[1])\nimport library, lakemark\n"
        "import extra\nlakemark.log_metric('value', beside.VALUE + library.VALUE + extra.VALUE)\n",
        "elsewhere/beside.py": "VALUE = 1\n",
        "library/library.py": "VALUE = 10\n",
        "project/inner/extra.py": "VALUE = 100\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    script = os.path.relpath(tmp_path / "elsewhere" / "outer.py", bare.folder)
    bare.run("run", "--name", "outer", script, str(tmp_path / "library"), PYTHONPATH=str(bare.folder / "inner"))
    kept = {Path(row["path"]).name for row in bare.receipt("outer")["inputs"]["code"]["extra"]}
    assert kept == {"outer.py", "beside.py", "library.py"}
    assert "3 loaded files lie outside of the snapshot and are kept" in bare.run("show", "outer").stdout

    shutil.rmtree(tmp_path / "elsewhere")
    (tmp_path / "library" / "library.py").write_text("VALUE = 0\n")
    verdict = bare.json("reproduce", "outer", "--level", "3")
    assert {check["name"]: check["same"] for check in verdict["checks"]}["code"] is True


def test_an_argument_that_is_no_text_spoils_nothing(bare: Project) -> None:
    bare.write("tiny.py", "import sys\nimport lakemark\nlakemark.log_metric('n', len(sys.argv[1]))\n")
    bare.run("run", "--name", "odd", "tiny.py", "a\udcff")
    (run,) = bare.runs()
    assert (run["metrics"], run["params"]) == ({"n": 2.0}, {"argument_1": "a\ufffd"})
    told = bare.run("reproduce", "odd", expect=1).stdout
    assert "params: an argument of tiny.py a\ufffd was not UTF-8, and could not be stored as it was" in told
