"""Names and constants as SQL writes them, whatever letters they have."""

from __future__ import annotations

__all__ = ["literal", "quoted"]


def quoted(name: str) -> str:
    """Return the name of a column or a table.

    Examples
    --------
    >>> print(quoted('a "net" amount'))
    "a ""net"" amount"
    """
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return text as a constant.

    Examples
    --------
    >>> print(literal("o'clock"))
    'o''clock'
    """
    return "'" + text.replace("'", "''") + "'"
