"""Environments are rebuilt by the real uv and pip; the few tiny packages come from the index."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lakemark.capture.lock import make_lock
from lakemark.recorder.distributions import InstalledDistributions
from lakemark.reproduce.environment import LockError, rebuild

PYTHON = ".".join(map(str, sys.version_info[:3]))
SIX = (
    "six==1.16.0 \\\n"
    "    --hash=sha256:1e61c37477a1626458e36f7b1d82aa5c9b094fa4802892072e49de9c60c4c926 \\\n"
    "    --hash=sha256:8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254\n"
)
NO_HASH = "0" * 64


def six_of(python: Path) -> Path:
    (found,) = python.parents[1].glob("lib/python*/site-packages/six.py")
    return found


def output(python: Path, code: str) -> str:
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_an_environment_is_built_once_and_taken_from_then_on(tmp_path: Path) -> None:
    first = rebuild(SIX, python_version=PYTHON, cache=tmp_path)
    assert output(first.python, "import six, platform; print(six.__version__, platform.python_version())") == (
        f"1.16.0 {PYTHON}"
    )
    assert not first.cached
    second = rebuild(SIX, python_version=PYTHON, cache=tmp_path)
    assert second.cached
    assert second.python == first.python
    assert rebuild("", python_version=PYTHON, cache=tmp_path).python != first.python


def test_a_package_that_was_put_beside_those_of_the_lock_means_a_new_build(tmp_path: Path) -> None:
    first = rebuild(SIX, python_version=PYTHON, cache=tmp_path)
    stranger = six_of(first.python).parent / "stranger-1.0.dist-info"
    stranger.mkdir()
    (stranger / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    assert not rebuild(SIX, python_version=PYTHON, cache=tmp_path).cached
    assert not stranger.exists()


def test_an_interrupted_build_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    first = rebuild(SIX, python_version=PYTHON, cache=tmp_path)
    (first.python.parents[1] / "lakemark-environment.json").unlink()
    shutil.rmtree(six_of(first.python).parent)
    again = rebuild(SIX, python_version=PYTHON, cache=tmp_path)
    assert not again.cached
    assert six_of(again.python).exists()


def test_a_lost_interpreter_or_file_means_a_new_build(tmp_path: Path) -> None:
    first = rebuild(SIX, python_version=PYTHON, cache=tmp_path)
    six_of(first.python).unlink()
    assert not rebuild(SIX, python_version=PYTHON, cache=tmp_path).cached
    for link in first.python.parent.glob("python*"):
        link.unlink()
    assert not rebuild(SIX, python_version=PYTHON, cache=tmp_path).cached


def test_a_package_that_was_edited_in_the_cache_of_uv_is_found_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    first = rebuild(SIX, python_version=PYTHON, cache=tmp_path)
    with six_of(first.python).open("a") as file:  # one file with the cache's: uv links them
        file.write("\nedited = True\n")
    with pytest.raises(LockError, match=r"six was installed with files that are not its own: six\.py") as caught:
        rebuild(SIX, python_version=PYTHON, cache=tmp_path)
    assert caught.value.context == {"stage": "integrity", "package": "six"}
    assert "uv cache clean six" in str(caught.value.hint)
    shutil.rmtree(tmp_path / "uv")
    assert "edited" not in six_of(rebuild(SIX, python_version=PYTHON, cache=tmp_path).python).read_text()


@pytest.mark.parametrize("use_uv", [True, False])
@pytest.mark.parametrize(
    ("lock", "stage", "message"),
    [
        (f"six==99.9.9 --hash=sha256:{NO_HASH}\n", "version", "lock unsatisfiable: no such version six==99.9.9"),
        (f"six==1.16.0 --hash=sha256:{NO_HASH}\n", "hash", "six==1.16.0 has another hash than the lock"),
        ("# a comment\nsix==1.16.0\n", "lock", "six==1.16.0 has no hash"),
    ],
)
def test_a_lock_that_cannot_be_met_names_the_package(
    lock: str, stage: str, message: str, *, use_uv: bool, tmp_path: Path
) -> None:
    with pytest.raises(LockError, match=message) as caught:
        rebuild(lock, python_version=PYTHON, cache=tmp_path, use_uv=use_uv)
    assert caught.value.context == {"stage": stage, "package": "six"}
    assert [path for path in (tmp_path / "environments").iterdir() if path.is_dir()] == []


def test_no_wheel_for_this_platform(tmp_path: Path) -> None:
    lock = f"pywin32==306 --hash=sha256:{NO_HASH}\n"
    with pytest.raises(LockError, match="no wheel of pywin32==306 for this Python and platform") as caught:
        rebuild(lock, python_version=PYTHON, cache=tmp_path)
    assert caught.value.context["stage"] == "platform"


@pytest.mark.parametrize("use_uv", [True, False])
def test_a_python_that_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, use_uv: bool) -> None:
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    with pytest.raises(LockError, match=r"Python 3\.9\.99 is not here") as caught:
        rebuild(SIX, python_version="3.9.99", cache=tmp_path, use_uv=use_uv)
    assert caught.value.context == {"stage": "python"}
    assert caught.value.hint == "uv python install 3.9.99"


def test_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    with pytest.raises(LockError, match="the index could not be reached for six") as caught:
        rebuild(SIX, python_version=PYTHON, cache=tmp_path)
    assert caught.value.context == {"stage": "offline", "package": "six"}


def test_without_uv_pip_builds_the_same(tmp_path: Path) -> None:
    by_uv = rebuild(SIX, python_version=PYTHON, cache=tmp_path / "uv")
    by_pip = rebuild(SIX, python_version=PYTHON, cache=tmp_path / "pip", use_uv=False)
    assert output(by_pip.python, "import six; print(six.__version__)") == "1.16.0"
    records = []
    for python in (by_uv.python, by_pip.python):
        installed = InstalledDistributions([str(six_of(python).parent)])
        records.append(installed.verify(installed.all["six"]))
    assert records[0] == records[1]
    assert records[0].modified == ()


def test_two_at_once_build_one(tmp_path: Path) -> None:
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(rebuild(SIX, python_version=PYTHON, cache=tmp_path)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.cached for one in found) == [False, True, True]
    assert len({one.python for one in found}) == 1


def test_a_lock_that_was_just_made_can_be_met(tmp_path: Path) -> None:
    lock = make_lock([{"name": "six", "version": "1.16.0", "local": False}], cache=tmp_path, python_version=PYTHON)
    assert rebuild(lock.text, python_version=PYTHON, cache=tmp_path).python.exists()
