from __future__ import annotations

from pathlib import Path

import pytest

from lakemark._base.errors import InvalidInputError
from lakemark.config.home import create_home
from lakemark.config.settings import Settings, read_settings


def read(folder: Path, *, flags: dict[str, str] | None = None, **environment: str) -> Settings:
    return read_settings(flags, start=folder, environment=environment)


def test_defaults(tmp_path: Path) -> None:
    settings = read(tmp_path)
    assert (settings.experiment, settings.store_limit, settings.sample_rows, settings.seed) == (
        "default",
        268_435_456,
        1_000,
        0,
    )
    assert settings.home == tmp_path / ".lakemark"
    assert not settings.home.exists()
    assert {str(origin).split()[0] for origin in settings.origins.values()} == {"default"}


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    (tmp_path / "lakemark.toml").write_text('experiment = "file"\nseed = 1\nsample_rows = 11\n')
    settings = read(
        tmp_path, flags={"experiment": "flag"}, LAKEMARK_EXPERIMENT="environment", LAKEMARK_SEED="2", PATH="/bin"
    )
    assert (settings.experiment, settings.seed, settings.sample_rows, settings.store_limit) == ("flag", 2, 11, 2**28)
    assert {key: str(origin) for key, origin in settings.origins.items() if key != "home"} == {
        "experiment": "flag --experiment",
        "seed": "environment LAKEMARK_SEED",
        "sample_rows": f"file {tmp_path / 'lakemark.toml'}:3",
        "store_limit": "default",
        "warehouse": "default",
    }


def test_the_nearest_file_upward_counts_and_pyproject_counts_less_than_its_neighbour(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("[tool.lakemark]\nseed = 1\nexperiment = 'top'\n")
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.other]\nseed = 9\n")
    assert read(below).experiment == "top"
    (tmp_path / "lakemark.toml").write_text("seed = 2\n")
    assert (read(below).seed, read(below).experiment) == (2, "default")


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("1000", 1000), ("256MB", 256_000_000), ("1.5 kb", 1500), ("256MiB", 2**28), ("2 GiB", 2**31)],
)
def test_sizes(tmp_path: Path, text: str, value: int) -> None:
    assert read(tmp_path, LAKEMARK_STORE_LIMIT=text).store_limit == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STORE_LIMIT", "-1"),
        ("STORE_LIMIT", "many"),
        ("STORE_LIMIT", "3 apples"),
        ("SAMPLE_ROWS", "0"),
        ("SAMPLE_ROWS", "1.5"),
        ("SEED", "-1"),
        ("SEED", str(2**32)),
        ("SEED", ""),
        ("EXPERIMENT", " "),
        ("HOME", ""),
    ],
)
def test_a_bad_value_is_told_with_its_place_and_what_is_allowed(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(InvalidInputError, match="allowed is") as caught:
        read_settings(start=tmp_path, environment={f"LAKEMARK_{name}": value})
    assert f"environment LAKEMARK_{name}" in caught.value.message
    assert repr(value) in caught.value.message


@pytest.mark.parametrize("line", ["seed = true", "seed = 1.0", "seed = [1]", "experiment = 3", "store_limit = false"])
def test_a_value_of_another_type_in_a_file_is_told_with_its_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "lakemark.toml").write_text(f"# mine\n\n{line}\n")
    with pytest.raises(InvalidInputError, match=r"lakemark\.toml:3: "):
        read(tmp_path)


def test_an_unknown_key_is_told_with_its_place_and_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nexperimnt = "x"\n\n[tool.lakemark]\nexperimnt = "y"\n')
    with pytest.raises(InvalidInputError, match=r"pyproject\.toml:5: .*'experimnt'; did you mean 'experiment'\?"):
        read(tmp_path)
    with pytest.raises(InvalidInputError, match=r"LAKEMARK_SEDE: .* did you mean 'seed'"):
        read_settings(start=tmp_path.parent, environment={"LAKEMARK_SEDE": "1"})
    with pytest.raises(InvalidInputError, match=r"--frobnicate: .* there are home, experiment"):
        read_settings({"frobnicate": "1"}, start=tmp_path.parent, environment={})


def test_variables_of_a_run_are_no_settings(tmp_path: Path) -> None:
    assert read(tmp_path, LAKEMARK_RUN_FOLDER="/somewhere").seed == 0


def test_a_broken_file_is_told_where(tmp_path: Path) -> None:
    (tmp_path / "lakemark.toml").write_text("seed = = 1\n")
    with pytest.raises(InvalidInputError, match=r"lakemark\.toml: .*line 1"):
        read(tmp_path)


def test_a_broken_pyproject_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("seed = = 1\n")
    assert read(tmp_path).seed == 0


def test_home_is_found_upward_then_at_the_top_of_git_then_here(tmp_path: Path) -> None:
    below = tmp_path / "repository" / "deep"
    below.mkdir(parents=True)
    assert read(below).home == below / ".lakemark"
    (tmp_path / "repository" / ".git").mkdir()
    assert read(below).home == tmp_path / "repository" / ".lakemark"
    create_home(tmp_path)
    assert read(below).home == tmp_path / ".lakemark"
    assert str(read(below).origins["home"]) == "default (found)"


def test_home_is_relative_to_whoever_says_it_and_may_name_the_folder_around_it(tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.mkdir()
    (tmp_path / "lakemark.toml").write_text('home = "kept"\n')
    assert read(below).home == tmp_path / "kept" / ".lakemark"
    assert read(below, LAKEMARK_HOME="kept/.lakemark").home == below / "kept" / ".lakemark"
    assert read(below, flags={"home": str(tmp_path / "x")}).home == tmp_path / "x" / ".lakemark"


def test_the_warehouse_is_in_the_home_or_where_somebody_says(tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.mkdir()
    assert read(below).warehouse == str(read(below).home / "tables")
    (tmp_path / "lakemark.toml").write_text('warehouse = "lake"\n')
    assert read(below).warehouse == str(tmp_path / "lake")
    assert read(below, LAKEMARK_WAREHOUSE="../other/").warehouse == str(tmp_path / "other")
    assert read(below, LAKEMARK_WAREHOUSE="s3://lake/warehouse/").warehouse == "s3://lake/warehouse"
    with pytest.raises(InvalidInputError, match="warehouse is '', allowed is text that is not empty"):
        read(below, LAKEMARK_WAREHOUSE="")


def test_a_file_in_another_encoding_is_told(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_bytes(b"\xff\xfe")
    assert read(tmp_path).seed == 0
    (tmp_path / "lakemark.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInputError, match=r"lakemark\.toml: .*utf-8"):
        read(tmp_path)


def test_the_section_must_be_a_table(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool]\nlakemark = 5\n")
    with pytest.raises(InvalidInputError, match=r"tool.lakemark is 5, allowed is a table"):
        read(tmp_path)
