"""What a fitted model is by content: a fingerprint that two processes agree on, never taken from pickle bytes.

A pickle of the same model differs between processes: sets have another order, structs have undefined padding, memory
that was never written is kept. So the model is walked: parameters, fitted attributes, arrays, trees field by field.
What is a float in it goes into `weights`, everything else into `structure`; the digest covers both.
"""

from __future__ import annotations

import hashlib
import os
import struct
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pickle import PicklingError

import numpy as np
from numpy.typing import NDArray

from lakemark.models.pickles import pickle_bytes

__all__ = ["ModelFingerprint", "class_path", "fingerprint"]

_VERSION = "lakemark.model/1"
_VOLATILE = frozenset(
    {
        "memory",
        "n_jobs",
        "n_threads",
        "nthread",
        "num_threads",
        "pre_dispatch",
        "silent",
        "stop_words_id",  # scikit-learn keeps the memory address of the words
        "verbose",
        "verbosity",
    }
)
_CLOCKED = frozenset({"refit_time", "mean_fit_time", "std_fit_time", "mean_score_time", "std_score_time"})
"""Seconds that scikit-learn's searches measure. A name that merely sounds like it, `mean_air_time_`, is the model's."""
_PLAIN = frozenset({str, int, bool, type(None)})
_KNOWN = frozenset({"numpy", "scipy", "sklearn", "pandas", "lightgbm"})
_UNSET = -1
_UNREDUCIBLE = (TypeError, ValueError, AttributeError, NotImplementedError, RuntimeError, PicklingError)
_CONTENTLESS = ("_thread.", "_io.", "weakref.", "_weakref")


@dataclass(frozen=True, slots=True)
class ModelFingerprint:
    """A fitted model by content.

    Parameters
    ----------
    flavor : {"sklearn", "lightgbm", "python"}
        Whose model it is.
    class_name : str
        Its class, with the module.
    structure : str
        sha256 of everything but floats: parameters, shapes, types, indices, names.
    weights : str
        sha256 of all floats, in the order of the walk.
    digest : str
        sha256 of both; equal digests mean the same model.
    weak : bool
        True where a part could only be seen through its pickle, or belongs to a library that is not known here: then
        another digest doesn't mean another model.
    """

    flavor: str
    class_name: str
    structure: str
    weights: str
    digest: str
    weak: bool


def fingerprint(model: object) -> ModelFingerprint:
    """Return what `model` is by content.

    Parameters
    ----------
    model : object
        A fitted scikit-learn estimator, a LightGBM model, or anything else.

    Notes
    -----
    Linear in the size of the model. What doesn't change predictions is left out: verbosity, thread counts, caches, and
    the seconds that a search measured. Equal in two processes whatever `PYTHONHASHSEED` is.

    Examples
    --------
    >>> fingerprint({"b": 1, "a": 2.0}).digest == fingerprint({"a": 2.0, "b": 1}).digest
    True
    """
    walk = _Walk()
    walk.see(model)
    name = class_path(type(model))
    structure, weights = walk.structure.hexdigest(), walk.weights.hexdigest()
    digest = hashlib.sha256(f"{_VERSION}\n{name}\n{structure}\n{weights}".encode()).hexdigest()
    return ModelFingerprint(_flavor(model), name, structure, weights, digest, walk.weak)


def class_path(kind: type) -> str:
    """Return a class's name with its module.

    Examples
    --------
    >>> class_path(ModelFingerprint)
    'lakemark.models.fingerprints.ModelFingerprint'
    """
    return f"{kind.__module__}.{kind.__qualname__}"


def _flavor(model: object) -> str:
    bases = {base.__module__.partition(".")[0] for base in type(model).__mro__}
    return next((flavor for flavor in ("lightgbm", "sklearn") if flavor in bases), "python")


class _Walk:
    """One walk over a model, with the two hashes that it feeds."""

    def __init__(self, path: tuple[int, ...] = ()) -> None:
        self.structure = hashlib.sha256()
        self.weights = hashlib.sha256()
        self.weak = False
        self._path = path

    def see(self, value: object) -> None:
        """Feed one value, whatever it is."""
        if value is None or isinstance(value, bool | int | str | bytes):
            self._tag(type(value).__name__, repr(value) if type(value) in _PLAIN else str(value))
        elif isinstance(value, float | complex | np.inexact):
            self._array(np.asarray(value))
        elif isinstance(value, np.generic) and value.dtype.kind != "V":
            self.see(value.item())
        elif id(value) in self._path:
            self._tag("cycle", str(self._path[::-1].index(id(value))))
        else:
            outside, self._path = self._path, (*self._path, id(value))
            self._see_compound(value)
            self._path = outside

    def _see_compound(self, value: object) -> None:
        if isinstance(value, np.ndarray | np.void):
            self._array(np.asanyarray(value))
        elif isinstance(value, list | tuple):
            self._sequence(type(value).__name__, value)
        elif isinstance(value, set | frozenset):
            self._unordered(value)
        elif isinstance(value, Mapping):
            self._mapping(value)
        elif isinstance(value, _Reals):
            self.weights.update(value.text.encode())
        elif isinstance(value, type):
            self._tag("class", class_path(value))
        elif callable(value) and not hasattr(type(value), "get_params"):
            self._callable(value)
        else:
            self._object(value)

    def _tag(self, kind: str, text: str = "") -> None:
        data = text.encode("utf-8", "surrogatepass")
        self.structure.update(f"{kind}:{len(data)}:".encode())
        self.structure.update(data)

    def _array(self, array: NDArray[np.generic]) -> None:
        if isinstance(array, np.ma.MaskedArray):  # what lies under the mask may never have been written
            self._tag("masked")
            self.see(np.ma.getmaskarray(array))
            self.see([item for item in array.compressed().tolist()])  # noqa: C416 - object arrays list as they are
            return
        self._tag("array", f"{array.dtype.str if array.dtype.names is None else 'struct'} {array.shape}")
        if array.dtype.names is not None:  # padding between fields holds anything
            for name in array.dtype.names:
                self._tag("field", name)
                field: NDArray[np.generic] = array[name]  # type: ignore[call-overload]  # a struct is indexed by name
                self._array(np.ascontiguousarray(field))
        elif array.dtype.hasobject:
            self._sequence("objects", array.ravel().tolist())
        elif array.dtype.kind in "fc":
            self.weights.update(np.ascontiguousarray(array).data if array.size else b"")
        else:
            self.structure.update(np.ascontiguousarray(array).tobytes())

    def _sequence(self, kind: str, items: list[object] | tuple[object, ...]) -> None:
        self._tag(kind, str(len(items)))
        kinds = {type(item) for item in items}
        if kinds <= _PLAIN:
            self._tag("plain", repr(list(items)))
        elif kinds == {float}:
            self.weights.update(struct.pack(f"<{len(items)}d", *items))
        else:
            for item in items:
                self.see(item)

    def _unordered(self, items: Iterable[object]) -> None:
        inner = sorted(self._apart(item) for item in items)
        self._tag("set", str(len(inner)))
        for structure, weights in inner:
            self.structure.update(structure)
            self.weights.update(weights)

    def _mapping(self, mapping: Mapping[object, object]) -> None:
        self._tag("mapping", str(len(mapping)))
        if all(type(key) is str for key in mapping) and {type(value) for value in mapping.values()} <= _PLAIN:
            self._tag("plain", repr(sorted(mapping.items(), key=lambda item: str(item[0]))))
            return
        for key, value in sorted(mapping.items(), key=lambda item: self._apart(item[0])):
            self.see(key)
            self.see(value)

    def _apart(self, value: object) -> tuple[bytes, bytes]:
        """Return the two hashes of one value alone: what unordered things are sorted by."""
        walk = _Walk(self._path)
        walk.see(value)
        self.weak = self.weak or walk.weak
        return walk.structure.digest(), walk.weights.digest()

    def _callable(self, value: Callable[..., object]) -> None:
        if isinstance(value, partial):
            self._tag("partial")
            self.see((value.func, value.args, value.keywords))
            return
        if isinstance(value, types.MethodType):
            self._tag("method", value.__name__)
            self.see(value.__self__)
            return
        name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
        if name is None:
            self._object(value)
            return
        module = getattr(value, "__module__", None) or ""
        self._tag("callable", f"{module}.{name}")
        if isinstance(value, types.FunctionType) and (module == "__main__" or "<lambda>" in name):
            self._code(value.__code__)

    def _code(self, code: types.CodeType) -> None:
        """Feed what a function does, since a name in a script says little: `<lambda>` says nothing."""
        self.see(code.co_code)
        self.see(code.co_names)
        for constant in code.co_consts:
            self._code(constant) if isinstance(constant, types.CodeType) else self.see(constant)

    def _object(self, value: object) -> None:
        kind = type(value)
        self._tag("object", class_path(kind))
        reader = next((_READERS[name] for name in map(class_path, kind.__mro__) if name in _READERS), None)
        if reader is not None:
            self.see(reader(value))
        elif kind.__module__.startswith("scipy.sparse"):
            self.see(_sparse(value))
        elif _is_plain(value):
            self.see(_attributes(value))
        elif class_path(kind).startswith(_CONTENTLESS):
            return
        else:
            self._reduced(value)

    def _reduced(self, value: object) -> None:
        """Feed an object through what it says about its own reconstruction."""
        top = type(value).__module__.partition(".")[0]
        self.weak = self.weak or (top not in _KNOWN and top not in sys.stdlib_module_names and top != "__main__")
        try:
            parts = value.__reduce_ex__(2)
        except _UNREDUCIBLE:  # it may have a pickle all the same
            self._pickled(value)
            return
        if isinstance(parts, str):
            self._tag("global", parts)
            return
        for part in parts:
            self.see(list(part) if isinstance(part, types.GeneratorType) or hasattr(part, "__next__") else part)

    def _pickled(self, value: object) -> None:
        self.weak = True
        data = pickle_bytes(value, limit=sys.maxsize)
        # what can't be looked into is never said to be equal
        self._tag("pickle", hashlib.sha256(data if data is not None else os.urandom(32)).hexdigest())


def _is_plain(value: object) -> bool:
    """Return True for an object that is its attributes; others say themselves what they are made of."""
    kind = type(value)
    if not hasattr(value, "__dict__") or kind.__reduce__ is not object.__reduce__:
        return False
    return hasattr(kind, "get_params") or kind.__getstate__ is object.__getstate__


def _attributes(value: object) -> dict[str, object]:
    """Return an object's attributes but those that a repetition may change without changing the model."""
    state = {name: item for name, item in vars(value).items() if not _is_volatile(name)}
    for name in ("cv_results_", "_other_params"):
        inner = state.get(name)
        if isinstance(inner, dict):
            state[name] = {key: inner[key] for key in inner if not _is_volatile(str(key))}
    return state


def _is_volatile(name: str) -> bool:
    return name.strip("_") in _VOLATILE or name.strip("_") in _CLOCKED


def _booster(value: object) -> object:
    """Return a LightGBM model as text, without its parameters (threads, paths) and what is derived from the trees."""
    text: str = value.model_to_string()  # type: ignore[attr-defined]  # only called for lightgbm.basic.Booster
    trees, _, tail = text.partition("\nend of trees\n")
    rest: list[str | int | None] = [line for line in tail.splitlines() if line.startswith("pandas_categorical:")]
    rest.append(getattr(value, "best_iteration", None))
    reals: list[str] = []
    for line in trees.splitlines():
        key, _, numbers = line.partition("=")
        if key in _BOOSTER_REALS:
            reals.append(numbers)
            rest.append(key)
        elif key != "tree_sizes":
            rest.append(line)
    return [rest, _Reals("\n".join(reals))]


_BOOSTER_REALS = frozenset(
    {"split_gain", "threshold", "leaf_value", "leaf_weight", "internal_value", "internal_weight", "shrinkage"}
)


@dataclass(frozen=True, slots=True)
class _Reals:
    """Real numbers as their library spells them, digit for digit: to parse them costs more than all else here."""

    text: str


def _tree(value: object) -> object:
    """Return a decision tree's nodes and values; in leaves, what no code reads is not always written."""
    state = value.__getstate__()  # a dict: max_depth, node_count, nodes, values
    nodes = state["nodes"].copy()  # type: ignore[index]  # object.__getstate__ is typed as object
    leaves = nodes["left_child"] == _UNSET
    for name in ("feature", "threshold", "missing_go_to_left"):
        if name in nodes.dtype.names:
            nodes[name][leaves] = 0
    return {**state, "nodes": nodes}  # type: ignore[dict-item]  # as above


def _neighbors(value: object) -> object:
    """Return a neighbour tree's data and nodes, without its counters of queries."""
    return list(value.__getstate__())[:7]  # type: ignore[call-overload]  # a tuple in scikit-learn's BinaryTree


def _random_state(value: object) -> object:
    if value is getattr(sys.modules.get("numpy.random.mtrand"), "_rand", None):
        return "the global one"  # its state says how often the script drew, and nothing of the model
    return value.get_state(legacy=False)  # type: ignore[attr-defined]  # only called for RandomState


def _generator(value: object) -> object:
    return value.bit_generator.state  # type: ignore[attr-defined]  # only called for Generator


def _pandas(value: object) -> object:
    """Return a pandas Series, Index or array as its type, its values and its labels."""
    kind = getattr(value, "dtype", None)
    categories = [getattr(kind, name, None) for name in ("categories", "ordered")]
    names = [getattr(value, "name", None), list(getattr(value, "names", None) or ())]
    return [str(kind), categories, names, np.asarray(value), getattr(value, "index", None)]


def _frame(value: object) -> object:
    columns = value.columns  # type: ignore[attr-defined]  # only called for DataFrame
    return [value.index, columns, [value.iloc[:, at] for at in range(len(columns))]]  # type: ignore[attr-defined]


def _sparse(value: object) -> object:
    """Return a sparse matrix in one form, whichever it has."""
    rows = value.tocsr(copy=True)  # type: ignore[attr-defined]  # only called for scipy.sparse
    rows.sum_duplicates()
    return [rows.shape, rows.data, rows.indices.astype(np.int64), rows.indptr.astype(np.int64)]


_PANDAS_COLUMNS = (
    "pandas.Series",
    "pandas.Index",
    "pandas.core.series.Series",
    "pandas.core.indexes.base.Index",
    "pandas.api.extensions.ExtensionArray",
    "pandas.core.arrays.base.ExtensionArray",
)
_NEIGHBOR_TREES = (
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neighbors._kd_tree.KDTree32",
    "sklearn.neighbors._kd_tree.KDTree64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._ball_tree.BallTree32",
    "sklearn.neighbors._ball_tree.BallTree64",
)
_READERS: Mapping[str, Callable[[object], object]] = types.MappingProxyType(
    {
        "lightgbm.basic.Booster": _booster,
        "sklearn.tree._tree.Tree": _tree,
        "numpy.random.mtrand.RandomState": _random_state,
        "numpy.random._generator.Generator": _generator,
        "pandas.DataFrame": _frame,
        "pandas.core.frame.DataFrame": _frame,
        "numpy.dtype": str,
        **dict.fromkeys(_PANDAS_COLUMNS, _pandas),
        **dict.fromkeys(_NEIGHBOR_TREES, _neighbors),
    }
)
