"""The JSON that declares checks."""

from __future__ import annotations

import json

import pytest

from lakemark._base.errors import InvalidInputError
from lakemark.tables.checks.rules import (
    Check,
    Freshness,
    InSet,
    NotNull,
    Range,
    Regex,
    RowCount,
    Rule,
    Severity,
    SqlRule,
    Unique,
    describe,
    parse_check,
    parse_checks,
    write_checks,
)

RULES: list[tuple[Rule, str]] = [
    (NotNull("a"), "a is not null"),
    (Unique(("a", "b")), "a, b unique"),
    (Range("a", 0, "2.5"), "a between 0 and 2.5"),
    (Range("a", max=1.5), "a at most 1.5"),
    (InSet("a", ("x", 1, 0.5, True)), "a one of x, 1, 0.5, True"),
    (Regex("a", "x+"), "a matches x+"),
    (RowCount(1), "rows at least 1"),
    (Freshness("at", 60), "at at most 60 s old"),
    (SqlRule("from {table}\nwhere x"), "no row from from {table} where x"),
]


@pytest.mark.parametrize(("rule", "words"), RULES, ids=lambda value: getattr(value, "kind", None))
def test_a_check_comes_back_from_json(rule: Rule, words: str) -> None:
    check = Check("mine", rule, Severity.WARNING)
    assert parse_checks(write_checks([check])) == (check,)
    assert describe(rule) == words


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "is an object"),
        ({"kind": "not_null", "column": "a"}, "name of a check is text"),
        ({"name": "x" * 251, "kind": "not_null", "column": "a"}, "name of a check is text"),
        ({"name": "x", "kind": "not_nul", "column": "a"}, "did you mean 'not_null'"),
        ({"name": "x", "column": "a"}, "no kind is named None"),
        ({"name": "x", "kind": "not_null", "column": "a", "severity": "warn"}, "did you mean 'warning'"),
        ({"name": "x", "kind": "not_null", "columns": ["a"]}, "did you mean 'column'"),
        ({"name": "x", "kind": "not_null"}, "needs column"),
        ({"name": "x", "kind": "not_null", "column": 3}, "column is text, not 3"),
        ({"name": "x", "kind": "unique", "columns": []}, "at least one value"),
        ({"name": "x", "kind": "unique", "columns": "ab"}, "is a list"),
        ({"name": "x", "kind": "in_set", "column": "a", "values": [None]}, "is a list"),
        ({"name": "x", "kind": "range", "column": "a"}, "needs min, max or both"),
        ({"name": "x", "kind": "range", "column": "a", "min": True}, "not True"),
        ({"name": "x", "kind": "range", "column": "a", "min": 2, "max": 1}, "min 2 is above max 1"),
        ({"name": "x", "kind": "row_count", "min": "1"}, "whole numbers"),
        ({"name": "x", "kind": "freshness", "column": "a", "max_age": 0}, "more than 0"),
        ({"name": "x", "kind": "freshness", "column": "a", "max_age": "1h"}, "a whole number"),
    ],
)
def test_what_is_no_check_is_refused(document: object, said: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_check(document)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no JSON"),
        ("[]", "of format None"),
        ('{"format": "lakemark.checks/2"}', "reads lakemark.checks/1"),
        ('{"format": "lakemark.checks/1", "checks": {}}', "no list"),
    ],
)
def test_what_is_no_declaration_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        parse_checks(text)


def test_names_are_there_once() -> None:
    one = {"name": "x", "kind": "not_null", "column": "a"}
    with pytest.raises(InvalidInputError, match="two checks are named 'x'"):
        parse_checks(json.dumps({"format": "lakemark.checks/1", "checks": [one, one]}))
