"""What `deltalake` raises, as our errors: the one place that knows its free text.

`deltalake` has few exception classes and tells most failures apart in words only. Where it hands data over the Arrow C
interface, it even raises a bare `Exception`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
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

from lakemark._base.errors import ConflictError, InvalidInputError, LakemarkError, NotFoundError, StorageError, nearest

__all__ = ["PREVIEW", "is_no_log", "is_retryable", "redacted", "translate", "translated"]

PREVIEW = "preview"
"""Where the context of an error about a broken rule has the rows, as the text that `deltalake` gives."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_SIGNATURE = re.compile(
    r"(?i)([?&](?:sig|signature|x-amz-signature|x-amz-security-token|x-goog-signature)=)[^&\s\"')]+"
)
_EXISTS = ("already exists",)
_NO_FOLDER = ("Invalid table location",)
_NO_SUCH_VERSION = ("end version", "No files in log segment", "Invalid table version")
_FILE_GONE = ("not found", "No such file")
_DENIED = ("Permission denied", "os error 13", "Read-only file system", "AccessDenied", "403 Forbidden")
_FULL = ("No space left", "File too large", "Disk quota exceeded", "os error 28", "os error 27", "os error 122")
_BROKEN = ("Invalid data found",)
_NOT_SQL = ("sql parser error", "ParserError", "SQL error", "Expected close delimiter", "TokenizerError")
_UNKNOWN_COLUMN = ("No field named",)
_MISSING = re.compile(r"No field named (?P<name>.+?)\.(?:\s|$)")
_COLUMNS = re.compile(r"Valid fields are (?P<names>.+?)\.?(?:\n|$)")
_QUALIFIER = re.compile(r"""^("\?table\?"|target|source|files_scan)\.""")
_BAD_SQL = (
    "Error during planning",
    "Invalid function",
    "simplify_expressions",
    "Cast error",
    "Divide by zero",
    "type_coercion",
    "not implemented",
    "Parser error",
    "Unable to convert expression",
)
_TWICE = ("MERGE matched a target row with multiple source rows",)
_APPEND_ONLY = ("append-only", "append only")
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
    text = redacted(_COLOUR.sub("", str(error))).strip()
    first = text.splitlines()[0] if text else type(error).__name__
    known = _stated(text, uri)
    if known is not None:
        return known
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
        (_BAD_SQL, InvalidInputError(f"{uri}: the SQL cannot be computed: {_cause(text)}")),
    )
    for kind, ours in by_class:
        if isinstance(error, kind):
            return ours
    for parts, ours in by_text:
        if any(part in text for part in parts):
            return ours
    return StorageError(f"{uri}: {first}")


def redacted(text: str) -> str:
    """Return what a storage says without the signatures of its URLs.

    Examples
    --------
    >>> redacted("GET https://lake.example/t/_delta_log?sv=2024&sig=a%2Bb failed")
    'GET https://lake.example/t/_delta_log?sv=2024&sig=*** failed'
    """
    return _SIGNATURE.sub(r"\1***", text)


def _stated(text: str, uri: str) -> LakemarkError | None:
    """Return the error for what the text says whatever its class: a disk, a rule that was broken, SQL that is wrong."""
    kinds: tuple[tuple[tuple[str, ...], Callable[[str, str], LakemarkError]], ...] = (
        (_DENIED, _denied),
        (_FULL, _full),
        (_BROKEN, _broken),
        (_TWICE, _matched_twice),
        (_APPEND_ONLY, _append_only),
        (_UNKNOWN_COLUMN, _no_column),
        (_NOT_SQL, _not_sql),
    )
    return next((ours(uri, text) for parts, ours in kinds if any(part in text for part in parts)), None)


def _broken(uri: str, text: str) -> LakemarkError:
    summary, _, preview = text.partition("Preview of invalid data:")
    count = re.search(r"(\d+) rows? failed", summary)
    number = int(count[1]) if count else 0
    rows = f"{number} row{'s' * (number != 1)}" if number else "rows"
    return InvalidInputError(f"{uri}: {rows} would break a rule of the table", count=number, **{PREVIEW: preview})


def _matched_twice(uri: str, text: str) -> LakemarkError:
    return InvalidInputError(
        f"{uri}: several rows of the data match the same row of the table",
        hint="leave one row for each key",
        cause=text,
    )


def _append_only(uri: str, text: str) -> LakemarkError:
    return InvalidInputError(
        f"{uri} takes only new rows: its property delta.appendOnly is true",
        hint=f"lakemark tables set {uri} delta.appendOnly=false lifts that",
        cause=text,
    )


def _not_sql(uri: str, text: str) -> LakemarkError:
    return InvalidInputError(f"{uri}: this is no SQL expression: {_cause(text)}")


def _no_column(uri: str, text: str) -> LakemarkError:
    missing = _MISSING.search(text)
    found = _COLUMNS.search(text)
    listed = [_bare(part.strip()) for part in found["names"].split(", ")] if found else []
    names = [part for part in dict.fromkeys(listed) if not part.startswith("__")]
    wanted = _bare(missing["name"]) if missing else "?"
    close = next((one for one in names if one.lower() == wanted.lower()), None) or nearest(wanted, names)
    plain = close is not None and re.fullmatch(r"[a-z_][a-z0-9_]*", close)
    return InvalidInputError(
        f"{uri} has no column {wanted!r}"
        + (f", did you mean {close!r}?" if close else "")
        + ("" if close is None or plain else f' (in SQL it is written in double quotes, "{close}")'),
        hint=f"its columns are {', '.join(names)}",
        column=wanted,
    )


def _bare(name: str) -> str:
    name = _QUALIFIER.sub("", name)
    return name[1:-1].replace('""', '"') if len(name) > 1 and name[0] == name[-1] == '"' else name


def _cause(text: str) -> str:
    """Return the last line that says something: `deltalake` and DataFusion put what they were doing before it."""
    lines = [line.strip(" \u21b3") for line in text.splitlines()]
    said = [line for line in lines if line] or [text]
    last = " ".join(said[-2:]) if said[-1].startswith("Did you mean") else said[-1]
    last = re.sub(r'ParserError\("(.*?)(?: at Line: \d+, Column: \d+)?"\)', r"\1", last)
    last = last.replace("found: )", "found: its end")  # the bracket is ours
    return re.sub(
        r"^((Generic )?(DeltaTable|External|Generic|Arrow|Cast|LocalFileSystem|Error during planning|SQL|sql parser)"
        r"( error)?: )+",
        "",
        last,
    )


def _denied(uri: str, text: str) -> LakemarkError:
    return StorageError(
        f"no permission to do that at {uri}: {_cause(text)}", hint="look at who owns it, as whom you run"
    )


def _full(uri: str, text: str) -> LakemarkError:
    return StorageError(
        f"the storage of {uri} takes no more: {_cause(text)}",
        hint="nothing was committed, the table is as before; make room and do it again",
    )


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
    why = cause.removeprefix("Failed to commit transaction: ")
    message = f"{uri} was changed by somebody else meanwhile"
    message = message if why.isdecimal() else f"{message}: {why}"  # a number is that of the try
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
