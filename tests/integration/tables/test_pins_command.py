"""`lakemark tables tag`, `pin`, `verify`, `clone` and what belongs to them, as people type them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from tests.command import Run, run_tables

from lakemark._base.canonical import Json, canonical
from lakemark.capture.workspace import Workspace, open_workspace
from lakemark.config.settings import read_settings
from lakemark.tables.fingerprint import fingerprint
from lakemark.tables.log.files import TableFiles
from lakemark.tables.pinning.markers import marked_manifests
from lakemark.tables.table import Table
from lakemark.tracking.records import Run as RunRecord
from lakemark.tracking.records import RunStatus


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `lakemark tables ...` in a folder."""
    monkeypatch.chdir(tmp_path)

    return run_tables


@pytest.fixture
def workspace(run: Run, tmp_path: Path) -> Workspace:
    """A home in the same folder."""
    return open_workspace(read_settings(), folder=tmp_path)


@pytest.fixture
def table(workspace: Workspace, tmp_path: Path) -> Table:
    """A table with versions 0, 1 and 2; the last shares no file with the others."""
    made = Table(tmp_path / "t")
    made.create(pa.table({"x": [1]}))
    made.append(pa.table({"x": [2]}))
    made.overwrite(pa.table({"x": [3]}))
    return made


def test_a_tag_is_set_read_moved_listed_and_taken_away(run: Run, table: Table) -> None:
    assert run("tag", "t@0", "q3-training", "--comment", "the model").out == f"{table.uri}@q3-training is version 0\n"
    assert run("read", "t@q3-training", "--json").document["rows"] == [{"x": 1}]
    taken = run("tag", "t@1", "q3-training")
    assert (taken.code, "names version 0 already" in taken.err, "--move" in taken.err) == (4, True, True)
    moved = run("tag", "t@1", "q3-training", "--move", "--json").document
    assert (moved["schema"], moved["version"], moved["tag"]) == ("lakemark.tables.tag/1", 1, "q3-training")
    latest = run("tag", "t", "now").out
    assert latest == f"{table.uri}@now is version 2\n"
    listed = run("tags", "t", "--json").document
    assert [(tag["tag"], tag["version"]) for tag in listed["tags"]] == [("now", 2), ("q3-training", 1)]
    assert run("tags").out.splitlines()[0].split() == ["TABLE", "TAG", "VERSION", "SINCE", "COMMENT"]
    unknown = run("untag", "t", "q3-trainin", "--reason", "x")
    assert (unknown.code, "did you mean 'q3-training'" in unknown.err) == (3, True)
    assert run("untag", "t", "q3-training").code == 2
    assert "q3-training no longer names" in run("untag", "t", "q3-training", "--reason", "x").err
    assert run("untag", "t", "now", "--reason", "x", "--json").document["version"] == 2
    assert "there are no tags" in run("tags").err


def test_a_pin_by_hand_is_shown_with_its_bytes_and_let_go_with_a_reason(run: Run, table: Table) -> None:
    assert run("pin", "t@1").code == 2
    assert run("pin", "t@1", "--reason", " ").code == 2
    assert run("pin", "t@1", "--reason", "x", "--holder", "tag:best").code == 2
    assert run("pin", "t@1", "--reason", "audit").out == f"{table.uri}@1\n"
    assert run("pin", "t@1", "--reason", "a second look", "--holder", "ada", "--json").document["holder"] == "ada"
    size = table.manifest(version=1).bytes
    document = run("pins", "t", "--json").document
    pins = [(pin["holder"], pin["bytes"], pin["kept_bytes"], pin["marked"]) for pin in document["pins"]]
    assert pins == [("hand", size, size, True), ("ada", size, size, True)]
    (holding,) = document["tables"]
    assert (holding["kept_bytes"], holding["protected"], holding["versions"]) == (size, True, 1)
    assert [holder["exclusive_bytes"] for holder in holding["holders"]] == [0, 0]
    shown = run("pins")
    assert shown.out.splitlines()[0].split() == ["TABLE", "STATE", "BYTES", "KEPT", "OWN", "HOLDER", "SINCE", "REASON"]
    assert "1 version, " in shown.err
    both = run("unpin", "t@1", "--reason", "x")
    assert (both.code, "is held by hand, ada" in both.err) == (2, True)
    assert "did you mean 'ada'" in run("unpin", "t@1", "--holder", "adaa", "--reason", "x").err
    assert "would let go" in run("unpin", "t@1", "--holder", "ada", "--reason", "x", "--dry-run").err
    assert "still held by hand" in run("unpin", "t@1", "--holder", "ada", "--reason", "x").err
    done = run("unpin", "t@1", "--reason", "audit is over", "--json").document
    assert (done["released"], done["holders"]) == (["hand"], [])
    again = run("unpin", "t@1", "--reason", "x")
    assert (again.code, "hand let it go (audit is over)" in again.err) == (3, True)
    assert run("unpin", "t", "--reason", "x").code == 2
    assert run("unpin", "t@1").code == 2


def test_the_pin_of_a_tag_goes_with_the_tag(run: Run, table: Table) -> None:
    run("tag", "t@0", "best")
    refused = run("unpin", "t@0", "--reason", "x")
    assert (refused.code, f"lakemark tables untag {table.uri} best --reason" in refused.err) == (4, True)
    assert run("unpin", "t@0", "--holder", "tag:best", "--reason", "x").code == 4
    run("pin", "t@0", "--reason", "audit")
    assert "still held by tag:best" in run("unpin", "t@0", "--reason", "x").err


def test_the_pin_of_a_run_goes_only_with_yes(run: Run, table: Table, workspace: Workspace) -> None:
    run_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    workspace.store.create_run(RunRecord(run_id=run_id, experiment="default", started_ms=1, name="forest"))
    run("pin", "t@0", "--reason", "read by a run", "--holder", run_id)
    asked = run("unpin", "t@0", "--reason", "x")
    assert (asked.code, "needs --yes" in asked.err) == (2, True)
    assert "run 4bf92f35 (forest) can no longer be reproduced" in asked.err
    assert len(workspace.pins.list()) == 1
    assert run("unpin", "t@0", "--reason", "x", "--yes").code == 0
    assert list(workspace.pins.list()) == []


def test_a_loss_is_told_from_a_version_that_was_let_go(run: Run, table: Table) -> None:
    run("pin", "t@0", "--reason", "audit")
    run("pin", "t@1", "--reason", "audit")
    run("unpin", "t@0", "--reason", "erased by law")
    whole = run("verify", "t")
    assert (whole.code, whole.out.splitlines()[1].split()[:2]) == (0, [f"{table.uri}@1", "readable"])
    for path in Path(table.uri).glob("*.parquet"):
        if path.name not in {entry.path for entry in table.manifest().entries}:
            path.unlink()
    lost = run("verify", "t", "--json")
    first, second = lost.document["versions"]
    assert (lost.code, lost.document["whole"]) == (1, False)
    assert (first["version"], first["state"], len(first["missing"])) == (1, "files missing", 2)
    assert (second["version"], second["holders"]) == (0, [])
    assert second["let_go"].startswith("lost on purpose, hand let it go at")
    told = run("verify", "t@1")
    assert (told.code, f"lakemark tables unpin {table.uri}@1 --reason" in told.err) == (1, True)
    purposely = run("verify", "t@0")
    assert (purposely.code, "erased by law" in purposely.out) == (0, True)
    assert run("verify", "t@2").code == 3


def test_damage_is_found_by_content(run: Run, table: Table) -> None:
    run("pin", "t@0", "--reason", "audit", "--deep")
    run("tag", "t@2", "best", "--deep")
    states = [version["digests"] for version in run("verify", "--deep", "--json").document["versions"]]
    assert states == ["compared", "compared"]
    path = Path(table.uri) / table.manifest(version=0).entries[0].path
    data = bytearray(path.read_bytes())
    data[9] ^= 1
    path.write_bytes(bytes(data))
    assert run("verify").code == 0
    found = run("verify", "--deep")
    assert (found.code, "files changed" in found.out, f"put {path.name} back" in found.err) == (1, True, True)


def test_the_rows_are_compared_with_what_a_run_got(run: Run, table: Table, workspace: Workspace) -> None:
    for number, content in enumerate((table.read(version=0), table.read(version=1))):
        run_id = f"{number + 10:032x}"
        found = fingerprint(content)
        row: dict[str, Json] = {
            "table_id": table.manifest().table_id,
            "version": 0,
            "content": {"algorithm": found.algorithm, "unordered": found.unordered},
        }
        receipt = workspace.objects.put(canonical({"inputs": {"data": {"tables": [row]}}}))
        workspace.store.create_run(RunRecord(run_id=run_id, experiment="default", started_ms=1))
        workspace.store.settle_run(
            run_id,
            status=RunStatus.FINISHED,
            ended_ms=2,
            params={},
            metrics=(),
            tags={},
            tables=(),
            receipt=receipt,
            memo_key=None,
        )
        run("pin", "t@0", "--reason", "read by a run", "--holder", run_id)
    (version,) = run("verify", "--deep", "--json").document["versions"]
    assert version["same_rows_as"] == [f"{10:032x}"]
    assert f"{table.uri}@0 has the very rows that {10:032x} read" in run("verify", "--deep").err
    assert run("verify", "--json").document["versions"][0]["same_rows_as"] == []


def test_a_version_whose_log_is_gone_is_whole_and_is_cloned_from_its_files(run: Run, table: Table) -> None:
    run("pin", "t@0", "--reason", "audit")
    run("pin", "t@1", "--reason", "audit")
    table.open().create_checkpoint()
    for version in (0, 1):
        (Path(table.uri) / "_delta_log" / f"{version:020}.json").unlink()
    looked = run("verify")
    assert (looked.code, "log cleaned" in looked.out) == (0, True)
    assert f"lakemark tables clone {table.uri}@0 DEST" in looked.err
    assert run("clone", "t@1", "again").out == f"{Path(table.uri).parent}/again@0\n"
    assert sorted(Table("again").read()["x"].to_pylist()) == [1, 2]


def test_a_table_that_was_moved_keeps_its_pins_and_loses_their_markers_with_them(run: Run, table: Table) -> None:
    run("pin", "t@0", "--reason", "audit")
    run("tag", "t@1", "best")
    Path(table.uri).rename("moved")
    assert len(marked_manifests(TableFiles("moved"))) == 2
    assert [pin["holder"] for pin in run("pins", "moved", "--json").document["pins"]] == ["hand", "tag:best"]
    assert run("read", "moved@best", "--json").document["version"] == 1
    assert run("unpin", "moved@0", "--reason", "x").code == 0
    assert len(marked_manifests(TableFiles("moved"))) == 1
    assert run("untag", "moved", "best", "--reason", "x").code == 0
    assert marked_manifests(TableFiles("moved")) == []


def test_a_table_that_is_gone_can_still_be_asked_for(run: Run, table: Table) -> None:
    run("pin", "t@0", "--reason", "audit")
    shutil.rmtree(table.uri)
    (pin,) = run("pins", "./t", "--json").document["pins"]
    assert pin["state"] == "table gone"
    assert run("verify", "./t@0").code == 1
    assert run("unpin", "./t@0", "--reason", "dropped").code == 0


def test_a_clone_under_a_name_or_a_path(run: Run, table: Table) -> None:
    made = run("clone", "t@1", "dev.t", "--json").document
    assert (made["name"], made["version"], made["files"]) == ("main.dev.t", 0, 2)
    assert sorted(row["x"] for row in run("read", "dev.t", "--json").document["rows"]) == [1, 2]
    assert run("clone", "dev.t", "./copy", "--copy").code == 0
    assert run("history", "./copy", "--json").document["commits"][0]["operation"] == "CLONE"
    assert run("clone", "t", "./copy").code == 4
    assert run("clone", "t@9", "./other").code == 3
    assert not Path("other").exists()


def test_a_vacuum_from_another_home_obeys_and_says_who_holds(
    run: Run, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("tag", "t@0", "keep")
    assert run("pins", "t", "--json").document["held_elsewhere"] == 0
    open_workspace(read_settings(), folder=tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert "1 version of ../t held by other homes" in run("pins", "../t").err
    assert run("pins", "../t", "--json").document["held_elsewhere"] == 1
    run("vacuum", "../t", "--retention-hours", "0", "--yes")
    assert table.read(version=0)["x"].to_pylist() == [1]
    assert not Path(table.uri, table_only(table, 1)).exists()


def table_only(table: Table, version: int) -> str:
    """Return the file that this version has and no other."""
    others = {entry.path for other in (0, 2) for entry in table.manifest(version=other).entries}
    (path,) = {entry.path for entry in table.manifest(version=version).entries} - others
    return path


def test_a_foreign_table_is_protected(run: Run, workspace: Workspace, tmp_path: Path) -> None:
    write_deltalake(tmp_path / "f", pa.table({"x": [1]}))
    run("pin", "f@0", "--reason", "audit")
    assert f"lakemark tables protect {tmp_path.resolve()}/f" in run("pins").err
    assert run("protect", "f").out == f"{tmp_path.resolve()}/f@1\n"
    assert run("protect", "f", "--json").document["changed"] is False
    assert "protect" not in run("pins").err
