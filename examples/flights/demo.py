"""Tell a true story on real data: run a model, get it again with proof, and learn why its score moved.

`make demo` runs this in `.demo/work`, a fresh folder with a git repository and a Lakemark home of its own. Each step is
a command that anybody can type; what is printed behind `$` is what ran.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
LAKEMARK = Path(sys.executable).with_name("lakemark")
WIDTH = 100
SCORE = re.compile(r"mean absolute error: ([\d.]+) minutes")


class StopError(Exception):
    """A command failed, and the story with it."""


@dataclass(slots=True)
class Story:
    """Where the story plays, and what it has seen so far.

    Parameters
    ----------
    folder : Path
        The working directory of all commands.
    """

    folder: Path
    scores: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def title(self, text: str) -> None:
        """Begin a chapter."""
        print(f"\n\n{text}\n{'=' * len(text)}", flush=True)

    def say(self, text: str) -> None:
        """Print a paragraph."""
        print("\n" + textwrap.fill(" ".join(text.split()), WIDTH), flush=True)

    def type(self, command: str) -> None:
        """Show a command as it would be typed, run it, and stop the story where it fails."""
        print(f"\n$ {command}", flush=True)
        self._run(shlex.split(command))

    def train(self, name: str, arguments: str) -> None:
        """Run the training script under `lakemark run`, and remember the score that it prints."""
        command = f"lakemark run --name {name} train.py {arguments}"
        print(f"\n$ {command}", flush=True)
        printed = self._run(shlex.split(command), keep=True)
        found = SCORE.search(printed)
        if found is None:
            raise StopError(f"train.py did not print its score; what it printed is above ({command})")
        self.scores[name] = float(found[1])

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text in a file of the working copy."""
        path = self.folder / file
        text = path.read_text()
        if old not in text:
            raise StopError(f"{file} has no {old!r} to edit")
        path.write_text(text.replace(old, new))

    def quietly(self, *command: str) -> None:
        """Run a command that is no part of the story."""
        self._run(list(command), keep=True, show=False)

    def _run(self, command: list[str], *, keep: bool = False, show: bool = True) -> str:
        programs = {"lakemark": str(LAKEMARK), "python": sys.executable}
        process = subprocess.Popen(
            [programs.get(command[0], command[0]), *command[1:]],
            cwd=self.folder,
            env=environment(),
            stdout=subprocess.PIPE if keep else None,
            text=True,
        )
        lines = []
        for line in process.stdout or ():
            lines.append(line)
            if show:
                print(line, end="", flush=True)
        if process.wait() != 0:
            raise StopError(f"`{shlex.join(command)}` ended with exit code {process.returncode}")
        return "".join(lines)


def environment() -> dict[str, str]:
    """Return the environment of the commands: the user's, without settings that point elsewhere."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("LAKEMARK_", "GIT_DIR", "GIT_WORK"))
    }
    identity = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in ADA.items()}
    path = f"{LAKEMARK.parent}{os.pathsep}{kept.get('PATH', os.defpath)}"
    return kept | identity | {"VIRTUAL_ENV": str(LAKEMARK.parents[1]), "PATH": path, "PYTHONUNBUFFERED": "1"}


ADA = {"NAME": "Ada", "EMAIL": "ada@example.org"}


def set_the_scene(story: Story) -> None:
    story.say(
        """This is a true story on real data: the 336,776 flights that left New York in 2013. A model learns how late
        a flight arrives from what is known before it leaves: carrier, airports, hour, weather. train.py is an
        ordinary script of 60 lines that has never heard of Lakemark. It reads a Delta table as it stands, and
        tests on the newest seven days."""
    )
    shutil.rmtree(story.folder, ignore_errors=True)
    story.folder.mkdir(parents=True)
    for name in ("train.py", "land.py"):
        shutil.copy(HERE / name, story.folder)
    (story.folder / ".gitignore").write_text("data/\n__pycache__/\n")
    story.quietly("git", "init", "--quiet", "--initial-branch=main")
    story.quietly("git", "add", ".")
    story.quietly("git", "commit", "--quiet", "--message", "Train a model of the arrival delay")
    story.type("lakemark init")


def land_the_nights(story: Story) -> None:
    story.title("1. The data lands, night by night")
    story.say(
        """It is Monday morning, 24 June 2013. All nights up to Sunday have landed: 174 commits, so the table is at
        version 174."""
    )
    story.type("python land.py --until 2013-06-23")
    story.type("lakemark tables history data/flights --limit 5")


def run_twice(story: Story) -> None:
    story.title("2. The same script, on Monday and on Tuesday")
    story.say("On Monday the model is trained with small trees that learn slowly.")
    story.train("monday", "--num-leaves 15 --learning-rate 0.05")
    story.say("In the night one more day lands. On Tuesday somebody tries larger trees that learn faster.")
    story.type("python land.py --until 2013-06-24")
    story.train("tuesday", "--num-leaves 63 --learning-rate 0.1")
    monday, tuesday = story.scores["monday"], story.scores["tuesday"]
    moved = f"{abs(tuesday - monday):.2f} minutes {'worse' if tuesday > monday else 'better'}"
    story.say(
        f"""The mean error went from {monday:.2f} to {tuesday:.2f} minutes, {moved}. Was it the parameters or the data?
        Lakemark wrote down what both runs were made of; the script did not change for it."""
    )
    story.type("lakemark runs")
    story.type("lakemark show monday")


def get_it_again(story: Story) -> None:
    story.title("3. Monday's model again, with proof")
    story.say(
        """A week goes by, and everything that Monday's run was made of changes. Six more nights land, the table's
        small files are merged into large ones, someone edits train.py without a commit, and a vacuum deletes
        the files that the newest version does not need, as cron jobs do. Monday's and Tuesday's versions are
        pinned, so theirs stay."""
    )
    story.type("python land.py --until 2013-06-30 --compact")
    story.edit(
        "train.py", 'objective="regression_l1",  # what is reported is the mean absolute error', 'objective="huber",'
    )
    story.type("git diff --stat")
    story.type("lakemark tables vacuum data/flights --retention-hours 0 --yes")
    story.say(
        """Now Monday's run is rebuilt in a scratch place: the code from its snapshot, the environment from its lock
        with hashes, the table at its pinned version, the same seeds and threads. Then it runs, and the models
        are compared."""
    )
    story.type("lakemark reproduce monday")


def explain_the_change(story: Story) -> None:
    story.title("4. Why the score moved")
    story.say(
        """Two mixtures answer that, and both are really run: Monday's data with Tuesday's parameters, and the other
        way around. All four models are then tested on the same flights, which none of them has seen in
        training."""
    )
    story.type("lakemark explain monday tuesday --yes")
    story.say(
        """So the model got better, and its score got worse: that Monday, 24 June, went badly for the airlines. Flights
        came in 51 minutes late in the mean, against 9 in the seven days before, and 111 of 994 never left. The day
        is in Tuesday's test rows only, so the two scores were never measured on the same flights."""
    )


def go_on(story: Story) -> None:
    story.title("5. What to type next")
    folder = os.path.relpath(story.folder)
    activate = os.path.relpath(LAKEMARK.with_name("activate"), story.folder)
    for command, why in (
        (f"cd {folder} && . {activate}", "go where all this was kept"),
        ("lakemark show tuesday", "the other receipt"),
        ("lakemark diff monday tuesday", "both, side by side"),
        ("lakemark reproduce tuesday --level 5", "exit code 1 for less than a bit-exact model: for CI"),
        ("lakemark explain monday tuesday --json", "for programs; the mixtures are not run again"),
        ("lakemark run train.py --num-leaves 31", "a run of your own"),
    ):
        print(f"  {command:<42}  {why}")
    print(f"\ntold in {time.monotonic() - story.started:.0f} seconds")


STEPS: tuple[Callable[[Story], None], ...] = (
    set_the_scene,
    land_the_nights,
    run_twice,
    get_it_again,
    explain_the_change,
    go_on,
)


def main() -> int:
    """Tell the story; return 1 where a command of it fails."""
    parser = argparse.ArgumentParser(description="a true story on real data, in about two minutes")
    parser.add_argument("--work", type=Path, default=Path(".demo/work"), help="folder to play in; it is emptied first")
    story = Story(parser.parse_args().work.absolute())
    try:
        for step in STEPS:
            step(story)
    except StopError as error:
        print(
            f"\nerror: the demo stops here: {error}\n\nhint: what it made so far is in {story.folder}", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
