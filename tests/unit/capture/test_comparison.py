import copy
import json
from typing import Any

import pytest
from tests.unit.capture.test_receipt import FACTS, example_events

from lakemark._base.canonical import canonical
from lakemark.capture.comparison import Part, compare_inputs
from lakemark.capture.receipt import assemble


@pytest.fixture
def inputs() -> Any:
    return json.loads(canonical(assemble(example_events(), FACTS, status="FINISHED")))["inputs"]


def test_equal_inputs_have_no_difference(inputs: Any) -> None:
    assert compare_inputs(inputs, copy.deepcopy(inputs)) == ()


def test_the_same_rows_in_another_order_are_named_as_that(inputs: Any) -> None:
    other = copy.deepcopy(inputs)
    other["data"]["tables"][0]["content"]["ordered"] = "another"
    (difference,) = compare_inputs(inputs, other)
    assert difference.part is Part.DATA
    assert difference.name == "table flights"
    assert "row order: the same 3 rows in another order" in difference.detail


def test_other_rows_are_named_with_their_versions(inputs: Any) -> None:
    other = copy.deepcopy(inputs)
    other["data"]["tables"][0] |= {
        "version": 1,
        "content": {"algorithm": "lmfp1", "ordered": "p", "unordered": "v", "rows": 4},
    }
    (difference,) = compare_inputs(inputs, other)
    assert difference.detail == "version 0 -> 1, rows 3 -> 4"


def test_a_table_that_was_made_again_is_not_the_same(inputs: Any) -> None:
    other = copy.deepcopy(inputs)
    other["data"]["tables"][0]["table_id"] = "u"
    (difference,) = compare_inputs(inputs, other)
    assert "not the same table" in difference.detail


def test_an_edited_installed_package_is_found_and_named(inputs: Any) -> None:
    other = copy.deepcopy(inputs)
    other["env"]["packages"][0]["modified"] = ["six.py"]
    (difference,) = compare_inputs(inputs, other)
    assert (difference.part, difference.name) == (Part.ENV, "six")
    assert "edited in the second: six.py" in difference.detail


@pytest.mark.parametrize(
    ("part", "change", "name"),
    [
        (Part.CODE, {"tree": "0" * 40}, "snapshot"),
        (Part.PARAMS, {"values": {"alpha": "0.6"}}, "alpha"),
        (Part.RANDOMNESS, {"root_seed": 3}, "root seed"),
        (Part.COMPUTE, {"threads": {"OMP_NUM_THREADS": "1"}}, "OMP_NUM_THREADS"),
        (Part.ENV, {"python": {"version": "3.12.0"}}, "python"),
    ],
)
def test_each_part_is_compared(inputs: Any, part: Part, change: dict[str, Any], name: str) -> None:
    other = copy.deepcopy(inputs)
    other[str(part)] |= change
    (difference,) = compare_inputs(inputs, other)
    assert (difference.part, difference.name) == (part, name)


def test_another_build_of_the_same_version_is_named(inputs: Any) -> None:
    inputs["env"]["packages"] = [{"name": "numpy", "version": "2.0", "record_sha256": "one", "modified": []}]
    other = copy.deepcopy(inputs)
    other["env"]["packages"][0]["record_sha256"] = "two"
    (difference,) = compare_inputs(inputs, other)
    assert (difference.part, difference.name) == (Part.ENV, "numpy")
    assert "another build" in difference.detail


def test_a_variable_that_may_change_a_result_is_named(inputs: Any) -> None:
    other = copy.deepcopy(inputs)
    other["compute"]["env"] = {"TZ": "Asia/Tokyo", "OPENBLAS_VERBOSE": "2"}
    (difference,) = compare_inputs(inputs, other)
    assert (difference.name, difference.detail) == ("TZ", "not set -> Asia/Tokyo")
