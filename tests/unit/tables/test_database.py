from __future__ import annotations

from pathlib import Path

import pytest

from lakemark._base.errors import StorageError
from lakemark.tables.database import arrow_reader, connect, temporary_folder


def test_it_is_quiet_stays_off_the_network_and_counts_in_utc(tmp_path: Path) -> None:
    names = ("enable_progress_bar", "autoinstall_known_extensions", "autoload_known_extensions", "TimeZone")
    asked = ", ".join(f"current_setting('{name}')" for name in names)
    with connect(tmp_path) as connection:
        (found,) = arrow_reader(connection, f"SELECT {asked}", rows=10).read_all().to_pylist()
    assert list(found.values()) == [False, False, False, "UTC"]


def test_no_folder_for_temporary_files(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no folder for temporary files"):
        temporary_folder("lakemark-", parent=tmp_path / "missing")
