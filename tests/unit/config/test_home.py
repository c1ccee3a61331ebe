from pathlib import Path

import pytest

from lakemark._base.errors import NotFoundError
from lakemark.config.home import create_home, find_home


def test_a_home_is_found_upward(tmp_path: Path) -> None:
    home = create_home(tmp_path)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_home(below) == home


def test_no_home_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="lakemark init"):
        find_home(tmp_path)


def test_a_home_hides_itself_from_git_and_is_kept_when_made_again(tmp_path: Path) -> None:
    home = create_home(tmp_path)
    (home.path / ".gitignore").write_text("*\n# mine\n")
    create_home(tmp_path)
    assert (home.path / ".gitignore").read_text() == "*\n# mine\n"


def test_only_its_owner_may_look_into_a_home(tmp_path: Path) -> None:
    assert create_home(tmp_path).path.stat().st_mode & 0o777 == 0o700
