"""`lakemark diff`: two runs side by side."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from shlex import quote
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lakemark._base.canonical import Json
    from lakemark.capture.code import TreeDiff
    from lakemark.capture.comparison import Difference
    from lakemark.capture.workspace import Workspace
    from lakemark.tracking.records import Run

__all__ = ["diff"]


@click.command(short_help="Say what is different from one run to another.")
@click.argument("a")
@click.argument("b")
@click.option("--patch", is_flag=True, help="Print the difference of the code, and nothing else.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def diff(context: click.Context, *, a: str, b: str, patch: bool, as_json: bool) -> None:
    """Say what is different from run A to run B: data, code, environment, params, seeds, compute, metrics.

    A and B are runs, each by its id, the beginning of one, or its name.
    """
    from lakemark._base.fields import section
    from lakemark.capture.comparison import Part, compare_inputs
    from lakemark.cli.opening import open_recovered

    workspace = open_recovered(context)
    first, second = (workspace.store.get_run(ref) for ref in (a, b))
    inputs = tuple(section(_receipt(workspace, run), "inputs") for run in (first, second))
    code = _code_diff(workspace, *inputs)
    if patch:
        click.echo(code.text if code is not None else "", nl=False)
        return
    differences = compare_inputs(*inputs)
    paths = [(changed.path, changed.status) for changed in code.paths] if code is not None else []
    if as_json:
        click.echo(json.dumps(_document(first, second, differences=differences, paths=paths), indent=2))
        return
    for line in _lines(first, second, differences=differences, paths=paths, parts=tuple(Part)):
        click.echo(line)
    if first.status == second.status == "FINISHED":
        click.echo(f"\nhint: lakemark explain {quote(_label(first))} {quote(_label(second))}", err=True)


def _receipt(workspace: Workspace, run: Run) -> Mapping[str, Json]:
    from lakemark._base.errors import NotFoundError
    from lakemark.capture.settle import read_receipt

    receipt = read_receipt(workspace, run)
    if receipt is None:
        raise NotFoundError(
            f"run {_label(run)} has no receipt yet: it is {run.status}", hint="try again when it has ended"
        )
    return receipt


def _code_diff(workspace: Workspace, before: Mapping[str, Json], after: Mapping[str, Json]) -> TreeDiff | None:
    """Compare the snapshots; None where one is missing or gone."""
    from lakemark._base.errors import LakemarkError
    from lakemark._base.fields import section
    from lakemark.capture.code import CodeFacts, diff_trees

    try:
        facts = [CodeFacts.from_json(section(inputs, "code")) for inputs in (before, after)]
        return diff_trees(facts[0], facts[1], home=workspace.home)
    except LakemarkError:
        return None


def _lines(
    first: Run,
    second: Run,
    *,
    differences: Sequence[Difference],
    paths: Sequence[tuple[str, str]],
    parts: Sequence[str],
) -> Iterator[str]:
    from lakemark.cli.text import paint, plain, terminal_width, wrap

    yield paint(plain(f"{_label(first)} -> {_label(second)}"), "bold")
    yield ""
    width, same = terminal_width(), []
    for part in parts:
        told = [f"{difference.name}: {difference.detail}" for difference in differences if difference.part == part]
        if part == "code" and told:
            told += [f"{status} {path}" for path, status in paths]
        for position, line in enumerate(told):
            yield from wrap(part if position == 0 else "", plain(line), width=width)
        if not told:
            same.append(str(part))
    metrics = tuple(_metrics(first, second))
    for position, line in enumerate(metrics):
        yield from wrap("metrics" if position == 0 else "", plain(line), width=width)
    if not metrics:
        same.append("metrics")
    if same:
        yield from wrap("the same", ", ".join(same), width=width)


def _metrics(first: Run, second: Run) -> Iterator[str]:
    """Yield the metrics that differ; two NaN are the same."""
    from lakemark.cli.text import number

    for key in sorted({*first.metrics, *second.metrics}):
        old, new = first.metrics.get(key), second.metrics.get(key)
        if old is None or new is None:
            yield f"{key}: {'none' if old is None else number(old)} -> {'none' if new is None else number(new)}"
        elif number(old) != number(new) or (old != new and not (math.isnan(old) and math.isnan(new))):
            yield f"{key}: {number(old)} -> {number(new)} ({new - old:+.5g})"


def _document(
    first: Run, second: Run, *, differences: Sequence[Difference], paths: Sequence[tuple[str, str]]
) -> dict[str, Json]:
    from lakemark.cli.runs import finite

    return {
        "schema": "lakemark.diff/1",
        "a": first.run_id,
        "b": second.run_id,
        "inputs": [{"part": str(item.part), "name": item.name, "detail": item.detail} for item in differences],
        "code_paths": [{"path": path, "status": status} for path, status in paths],
        "metrics": {
            key: [finite(run.metrics[key]) if key in run.metrics else None for run in (first, second)]
            for key in sorted({*first.metrics, *second.metrics})
        },
    }


def _label(run: Run) -> str:
    return run.name or run.run_id[:8]
