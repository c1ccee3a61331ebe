"""A project folder, and the `lakemark` command as a process in it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lakemark.config.home import create_home
from lakemark.tracking.store import open_store

LAKEMARK = Path(sys.executable).with_name("lakemark")

TRAIN = """\
import sys
from deltalake import DeltaTable
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_absolute_error

frame = DeltaTable("data/sales").to_pandas()
cut = int(len(frame) * 0.75)
train, test = frame[:cut], frame[cut:]
model = LinearRegression(positive="--positive" in sys.argv).fit(train[["x", "y"]], train["z"])
print("mae", mean_absolute_error(test["z"], model.predict(test[["x", "y"]])))
"""


@dataclass(frozen=True)
class Project:
    """A folder with a git repository, a home and a table `data/sales`."""

    folder: Path

    @property
    def home(self) -> Path:
        """The home's folder."""
        return self.folder / ".lakemark"

    def run(
        self,
        *arguments: str,
        expect: int | None = 0,
        cwd: str = ".",
        said: str | None = None,
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        """Run `lakemark` with these arguments, and check its exit code unless `expect` is None.

        Parameters
        ----------
        *arguments : str
            Behind `lakemark`.
        expect : int or None
            The exit code.
        cwd : str
            Where, relative to the project.
        said : str, optional
            What stands in its standard input.
        **environment : str
            Variables beside those of the tests.
        """
        return self._call([str(LAKEMARK), *arguments], expect=expect, cwd=cwd, said=said, environment=environment)

    def python(self, *arguments: str, expect: int | None = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a plain `python` with these arguments."""
        return self._call([sys.executable, *arguments], expect=expect, cwd=".", said=None, environment=environment)

    def _call(
        self,
        command: list[str],
        *,
        expect: int | None,
        cwd: str,
        said: str | None,
        environment: Mapping[str, str],
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            cwd=self.folder / cwd,
            env={**os.environ, **environment},
            input=said,
            stdin=subprocess.DEVNULL if said is None else None,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if expect is not None:
            assert done.returncode == expect, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start `lakemark` as the leader of a process group, as a shell does."""
        return subprocess.Popen(
            [str(LAKEMARK), *arguments],
            cwd=self.folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def json(self, *arguments: str, expect: int | None = 0) -> Any:
        """Run `lakemark` with `--json` and return what it printed."""
        return json.loads(self.run(*arguments, "--json", expect=expect).stdout)

    def runs(self, *arguments: str) -> Any:
        """Return the runs that `lakemark runs` lists."""
        return self.json("runs", *arguments)["runs"]

    def receipt(self, run: str) -> Any:
        """Return the receipt of a run."""
        return json.loads(self.run("show", run, "--receipt").stdout)

    def write(self, name: str, text: str) -> Path:
        """Write a file of the project."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    @property
    def table(self) -> Path:
        """The table's folder."""
        return self.folder / "data" / "sales"

    def land(self, rows: int = 200, *, start: int = 0, mode: Any = "append") -> None:
        """Append rows to the table, one more version."""
        write_deltalake(self.table, sales(rows, start=start), mode=mode)

    def git(self, *arguments: str) -> str:
        """Run git."""
        return subprocess.run(["git", *arguments], cwd=self.folder, capture_output=True, text=True, check=True).stdout

    def check_database(self) -> None:
        """Check that the metadata database is whole and that nothing waits to be settled."""
        with sqlite3.connect(self.home / "lakemark.db") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
        assert list((self.home / "spool").iterdir()) == []


def wait_for(path: Path, process: subprocess.Popen[str]) -> str:
    """Wait until a process has written a file, and return what it wrote."""
    until = time.monotonic() + 300
    while not (path.exists() and path.read_text()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, f"no {path}"
        time.sleep(0.01)
    return path.read_text()


def sales(rows: int, *, start: int = 0) -> pa.Table:
    """Return rows whose `z` follows `x` and `y` closely."""
    numbers = range(start, start + rows)
    return pa.table(
        {
            "id": pa.array(numbers, pa.int64()),
            "x": pa.array([(number * 7919) % 1000 / 100 for number in numbers]),
            "y": pa.array([(number * 104729) % 777 / 50 for number in numbers]),
            "z": pa.array([(number * 7919) % 1000 / 50 + (number * 31) % 17 / 10 for number in numbers]),
        }
    )


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh home to copy; its cache of rebuilt environments is one for all projects of the session."""
    made = create_home(tmp_path_factory.mktemp("template"))
    open_store(made).database.close()
    made.cache.rmdir()
    made.cache.symlink_to(tmp_path_factory.mktemp("cache"), target_is_directory=True)
    return made.path


def make_project(folder: Path, home: Path) -> Project:
    """Make a project with a script, a repository and a home, and without a table."""
    made = Project(folder)
    made.write("train.py", TRAIN)
    made.write(".gitignore", "data/\n")
    made.git("init", "--quiet", "--initial-branch=main")
    made.git("add", ".")
    made.git("commit", "--quiet", "--message", "Start")
    shutil.copytree(home, made.home, symlinks=True)
    return made


@pytest.fixture
def project(tmp_path: Path, home: Path) -> Project:
    """A fresh project with a table of one version."""
    made = make_project(tmp_path / "project", home)
    made.land()
    return made


@pytest.fixture
def bare(tmp_path: Path, home: Path) -> Project:
    """A fresh project without a table."""
    return make_project(tmp_path / "project", home)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Project:
    """A project without a table, for the tests of one module that do not get in each other's way."""
    return make_project(tmp_path_factory.mktemp("shared") / "project", home)


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Takes the processes that a test starts, and ends what is left of them."""
    # where the tests run in the background the signal is ignored, which processes inherit
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    processes: list[subprocess.Popen[str]] = []
    yield processes
    signal.signal(signal.SIGINT, before)
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
