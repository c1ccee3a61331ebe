"""Bad input and bad surroundings: one clear error, and nothing is changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.conftest import LAKEMARK, Project

from lakemark.config.home import Home
from lakemark.tracking.records import Run, RunStatus
from lakemark.tracking.store import open_store

pytestmark = pytest.mark.slow

SCORE = "import sys\nimport lakemark\nlakemark.log_metric('score', float(sys.argv[1]))\n"


@pytest.fixture(scope="module")
def scored(shared: Project) -> Project:
    """A project with the runs `monday` and `tuesday`, `broken`, which failed, and two whose ids begin alike."""
    shared.write("score.py", SCORE)
    shared.run("run", "--name", "monday", "score.py", "0.5")
    shared.run("run", "--name", "tuesday", "score.py", "0.25")
    shared.run("run", "--name", "broken", "score.py", "text", expect=1)
    store = open_store(Home(shared.home))
    for number, name in enumerate(("one", "other")):
        run_id = f"abcd{number}" + "0" * 27
        store.create_run(
            Run(run_id=run_id, experiment="default", started_ms=number, name=name, status=RunStatus.FINISHED)
        )
    store.database.close()
    return shared


@pytest.mark.parametrize(
    "command",
    [("show", "mondya"), ("reproduce", "mondya"), ("diff", "monday", "mondya"), ("explain", "mondya", "tuesday")],
)
def test_a_run_that_is_not_there_names_the_nearest(scored: Project, command: tuple[str, ...]) -> None:
    done = scored.run(*command, expect=3)
    assert (done.stdout, done.stderr) == (
        "",
        "error: no run 'mondya'; the nearest is 'monday'\n\nhint: lakemark show monday\n",
    )


def test_the_beginning_of_several_ids_is_refused(scored: Project) -> None:
    done = scored.run("reproduce", "abcd", expect=4)
    assert "several runs begin with 'abcd': " in done.stderr
    assert "abcd0 (one)" in done.stderr
    assert "abcd1 (other)" in done.stderr


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("reproduce", "broken"), "run broken is failed: only a finished run has outputs to compare with"),
        (("explain", "monday", "broken"), "is FAILED; only FINISHED runs can be explained"),
        (("explain", "monday", "monday"), "A and B are the same run"),
        (("explain", "monday", "tuesday", "--metric", "scroe"), "no metric 'scroe' in both runs; there are: score"),
        (("reproduce", "monday", "--level", "6"), "invalid value for '--level'"),
        (("explain", "monday", "tuesday", "--evaluate-on", "c"), "invalid value for '--evaluate-on'"),
    ],
)
def test_what_cannot_be_asked_is_refused(scored: Project, command: tuple[str, ...], told: str) -> None:
    done = scored.run(*command, expect=2)
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert told in done.stderr
    assert "\n\nhint: " in done.stderr
    assert len(scored.runs("--all")) == 5


@pytest.mark.parametrize("commits", ["no repository", "no commit"])
def test_code_that_is_in_no_commit(bare: Project, commits: str) -> None:
    bare.write("score.py", SCORE)
    bare.git("update-ref", "-d", "HEAD")
    if commits == "no repository":
        (bare.folder / ".git").rename(bare.folder.parent / "git")
    bare.run("run", "--name", "first", "score.py", "0.5")
    bare.write("score.py", "raise SystemExit('edited')\n")

    assert "in no commit" in bare.run("show", "first").stdout
    code = bare.receipt("first")["inputs"]["code"]
    assert (code["vcs"], code["commit"]) == ("private" if commits == "no repository" else "git", None)
    bare.run("reproduce", "first", "--level", "3")


def test_without_the_git_program_the_run_happens_and_its_code_is_missing(bare: Project, tmp_path: Path) -> None:
    bare.write("score.py", SCORE)
    (tmp_path / "bin").mkdir()
    nowhere = str(tmp_path / "bin")
    done = bare.run("run", "--name", "command", "score.py", "0.5", PATH=nowhere)
    assert "missing: code (git is not installed, or not on the PATH" in done.stderr
    bare.python("score.py", "0.25", PATH=nowhere)

    by_api, by_command = bare.runs()
    assert (by_api["metrics"], by_command["metrics"]) == ({"score": 0.25}, {"score": 0.5})
    for run in (by_api, by_command):
        assert "no snapshot" in bare.run("show", run["run_id"], PATH=nowhere).stdout
    done = bare.run("reproduce", "command", expect=1)
    assert "level 0" in done.stdout
    assert "code: no snapshot of the code was taken" in done.stdout


def on_small_disk(script: str, *, folder: Path, disk: Path, kilobytes: int) -> str:
    """Run a shell script in `folder`, with a file system of so many kilobytes in `disk`; return what it printed."""
    mount = f"mount -t tmpfs -o size={kilobytes}k tmpfs {disk}"
    alone = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else []), "sh", "-c"]
    if sys.platform != "linux" or subprocess.run([*alone, mount], capture_output=True, check=False).returncode:
        reason = "mounting a small file system is not allowed here, so what a full disk does WAS NOT TESTED"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    functions = f"""
        lakemark() {{ {LAKEMARK} --home {disk} "$@" 2>&1; echo "exit $?"; }}
        fill() {{ dd if=/dev/zero of={disk}/fill bs=1k count=$(($(df --output=avail {disk} | tail -1) - $1)) 2>&1; }}
    """
    done = subprocess.run(
        [*alone, f"{mount} && cd {folder} && {functions}\n{script}"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_home_on_a_full_disk(bare: Project, tmp_path: Path) -> None:
    bare.write("score.py", SCORE)
    bare.write("in.txt", "1")
    bare.write("many.py", "import lakemark\nfor step in range(5000):\n    lakemark.log_metric('n', step, step=step)\n")
    bare.write(
        "reads.py",
        "import os\nfor number in range(3000):\n    os.utime('in.txt', ns=(number, number))\n"
        "    assert open('in.txt').read()\nprint('the script has read the file 3000 times')\n",
    )
    disk = tmp_path / "disk"
    disk.mkdir()
    told = on_small_disk(
        f"""
        lakemark run --name before score.py 0.5 >/dev/null
        fill 300 >/dev/null; echo "== reads"; lakemark run --name reads reads.py; rm {disk}/fill
        lakemark runs >/dev/null
        fill 300 >/dev/null; echo "== many"; lakemark run --name many many.py; rm {disk}/fill
        lakemark runs >/dev/null
        fill 0 >/dev/null; echo "== full"; lakemark run --name full score.py 0.5; rm {disk}/fill
        echo "== runs"; lakemark runs; find {disk}/.lakemark -name '.incoming*' | wc -l
        echo "== runs"; lakemark runs; ls {disk}/.lakemark/spool | wc -l
        echo "== after"; lakemark run --name after score.py 0.5
        """,
        folder=bare.folder,
        disk=disk,
        kilobytes=3000,
    )
    _, reads, many, full, once, again, after = told.split("== ")
    # whatever happens to us, the script goes on
    assert reads.splitlines()[1] == "the script has read the file 3000 times"
    assert "No space left on device\n\nhint: make room on the disk" in reads
    assert "Traceback" not in reads
    assert many.count("Traceback") == 1  # the script's own: what it logged is not acknowledged
    assert "log_metric('n', step, step=step)\nlakemark._base.errors.StorageError: " in many
    assert "what was written before is kept" in many
    assert [part.splitlines()[-1] for part in (reads, many, full)] == ["exit 1"] * 3
    assert full.splitlines()[1].startswith(f"error: {disk}/.lakemark/lakemark.db: ")
    assert once == again
    words = [line.split() for line in once.splitlines()[2:5]]
    assert [line[1:3] for line in words] == [["many", "interrupted"], ["reads", "interrupted"], ["before", "finished"]]
    points = int(next(word for word in words[0] if word.startswith("n=")).removeprefix("n="))
    assert 0 < points < 5000
    assert once.splitlines()[5:] == ["exit 0", "0"]
    assert "run after" in after
    assert "finished: score 0.5" in after


def test_a_home_that_may_not_be_written(bare: Project, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    told = on_small_disk(
        f"mount -o remount,ro {disk}; lakemark run train.py",
        folder=bare.folder,
        disk=disk,
        kilobytes=100,
    )
    assert told == f"error: {disk}/.lakemark: Read-only file system\nexit 1\n"
