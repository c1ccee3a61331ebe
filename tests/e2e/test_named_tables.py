"""Scripts that read tables by name, by tag, through SQL and in parts: what these meant stays what it was."""

from __future__ import annotations

from tests.e2e.conftest import Project

TRAIN = """\
import lakemark
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_absolute_error

frame = lakemark.table("shop.sales").to_pandas()
cut = int(len(frame) * 0.75)
model = LinearRegression().fit(frame[["x", "y"]][:cut], frame["z"][:cut])
print("mae", mean_absolute_error(frame["z"][cut:], model.predict(frame[["x", "y"]][cut:])))
"""


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


def test_a_tag_means_the_version_that_it_meant(project: Project) -> None:
    project.run("tables", "register", "shop.sales", "data/sales")
    project.run("tables", "tag", "shop.sales@0", "training")
    project.write("train.py", TRAIN.replace("shop.sales", "shop.sales@training"))
    project.run("run", "--name", "monday", "train.py")
    assert project.receipt("monday")["inputs"]["data"]["names"][0]["version"] == 0
    project.land(start=200)
    project.run("tables", "tag", "shop.sales@1", "training", "--move")
    assert project.json("reproduce", "monday", "--level", "5")["level"] == 5


def test_sql_over_several_versions(project: Project) -> None:
    project.run("tables", "register", "shop.sales", "data/sales")
    project.land(start=200)
    project.write(
        "sums.py",
        "import lakemark\n"
        "rows = lakemark.sql('select sum(x * y) as s from shop.sales version as of 0 '\n"
        "                    'union all select sum(x * y) from shop.sales order by 1').arrow()\n"
        "for place, value in enumerate(rows['s'].to_pylist()):\n"
        "    lakemark.log_metric(f'sum_{place}', value)\n",
    )
    project.run("run", "--name", "sums", "sums.py")
    receipt = project.receipt("sums")
    assert sorted(row["version"] for row in receipt["inputs"]["data"]["tables"]) == [
        0,
        2,
    ]  # 1 lets other engines keep old versions
    project.land(start=300)
    project.run("tables", "vacuum", "shop.sales", "--retention-hours", "0", "--yes")
    verdict = project.json("reproduce", "sums", expect=None)
    assert [check["same"] for check in verdict["checks"] if check["name"] in ("data", "metrics")] == [True, True]


def test_a_split_is_a_part_of_the_receipt(project: Project) -> None:
    project.run("tables", "register", "shop.sales", "data/sales")
    project.write(
        "train.py",
        "import lakemark\n"
        "from sklearn.linear_model import LinearRegression\n"
        "from sklearn.metrics import mean_absolute_error\n"
        "parts = lakemark.split('shop.sales', {'train': 0.8, 'test': 0.2}, on='x')\n"
        "train, test = (parts.part(name).read_pandas() for name in ('train', 'test'))\n"
        "model = LinearRegression().fit(train[['x', 'y']], train['z'])\n"
        "print(mean_absolute_error(test['z'], model.predict(test[['x', 'y']])))\n",
    )
    project.run("run", "--name", "parts", "train.py")
    (split,) = project.receipt("parts")["inputs"]["data"]["splits"]
    assert split["table"]["version"] == 1  # 0, and the properties that let other engines keep it
    assert [part["name"] for part in split["parts"]] == ["train", "test"]
    project.land(start=200)
    assert project.json("reproduce", "parts", "--level", "5")["level"] == 5


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
