from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from lakemark._base.errors import InvalidInputError
from lakemark.tables.streams.options import OptionValue, StreamOptions, parse_options


def test_defaults_are_those_of_spark() -> None:
    options = parse_options({})
    assert options == StreamOptions()
    assert (options.starting_version, options.max_files_per_trigger, options.max_bytes_per_trigger) == (
        None,
        1000,
        None,
    )


def test_every_option_by_its_name_in_any_case() -> None:
    read = parse_options(
        {
            "startingversion": "7",
            "MAXFILESPERTRIGGER": 10,
            "maxBytesPerTrigger": "2g",
            "skipChangeCommits": "True",
            "ignoreDeletes": True,
            "ignoreChanges": "false",
            "readChangeFeed": False,
        }
    )
    assert read == StreamOptions(
        starting_version=7,
        max_files_per_trigger=10,
        max_bytes_per_trigger=2 * 1024**3,
        skip_change_commits=True,
        ignore_deletes=True,
    )
    assert parse_options({"startingVersion": "latest"}).starting_version == "latest"
    assert parse_options({"readChangeData": "true"}).read_change_feed
    moment = datetime(2013, 6, 24, tzinfo=UTC)
    assert parse_options({"startingTimestamp": moment}).starting_timestamp == moment
    assert parse_options({"startingTimestamp": "2013-06-24T00:00:00Z"}).starting_timestamp == "2013-06-24T00:00:00Z"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"maxFilePerTrigger": 3}, "did you mean 'maxFilesPerTrigger'"),
        ({"failOnDataLoss": "false"}, "always stops the stream"),
        ({"startingVersion": "new"}, "startingVersion is 'new'"),
        ({"startingVersion": -1}, "startingVersion is '-1'"),
        ({"startingVersion": True}, "startingVersion is 'True'"),
        ({"startingTimestamp": "2013-06-24"}, "no time zone"),
        ({"startingTimestamp": 3}, "startingTimestamp is '3'"),
        ({"maxFilesPerTrigger": 0}, "a number of files from 1"),
        ({"maxBytesPerTrigger": "0"}, "a number of bytes from 1"),
        ({"maxBytesPerTrigger": "ten"}, "10m, 1g"),
        ({"skipChangeCommits": "yes"}, "true or false"),
        ({"startingVersion": 1, "STARTINGVERSION": 2}, "given twice"),
        ({"startingVersion": 0, "startingTimestamp": "2013-06-24T00:00:00Z"}, "contradict each other"),
        ({"skipChangeCommits": True, "ignoreChanges": True}, "contradict each other"),
        ({"readChangeFeed": True, "skipChangeCommits": True}, "contradict each other"),
        ({"readChangeFeed": True, "ignoreChanges": True}, "contradict each other"),
        ({"readChangeFeed": True, "ignoreDeletes": True}, "contradict each other"),
    ],
)
def test_what_is_wrong_is_named(options: Mapping[str, OptionValue], says: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        parse_options(options)
    assert says in str(raised.value)
    assert raised.value.hint
