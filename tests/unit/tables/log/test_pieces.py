from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from lakemark._base.errors import NotFoundError, StorageError
from lakemark.tables.log.manifest import ManifestFile
from lakemark.tables.log.pieces import Piece, Places, pieces, target_of
from lakemark.tables.table import Table


def test_each_piece_is_where_it_says(table: Table, borrower: Table) -> None:
    for source in (table, borrower):
        places = Places(source.uri)
        found = list(pieces(source.manifest()))
        assert len(found) == 2
        for piece in found:
            assert places.is_whole(piece)
            with places.open(piece) as file:
                assert len(file.read()) == piece.size


def test_a_partition_whose_name_is_encoded_twice(tmp_path: Path) -> None:
    table = Table(tmp_path / "t")
    table.create(pa.table({"p": ["a b/c%é="], "x": [1]}), partition_by=["p"])
    (piece,) = pieces(table.manifest())
    assert Places(table.uri).is_whole(piece)
    assert target_of(piece) == piece


def test_a_vector_file_is_one_piece_that_may_be_larger(deletion_table: Callable[[str], Table]) -> None:
    table = deletion_table("u")
    data, vector = pieces(table.manifest())
    assert (data.exact, vector.exact, vector.encoded) == (True, False, False)
    assert vector.fits(vector.size + 1)
    assert not vector.fits(vector.size - 1)
    assert not data.fits(data.size + 1)
    assert not data.fits(None)


def test_a_path_that_leads_out_of_the_table_is_refused(table: Table) -> None:
    manifest = replace(table.manifest(), entries=(ManifestFile("a/%2E%2E/%2E%2E/b.parquet", 1, {}, 0),))
    with pytest.raises(StorageError, match="which is outside of it"):
        list(pieces(manifest))


def test_borrowed_names_do_not_collide() -> None:
    first, second = (target_of(Piece(f"file:///lake/{name}/part-1.parquet", 1)) for name in ("a", "b"))
    assert first.relative != second.relative
    assert first.absolute is None


def test_what_is_not_there(table: Table, s3: str) -> None:
    for uri in (table.uri, f"{s3}/none"):
        assert Places(uri).size(Piece("none.parquet", 1)) is None
        with pytest.raises(NotFoundError, match="there is no file"):
            Places(uri).open(Piece("none.parquet", 1))


def test_borrowed_on_s3(s3: str) -> None:
    lender = Table(f"{s3}/a b")
    lender.create(pa.table({"x": [1]}))
    (own,) = pieces(lender.manifest())
    piece = Piece(f"{s3}/a%20b/{own.path}", own.size)
    assert Places(f"{s3}/borrower").is_whole(piece)
