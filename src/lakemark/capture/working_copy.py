"""From a working copy to a tree of git: exactly the bytes on disk, and the user's index untouched."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lakemark.capture.git import GitError, Repository, ScratchGit, git_text
from lakemark.capture.selection import Limits, Skipped, list_folder, select_untracked
from lakemark.recorder.secrets import is_secret

__all__ = ["WorkingTree", "write_folder_tree", "write_tree"]

_GITLINK = "160000"
_ATTRIBUTES = ("text", "crlf", "filter", "ident", "working-tree-encoding")
_MANY = 200
_PACKED_BYTES = 1024 * 1024
_OFF = frozenset({"unspecified", "unset"})


@dataclass(frozen=True, slots=True)
class WorkingTree:
    """A working copy as a tree.

    Parameters
    ----------
    tree : str
        The tree's name in git.
    dirty : bool
        Whether the working copy was not the commit.
    skipped : tuple of Skipped
        What is not in the tree.
    """

    tree: str
    dirty: bool
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of the index."""

    mode: str
    name: str
    stage: str
    path: str
    assumed: bool


@dataclass(frozen=True, slots=True)
class _Converted:
    """Tracked files that git changes between the repository and the disk."""

    lines: frozenset[str] = frozenset()
    content: frozenset[str] = frozenset()


def write_tree(repository: Repository, git: ScratchGit, *, limits: Limits) -> WorkingTree:
    """Write the working copy of a repository as a tree.

    Parameters
    ----------
    repository : Repository
        The user's repository; only read, but for new objects.
    git : ScratchGit
        A scratch folder over it.
    limits : Limits
        How much of what git does not know is taken.
    """
    _copy_index(repository, git)
    entries = _entries(git)
    _forget_assumptions(git, entries)
    changed = _names(git.run("diff-files", "-z", "--name-only", "--ignore-submodules=dirty"))
    found = select_untracked(repository.top, _untracked(git), limits=limits)
    converted = _converted(repository, entries, [entry.path for entry in entries] + found.chosen)
    skipped = [*found.skipped, *_submodules(repository, entries)]
    kept_out = {entry.path: reason for entry in entries if (reason := is_secret(entry.path))}
    skipped += [Skipped(path, reason) for path, reason in kept_out.items()]
    stored = (entry for entry in entries if entry.path not in kept_out)
    refreshed = _rehashed(repository.top, git, stored, converted=converted, limits=limits)
    touched = _Touched(repository.top, [*changed, *refreshed.again], without={*kept_out, *refreshed.pointers})
    skipped += [*touched.unreadable, *refreshed.skipped]
    _set_index(git, removed=[*kept_out, *touched.gone], again=refreshed.lines)
    modes_are_true = repository.settings.get("core.filemode", "true").lower() == "true"
    _add(git, [*touched.there, *found.chosen], once=modes_are_true)
    tree = git.run("write-tree", "--missing-ok").decode().strip()
    dirty = _is_dirty(repository, git, tree, converted=converted, kept_out=kept_out)
    return WorkingTree(tree, dirty, tuple(skipped))


def write_folder_tree(repository: Repository, git: ScratchGit, *, limits: Limits) -> WorkingTree:
    """Write a folder that is in no repository as a tree.

    The index is kept beside the private repository, so that the next snapshot reads only what has changed.
    """
    try:
        return _write_folder_tree(repository, git, limits=limits)
    except GitError:  # the index that was kept may be damaged, or speak of objects that are gone: begin anew
        if not repository.index.exists():
            raise
        repository.index.unlink()
        (git.folder / "index").unlink(missing_ok=True)
        return _write_folder_tree(repository, git, limits=limits)


def _write_folder_tree(repository: Repository, git: ScratchGit, *, limits: Limits) -> WorkingTree:
    _copy_index(repository, git)
    names, unlisted = list_folder(repository.top, limit=limits.files)
    ignored = _ignored(git, names) if any(name.rpartition("/")[2] == ".gitignore" for name in names) else frozenset()
    found = select_untracked(repository.top, (name for name in names if name not in ignored), limits=limits)
    known = {entry.path for entry in _entries(git)}
    changed = _names(git.run("diff-files", "-z", "--name-only"))
    _set_index(git, removed=known.difference(found.chosen), again=[])
    unchanged = known.difference(changed)
    _add(git, [name for name in found.chosen if name not in unchanged])
    tree = git.run("write-tree").decode().strip()
    _keep_index(repository, git)
    return WorkingTree(tree, dirty=True, skipped=(*unlisted, *found.skipped))


def _copy_index(repository: Repository, git: ScratchGit) -> None:
    """Copy the index with its time: git takes a file that is as young as the index for possibly changed."""
    try:
        shutil.copy2(repository.index, git.folder / "index")
    except FileNotFoundError:
        if repository.head is not None:
            git.run("read-tree", repository.head)
        return
    for shared in repository.index.parent.glob("sharedindex.*"):
        shutil.copy2(shared, git.folder / shared.name)


def _keep_index(repository: Repository, git: ScratchGit) -> None:
    repository.index.parent.mkdir(parents=True, exist_ok=True)
    incoming = repository.index.with_name(f"{repository.index.name}.{os.getpid()}")
    shutil.copy2(git.folder / "index", incoming)
    incoming.replace(repository.index)


def _entries(git: ScratchGit) -> list[_Entry]:
    entries = []
    for record in _names(git.run("ls-files", "-z", "-s", "-v")):
        head, _, path = record.partition("\t")
        tag, mode, name, stage = head.split(" ")
        entries.append(_Entry(mode, name, stage, path, assumed=tag.islower()))
    return entries


def _forget_assumptions(git: ScratchGit, entries: Iterable[_Entry]) -> None:
    """Look at files that the user told git to assume unchanged: they may have changed all the same."""
    assumed = [entry.path for entry in entries if entry.assumed]
    if assumed:
        git.run("update-index", "-z", "--no-assume-unchanged", "--stdin", stdin=_joined(assumed))


def _untracked(git: ScratchGit) -> list[str]:
    return _names(git.run("ls-files", "-z", "--others", "--exclude-standard"))


def _ignored(git: ScratchGit, names: Sequence[str]) -> frozenset[str]:
    asked = _joined(name for name in names if not name.startswith(":"))  # which git would take for a pattern
    try:
        return frozenset(_names(git.run("check-ignore", "-z", "--stdin", "--no-index", stdin=asked)))
    except GitError as error:
        if error.context.get("exit_code") == 1:  # none of them is
            return frozenset()
        raise


def _submodules(repository: Repository, entries: Iterable[_Entry]) -> Iterator[Skipped]:
    """Say of each submodule that the tree holds its commit only, and whether that is all there is to it."""
    for entry in entries:
        if entry.mode != _GITLINK:
            continue
        folder = repository.top / entry.path
        if not (folder / ".git").exists():
            yield Skipped(f"{entry.path}/", "a submodule that is not checked out")
            continue
        changes = git_text(folder, "status", "--porcelain", "--ignore-submodules=none")
        state = " with uncommitted changes" if changes else ""
        yield Skipped(f"{entry.path}/", f"a submodule{state}: only its commit is in the snapshot")


class _Touched:
    """Tracked files that may have changed, by what is there now."""

    def __init__(self, top: Path, paths: Iterable[str], *, without: Iterable[str]) -> None:
        self.there: list[str] = []
        self.gone: list[str] = []
        self.unreadable: list[Skipped] = []
        for path in dict.fromkeys(paths):
            if path in without:
                continue
            place = top / path
            if not os.path.lexists(place) or _is_beyond_link(top, path):
                self.gone.append(path)
            elif place.is_symlink() or os.access(place, os.R_OK):
                self.there.append(path)
            else:
                self.unreadable.append(Skipped(path, "not readable: the snapshot has what git had"))


def _is_beyond_link(top: Path, path: str) -> bool:
    return any((top / folder).is_symlink() for folder in list(Path(path).parents)[:-1])


@dataclass(frozen=True, slots=True)
class _Rehashed:
    """Files whose bytes on disk are not those that git stores.

    Parameters
    ----------
    again : tuple of str
        To be stored as they are on disk.
    lines : tuple of bytes
        What makes git forget that it knows them.
    pointers : frozenset of str
        Too large: they stay what git has, a pointer.
    skipped : tuple of Skipped
        The same, for people.
    """

    again: tuple[str, ...] = ()
    lines: tuple[bytes, ...] = ()
    pointers: frozenset[str] = frozenset()
    skipped: tuple[Skipped, ...] = ()


def _rehashed(
    top: Path, git: ScratchGit, entries: Iterable[_Entry], *, converted: _Converted, limits: Limits
) -> _Rehashed:
    """Find which of the converted files must be stored again, byte for byte."""
    if not converted.lines and not converted.content:
        return _Rehashed()
    candidates = [e for e in entries if e.stage == "0" and (e.path in converted.lines or e.path in converted.content)]
    answer = git.run(
        "cat-file", "--batch-check=%(objectsize)", stdin="".join(f"{e.name}\n" for e in candidates).encode()
    )
    again: list[_Entry] = []
    pointers: dict[str, int] = {}
    for entry, stored in zip(candidates, answer.decode().splitlines(), strict=True):
        try:
            size = (top / entry.path).lstat().st_size
        except OSError:
            continue
        if entry.path in converted.content and size > limits.file_bytes:
            pointers[entry.path] = size
        elif entry.path in converted.content or str(size) != stored:  # other line ends always change the size
            again.append(entry)
    reason = f"larger than {limits.file_bytes / 2**20:g} MiB, and behind a filter: the snapshot has what git has"
    return _Rehashed(
        again=tuple(entry.path for entry in again),
        lines=tuple(f"{entry.mode} {entry.name}\t".encode() + os.fsencode(entry.path) for entry in again),
        pointers=frozenset(pointers),
        skipped=tuple(Skipped(path, reason, size) for path, size in pointers.items()),
    )


def _converted(repository: Repository, entries: Sequence[_Entry], paths: Sequence[str]) -> _Converted:
    """Ask the user's git which tracked files it converts: line ends, keywords, encodings, filters such as LFS."""
    always = repository.settings.get("core.autocrlf", "false").lower() not in {"false", "no", "off", "0", ""}
    if not always and not _has_attributes(repository, paths):
        return _Converted()
    tracked = [entry.path for entry in entries if entry.mode != _GITLINK]
    answer = _names(git_text(repository.top, "check-attr", "-z", "--stdin", *_ATTRIBUTES, stdin=_joined(tracked)))
    lines: set[str] = set()
    content: set[str] = set()
    for path, attribute, value in zip(answer[::3], answer[1::3], answer[2::3], strict=True):
        if attribute in {"text", "crlf"}:
            if value not in _OFF or (always and value == "unspecified"):
                lines.add(path)
        elif value not in _OFF:
            content.add(path)
    return _Converted(frozenset(lines - content), frozenset(content))


def _has_attributes(repository: Repository, paths: Iterable[str]) -> bool:
    """Tell whether any file gives git attributes at all; most often none does, and much work falls away."""
    if any(path.endswith(".gitattributes") for path in paths) or "core.attributesfile" in repository.settings:
        return True
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    places = (repository.git_dir / "info" / "attributes", settings / "git" / "attributes", Path("/etc/gitattributes"))
    return any(place.is_file() for place in places)


def _set_index(git: ScratchGit, *, removed: Iterable[str], again: Iterable[bytes]) -> None:
    nothing = b"0 " + b"0" * 40 + b"\t"
    lines = [nothing + os.fsencode(path) for path in removed] + list(again)
    if lines:
        git.run("update-index", "-z", "--index-info", stdin=b"\0".join(lines) + b"\0")


def _add(git: ScratchGit, paths: Sequence[str], *, once: bool = False) -> None:
    """Store files as they are on disk, and name them in the index.

    Parameters
    ----------
    git : ScratchGit
        The index.
    paths : sequence of str
        What is stored.
    once : bool, default False
        True where this index is of no use later: it then need not know the files' times, and many are named faster.
    """
    packed = _pack(git, paths) if len(paths) > _MANY else {}
    rest = [path for path in paths if path not in packed] if once else paths
    if once and packed:
        lines = (line.encode() + b"\t" + os.fsencode(path) + b"\0" for path, line in packed.items())
        git.run("update-index", "-z", "--index-info", stdin=b"".join(lines))
    if rest:
        git.run("update-index", "-z", "--add", "--remove", "--replace", "--stdin", stdin=_joined(rest))


def _pack(git: ScratchGit, paths: Iterable[str]) -> dict[str, str]:
    """Store many files as one pack, and return `mode name` of each; one file per object would cost ten times as much.

    Symbolic links, large files, and what is gone are left to others.
    """
    stream: list[bytes] = []
    modes: dict[str, str] = {}
    for path in paths:
        try:
            handle = os.open(git.work_tree / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            status = os.fstat(handle)
            if stat.S_ISREG(status.st_mode) and status.st_size <= _PACKED_BYTES:
                data = os.read(handle, _PACKED_BYTES + 1)
                modes[path] = "100755" if status.st_mode & stat.S_IXUSR else "100644"
                stream.append(b"blob\nmark :%d\ndata %d\n%b\n" % (len(modes), len(data), data))
        finally:
            os.close(handle)
    marks = git.folder / "marks"
    git.run("fast-import", "--quiet", "--depth=0", f"--export-marks={marks}", stdin=b"".join(stream))
    names = dict(line.split() for line in marks.read_text().splitlines())
    return {path: f"{mode} {names[f':{number}']}" for number, (path, mode) in enumerate(modes.items(), start=1)}


def _is_dirty(
    repository: Repository, git: ScratchGit, tree: str, *, converted: _Converted, kept_out: Collection[str]
) -> bool:
    """Tell whether anything was not committed; what only git's own conversion changed does not count."""
    if repository.head is None:
        return True
    records = _names(git.run("diff-tree", "-r", "-z", "--raw", "--no-renames", repository.head, tree))
    unclear = set(kept_out)
    expected = converted.lines | converted.content
    for record, path in zip(records[::2], records[1::2], strict=True):
        old_mode, new_mode = record[1:].split(" ")[:2]
        if path in unclear:
            continue
        if old_mode != new_mode or path not in expected:
            return True
        unclear.add(path)
    if not unclear:
        return False
    status = _names(git_text(repository.top, "status", "--porcelain", "-z", "--untracked-files=no", "--no-renames"))
    return any(line[3:] in unclear for line in status)


def _names(answer: bytes) -> list[str]:
    return os.fsdecode(answer).split("\0")[:-1]


def _joined(paths: Iterable[str]) -> bytes:
    return b"".join(os.fsencode(path) + b"\0" for path in paths)
