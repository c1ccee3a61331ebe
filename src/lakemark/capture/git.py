"""Git as a program: finding a repository, and a scratch git folder in which the user's settings do not apply.

Snapshots are built and restored in a *scratch git folder*: a temporary one with an index of its own, that writes its
objects into the real repository's object folder. So the user's index is never opened for writing, and the user's
hooks, filters, line-end conversions and signing settings do not exist there: a blob is exactly the bytes of the file.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lakemark._base.errors import LakemarkError

__all__ = ["GitError", "Repository", "ScratchGit", "create_repository", "find_repository", "git_text", "scratch_git"]

_SECONDS = 300
_KEPT_VARIABLES = frozenset(
    {"GIT_CEILING_DIRECTORIES", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_SYSTEM", "GIT_EXEC_PATH"}
)
_KEPT_SETTINGS = frozenset(
    f"core.{name}"
    for name in (
        "checkstat",
        "excludesfile",
        "filemode",
        "ignorecase",
        "longpaths",
        "precomposeunicode",
        "sharedrepository",
        "symlinks",
        "trustctime",
    )
)
# Above all other attributes, so that no conversion applies; encodings must be unspecified, git refuses a mere "unset".
_NO_CONVERSION = "* -text !eol -crlf !filter -ident !working-tree-encoding\n"


class GitError(LakemarkError):
    """Git is not there, or did not do what was asked."""

    code = "git"


@dataclass(frozen=True, slots=True)
class Repository:
    """Where the parts of a repository are.

    Parameters
    ----------
    top : Path
        The work tree's top folder, absolute.
    git_dir : Path
        The folder that holds refs and objects (of all work trees).
    index : Path
        The index file; it need not exist.
    objects : Path
        The object folder.
    object_format : {"sha1", "sha256"}
        How objects are named.
    head : str or None
        The commit that is checked out; None before the first one.
    settings : mapping of str to str
        The user's `core.*` settings that apply here, names in lower case.
    """

    top: Path
    git_dir: Path
    index: Path
    objects: Path
    object_format: str = "sha1"
    head: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScratchGit:
    """A scratch git folder over a repository's objects.

    Parameters
    ----------
    folder : Path
        The scratch git folder.
    work_tree : Path
        The work tree that commands act on.
    environment : mapping of str to str
        The environment of each command.
    """

    folder: Path
    work_tree: Path
    environment: Mapping[str, str]

    def run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Run git on the private index and return what it printed.

        Raises
        ------
        GitError
            If it failed; the message carries what it said.
        """
        return _run(arguments, folder=self.work_tree, environment=self.environment, stdin=stdin)


def git_text(folder: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    """Run git in `folder` with the user's settings, reading only, and return what it printed.

    Raises
    ------
    GitError
        If git is missing or failed.
    """
    return _run(arguments, folder=folder, environment=_user_environment(), stdin=stdin)


def find_repository(start: Path) -> Repository | None:
    """Return the repository whose work tree holds `start`, or None.

    Parameters
    ----------
    start : Path
        A folder.

    Raises
    ------
    GitError
        If git is missing, or refuses the repository (it belongs to another user, it is damaged).
    """
    asked = ("--show-toplevel", "--git-common-dir", "--git-path", "index", "--git-path", "objects")
    head = ("--revs-only", "HEAD^{commit}")  # says nothing before the first commit
    try:
        answer = git_text(start, "rev-parse", "--path-format=absolute", *asked, "--show-object-format", *head)
    except GitError as error:
        if "not a git repository" in error.message or "must be run in a work tree" in error.message:
            return None
        raise
    top, git_dir, index, objects, object_format, *commit = os.fsdecode(answer).rstrip("\n").split("\n")
    return Repository(
        top=Path(top),
        git_dir=Path(git_dir),
        index=Path(index),
        objects=Path(objects),
        object_format=object_format,
        head=commit[0] if commit else None,
        settings=_core_settings(start),
    )


def create_repository(folder: Path, *, top: Path, index: Path) -> Repository:
    """Return the private repository in `folder`, made where it is missing, for a work tree that has none.

    Parameters
    ----------
    folder : Path
        The git folder.
    top : Path
        The work tree.
    index : Path
        Where an index of this work tree is kept between snapshots.
    """
    if not (folder / "HEAD").exists():
        _run(
            ("init", "--quiet", "--bare", "--template=", str(folder)),
            folder=folder.parent,
            environment=_user_environment() | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
        )
    return Repository(top=top, git_dir=folder, index=index, objects=folder / "objects")


@contextmanager
def scratch_git(
    repository: Repository, *, work_tree: Path | None = None, alternates: Sequence[Path] = ()
) -> Iterator[ScratchGit]:
    """Make a scratch git folder over a repository's objects, and remove it afterwards.

    Parameters
    ----------
    repository : Repository
        Whose objects are read and written.
    work_tree : Path, optional
        The folder that commands act on; the repository's own where not given.
    alternates : sequence of Path
        Further object folders to read from.
    """
    with tempfile.TemporaryDirectory(prefix="lakemark-git-") as name:
        folder = Path(name).resolve()
        for part in ("refs", "objects", "info"):
            (folder / part).mkdir()
        (folder / "HEAD").write_text("ref: refs/heads/none\n")
        (folder / "config").write_text(_settings_text(repository))
        (folder / "info" / "attributes").write_text(_NO_CONVERSION)
        excludes = repository.git_dir / "info" / "exclude"
        if excludes.is_file():
            shutil.copyfile(excludes, folder / "info" / "exclude")
        environment = _user_environment() | {
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_DIR": str(folder),
            "GIT_INDEX_FILE": str(folder / "index"),
            "GIT_OBJECT_DIRECTORY": str(repository.objects),
            "GIT_WORK_TREE": str(work_tree or repository.top),
            "GIT_NO_REPLACE_OBJECTS": "1",
        }
        if alternates:
            environment["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = os.pathsep.join(str(path) for path in alternates)
        yield ScratchGit(folder=folder, work_tree=work_tree or repository.top, environment=environment)


def _settings_text(repository: Repository) -> str:
    """Write the scratch folder's own settings: the user's view of the file system, and nothing else."""
    lines = ["[core]", "bare = false", "autocrlf = false", "safecrlf = false", "untrackedCache = false"]
    sha256 = repository.object_format == "sha256"
    lines.append(f"repositoryformatversion = {int(sha256)}")
    for name, value in repository.settings.items():
        if name in _KEPT_SETTINGS:
            quoted = value.replace("\\", "\\\\").replace('"', '\\"')
            lines.append(f'{name.partition(".")[2]} = "{quoted}"')
    if sha256:
        lines += ["[extensions]", "objectFormat = sha256"]
    return "\n".join(lines) + "\n"


def _core_settings(folder: Path) -> dict[str, str]:
    try:
        answer = os.fsdecode(git_text(folder, "config", "-z", "--get-regexp", r"^core\."))
    except GitError as error:
        if error.context.get("exit_code") == 1:
            return {}
        raise
    settings: dict[str, str] = {}
    for record in filter(None, answer.split("\0")):
        name, newline, value = record.partition("\n")
        settings[name.lower()] = value if newline else "true"
    return settings


def _user_environment() -> dict[str, str]:
    """Return the environment without what would point git elsewhere, in plain English, never waiting for a person."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in _KEPT_VARIABLES}
    return kept | {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}


def _run(arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str], stdin: bytes = b"") -> bytes:
    verb = next(word for word in arguments if not word.startswith("-") and "=" not in word)
    command = ["git", "-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false", *arguments]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, input=stdin, capture_output=True, timeout=_SECONDS, check=False
        )
    except FileNotFoundError:
        if not folder.is_dir():
            raise GitError(f"there is no folder {folder}") from None
        raise GitError(
            "git is not installed, or not on the PATH: code cannot be snapshotted", hint="install git 2.31 or newer"
        ) from None
    except subprocess.TimeoutExpired:
        raise GitError(f"git {verb} in {folder} did not end within {_SECONDS} s") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip() or "it said nothing"
        raise GitError(f"git {verb} in {folder} failed: {said}", exit_code=done.returncode)
    return done.stdout
