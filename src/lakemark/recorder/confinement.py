"""Confinement of a replay: the kernel refuses writes outside of its own folders, whoever makes them.

The detours of Python's own functions send a replay's writes into its scratch folder. Libraries in C, and processes that
the script starts, know nothing of detours. Linux can hold them all by Landlock, which needs no privileges.

References
----------
https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable

__all__ = ["confine_writes"]

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
_GET_VERSION = 1
_RULE_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38
_OLDEST = 2
"""Before this version, nothing could be renamed from one folder into another."""
_TRUNCATE_SINCE = 3

_WRITE_FILE, _REMOVALS, _MAKES, _REFER, _TRUNCATE = 1 << 1, 0b11 << 4, 0b1111111 << 6, 1 << 13, 1 << 14


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64),)


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def confine_writes(folders: Iterable[str]) -> bool:
    """Let this process, and all that it starts, change nothing outside of some folders from now on.

    Parameters
    ----------
    folders : iterable of str
        Where files may be made, changed and removed; one that is not there is passed over.

    Returns
    -------
    bool
        False where the system has no Landlock: then nothing is confined.

    Notes
    -----
    It cannot be undone. Reading is not limited, and neither are files that are open already. A refused call fails with
    `EACCES`.
    """
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None)
    version = library.syscall(_CREATE_RULESET, None, 0, _GET_VERSION)
    if version < _OLDEST:
        return False
    access = _WRITE_FILE | _REMOVALS | _MAKES | _REFER | (_TRUNCATE if version >= _TRUNCATE_SINCE else 0)
    wanted = _Ruleset(access)
    ruleset = library.syscall(_CREATE_RULESET, ctypes.byref(wanted), ctypes.sizeof(wanted), 0)
    if ruleset < 0:
        return False
    try:
        for folder in folders:
            _allow(library, ruleset, folder=folder, access=access)
        library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return bool(library.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _allow(library: ctypes.CDLL, ruleset: int, *, folder: str, access: int) -> None:
    try:
        handle = os.open(folder, getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rule = _PathBeneath(access, handle)
        library.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(handle)
