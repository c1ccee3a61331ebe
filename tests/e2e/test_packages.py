"""An installed package whose files were edited: found, named, and never taken for the original."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.conftest import Project

from lakemark.capture.uv import find_uv

pytestmark = pytest.mark.slow

SCRIPT = "import pebble\nimport lakemark\nlakemark.log_metric('value', pebble.VALUE)\n"


@dataclass(frozen=True)
class Index:
    """A folder laid out as an index, and a cache of uv that may be spoiled."""

    folder: Path
    cache: Path

    @property
    def variables(self) -> dict[str, str]:
        return {"UV_DEFAULT_INDEX": self.folder.as_uri(), "UV_CACHE_DIR": str(self.cache)}

    def install(self, environment: Path) -> Path:
        """Make a virtual environment with `pebble` in it, and return the installed file."""
        uv, variables = str(find_uv()), {**os.environ, **self.variables}
        made = [uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(environment)]
        subprocess.run(made, env=variables, check=True)
        installed = [uv, "pip", "install", "--quiet", "--python", str(environment / "bin" / "python"), "pebble==1.0"]
        subprocess.run(installed, env=variables, check=True)
        return next(environment.glob("lib/python*/site-packages/pebble.py"))


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """An index that has the package `pebble` 1.0."""
    folder = tmp_path / "index" / "pebble"
    folder.mkdir(parents=True)
    files = {
        "pebble.py": b"VALUE = 1\n",
        "pebble-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: pebble\nVersion: 1.0\n",
        "pebble-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},sha256={_encoded(data)},{len(data)}\n" for name, data in files.items())
    built = folder / "pebble-1.0-py3-none-any.whl"
    with zipfile.ZipFile(built, "w") as wheel:
        for name, data in files.items():
            wheel.writestr(name, data)
        wheel.writestr("pebble-1.0.dist-info/RECORD", record + "pebble-1.0.dist-info/RECORD,,\n")
    sha256 = hashlib.sha256(built.read_bytes()).hexdigest()
    (folder / "index.html").write_text(f'<a href="{built.name}#sha256={sha256}">{built.name}</a>')
    return Index(folder.parent, tmp_path / "uv-cache")


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def own_cache(project: Project) -> Project:
    """Give a project a cache of rebuilt environments of its own: this one is spoiled."""
    (project.home / "cache").unlink()
    (project.home / "cache").mkdir()
    return project


def test_an_edited_package_is_named_and_not_rebuilt_as_it_was(bare: Project, index: Index, tmp_path: Path) -> None:
    own_cache(bare).write("train.py", SCRIPT)
    installed = index.install(tmp_path / "venv")
    run = ("run", "--python", str(tmp_path / "venv" / "bin" / "python"), "--name")
    bare.run(*run, "clean", "train.py", **index.variables)
    installed.unlink()  # uv links it to its cache, which stays as it is
    installed.write_text("VALUE = 2\n")
    bare.run(*run, "edited", "train.py", **index.variables)

    packages = {row["name"]: row for row in bare.receipt("edited")["inputs"]["env"]["packages"]}
    assert (packages["pebble"]["version"], packages["pebble"]["modified"]) == ("1.0", ["pebble.py"])
    assert "edited after it was installed: pebble (pebble.py)" in bare.run("show", "edited").stdout
    assert "pebble: installed files were edited in the second: pebble.py" in bare.run("diff", "clean", "edited").stdout
    assert bare.run("reproduce", "clean", "--level", "3", **index.variables).returncode == 0
    told = bare.run("reproduce", "edited", expect=1, **index.variables).stdout
    assert "✗ environment  pebble: installed files were edited in the first: pebble.py" in told
    assert "verdict: differs (level 1 of 5)" in told
    assert "env: pebble: installed files were edited in the first: pebble.py" in told


def test_a_spoiled_cache_of_the_installer_is_found_out(bare: Project, index: Index, tmp_path: Path) -> None:
    own_cache(bare).write("train.py", SCRIPT)
    installed = index.install(tmp_path / "venv")
    bare.run(
        "run", "--python", str(tmp_path / "venv" / "bin" / "python"), "--name", "clean", "train.py", **index.variables
    )
    with installed.open("a") as file:  # every environment that is installed from this cache gets the edit
        file.write("VALUE = 2\n")
    again = index.install(tmp_path / "other")
    if "VALUE = 2" not in again.read_text():
        pytest.skip("this file system has no hard links between uv's cache and environments")

    done = bare.run("reproduce", "clean", expect=1, **index.variables)
    assert "verdict: could not run (level 0 of 5)" in done.stdout
    assert "environment: pebble was installed with files that are not its own: pebble.py" in done.stdout
    assert "uv cache clean pebble" in done.stderr
