"""Snapshots of real repositories by the real git: what is in them, what is not, and what is left untouched."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from lakemark._base.errors import ConflictError, InvalidInputError, NotFoundError
from lakemark.capture.code import CodeFacts, diff_trees, restore, snapshot, snapshot_files
from lakemark.capture.git import GitError
from lakemark.capture.selection import Limits
from lakemark.config.home import Home, create_home


@pytest.fixture(autouse=True)
def plain_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the person who runs the tests stay out."""
    (tmp_path / "gitconfig").write_text("[user]\nname = a\nemail = a@b\n[init]\ndefaultBranch = main\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nothing"))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    top = tmp_path / "project"
    top.mkdir()
    git(top, "init")
    return top


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "elsewhere").mkdir()
    return create_home(tmp_path / "elsewhere")


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


def commit_all(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-m", "x")


def write(folder: Path, files: Mapping[str, bytes | str]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
        if ".git" not in path.relative_to(folder).parts
    }


def restored(facts: CodeFacts, folder: Path, home: Home) -> dict[str, bytes]:
    restore(facts, folder, home=home)
    return contents(folder)


def skipped(facts: CodeFacts) -> dict[str, str]:
    return {entry.path: entry.reason for entry in facts.skipped}


def make_every_kind_of_change(repository: Path) -> None:
    """Clean, changed, deleted, staged, forced, intended, untracked, ignored; modes, links, odd names."""
    write(
        repository,
        {
            "clean.py": "clean",
            "changed.py": "old",
            "deleted.py": "gone",
            "run.sh": "#!/bin/sh\n",
            "to_link": "file",
            "folder/a.py": "a",
            ".gitignore": "*.log\nbuild/\n",
            "keep.log": "forced",
        },
    )
    git(repository, "add", "-f", "keep.log")
    commit_all(repository)
    write(
        repository, {"changed.py": "new\r\nline", "staged.py": "staged", "forced.log": "forced", "noise.log": "noise"}
    )
    write(
        repository,
        {
            "untracked.py": "u",
            "sub dir/ünï\tcode.py": "é",
            "sub dir/a.py": "b",
            "build/x": "x",
            "intent.py": "intended",
        },
    )
    git(repository, "add", "staged.py")
    git(repository, "add", "-f", "forced.log")
    git(repository, "add", "-N", "intent.py")
    write(repository, {"staged.py": "staged, then changed"})
    (repository / "deleted.py").unlink()
    (repository / "run.sh").chmod(0o755)
    (repository / "to_link").unlink()
    (repository / "to_link").symlink_to("clean.py")
    (repository / "folder" / "a.py").unlink()
    (repository / "folder").rmdir()
    (repository / "folder").symlink_to("sub dir")


def test_the_whole_working_copy_comes_back_byte_for_byte(repository: Path, home: Home, tmp_path: Path) -> None:
    make_every_kind_of_change(repository)
    index = (repository / ".git" / "index").read_bytes()
    status, refs = git(repository, "status", "--porcelain"), git(repository, "for-each-ref", "refs/heads")

    facts = snapshot(repository, home=home, run_id="run1")

    expected = contents(repository)
    del expected["noise.log"], expected["build/x"]
    assert restored(facts, tmp_path / "out", home) == expected
    assert os.access(tmp_path / "out" / "run.sh", os.X_OK)
    assert not os.access(tmp_path / "out" / "clean.py", os.X_OK)
    assert (tmp_path / "out" / "to_link").is_symlink()
    assert snapshot_files(facts, home=home).keys() == set(expected)
    assert (facts.vcs, facts.dirty, facts.cwd, facts.skipped) == ("git", True, ".", ())
    assert facts.commit == git(repository, "rev-parse", "HEAD").strip()
    assert git(repository, "rev-parse", f"{facts.ref}^{{tree}}").strip() == facts.tree
    assert git(repository, "rev-parse", f"{facts.ref}^").strip() == facts.commit
    assert (repository / ".git" / "index").read_bytes() == index
    assert git(repository, "status", "--porcelain") == status
    assert git(repository, "for-each-ref", "refs/heads") == refs
    git(repository, "gc", "--prune=now", "--quiet")
    assert restored(facts, tmp_path / "again", home) == expected


def test_a_clean_copy_is_the_commit(repository: Path, home: Home) -> None:
    write(repository, {"a.py": "a", "b/c.py": "c"})
    commit_all(repository)
    os.utime(repository / "a.py")
    facts = snapshot(repository / "b", home=home, run_id="run1")
    assert facts.dirty is False
    assert facts.tree == git(repository, "rev-parse", "HEAD^{tree}").strip()
    assert (facts.project, facts.cwd) == (str(repository.resolve()), "b")


def test_before_the_first_commit(repository: Path, home: Home, tmp_path: Path) -> None:
    write(repository, {"a.py": "a", "b.py": "b"})
    git(repository, "add", "a.py")
    facts = snapshot(repository / "a.py", home=home, run_id="run1")
    assert (facts.commit, facts.dirty) == (None, True)
    assert restored(facts, tmp_path / "out", home) == {"a.py": b"a", "b.py": b"b"}


def test_a_change_of_equal_size_in_the_same_instant_is_seen(repository: Path, home: Home, tmp_path: Path) -> None:
    """Git reads a file again that is as young as the index; so the copy of the index must be as old as the index."""
    git(repository, "config", "core.trustctime", "false")
    write(repository, {"a.py": "old"})
    instant = (1_600_000_000_000_000_000,) * 2
    os.utime(repository / "a.py", ns=instant)
    commit_all(repository)
    write(repository, {"a.py": "new"})
    for path in ("a.py", ".git/index"):
        os.utime(repository / path, ns=instant)
    facts = snapshot(repository, home=home, run_id="run1")
    assert facts.dirty
    assert restored(facts, tmp_path / "out", home) == {"a.py": b"new"}


def test_files_that_git_was_told_to_assume_unchanged_are_looked_at(
    repository: Path, home: Home, tmp_path: Path
) -> None:
    write(repository, {"a.py": "old"})
    commit_all(repository)
    git(repository, "update-index", "--assume-unchanged", "a.py")
    write(repository, {"a.py": "new!"})
    assert restored(snapshot(repository, home=home, run_id="r"), tmp_path / "out", home) == {"a.py": b"new!"}


def test_a_run_is_never_overwritten_and_its_id_is_checked(repository: Path, home: Home) -> None:
    write(repository, {"a.py": "a"})
    snapshot(repository, home=home, run_id="run1")
    with pytest.raises(ConflictError, match="run1 has a snapshot already"):
        snapshot(repository, home=home, run_id="run1")
    with pytest.raises(InvalidInputError, match="cannot name a ref"):
        snapshot(repository, home=home, run_id="../x")


def test_secrets_stay_out_tracked_or_not_and_are_named(repository: Path, home: Home, tmp_path: Path) -> None:
    write(repository, {".env": "PASSWORD=1", "conf/credentials.yml": "a", "a.py": "a", ".env.example": "PASSWORD="})
    commit_all(repository)
    write(repository, {".env": "PASSWORD=2", "id_rsa": "key", "k.txt": "-----BEGIN PRIVATE KEY-----\nabc", "b.py": "b"})
    facts = snapshot(repository, home=home, run_id="run1")
    assert set(restored(facts, tmp_path / "out", home)) == {".env.example", "a.py", "b.py"}
    assert skipped(facts) == {
        ".env": "environment file",
        "conf/credentials.yml": "credentials",
        "id_rsa": "private key",
        "k.txt": "private key",
    }
    blob = hashlib.sha1(b"blob 10\0PASSWORD=2", usedforsecurity=False).hexdigest()
    assert subprocess.run(["git", "cat-file", "-e", blob], cwd=repository, check=False, stderr=-3).returncode == 1


def test_a_tracked_secret_alone_makes_no_copy_dirty(repository: Path, home: Home) -> None:
    write(repository, {".env": "PASSWORD=1", "a.py": "a"})
    commit_all(repository)
    assert snapshot(repository, home=home, run_id="run1").dirty is False
    write(repository, {".env": "PASSWORD=22"})
    assert snapshot(repository, home=home, run_id="run2").dirty is True


def test_large_files_tables_and_environments_stay_out(repository: Path, home: Home, tmp_path: Path) -> None:
    write(repository, {"a.py": "a"})
    commit_all(repository)
    write(
        repository,
        {
            "big.csv": b"x" * 1001,
            "data/t/_delta_log/0.json": "{}",
            "data/t/day=1/part-0.parquet": "p",
            "data/t/part-1.parquet": "p",
            "env/pyvenv.cfg": "",
            "env/lib/x.py": "x",
            "pkg/__pycache__/a.pyc": "c",
            "pkg/b.py": "b",
            "z/1": b"1" * 600,
            "z/2": b"2" * 700,
        },
    )
    other = repository / "other"
    other.mkdir()
    git(other, "init")
    write(other, {"o.py": "o"})
    commit_all(other)
    facts = snapshot(repository, home=home, run_id="run1", limits=Limits(file_bytes=1000, total_bytes=1200))
    assert set(restored(facts, tmp_path / "out", home)) == {"a.py", "pkg/b.py", "z/1"}
    assert {path: reason.split(":")[0] for path, reason in skipped(facts).items()} == {
        "big.csv": "larger than 0.000953674 MiB",
        "data/t/": "a Delta table",
        "env/": "a virtual environment",
        "other/": "another repository",
        "z/2": "beyond 0.00114441 MiB of files that git does not know",
    }
    assert {entry.path: entry.size for entry in facts.skipped}["big.csv"] == 1001


def test_unreadable_files_are_named(repository: Path, home: Home) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    write(repository, {"a.py": "a"})
    commit_all(repository)
    write(repository, {"a.py": "changed", "b.py": "b"})
    for name in ("a.py", "b.py"):
        (repository / name).chmod(0)
    assert set(skipped(snapshot(repository, home=home, run_id="r"))) == {"a.py", "b.py"}


def test_submodules_are_only_their_commit_and_that_is_said(repository: Path, home: Home, tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    git(library, "init")
    write(library, {"l.py": "l"})
    commit_all(library)
    git(repository, "-c", "protocol.file.allow=always", "submodule", "add", str(library), "lib")
    write(repository, {"a.py": "a"})
    commit_all(repository)
    facts = snapshot(repository, home=home, run_id="run1")
    assert facts.dirty is False
    assert skipped(facts) == {"lib/": "a submodule: only its commit is in the snapshot"}
    write(repository, {"lib/l.py": "changed"})
    facts = snapshot(repository, home=home, run_id="run2")
    assert skipped(facts) == {"lib/": "a submodule with uncommitted changes: only its commit is in the snapshot"}
    assert set(restored(facts, tmp_path / "out", home)) == {".gitmodules", "a.py"}


@pytest.mark.parametrize(
    ("attributes", "settings"),
    [
        ("", {"core.autocrlf": "true"}),
        ("", {"core.autocrlf": "input"}),
        ("* text=auto\n", {}),
        ("*.py text eol=crlf\n", {}),
        ("*.py ident\n", {}),
        ("*.py filter=upper\n", {"filter.upper.clean": "tr a-z A-Z", "filter.upper.smudge": "tr A-Z a-z"}),
        ("*.py working-tree-encoding=UTF-16\n", {}),
        ("[attr]odd text eol=crlf ident\n*.py odd\n", {"filter.upper.required": "true"}),
    ],
)
def test_bytes_are_kept_whatever_git_converts(
    attributes: str, settings: Mapping[str, str], *, repository: Path, home: Home, tmp_path: Path
) -> None:
    encoding = "utf-16" if "UTF-16" in attributes else "utf-8"
    write(repository, {".gitattributes": attributes} if attributes else {})
    for name, value in settings.items():
        git(repository, "config", name, value)
    lines = {"crlf.py": "a = 1\r\nb = 2\r\n", "lf.py": "a = 1\nb = 2\n", "id.py": "# $Id$\n", "mixed.py": "a\r\nb\n"}
    write(repository, {name: text.encode(encoding) for name, text in lines.items()})
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "x")
    git(repository, "rm", "-q", "--cached", "-r", ".")
    git(repository, "reset", "-q", "--hard")  # so that the files are what a check-out makes of them
    write(repository, {"new.py": "n\r\nm\n".encode(encoding)})
    assert "M" not in git(repository, "status", "--porcelain")
    expected = contents(repository)
    facts = snapshot(repository, home=home, run_id="run1")
    assert restored(facts, tmp_path / "out", home) == expected
    (repository / "new.py").unlink()
    assert snapshot(repository, home=home, run_id="run2").dirty is False
    os.utime(repository / "crlf.py")
    write(repository, {"lf.py": "a = 3\nb = 2\n".encode(encoding)})
    facts = snapshot(repository, home=home, run_id="run3")
    assert facts.dirty
    assert restored(facts, tmp_path / "out3", home) == contents(repository)


def test_a_large_file_behind_a_filter_stays_a_pointer(repository: Path, home: Home, tmp_path: Path) -> None:
    git(repository, "config", "filter.big.clean", "sha256sum")
    write(repository, {".gitattributes": "*.bin filter=big\n", "m.bin": b"m" * 2000, "s.bin": b"s"})
    commit_all(repository)
    facts = snapshot(repository, home=home, run_id="run1", limits=Limits(file_bytes=1000))
    files = restored(facts, tmp_path / "out", home)
    assert files["s.bin"] == b"s"
    assert len(files["m.bin"]) < 100
    assert "behind a filter" in skipped(facts)["m.bin"]


def test_hooks_signing_and_git_variables_do_not_matter(
    repository: Path, home: Home, *, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(repository, {"a.py": "a"})
    commit_all(repository)
    hooks = repository / ".git" / "hooks"
    for name in ("pre-commit", "post-index-change", "reference-transaction", "post-commit"):
        write(hooks, {name: f"#!/bin/sh\ntouch {tmp_path}/hooked\nexit 1\n"})
        (hooks / name).chmod(0o755)
    git(repository, "config", "commit.gpgsign", "true")
    git(repository, "config", "gpg.program", "/nowhere")
    git(repository, "config", "core.fsmonitor", f"touch {tmp_path}/hooked")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"):
        monkeypatch.setenv(name, str(tmp_path / "wrong"))
    facts = snapshot(repository, home=home, run_id="run1")
    assert facts.project == str(repository.resolve())
    assert restored(facts, tmp_path / "out", home) == {"a.py": b"a"}
    assert not (tmp_path / "hooked").exists()
    assert not (tmp_path / "wrong").exists()


@pytest.mark.parametrize("options", [("--object-format=sha256",), ("--separate-git-dir=../separate",)])
def test_other_forms_of_repositories(options: tuple[str, ...], home: Home, tmp_path: Path) -> None:
    top = tmp_path / "formed"
    top.mkdir()
    git(top, "init", *options)
    write(top, {"a.py": "a"})
    commit_all(top)
    write(top, {"b.py": "b"})
    facts = snapshot(top, home=home, run_id="run1")
    assert restored(facts, tmp_path / "out", home) == {"a.py": b"a", "b.py": b"b"}


def test_split_index_and_linked_work_tree(repository: Path, home: Home, tmp_path: Path) -> None:
    write(repository, {"a.py": "a"})
    commit_all(repository)
    git(repository, "update-index", "--split-index")
    write(repository, {"b.py": "b", "c.py": "c"})
    git(repository, "add", "b.py")
    facts = snapshot(repository, home=home, run_id="run1")
    assert restored(facts, tmp_path / "out", home) == {"a.py": b"a", "b.py": b"b", "c.py": b"c"}
    git(repository, "worktree", "add", "-q", str(tmp_path / "linked"), "-b", "linked")
    write(tmp_path / "linked", {"d.py": "d"})
    facts = snapshot(tmp_path / "linked", home=home, run_id="run2")
    assert restored(facts, tmp_path / "out2", home) == {"a.py": b"a", "d.py": b"d"}
    assert "run2" in git(repository, "for-each-ref", "refs/lakemark")


def test_an_unfinished_merge(repository: Path, home: Home, tmp_path: Path) -> None:
    write(repository, {"a.py": "a"})
    commit_all(repository)
    git(repository, "checkout", "-q", "-b", "other")
    write(repository, {"a.py": "theirs"})
    commit_all(repository)
    git(repository, "checkout", "-q", "main")
    write(repository, {"a.py": "ours"})
    commit_all(repository)
    subprocess.run(["git", "merge", "other"], cwd=repository, capture_output=True, check=False)
    facts = snapshot(repository, home=home, run_id="run1")
    assert facts.dirty
    assert b"<<<<<<<" in restored(facts, tmp_path / "out", home)["a.py"]


def test_without_a_repository_the_folder_is_kept_in_the_home(tmp_path: Path) -> None:
    project = tmp_path / "loose"
    project.mkdir()
    home = create_home(project)
    write(
        project,
        {
            "train.py": "t",
            "lib/a.py": "a\r\n",
            ".env": "S=1",
            "table/_delta_log/0.json": "{}",
            "table/x.parquet": "p",
            ".venv/pyvenv.cfg": "",
            ".venv/x.py": "x",
            "__pycache__/t.pyc": "c",
            ".gitignore": "out/\n",
            "out/o.txt": "o",
            "nested/.git/HEAD": "x",
            "nested/n.py": "n",
        },
    )
    facts = snapshot(project / "train.py", home=home, run_id="run1")
    assert (facts.vcs, facts.commit, facts.dirty, facts.project) == ("private", None, True, str(project.resolve()))
    expected = {"train.py": b"t", "lib/a.py": b"a\r\n", ".gitignore": b"out/\n"}
    assert restored(facts, tmp_path / "out1", home) == expected
    assert set(skipped(facts)) == {".env", "table/", ".venv/", "nested/"}
    assert not (project / ".git").exists()

    write(project, {"train.py": "changed", "new.py": "n"})
    (project / "lib" / "a.py").unlink()
    second = snapshot(project, home=home, run_id="run2")
    assert restored(second, tmp_path / "out2", home) == {
        "train.py": b"changed",
        "new.py": b"n",
        ".gitignore": b"out/\n",
    }
    assert restored(facts, tmp_path / "out3", home) == expected


def test_a_damaged_index_of_a_loose_folder_is_made_anew(home: Home, tmp_path: Path) -> None:
    write(tmp_path, {"loose/a.py": "a"})
    first = snapshot(tmp_path / "loose", home=home, run_id="run1")
    (index,) = (home.code / "indexes").iterdir()
    index.write_bytes(b"DIRC and then nothing")
    assert snapshot(tmp_path / "loose", home=home, run_id="run2").tree == first.tree


def test_two_projects_in_one_home_do_not_mix(home: Home, tmp_path: Path) -> None:
    write(tmp_path, {"one/a.py": "a", "two/b.py": "b"})
    one = snapshot(tmp_path / "one", home=home, run_id="run1")
    two = snapshot(tmp_path / "two", home=home, run_id="run2")
    assert snapshot_files(one, home=home).keys() == {"a.py"}
    assert snapshot_files(two, home=home).keys() == {"b.py"}


def test_a_folder_of_too_many_files_is_cut_and_that_is_said(home: Home, tmp_path: Path) -> None:
    write(tmp_path, {f"many/images/{number}.txt": "x" for number in range(30)} | {"many/train.py": "t"})
    facts = snapshot(tmp_path / "many", home=home, run_id="run1", limits=Limits(files=10))
    files = snapshot_files(facts, home=home)
    assert "train.py" in files
    assert len(files) == 10
    assert skipped(facts) == {"images/": "beyond 10 files that git does not know (21 files)"}


def test_many_new_files_are_one_pack(repository: Path, home: Home, tmp_path: Path) -> None:
    write(repository, {f"f/{number}.py": f"x = {number}\r\n" for number in range(300)})
    write(repository, {"large.csv": b"x" * 2_000_000, "run.sh": "#!"})
    (repository / "run.sh").chmod(0o755)
    (repository / "link.py").symlink_to("f/1.py")
    facts = snapshot(repository, home=home, run_id="run1")
    assert restored(facts, tmp_path / "out", home) == contents(repository)
    assert os.access(tmp_path / "out" / "run.sh", os.X_OK)
    assert not os.access(tmp_path / "out" / "f" / "1.py", os.X_OK)
    assert len(list((repository / ".git" / "objects" / "pack").glob("*.pack"))) == 1
    loose = [path for path in (repository / ".git" / "objects").glob("??/*") if path.is_file()]
    assert len(loose) < 10


def test_the_difference_of_two_snapshots_in_one_and_in_two_repositories(
    repository: Path, home: Home, tmp_path: Path
) -> None:
    write(repository, {"a.py": "one\ntwo\n", "b.py": "b"})
    commit_all(repository)
    before = snapshot(repository, home=home, run_id="run1")
    write(repository, {"a.py": "one\nthree\n", "c.py": "c"})
    (repository / "b.py").unlink()
    after = snapshot(repository, home=home, run_id="run2")
    found = diff_trees(before, after, home=home)
    assert [(changed.path, changed.status) for changed in found.paths] == [
        ("a.py", "modified"),
        ("b.py", "deleted"),
        ("c.py", "added"),
    ]
    assert "-two\n+three" in found.text
    assert diff_trees(before, before, home=home).paths == ()

    write(tmp_path, {"loose/a.py": "one\nfour\n", "loose/b.py": "b"})
    loose = snapshot(tmp_path / "loose", home=home, run_id="run3")
    across = diff_trees(before, loose, home=home)
    assert [changed.path for changed in across.paths] == ["a.py"]
    assert "+four" in across.text


def test_what_was_deleted_is_told(repository: Path, home: Home, tmp_path: Path) -> None:
    write(repository, {"a.py": "a"})
    facts = snapshot(repository, home=home, run_id="run1")
    assert CodeFacts.from_json({**facts.to_json(), "event": "code"}) == facts
    write(tmp_path, {"full/x": "x"})
    with pytest.raises(ConflictError, match="is not empty"):
        restore(facts, tmp_path / "full", home=home)
    git(repository, "update-ref", "-d", facts.ref)
    git(repository, "reflog", "expire", "--expire=now", "--all")
    git(repository, "prune", "--expire=now")
    with pytest.raises(NotFoundError, match="its ref refs/lakemark/runs/run1 was deleted"):
        restore(facts, tmp_path / "out", home=home)
    with pytest.raises(NotFoundError, match="its ref refs/lakemark/runs/run1 was deleted"):
        snapshot_files(facts, home=home)
    (repository / ".git").rename(tmp_path / "moved")
    with pytest.raises(NotFoundError, match="is not there any more"):
        restore(facts, tmp_path / "out", home=home)
    with pytest.raises(NotFoundError, match="is not there any more"):
        snapshot_files(facts, home=home)


def test_git_missing_is_one_clear_error(repository: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(GitError, match="git is not installed") as caught:
        snapshot(repository, home=home, run_id="run1")
    assert caught.value.hint


def test_a_foreign_repository_is_refused_with_gits_words(
    repository: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / ".git" / "config").write_text("[core\n")
    with pytest.raises(GitError, match="bad config"):
        snapshot(repository, home=home, run_id="run1")
