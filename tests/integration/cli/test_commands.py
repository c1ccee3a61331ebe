"""The commands as processes, on a home with two settled runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import lakemark
from lakemark._base.canonical import Json, canonical
from lakemark.capture.receipt import RunFacts, assemble
from lakemark.config.home import create_home
from lakemark.storage.objects import ObjectStore
from lakemark.tracking.pins import SqlPinStore
from lakemark.tracking.records import Metric, Run, RunStatus, TableRead, Verdict
from lakemark.tracking.store import Store, open_store

COMMAND = str(Path(sys.executable).with_name("lakemark"))
MONDAY, TUESDAY = "1111" * 8, "2222" * 8


def call(
    folder: Path, *arguments: str, code: int = 0, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [COMMAND, *arguments],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, (done.stdout, done.stderr)
    return done


def settle(store: Store, objects: ObjectStore, *, run_id: str, name: str, version: int, auc: float, lr: str) -> None:
    table: dict[str, Json] = {"uri": "/lake/flights", "table_id": "id", "version": version, "manifest": "ab" * 32}
    events: list[Mapping[str, Json]] = [
        {
            "event": "created",
            "at": 1_000,
            "run_id": run_id,
            "name": name,
            "kind": "run",
            "parent_run_id": None,
            "experiment": "default",
            "entry": {"kind": "script", "name": "train.py", "argv": ["--lr", lr]},
        },
        {"event": "param", "at": 1_000, "key": "lr", "value": lr, "how": "inferred"},
        {
            "event": "read_table",
            "at": 1_100,
            **table,
            "requested": None,
            "schema_sha256": "cd" * 32,
            "log_identity": f"{version:02x}" * 32,
            "rows": 1_000 * version,
            "how": "observed",
        },
        {"event": "metric", "at": 1_200, "key": "auc", "value": auc, "step": 0, "timestamp": 1_200, "how": "declared"},
        {
            "event": "finished",
            "at": 4_000,
            "status": "FINISHED",
            "exit_code": 0,
            "wall_seconds": 3.0,
            "cpu_seconds": 2.5,
            "peak_rss_bytes": 90_000_000,
            "error": None,
        },
    ]
    receipt = assemble(events, RunFacts(), status="FINISHED")
    store.create_run(Run(run_id=run_id, experiment="default", started_ms=1_000 + version, name=name))
    store.settle_run(
        run_id,
        status=RunStatus.FINISHED,
        ended_ms=4_000 + version,
        params={"lr": lr},
        metrics=[Metric("auc", auc, 0, 1_200)],
        tags={},
        tables=[TableRead("/lake/flights", "id", version, "ab" * 32)],
        receipt=objects.put(canonical(receipt)),
        memo_key=str(receipt["inputs_digest"]),
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    home = create_home(folder)
    store, objects = open_store(home), ObjectStore(home.objects)
    settle(store, objects, run_id=MONDAY, name="monday", version=7, auc=0.83, lr="0.1")
    settle(store, objects, run_id=TUESDAY, name="tuesday", version=9, auc=float("nan"), lr="0.2")
    SqlPinStore(store.database).add(
        table_uri="/lake/flights",
        table_id="id",
        version=7,
        manifest="ab" * 32,
        holder=MONDAY,
        reason="read by a run",
        created_ms=1,
    )
    digest = objects.put(canonical({"schema": "lakemark.verdict/1", "level": 5}))
    store.add_verdict(Verdict(digest, MONDAY, "3333" * 8, 5, 9_000))
    store.database.close()
    return folder


def test_version(tmp_path: Path) -> None:
    assert call(tmp_path, "--version").stdout == f"lakemark {lakemark.__version__}\n"
    assert not any(tmp_path.iterdir())


def test_help_names_every_command_and_completion(tmp_path: Path) -> None:
    told = call(tmp_path, "--help").stdout
    for command in ("init", "run ", "runs", "show", "diff", "reproduce", "explain", "tables", "config"):
        assert f"  {command}" in told
    assert "_LAKEMARK_COMPLETE=bash_source" in told
    assert "\\b" not in told


def test_completion_of_the_shell(tmp_path: Path) -> None:
    words = {"_LAKEMARK_COMPLETE": "bash_complete", "COMP_WORDS": "lakemark sh", "COMP_CWORD": "1"}
    assert call(tmp_path, environment=words).stdout == "plain,show\n"


def test_init_makes_a_home_once(tmp_path: Path) -> None:
    assert json.loads(call(tmp_path, "init", "--json").stdout) == {
        "schema": "lakemark.init/1",
        "home": str(tmp_path / ".lakemark"),
        "created": True,
    }
    assert (tmp_path / ".lakemark" / "lakemark.db").is_file()
    again = call(tmp_path, "init")
    assert (again.stdout, again.stderr.splitlines()[0]) == ("", f"there is {tmp_path / '.lakemark'}")


def test_init_takes_a_folder_or_the_global_home(tmp_path: Path) -> None:
    call(tmp_path, "init", "a")
    call(tmp_path, "--home", "b", "init")
    assert (tmp_path / "a" / ".lakemark").is_dir()
    assert (tmp_path / "b" / ".lakemark").is_dir()


def test_config_shows_values_and_origins(tmp_path: Path) -> None:
    (tmp_path / "lakemark.toml").write_text('store_limit = "1MB"\n')
    told = call(tmp_path, "config", "show", "--origin", environment={"LAKEMARK_SEED": "7"}).stdout.splitlines()
    assert [line.split() for line in told[3:]] == [
        ["store_limit", "1000000", "file", f"{tmp_path / 'lakemark.toml'}:1"],
        ["sample_rows", "1000", "default"],
        ["seed", "7", "environment", "LAKEMARK_SEED"],
        ["warehouse", str(tmp_path / ".lakemark" / "tables"), "default"],
    ]
    document = json.loads(call(tmp_path, "--home", "x", "config", "show", "--json").stdout)
    assert document["schema"] == "lakemark.config/1"
    assert document["settings"]["home"] == {
        "value": str(tmp_path / "x" / ".lakemark"),
        "origin": {"kind": "flag", "name": "--home"},
    }


def test_a_bad_setting_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "lakemark.toml").write_text("\nsede = 1\n")
    done = call(tmp_path, "runs", code=2)
    assert done.stdout == ""
    assert done.stderr == (
        f"error: file {tmp_path / 'lakemark.toml'}:2: no setting is named 'sede'; did you mean 'seed'?\n"
        "\nhint: lakemark config show lists the settings\n"
    )


def test_usage_errors_have_our_form(tmp_path: Path) -> None:
    assert call(tmp_path, "shwo", code=2).stderr == (
        "error: no command is named 'shwo'; did you mean 'show'?\n\nhint: lakemark --help\n"
    )
    assert call(tmp_path, "show", code=2).stderr == "error: missing argument 'RUN'\n\nhint: lakemark show --help\n"
    assert "no such option" in call(tmp_path, "runs", "--jsno", code=2).stderr


def test_no_home_is_told_with_what_makes_one(tmp_path: Path) -> None:
    done = call(tmp_path, "runs", code=3)
    assert done.stderr.startswith(f"error: there is no home yet: it would be {tmp_path / '.lakemark'}")
    assert "hint: lakemark init" in done.stderr
    assert not any(tmp_path.iterdir())


def test_runs_lists_newest_first(project: Path) -> None:
    head, *lines = call(project, "runs").stdout.splitlines()
    assert head.split() == ["RUN", "NAME", "STATUS", "STARTED", "DURATION", "METRICS", "DATA", "PARAMS"]
    assert [line.split()[:3] for line in lines] == [
        ["22222222", "tuesday", "finished"],
        ["11111111", "monday", "finished"],
    ]
    assert lines[1].split()[5:] == ["3.0", "s", "auc=0.83", "flights@7", "lr=0.1"]
    assert "auc=NaN" in lines[0]


def test_runs_fit_a_narrow_terminal_and_have_no_colours_in_a_pipe(project: Path) -> None:
    told = call(project, "runs", environment={"COLUMNS": "60"}).stdout
    assert max(len(line) for line in told.splitlines()) <= 60
    assert "\x1b" not in told


def test_runs_as_json(project: Path) -> None:
    document = json.loads(call(project, "runs", "--json", "--limit", "1").stdout)
    assert document["schema"] == "lakemark.runs/1"
    (run,) = document["runs"]
    assert (run["run_id"], run["name"], run["metrics"], run["duration_seconds"]) == (
        TUESDAY,
        "tuesday",
        {"auc": "NaN"},
        3.0,
    )
    assert run["tables"] == [{"uri": "/lake/flights", "table_id": "id", "version": 9, "manifest": "ab" * 32}]


def test_runs_of_an_unknown_experiment(project: Path) -> None:
    done = call(project, "runs", "--experiment", "defualt", code=3)
    assert "the nearest is 'default'" in done.stderr


def test_a_missing_run_names_the_nearest(project: Path) -> None:
    for command in (("show", "mondya"), ("diff", "monday", "mondya")):
        done = call(project, *command, code=3)
        assert (done.stdout, done.stderr) == (
            "",
            "error: no run 'mondya'; the nearest is 'monday'\n\nhint: lakemark show monday\n",
        )


def test_show_tells_a_run_on_one_screen(project: Path) -> None:
    done = call(project, "show", "1111")
    told = done.stdout
    assert told.splitlines()[0].startswith("monday (11111111) finished, ")
    for part in (
        "flights@7, 7,000 rows, pinned, asked for the latest, /lake/flights",
        "lr=0.1",
        "metrics     auc 0.83",
        "3.0 s, 2.5 s of CPU, 90.0 MB of memory at most",
        "captured    1 observed, 1 declared, 1 inferred; ",
        "missing: code (no snapshot was taken)",
        "verdict     level 5 bit-exact model",
    ):
        assert part in told.replace("\n            ", " "), told
    assert len(told.splitlines()) <= 30
    assert done.stderr == "\nhint: lakemark reproduce monday\n"


def test_show_as_json_and_as_receipt(project: Path) -> None:
    document = json.loads(call(project, "show", "monday", "--json").stdout)
    assert document["schema"] == "lakemark.show/1"
    assert document["verdicts"] == [{"schema": "lakemark.verdict/1", "level": 5}]
    receipt = call(project, "show", "monday", "--receipt").stdout
    assert canonical(json.loads(receipt)) + b"\n" == receipt.encode()
    assert json.loads(receipt) == document["receipt"]


def test_diff_tells_what_moved_and_what_did_not(project: Path) -> None:
    told = call(project, "diff", "monday", "tuesday").stdout
    assert told.splitlines()[0] == "monday -> tuesday"
    for part in ("data        table flights: version 7 -> 9", "params      lr: 0.1 -> 0.2", "auc: 0.83 -> NaN"):
        assert part in told
    assert "the same    code, env, randomness, compute" in told
    assert call(project, "diff", "monday", "monday").stdout.splitlines()[2:] == [
        "the same    data, code, env, params, randomness, compute, metrics"
    ]


def test_diff_as_json(project: Path) -> None:
    document = json.loads(call(project, "diff", "monday", "tuesday", "--json").stdout)
    assert document["schema"] == "lakemark.diff/1"
    assert document["metrics"] == {"auc": [0.83, "NaN"]}
    assert {"part": "params", "name": "lr", "detail": "0.1 -> 0.2"} in document["inputs"]


def test_a_reader_that_goes_away_is_no_error(project: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([COMMAND, "runs"], cwd=project, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize(("no_color", "painted"), [("", True), ("1", False)])
def test_colours_on_a_terminal_unless_no_color(project: Path, no_color: str, painted: bool) -> None:
    master, slave = os.openpty()
    environment = {**os.environ, "NO_COLOR": no_color, "TERM": "xterm", "COLUMNS": "120"}
    done = subprocess.run(
        [COMMAND, "show", "nobody"], cwd=project, stdout=slave, stderr=slave, env=environment, check=False
    )
    os.close(slave)
    told = os.read(master, 10_000).decode()
    os.close(master)
    assert done.returncode == 3
    assert ("\x1b[31merror:\x1b[0m no run 'nobody'" in told) is painted
    assert ("\x1b" in told) is painted


def test_no_command_is_answered_with_the_help(tmp_path: Path) -> None:
    told = call(tmp_path, code=2).stderr
    assert told.startswith("Usage: lakemark")
    assert "..." not in told.partition("Commands:")[2]


def test_a_misspelled_option_is_told_with_the_nearest(tmp_path: Path) -> None:
    for command, option, near in (("run", "--nmae", "--name"), ("reproduce", "--levle", "--level")):
        assert call(tmp_path, command, option, "x", "y", code=2).stderr == (
            f"error: no such option '{option}'; did you mean '{near}'?\n\nhint: lakemark {command} --help\n"
        )
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("trian.py",), "no script trian.py in {folder}; did you mean 'train.py'?"),
        (("data",), "no script data in {folder}: it is a folder"),
        (("--python", "nowhere/python", "train.py"), "no interpreter at {folder}/nowhere/python"),
    ],
)
def test_what_cannot_be_run_is_told_and_leaves_no_run(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    (tmp_path / "train.py").write_text("")
    (tmp_path / "data").mkdir()
    done = call(tmp_path, "run", *arguments, code=3)
    assert done.stderr.splitlines()[0] == f"error: {said.format(folder=tmp_path)}"
    assert json.loads(call(tmp_path, "runs", "--json").stdout)["runs"] == []


@pytest.mark.parametrize("name", ["-dash", "a\x1b[31m"])
def test_a_name_that_no_command_could_take_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "train.py").write_text("")
    assert f"the name of the run is {name!r}" in call(tmp_path, "run", "--name", name, "train.py", code=2).stderr
    assert not (tmp_path / ".lakemark").exists()


def test_a_hint_can_be_typed_where_a_name_has_a_blank(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("")
    done = call(tmp_path, "run", "--name", "big trees", "train.py")
    assert done.stderr.endswith("hint: lakemark show 'big trees'\n")


def test_a_terminal_without_ticks_and_bars_gets_question_marks(project: Path) -> None:
    told = call(project, "runs", environment={"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0", "COLUMNS": "78"}).stdout
    assert "auc" in told
    assert "?" in told


def test_few_seeds_are_refused_before_anything_runs(project: Path) -> None:
    done = call(project, "reproduce", "monday", "--seeds", "2", code=2)
    assert done.stderr.startswith("error: --seeds is 2, allowed is 0 or at least 3\n")


def test_pins_of_another_table_are_not_called_none(project: Path) -> None:
    assert call(project, "tables", "pins", "/lake/planes").stderr.startswith("there is no pin on /lake/planes\n")


def test_a_file_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a\n1\n")
    done = call(tmp_path, "tables", "history", "rows.csv", code=3)
    assert done.stderr.splitlines()[0] == f"error: no Delta table at {tmp_path / 'rows.csv'}: it is a file"


def test_init_makes_the_home_that_is_set_and_says_where_a_file_is_in_the_way(tmp_path: Path) -> None:
    call(tmp_path, "init", environment={"LAKEMARK_HOME": "elsewhere"})
    assert (tmp_path / "elsewhere" / ".lakemark").is_dir()
    (tmp_path / ".lakemark").write_text("")
    done = call(tmp_path, "init", code=4)
    assert f"{tmp_path / '.lakemark'} is a file" in done.stderr
