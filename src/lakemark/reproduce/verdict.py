"""The verdict: how equal a replay is to the run that it repeats, level 0 to 5, with a tick for each part.

A verdict is a document of its own, `lakemark.verdict/1`, that names the digests of both receipts; a receipt never
changes after its run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum

from lakemark._base.canonical import Json
from lakemark._base.fields import number, records, section, text
from lakemark._base.ids import short
from lakemark.capture.comparison import Difference, Part, compare_inputs
from lakemark.models.predictions import Comparison, compare
from lakemark.storage.objects import ObjectStore

__all__ = ["SCHEMA", "Check", "Level", "Verdict", "could_not_run", "judge"]

SCHEMA = "lakemark.verdict/1"

TOLERANCE = 1e-6
"""Level 3: the largest difference of two predictions, as a share of the predictions' scale."""


_SCORE_TOLERANCE = 1e-4
"""Level 3: how far a score may move with predictions that are within `TOLERANCE`; squares and logarithms stretch."""


class Level(IntEnum):
    """How equal two runs are; more is better."""

    COULD_NOT_RUN = 0
    DIFFERS = 1
    STATISTICALLY_EQUIVALENT = 2
    NUMERICALLY_EQUAL = 3
    SAME_PREDICTIONS = 4
    SAME_MODEL = 5

    @property
    def title(self) -> str:
        """What people are shown.

        Examples
        --------
        >>> Level.SAME_MODEL.title
        'bit-exact model'
        """
        return _TITLES[self]


_TITLES = {
    Level.COULD_NOT_RUN: "could not run",
    Level.DIFFERS: "differs",
    Level.STATISTICALLY_EQUIVALENT: "statistically equivalent",
    Level.NUMERICALLY_EQUAL: "numerically equal",
    Level.SAME_PREDICTIONS: "bit-exact predictions",
    Level.SAME_MODEL: "bit-exact model",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One part of a run that was compared.

    Parameters
    ----------
    name : str
        The part: code, environment, data, params, seeds, compute, metrics, predictions, model.
    same : bool or None
        None where it could not be compared.
    detail : str
        What it is, or what is different.
    """

    name: str
    same: bool | None
    detail: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a reproduction.

    Parameters
    ----------
    level : Level
        0 to 5.
    run_id : str
        The run that was repeated.
    replay_run_id : str or None
        The run that repeated it; None where it did not come to that.
    checks : tuple of Check
        The parts, inputs first.
    differences : tuple of Difference
        Inputs that are not the same, named; the likely causes of a level below 4.
    reason : str or None
        Why it could not run, or what the level rests on where it is not the usual.
    hint : str or None
        The next command.
    max_abs_difference : float or None
        Of the predictions on the pinned sample, in units of the target.
    label_flips : int or None
        Rows of the sample whose predicted label is another.
    """

    level: Level
    run_id: str
    replay_run_id: str | None
    checks: tuple[Check, ...] = ()
    differences: tuple[Difference, ...] = ()
    reason: str | None = None
    hint: str | None = None
    max_abs_difference: float | None = None
    label_flips: int | None = None

    def to_json(self) -> dict[str, Json]:
        """Return the document `lakemark.verdict/1`."""
        fields = asdict(self)
        return {"schema": SCHEMA, **fields, "level": int(self.level), "title": self.level.title}


def could_not_run(
    original: Mapping[str, Json], *, stage: str, reason: str, hint: str | None, replay_run_id: str | None = None
) -> Verdict:
    """Return the verdict of level 0."""
    return Verdict(
        Level.COULD_NOT_RUN,
        run_id=str(original["run_id"]),
        replay_run_id=replay_run_id,
        reason=f"{stage}: {reason}",
        hint=hint,
    )


def judge(original: Mapping[str, Json], replay: Mapping[str, Json], *, objects: ObjectStore) -> Verdict:
    """Compare the receipt of a replay with that of its original.

    Parameters
    ----------
    original, replay : mapping
        Two receipts; both runs must have finished.
    objects : ObjectStore
        Holds the predictions of both.

    Returns
    -------
    Verdict
        Level 1 to 5. Level 2 needs a measured noise band, see `lakemark.reproduce.noise`.
    """
    differences = compare_inputs(section(original, "inputs"), section(replay, "inputs"))
    outputs = section(original, "outputs"), section(replay, "outputs")
    predictions = _compare_predictions(*outputs, objects=objects)
    metrics = _metrics_check(*outputs)
    model = _model_check(*outputs)
    level, reason = _level(model, metrics, predictions, moved=_moved(*outputs, predictions))
    return Verdict(
        level,
        run_id=str(original["run_id"]),
        replay_run_id=str(replay["run_id"]),
        checks=(
            *_input_checks(original, differences, unknown=_unknown_data(original, replay)),
            metrics,
            _predictions_check(predictions),
            model,
        ),
        differences=differences,
        reason=reason,
        max_abs_difference=predictions.max_abs_diff if predictions else None,
        label_flips=predictions.flips if predictions else None,
    )


def _level(
    model: Check, metrics: Check, predictions: Comparison | None, *, moved: Sequence[str]
) -> tuple[Level, str | None]:
    if moved and (model.same or (predictions is not None and predictions.equal)):
        same = "the model is the same" if model.same else "the predictions of the pinned sample are the same"
        return Level.DIFFERS, f"{same}, but not {', '.join(moved[:3])}: other rows or other models were scored"
    if model.same and (predictions is None or predictions.equal):
        return Level.SAME_MODEL, None
    if predictions is None:
        return _level_by_metrics(model, metrics)
    if predictions.equal:
        return Level.SAME_PREDICTIONS, None
    if predictions.max_abs_diff <= TOLERANCE * predictions.scale and not predictions.flips and not moved:
        return Level.NUMERICALLY_EQUAL, None
    return Level.DIFFERS, "the model is the same, but what it predicts is not" if model.same else None


def _moved(a: Mapping[str, Json], b: Mapping[str, Json], predictions: Comparison | None) -> list[str]:
    """Return the scores that were computed from predictions and are not what they were.

    Values that a script logs are left out: they may be seconds. Predictions that are numerically equal move a score by
    as little.
    """
    slack = None if predictions is None or predictions.equal else TOLERANCE * predictions.scale
    old, new = (_points(outputs, how="observed") for outputs in (a, b))
    return [key for key, values in old.items() if not _are_close(values, new.get(key, []), slack=slack)]


def _are_close(a: Sequence[Json], b: Sequence[Json], *, slack: float | None) -> bool:
    if slack is None or a == b or len(a) != len(b):
        return a == b
    pairs = [(number({"": one}, ""), number({"": other}, "")) for one, other in zip(a, b, strict=True)]
    return all(
        one is not None and other is not None and math.isclose(one, other, rel_tol=_SCORE_TOLERANCE, abs_tol=slack)
        for one, other in pairs
    )


def _unknown_data(*receipts: Mapping[str, Json]) -> str | None:
    """Say what a run read that is not kept, so that nobody knows whether the other read the same."""
    said = [
        str(row["why"])
        for receipt in receipts
        for row in records(receipt, "completeness", "missing")
        if row["fact"] == "data" and not str(row["why"]).startswith("no content hash")
    ]
    return said[0] if said else None


def _level_by_metrics(model: Check, metrics: Check) -> tuple[Level, str | None]:
    if model.same is None and metrics.same:
        return Level.NUMERICALLY_EQUAL, "no fitted model and no predictions were seen; the metrics are equal"
    if model.same is None and metrics.same is None:
        return Level.DIFFERS, "there is nothing to compare: no metrics, no predictions and no fitted model were seen"
    return Level.DIFFERS, None


def _compare_predictions(a: Mapping[str, Json], b: Mapping[str, Json], *, objects: ObjectStore) -> Comparison | None:
    old, new = section(a, "predictions"), section(b, "predictions")
    if not old or not new:
        return None
    return compare(objects.get(str(old["values"])), objects.get(str(new["values"])))


_CHECKED = {
    "code": Part.CODE,
    "environment": Part.ENV,
    "data": Part.DATA,
    "params": Part.PARAMS,
    "seeds": Part.RANDOMNESS,
    "compute": Part.COMPUTE,
}


def _input_checks(
    original: Mapping[str, Json], differences: Sequence[Difference], *, unknown: str | None
) -> tuple[Check, ...]:
    described = _described(section(original, "inputs"))
    checks = []
    for name, part in _CHECKED.items():
        other = [difference for difference in differences if difference.part is part]
        detail = "; ".join(f"{difference.name}: {difference.detail}" for difference in other)
        if part is Part.DATA and unknown is not None and not other:
            checks.append(Check(name, same=None, detail=f"{described[name]}; not known: {unknown}"))
        else:
            checks.append(Check(name, same=not other, detail=detail or described[name]))
    return tuple(checks)


def _described(inputs: Mapping[str, Json]) -> dict[str, str]:
    """Say in a few words what each input is."""
    code, env, compute = section(inputs, "code"), section(inputs, "env"), section(inputs, "compute")
    data, randomness = section(inputs, "data"), section(inputs, "randomness")
    tables = [f"{str(row['uri']).rsplit('/', 1)[-1]} at version {row['version']}" for row in records(data, "tables")]
    files = len(records(data, "files"))
    read = [*tables, *([f"{files} {'file' if files == 1 else 'files'}"] if files else [])]
    params = section(section(inputs, "params"), "values")
    return {
        "code": f"snapshot {short(str(code.get('tree')))}"
        + (" (uncommitted changes included)" if code.get("dirty") and code.get("commit") else ""),
        "environment": f"Python {text(env, 'python', 'version')}, {len(records(env, 'packages'))} locked packages",
        "data": ", ".join(read) or "nothing was read",
        "params": ", ".join(f"{key}={value}" for key, value in params.items()) or "none",
        "seeds": f"root seed {randomness.get('root_seed')}, {len(records(randomness, 'seeds'))} set by the script",
        "compute": f"{compute.get('cpu_model')}, {compute.get('cores')} cores",
    }


def _metrics_check(a: Mapping[str, Json], b: Mapping[str, Json]) -> Check:
    """Compare every point of the metrics that the original has; a replay may see more, where it is watched longer."""
    old, new = (_points(outputs) for outputs in (a, b))
    if not old:
        return Check("metrics", same=None, detail="none were seen")
    moved = [key for key, values in old.items() if new.get(key) != values]
    if not moved:
        said = [f"{key} {_figure(values[-1])}" for key, values in old.items()]
        return Check("metrics", same=True, detail=", ".join(said[-3:]))
    said = [f"{key} {_figure(old[key][-1])} -> {_figure(new[key][-1]) if key in new else 'none'}" for key in moved]
    return Check("metrics", same=False, detail=", ".join(said[:3]))


def _points(outputs: Mapping[str, Json], *, how: str | None = None) -> dict[str, list[Json]]:
    points: dict[str, list[Json]] = {}
    for row in records(outputs, "metrics"):
        if how is not None and row.get("how") != how:
            continue
        points.setdefault(str(row["key"]), []).append(row["value"])
    return points


def _figure(value: Json) -> str:
    return f"{value:.6g}" if isinstance(value, float) and math.isfinite(value) else str(value)


def _predictions_check(predictions: Comparison | None) -> Check:
    if predictions is None:
        return Check("predictions", same=None, detail="no pinned sample")
    if predictions.equal:
        return Check("predictions", same=True, detail=f"{predictions.rows:,} rows of the pinned sample")
    flips = f", {predictions.flips:,} labels flipped" if predictions.flips else ""
    return Check("predictions", same=False, detail=f"largest difference {predictions.max_abs_diff:.3g}{flips}")


def _model_check(a: Mapping[str, Json], b: Mapping[str, Json]) -> Check:
    old = [str(row["fingerprint"]) for row in records(a, "models")]
    new = [str(row["fingerprint"]) for row in records(b, "models")]
    if not old:
        return Check("model", same=None, detail="no fitted model was seen")
    if old == new:
        classes = ", ".join(str(row["class_name"]).rsplit(".", 1)[-1] for row in records(a, "models"))
        return Check("model", same=True, detail=f"{classes} {short(old[-1])}")
    return Check("model", same=False, detail=f"{short(old[-1])} -> {short(new[-1]) if new else 'none'}")
