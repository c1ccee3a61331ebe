"""Tables to follow."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from lakemark.tables.table import Table


@pytest.fixture
def source(tmp_path: Path) -> Table:
    """A table of five versions; version n adds a file with the row n."""
    made = Table(tmp_path / "source")
    made.create(pa.table({"x": [0]}))
    for number in range(1, 5):
        made.append(pa.table({"x": [number]}))
    return made


@pytest.fixture
def sink(tmp_path: Path) -> Table:
    """A table that is not there yet."""
    return Table(tmp_path / "sink")
