"""Mixtures of two runs: the cells that `explain` needs, which of them ran already, and what the others take as inputs.

A cell takes each differing factor from A or from B. The cell with none from B is A itself, the cell with all is B.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from lakemark._base.canonical import Json
from lakemark._base.fields import number, records, section, text, words
from lakemark._base.ids import short
from lakemark.capture.receipt import counts_as_data
from lakemark.reproduce.factors import FactorComparison, Inputs, compare_factors, pair_reads

__all__ = ["Cell", "Plan", "Receipt", "Replayer", "cell_name", "label_runs", "mix_inputs", "plan_cells"]

Receipt = Mapping[str, Json]


class Replayer(Protocol):
    """Runs inputs in a rebuilt world; `lakemark.reproduce.replay` has the one that people use."""

    def memo_key(self, inputs: Inputs) -> str:
        """Return the digest by which a run with these inputs is found again."""
        ...

    def find(self, memo_key: str) -> Receipt | None:
        """Return the receipt of a finished run with this key, or None."""
        ...

    def evaluate(self, inputs: Inputs, *, name: str, parent_run_id: str) -> Receipt:
        """Run these inputs and return the receipt; its status is FAILED where the script failed.

        Raises
        ------
        LakemarkError
            If the world of the inputs could not be rebuilt.
        """
        ...

    def score(self, request: Mapping[str, Json], *, inputs: Inputs) -> Mapping[str, Json]:
        """Answer a request of `lakemark.recorder.scoring` in the environment and the code tree of `inputs`.

        Raises
        ------
        LakemarkError
            If the process could not be started or gave no answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Cell:
    """One mixture.

    Parameters
    ----------
    from_b : frozenset of str
        The differing factors that come from B; the others come from A.
    inputs : mapping
        What is run.
    memo_key : str
        By which a run with these inputs is found again.
    receipt : mapping or None
        The receipt, where the run exists already.
    seconds : float
        How long the run took, or is expected to take. Wall time.
    """

    from_b: frozenset[str]
    inputs: Inputs
    memo_key: str
    receipt: Receipt | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What an explanation takes, known before anything runs.

    Parameters
    ----------
    comparison : FactorComparison
        Which factors differ.
    cells : tuple of Cell
        All mixtures, in the order in which they are to run: the ends first, then what says most for least.
    """

    comparison: FactorComparison
    cells: tuple[Cell, ...]

    @property
    def missing(self) -> tuple[Cell, ...]:
        """The cells that have to run."""
        return tuple(cell for cell in self.cells if cell.receipt is None)

    @property
    def seconds(self) -> float:
        """How long the missing runs are expected to take together, one after the other. Wall time."""
        return sum(cell.seconds for cell in self.missing)


def plan_cells(a: Receipt, b: Receipt, *, replayer: Replayer) -> Plan:
    """Say which mixtures of two runs are needed, and look up those that ran already.

    Parameters
    ----------
    a, b : mapping
        Receipts.
    replayer : Replayer
        Knows the runs that exist.

    Notes
    -----
    A factor that is equal takes part in no mixture, so k differing factors need 2**k - 2 mixtures at most.
    """
    inputs_a, inputs_b = section(a, "inputs"), section(b, "inputs")
    comparison = compare_factors(inputs_a, inputs_b)
    expected = ((number(a, "outputs", "wall_seconds") or 0.0) + (number(b, "outputs", "wall_seconds") or 0.0)) / 2
    cells = []
    for members in _subsets(comparison.differing):
        if not members or len(members) == len(comparison.differing):
            ends = ((a, inputs_a), (b, inputs_b))
            receipt, inputs = ends[1] if members else ends[0]
            key = replayer.memo_key(inputs)
            cells.append(Cell(members, inputs, key, receipt, number(receipt, "outputs", "wall_seconds") or 0.0))
            continue
        inputs = mix_inputs(inputs_a, inputs_b, comparison=comparison, from_b=members)
        key = replayer.memo_key(inputs)
        found = replayer.find(key)
        taken = expected if found is None else number(found, "outputs", "wall_seconds") or 0.0
        cells.append(Cell(members, inputs, key, found, taken))
    return Plan(comparison, tuple(cells))


def mix_inputs(a: Inputs, b: Inputs, *, comparison: FactorComparison, from_b: frozenset[str]) -> dict[str, Json]:
    """Return inputs that take some factors from B and the others from A.

    Parameters
    ----------
    a, b : mapping
        The `inputs` of two receipts.
    comparison : FactorComparison
        Which factors differ; the others are taken from B, the later run, whose data is more likely to be there still.
    from_b : frozenset of str
        The differing factors that come from B.
    """

    def side(factor: str) -> Inputs:
        return b if factor in from_b or factor not in comparison.differing else a

    code = side("code")
    # values that are only logged, and packages that only one code uses, go with the code
    params, env = (side(factor) if factor in comparison.differing else code for factor in ("params", "env"))
    entry = {**section(code, "code", "entry"), "argv": words(params, "code", "entry", "argv")}
    randomness = section(params, "randomness")
    return {
        "data": _mix_data(a, b, comparison=comparison, sides=(side("data"), params, code)),
        "code": {**section(code, "code"), "entry": entry},
        "env": section(env, "env"),
        "params": section(params, "params"),
        "randomness": {
            **section(code, "randomness"),
            "root_seed": randomness.get("root_seed"),
            "hash_seed": randomness.get("hash_seed"),
        },
        "compute": section(env, "compute"),
    }


def _subsets(factors: tuple[str, ...]) -> list[frozenset[str]]:
    """Return all sets of factors: the ends first, then near the ends, and another environment late (it is rebuilt)."""
    sets = [frozenset(names) for size in range(len(factors) + 1) for names in itertools.combinations(factors, size)]
    return sorted(sets, key=lambda names: (min(len(names), len(factors) - len(names)), "env" in names))


def _mix_data(
    a: Inputs, b: Inputs, *, comparison: FactorComparison, sides: tuple[Inputs, Inputs, Inputs]
) -> Mapping[str, Json]:
    """Return the data of one side, as the code and the arguments of a mixture will ask for it.

    `sides` are the inputs that data, params and code come from. What a script reads, and which version it asks for,
    is decided by its code and arguments: a mixture gets the entries of both runs, each answered by the side that the
    data comes from; where only one run read something, by that run.
    """
    data, params, code = sides
    if not {"code", "params"} & set(comparison.differing):
        return section(data, "data")
    tables: list[Mapping[str, Json]] = []
    asked: set[tuple[str | None, Json]] = set()
    pairs = pair_reads(a, b, "tables")
    for asker in (params, code) if "code" in comparison.differing else (params,):
        for pair in pairs:
            ask, answer = _of(pair.a, pair.b, of_b=asker is b), _of(pair.a, pair.b, of_b=data is b)
            request = (text(ask, "uri"), ask.get("requested"))
            if request not in asked:
                asked.add(request)
                tables.append({**answer, "requested": ask.get("requested")})
    files: list[Mapping[str, Json]] = [_of(pair.a, pair.b, of_b=data is b) for pair in pair_reads(a, b, "files")]
    files.extend(entry for entry in records(code, "data", "files") if not counts_as_data(entry))
    askers = (code, params) if "code" in comparison.differing else (params,)  # what is asked for is not what answers
    names = {text(named, "text"): named for asker in askers for named in records(asker, "data", "names")}
    splits = records(code, "data", "splits")
    return {"tables": tables, "files": files, "names": list(names.values()), "splits": splits}


def _of(a: Mapping[str, Json] | None, b: Mapping[str, Json] | None, *, of_b: bool) -> Mapping[str, Json]:
    """Return the entry of one run, or of the only run that has one."""
    chosen = b if of_b else a
    found = chosen if chosen is not None else (a if b is None else b)
    return {} if found is None else found


def cell_name(a: Receipt, b: Receipt, *, comparison: FactorComparison, from_b: frozenset[str]) -> str:
    """Return the name of a mixture's run.

    Examples
    --------
    >>> receipts = {"run_id": "1111111122222222", "name": "monday"}, {"run_id": "3333333344444444", "name": "tuesday"}
    >>> compared = FactorComparison(differing=("data", "params"), equal=("code", "env"), null={})
    >>> cell_name(*receipts, comparison=compared, from_b=frozenset({"data"}))
    'data of tuesday, params of monday'
    """
    labels = label_runs(a, b)
    return ", ".join(f"{factor} of {labels[factor in from_b]}" for factor in comparison.differing)


def label_runs(a: Receipt, b: Receipt) -> tuple[str, str]:
    """Return what to call two runs: their names, or the short id where one has none, or both the same.

    Examples
    --------
    >>> label_runs({"run_id": "1111111122222222", "name": "x"}, {"run_id": "3333333344444444", "name": "x"})
    ('11111111', '33333333')
    """
    names = text(a, "name"), text(b, "name")
    ids = short(text(a, "run_id") or ""), short(text(b, "run_id") or "")
    return ids if names[0] == names[1] else (names[0] or ids[0], names[1] or ids[1])
