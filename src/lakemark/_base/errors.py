"""The errors of Lakemark: one base class, one stable code each, a hint that names the next command."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ConflictError",
    "InvalidInputError",
    "LakemarkError",
    "MissingExtraError",
    "NotFoundError",
    "StorageError",
    "UserCodeError",
    "nearest",
]


_SHORT = 3
_ALIKE, _ALIKE_SHORT = 0.6, 0.5  # half of a longer word alike is chance: create is not what frobnicate means


class LakemarkError(Exception):
    """Something went wrong that a person can act on.

    Parameters
    ----------
    message : str
        What happened, where, the value seen and what is allowed. Lower case, no final stop.
    hint : str, optional
        What to do next, preferably a command to type.
    **context : object
        Values that the message speaks of, for programs.

    Attributes
    ----------
    code : str
        Stable name of the kind of error, the same in Python, the command line and HTTP.
    exit_code : int
        What the command line exits with.
    """

    code = "error"
    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None, **context: object) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.context = context

    def __str__(self) -> str:
        return f"{self.message}\n\nhint: {self.hint}" if self.hint else self.message


class InvalidInputError(LakemarkError, ValueError):
    """A value that was given is not allowed."""

    code = "invalid_input"
    exit_code = 2


class NotFoundError(LakemarkError, LookupError):
    """What was named is not there."""

    code = "not_found"
    exit_code = 3


class ConflictError(LakemarkError):
    """Somebody else changed the same thing first, or it is held."""

    code = "conflict"
    exit_code = 4


class UserCodeError(LakemarkError):
    """The user's own code raised; the message shows the user's frames."""

    code = "user_code"
    exit_code = 5


class StorageError(LakemarkError, OSError):
    """A disk, a database or an object store did not do what it must."""

    code = "storage"


class MissingExtraError(LakemarkError, ImportError):
    """A library that this needs is not installed; the hint names it."""

    code = "missing_extra"


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate most like `word`, or None where none is close.

    Examples
    --------
    >>> nearest("flihgts", ["flights", "planes"])
    'flights'
    >>> nearest("frobnicate", ["create", "list"]) is None
    True
    """
    candidates = list(candidates)
    longer = [candidate for candidate in candidates if word and candidate.startswith(word)]
    if len(longer) == 1:
        return longer[0]
    found = difflib.get_close_matches(word, candidates, n=1, cutoff=_ALIKE if len(word) > _SHORT else _ALIKE_SHORT)
    return found[0] if found else None
