"""What a stream may be told, by the names and with the meaning that Spark gives them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Literal, TypeAlias

from lakemark._base.errors import InvalidInputError, nearest
from lakemark.tables.log.timestamps import milliseconds

__all__ = ["DEFAULT_MAX_FILES", "OptionValue", "StreamOptions", "parse_options"]

OptionValue: TypeAlias = "str | int | bool | datetime"
"""What the value of an option may be; text is parsed, so that a command line can say all of them."""

DEFAULT_MAX_FILES = 1000

_NAMES = {
    "startingVersion": "starting_version",
    "startingTimestamp": "starting_timestamp",
    "maxFilesPerTrigger": "max_files_per_trigger",
    "maxBytesPerTrigger": "max_bytes_per_trigger",
    "skipChangeCommits": "skip_change_commits",
    "ignoreDeletes": "ignore_deletes",
    "ignoreChanges": "ignore_changes",
    "readChangeFeed": "read_change_feed",
}
_OTHER_SPELLINGS = {"readchangedata": "readChangeFeed"}
_NOT_OURS = {
    "failondataloss": "a commit that is gone always stops the stream: it never goes on without the rows",
    "mergeschema": "it belongs to the sink",
}
_SIZE = re.compile(r"(\d+)\s*([kmgt]?)b?", re.IGNORECASE)
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How a table is read as a stream.

    Parameters
    ----------
    starting_version : int or "latest", optional
        The first commit whose rows are read (inclusive), or only those that come after the start of the query. Without
        it and `starting_timestamp` the rows that the table has come first, then the commits. Once a query has an
        offset, this is not looked at any more.
    starting_timestamp : datetime or str, optional
        The same, as the first commit at or after a time: aware, or RFC 3339 text with its offset.
    max_files_per_trigger : int, default 1000
        Files that a batch has at most, at least 1. A limit may split a commit, except of a change feed.
    max_bytes_per_trigger : int, optional
        A batch is full once its files have so many bytes; it has at least one file.
    skip_change_commits : bool, default False
        Skip commits that delete or rewrite rows, with the rows that they add.
    ignore_deletes : bool, default False
        Skip commits that only remove files; those that rewrite files still stop the stream.
    ignore_changes : bool, default False
        Take the files that a rewriting commit adds: rows that did not change come again.
    read_change_feed : bool, default False
        Read the change data feed: rows with `_change_type`, `_commit_version` and `_commit_timestamp`.

    Raises
    ------
    InvalidInputError
        For values out of range, and for options that contradict each other.
    """

    starting_version: int | Literal["latest"] | None = None
    starting_timestamp: datetime | str | None = None
    max_files_per_trigger: int = DEFAULT_MAX_FILES
    max_bytes_per_trigger: int | None = None
    skip_change_commits: bool = False
    ignore_deletes: bool = False
    ignore_changes: bool = False
    read_change_feed: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.starting_version, int) and self.starting_version < 0:
            raise _bad_value("startingVersion", self.starting_version, "a version from 0, or latest")
        if self.starting_timestamp is not None:
            milliseconds(self.starting_timestamp)
        if self.max_files_per_trigger < 1:
            raise _bad_value("maxFilesPerTrigger", self.max_files_per_trigger, "a number of files from 1")
        if self.max_bytes_per_trigger is not None and self.max_bytes_per_trigger < 1:
            raise _bad_value("maxBytesPerTrigger", self.max_bytes_per_trigger, "a number of bytes from 1")
        self._check_contradictions()

    def _check_contradictions(self) -> None:
        values = {name: getattr(self, ours) for name, ours in _NAMES.items()}
        given = {name for name, value in values.items() if value is not None and value is not False}
        feed = "the change feed has every change as rows, so none is left to skip"
        for one, other, why in (
            ("startingVersion", "startingTimestamp", "both say where to begin"),
            ("skipChangeCommits", "ignoreChanges", "one skips what the other takes"),
            ("readChangeFeed", "skipChangeCommits", feed),
            ("readChangeFeed", "ignoreChanges", feed),
            ("readChangeFeed", "ignoreDeletes", feed),
        ):
            if {one, other} <= given:
                raise InvalidInputError(
                    f"options {one} and {other} contradict each other: {why}", hint=f"leave out {one} or {other}"
                )


def parse_options(options: Mapping[str, OptionValue]) -> StreamOptions:
    """Return the options that somebody typed, by Spark's names in any case.

    Parameters
    ----------
    options : mapping of str to str, int, bool or datetime
        `maxBytesPerTrigger` takes `10m`, `1g` too; `true` and `false` are booleans.

    Raises
    ------
    InvalidInputError
        For an unknown option (the nearest is named), a value that is none, and contradictions.

    Examples
    --------
    >>> parse_options({"startingVersion": "3", "maxBytesPerTrigger": "1m"}).max_bytes_per_trigger
    1048576
    """
    by_case = {name.lower(): name for name in _NAMES} | _OTHER_SPELLINGS
    given: dict[str, OptionValue] = {}
    for typed, value in options.items():
        if typed.lower() not in by_case:
            raise _unknown(typed)
        name = by_case[typed.lower()]
        if _NAMES[name] in given:
            raise InvalidInputError(f"option {name} was given twice", hint="its name is read in any case; give it once")
        given[_NAMES[name]] = _value(name, value)
    return StreamOptions(**given)  # type: ignore[arg-type]  # each value was parsed by the type of its field


def _unknown(typed: str) -> InvalidInputError:
    if typed.lower() in _NOT_OURS:
        return InvalidInputError(f"{typed} is no option of a stream: {_NOT_OURS[typed.lower()]}", hint="leave it out")
    close = nearest(typed, _NAMES)
    return InvalidInputError(
        f"no option of a stream is named {typed!r}" + (f", did you mean {close!r}?" if close else ""),
        hint=f"options are {', '.join(_NAMES)}",
    )


def _value(name: str, value: OptionValue) -> OptionValue:
    kind = next(str(field.type) for field in fields(StreamOptions) if field.name == _NAMES[name])
    if kind == "bool":
        return _boolean(name, value)
    if name == "startingTimestamp":
        if isinstance(value, str | datetime):
            return value
        raise _bad_value(name, value, "a time such as 2013-06-24T00:00:00Z")
    if name == "startingVersion" and value == "latest":
        return value
    return _size(name, value) if name == "maxBytesPerTrigger" else _integer(name, value)


def _boolean(name: str, value: OptionValue) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise _bad_value(name, value, "true or false")


def _integer(name: str, value: OptionValue) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    raise _bad_value(name, value, "a version from 0, or latest" if name == "startingVersion" else "a number from 1")


def _size(name: str, value: OptionValue) -> int:
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if found:
        return int(found[1]) * int(1024 ** _POWER[found[2].lower()])
    if isinstance(value, str):
        raise _bad_value(name, value, "a number of bytes, or for example 10m, 1g")
    return _integer(name, value)


def _bad_value(name: str, value: object, allowed: str) -> InvalidInputError:
    return InvalidInputError(f"option {name} is {str(value)!r}", hint=f"it takes {allowed}")
