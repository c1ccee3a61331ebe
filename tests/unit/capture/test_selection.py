import os
from pathlib import Path

from lakemark.capture.selection import Limits, Skipped, list_folder, select_untracked, summarize


def write(folder: Path, *names: str, content: str = "x") -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def test_code_comes_first_then_small_files(tmp_path: Path) -> None:
    write(tmp_path, "notes.txt", "a.dat")
    write(tmp_path, "train.py", content="x" * 90)
    chosen = select_untracked(tmp_path, ["a.dat", "notes.txt", "train.py"], limits=Limits(total_bytes=91))
    assert chosen.chosen == ["train.py", "a.dat"]
    assert [entry.path for entry in chosen.skipped] == ["notes.txt"]


def test_one_entry_for_each_folder_that_stays_out(tmp_path: Path) -> None:
    names = ["t/_delta_log/0.json", "t/p=1/a.parquet", "t/b.parquet", "x/.mypy_cache/y", "repo/"]
    write(tmp_path, *names[:-1])
    found = select_untracked(tmp_path, names, limits=Limits())
    assert found.chosen == []
    assert {entry.path for entry in found.skipped} == {"t/", "repo/"}


def test_what_is_gone_or_no_file_is_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to("nowhere")
    found = select_untracked(tmp_path, ["pipe", "gone", "dangling"], limits=Limits())
    assert (found.chosen, found.skipped) == (["dangling"], [])


def test_a_folder_is_listed_nearest_first_without_what_is_no_code(tmp_path: Path) -> None:
    write(tmp_path, "deep/er/a.py", "b.py", "node_modules/x.js", ".git/HEAD", "env/conda-meta/history", "env/lib.py")
    (tmp_path / "loop").symlink_to(tmp_path)
    names, skipped = list_folder(tmp_path, limit=10)
    assert names == ["b.py", "loop", "deep/er/a.py"]
    assert {entry.path: entry.reason for entry in skipped} == {
        ".git/": "another repository",
        "env/": "a conda environment",
        "node_modules/": "installed packages",
    }
    names, skipped = list_folder(tmp_path, limit=2)
    assert names == ["b.py", "loop"]
    assert skipped[-1].reason == "more than 2 files in the project"


def test_reasons_are_said_once_for_many_files() -> None:
    few = [Skipped(f"a/{number}.csv", "too large", 1) for number in range(10)]
    many = [Skipped(f"b/{number}.csv", "too large", 2) for number in range(11)]
    folders = [Skipped(f"{number}/", "a table") for number in range(20)]
    short = summarize([*many, *few, *folders])
    assert Skipped("b/", "too large (11 files)", 22) in short
    assert [entry for entry in short if entry.path.startswith("a/")] == sorted(few, key=lambda entry: entry.path)
    assert len(short) == 31
