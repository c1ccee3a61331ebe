from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lakemark._base.canonical import Json
from lakemark._base.errors import ConflictError, InvalidInputError, NotFoundError
from lakemark.fluent.active import ActiveRun, RunInfo
from lakemark.tracking.spool import Spool, read_events


def make(folder: Path) -> ActiveRun:
    def end(run: ActiveRun, status: str, error: BaseException | None) -> None:
        run.spool().write("ended", status=status, error=None if error is None else str(error))
        run.close()

    return ActiveRun(RunInfo(folder.name, None, "default", None, 1), folder, end=end, store_limit=1_000_000)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[ActiveRun]:
    made = make(tmp_path / "home" / "spool" / ("a" * 32))
    yield made
    made.close()


def events(run: ActiveRun, kind: str) -> list[dict[str, Json]]:
    return [
        {key: value for key, value in event.items() if key not in ("event", "at", "timestamp")}
        for _, event in read_events(run.folder)
        if event["event"] == kind
    ]


def test_params_metrics_and_tags_are_written_down(run: ActiveRun) -> None:
    run.log_params({"lr": 0.1, "model": "gbm"})
    run.log_metrics({"auc": 0.8, "loss": 1}, step=3)
    run.set_tags({"who": "me"})
    run.set_tags({"who": "you"})
    assert events(run, "param") == [
        {"key": "lr", "value": "0.1", "how": "declared"},
        {"key": "model", "value": "gbm", "how": "declared"},
    ]
    assert events(run, "metric") == [
        {"key": "auc", "value": 0.8, "step": 3, "how": "declared"},
        {"key": "loss", "value": 1.0, "step": 3, "how": "declared"},
    ]
    assert [event["value"] for event in events(run, "tag")] == ["me", "you"]


def test_nan_and_infinity_are_kept(run: ActiveRun) -> None:
    for value in (math.nan, math.inf, -math.inf):
        run.log_metrics({"auc": value})
    assert [repr(event["value"]) for event in events(run, "metric")] == ["nan", "inf", "-inf"]


def test_a_param_may_be_said_again_but_not_changed(run: ActiveRun) -> None:
    run.log_params({"lr": 0.1})
    run.log_params({"lr": "0.1"})
    with pytest.raises(ConflictError, match=r"param 'lr' of run aaaaaaaa is '0.1' and cannot become '0.2'"):
        run.log_params({"depth": 5, "lr": 0.2})
    assert events(run, "param") == [{"key": "lr", "value": "0.1", "how": "declared"}]


def test_a_param_that_an_earlier_process_declared_is_known_and_an_inferred_one_may_be_declared(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "spool" / ("a" * 32)
    spool = Spool(folder)
    spool.write("param", key="lr", value="0.1", how="declared")
    spool.write("param", key="depth", value="05", how="inferred")
    spool.close()
    run = make(folder)
    run.log_params({"depth": 5})
    with pytest.raises(ConflictError, match="params do not change"):
        run.log_params({"lr": 0.2})
    run.close()


def test_bad_input_changes_nothing(run: ActiveRun) -> None:
    with pytest.raises(InvalidInputError):
        run.log_params({"good": 1, "b=ad": 2})
    with pytest.raises(InvalidInputError):
        run.log_metrics({"good": 1, "bad": True})
    with pytest.raises(InvalidInputError):
        run.log_metrics({"good": 1}, step=1.5)  # type: ignore[arg-type] # what is refused is the point
    with pytest.raises(InvalidInputError):
        run.set_tags({"good": 1, "bad": "x" * 9_000})
    assert list(read_events(run.folder)) == []


def test_an_artifact_is_copied_and_hashed(run: ActiveRun, tmp_path: Path) -> None:
    source = tmp_path / "plot.txt"
    source.write_bytes(b"a plot")
    run.log_artifact(source)
    run.log_artifact(str(source), "plots/first")
    digest = hashlib.sha256(b"a plot").hexdigest()
    assert events(run, "artifact") == [
        {"path": "plot.txt", "sha256": digest, "size": 6},
        {"path": "plots/first/plot.txt", "sha256": digest, "size": 6},
    ]
    kept = run.folder / "artifacts"
    assert [path.relative_to(kept).as_posix() for path in sorted(kept.rglob("*")) if path.is_file()] == [
        "plot.txt",
        "plots/first/plot.txt",
    ]


def test_folders_are_kept_with_or_without_their_name(run: ActiveRun, tmp_path: Path) -> None:
    (tmp_path / "out" / "deep").mkdir(parents=True)
    for name in ("b.txt", "a.txt", "deep/c.txt"):
        (tmp_path / "out" / name).write_text(name)
    run.log_artifacts(tmp_path / "out")
    run.log_artifact(tmp_path / "out", "x")
    assert [event["path"] for event in events(run, "artifact")] == [
        "a.txt",
        "b.txt",
        "deep/c.txt",
        "x/out/a.txt",
        "x/out/b.txt",
        "x/out/deep/c.txt",
    ]


def test_an_artifact_that_is_not_there_or_would_leave_is_refused(run: ActiveRun, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no file"):
        run.log_artifact(tmp_path / "missing")
    with pytest.raises(NotFoundError, match="no folder"):
        run.log_artifacts(tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInputError, match="artifact path"):
        run.log_artifact(tmp_path / "file", "../outside")
    run.log_artifact(tmp_path / "file")
    with pytest.raises(InvalidInputError, match="a file and a folder at once"):
        run.log_artifact(tmp_path / "file", "file")


def test_nothing_is_added_to_a_run_that_has_ended(run: ActiveRun) -> None:
    with run:
        pass
    for kind in ("metric", "param", "tag"):
        with pytest.raises(ConflictError, match="run aaaaaaaa has ended"):
            log_after_end(run, kind)
    assert events(run, "ended") == [{"status": "FINISHED", "error": None}]


def log_after_end(run: ActiveRun, kind: str) -> None:
    if kind == "metric":
        run.log_metrics({"auc": 1})
    elif kind == "param":
        run.log_params({"lr": 1})
    else:
        run.set_tags({"a": 1})


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("no"), "FAILED"),
        (KeyboardInterrupt(), "FAILED"),
        (SystemExit(0), "FINISHED"),
        (SystemExit(3), "FAILED"),
    ],
)
def test_what_leaves_the_block_decides_and_goes_on(run: ActiveRun, error: BaseException, status: str) -> None:
    with pytest.raises(type(error)), run:
        raise error
    assert [event["status"] for event in events(run, "ended")] == [status]


def test_threads_lose_nothing(run: ActiveRun) -> None:
    def log(number: int) -> None:
        for step in range(200):
            run.log_metrics({"auc": number}, step=step)

    _run_threads(log)
    seen = {(event["value"], event["step"]) for event in events(run, "metric")}
    assert seen == {(float(number), step) for number in range(8) for step in range(200)}


def test_of_threads_that_declare_one_param_one_wins(run: ActiveRun) -> None:
    barrier, refused = threading.Barrier(8), []

    def log(number: int) -> None:
        for key in range(100):
            barrier.wait()
            try:
                run.log_params({f"p{key}": number})
            except ConflictError as error:
                refused.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        _run_threads(log)
    finally:
        sys.setswitchinterval(interval)
    assert [event["key"] for event in events(run, "param")] == [f"p{key}" for key in range(100)]
    assert len(refused) == 700


def _run_threads(target: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=target, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_model_is_kept_by_content(run: ActiveRun) -> None:
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0])
    fingerprint = run.log_model(model, "line")
    (event,) = events(run, "model")
    assert (event["name"], event["how"], event["fingerprint"]) == ("line", "declared", fingerprint)
    artifacts = {str(artifact["path"]): artifact["sha256"] for artifact in events(run, "artifact")}
    assert sorted(artifacts) == ["line/model.json", "line/model.pkl"]
    assert artifacts["line/model.pkl"] == event["blob"]
    card = json.loads((run.folder / "artifacts/line/model.json").read_text())
    assert (card["format"], card["fingerprint"]) == ("lakemark.model/1", fingerprint)


def _log_in_child(run: ActiveRun, number: int) -> None:
    run.after_fork()
    for step in range(50):
        run.log_metrics({"child": number}, step=step)


def test_forked_children_write_whole_lines_into_one_spool(run: ActiveRun) -> None:
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_log_in_child, args=(run, number)) for number in range(3)]
    for child in children:
        child.start()
    for step in range(50):
        run.log_metrics({"parent": 9}, step=step)
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert len(events(run, "metric")) == 200
