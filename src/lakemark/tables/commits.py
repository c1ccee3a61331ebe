"""Commits: what ours say about themselves, and what a table's history says of all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from deltalake import CommitProperties

from lakemark._base.writer import current_writer

__all__ = ["Commit", "CommitRecord", "read_record"]

_RUN_ID, _NODE, _MESSAGE = "lakemark.run_id", "lakemark.node", "lakemark.message"


@dataclass(frozen=True, slots=True)
class Commit:
    """What a commit says about itself in the table's history.

    Parameters
    ----------
    run_id : str, optional
        The run that made it.
    node : str, optional
        The step of the run.
    message : str, optional
        Why, in words.
    """

    run_id: str | None = None
    node: str | None = None
    message: str | None = None

    def properties(self) -> CommitProperties:
        """Return it as `deltalake` takes it; where it names no run, the run that this process works for is named."""
        writer = current_writer()
        said = {_RUN_ID: self.run_id or writer.run_id, _NODE: self.node or writer.node, _MESSAGE: self.message}
        return CommitProperties(custom_metadata={name: value for name, value in said.items() if value is not None})


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """One line of a table's history.

    Parameters
    ----------
    version : int
        The version that the commit made.
    timestamp_ms : int
        When, in milliseconds since 1970-01-01 UTC, by the clock of who wrote it.
    operation : str
        For example `WRITE`.
    commit : Commit
        What it says about itself.
    engine : str
        Who wrote it; empty where it does not say.
    parameters, metrics : mapping of str to str
        Of the operation, as text.
    """

    version: int
    timestamp_ms: int
    operation: str
    commit: Commit
    engine: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, str] = field(default_factory=dict)


def read_record(entry: Mapping[str, object]) -> CommitRecord:
    """Return one entry of what `deltalake.DeltaTable.history` returns."""

    def text(name: str) -> str | None:
        value = entry.get(name)
        return None if value is None else str(value)

    def texts(name: str) -> Mapping[str, str]:
        values = cast("Mapping[str, object]", entry.get(name) or {})
        return {key: str(value) for key, value in values.items()}

    return CommitRecord(
        version=cast("int", entry["version"]),
        timestamp_ms=cast("int", entry.get("timestamp", 0)),
        operation=text("operation") or "",
        commit=Commit(run_id=text(_RUN_ID), node=text(_NODE), message=text(_MESSAGE)),
        engine=text("engineInfo") or "",
        parameters=texts("operationParameters"),
        metrics=texts("operationMetrics"),
    )
