import json
import math
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

from lakemark._base.canonical import canonical
from lakemark.capture.receipt import Event, RunFacts, assemble, memo_key

SHA = "ab" * 32
RUN = "4bf92f3577b34da6a3ce929d0e0e4736"


def example_events() -> list[Event]:
    """Return what a small finished run writes down."""
    return [
        {
            "event": "created", "at": 1_000, "run_id": RUN, "name": "monday", "kind": "run", "experiment": "default",
            "parent_run_id": None, "pid": 1, "process_start": "1", "cwd": "/p", "how_started": "command",
            "entry": {"kind": "script", "name": "train.py", "argv": ["--alpha", "0.5"]},
        },
        {"event": "param", "at": 1_001, "key": "alpha", "value": "0.5", "how": "inferred"},
        {
            "event": "code", "at": 1_002, "vcs": "git", "project": "/p", "commit": None, "tree": "cd" * 20,
            "ref": f"refs/lakemark/runs/{RUN}", "dirty": True, "cwd": ".", "skipped": [], "how": "observed",
        },
        {"event": "randomness", "at": 1_003, "root_seed": 0, "hash_seed": "0", "how": "observed"},
        {
            "event": "read_table", "at": 1_004, "uri": "/p/flights", "requested": None, "version": 0, "table_id": "t",
            "schema_sha256": SHA, "log_identity": SHA, "rows": 3, "files": 1, "bytes": 9, "manifest": SHA,
            "via": "deltalake.DeltaTable", "how": "observed",
        },
        {
            "event": "delivered", "at": 1_005, "source": "/p/flights", "version": 0, "rows": 3, "columns": ["x"],
            "algorithm": "lmfp1", "ordered": "o", "unordered": "u", "via": "to_pandas",
        },
        {
            "event": "read_file", "at": 1_006, "path": "/p/a.csv", "size": 1, "sha256": SHA, "stored": True,
            "via": "open", "how": "observed",
        },
        {"event": "metric", "at": 7, "key": "rmse", "value": math.nan, "step": 0, "timestamp": 7, "how": "observed"},
        {
            "event": "environment", "at": 1_008,
            "python": {"version": "3.11.7", "implementation": "cpython", "soabi": "cpython-311"},
            "platform": {"system": "Linux"}, "libraries": [],
            "packages": [{"name": "six", "version": "1.16.0", "record_sha256": SHA, "modified": [], "local": False}],
        },
        {"event": "compute", "at": 1_009, "cpu_model": "x", "isa": [], "cores": 2, "threads": {}, "env": {}},
        {
            "event": "finished", "at": 1_010, "status": "FINISHED", "exit_code": 0, "wall_seconds": 1.5,
            "cpu_seconds": 1.0, "peak_rss_bytes": 1, "error": None,
        },
    ]  # fmt: skip


FACTS = RunFacts(
    lock={"sha256": SHA, "complete": True, "missing": []},
    snapshot_files={"a.csv": "100644 blob 1", "train.py": "100644 blob 2"},
)


def schema() -> dict[str, Any]:
    return json.loads((files("lakemark.capture") / "receipt.schema.json").read_text())  # type: ignore[no-any-return]  # the schema is an object


def test_a_receipt_fits_its_schema_and_is_canonical() -> None:
    receipt = assemble(example_events(), FACTS, status="FINISHED")
    jsonschema.validate(json.loads(canonical(receipt)), schema())


def test_an_interrupted_run_has_a_receipt_that_says_what_is_missing() -> None:
    receipt = assemble(example_events()[:5], RunFacts(), status="KILLED")
    jsonschema.validate(json.loads(canonical(receipt)), schema())
    missing = {row["fact"] for row in receipt["completeness"]["missing"]}  # type: ignore[index,union-attr,call-overload]  # JSON of a known shape
    assert {"environment", "compute", "outcome"} <= missing


def test_the_same_events_give_the_same_bytes() -> None:
    first, second = (canonical(assemble(example_events(), FACTS, status="FINISHED")) for _ in range(2))
    assert first == second


def test_version_zero_is_kept() -> None:
    receipt: Any = assemble(example_events(), FACTS, status="FINISHED")
    assert receipt["inputs"]["data"]["tables"][0]["version"] == 0


def test_what_was_delivered_stands_with_its_table() -> None:
    receipt: Any = assemble(example_events(), FACTS, status="FINISHED")
    assert receipt["inputs"]["data"]["tables"][0]["content"]["ordered"] == "o"
    assert receipt["inputs"]["data"]["files"][0]["in_snapshot"] is True


def test_a_declared_param_counts_more_than_the_command_line() -> None:
    declared: Event = {"event": "param", "at": 1_001, "key": "alpha", "value": "0.50", "how": "declared"}
    receipt: Any = assemble([*example_events(), declared], FACTS, status="FINISHED")
    assert receipt["inputs"]["params"] == {"values": {"alpha": "0.50"}, "how": {"alpha": "declared"}}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("data", "tables", 0, "version"), 1),
        (("data", "tables", 0, "table_id"), "another"),
        (("data", "files", 0, "sha256"), "cd" * 32),
        (("code", "identity"), "ef" * 20),
        (("code", "entry", "argv"), ["--alpha", "0.6"]),
        (("env", "lock", "sha256"), "cd" * 32),
        (("randomness", "root_seed"), 1),
        (("compute", "threads"), {"OMP_NUM_THREADS": "1"}),
        (("compute", "env"), {"TZ": "Asia/Tokyo"}),
        (("data", "tables", 0, "requested"), 7),
        (("data", "tables", 0, "log_identity"), "other files"),
        (("env", "packages"), [{"name": "p", "version": "1", "record_sha256": "r", "modified": ["p.py"]}]),
    ],
)
def test_each_input_that_decides_changes_the_memo_key(path: tuple[str | int, ...], value: object) -> None:
    inputs: Any = json.loads(canonical(assemble(example_events(), FACTS, status="FINISHED")))["inputs"]
    before, place = memo_key(inputs), inputs
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert memo_key(inputs) != before


def test_what_only_describes_leaves_the_memo_key_alone() -> None:
    inputs: Any = json.loads(canonical(assemble(example_events(), FACTS, status="FINISHED")))["inputs"]
    before = memo_key(inputs)
    inputs["compute"]["cpu_model"] = "another"
    inputs["compute"]["env"] = {"PYTHONDONTWRITEBYTECODE": "1"}
    inputs["data"]["tables"][0]["how"] = "declared"
    assert memo_key(inputs) == before
