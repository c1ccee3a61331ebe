"""What the store knows of runs: frozen records, the same ones that are written and that are returned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Experiment", "Metric", "Run", "RunKind", "RunStatus", "TableRead", "Verdict"]


class RunStatus(StrEnum):
    """How far a run has come."""

    RUNNING = "RUNNING"
    """Started, and not settled yet."""
    FINISHED = "FINISHED"
    """Ended by itself, without an error."""
    FAILED = "FAILED"
    """Ended with an error of the script."""
    KILLED = "KILLED"
    """Interrupted: its process went away without a word."""


class RunKind(StrEnum):
    """Why a run was made."""

    RUN = "run"
    """A person ran it."""
    REPLAY = "replay"
    """`lakemark reproduce` ran a receipt again."""
    COUNTERFACTUAL = "counterfactual"
    """`lakemark explain` ran a mixture of two receipts."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """A named group of runs.

    Parameters
    ----------
    experiment_id : int
        Ascending number.
    name : str
        Unique name.
    created_ms : int
        Milliseconds since 1970-01-01 UTC.
    """

    experiment_id: int
    name: str
    created_ms: int


@dataclass(frozen=True, slots=True)
class Metric:
    """One point of a metric.

    Parameters
    ----------
    key : str
        The metric's name.
    value : float
        Any float, NaN and infinities too.
    step : int
        Where in the training, 0 where there are no steps.
    timestamp_ms : int
        When it was measured, in milliseconds since 1970-01-01 UTC.
    """

    key: str
    value: float
    step: int
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class TableRead:
    """One version of one table that a run read.

    Parameters
    ----------
    uri : str
        The table, as an absolute path or a URI.
    table_id : str
        The id in the table's own metadata; another one means that the table was dropped and made again.
    version : int
        The version that was read, from 0.
    manifest : str or None
        The sha256 of the manifest object (the list of the version's files); None where it could not be written.
    """

    uri: str
    table_id: str
    version: int
    manifest: str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """How equal a reproduction was; the whole verdict is an object that `digest` names.

    Parameters
    ----------
    digest : str
        The sha256 of the verdict object.
    run_id : str
        The run that was reproduced.
    replay_run_id : str or None
        The run that reproduced it; None where it could not be started.
    level : int
        0 (could not run) to 5 (bit-exact model).
    created_ms : int
        Milliseconds since 1970-01-01 UTC.
    """

    digest: str
    run_id: str
    replay_run_id: str | None
    level: int
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run.

    `Store.create_run` writes all but `params`, `metrics`, `tags` and `tables`, which `Store.settle_run` brings.

    Parameters
    ----------
    run_id : str
        32 hexadecimal digits.
    experiment : str
        The name of its experiment.
    started_ms : int
        When it started, in milliseconds since 1970-01-01 UTC.
    name : str, optional
        What people call it; need not be unique.
    kind : RunKind, default RUN
        Why it was made.
    status : RunStatus, default RUNNING
        How far it has come.
    parent_run_id : str, optional
        The run around it, or the run that a replay repeats.
    ended_ms : int, optional
        When it ended; None while it runs.
    entry_point : str, default ""
        What was run, for example `train.py`.
    receipt : str, optional
        The sha256 of its receipt object.
    memo_key : str, optional
        The digest of the receipt's inputs: equal for runs of the same function of the same inputs.
    params : mapping of str to str
        Its parameters.
    metrics : mapping of str to float
        The latest value of each metric: that with the greatest (step, timestamp, value).
    tags : mapping of str to str
        Its tags.
    tables : tuple of TableRead
        The table versions that it read, in the order of reading.
    pid : int, optional
        The process that writes it.
    process_start : str, optional
        When that process started, as `lakemark.tracking.processes.process_start` says it: tells it from a later
        process that was given the same number.
    """

    run_id: str
    experiment: str
    started_ms: int
    name: str | None = None
    kind: RunKind = RunKind.RUN
    status: RunStatus = RunStatus.RUNNING
    parent_run_id: str | None = None
    ended_ms: int | None = None
    entry_point: str = ""
    receipt: str | None = None
    memo_key: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    tables: tuple[TableRead, ...] = ()
    pid: int | None = None
    process_start: str | None = None
