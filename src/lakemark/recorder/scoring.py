"""Score stored models on stored rows, inside a run's own environment.

`python -P -m lakemark.recorder.scoring REQUEST ANSWER` reads the request, JSON in a file::

    {objects: folder, metric: function of sklearn.metrics, arguments: {..}, entry: {kind, name}|null,
     cells: [{name, model: sha256 of a pickle, features: {sha256, format}, labels: sha256 of .npy,
              keep: sha256 of .npy|null, method: "predict"|"predict_proba"|.., column: int|null}],
     bootstrap: {replicates: int, seed: int}}

and writes the answer: `{rows: int, cells: {name: {value, whole, replicates: [..]}}}`; or `{error: {type, message}}`,
and exits with 1.

`whole` is the value on all rows, `value` and `replicates` are those on the rows that `keep` names. All cells of a
request, and of any other request with the same seed and number of rows, are resampled by the same row numbers: their
differences are paired. NaN is written as `"NaN"`.

This is a process of the user, with the user's libraries, so it may unpickle the models that the user's own runs stored.
"""

from __future__ import annotations

import json
import math
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from lakemark.models.frames import load
from lakemark.storage.objects import ObjectStore

__all__ = ["CellRequest", "Request", "main", "score"]

Array = NDArray[np.float64]
Metric = Callable[..., float]
Weighted = Callable[[Array], float]
"""The metric of resampled rows, from how often each row was drawn."""


class FrameRequest(TypedDict):
    """A stored frame of features."""

    sha256: str
    format: str


class CellRequest(TypedDict):
    """One model and the rows that it is scored on."""

    name: str
    model: str
    features: FrameRequest
    labels: str
    keep: str | None
    method: str
    column: int | None


class BootstrapRequest(TypedDict):
    """How often the rows are drawn again, and where the generator starts."""

    replicates: int
    seed: int


class EntryRequest(TypedDict):
    """What the run was started with; classes that the script imports lie beside it."""

    kind: str
    name: str


class Request(TypedDict):
    """All that is asked; see the module."""

    objects: str
    metric: str
    arguments: dict[str, object]
    entry: EntryRequest | None
    cells: list[CellRequest]
    bootstrap: BootstrapRequest


def score(request: Request) -> dict[str, object]:
    """Return the answer to a request.

    Notes
    -----
    Metrics that are means over rows, `r2_score` and the binary `roc_auc_score` are resampled by weights, in linear
    time; others call the function itself for each replicate. The fast way is taken only where it agrees with
    scikit-learn's own function on the rows as they are.
    """
    objects = ObjectStore(Path(request["objects"]))
    metric: Metric = getattr(import_module("sklearn.metrics"), request["metric"])
    cells: dict[str, object] = {}
    rows = 0
    for cell in request["cells"]:
        labels = _load_array(objects, cell["labels"])
        predictions = _predict(objects, cell)
        whole = float(metric(labels, predictions, **request["arguments"]))
        if cell["keep"] is not None:
            keep = _load_array(objects, cell["keep"])
            labels, predictions = labels[keep], predictions[keep]
        rows = len(labels)
        value = float(metric(labels, predictions, **request["arguments"]))
        replicates = _resample(metric, (labels, predictions), request=request, value=value)
        cells[cell["name"]] = {
            "value": _number(value),
            "whole": _number(whole),
            "replicates": [_number(replicate) for replicate in replicates],
        }
    return {"rows": rows, "cells": cells}


def _load_array(objects: ObjectStore, sha256: str) -> Array:
    loaded: Array = np.load(BytesIO(objects.get(sha256)), allow_pickle=False)
    return loaded


def _predict(objects: ObjectStore, cell: CellRequest) -> Array:
    model = pickle.loads(objects.get(cell["model"]))  # noqa: S301 - our own object, in the user's own process
    frame = load(cell["features"]["format"], objects.get(cell["features"]["sha256"]))
    predictions = np.asarray(getattr(model, cell["method"])(frame))
    column = cell["column"]
    return predictions if column is None else cast("Array", predictions[:, column])


def _draw(rows: int, bootstrap: BootstrapRequest) -> Iterator[NDArray[np.int64]]:
    """Yield the row numbers of each replicate: drawn anew for each cell, as keeping them would take gigabytes."""
    # RandomState, because numpy promises that its stream is the same in every version: environments may differ
    generator = np.random.RandomState(bootstrap["seed"])
    for _ in range(bootstrap["replicates"]):
        yield generator.randint(0, rows, size=rows, dtype=np.int64)


def _resample(metric: Metric, scored: tuple[Array, Array], *, request: Request, value: float) -> list[float]:
    labels, predictions = scored
    draws = _draw(len(labels), request["bootstrap"])
    arguments = request["arguments"]
    fast = None if arguments else _weighted(request["metric"], labels, predictions)
    if fast is not None and math.isclose(fast(np.ones(len(labels))), value, rel_tol=1e-9, abs_tol=1e-12):
        return [fast(np.bincount(rows, minlength=len(labels)).astype(np.float64)) for rows in draws]
    return [_call(metric, labels[rows], predictions[rows], arguments=arguments) for rows in draws]


def _call(metric: Metric, labels: Array, predictions: Array, *, arguments: Mapping[str, object]) -> float:
    """Call the metric on resampled rows; NaN where they do not define it, as where only one class was drawn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return float(metric(labels, predictions, **arguments))
        except ValueError:
            return math.nan


def _weighted(name: str, labels: Array, predictions: Array) -> Weighted | None:
    """Return the metric as a function of row weights, or None where there is no such form."""
    if labels.ndim != 1 or predictions.shape[:1] != labels.shape:
        return None
    if name == "log_loss":
        return _log_loss(labels, predictions)
    if predictions.ndim != 1:
        return None
    if name == "accuracy_score":
        return _mean((labels == predictions).astype(np.float64))
    if labels.dtype.kind not in "biuf" or predictions.dtype.kind not in "biuf":
        return None
    return _numeric(name, labels.astype(np.float64), predictions.astype(np.float64))


def _numeric(name: str, labels: Array, predictions: Array) -> Weighted | None:
    errors = predictions - labels
    if name == "mean_absolute_error":
        return _mean(np.abs(errors))
    if name == "mean_squared_error":
        return _mean(errors**2)
    if name == "root_mean_squared_error":
        squared = _mean(errors**2)
        return lambda weights: math.sqrt(squared(weights))
    if name == "r2_score":
        return _r2(labels, errors)
    if name == "roc_auc_score":
        return _roc_auc(labels, predictions)
    return None


def _mean(losses: Array) -> Weighted:
    return lambda weights: float(weights @ losses / weights.sum())


def _r2(labels: Array, errors: Array) -> Weighted:
    def value(weights: Array) -> float:
        spread = weights @ (labels - weights @ labels / weights.sum()) ** 2
        return float(1 - weights @ errors**2 / spread) if spread > 0 else math.nan

    return value


def _log_loss(labels: Array, predictions: Array) -> Weighted | None:
    """Return the log loss; the classes are those that are there, as scikit-learn takes them."""
    classes, places = np.unique(labels, return_inverse=True)
    if predictions.dtype.kind != "f" or len(classes) < 2:
        return None
    if predictions.ndim == 1:
        predictions = np.column_stack([1 - predictions, predictions])
    if predictions.shape[1] != len(classes):
        return None
    tiny = np.finfo(predictions.dtype).eps
    likely = np.clip(predictions[np.arange(len(labels)), places], tiny, 1 - tiny)
    return _mean(-np.log(likely.astype(np.float64)))


def _roc_auc(labels: Array, predictions: Array) -> Weighted | None:
    """Return the area under the ROC curve by ranks: sorted once, then each replicate is a few sums."""
    classes = np.unique(labels)
    if len(classes) != 2 or not np.isfinite(predictions).all():
        return None
    order = np.argsort(predictions, kind="stable")
    positive = labels[order] == classes[1]
    starts = np.flatnonzero(np.diff(predictions[order], prepend=-np.inf))

    def value(weights: Array) -> float:
        drawn = weights[order]
        above = np.add.reduceat(np.where(positive, drawn, 0.0), starts)
        below = np.add.reduceat(np.where(positive, 0.0, drawn), starts)
        if not above.sum() or not below.sum():
            return math.nan
        pairs = above @ (np.cumsum(below) - below / 2)
        return float(pairs / (above.sum() * below.sum()))

    return value


def _number(value: float) -> float | str:
    if math.isnan(value):
        return "NaN"
    return value if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"


def _add_import_path(entry: EntryRequest | None) -> None:
    """Let a pickle find the modules beside the script, as the script itself did."""
    folder = Path.cwd()
    if entry is not None and entry["kind"] == "script":
        folder = (folder / entry["name"]).parent
    sys.path.insert(0, str(folder))


def main(arguments: list[str]) -> int:
    """Answer the request in the first file into the second; return the exit code."""
    source, target = (Path(argument) for argument in arguments)
    request: Request = json.loads(source.read_text())
    _add_import_path(request.get("entry"))
    try:
        answer = score(request)
    except Exception as error:  # noqa: BLE001 - the edge of the process: user code of any kind runs above
        answer = {"error": {"type": type(error).__name__, "message": str(error)}}
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    target.write_text(json.dumps(answer))
    return 1 if "error" in answer else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
