from pathlib import Path

from lakemark.reproduce.links import turn_links


def test_links_stay_in_the_rebuilt_world(tmp_path: Path) -> None:
    original, project, mirror, disk = (
        tmp_path / name for name in ("original", "world/project", "world/mirror", "disk")
    )
    for folder in (original, project / "src", disk / "data"):
        folder.mkdir(parents=True)
    (disk / "rows.csv").write_text("x")
    for name, target in {
        "data": str(disk / "data"),
        "rows.csv": str(disk / "rows.csv"),
        "gone.csv": str(disk / "gone.csv"),
        "gone": "/no/such/folder",
        "up": "../disk/data",
        "own": str(original / "src"),
        "near": "src",
        "null": "/dev/null",
    }.items():
        (project / name).symlink_to(target)
    turn_links(project, original=str(original), mirror=mirror, files={str(original / "gone.csv")})
    mirrored = mirror / str(disk).lstrip("/")
    assert {path.name: path.readlink() for path in project.iterdir() if path.is_symlink()} == {
        "data": mirrored / "data",
        "rows.csv": mirrored / "rows.csv",
        "gone.csv": mirrored / "gone.csv",
        "gone": mirror / "no/such/folder",
        "up": mirrored / "data",
        "own": project / "src",
        "near": project / "src",
        "null": Path("/dev/null"),
    }
    assert (project / "data").is_dir()
    assert (project / "gone").is_dir()
    (project / "gone.csv").write_text("kept")
    assert (mirrored / "gone.csv").read_text() == "kept"
    assert not (disk / "gone.csv").exists()
