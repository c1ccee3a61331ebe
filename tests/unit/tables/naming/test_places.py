from __future__ import annotations

from pathlib import Path

import pytest

from lakemark._base.errors import NotFoundError
from lakemark.tables.naming.places import open_place


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_folder_that_is_there_counts_for_a_name() -> None:
    for text in ("sales", "sales.orders"):
        with pytest.raises(NotFoundError, match=f"there is no folder '{text}', and no home"):
            open_place(text)
        Path(text).mkdir()
        assert open_place(text).uri == str(Path(text).resolve())
        assert open_place(f"{text}@3").at == 3


def test_a_path_need_not_be_there() -> None:
    assert open_place("./sales").uri == str(Path("sales").resolve())
    assert open_place("s3://lake/sales@2").at == 2


def test_a_tag_needs_a_home_unless_the_folder_is_called_so() -> None:
    with pytest.raises(NotFoundError, match="no home whose tags could have 'q3'"):
        open_place("./sales@q3")
    Path("sales@q3/_delta_log").mkdir(parents=True)
    table = open_place("./sales@q3")
    assert (table.uri, table.at) == (str(Path("sales@q3").resolve()), None)
