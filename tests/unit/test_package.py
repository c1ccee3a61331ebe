from __future__ import annotations

import importlib
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import lakemark
from lakemark import fluent
from lakemark.fluent import lake


def test_the_version_is_that_of_the_package() -> None:
    assert lakemark.__version__ == importlib.metadata.version("lakemark")


def test_importing_loads_nothing_else() -> None:
    program = "import sys; before = set(sys.modules); import lakemark; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "['lakemark']\n"


def test_starting_a_run_needs_the_standard_library_only() -> None:
    program = "import sys; from lakemark import start_run; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {"alembic", "click", "deltalake", "numpy", "pandas", "polars", "pyarrow", "sklearn", "sqlalchemy"}
    assert not heavy & set(done.stdout.split())


def test_the_names_are_one_list() -> None:
    stub = (Path(lakemark.__file__).with_suffix(".pyi")).read_text()
    names = set(vars(lakemark)["__all__"])
    for name in names - {"__version__"}:
        module = vars(lakemark)["_MODULES"].get(name, "lakemark.fluent")
        assert f"from {module} import {name} as {name}\n" in stub
        assert getattr(lakemark, name) is getattr(importlib.import_module(module), name)
    assert set(fluent.__all__) - names == {"RunInfo"}
    assert set(lake.__all__) - names == {"resolve_table"}
    assert dir(lakemark) == sorted(names)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'lakemark' has no attribute 'log_parma'"):
        lakemark.log_parma  # type: ignore[attr-defined] # noqa: B018 -- that it is not there is the point
