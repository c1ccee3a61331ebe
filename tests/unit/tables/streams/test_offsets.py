from __future__ import annotations

import pytest

from lakemark._base.errors import StorageError
from lakemark.tables.streams.offsets import Offset, offset_from_json


def test_an_offset_has_the_names_of_spark() -> None:
    offset = Offset("id", 3, 2, initial=True)
    assert offset.to_json() == {
        "reservoirId": "id",
        "reservoirVersion": 3,
        "index": 2,
        "isInitialSnapshot": True,
    }
    assert offset_from_json(offset.to_json()) == offset
    assert offset.after() == Offset("id", 4)


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"reservoirId": "id", "reservoirVersion": "3", "index": 0, "isInitialSnapshot": False},
        {"reservoirId": "id", "reservoirVersion": 3, "index": 0},
    ],
)
def test_what_is_no_offset_is_refused(data: object) -> None:
    with pytest.raises(StorageError, match="not the offset of a stream"):
        offset_from_json(data)
