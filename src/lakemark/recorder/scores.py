"""Metric calls: every public function of `sklearn.metrics` that scores predictions against what was true."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import ModuleType

from lakemark.recorder.evaluations import Evaluations
from lakemark.recorder.imports import after_import, patch_function
from lakemark.recorder.watch import Call, Hook, Watch

__all__ = ["install_scores", "scoring_functions"]

_TRUE = frozenset({"y_true"})
_PREDICTED = frozenset({"y_pred", "y_score", "y_prob", "y_proba", "pred_decision"})


class _MetricObserver:
    """Records what a metric returned, and for what."""

    def __init__(self, evaluations: Evaluations) -> None:
        self._evaluations = evaluations

    def before(self, call: Call) -> None:
        """Wait for the result."""

    def after(self, call: Call, result: object) -> None:
        """Record the metric and what it was computed from."""
        given = inspect.signature(call.original).bind(*call.args, **call.kwargs).arguments
        names = list(inspect.signature(call.original).parameters)[:2]
        rest = {name: value for name, value in given.items() if name not in names and value is not None}
        pair = (given[names[0]], given[names[1]])
        self._evaluations.measured(call.name, value=result, pair=pair, arguments=rest)


def install_scores(watch: Watch, evaluations: Evaluations) -> None:
    """Wait for `sklearn.metrics` and watch its functions."""
    hook = Hook(watch, _MetricObserver(evaluations))

    def install(module: ModuleType) -> None:
        for name, _ in scoring_functions(module):
            patch_function(module, name, hook.wrap)

    after_import("sklearn.metrics", install)


def scoring_functions(module: ModuleType) -> Iterator[tuple[str, Callable[..., object]]]:
    """Yield the public functions of a module whose first two parameters are what was true and what was predicted."""
    for name in sorted(module.__all__):
        function = getattr(module, name, None)
        if not inspect.isfunction(function):
            continue
        parameters = list(inspect.signature(function).parameters)
        if len(parameters) > 1 and parameters[0] in _TRUE and parameters[1] in _PREDICTED:
            yield name, function
