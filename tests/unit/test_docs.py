"""Every code block of README.md and docs/ runs, from top to bottom of its page, in one folder and one interpreter.

What the word behind three backticks and a language means:

- `python`: run, in the namespace of the page's earlier blocks; `python file=train.py`: written to that file instead;
- `console`: the lines that start with `$ ` are commands, and each must exit 0; the lines between them show what a
  reader sees, and are not compared; `console no-run` and `python no-run`: only shown.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(python|console)([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LIMIT = 600  # seconds after which a block counts as hanging

# The interpreter of one page: reads blocks as JSON lines, runs them in one namespace, answers each with a line.
INTERPRETER = """
import json, os, sys, traceback
answers = os.fdopen(int(sys.argv[1]), "w")
namespace = {"__name__": "__main__"}
for line in sys.stdin:
    block = json.loads(line)
    try:
        exec(compile("\\n" * block["line"] + block["text"], block["page"], "exec"), namespace)
        answer = ""
    except BaseException:
        answer = traceback.format_exc()
    print(json.dumps(answer), file=answers, flush=True)
"""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block that runs: its language, what stands behind the language, its text and its line in the page."""

    language: str
    words: tuple[str, ...]
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The file that the block is the content of."""
        return next((word.removeprefix("file=") for word in self.words if word.startswith("file=")), None)

    @property
    def commands(self) -> list[str]:
        """The commands of a console block; a backslash at the end of a line goes on in the next."""
        return [line[2:] for line in self.text.replace("\\\n", " ").splitlines() if line.startswith("$ ")]


def read_blocks(page: str) -> Iterator[Block]:
    """Yield the blocks of a page that run."""
    for found in FENCE.finditer(page):
        words = tuple(found[2].split())
        unknown = [word for word in words if word != "no-run" and not word.startswith("file=")]
        assert not unknown, f"a code block is marked {unknown[0]!r}: allowed are no-run and file=NAME"
        if "no-run" not in words:
            yield Block(found[1], words, found[3], page[: found.start()].count("\n") + 1)


def run_page(name: str, page: str, folder: Path) -> None:
    """Run the blocks of a page in `folder`; the first that fails raises."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    reading, writing = os.pipe()
    command = [sys.executable, "-c", INTERPRETER, str(writing)]
    with (
        os.fdopen(reading) as answers,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, cwd=folder, env=environment, pass_fds=[writing], text=True
        ) as interpreter,
    ):
        os.close(writing)
        assert interpreter.stdin is not None
        for block in read_blocks(page):
            if block.file is not None:
                (folder / block.file).write_text(block.text)
            elif block.language == "python":
                request = {"page": name, "line": block.line, "text": block.text}
                print(json.dumps(request), file=interpreter.stdin, flush=True)
                answer = answers.readline()
                assert answer, f"{name}:{block.line}: the interpreter died"
                assert not json.loads(answer), json.loads(answer)
            else:
                run_commands(name, block, folder=folder, environment=environment)
        interpreter.stdin.close()


def run_commands(name: str, block: Block, *, folder: Path, environment: dict[str, str]) -> None:
    """Run the commands of a console block."""
    for command in block.commands:
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        where = f"{name}:{block.line}: $ {command}"
        assert done.returncode == 0, f"{where}\nexit code {done.returncode}\n{done.stdout}{done.stderr}"


def list_pages() -> list[Path]:
    """Return README.md and all pages of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", list_pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_code_blocks_run(page: Path, tmp_path: Path) -> None:
    run_page(page.relative_to(ROOT).as_posix(), page.read_text(), tmp_path)


def test_blocks_share_a_namespace_and_a_folder(tmp_path: Path) -> None:
    page = (
        "```python\nx = 20\n```\n"
        "```python file=add.py\nimport sys\nprint(int(sys.argv[1]) + 1)\n```\n"
        "```console\n$ python add.py \\\n  41 > out.txt\n42\n```\n"
        "```python\nassert open('out.txt').read() == f'{x + 22}\\n'\n```\n"
        "```console no-run\n$ exit 3\n```\n"
    )
    run_page("page.md", page, tmp_path)


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ("text\n\n```python\n1 / 0\n```\n", 'page.md", line 4'),
        ("```console\n$ false\n```\n", "page.md:1: \\$ false\n *exit code 1"),
        ("```python\nraise SystemExit(0)\n```\n", "SystemExit"),
        ("```console norun\n$ false\n```\n", "'norun'"),
    ],
)
def test_a_block_that_fails_is_named_with_its_place(page: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=says):
        run_page("page.md", page, tmp_path)
