"""Explain: how much of a metric's change comes from data, code, params and env, by running the mixtures.

First the plan (which mixtures, how long), then the runs, then all models on common rows, then Shapley values. Nothing
runs before `on_plan` has seen the plan; it may refuse by raising.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lakemark._base.errors import InvalidInputError, LakemarkError
from lakemark._base.fields import number, section, text
from lakemark._base.ids import short
from lakemark.reproduce.common_rows import CommonRows, NotHeldFixedError, Scored, score_on_common_rows
from lakemark.reproduce.explanation import Change, CommonSet, Effect, Estimate, Explanation, Interaction, Mixture
from lakemark.reproduce.factors import CodeDiff, describe_factor
from lakemark.reproduce.metrics import ChosenMetric, choose_metric, higher_is_better, reported_value
from lakemark.reproduce.mixtures import Cell, Plan, Receipt, Replayer, cell_name, label_runs, plan_cells
from lakemark.reproduce.shapley import Attribution, Player, Value, attribute
from lakemark.storage.objects import ObjectStore

__all__ = ["Options", "explain"]

_LARGE = 0.2
"""The share of the whole change from which an interaction is worth telling."""


def _ignore_plan(plan: Plan) -> None:
    del plan


def _ignore_progress(line: str) -> None:
    del line


@dataclass(frozen=True, slots=True)
class Options:
    """How to explain.

    Parameters
    ----------
    metric : str, optional
        See `choose_metric`.
    evaluate_on : {"a", "b"}, default "b"
        Whose test rows the models are scored on.
    replicates : int, default 500
        Bootstrap replicates, at least 2.
    seed : int, default 0
        Where the bootstrap's generator starts.
    code_diff : callable, optional
        Finds the paths that differ between two code trees.
    on_plan : callable
        Gets the plan before anything runs; may raise to refuse it.
    progress : callable
        Gets a line of text before each run, and before the scoring.
    """

    metric: str | None = None
    evaluate_on: str = "b"
    replicates: int = 500
    seed: int = 0
    code_diff: CodeDiff | None = None
    on_plan: Callable[[Plan], None] = field(default=_ignore_plan)
    progress: Callable[[str], None] = field(default=_ignore_progress)


@dataclass(frozen=True, slots=True)
class _Run:
    """What came of a cell."""

    receipt: Receipt | None
    error: str | None
    is_new: bool

    @property
    def finished(self) -> Receipt | None:
        return self.receipt if self.error is None else None


@dataclass(frozen=True, slots=True)
class _Case:
    """All that the later steps need."""

    a: Receipt
    b: Receipt
    plan: Plan
    metric: ChosenMetric
    options: Options
    runs: Mapping[frozenset[str], _Run]

    @property
    def factors(self) -> tuple[str, ...]:
        return self.plan.comparison.differing


def explain(
    receipt_a: Receipt,
    receipt_b: Receipt,
    *,
    replayer: Replayer,
    objects: ObjectStore,
    options: Options | None = None,
) -> Explanation:
    """Share out the change of a metric from run A to run B over the factors that differ.

    Parameters
    ----------
    receipt_a, receipt_b : mapping
        Receipts of finished runs.
    replayer : Replayer
        Runs the mixtures, each as a tracked run that is found again by its inputs.
    objects : ObjectStore
        Holds the models and test rows that the runs stored.
    options : Options, optional
        Metric, test rows, replicates and callbacks.

    Raises
    ------
    InvalidInputError
        If a run is not finished, if it is twice the same run, or if there is no such metric.

    Notes
    -----
    Up to 2**k - 2 runs for k differing factors, fewer where runs with these inputs exist. What ran stays, so that an
    interrupted explanation goes on where it was.
    """
    options = options or Options()
    _check(receipt_a, receipt_b, options)
    metric = choose_metric(receipt_a, receipt_b, name=options.metric)
    plan = plan_cells(receipt_a, receipt_b, replayer=replayer)
    options.on_plan(plan)
    runs = _run_cells(plan, (receipt_a, receipt_b), replayer=replayer, options=options)
    case = _Case(receipt_a, receipt_b, plan, metric, options, runs)
    notes = _explain_nulls(case) + _explain_in_code(plan.comparison.in_code)
    scored: Scored | None = None
    if case.factors:
        options.progress(f"scoring {sum(run.finished is not None for run in runs.values())} models on the same rows")
        try:
            scored = _score(case, replayer=replayer, objects=objects)
        except NotHeldFixedError as error:
            notes += _explain_fallback(error)
    values = _reported(case) if scored is None else dict(scored.values)
    return _conclude(case, values, scored=scored, notes=notes + (() if scored is None else scored.notes))


def _check(a: Receipt, b: Receipt, options: Options) -> None:
    if text(a, "run_id") == text(b, "run_id"):
        raise InvalidInputError(f"A and B are the same run, {short(text(a, 'run_id') or '')}", hint="lakemark runs")
    for receipt in (a, b):
        if text(receipt, "status") != "FINISHED":
            name = short(text(receipt, "run_id") or "")
            raise InvalidInputError(
                f"run {name} is {text(receipt, 'status')}; only FINISHED runs can be explained",
                hint=f"lakemark show {name}",
            )
        outer = text(receipt, "parent_run_id")
        if outer is not None and text(receipt, "kind") == "run":
            name = short(text(receipt, "run_id") or "")
            raise InvalidInputError(f"run {name} is a part of run {short(outer)}: what can be run again is the whole")
    if options.evaluate_on not in {"a", "b"}:
        raise InvalidInputError(f"evaluate_on is {options.evaluate_on!r}: allowed are 'a' and 'b'")
    if options.replicates < 2:
        raise InvalidInputError(f"{options.replicates} bootstrap replicates give no interval: at least 2 are needed")


def _run_cells(
    plan: Plan, ends: tuple[Receipt, Receipt], *, replayer: Replayer, options: Options
) -> dict[frozenset[str], _Run]:
    runs: dict[frozenset[str], _Run] = {}
    total, done = len(plan.missing), 0
    for cell in plan.cells:
        if cell.receipt is not None:
            runs[cell.from_b] = _Run(cell.receipt, _failure(cell.receipt), is_new=False)
            continue
        done += 1
        name = cell_name(*ends, comparison=plan.comparison, from_b=cell.from_b)
        options.progress(f"run {done} of {total}: {name} (about {cell.seconds:.0f} s)")
        runs[cell.from_b] = _run_cell(cell, name, replayer=replayer, parent=text(ends[1], "run_id") or "")
    return runs


def _run_cell(cell: Cell, name: str, *, replayer: Replayer, parent: str) -> _Run:
    try:
        receipt = replayer.evaluate(cell.inputs, name=name, parent_run_id=parent)
    except LakemarkError as error:  # a mixture whose world cannot be rebuilt is one that does not exist
        return _Run(None, error.message.splitlines()[0], is_new=True)
    return _Run(receipt, _failure(receipt), is_new=True)


def _failure(receipt: Receipt) -> str | None:
    """Return the last line of a failed run's error, or None for one that finished."""
    if text(receipt, "status") == "FINISHED":
        return None
    error = section(receipt, "outputs", "error")
    message = (text(error, "message") or "").strip()
    last = message.splitlines()[-1] if message else (text(receipt, "status") or "no status")
    kind = text(error, "type")
    return f"{kind}: {last}" if kind else last


def _score(case: _Case, *, replayer: Replayer, objects: ObjectStore) -> Scored:
    cells = {members: run.finished for members, run in case.runs.items()}
    rows = CommonRows(
        case.options.evaluate_on, case.factors, replicates=case.options.replicates, seed=case.options.seed
    )
    finished = {members: receipt for members, receipt in cells.items() if receipt is not None}
    return score_on_common_rows(finished, rows, metric=case.metric, replayer=replayer, objects=objects)


def _reported(case: _Case) -> dict[frozenset[str], Value]:
    values = {
        members: reported_value(run.finished, case.metric)
        for members, run in case.runs.items()
        if run.finished is not None
    }
    return {
        members: np.asarray([value]) for members, value in values.items() if value is not None and math.isfinite(value)
    }


def _explain_fallback(error: NotHeldFixedError) -> tuple[str, ...]:
    notes = (
        f"the test rows could not be held fixed: {error.message}",
        "each run is taken at the value that it reported, so there are no intervals",
        "where a factor changes the test rows, that is part of its effect",
    )
    return notes if error.hint is None else (*notes, f"it may be possible with {error.hint}")


def _explain_nulls(case: _Case) -> tuple[str, ...]:
    if case.factors:
        return ()
    return (
        "data, code, params and env are the same in both runs; other causes are another processor, unseeded generators",
    )


def _explain_in_code(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        return ()
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    note = (
        f"both runs open {', '.join(names[:3])}{more}, which differ and count as code; tables, files outside of the "
        "project and files that a reader of frames reads count as data"
    )
    return (note,)


def _conclude(
    case: _Case, values: Mapping[frozenset[str], Value], *, scored: Scored | None, notes: tuple[str, ...]
) -> Explanation:
    reported = Change(_must(case.a, case.metric), _must(case.b, case.metric))
    whole = frozenset(case.factors)
    shared = attribute(values, case.factors) if case.factors else None
    compared = Change(float(values[frozenset()][0]), float(values[whole][0])) if case.factors else reported
    total = _estimate(shared.total) if shared is not None else Estimate(reported.change)
    notes += _explain_merged(case, shared)
    return Explanation(
        run_a=text(case.a, "run_id") or "",
        run_b=text(case.b, "run_id") or "",
        labels=label_runs(case.a, case.b),
        metric=case.metric.name,
        function=case.metric.function,
        higher_is_better=higher_is_better(case.metric.function),
        reported=reported,
        compared=compared,
        total=total,
        common=None if scored is None else CommonSet(case.options.evaluate_on, scored.rows, scored.dropped),
        effects=_effects(case, shared, total=total),
        interactions=_interactions(shared, total=total),
        mixtures=_mixtures(case, values),
        equal=case.plan.comparison.equal,
        null=case.plan.comparison.null,
        notes=notes,
        replicates=0 if scored is None else case.options.replicates,
        new_seconds=sum(
            number(run.receipt, "outputs", "wall_seconds") or 0.0
            for run in case.runs.values()
            if run.is_new and run.receipt is not None
        ),
    )


def _must(receipt: Receipt, metric: ChosenMetric) -> float:
    value = reported_value(receipt, metric)
    if value is None or not math.isfinite(value):
        name = short(text(receipt, "run_id") or "")
        raise InvalidInputError(f"{metric.name} of run {name} is {value}: it has to be a number")
    return value


def _estimate(value: Value) -> Estimate:
    if value.size < 3:
        return Estimate(float(value[0]))
    replicates = value[1:][np.isfinite(value[1:])]
    if len(replicates) < 2:
        return Estimate(float(value[0]))
    low, high = np.percentile(replicates, [2.5, 97.5])
    return Estimate(float(value[0]), float(low), float(high))


def _effects(case: _Case, shared: Attribution | None, *, total: Estimate) -> tuple[Effect, ...]:
    if shared is None:
        return ()
    inputs = section(case.a, "inputs"), section(case.b, "inputs")
    one_way = len({bool(value[0] > 0) for value in shared.shares.values() if value[0] != 0}) == 1
    has_shares = total.value != 0 and total.is_detectable is not False and one_way  # 333 % and -233 % help nobody
    effects = []
    for player, value in shared.shares.items():
        estimate = _estimate(value)
        phrases = [
            phrase for factor in player for phrase in describe_factor(factor, *inputs, code_diff=case.options.code_diff)
        ]
        share = 100 * estimate.value / total.value if has_shares else None
        effects.append(Effect(player, estimate, share, tuple(phrases)))
    return tuple(sorted(effects, key=lambda effect: -abs(effect.estimate.value)))


def _interactions(shared: Attribution | None, *, total: Estimate) -> tuple[Interaction, ...]:
    if shared is None:
        return ()
    found = []
    for (one, other), value in shared.interactions.items():
        estimate = _estimate(value)
        is_large = abs(estimate.value) > _LARGE * abs(total.value) and estimate.is_detectable is not False
        found.append(Interaction((one, other), estimate, is_large))
    return tuple(sorted(found, key=lambda item: -abs(item.estimate.value)))


def _explain_merged(case: _Case, shared: Attribution | None) -> tuple[str, ...]:
    if shared is None:
        return ()
    notes = [
        f"{_listed(player)} cannot be separated{_because(case, player)}" for player in shared.shares if len(player) > 1
    ]
    if shared.orders < shared.possible:
        notes.append(
            f"some mixtures could not run, so {shared.orders} of the {shared.possible} orders in which the factors "
            "could have changed are averaged over"
        )
    return tuple(notes)


def _because(case: _Case, player: Player) -> str:
    """Name the error of a failed mixture that takes some, and not all, of these factors from B."""
    for members, run in sorted(case.runs.items(), key=lambda item: len(item[0])):
        if run.error is not None and 0 < len(members & set(player)) < len(player):
            sides = cell_name(case.a, case.b, comparison=case.plan.comparison, from_b=members)
            return f": {sides} does not run ({run.error})"
    return ""


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names) if len(names) < 3 else ", ".join(names[:-1]) + " and " + names[-1]


def _mixtures(case: _Case, values: Mapping[frozenset[str], Value]) -> tuple[Mixture, ...]:
    found = []
    for cell in sorted(case.plan.cells, key=lambda cell: [factor in cell.from_b for factor in case.factors]):
        run = case.runs[cell.from_b]
        value = values.get(cell.from_b)
        sides = {factor: "b" if factor in cell.from_b else "a" for factor in case.factors}
        found.append(
            Mixture(
                sides=sides,
                value=None if value is None else float(value[0]),
                reported=None if run.finished is None else _finite(reported_value(run.finished, case.metric)),
                run_id=None if run.receipt is None else text(run.receipt, "run_id"),
                error=run.error,
                is_new=run.is_new,
            )
        )
    return tuple(found)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
