from pathlib import Path

import pytest

from lakemark.recorder.plan import EntryPoint, PinnedTable, Plan, Redirect
from lakemark.recorder.redirects import World, local_path


def world_of(top: Path, redirect: Redirect | None) -> World:
    project = top / "project"
    home = project / ".lakemark"
    home.mkdir(parents=True, exist_ok=True)
    return World(Plan("r", str(home), str(project), str(project), EntryPoint("script", "s.py"), redirect=redirect))


@pytest.fixture
def replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A replay whose original read a file in the project, one outside of it, and a table."""
    for name in ("project/data", "scratch", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
    stored = tmp_path / "stored"
    stored.write_text("then")
    (tmp_path / "elsewhere/in.csv").write_text("now")
    (tmp_path / "elsewhere/new.csv").write_text("new")
    monkeypatch.chdir(tmp_path / "scratch")
    top = str(tmp_path)
    redirect = Redirect(
        original_root=f"{top}/project",
        scratch_root=f"{top}/scratch",
        tables=(
            PinnedTable(f"{top}/elsewhere/lake", None, 3, f"{top}/elsewhere/lake", 3),
            PinnedTable(f"{top}/elsewhere/lake", 1, 1, f"{top}/rebuilt", 0),
        ),
        files={f"{top}/elsewhere/in.csv": str(stored), f"{top}/project/data/in.csv": str(stored)},
        outside=f"{top}/outside",
    )
    world = world_of(tmp_path, redirect)
    world.prepare()
    return world


def test_a_recorded_run_has_one_world(tmp_path: Path) -> None:
    world = world_of(tmp_path, None)
    for path in ("x/y", "/x/y", "../z"):
        assert world.to_read(path) == world.to_write(path) == world.to_list(path) == path
    assert world.original("/x/y") == "/x/y"
    assert world.table("/x/y", 0).open_uri == "/x/y"
    assert world.is_own("/x/y")


def test_project_paths_lead_below_the_scratch_folder(replay: World, tmp_path: Path) -> None:
    for path in (f"{tmp_path}/project/data/in.csv", "data/in.csv", "../project/data/in.csv"):
        assert Path(replay.to_read(path)).resolve() == tmp_path / "scratch/data/in.csv"
        assert replay.name(path) == f"{tmp_path}/project/data/in.csv"
    assert replay.to_read("data/in.csv") == "data/in.csv"
    assert Path("data/in.csv").read_text() == "then"
    assert replay.to_write(f"{tmp_path}/project/out/x") == f"{tmp_path}/scratch/out/x"


def test_outside_paths_lead_into_the_mirror(replay: World, tmp_path: Path) -> None:
    there = f"{tmp_path}/elsewhere/in.csv"
    assert Path(replay.to_read(there)).read_text() == "then"
    assert replay.to_read("../elsewhere/in.csv") == f"{tmp_path}/outside{there}"
    assert replay.original(replay.to_read(there)) == there
    assert replay.to_read(f"{tmp_path}/elsewhere/new.csv") == f"{tmp_path}/elsewhere/new.csv"
    assert sorted(found.name for found in Path(replay.to_list(f"{tmp_path}/elsewhere")).iterdir()) == ["in.csv", "lake"]
    assert replay.to_read(f"{tmp_path}/elsewhere/*.csv") == f"{tmp_path}/outside{tmp_path}/elsewhere/*.csv"


def test_places_map_to_themselves(replay: World, tmp_path: Path) -> None:
    for path in (f"{tmp_path}/elsewhere/in.csv", f"{tmp_path}/project/a", f"{tmp_path}/elsewhere/new/x"):
        for place in (replay.to_read(path), replay.to_write(path)):
            assert replay.to_write(replay.to_write(path)) == replay.to_write(path)
            assert replay.name(place) == path


def test_what_was_written_outside_is_read_back_and_changes_are_made_to_a_copy(replay: World, tmp_path: Path) -> None:
    out, kept = f"{tmp_path}/elsewhere/out.csv", f"{tmp_path}/elsewhere/new.csv"
    Path(replay.to_write(out)).write_text("mine")
    assert Path(replay.to_read(out)).read_text() == "mine"
    assert Path(replay.to_write(kept, keep=True)).read_text() == "new"
    assert not Path(out).exists()


def test_devices_the_home_and_own_temporary_files_stay_where_they_are(replay: World, tmp_path: Path) -> None:
    home = f"{tmp_path}/project/.lakemark/objects/ab"
    replay.temporary.add(f"{tmp_path}/elsewhere/temp")
    for path in ("/dev/null", home, f"{tmp_path}/elsewhere/temp/x"):
        assert replay.to_write(path) == replay.to_read(path) == path


def test_a_folder_that_is_opened_or_removed_is_never_the_original(replay: World, tmp_path: Path) -> None:
    (tmp_path / "elsewhere/lake/_delta_log").mkdir(parents=True)
    for path in (f"{tmp_path}/elsewhere", f"{tmp_path}/elsewhere/lake", f"{tmp_path}/project/data"):
        for place in (replay.to_open_folder(path), replay.to_remove_tree(path)):
            assert place.startswith((f"{tmp_path}/outside/", f"{tmp_path}/scratch/"))
            assert Path(place).is_dir()


def test_tables_are_answered_by_what_was_asked_for(replay: World, tmp_path: Path) -> None:
    lake = f"{tmp_path}/elsewhere/lake"
    latest, first = replay.table(f"file://{lake}/", None), replay.table("../elsewhere/lake", 1)
    assert (latest.open_uri, latest.open_version, latest.version, latest.kind) == (lake, 3, 3, "pinned")
    assert (first.open_uri, first.open_version, first.version, first.uri) == (f"{tmp_path}/rebuilt", 0, 1, lake)
    assert replay.table(lake, 3).version == 3
    assert replay.table(lake, 2).kind == "unknown"
    assert [replay.nearest_pin(lake, found) for found in (None, 9, 3, 2, 1, 0)] == [3, 3, 3, 1, 1, 1]
    assert replay.nearest_pin(f"{lake}2", 1) is None
    assert not replay.is_own(f"file://{lake}")


def test_a_table_that_the_replay_wrote_is_its_own(replay: World, tmp_path: Path) -> None:
    lake = f"{tmp_path}/elsewhere/lake"
    place = replay.table_to_write(lake)
    assert place == f"{tmp_path}/outside{lake}"
    assert replay.is_own(place)
    assert replay.table(lake, None).open_uri == place
    assert replay.table(lake, 1).kind == "pinned"  # a version that the original asked for by number
    remote = replay.table_to_write("s3://lake/sales/")
    assert remote.startswith(f"{tmp_path}/outside/")
    assert replay.table("s3://lake/sales", None).open_uri == remote


def test_files_inside_of_a_pinned_table_are_seen_where_they_are(replay: World, tmp_path: Path) -> None:
    log = f"{tmp_path}/elsewhere/lake/_delta_log"
    Path(log).mkdir(parents=True)
    assert replay.to_read(log) == log
    replay.table_to_write(f"{tmp_path}/elsewhere/lake")
    assert replay.to_write(log) == f"{tmp_path}/outside{log}"


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("a/b", "a/b"),
        ("file:///a%20b", "/a b"),
        ("file:/a", "/a"),
        ("s3://b/t", None),
        ("x:y", "x:y"),
        ("c:/x", "c:/x"),
    ],
)
def test_local_path(source: str, path: str | None) -> None:
    assert local_path(source) == path
