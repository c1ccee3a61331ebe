"""Locks are made by the real uv; the few tiny packages come from the index."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from lakemark._base.canonical import Json
from lakemark.capture.lock import make_lock

OFFLINE = "the index could not be reached, and uv's cache does not have it"


def packages(*pins: str, local: bool = False) -> list[dict[str, Json]]:
    return [{"name": pin.partition("==")[0], "version": pin.partition("==")[2], "local": local} for pin in pins]


def test_a_lock_has_hashes_and_names_no_index(tmp_path: Path) -> None:
    lock = make_lock(packages("tomli==2.0.1", "six==1.16.0"), cache=tmp_path, python_version="3.11.7")
    assert lock.complete
    assert lock.missing == ()
    assert lock.text.startswith("six==1.16.0 \\\n    --hash=sha256:1e61c37477a1626458e36f7b1d82aa5c9b094fa4802892072e4")
    assert "tomli==2.0.1 \\\n    --hash=sha256:" in lock.text
    assert "://" not in lock.text
    assert lock.sha256 == hashlib.sha256(lock.text.encode()).hexdigest()


def test_what_the_index_does_not_have_spoils_nothing_else(tmp_path: Path) -> None:
    wanted = packages("six==1.16.0", "six-of-nobody-at-all==1.0", "tomli==2.0.1+cpu", "pywin32==306")
    lock = make_lock([*wanted, *packages("mine==1.0", local=True)], cache=tmp_path, python_version="3.11.7")
    assert not lock.complete
    assert {entry.name: entry.why for entry in lock.missing} == {
        "six-of-nobody-at-all": "the index does not have it",
        "tomli": "the index has no version 2.0.1+cpu",
        "pywin32": "no wheel fits Python 3.11.7 on this platform, and it has no source",
    }
    assert lock.text.startswith("six==1.16.0 \\\n")
    assert lock.text.count("==") == 1


def test_a_lock_is_made_once_for_one_set_of_packages(tmp_path: Path) -> None:
    first = make_lock(packages("six==1.16.0", "tomli==2.0.1"), cache=tmp_path, python_version="3.11.7")
    (remembered,) = (tmp_path / "locks").iterdir()
    remembered.write_text(json.dumps({"text": "from the cache", "missing": {}}))
    again = make_lock(packages("tomli==2.0.1", "six==1.16.0"), cache=tmp_path, python_version="3.11.7")
    assert again.text == "from the cache"
    remembered.write_text("broken")
    assert make_lock(packages("tomli==2.0.1", "six==1.16.0"), cache=tmp_path, python_version="3.11.7") == first


@pytest.mark.parametrize(
    "variables", [{"UV_OFFLINE": "1"}, {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}]
)
def test_without_a_network_nothing_is_claimed_nor_remembered(
    variables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    lock = make_lock(packages("six==1.16.0", "tomli==2.0.1"), cache=tmp_path, python_version="3.11.7")
    assert (lock.text, lock.complete) == ("", False)
    assert {entry.name: entry.why for entry in lock.missing} == {"six": OFFLINE, "tomli": OFFLINE}
    assert not (tmp_path / "locks").exists()


def test_an_index_that_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    lock = make_lock(packages("six==1.16.0"), cache=tmp_path, python_version="3.11.7", seconds=-1e-9)
    assert lock.complete or "did not end within" in lock.missing[0].why


def test_without_uv_there_are_versions_and_no_hashes(tmp_path: Path) -> None:
    lock = make_lock(packages("six==1.16.0"), cache=tmp_path, python_version="3.11.7", use_uv=False)
    assert (lock.text, lock.complete) == ("six==1.16.0\n", False)
    assert lock.missing[0].why == "uv is not installed, so there is no hash"


def test_no_packages_at_all(tmp_path: Path) -> None:
    lock = make_lock([], cache=tmp_path, python_version="3.11.7")
    assert (lock.text, lock.complete) == ("", True)


def test_an_index_without_hashes_makes_no_complete_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "pebble-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("pebble-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: pebble\nVersion: 1.0\n")
        wheel.writestr("pebble-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("pebble-1.0.dist-info/RECORD", "")
    for name, value in {
        "UV_FIND_LINKS": str(tmp_path),
        "UV_NO_INDEX": "1",
        "UV_CACHE_DIR": str(tmp_path / "uv"),
    }.items():
        monkeypatch.setenv(name, value)
    lock = make_lock(packages("pebble==1.0"), cache=tmp_path, python_version="3.11.7")
    assert (lock.text, lock.complete) == ("pebble==1.0\n", False)
    assert [(entry.name, entry.why) for entry in lock.missing] == [("pebble", "the index has no hash for it")]
    assert not (tmp_path / "locks").exists()
