"""The models that a script fitted: which matter, what they were trained on, and their place among the model events.

A model matters once it was evaluated; if none was, the one that was used last. Only such a model gets an index (its
place among the observed `model` events), its `training` event, and is held until the run ends. A model that is fitted
again after its evaluation is written down first, since the new fit overwrites it.
"""

from __future__ import annotations

import pickle
import threading
import weakref
from dataclasses import dataclass

from lakemark._base.canonical import Json
from lakemark.recorder.content import describe, frames, numpy, predictions, rows_of
from lakemark.recorder.recording import Recording

__all__ = ["FittedModel", "FittedModels", "Training"]

_MOST_ROWS = 5_000_000
_MOST_HELD = 16
_MOST_REFITS = 16


@dataclass(frozen=True, slots=True)
class Training:
    """What a model was fitted on.

    Parameters
    ----------
    rows : int
        Rows of the training frame.
    columns : list of str
        Its columns, or their places where they have no names.
    row_hashes : str or None
        sha256 of the object with the sorted, unique row hashes.
    sample : object
        A copy of the first rows of the frame.
    """

    rows: int
    columns: list[Json]
    row_hashes: str | None
    sample: object


@dataclass(slots=True, eq=False)
class FittedModel:
    """One model in one fitted state.

    Parameters
    ----------
    model : object or None
        The model, where it is held.
    reference : weakref.ref or None
        To the model, where it is not held.
    training : Training or None
        What it was fitted on; None for a model that was loaded, not fitted.
    index : int or None
        Its place among the observed `model` events; None as long as it doesn't matter.
    fields : dict or None
        Its `model` event, where the model itself is gone or about to change.
    """

    model: object | None
    reference: weakref.ref[object] | None
    training: Training | None = None
    index: int | None = None
    fields: dict[str, Json] | None = None

    def get(self) -> object | None:
        """Return the model where it still exists in this state."""
        return self.model if self.reference is None or self.model is not None else self.reference()


class FittedModels:
    """All models that the script fitted or predicted with.

    Parameters
    ----------
    recording : Recording
        Takes the events.
    """

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._lock = threading.RLock()
        self._known: dict[int, FittedModel] = {}
        self._matter: list[FittedModel] = []
        self._refits = 0
        self._hashed_rows = 0
        self.last: FittedModel | None = None

    def before_fit(self, model: object) -> None:
        """Write down a model that was evaluated and is about to be fitted again."""
        with self._lock:
            known = self._find(model)
            if known is None or known.index is None or known.fields is not None:
                return
            if self._refits >= _MOST_REFITS:
                why = "it was fitted again and again after an evaluation; the state that is kept is the last one"
                self._recording.missing(f"model {type(model).__name__}", why)
                return
            self._refits += 1
            self._write_down(known)

    def after_fit(self, model: object, frame: object, labels: object) -> None:
        """Remember a model that was fitted, with what on."""
        training = self._training(frame, labels)
        with self._lock:
            known = self._find(model)
            if known is not None and known.index is None:
                known.model = known.reference = None  # predictions of the old state have no model any more
            if known is None or known.fields is not None or known.index is None:
                known = self._add(model)
            known.training = training
            if self.last is not None and self.last.index is None:
                self.last.model = None if self.last.reference is not None else self.last.model
            known.model = model
            self.last = known

    def of(self, model: object) -> FittedModel:
        """Return what is known of a model; one that was not fitted here is new."""
        with self._lock:
            known = self._find(model)
            return known if known is not None and known.fields is None else self._add(model)

    def index(self, known: FittedModel) -> int | None:
        """Return a model's place among the observed `model` events, and hold it from now on; None if it is gone."""
        with self._lock:
            if known.index is None and known.get() is None:
                return None
            if known.index is None:
                known.index = len(self._matter)
                known.model = known.get()
                self._matter.append(known)
                self._write_training(known)
                held = [one for one in self._matter if one.model is not None and one is not known]
                if len(held) >= _MOST_HELD:
                    self._write_down(held[0])
            return known.index

    def conclude(self) -> None:
        """Write the `model` event of every model that matters, in the order of their indices."""
        for known in self._matter:
            if known.fields is None:
                try:
                    known.fields = self._describe(known)
                except Exception as error:  # noqa: BLE001 - a model's own code; one that fails must not hide the others
                    self._recording.missing("model", f"{type(error).__name__}: {error}"[:300])
            if known.fields is not None:
                self._recording.spool.write("model", index=known.index, **known.fields)

    def again(self, known: FittedModel) -> object | None:
        """Return a model in the state that is meant, from its pickle where it was fitted again since."""
        blob = known.fields.get("blob") if known.fields is not None else None
        if not isinstance(blob, str):
            return known.get()
        model: object = pickle.loads(self._recording.objects.get(blob))  # noqa: S301 - pickled by this very process
        return model

    def _find(self, model: object) -> FittedModel | None:
        known = self._known.get(id(model))
        return known if known is not None and known.get() is model else None

    def _add(self, model: object) -> FittedModel:
        for gone in [key for key, known in self._known.items() if known.get() is None]:
            del self._known[gone]
        try:
            known = FittedModel(None, weakref.ref(model))
        except TypeError:  # a class with slots and no place for weak references
            known = FittedModel(model, None)
        self._known[id(model)] = known
        return known

    def _write_down(self, known: FittedModel) -> None:
        known.fields = self._describe(known)
        if known.fields is not None:
            known.model = None
            known.reference = None
            self._known = {key: one for key, one in self._known.items() if one is not known}

    def _describe(self, known: FittedModel) -> dict[str, Json] | None:
        model, recording = known.get(), self._recording
        if model is None:
            recording.missing("model", "it was gone before the run ended")
            return None
        name = type(model).__name__
        limit = recording.plan.store_limit
        described = describe(model, name=name, objects=recording.objects, limit=limit)
        if described.lacking is not None:
            recording.missing(f"pickle of {name}", described.lacking)
        return dict(described.fields)

    def _training(self, frame: object, labels: object) -> Training | None:
        rows = rows_of(frame)
        if rows is None:
            return None
        names = getattr(frame, "columns", None)
        places = range(*getattr(frame, "shape", ())[1:2] or (1,))
        columns: list[Json] = [str(name) for name in (places if names is None else names)]
        sample = frames().head(frame, self._recording.plan.sample_rows)
        return Training(rows, columns, self._row_hashes(frame, labels, rows=rows), sample)

    def _row_hashes(self, frame: object, labels: object, *, rows: int) -> str | None:
        fact = "row hashes of the training data"
        if self._hashed_rows + rows > _MOST_ROWS:
            self._recording.missing(fact, f"more than {_MOST_ROWS:,} rows in all")
            return None
        self._hashed_rows += rows
        try:
            hashes = frames().row_hashes(frame, labels)
        except Exception as error:  # noqa: BLE001 - a frame that can't be hashed must not cost the model its other facts
            self._recording.missing(fact, str(error)[:300])
            return None
        if hashes is None:
            self._recording.missing(fact, f"{type(frame).__name__} has no rows of a table")
            return None
        return self._recording.objects.put(predictions().encode(numpy().unique(hashes)))

    def _write_training(self, known: FittedModel) -> None:
        training = known.training
        if training is not None and training.row_hashes is not None:
            self._recording.spool.write(
                "training",
                model=known.index,
                rows=training.rows,
                row_hashes=training.row_hashes,
                columns=training.columns,
            )
