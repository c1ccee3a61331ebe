"""Between rows of the database and records."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from sqlalchemy import Connection, Row, Select, Table, delete, insert, select

from lakemark.storage import schema
from lakemark.storage.schema import experiments, latest_metrics, runs, table_reads
from lakemark.tracking.records import Metric, Run, RunKind, RunStatus, TableRead

__all__ = ["SELECT_RUNS", "read_metric", "read_runs", "replace_parts"]

SELECT_RUNS: Select[tuple[object, ...]] = select(*runs.c, experiments.c.name.label("experiment")).join_from(
    runs, experiments
)
"""All runs, as `read_runs` needs them; narrow it with `where`, `order_by` and `limit`."""

_AT_ONCE = 500

_T = TypeVar("_T", bound=tuple[object, ...])


def read_runs(connection: Connection, wanted: Select[_T]) -> tuple[Run, ...]:
    """Return the runs that a narrowed `SELECT_RUNS` gives, in its order, each with all its parts.

    Notes
    -----
    Four queries for each 500 runs, whatever their number of params or metrics.
    """
    rows = connection.execute(wanted).all()
    found: list[Run] = []
    for start in range(0, len(rows), _AT_ONCE):
        found += _with_parts(connection, rows[start : start + _AT_ONCE])
    return tuple(found)


def read_metric(row: Row[_T]) -> Metric:
    """Return the metric of a row of `metrics` or `latest_metrics`."""
    return Metric(row.key, math.nan if row.is_nan else row.value, row.step, row.timestamp_ms)


def _with_parts(connection: Connection, rows: Sequence[Row[_T]]) -> Iterator[Run]:
    ids = [row.run_id for row in rows]
    run_params, run_tags = (_pairs(connection, table, ids) for table in (schema.params, schema.tags))
    run_metrics: defaultdict[str, dict[str, float]] = defaultdict(dict)
    wanted = select(latest_metrics).where(latest_metrics.c.run_id.in_(ids)).order_by(latest_metrics.c.key)
    for row in connection.execute(wanted):
        run_metrics[row.run_id][row.key] = read_metric(row).value
    reads: defaultdict[str, list[TableRead]] = defaultdict(list)
    for row in connection.execute(
        select(table_reads).where(table_reads.c.run_id.in_(ids)).order_by(table_reads.c.position)
    ):
        reads[row.run_id].append(TableRead(row.uri, row.table_id, row.version, row.manifest))
    for row in rows:
        yield Run(
            run_id=row.run_id,
            experiment=row.experiment,
            started_ms=row.started_ms,
            name=row.name,
            kind=RunKind(row.kind),
            status=RunStatus(row.status),
            parent_run_id=row.parent_run_id,
            ended_ms=row.ended_ms,
            entry_point=row.entry_point,
            receipt=row.receipt,
            memo_key=row.memo_key,
            params=run_params[row.run_id],
            metrics=run_metrics[row.run_id],
            tags=run_tags[row.run_id],
            tables=tuple(reads[row.run_id]),
            pid=row.pid,
            process_start=row.process_start,
        )


def _pairs(connection: Connection, table: Table, ids: Sequence[str]) -> defaultdict[str, dict[str, str]]:
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for row in connection.execute(select(table).where(table.c.run_id.in_(ids)).order_by(table.c.key)):
        found[row.run_id][row.key] = row.value
    return found


def replace_parts(
    connection: Connection,
    run_id: str,
    *,
    params: Mapping[str, str],
    tags: Mapping[str, str],
    metrics: Sequence[Metric],
    tables: Sequence[TableRead],
) -> None:
    """Write a run's params, tags, metrics and table reads in the place of those that it has.

    An exact repeat of a metric's point is written once.
    """
    for table in (schema.params, schema.tags, schema.metrics, latest_metrics, table_reads):
        connection.execute(delete(table).where(table.c.run_id == run_id))
    for table, pairs in ((schema.params, params), (schema.tags, tags)):
        _insert(connection, table, [{"run_id": run_id, "key": key, "value": value} for key, value in pairs.items()])
    _insert_metrics(connection, run_id, metrics)
    reads = [
        {
            "run_id": run_id,
            "position": position,
            "uri": read.uri,
            "table_id": read.table_id,
            "version": read.version,
            "manifest": read.manifest,
        }
        for position, read in enumerate(tables)
    ]
    _insert(connection, table_reads, reads)


def _insert_metrics(connection: Connection, run_id: str, points: Sequence[Metric]) -> None:
    distinct: dict[tuple[str, int, int, float, bool], None] = {}
    latest: dict[str, tuple[int, int, bool, float]] = {}
    for point in points:
        is_nan = math.isnan(point.value)
        value = 0.0 if is_nan else float(point.value)
        distinct[point.key, point.step, point.timestamp_ms, value, is_nan] = None
        place = (point.step, point.timestamp_ms, not is_nan, value)
        latest[point.key] = max(place, latest.get(point.key, place))
    names = ("key", "step", "timestamp_ms", "value", "is_nan")
    rows = [dict(zip(names, row, strict=True)) | {"run_id": run_id} for row in distinct]
    _insert(connection, schema.metrics, rows)
    newest = [
        dict(zip(names, (key, step, at, value, not known), strict=True)) | {"run_id": run_id}
        for key, (step, at, known, value) in latest.items()
    ]
    _insert(connection, latest_metrics, newest)


def _insert(connection: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    if rows:
        connection.execute(insert(table), rows)
