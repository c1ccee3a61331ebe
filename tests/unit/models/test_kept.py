"""A model is described by content, with its pickle among the objects."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from lakemark.models.kept import describe
from lakemark.models.pickles import PickleTooLargeError, pickle_within
from lakemark.storage.objects import ObjectStore


def test_a_model_comes_back_from_its_blob(tmp_path: Path) -> None:
    objects = ObjectStore(tmp_path)
    model = Ridge().fit(np.eye(3), [1.0, 2.0, 3.0])
    described = describe(model, name="ridge", how="declared", objects=objects, limit=1 << 20)

    assert described.lacking is None
    assert (described.fields["name"], described.fields["how"]) == ("ridge", "declared")
    again = pickle.loads(objects.get(str(described.fields["blob"])))  # noqa: S301 - pickled four lines above
    assert np.array_equal(again.predict(np.eye(3)), model.predict(np.eye(3)))


def test_a_model_that_is_too_large_has_no_blob(tmp_path: Path) -> None:
    described = describe(np.zeros(1_000), name="big", how="observed", objects=ObjectStore(tmp_path), limit=100)

    assert described.fields["blob"] is None
    assert described.lacking == "PickleTooLargeError: its pickle is larger than 100 bytes"
    with pytest.raises(PickleTooLargeError):
        pickle_within(np.zeros(1_000), limit=100)


def test_a_model_that_does_not_pickle_has_no_blob(tmp_path: Path) -> None:
    described = describe([iter(_count())], name="odd", how="observed", objects=ObjectStore(tmp_path), limit=1 << 20)

    assert described.fields["blob"] is None
    assert described.fields["weak"] is True
    assert "generator" in str(described.lacking)


def _count() -> Iterator[int]:
    yield 1
