"""`lakemark` in this process, for tests of many small calls; tests of the process itself start one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from click.testing import CliRunner

from lakemark._base.errors import LakemarkError
from lakemark.cli.main import lakemark_command

__all__ = ["Done", "Run", "run_command", "run_tables"]


class Done(NamedTuple):
    """What a command left: its exit code and what it printed; the message of a `LakemarkError` stands in `err`."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


Run = Callable[..., Done]


def run_command(*arguments: object, stdin: str | None = None) -> Done:
    """Run `lakemark` with these arguments."""
    found = CliRunner().invoke(lakemark_command, [str(argument) for argument in arguments], input=stdin)
    if isinstance(found.exception, LakemarkError):
        return Done(found.exception.exit_code, found.stdout, str(found.exception))
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return Done(found.exit_code, found.stdout, found.stderr)


def run_tables(*arguments: object) -> Done:
    """Run `lakemark tables` with these arguments."""
    return run_command("tables", *arguments)
