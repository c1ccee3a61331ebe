from __future__ import annotations

from pathlib import Path

from lakemark.storage.database import open_database
from lakemark.tracking.file_digests import SqlDigestStore


def test_the_first_document_of_a_version_stays(tmp_path: Path) -> None:
    with open_database(tmp_path / "db") as database:
        store = SqlDigestStore(database)
        assert store.get("m" * 64) is None
        assert store.put("m" * 64, "d" * 64, created_ms=1) == "d" * 64
        assert store.put("m" * 64, "e" * 64, created_ms=2) == "d" * 64
        assert store.get("m" * 64) == "d" * 64
