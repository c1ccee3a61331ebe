"""Fixtures of the recorder's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.integration.recorder.lab import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    found = Lab(tmp_path)
    found.home.mkdir(parents=True)
    found.elsewhere.mkdir()
    return found
