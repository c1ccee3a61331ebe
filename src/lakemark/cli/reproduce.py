"""`lakemark reproduce RUN`: that run again, with proof that it is the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lakemark.reproduce.verdict import Check, Verdict
    from lakemark.reproduce.world import Step

__all__ = ["reproduce"]

_TICKS = {True: "✓", False: "✗", None: "·"}


_HELP = """Rebuild RUN's world in a scratch place, run it again, and say how equal it is.

\b
level 5  bit-exact model             level 2  statistically equivalent
level 4  bit-exact predictions       level 1  differs
level 3  numerically equal           level 0  could not run

RUN is an id, the beginning of one, or a name (of several runs the newest).
"""


@click.command(help=_HELP, short_help="Rebuild a run, run it again, and grade how equal it is.")
@click.argument("run")
@click.option(
    "--level", type=click.IntRange(1, 5), default=2, show_default=True, help="The level below which to exit 1."
)
@click.option("--keep", is_flag=True, help="Leave the scratch folder for a look.")
@click.option("--show-output", is_flag=True, help="Show what the script prints.")
@click.option("--seeds", type=click.IntRange(0), default=0, help="Seeds to measure the noise band with, 3 or more.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
@click.pass_context
def reproduce(
    context: click.Context, *, run: str, level: int, keep: bool, show_output: bool, seeds: int, as_json: bool
) -> None:
    """Run a receipt again, and print the verdict."""
    from lakemark.capture.settle import recover
    from lakemark.cli.opening import open_here
    from lakemark.reproduce.noise import MINIMUM_SEEDS
    from lakemark.reproduce.reproduction import reproduce as evaluate

    if 0 < seeds < MINIMUM_SEEDS:
        raise click.UsageError(f"--seeds is {seeds}, allowed is 0 or at least {MINIMUM_SEEDS}", context)
    workspace = open_here(context)
    recover(workspace)
    verdict = evaluate(
        workspace, workspace.store.get_run(run), on_step=_tell_step, keep=keep, show_output=show_output, seeds=seeds
    )
    if as_json:
        click.echo(json.dumps(verdict.to_json()))
    else:
        _tell(verdict)
    context.exit(0 if verdict.level >= level else 1)


def _tell_step(step: Step) -> None:
    click.echo(f"  {step.name:<12} {step.detail}", err=True)


def _tell(verdict: Verdict) -> None:
    for check in verdict.checks:
        click.echo(_line(check))
    if verdict.checks:
        click.echo()
    click.echo(f"verdict: {verdict.level.title} (level {int(verdict.level)} of 5)")
    if verdict.reason:
        click.echo(f"  {verdict.reason}")
    if verdict.differences and verdict.level < 4:
        click.echo("  what is different in the replay:")
        for difference in verdict.differences:
            click.echo(f"    {difference.part}: {difference.name}: {difference.detail}")
    if verdict.hint:
        click.echo(f"\nhint: {verdict.hint}", err=True)


def _line(check: Check) -> str:
    return f"  {_TICKS[check.same]} {check.name:<12} {check.detail}"
