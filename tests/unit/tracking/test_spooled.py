from __future__ import annotations

from pathlib import Path

from lakemark.config.home import Home, create_home
from lakemark.tracking.spool import Spool
from lakemark.tracking.spooled import pending_spools


def test_only_folders_of_runs_are_pending(tmp_path: Path) -> None:
    home = create_home(tmp_path)
    assert pending_spools(home) == ()
    for name in ("b" * 32, "a" * 32):
        Spool(home.spool / name).close()
    (home.spool / ".hidden").mkdir()
    (home.spool / "file").touch()
    assert [path.name for path in pending_spools(home)] == ["a" * 32, "b" * 32]


def test_a_home_without_a_spool_has_none(tmp_path: Path) -> None:
    assert pending_spools(Home(tmp_path)) == ()
