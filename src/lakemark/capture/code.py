"""The code of a run: a snapshot of the working copy as a tree of git, its restore, and the difference of two.

A snapshot holds what is committed, what is changed, and what git does not know yet, byte for byte as it lies on disk.
It is a commit under the hidden ref `refs/lakemark/runs/RUN` of the user's repository (`git push` and `git gc` treat it
like any ref, `git status` and `git branch` do not show it), or of a private repository in the home where the code is
in none.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from lakemark._base.canonical import Json
from lakemark._base.errors import ConflictError, InvalidInputError, NotFoundError
from lakemark.capture.git import (
    GitError,
    Repository,
    ScratchGit,
    create_repository,
    find_repository,
    git_text,
    scratch_git,
)
from lakemark.capture.selection import Limits, Skipped, summarize
from lakemark.capture.working_copy import write_folder_tree, write_tree
from lakemark.config.home import Home

__all__ = [
    "REF_PREFIX",
    "ChangedPath",
    "CodeFacts",
    "TreeDiff",
    "diff_trees",
    "restore",
    "snapshot",
    "snapshot_files",
]

REF_PREFIX = "refs/lakemark/runs/"
_RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,99}")
_STATUS = {"A": "added", "D": "deleted", "M": "modified", "T": "modified"}


@dataclass(frozen=True, slots=True)
class CodeFacts:
    """What the code of a run was.

    Parameters
    ----------
    vcs : {"git", "private"}
        The user's repository, or the private one in the home.
    project : str
        The project folder, absolute: the top of the work tree, or the folder where the run started.
    commit : str or None
        The commit that was checked out; None where there was none.
    tree : str
        The snapshot's tree.
    ref : str
        The ref that keeps it.
    dirty : bool
        Whether the working copy was not the commit.
    cwd : str
        The working directory relative to the project, posix.
    skipped : tuple of Skipped
        Files and folders that are not in the snapshot, and why.
    how : str
        Always `"observed"`.
    """

    vcs: str
    project: str
    commit: str | None
    tree: str
    ref: str
    dirty: bool
    cwd: str = "."
    skipped: tuple[Skipped, ...] = ()
    how: str = "observed"

    def to_json(self) -> dict[str, Json]:
        """Return the facts as the `code` event and the receipt spell them."""
        skipped: list[Json] = [
            {"path": _printable(entry.path), "reason": entry.reason, "size": entry.size} for entry in self.skipped
        ]
        return {
            "vcs": self.vcs,
            "project": _printable(self.project),
            "commit": self.commit,
            "tree": self.tree,
            "ref": self.ref,
            "dirty": self.dirty,
            "cwd": _printable(self.cwd),
            "skipped": skipped,
            "how": self.how,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> CodeFacts:
        """Read facts that `to_json` wrote; further keys are left alone.

        Raises
        ------
        InvalidInputError
            If a field is missing.
        """
        try:
            skipped = cast("list[Mapping[str, Json]]", data["skipped"])
            return cls(
                vcs=str(data["vcs"]),
                project=str(data["project"]),
                commit=cast("str | None", data["commit"]),
                tree=str(data["tree"]),
                ref=str(data["ref"]),
                dirty=bool(data["dirty"]),
                cwd=str(data["cwd"]),
                skipped=tuple(
                    Skipped(str(entry["path"]), str(entry["reason"]), cast("int | None", entry["size"]))
                    for entry in skipped
                ),
                how=str(data["how"]),
            )
        except KeyError as error:
            raise InvalidInputError(f"the facts of the code lack {error}") from None


@dataclass(frozen=True, slots=True)
class ChangedPath:
    """A file that differs between two snapshots.

    Parameters
    ----------
    path : str
        Relative to the project, posix.
    status : {"added", "deleted", "modified"}
        What became of it from the first snapshot to the second.
    """

    path: str
    status: str


@dataclass(frozen=True, slots=True)
class TreeDiff:
    """What differs between two snapshots.

    Parameters
    ----------
    paths : tuple of ChangedPath
        The files, sorted.
    text : str
        A unified diff; of binary files only that they differ.
    """

    paths: tuple[ChangedPath, ...]
    text: str


def snapshot(
    start: Path, *, home: Home, run_id: str, cwd: Path | None = None, limits: Limits | None = None
) -> CodeFacts:
    """Take a snapshot of the code around `start`.

    Parameters
    ----------
    start : Path
        Where the run starts: a folder, or a script. Its repository is found upward; where it is in none, the folder
        itself is the project.
    home : Home
        Holds the private repository.
    run_id : str
        Names the ref.
    cwd : Path, optional
        The working directory of the run; the folder of `start` where not given.
    limits : Limits, optional
        How much of what git does not know is taken.

    Raises
    ------
    GitError
        If git is missing or refuses the repository.
    ConflictError
        If the run has a snapshot already; a snapshot is never overwritten.

    Notes
    -----
    The user's index, work tree, refs, hooks and settings are not touched; objects and one ref are added. Files that
    hold secrets are left out, tracked ones too. Costs one `stat` per tracked file and one read per new or changed file.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise InvalidInputError(f"run id {run_id!r} cannot name a ref: letters, digits, - and _ can")
    folder = start.resolve()
    folder = folder if folder.is_dir() else folder.parent
    repository = find_repository(folder)
    limits = limits or Limits()
    if repository is not None:
        with scratch_git(repository) as git:
            written = write_tree(repository, git, limits=limits)
            ref = _write_ref(repository, git, tree=written.tree, run_id=run_id)
    else:
        repository = _private(home, folder)
        with scratch_git(repository) as git:
            written = write_folder_tree(repository, git, limits=limits)
            ref = _write_ref(repository, git, tree=written.tree, run_id=run_id)
    return CodeFacts(
        vcs="private" if repository.git_dir == home.code.resolve() else "git",
        project=str(repository.top),
        commit=repository.head,
        tree=written.tree,
        ref=ref,
        dirty=written.dirty,
        cwd=Path(os.path.relpath((cwd or folder).resolve(), repository.top)).as_posix(),
        skipped=summarize(written.skipped),
    )


def restore(facts: CodeFacts, destination: Path, *, home: Home) -> None:
    """Write the files of a snapshot into a folder, byte for byte as the run saw them.

    Parameters
    ----------
    facts : CodeFacts
        The snapshot.
    destination : Path
        A folder that is empty or not there yet.
    home : Home
        Holds the private repository.

    Raises
    ------
    ConflictError
        If the folder holds something.
    NotFoundError
        If the repository or the snapshot is gone.

    Notes
    -----
    No line end is converted and no filter runs, whatever attributes and settings say. A submodule becomes an empty
    folder. Nothing in the repository changes.
    """
    destination.mkdir(parents=True, exist_ok=True)
    if any(destination.iterdir()):
        raise ConflictError(f"{destination} is not empty: a snapshot is restored into a folder of its own")
    with _opened(facts, home, work_tree=destination.resolve()) as git:
        git.run("read-tree", facts.tree)
        git.run("checkout-index", "--all", "--force")


def snapshot_files(facts: CodeFacts, *, home: Home) -> dict[str, str]:
    """Return the files in a snapshot: path relative to the project, posix, to mode and content id.

    Raises
    ------
    NotFoundError
        If the repository or the snapshot is gone.
    """
    private = facts.vcs == "private"
    where, folder = ((f"--git-dir={home.code.resolve()}",), home.code) if private else ((), Path(facts.project))
    try:  # at once: every run asks when it ends, and opening the repository first costs five times as much
        listed = git_text(folder, *where, "--no-replace-objects", "ls-tree", "-r", "-z", "--full-tree", facts.tree)
    except GitError:
        with _opened(facts, home) as git:  # which says what is gone
            listed = git.run("ls-tree", "-r", "-z", facts.tree)
    answer = os.fsdecode(listed)
    lines = (record.partition("\t") for record in answer.split("\0")[:-1])
    return {path: head for head, _, path in lines if " blob " in head}


def diff_trees(before: CodeFacts, after: CodeFacts, *, home: Home) -> TreeDiff:
    """Compare two snapshots, which may lie in different repositories.

    Parameters
    ----------
    before, after : CodeFacts
        The snapshots.
    home : Home
        Holds the private repository.

    Raises
    ------
    NotFoundError
        If a repository or a snapshot is gone.
    """
    with _opened(after, home), _opened(before, home, beside=after) as git:
        listed = os.fsdecode(
            git.run("diff-tree", "-r", "-z", "--no-renames", "--name-status", before.tree, after.tree)
        ).split("\0")
        form = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--src-prefix=a/", "--dst-prefix=b/")
        text = git.run("diff-tree", "-r", "-p", *form, before.tree, after.tree).decode(errors="replace")
    paths = (
        ChangedPath(_printable(path), _STATUS.get(status, "modified"))
        for status, path in zip(listed[:-1:2], listed[1::2], strict=True)
    )
    return TreeDiff(tuple(sorted(paths, key=lambda changed: changed.path)), text)


def _private(home: Home, folder: Path) -> Repository:
    """Open the home's private repository for a folder, with an index that belongs to this folder."""
    key = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    code = home.code.resolve()
    return create_repository(code, top=folder, index=code / "indexes" / key)


def _write_ref(repository: Repository, git: ScratchGit, *, tree: str, run_id: str) -> str:
    """Keep a tree from being collected, under the run's name; refuse to overwrite."""
    ref = REF_PREFIX + run_id
    parents = ("-p", repository.head) if repository.head else ()
    identity = ("-c", "user.name=lakemark", "-c", "user.email=lakemark@localhost")
    commit = git.run(*identity, "commit-tree", *parents, "-m", f"lakemark run {run_id}", tree).decode().strip()
    settings = ("-c", "core.logAllRefUpdates=false", f"--git-dir={repository.git_dir}")
    try:
        git_text(repository.git_dir, *settings, "update-ref", ref, commit, "")
    except GitError as error:
        if "already exists" in error.message:
            raise ConflictError(f"run {run_id} has a snapshot already: {ref} in {repository.git_dir}") from None
        raise
    return ref


@contextmanager
def _opened(
    facts: CodeFacts, home: Home, *, work_tree: Path | None = None, beside: CodeFacts | None = None
) -> Iterator[ScratchGit]:
    """Open the repository that a snapshot is in, and make sure that it is still there."""
    repository = _repository(facts, home)
    alternates = (_repository(beside, home).objects,) if beside is not None else ()
    with scratch_git(repository, work_tree=work_tree or repository.git_dir, alternates=alternates) as git:
        try:
            git.run("cat-file", "-e", f"{facts.tree}^{{tree}}")
        except GitError:
            raise NotFoundError(
                f"the snapshot {facts.tree[:12]} is not in {repository.git_dir}: its ref {facts.ref} was deleted",
                hint=f"git fetch REMOTE {facts.ref}:{facts.ref} brings it back, where it was pushed",
            ) from None
        yield git


def _repository(facts: CodeFacts, home: Home) -> Repository:
    project = Path(facts.project)
    if facts.vcs == "private":
        return _private(home, project)
    repository = find_repository(project) if project.is_dir() else None
    if repository is None:
        raise NotFoundError(f"the repository of the code, {project}, is not there any more")
    return repository


def _printable(path: str) -> str:
    """Make a path of a foreign encoding fit for JSON."""
    return os.fsencode(path).decode(errors="replace")
