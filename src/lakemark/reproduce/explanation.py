"""The explanation of a change: frozen records, and their JSON form `lakemark.explanation/1`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lakemark._base.canonical import Json

__all__ = ["SCHEMA", "Change", "CommonSet", "Effect", "Estimate", "Explanation", "Interaction", "Mixture"]

SCHEMA = "lakemark.explanation/1"


@dataclass(frozen=True, slots=True)
class Change:
    """A metric in A and in B.

    Parameters
    ----------
    before, after : float
        The value in A and in B.
    """

    before: float
    after: float

    @property
    def change(self) -> float:
        """How much more it is in B."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, and how sure it is.

    Parameters
    ----------
    value : float
        In the metric's unit.
    low, high : float or None
        95 % percentile interval of a paired bootstrap over the test rows; None where there are no common rows.
    """

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def is_detectable(self) -> bool | None:
        """False where the interval holds 0; None where there is no interval."""
        if self.low is None or self.high is None:
            return None
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Effect:
    """What a factor, or several that cannot be separated, did to the metric.

    Parameters
    ----------
    factors : tuple of str
        Usually one.
    estimate : Estimate
        Its Shapley value.
    share : float or None
        Of the whole change, in percent; None where the whole change is none that can be detected, and where effects
        cancel each other.
    differences : tuple of str
        What differs, in short phrases.
    """

    factors: tuple[str, ...]
    estimate: Estimate
    share: float | None
    differences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Interaction:
    """What two effects do together beyond what each does alone.

    Parameters
    ----------
    between : pair of tuple of str
        The factors of the one effect, and of the other.
    estimate : Estimate
        The Shapley interaction index.
    is_large : bool
        More than a fifth of the whole change, and detectable where there are intervals.
    """

    between: tuple[tuple[str, ...], tuple[str, ...]]
    estimate: Estimate
    is_large: bool


@dataclass(frozen=True, slots=True)
class CommonSet:
    """The rows that all models were scored on.

    Parameters
    ----------
    side : {"a", "b"}
        Whose test rows they are.
    rows : int
        How many.
    dropped : int
        Rows left out because one of the models was trained on them.
    """

    side: str
    rows: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Mixture:
    """One mixture of the two runs.

    Parameters
    ----------
    sides : mapping of str to {"a", "b"}
        Which run each differing factor comes from.
    value : float or None
        The metric on the common rows (or as reported, where there are none); None where it has none.
    reported : float or None
        The metric as the run itself reported it.
    run_id : str or None
        The run; None where it could not be started.
    error : str or None
        Why it failed.
    is_new : bool
        True where it ran for this explanation.
    """

    sides: Mapping[str, str]
    value: float | None
    reported: float | None
    run_id: str | None
    error: str | None
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Where the change of a metric between two runs comes from.

    Parameters
    ----------
    run_a, run_b : str
        The run ids.
    labels : pair of str
        What people call A and B: their names, or short ids where these do not tell them apart.
    metric : str
        What people call it.
    function : str or None
        The function of `sklearn.metrics`.
    higher_is_better : bool or None
        None where it is not known.
    reported : Change
        As the two runs reported it.
    compared : Change
        What is shared out: on the common rows, or as reported where there are none.
    total : Estimate
        The change that is shared out, with its interval.
    common : CommonSet or None
        None where the test rows could not be held fixed.
    effects : tuple of Effect
        The largest first; they sum up to `total`.
    interactions : tuple of Interaction
        The largest first.
    mixtures : tuple of Mixture
        A first, B last.
    equal : tuple of str
        Factors that are equal.
    null : mapping of str to str
        Factors that look different and cannot matter, with the reason.
    notes : tuple of str
        What a reader must know.
    replicates : int
        Bootstrap replicates behind the intervals; 0 where there are none.
    new_seconds : float
        Wall time of the runs that were made for this.
    """

    run_a: str
    run_b: str
    labels: tuple[str, str]
    metric: str
    function: str | None
    higher_is_better: bool | None
    reported: Change
    compared: Change
    total: Estimate
    common: CommonSet | None
    effects: tuple[Effect, ...]
    interactions: tuple[Interaction, ...]
    mixtures: tuple[Mixture, ...]
    equal: tuple[str, ...]
    null: Mapping[str, str]
    notes: tuple[str, ...]
    replicates: int
    new_seconds: float

    @property
    def from_other_rows(self) -> float:
        """The part of the reported change that comes from testing on other rows."""
        return self.reported.change - self.compared.change

    def to_json(self) -> dict[str, Json]:
        """Return the explanation as `lakemark.explanation/1`.

        Returns
        -------
        dict
            All numbers are finite; a change that is not known is null.
        """
        return {
            "schema": SCHEMA,
            "run_a": self.run_a,
            "run_b": self.run_b,
            "labels": list(self.labels),
            "metric": {
                "name": self.metric,
                "function": self.function,
                "higher_is_better": self.higher_is_better,
            },
            "reported": _change_to_json(self.reported),
            "compared": _change_to_json(self.compared),
            "evaluation_set_change": None if self.common is None else self.from_other_rows,
            "total": _estimate_to_json(self.total),
            "common_rows": None
            if self.common is None
            else {"side": self.common.side, "rows": self.common.rows, "dropped": self.common.dropped},
            "effects": [
                {
                    "factors": list(effect.factors),
                    **_estimate_to_json(effect.estimate),
                    "share_percent": effect.share,
                    "differences": list(effect.differences),
                }
                for effect in self.effects
            ],
            "interactions": [
                {
                    "between": [list(names) for names in item.between],
                    **_estimate_to_json(item.estimate),
                    "large": item.is_large,
                }
                for item in self.interactions
            ],
            "mixtures": [
                {
                    "sides": dict(mixture.sides),
                    "value": mixture.value,
                    "reported": mixture.reported,
                    "run_id": mixture.run_id,
                    "error": mixture.error,
                    "new": mixture.is_new,
                }
                for mixture in self.mixtures
            ],
            "equal": list(self.equal),
            "null": dict(self.null),
            "notes": list(self.notes),
            "replicates": self.replicates,
            "new_seconds": self.new_seconds,
        }


def _change_to_json(change: Change) -> dict[str, Json]:
    return {"a": change.before, "b": change.after, "change": change.change}


def _estimate_to_json(estimate: Estimate) -> dict[str, Json]:
    return {
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "detectable": estimate.is_detectable,
    }
