"""A function as the destination of a stream: at least once, and each time with the same rows under the same batch id.

As in Spark, a folder has `offsets/N`, written before the function is called, and `commits/N`, written after it. A batch
that has the first and not the second is made again, from and to the same place in the source.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa

from lakemark._base.errors import ConflictError, StorageError
from lakemark.tables.streams.batches import Batch, Delivery, Pending
from lakemark.tables.streams.offsets import Position, offset_from_json

__all__ = ["BatchFunction", "FunctionSink"]

BatchFunction: TypeAlias = Callable[[pa.Table, int], None]
"""What `foreach_batch` calls: with the rows, and the batch id."""

_FORMAT = "lakemark.stream-checkpoint/1"
_KEPT = 100


class FunctionSink:
    """A function that takes the batches of one query.

    Parameters
    ----------
    function : BatchFunction
        Called with each batch that has files. It may be called again with the same batch id, and then must not do its
        work twice.
    name : str
        The query.
    checkpoint : Path
        A folder on a local file system, of this query alone.
    """

    def __init__(self, function: BatchFunction, name: str, checkpoint: Path) -> None:
        self._function = function
        self._name = name
        self._offsets = checkpoint / "offsets"
        self._commits = checkpoint / "commits"

    def position(self) -> Position | None:
        """Return the last batch that the function has finished."""
        last = max(_numbers(self._commits), default=None)
        return None if last is None else Position(last, self._read(last).end)

    def pending(self) -> Pending | None:
        """Return the batch that the function was called with, and has not finished."""
        begun, done = (max(_numbers(folder), default=-1) for folder in (self._offsets, self._commits))
        return self._read(begun) if begun > done else None

    def deliver(self, batch: Batch) -> Delivery | None:
        """Call the function, between the two files.

        Raises
        ------
        ConflictError
            If another copy of the query has begun or finished the same batch meanwhile.
        """
        number, plan = batch.batch_id, batch.plan
        if self.pending() != Pending(plan.start, plan.end):
            document = {
                "format": _FORMAT,
                "name": self._name,
                "source": batch.source_uri,
                "start": plan.start.to_json(),
                "end": plan.end.to_json(),
            }
            self._create(self._offsets / str(number), json.dumps(document).encode())
        rows = batch.table()
        if plan.files:
            self._function(rows, number)
        self._create(self._commits / str(number), b"{}")
        for folder in (self._commits, self._offsets):
            for old in _numbers(folder):
                if old <= number - _KEPT:
                    (folder / str(old)).unlink(missing_ok=True)
        return Delivery(rows.num_rows)

    def finish(self, position: Position) -> None:
        """Do nothing: the files are there."""

    def _create(self, path: Path, data: bytes) -> None:
        """Write a file in one step, which must not be there."""
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(path).hardlink_to(name)
        except FileExistsError:
            raise ConflictError(
                f"another copy of query {self._name!r} writes {path}", hint="let one copy run, and start it again"
            ) from None
        finally:
            Path(name).unlink()

    def _read(self, number: int) -> Pending:
        path = self._offsets / str(number)
        try:
            found = json.loads(path.read_bytes())
            if found["format"] == _FORMAT:
                return Pending(offset_from_json(found["start"]), offset_from_json(found["end"]))
            raise StorageError(f"{path} is of format {found['format']!r}, this version reads {_FORMAT!r}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, StorageError):
                raise
            raise StorageError(f"{path} does not say what batch {number} was made of: {error!r}") from error


def _numbers(folder: Path) -> list[int]:
    """Return the batches that have a file in a folder."""
    if not folder.is_dir():
        return []
    return [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]
