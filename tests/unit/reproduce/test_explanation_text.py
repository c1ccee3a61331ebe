"""The explanation as text: what is said, and that it fits the terminal."""

from dataclasses import replace

import pytest

from lakemark.reproduce.explanation import Change, CommonSet, Effect, Estimate, Explanation, Interaction, Mixture
from lakemark.reproduce.explanation_text import render_explanation, render_plan
from lakemark.reproduce.factors import FactorComparison
from lakemark.reproduce.mixtures import Cell, Plan

A, B, C = "1111111122222222", "3333333344444444", "5555555566666666"


def mixture(data: str, params: str, value: float | None, *, run_id: str | None, error: str | None = None) -> Mixture:
    return Mixture({"data": data, "params": params}, value, value, run_id, error, is_new=run_id == C)


@pytest.fixture
def explanation() -> Explanation:
    return Explanation(
        run_a=A,
        run_b=B,
        labels=("monday", "tuesday"),
        metric="roc_auc_score",
        function="roc_auc_score",
        higher_is_better=True,
        reported=Change(0.6661, 0.8271),
        compared=Change(0.6799, 0.8268),
        total=Estimate(0.1469, 0.1388, 0.1551),
        common=CommonSet("b", 8_000, 12),
        effects=(
            Effect(("params",), Estimate(0.1120, 0.1040, 0.1190), 76.2, ("num_leaves 127 → 15",)),
            Effect(("data",), Estimate(0.0349, -0.0010, 0.0401), 23.8, ("sales v3 → v7: 9,000 → 18,000 rows",)),
        ),
        interactions=(Interaction((("data",), ("params",)), Estimate(-0.0412, -0.05, -0.03), is_large=True),),
        mixtures=(
            mixture("a", "a", 0.6799, run_id=A),
            mixture("a", "b", 0.7576, run_id=C),
            mixture("b", "a", None, run_id=None, error="KeyError: 'tier'"),
            mixture("b", "b", 0.8268, run_id=B),
        ),
        equal=("code",),
        null={"env": "only the lock's text differs"},
        notes=("something to know",),
        replicates=500,
        new_seconds=12.0,
    )


def test_the_words_come_first(explanation: Explanation) -> None:
    assert render_explanation(explanation).splitlines()[:4] == [
        "roc_auc_score went from 0.666 (monday) to 0.827 (tuesday): +0.161, better.",
        "  +0.147  on the same 8,000 test rows of tuesday [+0.139, +0.155], better",
        "  +0.014  from testing on other rows",
        "          (12 test rows were left out: a model was trained on them)",
    ]


def test_all_parts_are_there(explanation: Explanation) -> None:
    said = render_explanation(explanation)
    for part in (
        "  params  +0.112  [+0.104, +0.119]  76 %  ████████████████████████",
        "num_leaves 127 → 15",
        "no detectable effect. sales v3 → v7",
        "data and params overlap: each alone does more than its share (-0.041).",
        "The same in both runs: code.",
        "env cannot matter: only the lock's text differs.",
        "Note: something to know.",
        "500 bootstrap draws",
        "  monday   tuesday  0.758      0.758     55555555 (new)",
        "could not run: KeyError: 'tier'",
    ):
        assert part in said


@pytest.mark.parametrize("width", [20, 80, 100, 400])
def test_words_and_bars_fit(explanation: Explanation, width: int) -> None:
    lost = replace(explanation.mixtures[2], error="KeyError: " + "long " * 40)
    long = replace(explanation, notes=("many words " * 30,), mixtures=(*explanation.mixtures, lost))
    lines = render_explanation(long, width=width).splitlines()
    assert max(map(len, lines)) <= min(max(width, 80), 120)


def test_ascii_is_enough(explanation: Explanation) -> None:
    said = render_explanation(explanation, ascii_only=True)
    assert said.isascii()
    assert "num_leaves 127 -> 15" in said
    assert "####" in said


def test_many_differences_are_cut_short(explanation: Explanation) -> None:
    names = tuple(f"file_{number}.py" for number in range(9))
    effect = replace(explanation.effects[0], differences=names)
    said = render_explanation(replace(explanation, effects=(effect,)))
    assert "file_5.py; 3 more" in " ".join(said.split())
    assert "file_6.py" not in said


def test_without_common_rows_there_are_no_intervals(explanation: Explanation) -> None:
    bare = replace(
        explanation,
        common=None,
        replicates=0,
        total=Estimate(0.161),
        effects=(Effect(("data",), Estimate(0.161), 100.0, ("sales v3 → v7",)),),
        interactions=(),
    )
    said = render_explanation(bare)
    assert "[" not in said
    assert "bootstrap" not in said
    assert "same rows" not in said
    assert "no detectable effect" not in said


def test_a_change_that_cannot_be_told_from_chance_has_no_shares(explanation: Explanation) -> None:
    effects = tuple(replace(effect, share=None) for effect in explanation.effects)
    weak = replace(explanation, total=Estimate(0.01, -0.02, 0.03), effects=effects)
    said = render_explanation(weak)
    assert "too little to tell it from chance" in said
    assert "  params  +0.112  [+0.104, +0.119]  ████" in said


def test_worse_is_called_worse(explanation: Explanation) -> None:
    assert "+0.161, worse" in render_explanation(replace(explanation, higher_is_better=False))
    assert "+0.161." in render_explanation(replace(explanation, higher_is_better=None))


def test_nothing_differs(explanation: Explanation) -> None:
    said = render_explanation(
        replace(explanation, effects=(), interactions=(), common=None, replicates=0, reported=Change(1.0, 1.0))
    )
    assert "The runs behind it" not in said


def cell(*from_b: str, there: bool = False) -> Cell:
    return Cell(frozenset(from_b), {}, "key", {} if there else None, 46.0)


def test_the_plan_is_one_line() -> None:
    comparison = FactorComparison(("data", "params"), ("code", "env"), {})
    cells = (cell(there=True), cell("data", "params", there=True), cell("data"), cell("params"))
    said = render_plan(Plan(comparison, cells))
    assert said == "differs: data, params; 4 runs, 2 of them new, about 1 min 32 s"
    assert render_plan(Plan(comparison, cells[:2])) == "differs: data, params; 2 runs, all of them there already"
    assert render_plan(Plan(replace(comparison, differing=()), cells[:1])).startswith("differs: nothing; 1 run")
