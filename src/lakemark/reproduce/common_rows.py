"""The common rows: one set of test rows on which the models of all mixtures are scored, so that only the models differ.

A mixture's model is scored on the test rows of the mixture that has the same code, params and env, and the data of the
chosen side: the same rows, in the form in which this code hands them to its model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from lakemark._base.canonical import Json
from lakemark._base.errors import LakemarkError
from lakemark._base.fields import number, records, section, text
from lakemark.reproduce.metrics import ChosenMetric, find_evaluation, same_arguments
from lakemark.reproduce.mixtures import Receipt, Replayer
from lakemark.reproduce.shapley import Value
from lakemark.storage.objects import ObjectStore

__all__ = ["CommonRows", "NotHeldFixedError", "Scored", "score_on_common_rows"]

_FEWEST = 30
"""Rows below which a common set says nothing worth telling."""

_LETTER = {"a": "A", "b": "B"}


class NotHeldFixedError(LakemarkError):
    """The test rows could not be held fixed; the message says why."""

    code = "not_held_fixed"


@dataclass(frozen=True, slots=True)
class CommonRows:
    """How the models are to be scored.

    Parameters
    ----------
    side : {"a", "b"}
        Whose data the test rows come from.
    factors : tuple of str
        The factors that differ.
    replicates : int
        Bootstrap replicates.
    seed : int
        Where the bootstrap's generator starts.
    """

    side: str
    factors: tuple[str, ...]
    replicates: int = 500
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Scored:
    """The metric of each mixture's model on the common rows.

    Parameters
    ----------
    values : mapping of set of factors to array, shape (1 + replicates,)
        The value first, then the bootstrap replicates. Mixtures without test rows of their own are not there.
    rows : int
        How many rows.
    dropped : int
        Rows that were left out, because a model was trained on them.
    notes : tuple of str
        What a reader must know.
    """

    values: Mapping[frozenset[str], Value]
    rows: int
    dropped: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Pairing:
    """A model and the frame that it is scored on."""

    of: Receipt
    model: Mapping[str, Json]
    trained_by: Mapping[str, Json]
    evaluation: Mapping[str, Json]


def score_on_common_rows(
    cells: Mapping[frozenset[str], Receipt],
    rows: CommonRows,
    *,
    metric: ChosenMetric,
    replayer: Replayer,
    objects: ObjectStore,
) -> Scored:
    """Score the models of all mixtures on one set of rows.

    Parameters
    ----------
    cells : mapping of set of factors to receipt
        The mixtures that ran, by the factors that they have from B.
    rows : CommonRows
        Which rows, and how often they are resampled.
    metric : ChosenMetric
        What is computed.
    replayer : Replayer
        Scores in the environment of a run.
    objects : ObjectStore
        Holds models, frames and labels; takes the numbers of the rows that are kept.

    Raises
    ------
    NotHeldFixedError
        If the rows cannot be the same for all, with the reason.
    """
    pairings = _pair(cells, rows, metric=metric)
    _check_labels(pairings)
    keep, dropped, notes = _rows_not_trained_on(pairings, objects)
    groups: dict[tuple[bool, bool], dict[str, frozenset[str]]] = {}
    for members in pairings:
        key = "env" in members, "code" in members  # one process for all that share an environment and a code tree
        groups.setdefault(key, {})[_label(members)] = members
    arguments = section(pairings[frozenset(rows.factors if rows.side == "b" else ())].evaluation, "arguments")
    values: dict[frozenset[str], Value] = {}
    whole: dict[frozenset[str], float] = {}
    for group in groups.values():
        request: dict[str, Json] = {
            "objects": str(objects.folder),
            "metric": metric.function,
            "arguments": arguments,
            "entry": section(pairings[next(iter(group.values()))].of, "inputs", "code", "entry") or None,
            "cells": [_cell_request(name, pairings[members], keep) for name, members in group.items()],
            "bootstrap": {"replicates": rows.replicates, "seed": rows.seed},
        }
        inputs = section(pairings[next(iter(group.values()))].of, "inputs")
        answers = _ask(replayer, request, inputs=inputs)
        for name, members in group.items():
            whole[members] = number(answers, name, "whole") or 0.0
            values[members] = _read_values(section(answers, name), rows.replicates)
    notes += _check_reported(pairings, whole)
    return Scored(values, rows=_count_rows(pairings) - dropped, dropped=dropped, notes=notes)


def _label(members: frozenset[str]) -> str:
    return "+".join(sorted(members)) or "none"


def _pair(
    cells: Mapping[frozenset[str], Receipt], rows: CommonRows, *, metric: ChosenMetric
) -> dict[frozenset[str], _Pairing]:
    if metric.function is None:
        raise NotHeldFixedError(f"{metric.name} was only logged as a number: the rows behind it are not known")
    pairings: dict[frozenset[str], _Pairing] = {}
    for members, receipt in cells.items():
        target = members
        if "data" in rows.factors:
            target = members | {"data"} if rows.side == "b" else members - {"data"}
        framed = cells.get(target)
        if framed is not None:
            pairings[members] = _pair_one(receipt, framed, metric=metric)
    ends = frozenset[str](), frozenset(rows.factors)
    if not all(end in pairings for end in ends):
        other = "a" if rows.side == "b" else "b"
        raise NotHeldFixedError(
            f"the script of {_LETTER[other]} does not run on the data of {_LETTER[rows.side]}, so it has no rows of it",
            hint=f"--evaluate-on {other}",
        )
    return pairings


def _pair_one(receipt: Receipt, framed: Receipt, *, metric: ChosenMetric) -> _Pairing:
    own, evaluation = find_evaluation(receipt, metric), find_evaluation(framed, metric)
    if own is None or evaluation is None:
        raise NotHeldFixedError(f"one of the mixtures does not compute {metric.function}")
    if not same_arguments(own, evaluation):
        raise NotHeldFixedError(f"{metric.function} is called with other arguments in one of the mixtures")
    place = number(own, "model")
    models = [row for row in records(receipt, "outputs", "models") if number(row, "index") == place]
    if place is None or not models:
        raise NotHeldFixedError(f"the values that {metric.function} got are not a model's predictions as they are")
    model = models[0]
    if text(model, "blob") is None:
        raise NotHeldFixedError("a model was not stored: it is too large or cannot be pickled")
    if not section(evaluation, "features") or text(evaluation, "labels") is None:
        raise NotHeldFixedError("the test rows were not stored: they are too large or of an unknown kind")
    return _Pairing(receipt, model, own, evaluation)


def _check_labels(pairings: Mapping[frozenset[str], _Pairing]) -> None:
    if len({text(pairing.evaluation, "labels") for pairing in pairings.values()}) > 1:
        raise NotHeldFixedError("code or params change which rows are tested on, or their labels")


def _count_rows(pairings: Mapping[frozenset[str], _Pairing]) -> int:
    return int(number(next(iter(pairings.values())).evaluation, "rows") or 0)


def _rows_not_trained_on(
    pairings: Mapping[frozenset[str], _Pairing], objects: ObjectStore
) -> tuple[str | None, int, tuple[str, ...]]:
    """Return the object with the row numbers that are left (None: all), how many are not, and notes."""
    rows = _count_rows(pairings)
    trained = np.zeros(rows, dtype=np.bool_)
    unknown = 0
    for pairing in pairings.values():
        overlap = _trained_on(pairing, objects)
        if overlap is None or len(overlap) != rows:
            unknown += 1
        else:
            trained |= overlap
    notes = ("for some models it is not known which rows they were trained on",) if unknown else ()
    dropped = int(trained.sum())
    if not dropped:
        return None, 0, notes
    if rows - dropped < _FEWEST:
        raise NotHeldFixedError(f"{dropped:,} of the {rows:,} test rows are rows that one of the models was trained on")
    buffer = BytesIO()
    np.save(buffer, np.flatnonzero(~trained).astype(np.int64))
    return objects.put(buffer.getvalue()), dropped, notes


def _trained_on(pairing: _Pairing, objects: ObjectStore) -> NDArray[np.bool_] | None:
    """Return which test rows a model was trained on; None where it is not known."""
    hashes = text(pairing.evaluation, "row_hashes")
    trainings = records(pairing.of, "outputs", "trainings")
    place = number(pairing.trained_by, "model")
    own = [item for item in trainings if number(item, "model") == place] or trainings
    trained = [text(item, "row_hashes") for item in own]
    if hashes is None or not trained or None in trained:
        return None
    tested = _load(objects, hashes)
    return np.isin(tested, np.concatenate([_load(objects, sha256) for sha256 in trained if sha256 is not None]))


def _load(objects: ObjectStore, sha256: str) -> NDArray[np.uint64]:
    loaded: NDArray[np.uint64] = np.load(BytesIO(objects.get(sha256)), allow_pickle=False)
    return loaded


def _cell_request(name: str, pairing: _Pairing, keep: str | None) -> dict[str, Json]:
    features = section(pairing.evaluation, "features")
    return {
        "name": name,
        "model": text(pairing.model, "blob"),
        "features": {"sha256": features.get("sha256"), "format": features.get("format")},
        "labels": text(pairing.evaluation, "labels"),
        "keep": keep,
        "method": text(pairing.trained_by, "method") or "predict",
        "column": pairing.trained_by.get("column"),
    }


def _ask(replayer: Replayer, request: Mapping[str, Json], *, inputs: Mapping[str, Json]) -> Mapping[str, Json]:
    try:
        answer = replayer.score(request, inputs=inputs)
    except LakemarkError as error:
        raise NotHeldFixedError(f"the models could not be scored again: {error.message}") from error
    if section(answer, "error"):
        kind, message = text(answer, "error", "type"), text(answer, "error", "message") or ""
        reason = message.strip().splitlines()[-1] if message.strip() else ""
        raise NotHeldFixedError(f"a model could not be scored on the rows of another run: {kind}: {reason}")
    return section(answer, "cells")


def _read_values(answer: Mapping[str, Json], replicates: int) -> Value:
    listed = answer.get("replicates")
    items = listed if isinstance(listed, list | tuple) else []
    numbers = [number(answer, "value"), *(number({"value": item}, "value") for item in items)]
    if len(numbers) != replicates + 1 or numbers[0] is None or not math.isfinite(numbers[0]):
        raise NotHeldFixedError("scoring the models again gave no finite value for one of the mixtures")
    return np.asarray([math.nan if item is None else item for item in numbers], dtype=np.float64)


def _check_reported(
    pairings: Mapping[frozenset[str], _Pairing], whole: Mapping[frozenset[str], float]
) -> tuple[str, ...]:
    """Say so where a stored model, scored on its own test rows, does not give what its run reported."""
    wrong = 0
    for members, pairing in pairings.items():
        value = number(pairing.evaluation, "value")
        if pairing.trained_by is pairing.evaluation and value is not None:
            wrong += not math.isclose(whole[members], value, rel_tol=1e-6, abs_tol=1e-9)
    if not wrong:
        return ()
    return (f"{wrong} stored model(s), scored again on their own test rows, do not give the value that was reported",)
