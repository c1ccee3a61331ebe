"""The metric of an explanation: which one, where a receipt has it, and whether more of it is better."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lakemark._base.canonical import Json, canonical
from lakemark._base.errors import InvalidInputError, nearest
from lakemark._base.fields import number, records, section, text
from lakemark.reproduce.mixtures import Receipt

__all__ = ["ChosenMetric", "choose_metric", "find_evaluation", "higher_is_better", "reported_value", "same_arguments"]

_HIGHER = frozenset({"matthews_corrcoef", "auc", "average_precision_score", "cohen_kappa_score"})
_LOWER = frozenset({"max_error", "brier_score_loss", "hamming_loss", "zero_one_loss", "coverage_error", "det_curve"})
_NO_SUFFIX = (("_score", True), ("_error", False), ("_loss", False), ("_deviance", False))


@dataclass(frozen=True, slots=True)
class ChosenMetric:
    """A metric of two runs, and how any run's receipt is asked for it.

    Parameters
    ----------
    name : str
        What people call it: the name under which it was logged, else the function's.
    function : str or None
        The function of `sklearn.metrics`; None where the value was only logged.
    ordinal : int
        Which of the evaluations by this function, from 0, in the order of the script.
    key : str or None
        The name under which its value was logged, where it was.
    """

    name: str
    function: str | None
    ordinal: int
    key: str | None


def choose_metric(a: Receipt, b: Receipt, *, name: str | None = None) -> ChosenMetric:
    """Choose the metric that two runs are compared by.

    Parameters
    ----------
    a, b : mapping
        Receipts.
    name : str, optional
        A logged name or a function of `sklearn.metrics`; `name#2` is the second evaluation by it. Default: the first
        evaluation of a model that both runs have, else the only metric that both logged.

    Raises
    ------
    InvalidInputError
        If no metric of both runs has this name, or there is none, or several and nothing tells which.

    Notes
    -----
    A logged value that equals an evaluation's exactly, in both runs, is the same metric under another name.
    """
    seen = list(_evaluated(a, b))
    found = [metric for metric, _ in seen]
    taken = {metric.key for metric in found}
    functions = {metric.function for metric in found}
    logged = [key for key in _logged(a) if key in _logged(b) and key not in taken and key not in functions]
    found += [ChosenMetric(key, None, 0, key) for key in logged]
    if name is not None:
        return _named(found, name)
    linked = [metric for metric, is_linked in seen if is_linked]
    if linked:
        return linked[0]
    if len(found) == 1:
        return found[0]
    if not found:
        raise InvalidInputError(
            "the two runs have no metric in common",
            hint="call a function of sklearn.metrics, or lakemark.log_metric, in the script, and run it again",
        )
    names = ", ".join(metric.name for metric in found)
    raise InvalidInputError(f"which metric is meant: {names}", hint=f"--metric {found[0].name}")


def find_evaluation(receipt: Receipt, metric: ChosenMetric) -> Mapping[str, Json] | None:
    """Return the evaluation of a receipt that is this metric, or None.

    The evaluation whose value was logged under the metric's key comes first, then the one in the same place.
    """
    if metric.function is None:
        return None
    candidates = [item for item in _evaluations(receipt) if text(item, "metric") == metric.function]
    if metric.key is not None:
        value = _logged(receipt).get(metric.key)
        exact = [item for item in candidates if value is not None and number(item, "value") == value]
        if exact:
            return exact[0]
    return candidates[metric.ordinal] if metric.ordinal < len(candidates) else None


def reported_value(receipt: Receipt, metric: ChosenMetric) -> float | None:
    """Return the value that the run itself reported, or None where it reported none."""
    evaluation = find_evaluation(receipt, metric)
    if evaluation is not None:
        return number(evaluation, "value")
    return _logged(receipt).get(metric.key) if metric.key is not None else None


def higher_is_better(function: str | None) -> bool | None:
    """Say whether more of a metric is better; None where that is not known.

    The names of `sklearn.metrics` tell: a `_score` is to be made large, an `_error`, a `_loss` and a `_deviance` small.

    Examples
    --------
    >>> higher_is_better("roc_auc_score"), higher_is_better("mean_absolute_error"), higher_is_better("profit")
    (True, False, None)
    """
    if function is None:
        return None
    if function in _HIGHER or function in _LOWER:
        return function in _HIGHER
    return next((better for suffix, better in _NO_SUFFIX if function.endswith(suffix)), None)


def _evaluations(receipt: Receipt) -> list[Mapping[str, Json]]:
    return records(receipt, "outputs", "evaluations")


def _logged(receipt: Receipt) -> dict[str, float]:
    """Return the latest value of each metric, by step."""
    latest: dict[str, tuple[float, float]] = {}
    for item in records(receipt, "outputs", "metrics"):
        key, value, step = text(item, "key"), number(item, "value"), number(item, "step") or 0.0
        if key is not None and value is not None and (key not in latest or step >= latest[key][0]):
            latest[key] = (step, value)
    return {key: value for key, (_, value) in latest.items()}


def _evaluated(a: Receipt, b: Receipt) -> Iterator[tuple[ChosenMetric, bool]]:
    """Yield the evaluations that both runs made, in A's order, with whether both are of a model that was seen."""
    places: dict[str, int] = {}
    for item in _evaluations(a):
        function = text(item, "metric") or ""
        ordinal = places.get(function, 0)
        places[function] = ordinal + 1
        of_b = [other for other in _evaluations(b) if text(other, "metric") == function]
        if ordinal >= len(of_b):
            continue
        key = _key_of(a, b, values=(number(item, "value"), number(of_b[ordinal], "value")), function=function)
        name = key or (function if ordinal == 0 else f"{function}#{ordinal + 1}")
        linked = item.get("model") is not None and of_b[ordinal].get("model") is not None
        yield ChosenMetric(name, function, ordinal, key), linked


def _key_of(a: Receipt, b: Receipt, *, values: tuple[float | None, float | None], function: str) -> str | None:
    """Return the name that the script logged these values under; else the one that the recorder gave them, if any."""
    logged_a, logged_b = _logged(a), _logged(b)
    keys = [key for key in logged_a if key != function and (logged_a[key], logged_b.get(key)) == values]
    observed = {text(item, "key") for item in records(a, "outputs", "metrics") if text(item, "how") == "observed"}
    chosen = [key for key in keys if key not in observed]
    if not chosen and (logged_a.get(function), logged_b.get(function)) != values:
        chosen = keys
    return chosen[0] if chosen else None


def _named(found: list[ChosenMetric], name: str) -> ChosenMetric:
    for metric in found:
        places = {metric.function, f"{metric.function}#1"} if metric.ordinal == 0 else set()
        if name in {metric.name, metric.key, f"{metric.function}#{metric.ordinal + 1}"} | places:
            return metric
    names = [metric.name for metric in found]
    close = nearest(name, names)
    listed = ", ".join(names) or "none"
    raise InvalidInputError(
        f"no metric {name!r} in both runs; there are: {listed}", hint=f"--metric {close}" if close else None
    )


def same_arguments(one: Mapping[str, Json], other: Mapping[str, Json]) -> bool:
    """Return True where two evaluations called the function with the same keyword arguments."""
    return canonical(section(one, "arguments")) == canonical(section(other, "arguments"))
