"""Canonical JSON (RFC 8785), the one byte form in which receipts and verdicts are hashed and stored.

References
----------
RFC 8785, JSON Canonicalization Scheme: keys sorted by UTF-16 code units, no white space, numbers as ECMAScript
prints them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

__all__ = ["Json", "canonical", "digest", "json_value"]

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"

_SAFE_INTEGER = 2**53


def canonical(value: Json) -> bytes:
    r"""Return `value` as canonical JSON.

    Parameters
    ----------
    value : Json
        None, bool, int, float, str, and lists and mappings of them. A float that JSON cannot say (NaN, infinity) is
        refused: write it as a string first.

    Raises
    ------
    ValueError
        For NaN, infinity, or an integer outside +-2**53 (which other languages would round).

    Examples
    --------
    >>> canonical({"b": 1.0, "a": [True, None, "é"], "c": 1e21})
    b'{"a":[true,null,"\xc3\xa9"],"b":1,"c":1e+21}'
    """
    return _text(value).encode()


def digest(value: Json) -> str:
    """Return the sha256 of the canonical form, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def json_value(value: object) -> Json:
    """Return a value of a row as JSON can say it: numbers that JSON lacks and times as text, bytes in base 64.

    Examples
    --------
    >>> json_value({"x": float("nan"), "y": b"a"})
    {'x': 'NaN', 'y': 'YQ=='}
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _text(value: Json) -> str:
    if value is None or isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        # Python reads the canonical form of a large float, 1e17, back as an integer: that one is safe
        if abs(value) > _SAFE_INTEGER and _number(float(value)) != str(value):
            raise ValueError(f"integer {value} is outside of +-2**53: write it as a string")
        return str(int(value))
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Mapping):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return "{" + ",".join(f"{json.dumps(key, ensure_ascii=False)}:{_text(value[key])}" for key in keys) + "}"
    return "[" + ",".join(_text(item) for item in value) + "]"


def _number(value: float) -> str:
    """Print a float as ECMAScript does (Number::toString)."""
    if not math.isfinite(value):
        raise ValueError(f"{value} has no form in JSON: write it as a string")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    digits, point = _digits(repr(abs(value)))
    if 0 < point <= 21:
        body = digits.ljust(point, "0")
        return sign + (body if len(digits) <= point else f"{digits[:point]}.{digits[point:]}")
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    exponent = point - 1
    head = digits if len(digits) == 1 else f"{digits[0]}.{digits[1:]}"
    return f"{sign}{head}e{'+' if exponent > 0 else '-'}{abs(exponent)}"


def _digits(shortest: str) -> tuple[str, int]:
    """Split Python's shortest repr into its significant digits and the place of the decimal point."""
    number, _, exponent = shortest.partition("e")
    whole, _, fraction = number.partition(".")
    digits = (whole + fraction).lstrip("0")
    leading = len(whole + fraction) - len(digits)
    point = len(whole) - leading + (int(exponent) if exponent else 0)
    return digits.rstrip("0") or "0", point
