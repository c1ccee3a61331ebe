"""Evaluating a receipt's inputs again: in a rebuilt world, as a tracked run of its own."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, cast

from lakemark._base.canonical import Json
from lakemark._base.errors import UserCodeError
from lakemark._base.fields import records, section, words
from lakemark._base.ids import new_run_id
from lakemark.capture.child import instrumented, run_child
from lakemark.capture.receipt import Receipt, memo_key
from lakemark.capture.run import Beginning, begin, ended_by, write_exit
from lakemark.capture.settle import read_receipt, settle
from lakemark.capture.workspace import Workspace
from lakemark.recorder.plan import EntryPoint, Plan
from lakemark.recorder.secrets import REDACTED
from lakemark.reproduce.failures import ReplayError
from lakemark.reproduce.world import Step, World, build_world
from lakemark.tracking.records import RunKind

__all__ = ["Replays"]

_SCORING_SECONDS = 3_600


@dataclass(frozen=True)
class Replays:
    """Runs inputs again, or a mixture of two runs' inputs for the first time.

    Parameters
    ----------
    workspace : Workspace
        Where receipts, snapshots, locks and pins are, and where the new runs go.
    kind : RunKind
        What the new runs are: REPLAY or COUNTERFACTUAL.
    on_step : callable
        Told of each step of a rebuild.
    output : binary file, optional
        Takes what the scripts print; None lets them print.
    keep : bool, default False
        Leave the scratch folders.
    """

    workspace: Workspace
    kind: RunKind
    on_step: Callable[[Step], None] = lambda _step: None
    output: IO[bytes] | None = None
    keep: bool = False

    def memo_key(self, inputs: Mapping[str, Json]) -> str:
        """Return the digest by which a run with these inputs is found again."""
        return memo_key(inputs)

    def find(self, memo_key: str) -> Receipt | None:
        """Return the receipt of a finished run with this key, or None."""
        run = self.workspace.store.find_by_memo_key(memo_key)
        return read_receipt(self.workspace, run) if run is not None else None

    def evaluate(self, inputs: Mapping[str, Json], *, name: str, parent_run_id: str) -> Receipt:
        """Run these inputs in a rebuilt world and return the receipt.

        Raises
        ------
        ReplayError
            If the world can't be rebuilt, or its arguments are not known; no run is made then.
        """
        _refuse_unknown(inputs)
        if self.kind is RunKind.COUNTERFACTUAL:
            _refuse_edited(inputs)
        with build_world(self.workspace, inputs, on_step=self.on_step, keep=self.keep) as world:
            return self._run(world, inputs, name=name, parent_run_id=parent_run_id)

    def _run(self, world: World, inputs: Mapping[str, Json], *, name: str, parent_run_id: str) -> Receipt:
        workspace, code = self.workspace, section(inputs, "code")
        written = section(code, "entry")
        entry = EntryPoint(str(written["kind"]), str(written["name"]), tuple(words(written, "argv")))
        run_id = new_run_id()
        spool = begin(
            workspace,
            Beginning(run_id, entry, world.cwd, name=name, kind=self.kind, parent_run_id=parent_run_id),
        )
        spool.write("code", **{key: value for key, value in code.items() if key not in ("entry", "extra")})
        spool.close()
        seed = section(inputs, "randomness").get("root_seed")
        plan = Plan(
            run_id=run_id,
            home=str(workspace.home.path),
            project=str(world.project),
            cwd=str(world.cwd),
            entry=dataclasses.replace(entry, name=world.script),
            root_seed=seed if isinstance(seed, int) else 0,
            redirect=world.redirect,
            sample_rows=workspace.settings.sample_rows,
            store_limit=workspace.settings.store_limit,
        )
        variables = {
            **world.environment,
            "LAKEMARK_HOME": str(workspace.home.path),
            "LAKEMARK_WAREHOUSE": workspace.settings.warehouse,
        }
        exit_code = run_child(plan, python=world.python, environment=variables, output=self.output)
        write_exit(plan.spool, exit_code)
        return settle(workspace, run_id, status=ended_by(exit_code), memo_key=memo_key(inputs))

    def score(self, request: Mapping[str, Json], *, inputs: Mapping[str, Json]) -> Mapping[str, Json]:
        """Answer a request of `lakemark.recorder.scoring` in the environment and the code tree of `inputs`.

        Raises
        ------
        UserCodeError
            If the process failed; the message ends with the last line that it wrote.
        """
        with build_world(self.workspace, inputs, on_step=lambda _step: None) as world:
            asked, answered = world.folder / "request.json", world.folder / "answer.json"
            asked.write_text(json.dumps(request))
            roots = {"PYTHONPATH": os.pathsep.join(world.redirect.import_roots)}
            with instrumented(world.python, {**world.environment, **roots}) as variables:
                done = subprocess.run(
                    [str(world.python), "-P", "-m", "lakemark.recorder.scoring", str(asked), str(answered)],
                    cwd=world.cwd,
                    env=variables,
                    capture_output=True,
                    text=True,
                    timeout=_SCORING_SECONDS,
                    check=False,
                )
            if done.returncode != 0 or not answered.exists():
                last = (done.stderr.strip().splitlines() or ["no message"])[-1]
                raise UserCodeError(f"scoring the models failed: {last}")
            return cast("Mapping[str, Json]", json.loads(answered.read_text()))


def _refuse_edited(inputs: Mapping[str, Json]) -> None:
    """Refuse to take a mixture's environment from a run with edited packages: a rebuilt one has not the edits."""
    edited = [str(row["name"]) for row in records(inputs, "env", "packages") if row.get("modified")]
    if edited:
        raise ReplayError(
            "environment",
            f"installed files of {', '.join(edited)} were edited, and the edits are not kept",
            hint="install the package from its edited source, which is then kept as code",
        )


def _refuse_unknown(inputs: Mapping[str, Json]) -> None:
    """Refuse to run with `<redacted>` where a secret was, or with the mark for bytes that are no text."""
    entry = section(inputs, "code", "entry")
    argv = words(entry, "argv")
    called = " ".join([str(entry.get("name")), *argv])
    if any(REDACTED in word for word in argv):
        raise ReplayError(
            "params",
            f"an argument of {called} looked like a secret and was not stored",
            hint="a secret in a file outside of the project, such as ~/.pgpass, can be read again",
        )
    if any("\ufffd" in word for word in argv):
        raise ReplayError("params", f"an argument of {called} was not UTF-8, and could not be stored as it was")
