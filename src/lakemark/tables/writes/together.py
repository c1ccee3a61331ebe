"""Batches put together before they are written, so that rows lie in the file in the order in which they came.

`deltalake` 1.6 hands the batches of a stream to several workers, and writes them in the order in which these are done:
the same rows, written twice, lie in the file in two orders, and whoever reads them back gets another result. One batch
stays whole, also a large one, and is written faster than many.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

__all__ = ["MOST_BYTES", "together"]

MOST_BYTES = 1 << 30
"""How much is put together at most, as Arrow; it is in memory twice for a moment. Beyond it batches may swap places."""


def together(batches: Iterator[pa.RecordBatch], *, most_bytes: int = MOST_BYTES) -> Iterator[pa.RecordBatch]:
    """Yield the same rows in as few batches as fit into `most_bytes` each.

    Examples
    --------
    >>> [batch.num_rows for batch in together(iter(pa.table({"x": [1, 2, 3]}).to_batches(max_chunksize=1)))]
    [3]
    """
    waiting: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        if waiting and size + batch.nbytes > most_bytes:
            yield pa.concat_batches(waiting)
            waiting, size = [], 0
        waiting.append(batch)
        size += batch.nbytes
    if waiting:
        yield waiting[0] if len(waiting) == 1 else pa.concat_batches(waiting)
