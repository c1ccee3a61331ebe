import importlib
import importlib.resources
import importlib.util
import inspect
import json
import pickle
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lakemark.recorder.imports import after_import, at_uninstall, failures, patch_function, uninstall


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    yield
    uninstall()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package of ours to import: `fresh_lakes`, with a submodule `deep`."""
    folder = tmp_path / "fresh_lakes"
    folder.mkdir()
    (folder / "__init__.py").write_text("loader = __spec__.loader\ndef depth():\n    return 3\n")
    (folder / "deep.py").write_text("class Deep:\n    @staticmethod\n    def level(): return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "fresh_lakes"
    for name in [name for name in sys.modules if name.startswith("fresh_lakes")]:
        del sys.modules[name]


def double(function: Callable[..., int]) -> Callable[..., int]:
    return lambda *args: 2 * function(*args)


def test_the_hook_runs_right_after_the_import_and_after_a_reload(package: str) -> None:
    seen: list[tuple[str, bool]] = []
    after_import(package, lambda module: seen.append((module.__name__, hasattr(module, "depth"))))
    after_import(f"{package}.deep", lambda module: seen.append((module.__name__, hasattr(module, "Deep"))))
    assert seen == []
    importlib.import_module(f"{package}.deep")
    assert seen == [(package, True), (f"{package}.deep", True)]
    importlib.reload(sys.modules[package])
    assert seen[2:] == [(package, True)]


def test_a_module_that_is_there_is_hooked_at_once() -> None:
    seen: list[types.ModuleType] = []
    after_import("json", seen.append)
    assert seen == [json]


def test_the_module_keeps_its_own_loader(package: str) -> None:
    after_import(package, lambda _: None)
    module = importlib.import_module(package)
    assert module.__spec__ is not None
    assert type(module.__spec__.loader).__module__ == "_frozen_importlib_external"
    assert module.__loader__ is module.__spec__.loader
    assert module.loader is module.__loader__  # as the module's own code saw it
    assert "def depth" in inspect.getsource(module)
    assert [item.name for item in importlib.resources.files(package).iterdir() if item.name == "deep.py"] == ["deep.py"]


def test_a_lazy_module_stays_asleep_until_it_is_used(package: str) -> None:
    seen: list[str] = []
    for wait_first in (True, False):
        if wait_first:
            after_import(package, lambda module: seen.append(module.__name__))
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.loader is not None
        spec.loader = importlib.util.LazyLoader(spec.loader)
        module = importlib.util.module_from_spec(spec)
        sys.modules[package] = module
        spec.loader.exec_module(module)
        if not wait_first:
            after_import(package, lambda module: seen.append(module.__name__))
        assert seen == []
        assert module.depth() == 3
        assert seen == [package]
        uninstall()
        seen.clear()
        del sys.modules[package]


def test_a_hook_that_fails_does_not_reach_the_import(package: str) -> None:
    after_import(package, lambda module: module.no_such_name)
    assert importlib.import_module(package).depth() == 3
    ((name, why),) = failures()
    assert name == package
    assert "no_such_name" in why


def test_a_missing_module_is_missing_as_before() -> None:
    after_import("fresh_lakes_nowhere", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match="No module named 'fresh_lakes_nowhere'"):
        importlib.import_module("fresh_lakes_nowhere")


def test_patches_are_made_once_and_put_back(package: str) -> None:
    module = importlib.import_module(package)
    deep = importlib.import_module(f"{package}.deep").Deep
    original = module.depth
    for _ in range(2):
        patch_function(module, "depth", double)
        patch_function(deep, "level", double)
        patch_function(module, "no_such_name", double)
    assert (module.depth(), deep.level(), deep().level()) == (6, 2, 2)
    assert module.depth.__name__ == "depth"
    assert pickle.loads(pickle.dumps(module.depth)) is module.depth  # noqa: S301 - our own pickle
    uninstall()
    assert module.depth is original
    assert (deep.level(), hasattr(module, "no_such_name")) == (1, False)


def test_an_inherited_method_is_removed_again(package: str) -> None:
    deep = importlib.import_module(f"{package}.deep").Deep
    child = type("Child", (deep,), {})
    patch_function(child, "level", double)
    assert (vars(child)["level"](), deep.level()) == (2, 1)
    uninstall()
    assert "level" not in vars(child)


def test_what_somebody_else_patched_since_then_is_theirs(package: str) -> None:
    module = importlib.import_module(package)
    patch_function(module, "depth", double)
    theirs = lambda: 7  # noqa: E731 - any object does
    vars(module)["depth"] = theirs
    uninstall()
    assert module.depth is theirs


def test_uninstall_stops_what_cannot_be_removed() -> None:
    stopped: list[int] = []
    at_uninstall(lambda: stopped.append(1))
    uninstall()
    uninstall()
    assert stopped == [1]


def test_big_libraries_do_not_notice() -> None:
    names = ["pandas", "sklearn.base", "polars", "pyarrow.parquet", "pyarrow.lib", "deltalake", "deltalake.table"]
    code = f"""
import importlib, importlib.resources, inspect, pickle, sys
from lakemark.recorder.imports import after_import, failures, patch_function
seen = []
for name in {names}:
    after_import(name, lambda module: seen.append(module.__name__))
after_import("polars", lambda module: patch_function(module, "read_csv", lambda f: lambda *a, **k: f(*a, **k)))
for name in {names}:
    module = importlib.import_module(name)
    assert "lakemark" not in type(module.__loader__).__module__, module.__loader__
    assert module.__spec__.loader is module.__loader__
assert sorted(seen) == sorted({names}), seen
import pandas, polars, sklearn
assert pickle.loads(pickle.dumps(pandas.DataFrame({{"x": [1]}}))).x.sum() == 1
assert pickle.loads(pickle.dumps(polars.read_csv)) is polars.read_csv
assert "def fit" in inspect.getsource(sklearn.base)
assert importlib.resources.files("sklearn").joinpath("__init__.py").is_file()
assert failures() == ()
"""
    subprocess.run([sys.executable, "-c", code], check=True)
