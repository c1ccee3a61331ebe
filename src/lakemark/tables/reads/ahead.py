"""Rows that another thread reads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

__all__ = ["read_ahead"]


def read_ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield batches that a thread of its own reads, one ahead.

    Notes
    -----
    `deltalake` pulls what it writes from inside its own event loop, and no call of `deltalake` may begin there: it
    would panic. Reading a table on an object store is such a call, so what is written is read in another thread.

    Examples
    --------
    >>> import pyarrow as pa
    >>> [batch.num_rows for batch in read_ahead(iter(pa.table({"x": [1, 2]}).to_batches()))]
    [2]
    """
    with ThreadPoolExecutor(1, thread_name_prefix="lakemark-read") as pool:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch
