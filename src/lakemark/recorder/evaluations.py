"""Evaluations: which model, on which rows, a score was computed from.

The last predictions are remembered. A metric's `y_pred` is traced back to one of them by identity, by being a column
of it, or by equal values. What was changed in between (clipped, averaged, thresholded) is no prediction of a model
any more: the evaluation is written without a model, and says so.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

from lakemark._base.canonical import Json
from lakemark._base.clock import now_ms
from lakemark.recorder.content import Array, frames, numpy, predictions, rows_of
from lakemark.recorder.fitted import FittedModel, FittedModels
from lakemark.recorder.recording import Recording

__all__ = ["Evaluations", "Prediction"]

_MOST_CALLS = 8
_MOST_BYTES_IN_ALL = 1 << 30
_MOST_LISTED = 1_000


@dataclass(slots=True, eq=False)
class Prediction:
    """One call of a model, remembered.

    Parameters
    ----------
    model : FittedModel
        Whose call.
    method : str
        `"predict"`, `"predict_proba"` or `"decision_function"`.
    frame : object of shape (n, k)
        What it was given.
    result : object
        What it returned; None for a score.
    plain : bool
        Whether it got nothing but the frame.
    size : int
        Bytes of the frame.
    digest : str or None
        Of the result as it was returned: a script may change it in place.
    kept : dict or None
        The frame, once it is stored.
    hashed : list
        Labels with the sha256 of the row hashes that were stored for them.
    """

    model: FittedModel
    method: str
    frame: object
    result: object
    plain: bool
    size: int = 0
    digest: str | None = None
    kept: dict[str, Json] | None = None
    hashed: list[tuple[object, str | None]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Score:
    """A metric's value and where it was computed."""

    metric: str
    value: object
    arguments: Mapping[str, object]
    where: str


class Evaluations:
    """Remembers predictions and writes `metric` and `evaluation` events.

    Parameters
    ----------
    recording : Recording
        Takes the events.
    fitted : FittedModels
        Knows the models.
    """

    def __init__(self, recording: Recording, fitted: FittedModels) -> None:
        self._recording = recording
        self._fitted = fitted
        self._lock = threading.RLock()
        self._calls: deque[Prediction] = deque(maxlen=_MOST_CALLS)
        self._keys: dict[tuple[str, str], str] = {}
        self._steps: dict[str, int] = {}
        self.last: Prediction | None = None

    @property
    def latest_call(self) -> Prediction | None:
        """The prediction that was made last."""
        return self._calls[-1] if self._calls else None

    def predicted(self, model: object, frame: object, *, method: str, result: object, plain: bool) -> None:
        """Remember a prediction."""
        size = frames().size_of(frame)
        call = Prediction(self._fitted.of(model), method, _as_it_is_now(frame), result, plain, size, _digest(result))
        with self._lock:
            self._calls.append(call)
            while len(self._calls) > 1 and sum(one.size for one in self._calls) > _MOST_BYTES_IN_ALL:
                self._calls.popleft()

    def scored(self, model: object, frame: object, labels: object, *, metric: str, value: object) -> None:
        """Record `model.score(frame, labels)`."""
        where = self._recording.where()
        call = Prediction(self._fitted.of(model), "predict", _as_it_is_now(frame), None, plain=True)
        score = _Score(metric, value, {}, where)
        if self._write_metric(score):
            self._write_evaluation(score, labels, link=(call, None))

    def measured(
        self, metric: str, *, value: object, pair: tuple[object, object], arguments: Mapping[str, object]
    ) -> None:
        """Record a metric of `(y_true, y_pred)`."""
        score = _Score(metric, value, arguments, self._recording.where())
        if not self._write_metric(score):
            return
        labels, values = pair
        unsaid = sorted(name for name, argument in arguments.items() if not _is_said(name, argument))
        link = self._trace(values)
        if unsaid:
            self._unlinked(score, f"its argument {', '.join(unsaid)} is not kept")
        elif link is None:
            self._unlinked(score, "what was scored is not what a model predicted, but made from it or from elsewhere")
        elif not link[0].plain:
            self._unlinked(score, f"{link[0].method} was called with more than the frame")
        else:
            self._write_evaluation(score, labels, link=link)
            return
        self._write_evaluation(score, labels, link=None)

    def _unlinked(self, score: _Score, why: str) -> None:
        self._recording.missing("model of an evaluation", f"{score.metric} at {score.where}: {why}")

    def _write_metric(self, score: _Score) -> bool:
        """Write a `metric` event; False for what is no single number.

        The key is the function's name. A second place in the script that calls the same function gets `name_2`, so
        that train and test scores stay apart; one place that is reached again counts its steps up.
        """
        number = _number(score.value)
        if number is None:
            return False
        with self._lock:
            place = (score.metric, score.where)
            if place not in self._keys:
                before = sum(metric == score.metric for metric, _ in self._keys)
                self._keys[place] = score.metric if not before else f"{score.metric}_{before + 1}"
            key = self._keys[place]
            step = self._steps[key] = self._steps.get(key, -1) + 1
        self._recording.spool.write("metric", key=key, value=number, step=step, timestamp=now_ms(), how="observed")
        return True

    def _trace(self, values: object) -> tuple[Prediction, int | None] | None:
        """Find the prediction that `values` are, newest first."""
        with self._lock:
            calls = [call for call in reversed(self._calls) if call.result is not None]
        calls = [call for call in calls if call.digest == _digest(call.result)]
        for call in calls:
            if call.result is values:
                return call, None
        array = numpy().asarray(values)
        for call in calls:
            found, column = _find(array, numpy().asarray(call.result))
            if found:
                return call, column
        return None

    def _write_evaluation(self, score: _Score, labels: object, *, link: tuple[Prediction, int | None] | None) -> None:
        call, column = link if link is not None else (None, None)
        fields: dict[str, Json] = {
            "metric": score.metric,
            "arguments": {name: _said(value) for name, value in score.arguments.items() if _is_said(name, value)},
            "value": _number(score.value),
            "rows": rows_of(labels),
            "model": None,
            "method": None,
            "column": column,
            "features": None,
            "labels": None,
            "row_hashes": None,
            "where": score.where,
        }
        index = self._fitted.index(call.model) if call is not None else None
        if call is not None and index is None:
            self._unlinked(score, "the model was gone, or fitted again, before its predictions were scored")
        elif call is not None:
            fields |= {"model": index, "method": call.method}
            fields |= {"features": self._keep(call), "labels": self._keep_labels(labels)}
            fields["row_hashes"] = self._row_hashes(call, labels)
            self.last = call
        self._recording.spool.write("evaluation", **fields)

    def _keep(self, call: Prediction) -> dict[str, Json] | None:
        """Store the frame of a prediction, once."""
        if call.kept is None:
            limit = self._recording.plan.store_limit
            kept = frames().keep(call.frame) if call.size <= limit else None
            if kept is None or len(kept.data) > limit:
                self._recording.missing("evaluation frame", f"it is larger than {limit:,} bytes")
                return None
            call.kept = {"sha256": self._recording.objects.put(kept.data), "format": kept.format}
        return call.kept

    def _keep_labels(self, labels: object) -> str:
        return self._recording.objects.put(predictions().encode(labels))

    def _row_hashes(self, call: Prediction, labels: object) -> str | None:
        for known, digest in call.hashed:
            if known is labels:
                return digest
        digest = None
        try:
            hashes = frames().row_hashes(call.frame, labels)
        except Exception as error:  # noqa: BLE001 - a frame that can't be hashed must not cost the evaluation its facts
            self._recording.missing("row hashes of an evaluation", str(error)[:300])
        else:
            if hashes is not None:
                digest = self._recording.objects.put(predictions().encode(hashes))
            else:
                why = f"{type(call.frame).__name__} has no rows of a table"
                self._recording.missing("row hashes of an evaluation", why)
        call.hashed.append((labels, digest))
        return digest


def _as_it_is_now(frame: object) -> object:
    """Return a frame that columns are not added to: scripts like to put predictions into what they predicted from."""
    module = type(frame).__module__.partition(".")[0]
    if module == "pandas":
        return cast("Callable[..., object]", getattr(frame, "copy"))(deep=False)  # noqa: B009 - untyped here
    if module == "polars":
        return cast("Callable[[], object]", getattr(frame, "clone"))()  # noqa: B009 - untyped here
    return frame


def _digest(result: object) -> str:
    return hashlib.sha256(numpy().asarray(result).tobytes()).hexdigest()


def _find(values: Array, result: Array) -> tuple[bool, int | None]:
    """Return whether `values` are `result`, or which column of it."""
    if values.shape[:1] != result.shape[:1] or not values.shape:
        return False, None
    if values.shape == result.shape or 1 in {*values.shape[1:], *result.shape[1:]}:
        if _equal(values.ravel(), result.ravel()):
            return True, 0 if result.ndim == 2 and values.ndim == 1 else None
        return False, None
    if values.ndim == 1 and result.ndim == 2:
        for column in range(result.shape[1]):
            if _equal(values, result[:, column]):
                return True, column
    return False, None


def _equal(a: Array, b: Array) -> bool:
    """Compare the first values, then all: most candidates differ at once."""
    same = numpy().array_equal
    return a.shape == b.shape and same(a[:16], b[:16]) and same(a, b)


def _number(value: object) -> float | None:
    """Return a metric's value as a float; None for tables, tuples and texts."""
    if isinstance(value, bool | int | float):
        return float(value)
    if getattr(value, "shape", None) == () and getattr(getattr(value, "dtype", None), "kind", "") in "fiub":
        return float(cast("float", value))
    return None


def _is_said(name: str, value: object) -> bool:
    """Return True for an argument that is kept: not weights, which belong to rows, and what JSON can hold."""
    return name != "sample_weight" and _is_sayable(value)


def _is_sayable(value: object) -> bool:
    """Return True for an argument that JSON can hold."""
    value = _said_or_self(value)
    if value is None or isinstance(value, bool | int | float | str):
        return True
    return isinstance(value, list) and len(value) <= _MOST_LISTED and all(_is_sayable(item) for item in value)


def _said(value: object) -> Json:
    return cast("Json", _said_or_self(value))


def _said_or_self(value: object) -> object:
    """Turn numpy's numbers and arrays, and tuples, into what JSON has."""
    if isinstance(value, list | tuple):
        return [_said_or_self(item) for item in value]
    to_list = getattr(value, "tolist", None)
    return to_list() if callable(to_list) else value
