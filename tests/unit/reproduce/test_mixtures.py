"""Which factors differ, and what a mixture of two runs takes as inputs."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest

from lakemark._base.canonical import Json, digest
from lakemark._base.fields import records
from lakemark.reproduce.factors import compare_factors, describe_factor
from lakemark.reproduce.mixtures import label_runs, mix_inputs, plan_cells


def table(uri: str = "/lake/flights", **fields: Any) -> dict[str, Any]:
    version = fields.get("version", 0)
    return {
        "uri": uri,
        "requested": None,
        "version": version,
        "table_id": "t-1",
        "log_identity": f"log-{uri}-{version}",
        "rows": 1_000 + 100 * version,
        "manifest": f"manifest-{version}",
        "content": None,
        "role": None,
        **fields,
    }


def inputs(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "data": {"tables": [table()], "files": [], "names": [], "splits": []},
        "code": {
            "tree": "tree-1",
            "entry": {"kind": "script", "name": "train.py", "argv": ["--depth", "3"]},
            "cwd": ".",
            "extra": [],
        },
        "env": {
            "python": {"version": "3.11.2", "implementation": "CPython", "soabi": "cpython-311"},
            "lock": {"sha256": "lock-1"},
            "packages": [{"name": "lightgbm", "version": "4.6.0", "record_sha256": "r1", "modified": []}],
        },
        "params": {"values": {"depth": "3"}},
        "randomness": {"root_seed": 0, "hash_seed": "0", "seeds": []},
        "compute": {"cores": 2, "threads": {"OMP_NUM_THREADS": 2}},
    }
    for path, value in changes.items():
        *sections, last = path.split("__")
        place = made
        for name in sections:
            place = place[name]
        place[last] = value
    return made


def changed_inputs() -> dict[str, Any]:
    """Return inputs that differ from `inputs()` in all four factors."""
    return inputs(
        data__tables=[table(version=1)],
        code__tree="tree-2",
        code__entry={"kind": "script", "name": "train.py", "argv": ["--depth", "5"]},
        params__values={"depth": "5"},
        env__lock={"sha256": "lock-2"},
        env__packages=[{"name": "lightgbm", "version": "4.7.0", "record_sha256": "r2", "modified": []}],
    )


def test_equal_inputs_differ_in_nothing() -> None:
    comparison = compare_factors(inputs(), inputs())
    assert comparison.differing == ()
    assert comparison.equal == ("data", "code", "params", "env")


def test_each_factor_is_seen() -> None:
    assert compare_factors(inputs(), changed_inputs()).differing == ("data", "code", "params", "env")


@pytest.mark.parametrize(
    ("change", "factor"),
    [
        ({"data__tables": [table(version=1)]}, "data"),
        ({"data__tables": [table(), table("/lake/planes")]}, "data"),
        ({"code__tree": "tree-2"}, "code"),
        ({"code__cwd": "jobs"}, "code"),
        ({"code__extra": [{"path": "/x/local.py", "sha256": "aa"}]}, "code"),
        ({"code__entry": {"kind": "script", "name": "other.py", "argv": ["--depth", "3"]}}, "code"),
        ({"code__entry": {"kind": "script", "name": "train.py", "argv": ["--depth", "4"]}}, "params"),
        ({"randomness__root_seed": 1}, "params"),
        ({"randomness__hash_seed": "1"}, "params"),
        ({"env__python": {"version": "3.12.1"}}, "env"),
        ({"compute__threads": {"OMP_NUM_THREADS": 1}}, "env"),
        ({"env__packages": [{"name": "lightgbm", "version": "4.6.0", "record_sha256": "edited"}]}, "env"),
    ],
)
def test_one_change_is_one_factor(change: Mapping[str, Any], factor: str) -> None:
    assert compare_factors(inputs(), inputs(**change)).differing == (factor,)


def test_another_version_with_the_same_rows_in_the_same_order_is_no_change() -> None:
    content = {"algorithm": "lmfp1", "ordered": "o", "unordered": "u"}
    a = inputs(data__tables=[table(version=0, content=content)])
    b = inputs(data__tables=[table(version=1, content=dict(content))])
    assert compare_factors(a, b).differing == ()
    shuffled = inputs(data__tables=[table(version=1, rows=1_000, content=content | {"ordered": "p"})])
    assert compare_factors(a, shuffled).differing == ("data",)
    assert describe_factor("data", a, shuffled) == ("flights v0 → v1: 1,000 rows in both, only their order differs",)


def test_another_lock_with_the_same_packages_is_no_change() -> None:
    assert compare_factors(inputs(), inputs(env__lock={"sha256": "lock-2"})).differing == ()


def test_values_that_are_only_logged_need_no_run() -> None:
    comparison = compare_factors(inputs(), inputs(params__values={"depth": "3", "features": "12"}, code__tree="tree-2"))
    assert comparison.differing == ("code",)
    assert "features (none) → 12" in comparison.null["params"]
    assert comparison.equal == ("data", "env")


def test_a_package_that_only_one_code_uses_goes_with_the_code() -> None:
    packages = [*inputs()["env"]["packages"], {"name": "pandas", "version": "3.0", "record_sha256": "r9"}]
    b = inputs(
        code__tree="tree-2", env__packages=packages, env__lock={"sha256": "lock-2"}, data__tables=[table(version=1)]
    )
    comparison = compare_factors(inputs(), b)
    assert comparison.differing == ("data", "code")
    assert "pandas" in comparison.null["env"]
    mixed = mix_inputs(inputs(), b, comparison=comparison, from_b=frozenset({"code"}))
    assert mixed["env"] == b["env"]
    mixed = mix_inputs(inputs(), b, comparison=comparison, from_b=frozenset({"data"}))
    assert mixed["env"] == inputs()["env"]


def test_a_table_that_only_other_code_reads_is_no_change_of_the_data() -> None:
    b = inputs(data__tables=[table(), table("/lake/planes")], code__tree="tree-2")
    assert compare_factors(inputs(), b).differing == ("code",)


def test_files_of_the_snapshot_belong_to_the_code() -> None:
    own = {"path": "/project/config.json", "sha256": "c1", "in_snapshot": True, "size": 2, "via": "open"}
    a = inputs(data__files=[own])
    b = inputs(data__files=[own | {"sha256": "c2"}], code__tree="tree-2", data__tables=[table(version=1)])
    comparison = compare_factors(a, b)
    assert comparison.differing == ("data", "code")
    mixed: Any = mix_inputs(a, b, comparison=comparison, from_b=frozenset({"data"}))
    assert [file["sha256"] for file in mixed["data"]["files"]] == ["c1"]
    mixed = mix_inputs(a, b, comparison=comparison, from_b=frozenset({"code"}))
    assert [file["sha256"] for file in mixed["data"]["files"]] == ["c2"]


def test_an_opened_file_of_the_snapshot_is_code_and_the_data_are_not_called_the_same() -> None:
    own = {"path": "/project/config.json", "sha256": "c1", "in_snapshot": True, "size": 2, "via": "open"}
    a, b = inputs(data__files=[own]), inputs(data__files=[own | {"sha256": "c2"}], code__tree="tree-2")
    comparison = compare_factors(a, b)
    assert (comparison.differing, comparison.in_code) == (("code",), ("config.json",))
    assert comparison.equal == ("params", "env")


def test_rows_in_the_snapshot_are_data() -> None:
    rows = {"path": "/project/rows.csv", "sha256": "c1", "in_snapshot": True, "size": 2, "via": "pandas.read_csv"}
    a = inputs(data__files=[rows], code__tree="tree-1", code__identity="same")
    b = inputs(data__files=[rows | {"sha256": "c2"}], code__tree="tree-2", code__identity="same")
    comparison = compare_factors(a, b)
    assert (comparison.differing, comparison.in_code) == (("data",), ())


def test_runs_are_called_by_their_names_as_far_as_they_have_some() -> None:
    a, b = {"run_id": "1" * 32, "name": None}, {"run_id": "2" * 32, "name": "third"}
    assert label_runs(a, b) == ("11111111", "third")


def test_all_from_one_run_is_that_run_where_it_matters() -> None:
    a, b = inputs(), changed_inputs()
    comparison = compare_factors(a, b)
    assert digest(mix_inputs(a, b, comparison=comparison, from_b=frozenset())) == digest(a)
    assert digest(mix_inputs(a, b, comparison=comparison, from_b=frozenset(comparison.differing))) == digest(b)


@pytest.mark.parametrize("factor", ["data", "code", "params", "env"])
def test_a_mixture_takes_one_factor_and_nothing_else(factor: str) -> None:
    a, b = inputs(), changed_inputs()
    mixed: Any = mix_inputs(a, b, comparison=compare_factors(a, b), from_b=frozenset({factor}))
    assert compare_factors(a, mixed).differing == (factor,)
    assert set(compare_factors(mixed, b).differing) == {"data", "code", "params", "env"} - {factor}


def test_arguments_that_name_a_version_are_answered_with_the_other_runs_version() -> None:
    a = inputs(data__tables=[table(requested=3, version=3)])
    b = inputs(
        data__tables=[table(requested=4, version=4)],
        code__entry={"kind": "script", "name": "train.py", "argv": ["--version", "4"]},
    )
    comparison = compare_factors(a, b)
    mixed: Any = mix_inputs(a, b, comparison=comparison, from_b=frozenset({"data"}))
    assert [(entry["requested"], entry["version"]) for entry in mixed["data"]["tables"]] == [(3, 4)]
    mixed = mix_inputs(a, b, comparison=comparison, from_b=frozenset({"params"}))
    assert [(entry["requested"], entry["version"]) for entry in mixed["data"]["tables"]] == [(4, 3)]


def test_reads_of_one_table_match_in_their_order() -> None:
    a = inputs(data__tables=[table(requested=1, version=1), table(requested=2, version=2)])
    b = deepcopy(a)
    b["data"]["tables"] = [table(requested=1, version=3), table(requested=2, version=4)]
    b["code"]["tree"] = "tree-2"
    mixed: Any = mix_inputs(a, b, comparison=compare_factors(a, b), from_b=frozenset({"data"}))
    assert [(entry["requested"], entry["version"]) for entry in mixed["data"]["tables"]] == [(1, 3), (2, 4)]


def test_what_only_one_run_reads_is_there_for_its_code() -> None:
    b = inputs(data__tables=[table(version=1), table("/lake/planes")], code__tree="tree-2")
    comparison = compare_factors(inputs(), b)
    mixed: Any = mix_inputs(inputs(), b, comparison=comparison, from_b=frozenset({"code"}))
    found = [(entry["uri"], entry["version"]) for entry in mixed["data"]["tables"]]
    assert found == [("/lake/flights", 0), ("/lake/planes", 0)]


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        ("data", ("flights v0 → v1: 1,000 → 1,100 rows",)),
        ("code", ("tree tree-1 → tree-2",)),
        ("params", ("depth 3 → 5",)),
        ("env", ("lightgbm 4.6.0 → 4.7.0",)),
    ],
)
def test_what_differs_is_said_in_a_few_words(factor: str, expected: tuple[str, ...]) -> None:
    assert describe_factor(factor, inputs(), changed_inputs()) == expected


def test_code_is_told_by_its_paths_where_they_can_be_found() -> None:
    said = describe_factor("code", inputs(), changed_inputs(), code_diff=lambda _a, _b: ["features.py", "train.py"])
    assert said == ("features.py", "train.py")


def test_arguments_without_names_and_seeds_are_told() -> None:
    b = inputs(code__entry={"kind": "script", "name": "train.py", "argv": ["fast"]}, randomness__root_seed=9)
    assert describe_factor("params", inputs(), b) == ("arguments --depth 3 → fast", "seed 0 → 9")


class Shelf:
    """Receipts by memo key; runs nothing."""

    def __init__(self, known: Mapping[str, Mapping[str, Json]]) -> None:
        self.known = known

    def memo_key(self, inputs: Mapping[str, Json]) -> str:
        return digest(inputs)

    def find(self, memo_key: str) -> Mapping[str, Json] | None:
        return self.known.get(memo_key)

    def evaluate(self, inputs: Mapping[str, Json], *, name: str, parent_run_id: str) -> Mapping[str, Json]:
        raise AssertionError(name, parent_run_id, inputs)

    def score(self, request: Mapping[str, Json], *, inputs: Mapping[str, Json]) -> Mapping[str, Json]:
        raise AssertionError(request, inputs)


def test_a_plan_says_what_is_there_and_what_must_run() -> None:
    a: dict[str, Any] = {"run_id": "a" * 32, "inputs": inputs(), "outputs": {"wall_seconds": 10.0}}
    b: dict[str, Any] = {"run_id": "b" * 32, "inputs": changed_inputs(), "outputs": {"wall_seconds": 20.0}}
    comparison = compare_factors(a["inputs"], b["inputs"])
    there = mix_inputs(a["inputs"], b["inputs"], comparison=comparison, from_b=frozenset({"data"}))
    plan = plan_cells(a, b, replayer=Shelf({digest(there): {"outputs": {"wall_seconds": 7.0}}}))
    assert len(plan.cells) == 16
    assert len(plan.missing) == 13
    assert plan.seconds == pytest.approx(13 * 15.0)
    order = [cell.from_b for cell in plan.cells]
    assert order[:2] == [frozenset(), frozenset(comparison.differing)]
    assert order[2] == frozenset({"data"})
    assert {len(members) for members in order[2:10]} == {1, 3}


def test_a_plan_of_one_factor_needs_no_run() -> None:
    a: dict[str, Any] = {"inputs": inputs(), "outputs": {}}
    b: dict[str, Any] = {"inputs": inputs(code__tree="tree-2"), "outputs": {}}
    plan = plan_cells(a, b, replayer=Shelf({}))
    assert (len(plan.cells), plan.missing, plan.seconds) == (2, (), 0)


def test_reads_in_another_order_are_paired_by_what_was_asked_for() -> None:
    newest, first = table(version=5), table(requested=0, version=0)
    a = inputs(data__tables=[newest, first], code__tree="tree-1")
    b = inputs(data__tables=[table(requested=0, version=0), table(version=6)], code__tree="tree-2")
    comparison = compare_factors(a, b)
    mixed = mix_inputs(a, b, comparison=comparison, from_b=frozenset({"code"}))
    assert {(row["requested"], row["version"]) for row in records(mixed, "data", "tables")} == {(None, 5), (0, 0)}


def test_variables_that_may_change_a_result_belong_to_the_environment() -> None:
    zoned = {"cores": 2, "threads": {"OMP_NUM_THREADS": 2}, "env": {"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "1"}}
    hashed = {"cores": 2, "threads": {"OMP_NUM_THREADS": 2}, "env": {"PYTHONHASHSEED": "1"}}
    assert compare_factors(inputs(), inputs(compute=zoned)).differing == ("env",)
    assert describe_factor("env", inputs(), inputs(compute=zoned)) == ("TZ (none) → Asia/Tokyo",)
    assert compare_factors(inputs(), inputs(compute=hashed)).differing == ()
