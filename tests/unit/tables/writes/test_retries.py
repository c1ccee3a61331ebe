from __future__ import annotations

from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from lakemark._base.errors import ConflictError
from lakemark.tables.writes.retries import is_replayable, retried
from lakemark.tables.writes.sources import FileSource


class Race:
    """Work that loses its first races."""

    def __init__(self, lost: int, *, retry: bool = True) -> None:
        self.lost, self.retry, self.times = lost, retry, 0

    def __call__(self) -> int:
        self.times += 1
        if self.times <= self.lost:
            raise ConflictError("lost", retry=self.retry)
        return self.times


def test_a_lost_race_is_run_again() -> None:
    assert retried(Race(3)) == 4


@pytest.mark.parametrize(("race", "replayable"), [(Race(1), False), (Race(1, retry=False), True)])
def test_what_is_not_run_again(race: Race, replayable: bool) -> None:
    with pytest.raises(ConflictError):
        retried(race, replayable=replayable)
    assert race.times == 1


def test_what_can_be_read_again(tmp_path: Path) -> None:
    rows = pa.table({"x": [1]})
    (tmp_path / "a.csv").write_text("x\n1\n")
    for data in (rows, rows.to_pandas(), pl.DataFrame(rows), pd.DataFrame(), FileSource(tmp_path / "a.csv")):
        assert is_replayable(data)
    assert not is_replayable(rows.to_reader())
