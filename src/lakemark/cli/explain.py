"""`lakemark explain A B`: why the score moved, by real runs."""

from __future__ import annotations

import json
import sys
import tempfile
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lakemark.reproduce.explanation import Explanation
    from lakemark.reproduce.mixtures import Plan

__all__ = ["explain"]


@click.command(short_help="Say why a metric moved from one run to another.")
@click.argument("a")
@click.argument("b")
@click.option(
    "--metric", metavar="NAME", help="The metric to explain; default: the first that both runs have of a model."
)
@click.option(
    "--evaluate-on", type=click.Choice(["a", "b"]), default="b", show_default=True, help="Whose test rows to score on."
)
@click.option(
    "--bootstrap",
    type=click.IntRange(2),
    default=500,
    show_default=True,
    metavar="N",
    help="Draws of the test rows behind the intervals.",
)
@click.option("--max-runs", type=click.IntRange(0), metavar="N", help="Refuse where more new runs are needed.")
@click.option("--show-output", is_flag=True, help="Show what the scripts print, on stderr.")
@click.option("--yes", is_flag=True, help="Do not ask before new runs start.")
@click.option("--json", "as_json", is_flag=True, help="Print the explanation as JSON.")
@click.pass_context
def explain(
    context: click.Context,
    *,
    a: str,
    b: str,
    metric: str | None,
    evaluate_on: str,
    bootstrap: int,
    max_runs: int | None,
    show_output: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Say how much of a metric's change from run A to run B came from data, code, params and environment.

    A and B are runs, each by its id, the beginning of one, or its name. The mixtures of both are really run, in rebuilt
    worlds; those that ran before are not run again.
    """
    from lakemark.capture.settle import read_receipt
    from lakemark.cli.opening import open_recovered
    from lakemark.reproduce.code_paths import code_paths
    from lakemark.reproduce.explain import Options
    from lakemark.reproduce.explain import explain as evaluate
    from lakemark.reproduce.replay import Replays
    from lakemark.tracking.records import RunKind

    workspace = open_recovered(context)
    receipts = []
    for name in (a, b):
        run = workspace.store.get_run(name)
        receipt = read_receipt(workspace, run)
        if receipt is None:
            raise click.UsageError(f"run {name} is {run.status.lower()} and has no receipt yet")
        receipts.append(receipt)

    def on_plan(plan: Plan) -> None:
        _tell_plan(plan, max_runs=max_runs, ask=not yes)

    options = Options(
        metric=metric,
        evaluate_on=evaluate_on,
        replicates=bootstrap,
        code_diff=code_paths(workspace.home),
        on_plan=on_plan,
        progress=lambda line: click.echo(f"  {line}", err=True),
    )
    with tempfile.TemporaryFile() as hidden:
        output = sys.stderr.buffer if show_output else hidden
        replays = Replays(workspace, RunKind.COUNTERFACTUAL, output=output)
        explanation = evaluate(receipts[0], receipts[1], replayer=replays, objects=workspace.objects, options=options)
    _tell(explanation, as_json=as_json)


def _tell_plan(plan: Plan, *, max_runs: int | None, ask: bool) -> None:
    from lakemark._base.errors import InvalidInputError
    from lakemark.reproduce.explanation_text import render_plan

    click.echo(render_plan(plan), err=True)
    missing = len(plan.missing)
    if max_runs is not None and missing > max_runs:
        raise InvalidInputError(
            f"{missing} new {'run is' if missing == 1 else 'runs are'} needed, --max-runs allows {max_runs}",
            hint=f"--max-runs {missing}",
        )
    if ask and missing and sys.stdin.isatty() and sys.stderr.isatty():
        click.confirm("start them?", default=True, abort=True, err=True)


def _tell(explanation: Explanation, *, as_json: bool) -> None:
    import shutil

    from lakemark.reproduce.explanation_text import render_explanation

    if as_json:
        click.echo(json.dumps(explanation.to_json()))
        return
    encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
    width = shutil.get_terminal_size((100, 24)).columns
    click.echo(render_explanation(explanation, width=width, ascii_only=not encoding.startswith("utf")), nl=False)
