"""The noise band: how far a metric moves by the seed alone, measured by running, never assumed.

Level 2 of the verdict rests on it: a replay whose every metric lies within two standard deviations of the original's,
over runs that differ in nothing but the root seed, is statistically equivalent.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

from lakemark._base.canonical import Json
from lakemark._base.fields import number, records, section
from lakemark.reproduce.replay import Replays
from lakemark.reproduce.verdict import Level, Verdict

__all__ = ["MINIMUM_SEEDS", "Band", "grade_by_noise", "measure_noise"]

MINIMUM_SEEDS = 3
_DEVIATIONS = 2.0


@dataclasses.dataclass(frozen=True, slots=True)
class Band:
    """How one metric spreads over seeds.

    Parameters
    ----------
    key : str
        The metric.
    deviation : float
        The sample standard deviation, in units of the metric.
    seeds : int
        Of how many runs.
    """

    key: str
    deviation: float
    seeds: int


def measure_noise(original: Mapping[str, Json], *, seeds: int, replays: Replays) -> tuple[Band, ...]:
    """Run the original's inputs under other root seeds and return the band of each metric.

    Parameters
    ----------
    original : mapping
        A receipt.
    seeds : int
        How many runs, at least 3; runs that exist already are taken from the store.
    replays : Replays
        Runs them.
    """
    inputs = section(original, "inputs")
    values: dict[str, list[float]] = {}
    for seed in range(1, seeds + 1):
        varied = {**inputs, "randomness": {**section(inputs, "randomness"), "root_seed": seed}}
        receipt = replays.find(replays.memo_key(varied)) or replays.evaluate(
            varied, name=f"noise-{seed}", parent_run_id=str(original["run_id"])
        )
        for key, value in _latest(receipt).items():
            values.setdefault(key, []).append(value)
    return tuple(Band(key, statistics.stdev(found), len(found)) for key, found in values.items() if len(found) > 1)


def grade_by_noise(
    verdict: Verdict, original: Mapping[str, Json], *, replay: Mapping[str, Json], bands: Sequence[Band]
) -> Verdict:
    """Raise a verdict of level 1 to level 2 where every metric lies inside of its band; else say what does not."""
    old, new = _latest(original), _latest(replay)
    width = {band.key: _DEVIATIONS * band.deviation for band in bands}
    outside = [key for key in old if abs(old[key] - new.get(key, float("inf"))) > width.get(key, 0.0)]
    if not old or outside:
        said = ", ".join(f"{key} moved by more than {width.get(key, 0.0):.3g}" for key in outside)
        return dataclasses.replace(verdict, reason=f"outside of the measured noise band: {said or 'no metrics'}")
    said = ", ".join(f"{key} ±{width[key]:.3g}" for key in old)
    return dataclasses.replace(
        verdict,
        level=Level.STATISTICALLY_EQUIVALENT,
        reason=f"every metric lies inside of the band that {bands[0].seeds} seeds span: {said}",
    )


def _latest(receipt: Mapping[str, Json]) -> dict[str, float]:
    found: dict[str, float] = {}
    for row in records(receipt, "outputs", "metrics"):
        value = number(row, "value")
        if value is not None:
            found[str(row["key"])] = value
    return found
