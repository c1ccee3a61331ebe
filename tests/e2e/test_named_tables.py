"""Scripts that read tables by name, by tag, through SQL and in parts: what these meant stays what it was."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from tests.e2e.conftest import Project, sales

from lakemark._base.clock import rfc3339

TRAIN = """\
import lakemark
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_absolute_error

frame = lakemark.table("shop.sales").to_pandas()
cut = int(len(frame) * 0.75)
model = LinearRegression().fit(frame[["x", "y"]][:cut], frame["z"][:cut])
print("mae", mean_absolute_error(frame["z"][cut:], model.predict(frame[["x", "y"]][cut:])))
"""

READS = """\
import sys
import lakemark
import pandas as pd
from sklearn.linear_model import LinearRegression

XYZ = ["x", "y", "z"]
sales, before = lakemark.table("shop.sales"), lakemark.table("data/sales")
query = '''
select a.x, a.y, b.z from shop.sales version as of 0 a join "data/sales" version as of 1 b using (id)
union all select x, y, z from "shop.sales@training"
union all select x, y, z from shop.sales timestamp as of '{}' order by 1, 2, 3
'''
parts = lakemark.split("shop.sales@training", {"train": 0.8, "test": 0.2}, on="id", salt="s")
halves = lakemark.split("shop.sales", {"old": 0.5, "new": 0.5}, on="at", by="time")
frames = [
    sales.to_pandas(),
    sales.to_pandas(where="id > 20 and x > 1", order_by=["x", "id"], columns=["id", *XYZ]),
    sales.batches(columns=XYZ).read_pandas(),
    sales.to_polars().select(XYZ).collect().to_pandas(),
    before.read(version=1).to_pandas(),
    before.to_pandas(timestamp=sys.argv[1]),
    lakemark.table("data/sales@2").to_pandas(),
    lakemark.sql(query.format(sys.argv[1])).to_pandas(),
    parts.part("train").read_pandas(),
    halves.part("new").read_pandas(),
]
for place, frame in enumerate(frames):
    lakemark.log_metric(f"rows_{place}", len(frame))
    lakemark.log_metric(f"sum_{place}", float((frame["x"] * range(len(frame))).sum()))
rows = pd.concat([frame[XYZ] for frame in frames])
LinearRegression().fit(rows[["x", "y"]], rows["z"])
"""

WRITES = """\
import lakemark
import pyarrow as pa
from lakemark.tables.pinning.clones import clone
from sklearn.linear_model import LinearRegression

new = pa.table({"id": [7, 9000], "x": [1.0, 2.0], "y": [3.0, 4.0], "z": [5.0, 6.0]})
sales = lakemark.table("shop.sales")
assert sales.append(new.slice(1)) == 2
assert sales.delete("id < 5").deleted == 5
assert sales.update({"y": "y + 1"}, "id = 7").updated == 1
assert sales.merge(new, on="id").updated == 2
assert lakemark.table("data/sales").version == 5

catalog = lakemark.catalog()
catalog.create("shop.features", sales.read(columns=["x", "y", "z"], order_by=["id"]).combine_chunks())
lakemark.table("lake/own").create(new)
catalog.register("shop.own", "lake/own", protect=False)
catalog.rename("shop.own", "shop.mine")
lakemark.table("shop.mine").overwrite(new.slice(1))
catalog.drop("shop.mine")
catalog.rename("shop.sales", "shop.sold")
clone(lakemark.table("data/sales@1"), "lake/clone").delete("id > 100")
lakemark.stream("lake/clone").write("lake/stream", name="q").run()
seen = []
lakemark.stream("lake/stream").foreach_batch(lambda rows, _: seen.append(rows.num_rows), checkpoint="out/seen").run()
assert seen == [101]

frame = lakemark.table("shop.features").to_pandas()
more = lakemark.table("lake/stream").to_pandas()
print(LinearRegression().fit(frame[["x", "y"]], frame["z"]).score(more[["x", "y"]], more["z"]))
"""


def clean_log(table: Path) -> None:
    """Delete the commits before the last checkpoint, as other engines do."""
    log = table / "_delta_log"
    last = max(log.glob("*.checkpoint.parquet")).name.partition(".")[0]
    for commit in log.glob("*.json"):
        if commit.name.partition(".")[0] < last:
            commit.unlink()


def test_every_way_of_reading_is_bit_exact_after_upkeep(bare: Project) -> None:
    project = bare
    for number in range(3):
        rows = sales(100, start=100 * number)
        at = pa.array(
            [1_600_000_000_000_000 + 1000 * value for value in rows["id"].to_pylist()], pa.timestamp("us", "UTC")
        )
        write_deltalake(project.table, rows.append_column("at", at), mode="append")
    project.run("tables", "register", "shop.sales", "data/sales")
    project.run("tables", "tag", "shop.sales@1", "training")
    made = {commit["version"]: commit["timestamp"] for commit in DeltaTable(project.table).history()}
    project.write("train.py", READS)
    project.run("run", "--name", "monday", "train.py", rfc3339(made[1]))
    data = project.receipt("monday")["inputs"]["data"]
    assert sorted({row["version"] for row in data["tables"]}) == [0, 1, 2, 3]  # 3 lets other engines keep old versions
    assert {row["uri"] for row in data["tables"]} == {str(project.table)}
    assert data["files"] == []
    assert {row["text"]: row["version"] for row in data["names"]} == {
        "shop.sales": None,
        "shop.sales@training": 1,
        f"{project.table}@{rfc3339(made[1])}": 1,
    }
    assert [(split["by"], split["table"]["version"]) for split in data["splits"]] == [("hash", 1), ("time", 3)]

    write_deltalake(project.table, DeltaTable(project.table).to_pyarrow_table().slice(0, 50), mode="overwrite")
    project.run("tables", "compact", "shop.sales")
    project.run("tables", "checkpoint", "shop.sales")
    project.run("tables", "vacuum", "shop.sales", "--retention-hours", "0", "--yes")
    clean_log(project.table)
    project.run("tables", "tag", "shop.sales", "training", "--move")
    project.run("tables", "drop", "shop.sales")
    verdict = project.json("reproduce", "monday", expect=None)
    assert (verdict["level"], [check["name"] for check in verdict["checks"] if check["same"] is False]) == (5, [])


def test_writes_of_every_kind_are_recorded_and_replayed_elsewhere(project: Project) -> None:
    project.run("tables", "register", "shop.sales", "data/sales")
    project.write("train.py", WRITES)
    project.run("run", "--name", "monday", "train.py")
    receipt = project.receipt("monday")
    data, written = receipt["inputs"]["data"], receipt["outputs"]["tables_written"]
    assert [(row["uri"], row["version"], row["role"]) for row in data["tables"]] == [(str(project.table), 1, "written")]
    assert (data["files"], receipt["outputs"]["files_written"]) == ([], [])
    versions: dict[str, list[int]] = {}
    for row in written:
        versions.setdefault(Path(row["uri"]).name, []).append(row["version"])
    assert versions["sales"] == [2, 3, 4, 5]
    assert (versions["features"], versions["own"], versions["clone"], versions["stream"]) == (
        [0],
        [0, 1],
        [0, 1],
        [0, 1],
    )
    commits = {row["version"]: row["run_id"] for row in project.json("tables", "history", "data/sales")["commits"]}
    assert commits == {5: receipt["run_id"], 4: receipt["run_id"], 3: receipt["run_id"], 2: receipt["run_id"]} | {
        1: None,
        0: None,
    }

    before = {path: path.stat().st_mtime_ns for path in project.folder.rglob("*.json") if "_delta_log" in path.parts}
    names = [row["name"] for row in project.json("tables", "list")["tables"]]
    verdict = project.json("reproduce", "monday", expect=None)
    assert (verdict["level"], [check["name"] for check in verdict["checks"] if check["same"] is False]) == (5, [])
    after = {path: path.stat().st_mtime_ns for path in project.folder.rglob("*.json") if "_delta_log" in path.parts}
    assert after == before
    assert [row["name"] for row in project.json("tables", "list")["tables"]] == names


def test_runs_on_a_moved_tag_are_compared_and_explained(project: Project) -> None:
    project.run("tables", "register", "shop.sales", "data/sales")
    project.run("tables", "tag", "shop.sales@0", "training")
    project.land(start=200)
    script = TRAIN.replace("shop.sales", "shop.sales@training")
    project.write("train.py", script)
    project.run("run", "--name", "monday", "train.py")
    project.run("tables", "tag", "shop.sales@2", "training", "--move")
    body = "".join(f"    {line}\n" for line in script.splitlines() if line and line != "import lakemark")
    plain = f"import lakemark\nwith lakemark.start_run('plain'):\n{body}"
    project.write(
        "plain.py", plain + "    lakemark.table('shop.sales').append(lakemark.table('shop.sales@0').read())\n"
    )
    project.python("plain.py")
    project.run("run", "--name", "tuesday", "train.py")

    shown = project.run("show", "monday").stdout
    assert f"shop.sales@training meant sales@0, {project.table}" in shown
    differences = project.run("diff", "monday", "tuesday").stdout
    assert "table sales: version 0 -> 2, rows 200 -> 400" in differences
    assert "name shop.sales@training: version 0 -> 2" in differences
    explained = project.run("explain", "monday", "tuesday").stdout
    assert "sales v0 → v2: 200 → 400 rows" in explained

    project.run("tables", "tag", "shop.sales@1", "training", "--move")
    (commit,) = project.json("tables", "history", "shop.sales", "--limit", "1")["commits"]
    assert commit["run_id"] == project.receipt("plain")["run_id"]
    for run in ("tuesday", "plain"):
        assert project.json("reproduce", run, "--level", "5")["level"] == 5


def test_a_run_on_a_name_is_bit_exact_when_the_name_means_another_table(project: Project) -> None:
    project.run("tables", "register", "shop.sales", "data/sales")
    project.write("train.py", TRAIN)
    project.run("run", "--name", "monday", "train.py")
    data = project.receipt("monday")["inputs"]["data"]
    assert [(row["text"], row["uri"], row["name"]) for row in data["names"]] == [
        ("shop.sales", str(project.table), "main.shop.sales")
    ]
    assert [row["uri"] for row in data["tables"]] == [str(project.table)]
    assert data["tables"][0]["content"] is not None

    project.land(start=200)
    project.run("tables", "compact", "shop.sales")
    project.run("tables", "vacuum", "shop.sales", "--retention-hours", "0", "--yes")
    project.run("tables", "rename", "shop.sales", "shop.old")
    project.write("rows.csv", "x,y,z\n1,2,3\n")
    project.run("tables", "create", "shop.sales", "--from", "rows.csv")

    assert project.json("reproduce", "monday", "--level", "5")["level"] == 5


def test_a_write_by_name_says_which_run_made_it(project: Project) -> None:
    project.write(
        "features.py",
        "import lakemark, pyarrow as pa\n"
        "lakemark.catalog().create('shop.features', pa.table({'x': [1, 2]}))\n"
        "lakemark.table('shop.features').append(pa.table({'x': [3]}))\n",
    )
    project.run("run", "--name", "features", "features.py")
    receipt = project.receipt("features")
    assert [row["version"] for row in receipt["outputs"]["tables_written"]] == [0, 1]
    assert receipt["inputs"]["data"]["tables"] == []
    commits = project.json("tables", "history", "shop.features")["commits"]
    assert {commit["run_id"] for commit in commits} == {receipt["run_id"]}
    assert receipt["inputs"]["data"]["files"] == []
    verdict = project.json("reproduce", "features", expect=None)
    assert verdict["level"] > 0, verdict
    assert len(project.json("tables", "history", "shop.features")["commits"]) == 2
