"""What people type in Python: names and semantics are MLflow's, what is kept is a receipt."""

from lakemark.fluent.active import ActiveRun, RunInfo
from lakemark.fluent.functions import (
    active_run,
    end_run,
    log_artifact,
    log_artifacts,
    log_metric,
    log_metrics,
    log_model,
    log_param,
    log_params,
    set_experiment,
    set_tag,
    set_tags,
    start_run,
)

__all__ = [
    "ActiveRun",
    "RunInfo",
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
