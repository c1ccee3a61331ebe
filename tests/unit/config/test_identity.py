from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lakemark._base.errors import StorageError
from lakemark.config.home import create_home
from lakemark.config.identity import home_identity


def test_an_identity_is_made_once(tmp_path: Path) -> None:
    home = create_home(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: home_identity(home), range(8)))
    assert found == {home_identity(home)}
    assert len(found.pop()) == 32
    assert home_identity(create_home(tmp_path / "other")) != home_identity(home)
    assert not list(home.path.glob(".id-*"))


def test_a_damaged_identity_is_refused(tmp_path: Path) -> None:
    home = create_home(tmp_path)
    (home.path / "id").write_text("me\n")
    with pytest.raises(StorageError, match="holds 'me', not the identity of a home"):
        home_identity(home)
