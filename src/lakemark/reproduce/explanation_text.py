"""The explanation as a person reads it in a terminal: words first, then bars, then the table of mixtures."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator

from lakemark._base.ids import short
from lakemark.reproduce.explanation import Effect, Estimate, Explanation
from lakemark.reproduce.mixtures import Plan

__all__ = ["render_explanation", "render_plan"]

_BAR = 24


def render_plan(plan: Plan) -> str:
    """Return one line that says how many runs an explanation takes, and how long.

    Parameters
    ----------
    plan : Plan
        What `explain` is about to do.
    """
    differing = ", ".join(plan.comparison.differing) or "nothing"
    total, missing = len(plan.cells), len(plan.missing)
    runs = f"{total} runs" if total != 1 else "1 run"
    if not missing:
        return f"differs: {differing}; {runs}, all of them there already"
    return f"differs: {differing}; {runs}, {missing} of them new, about {_duration(plan.seconds)}"


def render_explanation(explanation: Explanation, *, width: int = 100, ascii_only: bool = False) -> str:
    """Return the explanation as text, without colours.

    Parameters
    ----------
    explanation : Explanation
        What to show.
    width : int, default 100
        Columns of the terminal; taken as 80 to 120.
    ascii_only : bool, default False
        Draw bars and arrows in ASCII, for terminals that know no more.
    """
    width = min(max(width, 80), 120)
    parts = [
        _headline(explanation, width),
        _bars(explanation, width),
        _remarks(explanation, width),
        _table(explanation, width),
    ]
    shown = "\n\n".join(part for part in parts if part)
    if ascii_only:
        shown = shown.translate({ord("█"): "#", ord("░"): "-", ord("→"): "->", ord("…"): "..."})
    return shown + "\n"


def _headline(explanation: Explanation, width: int) -> str:
    """Say the change, and split it: what the models differ by on the same rows, and what other rows did."""
    reported, places = explanation.reported, _places(explanation)
    before, after = explanation.labels
    said = (
        f"{explanation.metric} went from {reported.before:.{places}f} ({before}) to {reported.after:.{places}f} "
        f"({after}): {reported.change:+.{places}f}{_judged(explanation, reported.change)}."
    )
    if explanation.common is None:
        return _wrap(said, width)
    common, own = explanation.common, explanation.compared.change
    rows = f"on the same {common.rows:,} test rows of {_label(explanation, common.side)}"
    parts = (
        (f"{own:+.{places}f}", f"{rows} {_interval(explanation.total, places)}{_judged(explanation, own)}"),
        (f"{explanation.from_other_rows:+.{places}f}", "from testing on other rows"),
    )
    size = max(len(value) for value, _ in parts)
    lines = [f"  {value:>{size}}  {words}" for value, words in parts]
    if common.dropped:
        left_out = "1 test row was left out: a model was trained on it"
        if common.dropped > 1:
            left_out = f"{common.dropped:,} test rows were left out: a model was trained on them"
        lines.append(f"  {'':{size}}  ({left_out})")
    return "\n".join([_wrap(said, width), *lines])


def _judged(explanation: Explanation, change: float) -> str:
    if explanation.higher_is_better is None or change == 0:
        return ""
    return ", better" if (change > 0) == explanation.higher_is_better else ", worse"


def _label(explanation: Explanation, side: str) -> str:
    return explanation.labels[0 if side == "a" else 1]


def _bars(explanation: Explanation, width: int) -> str:
    """Draw an effect a line, the longest bar as long as there is room for, and what differs below it."""
    if not explanation.effects:
        return ""
    places = _places(explanation)
    rows = [
        [
            "+".join(effect.factors),
            f"{effect.estimate.value:+.{places}f}",
            _interval(effect.estimate, places),
            _share(effect),
        ]
        for effect in explanation.effects
    ]
    sizes = [max(len(row[column]) for row in rows) for column in range(4)]
    room = min(_BAR, width - sum(size + 2 for size in sizes if size) - 2)
    largest = max(abs(effect.estimate.value) for effect in explanation.effects) or 1.0
    lines: list[str] = []
    for row, effect in zip(rows, explanation.effects, strict=True):
        cells = [row[0].ljust(sizes[0]), *(cell.rjust(size) for cell, size in zip(row[1:], sizes[1:], strict=True))]
        bar = "█" * round(room * abs(effect.estimate.value) / largest) or "░"
        lines.append("  " + "  ".join(cell for cell in (*cells, bar) if cell))
        lines += _details(effect, indent=sizes[0] + 4, width=width)
    return "\n".join(lines)


def _details(effect: Effect, *, indent: int, width: int) -> Iterator[str]:
    said = "; ".join(effect.differences[:6])
    if len(effect.differences) > 6:
        said += f"; {len(effect.differences) - 6} more"
    if effect.estimate.is_detectable is False:
        said = f"no detectable effect. {said}"
    yield from textwrap.wrap(said, width, initial_indent=" " * indent, subsequent_indent=" " * indent)


def _share(effect: Effect) -> str:
    return "" if effect.share is None else f"{round(effect.share)} %"


def _interval(estimate: Estimate, places: int) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f"[{estimate.low:+.{places}f}, {estimate.high:+.{places}f}]"


def _remarks(explanation: Explanation, width: int) -> str:
    places = _places(explanation)
    said: list[str] = []
    if explanation.effects and explanation.total.is_detectable is False:
        said.append("The models differ by too little to tell it from chance on these rows.")
    for item in explanation.interactions:
        if not item.is_large:
            continue
        same_way = (item.estimate.value > 0) == (explanation.total.value > 0)
        names = " and ".join("+".join(player) for player in item.between)
        meaning = "do more together than each alone" if same_way else "overlap: each alone does more than its share"
        said.append(f"{names} {meaning} ({item.estimate.value:+.{places}f}).")
    if explanation.equal:
        said.append(f"The same in both runs: {', '.join(explanation.equal)}.")
    said += [f"{factor} cannot matter: {why}." for factor, why in explanation.null.items()]
    said += [f"Note: {note}." for note in explanation.notes]
    if explanation.replicates:
        said.append(
            f"Intervals: 95 %, {explanation.replicates} bootstrap draws of the test rows; chance in the training is "
            "not in them."
        )
    return "\n".join(_wrap(line, width) for line in said)


def _table(explanation: Explanation, width: int) -> str:
    if not explanation.effects:
        return ""
    places = _places(explanation)
    header = [*explanation.mixtures[0].sides, "same rows" if explanation.common else "", "reported", "run"]
    rows = [
        [
            *(_label(explanation, side) for side in mixture.sides.values()),
            _number(mixture.value, places) if explanation.common else "",
            _number(mixture.reported, places),
            (short(mixture.run_id) if mixture.run_id else "-") + (" (new)" if mixture.is_new else ""),
        ]
        for mixture in explanation.mixtures
    ]
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = [
        "  " + "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True) if size)
        for row in [header, *rows]
    ]
    for index, mixture in enumerate(explanation.mixtures, start=1):
        if mixture.error is not None:
            line = lines[index] + f"  could not run: {mixture.error}"
            lines[index] = line if len(line) <= width else line[: width - 1] + "…"
    said = "The runs behind it, and which run each factor was taken from:"
    return "\n".join([said, *(line.rstrip() for line in lines)])


def _number(value: float | None, places: int) -> str:
    return "-" if value is None else f"{value:.{places}f}"


def _places(explanation: Explanation) -> int:
    """Return the decimal places that show three digits of the change."""
    size = max(abs(explanation.compared.change), abs(explanation.reported.change))
    if size == 0 or not math.isfinite(size):
        return 4
    return min(max(2 - math.floor(math.log10(size)), 0), 8)


def _wrap(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width, subsequent_indent="  ", break_long_words=False))


def _duration(seconds: float) -> str:
    """Return a duration in the words of a person.

    Examples
    --------
    >>> _duration(8.2), _duration(92.0), _duration(4000.0)
    ('8 s', '1 min 32 s', '1 h 6 min')
    """
    whole = max(round(seconds), 1)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
