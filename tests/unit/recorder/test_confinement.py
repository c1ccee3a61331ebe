import subprocess
import sys
from pathlib import Path

import pytest

from lakemark.recorder.confinement import confine_writes

_SCRIPT = """
import os, subprocess, sys
from lakemark.recorder.confinement import confine_writes

own, other = sys.argv[1:]
if not confine_writes((own, "/dev", f"{own}/not-there")):
    sys.exit(77)
open(f"{own}/a", "w").close()
os.mkdir(f"{own}/below")
os.rename(f"{own}/a", f"{own}/below/a")
open("/dev/null", "w").close()
assert open(f"{other}/kept").read() == "mine"
for change in (
    lambda: open(f"{other}/new", "w"),
    lambda: os.truncate(f"{other}/kept", 0),
    lambda: os.remove(f"{other}/kept"),
    lambda: os.mkdir(f"{other}/below"),
    lambda: os.rename(f"{other}/kept", f"{own}/kept"),
):
    try:
        change()
    except OSError:
        continue
    raise AssertionError("not refused")
assert subprocess.run(["sh", "-c", f"echo x > {other}/kept"], stderr=subprocess.DEVNULL).returncode != 0
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Landlock is Linux's")
def test_a_process_and_its_children_write_nowhere_else(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    (other / "kept").write_text("mine")
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(own), str(other)], capture_output=True, text=True, check=False
    )
    if done.returncode == 77:
        pytest.skip("this kernel has no Landlock")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in other.iterdir()] == ["kept"]
    assert (other / "kept").read_text() == "mine"


@pytest.mark.skipif(sys.platform == "linux", reason="what other systems do")
def test_elsewhere_nothing_is_confined(tmp_path: Path) -> None:
    assert not confine_writes((str(tmp_path),))
