"""The identity of a home: a random name that says which home holds a table's pins, whatever folder the home is in."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from lakemark._base.errors import StorageError
from lakemark._base.files import write_atomic
from lakemark.config.home import Home

__all__ = ["home_identity"]

_NAME = "id"
_FORM = re.compile(r"[0-9a-f]{32}")


def home_identity(home: Home) -> str:
    """Return the identity of a home, 32 hexadecimal digits; it is made when it is asked for the first time.

    Parameters
    ----------
    home : Home
        The home; the identity is in its file `id`. A copy of a home has the same one.

    Raises
    ------
    StorageError
        If it can be neither read nor made.
    """
    path = home.path / _NAME
    try:
        if not path.exists():
            _make(path)
        found = path.read_text().strip()
    except OSError as error:
        raise StorageError(f"the identity of the home, {path}, cannot be read: {error.strerror}") from error
    if not _FORM.fullmatch(found):
        raise StorageError(
            f"{path} holds {found[:40]!r}, not the identity of a home: 32 hexadecimal digits",
            hint="put the file back from a backup; without it, pins in shared tables no longer name this home",
        )
    return found


def _make(path: Path) -> None:
    """Give the home an identity; of several processes that do, one wins."""
    candidate = path.with_name(f".{_NAME}-{secrets.token_hex(4)}")
    write_atomic(candidate, f"{secrets.token_hex(16)}\n".encode())
    try:
        os.link(candidate, path)
    except FileExistsError:
        pass
    finally:
        candidate.unlink()
