"""The store: what is known of all runs, in the metadata database.

A run is written twice: when it starts (`create_run`), and, with all that its spool says, when it is settled
(`settle_run`). Both may be repeated, so a crash between them and whatever cleans up needs no memory of what was done.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlalchemy import Connection, func, insert, select, update

from lakemark._base.clock import now_ms
from lakemark._base.errors import ConflictError, InvalidInputError, NotFoundError, nearest
from lakemark._base.ids import short
from lakemark.config.home import Home
from lakemark.storage.database import Database, open_database
from lakemark.storage.schema import experiments, runs, verdicts
from lakemark.storage.schema import metrics as points
from lakemark.tracking.records import Experiment, Metric, Run, RunKind, RunStatus, TableRead, Verdict
from lakemark.tracking.rows import SELECT_RUNS, read_metric, read_runs, replace_parts

__all__ = ["Store", "open_store"]

_FINAL = (RunStatus.FINISHED, RunStatus.FAILED)
_SHORTEST_PREFIX = 4


class Store:
    """Experiments, runs and verdicts.

    Parameters
    ----------
    database : Database
        Where they are kept. Safe for threads and for several processes at once.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def create_run(self, run: Run) -> None:
        """Write down that a run has started.

        Parameters
        ----------
        run : Run
            All but its params, metrics, tags and tables, which `settle_run` brings. Its experiment is made where there
            is none of that name.

        Notes
        -----
        A run that is there already stays as it is, so that recovery may create what it finds in a spool.
        """
        with self.database.write() as connection:
            if connection.execute(select(runs.c.run_id).where(runs.c.run_id == run.run_id)).first():
                return
            connection.execute(
                insert(runs).values(
                    run_id=run.run_id,
                    experiment_id=_experiment_id(connection, run.experiment),
                    name=run.name,
                    kind=run.kind,
                    status=run.status,
                    parent_run_id=run.parent_run_id,
                    started_ms=run.started_ms,
                    ended_ms=run.ended_ms,
                    entry_point=run.entry_point,
                    receipt=run.receipt,
                    memo_key=run.memo_key,
                    pid=run.pid,
                    process_start=run.process_start,
                )
            )

    def settle_run(  # noqa: PLR0913 -- one transaction needs all of a run's facts at once; every one has a name
        self,
        run_id: str,
        *,
        status: RunStatus,
        ended_ms: int,
        params: Mapping[str, str],
        metrics: Sequence[Metric],
        tags: Mapping[str, str],
        tables: Sequence[TableRead],
        receipt: str | None,
        memo_key: str | None,
        name: str | None = None,
        experiment: str | None = None,
    ) -> bool:
        """Write down all that a run brought, in one transaction.

        Parameters
        ----------
        run_id : str
            The run; it must have been created.
        status : RunStatus
            How it ended; not RUNNING.
        ended_ms : int
            When, in milliseconds since 1970-01-01 UTC.
        params, tags : mapping of str to str
            All of them.
        metrics : sequence of Metric
            Every point; an exact repeat of a point is dropped.
        tables : sequence of TableRead
            The table versions that it read, in order.
        receipt, memo_key : str or None
            The sha256 of the receipt object, and the digest of its inputs.
        name, experiment : str, optional
            What the script called the run and where it put it; None leaves what `create_run` wrote.

        Returns
        -------
        bool
            True if this call settled the run; False if it was settled before, and nothing was changed.

        Raises
        ------
        NotFoundError
            If there is no such run.

        Notes
        -----
        Settling twice gives the same rows: a run that is FINISHED or FAILED stays what it is. One that another process
        had taken for KILLED is replaced when its own process brings the truth.
        """
        if status is RunStatus.RUNNING:
            raise InvalidInputError(f"run {short(run_id)} cannot be settled as RUNNING")
        with self.database.write() as connection:
            before = connection.execute(select(runs.c.status).where(runs.c.run_id == run_id)).scalar()
            if before is None:
                raise NotFoundError(f"run {run_id} was never created")
            if before in _FINAL or (before == RunStatus.KILLED and status is RunStatus.KILLED):
                return False
            values = {"status": status, "ended_ms": ended_ms, "receipt": receipt, "memo_key": memo_key}
            named = {} if name is None else {"name": name}
            placed = {} if experiment is None else {"experiment_id": _experiment_id(connection, experiment)}
            connection.execute(update(runs).where(runs.c.run_id == run_id).values(**values, **named, **placed))
            replace_parts(connection, run_id, params=params, tags=tags, metrics=metrics, tables=tables)
        return True

    def get_run(self, ref: str) -> Run:
        """Return the run that a person means.

        Parameters
        ----------
        ref : str
            A full run id; else a name (of several runs the newest; one that a person ran before a replay of it); else
            the beginning of an id, 4 digits or more, that only one run has.

        Raises
        ------
        NotFoundError
            If there is no such run; the message names the nearest.
        ConflictError
            If several runs begin like that.
        """
        with self.database.read() as connection:
            return read_runs(connection, SELECT_RUNS.where(runs.c.run_id == _resolve(connection, ref)))[0]

    def find_run(self, run_id: str) -> Run | None:
        """Return the run of this full id, or None."""
        with self.database.read() as connection:
            return next(iter(read_runs(connection, SELECT_RUNS.where(runs.c.run_id == run_id))), None)

    def list_runs(
        self,
        experiment: str | None = None,
        *,
        kinds: Collection[RunKind] = (RunKind.RUN,),
        parent_run_id: str | None = None,
        limit: int | None = None,
    ) -> tuple[Run, ...]:
        """Return runs, newest first.

        Parameters
        ----------
        experiment : str, optional
            Only those of the experiment of this name.
        kinds : collection of RunKind, default (RUN,)
            Only these kinds.
        parent_run_id : str, optional
            Only those directly below this run.
        limit : int, optional
            At most so many.

        Raises
        ------
        NotFoundError
            If there is no such experiment; the message names the nearest.
        """
        wanted = SELECT_RUNS.where(runs.c.kind.in_(sorted(kinds)))
        if parent_run_id is not None:
            wanted = wanted.where(runs.c.parent_run_id == parent_run_id)
        with self.database.read() as connection:
            if experiment is not None:
                wanted = wanted.where(runs.c.experiment_id == _known_experiment(connection, experiment))
            return read_runs(connection, wanted.order_by(runs.c.started_ms.desc(), runs.c.run_id).limit(limit))

    def find_by_memo_key(self, key: str) -> Run | None:
        """Return the newest FINISHED run, of any kind, whose inputs have this digest, or None."""
        wanted = SELECT_RUNS.where(runs.c.memo_key == key, runs.c.status == RunStatus.FINISHED)
        with self.database.read() as connection:
            newest = wanted.order_by(runs.c.started_ms.desc(), runs.c.run_id).limit(1)
            return next(iter(read_runs(connection, newest)), None)

    def unsettled_runs(self) -> tuple[Run, ...]:
        """Return the runs that are RUNNING, newest first: alive, or dead and in need of recovery."""
        wanted = SELECT_RUNS.where(runs.c.status == RunStatus.RUNNING)
        with self.database.read() as connection:
            return read_runs(connection, wanted.order_by(runs.c.started_ms.desc(), runs.c.run_id))

    def list_metrics(self, run_id: str, key: str | None = None) -> tuple[Metric, ...]:
        """Return every point of a run's metrics, or of one, ordered by key, step and time."""
        wanted = select(points).where(points.c.run_id == run_id)
        if key is not None:
            wanted = wanted.where(points.c.key == key)
        wanted = wanted.order_by(points.c.key, points.c.step, points.c.timestamp_ms, points.c.value)
        with self.database.read() as connection:
            return tuple(read_metric(row) for row in connection.execute(wanted))

    def list_experiments(self) -> tuple[Experiment, ...]:
        """Return the experiments, oldest first."""
        with self.database.read() as connection:
            rows = connection.execute(select(experiments).order_by(experiments.c.experiment_id))
            return tuple(Experiment(row.experiment_id, row.name, row.created_ms) for row in rows)

    def add_verdict(self, verdict: Verdict) -> None:
        """Write down a verdict; the same one a second time changes nothing.

        Raises
        ------
        NotFoundError
            If the run that it is about is not there.
        """
        with self.database.write() as connection:
            if connection.execute(select(verdicts.c.digest).where(verdicts.c.digest == verdict.digest)).first():
                return
            if connection.execute(select(runs.c.run_id).where(runs.c.run_id == verdict.run_id)).first() is None:
                raise NotFoundError(f"run {verdict.run_id} was never created")
            connection.execute(
                insert(verdicts).values(
                    digest=verdict.digest,
                    run_id=verdict.run_id,
                    replay_run_id=verdict.replay_run_id,
                    level=verdict.level,
                    created_ms=verdict.created_ms,
                )
            )

    def list_verdicts(self, run_id: str) -> tuple[Verdict, ...]:
        """Return the verdicts about a run, newest first."""
        wanted = select(verdicts).where(verdicts.c.run_id == run_id)
        with self.database.read() as connection:
            rows = connection.execute(wanted.order_by(verdicts.c.created_ms.desc(), verdicts.c.digest))
            return tuple(Verdict(row.digest, row.run_id, row.replay_run_id, row.level, row.created_ms) for row in rows)


def open_store(home: Home) -> Store:
    """Open the store of a home; its database is made or migrated where that is needed."""
    return Store(open_database(home.database))


def _experiment_id(connection: Connection, name: str) -> int:
    """Return the number of an experiment, which is made where it is missing."""
    wanted = select(experiments.c.experiment_id).where(experiments.c.name == name)
    if connection.execute(wanted).first() is None:
        connection.execute(insert(experiments).values(name=name, created_ms=now_ms()))
    return int(connection.execute(wanted).scalar_one())


def _known_experiment(connection: Connection, name: str) -> int:
    rows: dict[str, int] = {row.name: row.experiment_id for row in connection.execute(select(experiments))}
    if name not in rows:
        near = nearest(name, rows)
        told = f"; the nearest is {near!r}" if near else f"; there are {', '.join(sorted(rows)) or 'none'}"
        raise NotFoundError(f"no experiment is named {name!r}{told}", hint="lakemark runs lists those of all")
    return rows[name]


def _resolve(connection: Connection, ref: str) -> str:
    """Return the full id of the run that `ref` means."""
    exact = select(runs.c.run_id).where(runs.c.run_id == ref)
    named = (
        select(runs.c.run_id)
        .where(runs.c.name == ref)
        .order_by((runs.c.kind != RunKind.RUN), runs.c.started_ms.desc(), runs.c.run_id)
    )
    for wanted in (exact, named):
        found = connection.execute(wanted.limit(1)).scalar()
        if found is not None:
            return str(found)
    prefix = ref.lower()
    begins = select(runs.c.run_id, runs.c.name).where(func.substr(runs.c.run_id, 1, len(prefix)) == prefix)
    likely = connection.execute(begins.order_by(runs.c.started_ms.desc()).limit(5)).all()
    if len(prefix) < _SHORTEST_PREFIX or not likely:
        raise _not_found(connection, ref, too_short=bool(likely) and bool(prefix))
    if len(likely) > 1:
        lengths = range(len(prefix), 33)
        enough = next(length for length in lengths if len({row.run_id[:length] for row in likely}) == len(likely))
        several = ", ".join(f"{row.run_id[:enough]} ({row.name or 'no name'})" for row in likely)
        raise ConflictError(f"several runs begin with {ref!r}: {several}", hint="type more digits, or the run's name")
    return str(likely[0].run_id)


def _not_found(connection: Connection, ref: str, *, too_short: bool) -> NotFoundError:
    if too_short:
        return NotFoundError(
            f"no run is named {ref!r}, and the beginning of an id needs {_SHORTEST_PREFIX} digits or more",
            hint="lakemark runs lists them",
        )
    recent = connection.execute(select(runs.c.run_id, runs.c.name).order_by(runs.c.started_ms.desc()).limit(1000)).all()
    near = nearest(ref, _candidates(((row.run_id, row.name) for row in recent), ref))
    if near is None:
        there = "there are no runs yet" if not recent else "no run has a name or id like it"
        hint = "lakemark run SCRIPT makes one" if not recent else "lakemark runs lists them"
        return NotFoundError(f"no run {ref!r}: {there}", hint=hint)
    return NotFoundError(f"no run {ref!r}; the nearest is {near!r}", hint=f"lakemark show {near}", nearest=near)


def _candidates(recent: Iterable[tuple[str, str | None]], ref: str) -> list[str]:
    """Return what `ref` may have been meant to be: names, and ids cut to its length."""
    length = max(len(ref), 8)
    return [word for run_id, name in recent for word in (name, run_id[:length]) if word]
