"""The functions that people type; each speaks to the active run of its thread."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal

from lakemark._base.errors import InvalidInputError
from lakemark.fluent.active import ActiveRun
from lakemark.fluent.process import ActiveRuns

__all__ = [
    "active_run",
    "end_run",
    "log_artifact",
    "log_artifacts",
    "log_metric",
    "log_metrics",
    "log_model",
    "log_param",
    "log_params",
    "set_experiment",
    "set_tag",
    "set_tags",
    "start_run",
]

# The one module-level state of the package: functions without a subject need a subject that the process holds.
_ACTIVE = ActiveRuns()

_ENDINGS = ("FINISHED", "FAILED", "KILLED")


def start_run(
    run_name: str | None = None,
    *,
    experiment: str | None = None,
    nested: bool = False,
    tags: Mapping[str, object] | None = None,
) -> ActiveRun:
    """Start a run; in a `with` statement it ends with the block.

    Parameters
    ----------
    run_name : str, optional
        What to call it; need not be unique.
    experiment : str, optional
        Where to put it; else what `set_experiment` said, else the setting.
    nested : bool, default False
        Start it inside the run that is active.
    tags : mapping of str to object, optional
        Tags to begin with.

    Returns
    -------
    ActiveRun
        The run. Inside `lakemark run` the first call returns the run that the command has started.

    Raises
    ------
    ConflictError
        If a run is active and `nested` is False.

    Examples
    --------
    ::

        with lakemark.start_run("monday"):
            lakemark.log_param("learning_rate", 0.1)
            lakemark.log_metric("auc", 0.83)
    """
    return _ACTIVE.start(run_name, experiment=experiment, nested=nested, tags=tags)


def end_run(status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED") -> None:
    """End the active run of this thread; where there is none, do nothing."""
    if status not in _ENDINGS:
        raise InvalidInputError(f"a run cannot end as {status!r}, allowed is {', '.join(_ENDINGS)}")
    _ACTIVE.end_current(status)


def active_run() -> ActiveRun | None:
    """Return the run that is logged to, or None."""
    return _ACTIVE.current()


def set_experiment(name: str) -> None:
    """Put the runs that start from now on into the experiment of this name, which is made where there is none."""
    _ACTIVE.set_experiment(name)


def log_param(key: str, value: object) -> object:
    """Take down a param; a run is started where none is active.

    Parameters
    ----------
    key : str
        Its name: letters, digits, `_ - . / :` and blanks, at most 250 characters.
    value : object
        Kept as text, at most 6,000 characters.

    Returns
    -------
    object
        The value, as it was given.

    Raises
    ------
    ConflictError
        If it was logged before with another value.
    InvalidInputError
        If the name or value is not allowed.
    """
    _ACTIVE.current_or_new().log_params({key: value})
    return value


def log_params(params: Mapping[str, object]) -> None:
    """Take down several params, or, where one of them is not allowed, none."""
    _ACTIVE.current_or_new().log_params(params)


def log_metric(key: str, value: float, step: int | None = None) -> None:
    """Take down a point of a metric; a run is started where none is active.

    Parameters
    ----------
    key : str
        Its name, as that of a param.
    value : float
        A number or a scalar of NumPy or a tensor; NaN and infinities are kept; a bool is refused.
    step : int, optional
        Where in the training; 0 by default.

    Notes
    -----
    When this returns the point survives a kill of the process.
    """
    _ACTIVE.current_or_new().log_metrics({key: value}, step=step)


def log_metrics(metrics: Mapping[str, float], step: int | None = None) -> None:
    """Take down a point of several metrics at one step, or, where one of them is not allowed, none."""
    _ACTIVE.current_or_new().log_metrics(metrics, step=step)


def set_tag(key: str, value: object) -> None:
    """Set a tag; a later value, at most 8,000 characters, replaces an earlier one."""
    _ACTIVE.current_or_new().set_tags({key: value})


def set_tags(tags: Mapping[str, object]) -> None:
    """Set several tags, or, where one of them is not allowed, none."""
    _ACTIVE.current_or_new().set_tags(tags)


def log_artifact(local_path: str | os.PathLike[str], artifact_path: str | None = None) -> None:
    """Keep a copy of a file, or of a folder with its name, below `artifact_path` of the run's artifacts.

    Raises
    ------
    NotFoundError
        If there is no such file.
    """
    _ACTIVE.current_or_new().log_artifact(local_path, artifact_path)


def log_artifacts(local_dir: str | os.PathLike[str], artifact_path: str | None = None) -> None:
    """Keep a copy of all files in a folder, below `artifact_path` of the run's artifacts.

    Raises
    ------
    NotFoundError
        If there is no such folder.
    """
    _ACTIVE.current_or_new().log_artifacts(local_dir, artifact_path)


def log_model(model: object, name: str = "model") -> str:
    """Keep a fitted model as the artifacts `name/model.pkl` and `name/model.json`.

    Parameters
    ----------
    model : object
        A fitted model, for example of scikit-learn or LightGBM.
    name : str, default "model"
        What to call it in the run.

    Returns
    -------
    str
        Its fingerprint: the sha256 of what it is, not of its pickle.
    """
    return _ACTIVE.current_or_new().log_model(model, name)
