"""Secrets never enter: files, arguments and environment variables, anywhere that Lakemark writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.conftest import Project

pytestmark = pytest.mark.slow

WORD = "hunter2"

# looks, while it runs, for what it was given: in the home, in its spool, in its plan
SEARCH = """\
import os, sys
from pathlib import Path

home = Path(os.environ["LAKEMARK_HOME"])
files = [file for file in home.rglob("*") if file.is_file() and "cache" not in file.parts]
found = [file.name for file in files if sys.argv[2].encode() in file.read_bytes()]
print("given", sys.argv[1:], "found in", found, "of", sorted({file.name for file in files if "spool" in file.parts}))
for name in (".env", "id_rsa", "credentials.json", "conf/.env.prod"):
    open(name).read()
"""


def find_word(project: Project, *, without: frozenset[str] = frozenset()) -> list[str]:
    """Return where the word stands: files of the home, and objects of the repository and the private one."""
    files = [file for file in project.home.rglob("*") if file.is_file() and "cache" not in file.parts]
    found = [str(file) for file in files if WORD.encode() in file.read_bytes()]
    for folder in (project.folder / ".git", project.home / "code.git"):
        if folder.is_dir():
            found += [name for name in objects(project, folder) - without if WORD in content(project, folder, name)]
    return found


def objects(project: Project, folder: Path) -> frozenset[str]:
    listed = project.git(f"--git-dir={folder}", "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
    return frozenset(listed.split())


def content(project: Project, folder: Path, name: str) -> str:
    kind = project.git(f"--git-dir={folder}", "cat-file", "-t", name).strip()
    return project.git(f"--git-dir={folder}", "cat-file", kind if kind != "tree" else "-p", name)


@pytest.mark.parametrize("repository", ["git", "private"])
def test_secrets_are_stored_nowhere_and_that_is_said(bare: Project, repository: str) -> None:
    bare.write("search.py", SEARCH)
    bare.write(".env", f"PASSWORD={WORD}\n")
    bare.write("id_rsa", f"-----BEGIN OPENSSH PRIVATE KEY-----\n{WORD}\n")
    bare.write("credentials.json", f'{{"key": "{WORD}"}}')
    bare.write("conf/.env.prod", f"PASSWORD={WORD}\n")
    bare.git("add", "--force", "conf/.env.prod")
    bare.git("commit", "--quiet", "--message", "Track a secret")
    before = objects(bare, bare.folder / ".git")
    if repository == "private":
        (bare.folder / ".git").rename(bare.folder.parent / "git")

    arguments = (
        "--password",
        f"{WORD}-a",
        f"--api-key={WORD}-b",
        f"postgresql://user:{WORD}-c@host/db",
        "--depth",
        "3",
    )
    done = bare.run(
        "run", "--name", "secret", "search.py", *arguments, AWS_SECRET_ACCESS_KEY=f"{WORD}-d", MY_TOKEN=f"{WORD}-e"
    )

    assert done.stdout.startswith(f"given {list(arguments)} found in [] of ['events.jsonl', ")
    assert find_word(bare, without=before) == []
    receipt = bare.receipt("secret")
    skipped = {row["path"]: row["reason"] for row in receipt["inputs"]["code"]["skipped"]}
    assert skipped == {
        ".env": "environment file",
        "conf/.env.prod": "environment file",
        "credentials.json": "credentials",
        "id_rsa": "private key",
    }
    assert receipt["inputs"]["data"]["files"] == []
    values = receipt["inputs"]["params"]["values"]
    assert {key: values[key] for key in ("depth", "password")} == {"depth": "3", "password": "<redacted>"}
    missing = [row["why"] for row in receipt["completeness"]["missing"]]
    assert f"secret file not stored: {bare.folder}/.env (environment file)" in missing
    assert "the value of password looks like a secret and was not stored" in missing
    told = bare.run("show", "secret").stdout
    assert "not stored: .env (environment file), conf/.env.prod (environment file)" in told
    assert "--password <redacted>" in told
    assert WORD not in told

    refused = bare.run("reproduce", "secret", expect=1)
    assert "verdict: could not run (level 0 of 5)" in refused.stdout
    assert "params: an argument of search.py --password <redacted>" in refused.stdout
    assert WORD not in refused.stdout + refused.stderr
    assert find_word(bare, without=before) == []


def test_a_mixture_with_a_redacted_argument_is_not_run(bare: Project) -> None:
    bare.write("in.txt", "1")
    bare.write(
        "train.py",
        "import sys\nimport lakemark\nlakemark.log_metric('score', int(open('in.txt').read()) + len(sys.argv[2]))\n",
    )
    bare.run("run", "--name", "a", "train.py", "--password", WORD)
    bare.write("in.txt", "5")
    bare.run("run", "--name", "b", "train.py", "--user", "someone")

    before = len(bare.runs("--all"))
    explanation = bare.json("explain", "a", "b", "--yes")
    errors = {mixture["error"] for mixture in explanation["mixtures"] if mixture["error"]}
    assert errors == {
        "params: an argument of train.py --password <redacted> looked like a secret and was not stored",
    }
    assert len(bare.runs("--all")) == before + 1
    assert find_word(bare) == []


def test_a_secret_file_that_the_script_needs_is_named_when_it_is_missing(bare: Project) -> None:
    bare.write(".env", WORD)
    bare.write("reads.py", "import lakemark\nlakemark.log_metric('length', len(open('.env').read()))\n")
    bare.run("run", "--name", "reads", "reads.py")
    told = bare.run("reproduce", "reads", expect=1).stdout
    assert "level 0" in told
    assert "No such file or directory: '.env'" in told
    assert f"secret file not stored: {bare.folder}/.env (environment file)" in told
