"""What checks found: the record, its JSON in a commit, and the store that keeps it for each version."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from lakemark._base.canonical import Json
from lakemark._base.clock import now_ms
from lakemark._base.errors import InvalidInputError
from lakemark._base.writer import current_writer
from lakemark.tables.checks.rules import Severity

__all__ = ["RESULTS_FORMAT", "CheckResult", "CheckResultRecord", "CheckResultStore", "keep", "parse_results", "write"]

RESULTS_FORMAT = "lakemark.check_results/1"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found in one version.

    Parameters
    ----------
    name : str
        Of the check.
    kind : str
        Of its rule.
    severity : Severity
        Whether it refuses or flags.
    passed : bool
        Whether the rule holds.
    failing_rows : int or None
        How many rows are at fault; None for a rule on the table as a whole.
    detail : str
        What was found, in words.
    samples : tuple of str
        Up to 5 of the rows at fault; not stored.
    """

    name: str
    kind: str
    severity: Severity
    passed: bool
    failing_rows: int | None
    detail: str
    samples: tuple[str, ...] = ()

    def document(self) -> dict[str, Json]:
        """Return the result as JSON has it, without the rows."""
        return {
            "name": self.name,
            "kind": self.kind,
            "severity": str(self.severity),
            "passed": self.passed,
            "failing_rows": self.failing_rows,
            "detail": self.detail,
        }


class CheckResultRecord(Protocol):
    """A result as it is kept."""

    @property
    def table_uri(self) -> str:
        """Where the table is."""

    @property
    def table_id(self) -> str:
        """The id in the table's metadata."""

    @property
    def version(self) -> int:
        """Which version was checked."""

    @property
    def check_name(self) -> str:
        """Of the check."""

    @property
    def severity(self) -> str:
        """`error` or `warning`."""

    @property
    def passed(self) -> bool:
        """Whether the rule held."""

    @property
    def failing_rows(self) -> int | None:
        """How many rows were at fault, for a rule on rows."""

    @property
    def detail(self) -> str:
        """What was found, in words."""

    @property
    def run_id(self) -> str | None:
        """The run that asked."""

    @property
    def checked_ms(self) -> int:
        """When, in milliseconds since 1970-01-01 UTC."""


class CheckResultStore(Protocol):
    """Where results are kept."""

    def add(  # noqa: PLR0913 -- one argument for each column
        self,
        *,
        table_uri: str,
        table_id: str,
        version: int,
        check_name: str,
        severity: str,
        passed: bool,
        failing_rows: int | None,
        detail: str,
        run_id: str | None,
        checked_ms: int,
    ) -> None:
        """Keep a result."""

    def list(self, *, table_id: str, version: int | None = None) -> Sequence[CheckResultRecord]:
        """Return the results of a table, or of one version of it, the latest first."""


def keep(
    store: CheckResultStore, results: Sequence[CheckResult], *, table_uri: str, table_id: str, version: int
) -> None:
    """Keep the results of one version; the run that this process works for is named.

    Parameters
    ----------
    store : CheckResultStore
        Where.
    results : sequence of CheckResult
        What the checks found.
    table_uri, table_id : str
        Of the table.
    version : int
        That was checked.
    """
    moment = now_ms()
    for result in results:
        store.add(
            table_uri=table_uri,
            table_id=table_id,
            version=version,
            check_name=result.name,
            severity=str(result.severity),
            passed=result.passed,
            failing_rows=result.failing_rows,
            detail=result.detail,
            run_id=current_writer().run_id,
            checked_ms=moment,
        )


def write(results: Sequence[CheckResult]) -> str:
    """Return results as a commit says them in `lakemark.checks`, without any value of a row."""
    return json.dumps({"format": RESULTS_FORMAT, "results": [result.document() for result in results]})


def parse_results(text: str) -> tuple[CheckResult, ...]:
    """Return the results that a commit says in `lakemark.checks`.

    Raises
    ------
    InvalidInputError
        If the text is not of the format `lakemark.check_results/1`.
    """
    try:
        document = json.loads(text)
        if document["format"] != RESULTS_FORMAT:
            raise InvalidInputError(f"results of checks are of format {document['format']!r}, not {RESULTS_FORMAT}")
        return tuple(_result(item) for item in document["results"])
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InvalidInputError(f"{text[:80]!r} is no result of checks: {error}") from error


def _result(item: Mapping[str, object]) -> CheckResult:
    return CheckResult(
        name=str(item["name"]),
        kind=str(item["kind"]),
        severity=Severity(str(item["severity"])),
        passed=bool(item["passed"]),
        failing_rows=cast("int | None", item["failing_rows"]),
        detail=str(item["detail"]),
    )
