"""A project folder, and the `lakemark` command as a process in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

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

    def run(self, *arguments: str, expect: int | None = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `lakemark` with these arguments, and check its exit code unless `expect` is None."""
        done = subprocess.run(
            [str(LAKEMARK), *arguments],
            cwd=self.folder,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if expect is not None:
            assert done.returncode == expect, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments: str, expect: int | None = 0) -> Any:
        """Run `lakemark` with `--json` and return what it printed."""
        return json.loads(self.run(*arguments, "--json", expect=expect).stdout)

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
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of rebuilt environments for all projects of the session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def project(tmp_path: Path, cache: Path) -> Project:
    """A fresh project."""
    made = Project(tmp_path / "project")
    made.write("train.py", TRAIN)
    made.write(".gitignore", "data/\n")
    made.git("init", "--quiet", "--initial-branch=main")
    made.git("add", ".")
    made.git("commit", "--quiet", "--message", "Start")
    made.run("init")
    home = made.folder / ".lakemark"
    (home / "cache").rmdir()
    (home / "cache").symlink_to(cache, target_is_directory=True)
    made.land()
    return made
