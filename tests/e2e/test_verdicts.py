"""Each level of the verdict, and the exit code that goes with it."""

from __future__ import annotations

import pytest
from tests.e2e.conftest import Project

pytestmark = pytest.mark.slow

# the seed moves the metric much, the kernel's noise moves it little
NOISY = """\
import os, random
import lakemark

lakemark.log_metric("score", random.random() + int.from_bytes(os.urandom(4), "big") * 1e-15)
"""


def test_noise_that_no_seed_holds_still(bare: Project) -> None:
    bare.write("noisy.py", NOISY)
    bare.run("run", "--name", "noisy", "noisy.py")

    done = bare.run("reproduce", "noisy", expect=1)
    assert "✗ metrics" in done.stdout
    assert "verdict: differs (level 1 of 5)" in done.stdout
    assert done.stderr.endswith("hint: lakemark reproduce noisy --seeds 5 measures the noise band\n")

    told = bare.run("reproduce", "noisy", "--seeds", "3").stdout
    assert "verdict: statistically equivalent (level 2 of 5)" in told
    assert "every metric lies inside of the band that 3 seeds span: score" in told
    assert bare.run("reproduce", "noisy", "--seeds", "3", "--level", "3", expect=1).returncode == 1
    runs = bare.runs("--all")
    assert [run["kind"] for run in runs].count("counterfactual") == 3  # the second time they are there already
    assert "level 2 statistically equivalent" in bare.run("show", "noisy").stdout


def test_a_metric_outside_of_the_noise_band(bare: Project) -> None:
    bare.write(
        "moved.py",
        f"import os\nimport lakemark\nlakemark.log_metric('score', 1 if os.getcwd() == {str(bare.folder)!r} else 2)\n",
    )
    bare.run("run", "--name", "moved", "moved.py")
    told = bare.run("reproduce", "moved", "--seeds", "3", expect=1).stdout
    assert "verdict: differs (level 1 of 5)" in told
    assert "outside of the measured noise band: score moved by more than 0" in told


def test_a_script_with_nothing_to_compare(bare: Project) -> None:
    bare.write("silent.py", "print('done')\n")
    bare.run("run", "--name", "silent", "silent.py")
    done = bare.run("reproduce", "silent", expect=1)
    assert "there is nothing to compare: no metrics, no predictions and no fitted model were seen" in done.stdout
    assert "lakemark.log_metric" in done.stderr


def test_a_replay_that_fails_says_where(bare: Project) -> None:
    bare.write(
        "here.py",
        "import os\nimport lakemark\nlakemark.log_metric('score', 1)\n"
        f"assert os.getcwd() == {str(bare.folder)!r}, 'moved'\n",
    )
    bare.run("run", "--name", "here", "here.py")
    done = bare.run("reproduce", "here", expect=1)
    assert "verdict: could not run (level 0 of 5)" in done.stdout
    assert "run: the script failed: AssertionError: moved (here.py:4)" in done.stdout
    replay = next(run for run in bare.runs("--all") if run["kind"] == "replay")
    assert (replay["status"], replay["metrics"]) == ("FAILED", {"score": 1.0})
    assert f"hint: lakemark show {replay['run_id'][:8]}" in done.stderr
