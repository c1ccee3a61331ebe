"""Words and tables on a terminal: alignment, width, colour, without a dependency."""

from __future__ import annotations

import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TextIO

__all__ = [
    "age",
    "columns",
    "counted",
    "duration",
    "local_time",
    "number",
    "paint",
    "plain",
    "recent_time",
    "size",
    "table",
    "terminal_width",
    "uses_colour",
    "wrap",
]

_COLOURS = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33}
_PAINTED = re.compile(r"\x1b\[[0-9;]*m")
_GAP = "  "
_NARROWEST = 6


def uses_colour(stream: TextIO) -> bool:
    """Return True if a stream is a terminal that shows colours and nobody asked for none (`NO_COLOR`)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str, *, stream: TextIO | None = None) -> str:
    """Return text in a colour where `stream` (stdout by default) shows colours, else the text as it is.

    Parameters
    ----------
    text : str
        The words.
    colour : {"bold", "dim", "red", "green", "yellow"}
        How they look.
    stream : file, optional
        Where they will be written.
    """
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if text and uses_colour(stream or sys.stdout) else text


def plain(text: str) -> str:
    r"""Return text with what could move a terminal's cursor written out, so that a name can do no harm.

    Examples
    --------
    >>> plain("a\x1b[2Jb\n")
    'a\\x1b[2Jb\\n'
    """
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def terminal_width() -> int | None:
    """Return the columns of the terminal (`COLUMNS` counts more); None where stdout is none: nothing is cut then."""
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS", "").isdigit():
        return None
    return max(shutil.get_terminal_size().columns, 40)


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes; wide letters take two, colours none.

    Examples
    --------
    >>> columns("naïve"), columns("東京")
    (5, 4)
    """
    bare = _PAINTED.sub("", text)
    if bare.isascii():
        return len(bare)
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in bare)
    return len(bare) + wide - sum(unicodedata.combining(letter) > 0 for letter in bare)


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None = None, rigid: Sequence[str] = ()
) -> Iterator[str]:
    r"""Yield the lines of a table: columns aligned, cut and left out where the terminal is too narrow.

    Parameters
    ----------
    header : sequence of str
        The columns' names.
    rows : sequence of sequence of str
        One text per column.
    width : int, optional
        Columns of the terminal; None cuts nothing. The widest column gives way first; where none can give more, the
        last one is left out.
    rigid : sequence of str, optional
        Names of columns that are never cut.

    Examples
    --------
    >>> print(*table(("RUN", "METRICS"), [("4bf92f35", "auc=0.83 f1=0.71")], width=20), sep="\n")
    RUN       METRICS
    4bf92f35  auc=0.83 …
    """
    widths = [max(columns(row[place]) for row in (header, *rows)) for place in range(len(header))]
    if width is not None:
        widths = _narrowed(widths, width, rigid=[name in rigid for name in header])
    for position, row in enumerate((header, *rows)):
        line = _GAP.join(_filled(text, room) for text, room in zip(row, widths, strict=False)).rstrip()
        yield paint(line, "bold") if position == 0 else line


def wrap(label: str, text: str, *, indent: int = 12, width: int | None = None) -> Iterator[str]:
    """Yield `label` and beside it `text`, broken between words and indented where it takes more than one line."""
    start, room = paint(label, "bold") + " " * (indent - len(label)), (width or 10_000) - indent
    line = ""
    for word in text.split(" "):
        if line and columns(line) + 1 + columns(word) > room:
            yield start + line
            start, line = " " * indent, word
        else:
            line = f"{line} {word}" if line else word
    yield (start + line).rstrip()


def counted(count: int, what: str) -> str:
    """Return a count of things as people read it.

    Parameters
    ----------
    count : int
        How many.
    what : str
        One of them; many end in s.

    Examples
    --------
    >>> counted(1, "file"), counted(51141, "row")
    ('1 file', '51,141 rows')
    """
    return f"{count:,} {what}{'s' * (count != 1)}"


def number(value: float) -> str:
    """Return a number as people read it: five figures.

    Examples
    --------
    >>> number(0.831049), number(12), number(1234567.0), number(float("nan"))
    ('0.83105', '12', '1.2346e+06', 'NaN')
    """
    return "NaN" if value != value else f"{value:.5g}"  # noqa: PLR0124 -- only NaN is not equal to itself


def size(count: float) -> str:
    """Return a number of bytes as people read it.

    Examples
    --------
    >>> size(12), size(1_234_567)
    ('12 B', '1.2 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if round(count, 1) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """Return a length of time as people read it.

    Examples
    --------
    >>> duration(0.42), duration(75), duration(7322)
    ('0.4 s', '1 min 15 s', '2 h 2 min')
    """
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def age(milliseconds: int) -> str:
    """Return a length of time in milliseconds as people read it."""
    return duration(max(milliseconds, 0) / 1000)


def local_time(milliseconds: int) -> str:
    """Return a moment as the date and time of day where the reader is."""
    return f"{_local(milliseconds):%Y-%m-%d %H:%M}"


def recent_time(milliseconds: int) -> str:
    """Return a moment of this year without the year, to save columns: `Nov 20 19:02`; else the date and time."""
    moment = _local(milliseconds)
    return f"{moment:%b %d %H:%M}" if moment.year == datetime.now().astimezone().year else local_time(milliseconds)


def _local(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000).astimezone()


def _narrowed(widths: Sequence[int], width: int, *, rigid: Sequence[bool]) -> list[int]:
    """Return how wide each column may be; fewer columns where not all have room."""
    fitting = list(widths)
    while sum(fitting) + len(_GAP) * (len(fitting) - 1) > width:
        soft = [room if not fixed and room > _NARROWEST else 0 for room, fixed in zip(fitting, rigid, strict=False)]
        if any(soft):
            fitting[soft.index(max(soft))] -= 1
        elif len(fitting) > 1:
            fitting = list(widths[: len(fitting) - 1])  # begin anew without the last
        else:
            break
    return fitting


def _filled(text: str, room: int) -> str:
    if columns(text) > room:
        while columns(text) > room - 1:
            text = text[:-1]
        text += "…\x1b[0m" if "\x1b" in text else "…"
    return text + " " * (room - columns(text))
