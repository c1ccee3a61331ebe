"""Points in time that people name, resolved to versions once, in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from lakemark._base.clock import now_ms, rfc3339
from lakemark._base.errors import InvalidInputError, NotFoundError

__all__ = ["milliseconds", "version_at"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def milliseconds(timestamp: datetime | str) -> int:
    """Return a point in time in milliseconds since 1970-01-01 UTC.

    Parameters
    ----------
    timestamp : datetime or str
        An aware datetime, or RFC 3339 text with its offset.

    Raises
    ------
    InvalidInputError
        For a naive one, which would mean another instant on another machine, and for text that is no RFC 3339.

    Examples
    --------
    >>> milliseconds("2013-06-24T02:00:00.123+02:00")
    1372032000123
    """
    hint = "write it with its offset, for example 2013-06-24T00:00:00Z"
    if isinstance(timestamp, str):
        try:
            moment = datetime.fromisoformat(timestamp)
        except ValueError:
            raise InvalidInputError(f"timestamp {timestamp!r} is not RFC 3339", hint=hint) from None
    else:
        moment = timestamp
    if moment.tzinfo is None:
        raise InvalidInputError(f"timestamp {str(timestamp)!r} has no time zone", hint=hint)
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def version_at(timestamp: datetime | str, commits: Sequence[tuple[int, int]], *, uri: str) -> int:
    """Return the version that was the latest at a point in time.

    Parameters
    ----------
    timestamp : datetime or str
        As for `milliseconds`.
    commits : sequence of (int, int)
        Version and time (ms) of the commits that the log still has, ascending. Where a clock went back, a commit counts
        as made when the one before it was.
    uri : str
        The table, for the messages.

    Raises
    ------
    NotFoundError
        Before the first commit, or in the future.

    Notes
    -----
    Spark also refuses a time between the last commit and now; that one has an answer which cannot change any more, so
    here it is the last version. The future has none yet.
    """
    asked = milliseconds(timestamp)
    now = now_ms()
    latest, found = 0, None
    for version, committed in commits:
        latest = max(latest, committed)
        if latest <= asked:
            found = version
    if found is None or asked > now:
        first = rfc3339(commits[0][1]) if commits else "none"
        raise NotFoundError(
            f"{uri} has no version at {rfc3339(asked)}: its log begins at {first} and now is {rfc3339(now)}",
            hint=f"lakemark tables history {uri} lists the versions",
        )
    return found
