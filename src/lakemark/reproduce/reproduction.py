"""`lakemark reproduce`: that run again, with proof that it is the same."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping
from shlex import quote
from typing import IO

from lakemark._base.canonical import Json, canonical
from lakemark._base.clock import now_ms
from lakemark._base.errors import InvalidInputError
from lakemark._base.fields import records, section, text
from lakemark._base.ids import short
from lakemark.capture.settle import read_receipt
from lakemark.capture.workspace import Workspace
from lakemark.reproduce.failures import ReplayError
from lakemark.reproduce.noise import MINIMUM_SEEDS, grade_by_noise, measure_noise
from lakemark.reproduce.replay import Replays
from lakemark.reproduce.verdict import Level, Verdict, could_not_run, judge
from lakemark.reproduce.world import Step
from lakemark.tracking.records import Run, RunKind, RunStatus
from lakemark.tracking.records import Verdict as VerdictRow

__all__ = ["reproduce"]

_TAIL = 2_000
"""Characters of a failed replay's output that are searched for its last line."""


def reproduce(
    workspace: Workspace,
    run: Run,
    *,
    on_step: Callable[[Step], None] = lambda _step: None,
    keep: bool = False,
    show_output: bool = False,
    seeds: int = 0,
) -> Verdict:
    """Evaluate a run's receipt again in a rebuilt world and grade how equal the outputs are.

    Parameters
    ----------
    workspace : Workspace
        Where the run is; the replay, a run of its own, and the verdict are written there too.
    run : Run
        The run to repeat; it must have finished.
    on_step : callable
        Told of each step that is done.
    keep : bool, default False
        Leave the scratch folder.
    show_output : bool, default False
        Let the script print; it is kept out of sight otherwise.
    seeds : int, default 0
        Where the replay differs, run this many seeds (3 or more) to measure the noise band that level 2 asks for.

    Raises
    ------
    InvalidInputError
        If the run did not finish: then there is nothing to compare with.
    """
    receipt = read_receipt(workspace, run)
    label = run.name or short(run.run_id)
    if receipt is None or run.status is not RunStatus.FINISHED:
        word = "interrupted" if run.status is RunStatus.KILLED else run.status.lower()
        raise InvalidInputError(
            f"run {label} is {word}: only a finished run has outputs to compare with",
            hint="lakemark runs lists the runs",
        )
    if run.kind is RunKind.RUN and run.parent_run_id is not None:
        outer = short(run.parent_run_id)
        raise InvalidInputError(
            f"run {label} is a part of run {outer}: what can be run again is the whole",
            hint=f"lakemark reproduce {outer}",
        )
    with tempfile.TemporaryFile() as hidden:
        output = None if show_output else hidden
        replays = Replays(workspace, RunKind.REPLAY, on_step=on_step, output=output, keep=keep)
        verdict = _evaluate(replays, receipt, label=label, seeds=seeds)
    _write(workspace, verdict, receipt_digest=str(run.receipt))
    return verdict


def _evaluate(replays: Replays, receipt: Mapping[str, Json], *, label: str, seeds: int) -> Verdict:
    try:
        replay = replays.evaluate(
            section(receipt, "inputs"), name=f"{label}-replay", parent_run_id=str(receipt["run_id"])
        )
    except ReplayError as failure:
        return could_not_run(receipt, stage=failure.stage, reason=failure.reason, hint=failure.hint)
    replay_run_id = str(replay["run_id"])
    if replay["status"] != "FINISHED":
        reason = "; ".join([_why_failed(replay, replays.output), *_withheld(receipt)])
        hint = f"lakemark show {short(replay_run_id)}"
        return could_not_run(receipt, stage="run", reason=reason, hint=hint, replay_run_id=replay_run_id)
    replays.on_step(Step("run", f"finished in {section(replay, 'outputs')['wall_seconds']} s"))
    verdict = judge(receipt, replay, objects=replays.workspace.objects)
    if verdict.level is not Level.DIFFERS:
        return verdict
    if not records(receipt, "outputs", "metrics"):
        return dataclasses.replace(verdict, hint="lakemark.log_metric in the script gives a metric to compare")
    if seeds < MINIMUM_SEEDS:
        return dataclasses.replace(verdict, hint=f"lakemark reproduce {quote(label)} --seeds 5 measures the noise band")
    quiet = dataclasses.replace(replays, kind=RunKind.COUNTERFACTUAL, on_step=lambda _step: None)
    bands = measure_noise(receipt, seeds=seeds, replays=quiet)
    return grade_by_noise(verdict, receipt, replay=replay, bands=bands)


def _why_failed(replay: Mapping[str, Json], output: IO[bytes] | None) -> str:
    error = section(replay, "outputs", "error")
    if error:
        frames = records(error, "frames")
        where = f" ({frames[-1]['file']}:{frames[-1]['line']})" if frames else ""
        confined = "; a replay writes to its own folders only" if error["type"] == "PermissionError" else ""
        return f"the script failed: {error['type']}: {error['message']}{where}{confined}"
    if output is not None:
        output.seek(0, 2)
        output.seek(max(0, output.tell() - _TAIL))
        lines = output.read().decode(errors="replace").strip().splitlines()
        if lines:
            return f"the script ended early, its last words were: {lines[-1]}"
    return f"the script ended early ({text(replay, 'status')})"


def _withheld(receipt: Mapping[str, Json]) -> list[str]:
    """Return which secret files the original run read: a replay does not have them."""
    told = [str(row["why"]) for row in records(receipt, "completeness", "missing") if row["fact"] == "data"]
    return [why for why in told if why.startswith("secret file")]


def _write(workspace: Workspace, verdict: Verdict, *, receipt_digest: str) -> None:
    created = now_ms()
    document = verdict.to_json() | {"receipt": receipt_digest, "created_ms": created}
    digest = workspace.objects.put(canonical(document))
    workspace.store.add_verdict(VerdictRow(digest, verdict.run_id, verdict.replay_run_id, int(verdict.level), created))
