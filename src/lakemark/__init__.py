"""Lakemark makes machine learning on a data lakehouse reproducible.

`import lakemark` loads nothing but this file; what people type arrives when it is first used (PEP 562). What it is
stands in `__init__.pyi`, so that this file imports nothing from above, not even for a type checker.
"""

__all__ = [
    "ActiveRun",
    "__version__",
    "active_run",
    "catalog",
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
    "split",
    "sql",
    "start_run",
    "stream",
    "table",
]

# Where the names are that `lakemark.fluent` has not: they need `deltalake`, and a script that only logs does not.
_MODULES = {
    "catalog": "lakemark.fluent.lake",
    "split": "lakemark.fluent.splits",
    "sql": "lakemark.fluent.queries",
    "stream": "lakemark.fluent.streams",
    "table": "lakemark.fluent.lake",
}

__version__ = "0.1.0"  # written here, and compared with the package's metadata by a test: reading that costs 20 ms


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415 -- deferred, so that importing lakemark costs nothing

    value: object = getattr(importlib.import_module(_MODULES.get(name, "lakemark.fluent")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
