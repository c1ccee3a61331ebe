"""Fits and predictions of scikit-learn estimators and LightGBM models, seen at the methods of their classes.

Every class below `sklearn.base.BaseEstimator` is adopted: those that exist by a walk, those to come through
`__init_subclass__`. Only a class's own plain functions are replaced, by functions with the same name, signature and
place, so metadata routing, cloning, pickling and `inspect` see what they saw.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType, ModuleType
from typing import TypeVar, cast

from lakemark._base.canonical import Json
from lakemark.recorder.evaluations import Evaluations
from lakemark.recorder.fitted import FittedModels
from lakemark.recorder.imports import after_import, patch_function
from lakemark.recorder.randomness import Seeds
from lakemark.recorder.watch import Call, Hook, Watch, wrap_with

__all__ = ["FITS", "PREDICTIONS", "install_estimators"]

F = TypeVar("F", bound=Callable[..., object])

FITS = ("fit", "fit_transform", "fit_predict", "partial_fit")
"""Methods that change a model."""

PREDICTIONS = ("predict", "predict_proba", "decision_function")
"""Methods whose results metrics are computed from."""

_CONDITIONAL = "_AvailableIfDescriptor"
_SEED_NAMES = ("random_state", "seed")
_BOOSTER_SEEDS = ("seed", "random_seed", "random_state", "data_random_seed", "bagging_seed", "feature_fraction_seed")


class _FitObserver:
    """Remembers what was fitted, and the seeds that were given to it."""

    def __init__(self, fitted: FittedModels, seeds: Seeds) -> None:
        self._fitted = fitted
        self._seeds = seeds

    def before(self, call: Call) -> None:
        """Write down the evaluated model that this fit overwrites."""
        model = call.args[0]
        self._fitted.before_fit(model)
        for api, value in _seeds_of(model):
            self._seeds.seen(api, value)

    def after(self, call: Call, _result: object) -> None:
        """Remember a model that can predict; a mere transformer is a part of one."""
        model = call.args[0]
        if any(hasattr(model, name) for name in PREDICTIONS):
            self._fitted.after_fit(model, call.argument(1, "X"), call.argument(2, "y"))


class _TrainObserver:
    """Remembers what `lightgbm.train` made."""

    def __init__(self, fitted: FittedModels, seeds: Seeds) -> None:
        self._fitted = fitted
        self._seeds = seeds
        self._data: tuple[object, object] = (None, None)

    def before(self, call: Call) -> None:
        """Look at the data now: a `Dataset` gives its raw data up when it is trained on."""
        params, dataset = call.argument(0, "params"), call.argument(1, "train_set")
        self._data = (getattr(dataset, "data", None), getattr(dataset, "label", None))
        if isinstance(params, Mapping):
            for name in _BOOSTER_SEEDS:
                if isinstance(params.get(name), int):
                    self._seeds.seen(f"lightgbm.train({name})", params[name])

    def after(self, _call: Call, result: object) -> None:
        """Remember the booster."""
        data, self._data = self._data, (None, None)
        self._fitted.after_fit(result, *data)


class _PredictObserver:
    """Remembers predictions until a metric asks where they come from."""

    def __init__(self, evaluations: Evaluations) -> None:
        self._evaluations = evaluations

    def before(self, call: Call) -> None:
        """Wait for the result."""

    def after(self, call: Call, result: object) -> None:
        """Remember the model, the frame and the result."""
        frame = call.argument(1, "X", "data")
        self._evaluations.predicted(
            call.args[0], frame, method=call.name, result=result, plain=_is_plain(call, frame=frame)
        )


class _ScoreObserver:
    """Sees `estimator.score(X, y)` where that is accuracy or R squared."""

    def __init__(self, evaluations: Evaluations) -> None:
        self._evaluations = evaluations

    def before(self, call: Call) -> None:
        """Wait for the result."""

    def after(self, call: Call, result: object) -> None:
        """Record the score as the metric that it is."""
        metric = _score_metric(call.args[0])
        labels = call.argument(2, "y")
        if metric is not None and labels is not None and len(call.args) + len(call.kwargs) == 3:
            self._evaluations.scored(call.args[0], call.argument(1, "X"), labels, metric=metric, value=result)


class _Adoption:
    """Patches estimator classes, each once, when they are there."""

    def __init__(self, hooks: Mapping[str, Hook], watch: Watch) -> None:
        self._hooks = hooks
        self._watch = watch

    def adopt(self, kind: type) -> None:
        """Patch the methods of a class and of the mixins that it has them from."""
        for owner in kind.__mro__[:-1]:
            for name, hook in self._hooks.items():
                own = vars(owner).get(name)
                if isinstance(own, FunctionType):
                    patch_function(owner, name, hook.wrap)
                elif type(own).__name__ == _CONDITIONAL:
                    patch_function(own, "fn", hook.wrap)

    def adopt_all(self, base: ModuleType) -> None:
        """Patch what is below `BaseEstimator`, now and in future."""
        root: type = base.BaseEstimator
        for kind in _below(root):
            self.adopt(kind)
        if isinstance(inspect.getattr_static(root, "__init_subclass__"), classmethod):
            patch_function(root, "__init_subclass__", self._chain)
        else:
            self._watch.recording.missing("later estimators", "this scikit-learn has no __init_subclass__ to follow")

    def _chain(self, original: F) -> F:
        def init_subclass(cls: type, **kwargs: object) -> None:
            original(cls, **kwargs)
            self._watch.attempt("estimator class", lambda: self.adopt(cls))

        return cast("F", init_subclass)


def install_estimators(watch: Watch, *, fitted: FittedModels, evaluations: Evaluations, seeds: Seeds) -> None:
    """Wait for scikit-learn and LightGBM and watch their models."""
    fit, predict = Hook(watch, _FitObserver(fitted, seeds)), Hook(watch, _PredictObserver(evaluations))
    hooks = dict.fromkeys(FITS, fit) | dict.fromkeys(PREDICTIONS, predict)
    hooks["score"] = Hook(watch, _ScoreObserver(evaluations))
    adoption = _Adoption(hooks, watch)
    train = Hook(watch, _TrainObserver(fitted, seeds))
    split = Hook(watch, _SplitObserver(seeds))
    after_import("sklearn.base", adoption.adopt_all)
    after_import(
        "sklearn.model_selection",
        lambda module: patch_function(module, "train_test_split", lambda original: wrap_with(split, original)),
    )
    after_import("lightgbm.basic", lambda module: patch_function(module.Booster, "predict", predict.wrap))
    after_import("lightgbm.engine", lambda module: patch_function(module, "train", train.wrap))


class _SplitObserver:
    """Sees the seed of `train_test_split`."""

    def __init__(self, seeds: Seeds) -> None:
        self._seeds = seeds

    def before(self, call: Call) -> None:
        """Write the seed down."""
        value = call.kwargs.get("random_state")
        if isinstance(value, int):
            self._seeds.seen("sklearn.model_selection.train_test_split", value)

    def after(self, call: Call, result: object) -> None:
        """Nothing is left to do."""


def _below(root: type) -> Iterator[type]:
    seen: set[type] = set()
    waiting = [root]
    while waiting:
        kind = waiting.pop()
        if kind not in seen:
            seen.add(kind)
            waiting.extend(type.__subclasses__(kind))
            yield kind


def _seeds_of(model: object) -> Iterator[tuple[str, int]]:
    """Yield `(api, value)` for each integer seed among an estimator's parameters, nested ones too."""
    get_params = getattr(model, "get_params", None)
    if not callable(get_params):
        return
    params: Mapping[str, Json] = get_params(deep=True)
    name = f"{type(model).__module__.partition('.')[0]}.{type(model).__name__}"
    for key in sorted(params):
        value = params[key]
        if key.rpartition("__")[2] in _SEED_NAMES and isinstance(value, int) and not isinstance(value, bool):
            yield f"{name}({key})", value


def _is_plain(call: Call, *, frame: object) -> bool:
    """Return True where the model and the frame alone give the same predictions again."""
    if len(call.args) > 2:
        return False
    best = getattr(call.args[0], "best_iteration_", None) or getattr(call.args[0], "best_iteration", None)
    for name, value in call.kwargs.items():
        same = value is frame or name == "validate_features" or (name == "num_iteration" and value in {None, best})
        if not same:
            return False
    return True


def _score_metric(model: object) -> str | None:
    """Return which metric `model.score` is; None where it is neither accuracy nor R squared."""
    last: object = model
    for _ in range(8):  # a pipeline in a search in a pipeline is two; the bound only ends circles
        steps = getattr(last, "steps", None)
        best = getattr(last, "best_estimator_", None)
        if isinstance(steps, list) and steps:
            last = steps[-1][1]
        elif best is not None and getattr(last, "scoring", "") is None:
            last = best
        else:
            break
    owner = next((kind for kind in type(last).__mro__ if "score" in vars(kind)), None)
    if owner is None or owner.__module__ != "sklearn.base":
        return None
    return {"ClassifierMixin": "accuracy_score", "RegressorMixin": "r2_score"}.get(owner.__name__)
