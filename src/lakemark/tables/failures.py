"""What `deltalake` raises, as our errors: the one place that knows its free text.

`deltalake` has few exception classes and tells most failures apart in words only. Where it hands data over the Arrow C
interface, it even raises a bare `Exception`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from deltalake.exceptions import (
    CommitFailedError,
    DeltaError,
    DeltaProtocolError,
    SchemaMismatchError,
    TableNotFoundError,
)

from lakemark._base.errors import ConflictError, InvalidInputError, LakemarkError, NotFoundError, StorageError

__all__ = ["is_no_log", "is_retryable", "translate", "translated"]

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_EXISTS = ("already exists",)
_NO_FOLDER = ("Invalid table location",)
_NO_SUCH_VERSION = ("end version", "No files in log segment", "Invalid table version")
_FILE_GONE = ("not found", "No such file")
_CONFLICT = ("Commit failed", "Metadata changed", "Protocol changed", "Failed to commit", "Max commit attempts")


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """Raise our errors for those of `deltalake` and Arrow inside the block.

    Parameters
    ----------
    uri : str
        The table, for the messages.
    """
    try:
        yield
    except LakemarkError:
        raise
    except (DeltaError, pa.ArrowException, OSError, ValueError) as error:
        raise translate(error, uri) from error
    except Exception as error:
        if type(error) is Exception:  # what the Arrow C interface raises; subclasses of it are bugs
            raise translate(error, uri) from error
        raise


def translate(error: Exception, uri: str) -> LakemarkError:
    """Return our error for one of `deltalake`, Arrow or the operating system.

    Returns
    -------
    LakemarkError
        `NotFoundError` for no table or version, `ConflictError` for a lost race (its context says if another try is
        sound), `InvalidInputError` for data that does not fit or features that are not supported, else `StorageError`.
    """
    text = _COLOUR.sub("", str(error)).strip()
    first = text.splitlines()[0] if text else type(error).__name__
    by_class: tuple[tuple[type[Exception], LakemarkError], ...] = (
        (TableNotFoundError, _no_table(uri, first)),
        (CommitFailedError, _lost_race(uri, first)),
        (SchemaMismatchError, InvalidInputError(f"the data does not fit the table {uri}: {first}")),
        (DeltaProtocolError, InvalidInputError(f"{uri} uses a feature of Delta that is not supported: {first}")),
    )
    by_text: tuple[tuple[tuple[str, ...], LakemarkError], ...] = (
        (_EXISTS, _exists(uri)),
        (_CONFLICT, _lost_race(uri, first)),
        (_NO_FOLDER, _no_folder(uri, first)),
        (_FILE_GONE, _file_gone(uri, first)),
    )
    for kind, ours in by_class:
        if isinstance(error, kind):
            return ours
    for parts, ours in by_text:
        if any(part in text for part in parts):
            return ours
    return StorageError(f"{uri}: {first}")


def _no_table(uri: str, cause: str) -> LakemarkError:
    hint = f"lakemark tables create {uri} --from FILE makes one"
    return NotFoundError(f"no Delta table at {uri}", hint=hint, cause=cause)


def _no_folder(uri: str, cause: str) -> LakemarkError:
    what = ": it is a file" if Path(uri).is_file() else ""
    return NotFoundError(
        f"no Delta table at {uri}{what}", hint="a Delta table is a folder that holds _delta_log/", cause=cause
    )


def _exists(uri: str) -> LakemarkError:
    hint = f"lakemark tables append {uri} FILE adds rows to it"
    return ConflictError(f"there is a table at {uri} already", hint=hint)


def _lost_race(uri: str, cause: str) -> LakemarkError:
    message = f"{uri} was changed by somebody else meanwhile: {cause}"
    return ConflictError(message, hint="do it again", retry=True, cause=cause)


def _file_gone(uri: str, cause: str) -> LakemarkError:
    hint = f"lakemark tables pins {uri} says which pinned versions are whole"
    return StorageError(f"a data file of {uri} is gone: {cause}", hint=hint)


def is_retryable(error: LakemarkError) -> bool:
    """Return True for a lost race after which the same append, on the table as it is now, is sound."""
    return isinstance(error, ConflictError) and error.context.get("retry") is True


def is_no_log(cause: BaseException | None) -> bool:
    """Return True where `deltalake` failed because a version's log is not there."""
    return isinstance(cause, DeltaError) and any(part in str(cause) for part in _NO_SUCH_VERSION)
