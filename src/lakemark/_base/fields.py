"""Reading the fields of JSON documents such as receipts: each function names the type that it hands out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lakemark._base.canonical import Json

__all__ = ["number", "records", "section", "text", "words"]


def _at(value: Json, path: Sequence[str]) -> Json:
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def section(value: Json, *path: str) -> Mapping[str, Json]:
    """Return the object under `path`, or an empty one where there is none.

    Examples
    --------
    >>> section({"inputs": {"code": {"tree": "1a2b"}}}, "inputs", "code")
    {'tree': '1a2b'}
    """
    found = _at(value, path)
    return found if isinstance(found, Mapping) else {}


def records(value: Json, *path: str) -> list[Mapping[str, Json]]:
    """Return the objects of the list under `path`; other items are left out."""
    found = _at(value, path)
    if not isinstance(found, Sequence) or isinstance(found, str):
        return []
    return [item for item in found if isinstance(item, Mapping)]


def words(value: Json, *path: str) -> list[str]:
    """Return the items of the list under `path`, as text."""
    found = _at(value, path)
    if not isinstance(found, Sequence) or isinstance(found, str):
        return []
    return [str(item) for item in found]


def text(value: Json, *path: str) -> str | None:
    """Return the text under `path`, or None where there is none."""
    found = _at(value, path)
    return found if isinstance(found, str) else None


def number(value: Json, *path: str) -> float | None:
    """Return the number under `path`, or None where there is none.

    A receipt writes NaN and the infinities as text, because JSON cannot say them.

    Examples
    --------
    >>> number({"value": "-Infinity"}, "value")
    -inf
    """
    found = _at(value, path)
    if isinstance(found, bool):
        return None
    if isinstance(found, int | float):
        return float(found)
    return float(found) if found in {"NaN", "Infinity", "-Infinity"} and isinstance(found, str) else None
