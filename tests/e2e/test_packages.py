"""An installed package whose files were edited: found, named, and never taken for the original."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tests.e2e.conftest import Project

from lakemark.capture.uv import find_uv

pytestmark = pytest.mark.slow

UV = str(find_uv())

SCRIPT = "import pebble\nimport lakemark\nlakemark.log_metric('value', pebble.VALUE)\n"


def install(environment: Path) -> Path:
    """Make a virtual environment with `pebble` in it, and return the installed file."""
    made = [UV, "venv", "--quiet", "--no-project", "--python", sys.executable, str(environment)]
    subprocess.run(made, check=True)
    installed = [UV, "pip", "install", "--quiet", "--python", str(environment / "bin" / "python"), "pebble==1.0"]
    subprocess.run(installed, check=True)
    return next(environment.glob("lib/python*/site-packages/pebble.py"))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder laid out as an index that has the package `pebble` 1.0, and a cache of uv that may be spoiled."""
    folder = tmp_path / "index" / "pebble"
    folder.mkdir(parents=True)
    files = {
        "pebble.py": b"VALUE = 1\n",
        "pebble-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: pebble\nVersion: 1.0\n",
        "pebble-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},sha256={_encoded(data)},{len(data)}\n" for name, data in files.items())
    built = folder / "pebble-1.0-py3-none-any.whl"
    with zipfile.ZipFile(built, "w") as wheel:
        for name, data in files.items():
            wheel.writestr(name, data)
        wheel.writestr("pebble-1.0.dist-info/RECORD", record + "pebble-1.0.dist-info/RECORD,,\n")
    sha256 = hashlib.sha256(built.read_bytes()).hexdigest()
    (folder / "index.html").write_text(f'<a href="{built.name}#sha256={sha256}">{built.name}</a>')
    monkeypatch.setenv("UV_DEFAULT_INDEX", folder.parent.as_uri())
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def own_cache(project: Project) -> Project:
    """Give a project a cache of rebuilt environments of its own: this one is spoiled."""
    (project.home / "cache").unlink()
    (project.home / "cache").mkdir()
    return project


@pytest.mark.usefixtures("index")
def test_an_edited_package_is_named_and_not_rebuilt_as_it_was(bare: Project, tmp_path: Path) -> None:
    own_cache(bare).write("train.py", SCRIPT)
    installed = install(tmp_path / "venv")
    run = ("run", "--python", str(tmp_path / "venv" / "bin" / "python"), "--name")
    bare.run(*run, "clean", "train.py")
    installed.unlink()  # uv links it to its cache, which stays as it is
    installed.write_text("VALUE = 2\n")
    bare.run(*run, "edited", "train.py")

    packages = {row["name"]: row for row in bare.receipt("edited")["inputs"]["env"]["packages"]}
    assert (packages["pebble"]["version"], packages["pebble"]["modified"]) == ("1.0", ["pebble.py"])
    assert "edited after it was installed: pebble (pebble.py)" in bare.run("show", "edited").stdout
    assert "pebble: installed files were edited in the second: pebble.py" in bare.run("diff", "clean", "edited").stdout
    assert bare.run("reproduce", "clean", "--level", "3").returncode == 0
    told = bare.run("reproduce", "edited", expect=1).stdout
    assert "✗ environment  pebble: installed files were edited in the first: pebble.py" in told
    assert "verdict: differs (level 1 of 5)" in told
    assert "env: pebble: installed files were edited in the first: pebble.py" in told


@pytest.mark.usefixtures("index")
def test_a_spoiled_cache_of_the_installer_is_found_out(bare: Project, tmp_path: Path) -> None:
    own_cache(bare).write("train.py", SCRIPT)
    installed = install(tmp_path / "venv")
    bare.run(
        "run",
        "--python",
        str(tmp_path / "venv" / "bin" / "python"),
        "--name",
        "clean",
        "train.py",
    )
    with installed.open("a") as file:  # every environment that is installed from this cache gets the edit
        file.write("VALUE = 2\n")
    again = install(tmp_path / "other")
    if "VALUE = 2" not in again.read_text():
        pytest.skip("this file system has no hard links between uv's cache and environments")

    done = bare.run("reproduce", "clean", expect=1)
    assert "verdict: could not run (level 0 of 5)" in done.stdout
    assert "environment: pebble was installed with files that are not its own: pebble.py" in done.stdout
    assert "uv cache clean pebble" in done.stderr


def test_a_project_with_a_source_folder(bare: Project, tmp_path: Path) -> None:
    bare.write("src/mine/__init__.py", "from mine.values import VALUE\n")
    bare.write("src/mine/values.py", "VALUE = 1\n")
    bare.write("jobs/random.py", "raise SystemExit('not the one that Lakemark needs')\n")
    bare.write(
        "jobs/train.py",
        "import importlib.metadata, subprocess, sys\nimport lakemark\nfrom mine import VALUE\n"
        "lakemark.log_metric('value', VALUE)\n"
        "subprocess.run([sys.executable, '-c', 'import mine'], check=True)\n",
    )
    site = editable(bare, tmp_path / "venv")
    python = str(tmp_path / "venv" / "bin" / "python")
    bare.run("run", "--name", "by path", "jobs/train.py", PYTHONPATH=str(bare.folder / "src"))
    bare.run("run", "--name", "installed", "--python", python, "jobs/train.py")
    bare.write("src/mine/values.py", "VALUE = 2\n")
    for name in ("by path", "installed"):
        assert "src" in bare.receipt(name)["inputs"]["code"]["import_roots"]
        verdict = bare.json("reproduce", name, "--level", "3")
        assert [check["name"] for check in verdict["checks"] if check["same"] is False] == []
    packages = bare.receipt("installed")["inputs"]["env"]["packages"]
    assert [row["name"] for row in packages if row["local"]] == ["mine"]
    assert str(site / "mine-0.1.dist-info" / "METADATA") in {
        row["path"] for row in bare.receipt("installed")["inputs"]["code"]["extra"]
    }


def editable(project: Project, environment: Path) -> Path:
    """Install the project's package `mine` as `pip install --editable` does, and return the site-packages folder."""
    made = [UV, "venv", "--quiet", "--no-project", "--python", sys.executable, str(environment)]
    subprocess.run(made, check=True)
    site = next(environment.glob("lib/python*/site-packages"))
    source = {"url": project.folder.as_uri(), "dir_info": {"editable": True}}
    files = {
        "mine.pth": f"{project.folder / 'src'}\n",
        "mine-0.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: mine\nVersion: 0.1\n",
        "mine-0.1.dist-info/direct_url.json": json.dumps(source),
    }
    files["mine-0.1.dist-info/RECORD"] = "".join(f"{name},,\n" for name in files)
    (site / "mine-0.1.dist-info").mkdir()
    for name, text in files.items():
        (site / name).write_text(text)
    return site
