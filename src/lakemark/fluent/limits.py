r"""What may be logged: names and values, with MLflow's limits, checked before anything is written.

References
----------
MLflow's validation of keys: `[/\w.\- :]*`, a normalised relative path, at most 250 characters; values of params at
most 6,000, of tags at most 8,000. MLflow cuts a longer value; here it is an error, because half a value is a wrong one.
"""

from __future__ import annotations

import posixpath
import re
from typing import SupportsFloat, SupportsIndex

from lakemark._base.errors import InvalidInputError

__all__ = [
    "artifact_path",
    "experiment_name",
    "key",
    "metric_step",
    "metric_value",
    "param_value",
    "run_name",
    "tag_value",
]

_KEY = re.compile(r"[/\w.\- :]*")
_LONGEST_KEY = 250
_LONGEST_PARAM = 6_000
_LONGEST_TAG = 8_000
_LONGEST_NAME = 500
_LARGEST_STEP = 2**63 - 1


def key(kind: str, name: object) -> str:
    """Return the name of a param, metric or tag, or say what is wrong with it.

    Parameters
    ----------
    kind : {"param", "metric", "tag"}
        What it names.
    name : object
        The name: letters, digits, `_ - . / :` and blanks, at most 250, a path that stays where it is.

    Raises
    ------
    InvalidInputError
        If it is something else.

    Examples
    --------
    >>> key("metric", "valid/auc")
    'valid/auc'
    """
    if not isinstance(name, str) or not name:
        raise InvalidInputError(f"the name of a {kind} is {name!r}, allowed is text that is not empty")
    if len(name) > _LONGEST_KEY:
        raise InvalidInputError(f"{kind} {name[:40]!r}…: the name has {len(name)} characters, at most {_LONGEST_KEY}")
    if _KEY.fullmatch(name) is None:
        wrong = "".join(sorted({letter for letter in name if _KEY.fullmatch(letter) is None}))
        raise InvalidInputError(
            f"{kind} {name!r}: the name has {wrong!r}, allowed are letters, digits, '_', '-', '.', '/', ':' and ' '"
        )
    if not _is_plain_path(name):
        raise InvalidInputError(f"{kind} {name!r}: the name must be a plain path, without '..', '//' or '/' at an end")
    return name


def param_value(name: str, value: object) -> str:
    """Return a param's value as text, at most 6,000 characters."""
    return _short_enough(f"param {name!r}", str(value), _LONGEST_PARAM)


def tag_value(name: str, value: object) -> str:
    """Return a tag's value as text, at most 8,000 characters."""
    return _short_enough(f"tag {name!r}", str(value), _LONGEST_TAG)


def metric_value(name: str, value: object) -> float:
    """Return a metric's value as a float; NaN and infinities are values, a bool and text are none.

    Parameters
    ----------
    name : str
        The metric.
    value : object
        A number, or what holds just one: a NumPy scalar, an array or tensor of one element.
    """
    boolean = isinstance(value, bool) or "bool" in str(getattr(value, "dtype", "")) or type(value).__name__ == "bool_"
    if not boolean and isinstance(value, SupportsFloat | SupportsIndex):
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError, RuntimeError) as error:  # RuntimeError: a tensor of many
            raise InvalidInputError(f"metric {name!r} is {_shown(value)}, which is no single number: {error}") from None
    raise InvalidInputError(f"metric {name!r} is {_shown(value)} of type {type(value).__name__}, allowed is a number")


def metric_step(name: str, step: object) -> int:
    """Return a metric's step, a whole number; None is 0."""
    if step is None:
        return 0
    if isinstance(step, SupportsIndex) and not isinstance(step, bool):
        number = step.__index__()
        if abs(number) <= _LARGEST_STEP:
            return number
    raise InvalidInputError(f"metric {name!r}: the step is {step!r}, allowed is a whole number of 64 bits")


def run_name(name: str | None) -> str | None:
    """Return the name of a run; empty text counts as none."""
    if name is None or not name.strip():
        return None
    return _short_enough("the name of a run", name, _LONGEST_NAME)


def experiment_name(name: str) -> str:
    """Return the name of an experiment: text that is not blank."""
    if not isinstance(name, str) or not name.strip():
        raise InvalidInputError(f"the name of an experiment is {name!r}, allowed is text that is not blank")
    return _short_enough("the name of an experiment", name, _LONGEST_NAME)


def artifact_path(path: str) -> str:
    """Return where an artifact goes below the run's artifacts: a relative path with `/`, never out of them."""
    if not path or "\\" in path or "\0" in path or not _is_plain_path(path):
        raise InvalidInputError(
            f"the artifact path is {path!r}, allowed is a relative path with '/', without '..', '//' or a '/' at an end"
        )
    return path


def _is_plain_path(path: str) -> bool:
    return (
        posixpath.normpath(path) == path
        and path != "."
        and not path.startswith(
            (
                "/",
                "..",
            )
        )
    )


def _short_enough(what: str, text: str, longest: int) -> str:
    if len(text) > longest:
        raise InvalidInputError(
            f"{what} has {len(text):,} characters, at most {longest:,} are kept",
            hint="lakemark.log_artifact keeps a file of any size",
        )
    return text


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
