"""A project in which scripts run in processes of their own, recorded or replayed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

import deltalake
import pyarrow as pa

from lakemark.recorder.plan import EntryPoint, PinnedTable, Plan, Redirect, write_plan
from lakemark.storage.objects import ObjectStore
from lakemark.tracking.spool import read_events

DRIVER = """
import os, runpy, sys
from pathlib import Path
from lakemark.recorder.hooks import conclude_reads, install_reads
from lakemark.recorder.imports import uninstall
from lakemark.recorder.plan import read_plan
from lakemark.recorder.recording import Recording
from lakemark.tracking.spool import Spool
plan = read_plan(Path(sys.argv[1]))
recording = Recording(plan, Spool(plan.spool))
install_reads(recording)
try:
    runpy.run_path(plan.entry.name, run_name="__main__")
finally:
    conclude_reads(recording)
    uninstall()
    recording.spool.close()
"""

ROWS = pa.table({"x": [1, 2, 3], "s": ["a", "b", "c"]})


@dataclass
class Lab:
    """A project, a folder outside of it, and runs of scripts in them."""

    top: Path
    runs: list[str] = field(default_factory=list)

    @property
    def project(self) -> Path:
        return self.top / "project"

    @property
    def elsewhere(self) -> Path:
        return self.top / "elsewhere"

    @property
    def home(self) -> Path:
        return self.project / ".lakemark"

    def run(self, script: str, *, redirect: Redirect | None = None, store_limit: int = 1 << 20) -> Seen:
        run_id = f"run{len(self.runs)}"
        self.runs.append(run_id)
        cwd = self.project if redirect is None else Path(redirect.scratch_root)
        places = f"PROJECT, ELSEWHERE = Path({str(self.project)!r}), Path({str(self.elsewhere)!r})"
        cwd.joinpath("script.py").write_text(f"from pathlib import Path\n{places}\n{dedent(script)}")
        plan = Plan(
            run_id,
            str(self.home),
            str(cwd),
            str(cwd),
            EntryPoint("script", "script.py"),
            redirect=redirect,
            store_limit=store_limit,
        )
        write_plan(plan, self.top / "plan.json")
        command = [sys.executable, "-W", "error", "-c", DRIVER, str(self.top / "plan.json")]
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return Seen([dict(event) for _, event in read_events(plan.spool)], done.stdout)

    def replay(self, recorded: Seen, script: str, **overrides: Any) -> Seen:
        scratch = self.home / "cache" / f"scratch{len(self.runs)}"  # in the home, so below the project, as in practice
        scratch.mkdir(parents=True)
        tables = [
            PinnedTable(row["uri"], row["requested"], row["version"], row["uri"], row["version"])
            for row in recorded.of("read_table")
        ]
        objects = ObjectStore(self.home / "objects")
        files = {row["path"]: str(objects.path(row["sha256"])) for row in recorded.of("read_file") if row["stored"]}
        parts: dict[str, Any] = {"tables": tuple(tables), "files": files, "outside": str(self.top / "outside")}
        return self.run(script, redirect=Redirect(str(self.project), str(scratch), **parts | overrides))


@dataclass
class Seen:
    events: list[dict[str, Any]]
    output: str

    def of(self, event: str) -> list[dict[str, Any]]:
        return [row for row in self.events if row["event"] == event]

    def missing(self) -> list[str]:
        return [row["why"] for row in self.of("missing")]


def lake(folder: Path, versions: int = 1) -> str:
    for _ in range(versions):
        deltalake.write_deltalake(folder, ROWS, mode="append")
    return str(folder)


# what is seen
