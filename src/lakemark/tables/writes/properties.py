"""Properties of tables: what new ones get, and which may be set."""

from __future__ import annotations

from collections.abc import Mapping

from lakemark._base.errors import InvalidInputError, nearest
from lakemark.tables.failures import translated
from lakemark.tables.log.commits import KEEP_LOG, Commit, commit_properties
from lakemark.tables.reading import TableReader
from lakemark.tables.writes.retries import retried
from lakemark.tables.writes.targets import open_target

__all__ = ["PROPERTIES", "PROTECTION", "check_properties", "set_properties"]

PROTECTION: Mapping[str, str] = {
    "delta.logRetentionDuration": "interval 3650 days",
    "delta.deletedFileRetentionDuration": "interval 3650 days",
    "delta.enableExpiredLogCleanup": "false",
}
"""What keeps old versions: the log is not cleaned behind our back, and Spark lets them be read."""

PROPERTIES: Mapping[str, str] = {**PROTECTION, "delta.checkpointInterval": "20"}
"""What a new table gets. Each commit since the last checkpoint makes opening slower, so one comes after 20, not 100."""

_BOOLEAN = frozenset(
    {
        "delta.appendOnly",
        "delta.autoOptimize.autoCompact",
        "delta.autoOptimize.optimizeWrite",
        "delta.checkpoint.writeStatsAsJson",
        "delta.checkpoint.writeStatsAsStruct",
        "delta.enableChangeDataFeed",
        "delta.enableExpiredLogCleanup",
        "delta.randomizeFilePrefixes",
        "delta.tuneFileSizesForRewrites",
    }
)
_NUMBER = frozenset(
    {
        "delta.checkpointInterval",
        "delta.dataSkippingNumIndexedCols",
        "delta.randomPrefixLength",
        "delta.targetFileSize",
    }
)
_DURATION = frozenset(
    {
        "delta.deletedFileRetentionDuration",
        "delta.logRetentionDuration",
        "delta.setTransactionRetentionDuration",
    }
)
_OTHER = frozenset({"delta.dataSkippingStatsColumns", "delta.isolationLevel"})
_KNOWN = _BOOLEAN | _NUMBER | _DURATION | _OTHER
_FEATURES = (
    "delta.columnMapping.",
    "delta.enableDeletionVectors",
    "delta.enableInCommitTimestamps",
    "delta.enableRowTracking",
    "delta.enableTypeWidening",
    "delta.feature.",
    "delta.minReaderVersion",
    "delta.minWriterVersion",
    "delta.checkpointPolicy",
)
_UNITS = ("nanosecond", "microsecond", "millisecond", "second", "minute", "hour", "day", "week")


def check_properties(properties: Mapping[str, str]) -> None:
    """Raise unless all may be set: those of Delta that every reader gets along with, and any of other names.

    Raises
    ------
    InvalidInputError
        For a name of Delta's that is unknown (the nearest is named) or would lock out readers, and for a bad value;
        `deltalake` alone takes every value, and other engines then fail.

    Examples
    --------
    >>> check_properties({"delta.appendOnly": "true", "lakemark.owner": "ada"})
    """
    for name, value in properties.items():
        if not name.strip():
            raise InvalidInputError("a property has no name", hint="for example lakemark.owner=ada")
        if name.startswith("delta.constraints."):
            raise InvalidInputError(f"{name} is no property to set", hint="add_constraint checks the rows first")
        if name.startswith(_FEATURES):
            raise InvalidInputError(
                f"{name} is not set here: it would make the table one that not every engine reads",
                hint=f"allowed are {', '.join(sorted(_KNOWN))}",
            )
        if name.startswith("delta.") and name not in _KNOWN:
            close = nearest(name.removeprefix("delta."), [known.removeprefix("delta.") for known in sorted(_KNOWN)])
            raise InvalidInputError(
                f"Delta has no property {name!r}" + (f", did you mean 'delta.{close}'?" if close else ""),
                hint="names of your own need another prefix, such as lakemark.",
            )
        allowed = _allowed(name, value)
        if allowed:
            raise InvalidInputError(f"{name} is {value!r}, and {allowed}", hint=f"for example {_example(name)}")


def _allowed(name: str, value: str) -> str | None:
    """Return what is allowed where a value is not."""
    if name in _BOOLEAN and value not in ("true", "false"):
        return "must be true or false"
    if name in _NUMBER and not (value.isdecimal() and int(value) > 0):
        every = name == "delta.dataSkippingNumIndexedCols" and value in {"-1", "0"}
        return None if every else "must be a whole number above 0"
    if name in _DURATION:
        words = value.removeprefix("interval ").split()
        good = len(words) == 2 and words[0].isdecimal() and words[1].removesuffix("s") in _UNITS
        return None if good and value.startswith("interval ") else "must be of the form interval NUMBER UNIT"
    if name == "delta.isolationLevel" and value not in ("Serializable", "WriteSerializable"):
        return "must be Serializable or WriteSerializable"
    return None


def _example(name: str) -> str:
    kinds = ((_BOOLEAN, "true"), (_NUMBER, "100"), (_DURATION, "interval 30 days"))
    return next((f"{name}={value}" for names, value in kinds if name in names), f"{name}=Serializable")


def set_properties(target: TableReader, properties: Mapping[str, str], *, commit: Commit | None = None) -> int:
    """Set properties and return the new version."""
    check_properties(properties)

    def write() -> int:
        table = open_target(target)
        with translated(target.uri):
            table.alter.set_table_properties(
                dict(properties),
                raise_if_not_exists=False,
                commit_properties=commit_properties(commit, alone=True),
                post_commithook_properties=KEEP_LOG,
            )
        return table.version()

    return retried(write)
