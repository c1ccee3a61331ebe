"""Everything about models and randomness, put in and concluded together."""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from dataclasses import dataclass

from lakemark._base.canonical import Json
from lakemark.recorder.content import frames, predictions, rows_of
from lakemark.recorder.estimators import install_estimators
from lakemark.recorder.evaluations import Evaluations
from lakemark.recorder.fitted import FittedModel, FittedModels
from lakemark.recorder.randomness import Seeds, install_randomness
from lakemark.recorder.recording import Recording
from lakemark.recorder.scores import install_scores
from lakemark.recorder.watch import Watch

__all__ = ["conclude_models", "install_models"]

_STATE = "models"


@dataclass(frozen=True, slots=True)
class _Models:
    """What was seen of models in one recording."""

    watch: Watch
    fitted: FittedModels
    evaluations: Evaluations


def install_models(recording: Recording, *, seed: bool = True) -> None:
    """Put the hooks in for models, metrics and randomness; before the script imports what they are about.

    Parameters
    ----------
    recording : Recording
        Where facts go.
    seed : bool, default True
        Start the global random generators at the plan's root seed, and derive unseeded ones from it. False where the
        user's program is under way already.
    """
    watch = Watch(recording)
    fitted = FittedModels(recording)
    evaluations = Evaluations(recording, fitted)
    # the recording is the only thing that lives as long as the run, so what was seen is kept with it
    vars(recording)[_STATE] = _Models(watch, fitted, evaluations)
    seeds = Seeds(recording)
    install_randomness(recording, seeds, seed=seed)
    install_estimators(watch, fitted=fitted, evaluations=evaluations, seeds=seeds)
    install_scores(watch, evaluations)


def conclude_models(recording: Recording) -> None:
    """Write the `model` events and the `predictions` on the pinned sample; after the script ended."""
    models: _Models | None = vars(recording).get(_STATE)
    if models is None:
        return
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), _in_this_process():
        warnings.simplefilter("ignore")  # the script has ended: what its model says now is for nobody
        focus = _focus(models)
        if focus is not None:
            models.fitted.index(focus[0])
            models.watch.attempt("predictions", lambda: _write_predictions(recording, models.fitted, focus=focus))
        if models.fitted.last is not None:  # fitted again on everything after the evaluation: the model in use
            models.fitted.index(models.fitted.last)
        models.watch.attempt("model", models.fitted.conclude)


def _in_this_process() -> contextlib.AbstractContextManager[object]:
    """Let joblib work in threads: its pools of processes have ended with the script."""
    config = getattr(sys.modules.get("joblib"), "parallel_config", None)
    return config(backend="threading") if config is not None else contextlib.nullcontext()


def _focus(models: _Models) -> tuple[FittedModel, object] | None:
    """Return the model that counts and the frame to sample: of the last evaluation, prediction or fit."""
    call = models.evaluations.last or models.evaluations.latest_call
    if call is not None:
        return call.model, call.frame
    last = models.fitted.last
    return (last, last.training.sample if last.training is not None else None) if last is not None else None


def _write_predictions(recording: Recording, fitted: FittedModels, *, focus: tuple[FittedModel, object]) -> None:
    """Predict the first rows of a frame again and write them down: the identity of the model in use."""
    known, frame = focus
    model = fitted.again(known)
    if model is None or frame is None or not rows_of(frame):
        recording.missing("predictions", "the model or its frame was gone before the run ended")
        return
    sample = frames().head(frame, recording.plan.sample_rows)
    method, values = _predict(model, sample)
    kept = frames().keep(sample)
    fields: dict[str, Json] = {
        "n": rows_of(frame),
        "sample": rows_of(sample),
        "features": recording.objects.put(kept.data) if len(kept.data) <= recording.plan.store_limit else None,
        "values": recording.objects.put(predictions().encode(values)),
        "exact": predictions().exact_hash(values),
        "rounded": predictions().rounded_hash(values),
        "method": method,
    }
    recording.spool.write("predictions", **fields)


def _predict(model: object, sample: object) -> tuple[str, object]:
    """Return the method and its result; probabilities where there are any, because they say more than labels."""
    for method in ("predict_proba", "predict"):
        call = getattr(model, method, None)
        if callable(call):
            try:
                return method, call(sample)
            except Exception:  # a model's own code; `predict` may work where `predict_proba` does not
                if method == "predict":
                    raise
    raise TypeError(f"{type(model).__name__} has neither predict_proba nor predict")
