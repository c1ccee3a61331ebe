import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakemark._base.canonical import Json, canonical, digest

numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
leaves = st.none() | st.booleans() | numbers | st.text()
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (333333333.33333329, "333333333.3333333"),  # the examples of RFC 8785, appendix B
        (1e30, "1e+30"),
        (4.50, "4.5"),
        (2e-3, "0.002"),
        (0.000000000000000000000000001, "1e-27"),
        (-0.0, "0"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (9007199254740994.0, "9007199254740994"),
        (295147905179352830000.0, "295147905179352830000"),
        (999999999999999900000.0, "999999999999999900000"),
        (1e21, "1e+21"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (100.0, "100"),
    ],
)
def test_numbers_are_printed_as_ecmascript_prints_them(value: float, text: str) -> None:
    assert canonical(value) == text.encode()


def test_keys_are_sorted_by_utf16_code_units() -> None:
    assert canonical({"\ufb33": 1, "\U0001f600": 2, "a": 3}) == '{"a":3,"\U0001f600":2,"\ufb33":1}'.encode()


def test_text_is_not_escaped_beyond_need() -> None:
    assert canonical('é\n"') == '"é\\n\\""'.encode()


@given(values)
def test_what_is_written_reads_back_as_the_same_value(value: Json) -> None:
    assert json.loads(canonical(value), parse_int=float) == value


@given(values)
def test_what_is_read_back_has_the_same_digest(value: Json) -> None:
    assert digest(json.loads(canonical(value))) == digest(value)


@given(st.dictionaries(st.text(), leaves))
def test_the_order_of_keys_does_not_matter(value: dict[str, Json]) -> None:
    assert digest(value) == digest(dict(reversed(value.items())))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2**53 + 1])
def test_what_other_languages_would_change_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="as a string"):
        canonical(value)
