"""A model as a run keeps it: what it is by content, and its pickle among the objects."""

from __future__ import annotations

from dataclasses import dataclass

from lakemark._base.canonical import Json
from lakemark.models.fingerprints import fingerprint
from lakemark.models.pickles import pickle_within
from lakemark.storage.objects import ObjectStore

__all__ = ["DescribedModel", "describe"]


@dataclass(frozen=True, slots=True)
class DescribedModel:
    """A model as the `model` event says it.

    Parameters
    ----------
    fields : dict of str to Json
        All of the event: name, flavor, class_name, fingerprint, weak, structure, weights, blob, how.
    lacking : str or None
        Why `blob` is None, where it is.
    """

    fields: dict[str, Json]
    lacking: str | None


def describe(model: object, *, name: str, how: str, objects: ObjectStore, limit: int) -> DescribedModel:
    """Fingerprint a model and put its pickle among the objects.

    Parameters
    ----------
    model : object
        The fitted model.
    name : str
        What people call it.
    how : {"observed", "declared"}
        Whether the run's script was watched, or said it itself.
    objects : ObjectStore
        Takes the pickle.
    limit : int
        Bytes that the pickle may have; a larger one is not kept.
    """
    seen = fingerprint(model)
    blob, lacking = _store(model, objects=objects, limit=limit)
    fields: dict[str, Json] = {
        "name": name,
        "flavor": seen.flavor,
        "class_name": seen.class_name,
        "fingerprint": seen.digest,
        "weak": seen.weak,
        "structure": seen.structure,
        "weights": seen.weights,
        "blob": blob,
        "how": how,
    }
    return DescribedModel(fields, lacking)


def _store(model: object, *, objects: ObjectStore, limit: int) -> tuple[str | None, str | None]:
    try:
        data = pickle_within(model, limit=limit)
    except Exception as error:  # noqa: BLE001 - a model's own code runs here and may raise anything
        return None, f"{type(error).__name__}: {error}"
    return objects.put(data), None
