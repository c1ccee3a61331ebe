from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from lakemark._base.clock import now_ms
from lakemark._base.errors import InvalidInputError, NotFoundError
from lakemark.tables.log.timestamps import milliseconds, version_at

COMMITS = [(3, 1_000), (4, 2_000), (5, 1_500), (6, 3_000)]  # the clock went back at version 5


def at(moment_ms: int) -> datetime:
    return datetime.fromtimestamp(moment_ms / 1000, tz=UTC)


@pytest.mark.parametrize(
    ("moment", "version"), [(1_000, 3), (1_999, 3), (2_000, 5), (2_999, 5), (3_000, 6), (10_000_000, 6)]
)
def test_the_version_that_was_the_latest(moment: int, version: int) -> None:
    assert version_at(at(moment), COMMITS, uri="sales") == version


def test_text_and_datetime_of_any_zone_are_one_instant() -> None:
    tokyo = datetime(2013, 6, 24, 9, tzinfo=timezone(timedelta(hours=9)))
    assert {milliseconds(tokyo), milliseconds("2013-06-24T00:00:00Z"), milliseconds("2013-06-24 02:00+02:00")} == {
        1_372_032_000_000
    }


@pytest.mark.parametrize("moment", [at(999), at(now_ms() + 3_600_000)])
def test_out_of_range_names_the_range(moment: datetime) -> None:
    with pytest.raises(NotFoundError, match=r"its log begins at 1970-01-01T00:00:01\.000Z and now is 20"):
        version_at(moment, COMMITS, uri="sales")


@pytest.mark.parametrize(
    "moment",
    [datetime(2013, 6, 24), "2013-06-24", "2013-06-24T00:00:00", "yesterday", ""],  # noqa: DTZ001
)
def test_what_is_no_instant_is_refused(moment: datetime | str) -> None:
    with pytest.raises(InvalidInputError, match=r"no time zone|not RFC 3339"):
        milliseconds(moment)
