"""Unseeded draws are the same in two recorded runs, and seeds are seen where the script sets them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

from lakemark._base.canonical import Json
from lakemark.tracking.spool import read_events

_DRIVER = Path(__file__).with_name("drive.py")


def _record(folder: Path, code: str, *, root_seed: int = 7) -> tuple[str, list[Mapping[str, Json]]]:
    folder.mkdir()
    script = folder / "draw.py"
    script.write_text(textwrap.dedent(code))
    done = subprocess.run(
        [sys.executable, str(_DRIVER), str(folder), str(script)],
        env={**os.environ, "PYTHONHASHSEED": "0", "LAKEMARK_TEST_SEED": str(root_seed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, [event for _, event in read_events(folder / ".lakemark" / "spool" / "run")]


_DRAWS = """
import random
import numpy as np
from numpy.random import RandomState, default_rng
from sklearn.linear_model import SGDClassifier

print(random.random(), np.random.rand(), default_rng().random(), default_rng(None).random())
print(RandomState().rand(), np.random.Generator(np.random.PCG64()).random(), np.random.SeedSequence().entropy)
random.seed()
np.random.seed()
print(random.random(), np.random.rand())
x = np.random.RandomState(0).rand(50, 3)
print(SGDClassifier().fit(x, x[:, 0] > 0.5).coef_)
"""


def test_unseeded_draws_repeat_and_follow_the_root_seed(tmp_path: Path) -> None:
    first, events = _record(tmp_path / "a", _DRAWS)
    second, _ = _record(tmp_path / "b", _DRAWS)
    other, _ = _record(tmp_path / "c", _DRAWS, root_seed=8)

    assert first == second
    assert not set(first.split()[:9]) & set(other.split()[:9])
    numbers = first.split()[:9]
    assert len(set(numbers)) == len(numbers), "each generator gets a seed of its own"
    assert {(one["api"], one["where"]) for one in events if one["event"] == "unseeded"} == {
        ("numpy.random.default_rng", "draw.py:7"),
        ("numpy.random.RandomState", "draw.py:8"),
        ("numpy.random.PCG64", "draw.py:8"),
        ("numpy.random.SeedSequence", "draw.py:8"),
        ("random.seed", "draw.py:9"),
        ("numpy.random.seed", "draw.py:10"),
    }


def test_seeds_of_the_script_are_seen_and_obeyed(tmp_path: Path) -> None:
    code = """
    import random
    import numpy as np
    from types import SimpleNamespace
    args, size = SimpleNamespace(seed=11), 5
    random.seed("text")
    np.random.seed(12)
    print(random.random(), np.random.rand())
    print(np.random.default_rng([1, 2]).random(), np.random.default_rng(seed=np.random.SeedSequence(9)).random())
    print(np.random.RandomState(args.seed).rand(), np.random.RandomState(seed=size).rand())
    print(np.random.RandomState(
        2**40 % 1_000
    ).rand(), isinstance(np.random.RandomState(3), np.random.RandomState))
    """
    printed, events = _record(tmp_path / "a", code)

    assert {(one["api"], str(one["value"]), one["where"]) for one in events if one["event"] == "seed"} == {
        ("random.seed", "text", "draw.py:6"),
        ("numpy.random.seed", "12", "draw.py:7"),
        ("numpy.random.default_rng", "[1, 2]", "draw.py:9"),
        ("numpy.random.default_rng", "9", "draw.py:9"),
        ("numpy.random.RandomState", "11", "draw.py:10"),
        ("numpy.random.RandomState", "5", "draw.py:10"),
        ("numpy.random.RandomState", "2 ** 40 % 1000", "draw.py:11"),
        ("numpy.random.RandomState", "3", "draw.py:13"),
    }
    assert not [one for one in events if one["event"] in {"unseeded", "missing"}]
    plain = subprocess.run(
        [sys.executable, str(tmp_path / "a" / "draw.py")], capture_output=True, text=True, check=True
    )
    assert printed == plain.stdout


def test_seeding_inside_a_library_is_not_the_script_s(tmp_path: Path) -> None:
    code = """
    import pathlib, sys
    folder = pathlib.Path(__file__).parent / "lib" / "site-packages"
    folder.mkdir(parents=True)
    (folder / "seeding.py").write_text(
        "import random, numpy as np\\n"
        "def everything():\\n    random.seed(1); np.random.seed(1); np.random.RandomState(1)\\n"
    )
    sys.path.insert(0, str(folder))
    import seeding
    seeding.everything()
    """
    _, events = _record(tmp_path / "a", code)

    assert [one["event"] for one in events] == ["randomness"]


def test_forked_children_draw_apart(tmp_path: Path) -> None:
    code = """
    import multiprocessing, warnings
    import numpy as np
    warnings.simplefilter("ignore")
    def draw(_):
        return np.random.default_rng().random()
    if __name__ == "__main__":
        with multiprocessing.get_context("fork").Pool(2, maxtasksperchild=1) as pool:
            print(len(set(pool.map(draw, range(6), chunksize=1))))
    """
    printed, events = _record(tmp_path / "a", code)

    assert printed.strip() == "6"
    assert [one["event"] for one in events] == ["randomness"]


def test_the_start_is_written_down(tmp_path: Path) -> None:
    _, events = _record(tmp_path / "a", "pass", root_seed=3)

    (event,) = events
    assert (event["event"], event["root_seed"], event["hash_seed"], event["how"]) == ("randomness", 3, "0", "observed")


def test_torch_is_seeded_after_its_import(tmp_path: Path) -> None:
    code = """
    import pathlib, sys
    folder = pathlib.Path(__file__).parent / "lib" / "site-packages"
    folder.mkdir(parents=True)
    (folder / "torch.py").write_text("seeds = []\\ndef manual_seed(seed):\\n    seeds.append(seed)\\n")
    sys.path.insert(0, str(folder))
    import torch
    torch.manual_seed(5)
    print(torch.seeds)
    """
    printed, events = _record(tmp_path / "a", code)

    assert printed.strip() == "[7, 5]", "a stand-in: torch itself is too large to be a test's dependency"
    (seed,) = [one for one in events if one["event"] == "seed"]
    assert (seed["api"], seed["value"], seed["where"]) == ("torch.manual_seed", 5, "draw.py:8")
