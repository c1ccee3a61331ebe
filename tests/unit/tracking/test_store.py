from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text

from lakemark._base.errors import ConflictError, InvalidInputError, NotFoundError
from lakemark.config.home import create_home
from lakemark.storage import schema
from lakemark.tracking.records import Metric, Run, RunKind, RunStatus, TableRead, Verdict
from lakemark.tracking.store import Store, open_store

PARTS = ("params", "metrics", "latest_metrics", "tags", "table_reads", "runs")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(create_home(tmp_path))
    yield opened
    opened.database.close()


def run(number: int, *, name: str | None = None, kind: RunKind = RunKind.RUN, experiment: str = "default") -> Run:
    return Run(
        run_id=f"{number:04x}" * 8,
        experiment=experiment,
        started_ms=1_000 + number,
        name=name,
        kind=kind,
        entry_point="train.py",
        pid=17,
        process_start="boot:1",
    )


def settle(
    store: Store,
    run_id: str,
    *,
    status: RunStatus = RunStatus.FINISHED,
    metrics: tuple[Metric, ...] = (),
    memo_key: str | None = None,
    name: str | None = None,
    experiment: str | None = None,
) -> bool:
    return store.settle_run(
        run_id,
        status=status,
        ended_ms=5_000,
        params={"lr": "0.1", "depth": "5"},
        metrics=metrics,
        tags={"who": "me"},
        tables=(TableRead("/lake/flights", "id-1", 0, "m" * 64), TableRead("/lake/flights", "id-1", 3, None)),
        receipt="r" * 64,
        memo_key=memo_key,
        name=name,
        experiment=experiment,
    )


def rows(store: Store) -> dict[str, list[tuple[object, ...]]]:
    with store.database.read() as connection:
        return {
            part: [tuple(row) for row in connection.execute(text(f"SELECT * FROM {part} ORDER BY 1, 2"))]  # noqa: S608
            for part in PARTS
        }


def test_a_run_comes_back_as_it_was_created(store: Store) -> None:
    store.create_run(run(1, name="monday"))
    assert store.get_run(run(1).run_id) == run(1, name="monday")
    assert store.unsettled_runs() == (run(1, name="monday"),)


def test_creating_a_run_again_changes_nothing(store: Store) -> None:
    store.create_run(run(1, name="monday"))
    store.create_run(run(1, name="tuesday"))
    assert store.get_run(run(1).run_id).name == "monday"


def test_settling_brings_all_parts(store: Store) -> None:
    store.create_run(run(1))
    points = (Metric("auc", 0.8, 1, 10), Metric("auc", 0.9, 2, 20))
    assert settle(store, run(1).run_id, metrics=points, memo_key="k" * 64)
    found = store.get_run(run(1).run_id)
    assert (found.status, found.ended_ms, found.receipt, found.memo_key) == ("FINISHED", 5_000, "r" * 64, "k" * 64)
    assert found.params == {"lr": "0.1", "depth": "5"}
    assert found.tags == {"who": "me"}
    assert found.metrics == {"auc": 0.9}
    assert [(read.version, read.manifest) for read in found.tables] == [(0, "m" * 64), (3, None)]
    assert store.list_metrics(found.run_id, "auc") == points
    assert store.unsettled_runs() == ()


def test_settling_twice_gives_the_same_rows(store: Store) -> None:
    store.create_run(run(1))
    points = (Metric("auc", math.nan, 1, 10), Metric("auc", 0.9, 2, 20))
    assert settle(store, run(1).run_id, metrics=points) is True
    before = rows(store)
    assert settle(store, run(1).run_id, metrics=points) is False
    assert settle(store, run(1).run_id, status=RunStatus.KILLED) is False
    assert rows(store) == before


def test_the_truth_replaces_what_was_taken_for_killed(store: Store) -> None:
    store.create_run(run(1))
    assert settle(store, run(1).run_id, status=RunStatus.KILLED, metrics=(Metric("auc", 0.1, 0, 1),))
    assert settle(store, run(1).run_id, metrics=(Metric("auc", 0.1, 0, 1), Metric("auc", 0.2, 1, 2)))
    found = store.get_run(run(1).run_id)
    assert (found.status, found.metrics) == ("FINISHED", {"auc": 0.2})
    assert settle(store, run(1).run_id, status=RunStatus.KILLED) is False


def test_settling_may_name_and_place_the_run(store: Store) -> None:
    store.create_run(run(1))
    settle(store, run(1).run_id, name="monday", experiment="delays")
    found = store.get_run("monday")
    assert (found.name, found.experiment) == ("monday", "delays")
    assert [experiment.name for experiment in store.list_experiments()] == ["default", "delays"]


def test_settling_refuses_an_unknown_run_and_running(store: Store) -> None:
    with pytest.raises(NotFoundError, match="never created"):
        settle(store, "f" * 32)
    store.create_run(run(1))
    with pytest.raises(InvalidInputError, match="RUNNING"):
        settle(store, run(1).run_id, status=RunStatus.RUNNING)
    assert rows(store)["params"] == []


def test_the_latest_value_is_that_of_the_greatest_step_then_time_then_value(store: Store) -> None:
    store.create_run(run(1))
    settle(
        store,
        run(1).run_id,
        metrics=(
            Metric("step", 0.5, 7, 1),
            Metric("step", 0.9, 3, 99),
            Metric("time", 0.5, 0, 9),
            Metric("time", 0.9, 0, 8),
            Metric("value", 0.9, 0, 1),
            Metric("value", 0.5, 0, 1),
            Metric("value", math.nan, 0, 1),
            Metric("nan", 0.5, 0, 1),
            Metric("nan", math.nan, 1, 1),
            Metric("inf", -math.inf, 0, 1),
        ),
    )
    latest = dict(store.get_run(run(1).run_id).metrics)
    assert math.isnan(latest.pop("nan"))
    assert latest == {"step": 0.5, "time": 0.5, "value": 0.9, "inf": -math.inf}


def test_every_point_is_kept_and_an_exact_repeat_once(store: Store) -> None:
    store.create_run(run(1))
    points = [Metric("auc", value, 0, 1) for value in (math.nan, 0.0, math.inf, 0.5, 0.5, math.nan)]
    settle(store, run(1).run_id, metrics=(*points, Metric("auc", 0.5, 0, 2)))
    kept = sorted(str((point.value, point.timestamp_ms)) for point in store.list_metrics(run(1).run_id))
    assert kept == ["(0.0, 1)", "(0.5, 1)", "(0.5, 2)", "(inf, 1)", "(nan, 1)"]


def test_a_run_is_found_by_id_name_or_beginning(store: Store) -> None:
    store.create_run(run(0xAB12, name="monday"))
    store.create_run(run(0xAB13, name="monday"))
    store.create_run(run(0xAB14, name="monday", kind=RunKind.REPLAY))
    assert store.get_run("ab12" * 8).started_ms == 1_000 + 0xAB12
    assert store.get_run("AB12").started_ms == 1_000 + 0xAB12
    assert store.get_run("monday").run_id == "ab13" * 8  # the newest that a person ran, not a replay


def test_a_name_counts_more_than_a_beginning(store: Store) -> None:
    store.create_run(run(0xAB12))
    store.create_run(run(0xCD34, name="ab12"))
    assert store.get_run("ab12").run_id == "cd34" * 8


def test_a_beginning_that_several_runs_have_is_told(store: Store) -> None:
    for number, name in ((1, "monday"), (2, None)):
        store.create_run(
            Run(run_id=f"abcd00{number}".ljust(32, "0"), experiment="default", started_ms=number, name=name)
        )
    with pytest.raises(ConflictError, match=r"several runs begin with 'abcd': abcd002 \(no name\), abcd001 \(monday\)"):
        store.get_run("abcd")


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("mondya", r"no run 'mondya'; the nearest is 'monday'"),
        ("ab12cd12", r"no run 'ab12cd12'; the nearest is 'ab12ab12'"),
        ("ab1", r"no run is named 'ab1', and the beginning of an id needs 4 digits or more"),
        ("zzzz", r"no run 'zzzz': no run has a name or id like it"),
        ("", r"no run ''"),
        ("ab12%", r"no run 'ab12%'"),
    ],
)
def test_a_run_that_is_not_there_is_told_with_the_nearest(store: Store, ref: str, message: str) -> None:
    store.create_run(run(0xAB12, name="monday"))
    with pytest.raises(NotFoundError, match=message):
        store.get_run(ref)


def test_an_empty_store_says_what_makes_a_run(store: Store) -> None:
    with pytest.raises(NotFoundError, match="there are no runs yet") as caught:
        store.get_run("monday")
    assert caught.value.hint == "lakemark run SCRIPT makes one"


def test_lists_are_newest_first_and_narrowed(store: Store) -> None:
    for number, experiment in ((1, "a"), (2, "b"), (3, "a")):
        store.create_run(run(number, experiment=experiment))
    store.create_run(run(4, kind=RunKind.REPLAY))
    started = [found.started_ms for found in store.list_runs()]
    assert started == [1_003, 1_002, 1_001]
    assert [found.started_ms for found in store.list_runs("a", limit=1)] == [1_003]
    assert store.list_runs(kinds=tuple(RunKind))[0].started_ms == 1_004
    assert [found.kind for found in store.list_runs(kinds=(RunKind.REPLAY,))] == ["replay"]
    with pytest.raises(NotFoundError, match="no experiment is named 'c'; there are a, b"):
        store.list_runs("c")
    with pytest.raises(NotFoundError, match="the nearest is 'default'"):
        store.list_runs("defualt")


def test_children_are_listed_by_their_parent(store: Store) -> None:
    store.create_run(run(1))
    store.create_run(Run(run_id="c" * 32, experiment="default", started_ms=2, parent_run_id=run(1).run_id))
    assert [found.run_id for found in store.list_runs(parent_run_id=run(1).run_id)] == ["c" * 32]


def test_more_runs_than_one_query_takes(store: Store) -> None:
    store.create_run(run(1))
    settle(store, run(1).run_id)
    with store.database.write() as connection:
        (first,) = connection.execute(select(schema.runs)).mappings()
        others = (run(number) for number in range(2, 1_102))
        rows = [dict(first) | {"run_id": other.run_id, "started_ms": other.started_ms} for other in others]
        connection.execute(insert(schema.runs), rows)
    found = store.list_runs()
    assert len(found) == 1_101
    assert found[-1].params == {"lr": "0.1", "depth": "5"}
    assert found[0].params == {}


def test_a_memo_key_finds_the_newest_finished_run(store: Store) -> None:
    for number, status in ((1, RunStatus.FINISHED), (2, RunStatus.FINISHED), (3, RunStatus.FAILED)):
        store.create_run(run(number, kind=RunKind.COUNTERFACTUAL))
        settle(store, run(number).run_id, status=status, memo_key="k" * 64)
    found = store.find_by_memo_key("k" * 64)
    assert found is not None
    assert found.run_id == run(2).run_id
    assert store.find_by_memo_key("x" * 64) is None


def test_verdicts_are_kept_once_and_listed_newest_first(store: Store) -> None:
    store.create_run(run(1))
    first = Verdict("a" * 64, run(1).run_id, None, 0, 1)
    second = Verdict("b" * 64, run(1).run_id, "c" * 32, 5, 2)
    for verdict in (first, second, first):
        store.add_verdict(verdict)
    assert store.list_verdicts(run(1).run_id) == (second, first)
    with pytest.raises(NotFoundError, match="never created"):
        store.add_verdict(Verdict("d" * 64, "e" * 32, None, 0, 1))


def test_find_run_takes_full_ids_only(store: Store) -> None:
    store.create_run(run(0xAB12))
    assert store.find_run("ab12") is None
    assert store.find_run("ab12" * 8) == run(0xAB12)
