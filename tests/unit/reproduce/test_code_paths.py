"""Which files differ between two snapshots, asked of a real git."""

import subprocess
from pathlib import Path

import pytest

from lakemark.config.home import Home, create_home
from lakemark.reproduce.code_paths import code_paths


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "-q")
    return folder


def tree_of(project: Path, **files: str) -> str:
    for name, text in files.items():
        (project / f"{name}.py").write_text(text)
    git(project, "add", "-A")
    return git(project, "write-tree")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return create_home(tmp_path)


def test_changed_and_new_files_are_named(project: Path, home: Home) -> None:
    before = tree_of(project, train="1", same="1")
    after = tree_of(project, train="2", features="1")
    facts = {"vcs": "git", "project": str(project)}
    assert code_paths(home)(facts | {"tree": before}, facts | {"tree": after}) == ["features.py", "train.py"]


def test_code_in_no_repository_is_looked_up_in_the_home(project: Path, home: Home) -> None:
    before, after = tree_of(project, train="1"), tree_of(project, train="2")
    (project / ".git").rename(home.code)
    facts = {"vcs": "private", "project": str(project)}
    assert code_paths(home)(facts | {"tree": before}, facts | {"tree": after}) == ["train.py"]


def test_what_is_not_at_hand_is_not_named(tmp_path: Path, project: Path, home: Home) -> None:
    facts = {"vcs": "git", "project": str(project)}
    assert code_paths(home)(facts | {"tree": "1" * 40}, facts | {"tree": "2" * 40}) == []
    assert code_paths(home)(facts, facts) == []
    gone = {"vcs": "git", "project": str(tmp_path / "gone"), "tree": "1" * 40}
    assert code_paths(home)(gone, gone) == []
