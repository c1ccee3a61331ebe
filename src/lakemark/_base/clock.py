"""Time, in one form: UTC, milliseconds."""

from __future__ import annotations

import time
from datetime import UTC, datetime

__all__ = ["now_ms", "rfc3339"]


def now_ms() -> int:
    """Return the time now, in milliseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000


def rfc3339(milliseconds: int) -> str:
    """Return a time as RFC 3339 text in UTC.

    Examples
    --------
    >>> rfc3339(1_372_032_000_123)
    '2013-06-24T00:00:00.123Z'
    """
    moment = datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"
