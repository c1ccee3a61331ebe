"""`lakemark run`: run a script or a module as it is, and write down what it was made of."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from lakemark._base.ids import short

if TYPE_CHECKING:
    from lakemark.capture.run import Evaluation

__all__ = ["run"]


_HELP = """Run SCRIPT with its ARGUMENTS and capture data, code, environment, params, seeds and compute.

The script needs no change. The command exits with the script's own code.

\b
lakemark run train.py --learning-rate 0.1
lakemark run --name monday train.py
lakemark run -m package.train
"""


@click.command(
    help=_HELP,
    short_help="Run a script as it is, and write its receipt.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option("--name", help="What to call the run.")
@click.option("-m", "module", is_flag=True, help="SCRIPT is a module's name, as in python -m.")
@click.option("--python", type=click.Path(path_type=Path), help="The interpreter; default: the active environment's.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON; the script's output goes to stderr.")
@click.argument("script")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def run(
    context: click.Context,
    *,
    name: str | None,
    module: bool,
    python: Path | None,
    as_json: bool,
    script: str,
    arguments: tuple[str, ...],
) -> None:
    """Run a script or module, and write its receipt."""
    from lakemark.capture.run import Request
    from lakemark.capture.run import run as evaluate
    from lakemark.capture.settle import recover
    from lakemark.cli.opening import open_here
    from lakemark.fluent.limits import run_name
    from lakemark.recorder.plan import EntryPoint

    _check(context, script=script, name=name)
    workspace = open_here(context, make=True)
    recover(workspace)
    request = Request(
        entry=EntryPoint("module" if module else "script", script, arguments),
        cwd=Path.cwd(),
        python=python.absolute() if python else active_python(),
        environment=dict(os.environ),
        name=run_name(name),
        stdout_to_stderr=as_json,
    )
    evaluation = evaluate(workspace, request)
    if as_json:
        click.echo(json.dumps(_document(evaluation)))
    _tell(evaluation)
    context.exit(evaluation.exit_code if evaluation.exit_code >= 0 else 128 - evaluation.exit_code)


def _check(context: click.Context, *, script: str, name: str | None) -> None:
    """Refuse a misspelled option, which is taken for the script, and a name that no command could be given."""
    from lakemark._base.errors import nearest

    if script.startswith("-"):
        near = nearest(script, [option for param in context.command.params for option in param.opts if "-" in option])
        raise click.UsageError(f"no such option {script!r}" + (f"; did you mean {near!r}?" if near else ""), context)
    if name is not None and (name.startswith("-") or not name.isprintable()):
        raise click.UsageError(
            f"the name of the run is {name!r}, allowed is printable text that does not begin with '-'", context
        )


def active_python() -> Path:
    """Return the interpreter of the activated virtual environment, or our own."""
    active = os.environ.get("VIRTUAL_ENV")
    candidate = Path(active) / "bin" / "python" if active else Path(sys.executable)
    same = candidate.exists() and candidate.parent == Path(sys.executable).parent
    return Path(sys.executable) if same or not candidate.exists() else candidate


def _document(evaluation: Evaluation) -> Mapping[str, object]:
    return {
        "schema": "lakemark.run/1",
        "run_id": evaluation.run_id,
        "exit_code": evaluation.exit_code,
        "receipt": evaluation.receipt,
    }


def _tell(evaluation: Evaluation) -> None:
    from lakemark.cli.runs import status_word
    from lakemark.cli.show import completeness_line, metrics_line
    from lakemark.cli.text import plain

    receipt, name = evaluation.receipt, evaluation.receipt["name"]
    label = f"{plain(str(name))} ({short(evaluation.run_id)})" if name else short(evaluation.run_id)
    click.echo(f"run {label} {status_word(str(receipt['status']))}: {metrics_line(receipt)}", err=True)
    click.echo(completeness_line(receipt), err=True)
    click.echo(f"\nhint: lakemark show {quote(str(name or short(evaluation.run_id)))}", err=True)
