"""The 64-bit word that stands for one value in `lmfp1`, for whole Arrow arrays at a time.

What counts as the same value, and how each word is made, is specified in `docs/reference/fingerprints.md`. All
arithmetic is modulo 2**64. Imports numpy and pyarrow only: it runs inside users' processes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lakemark._base.errors import InvalidInputError

__all__ = ["GOLDEN", "Words", "mix", "salt", "type_name", "words"]

Words: TypeAlias = npt.NDArray[np.uint64]

_Number = TypeVar("_Number", bound=np.generic)

GOLDEN = 0x9E3779B97F4A7C15
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_NULL = np.uint64(int.from_bytes(hashlib.sha256(b"lmfp1 null").digest()[:8], "little"))
_NAN = np.uint64(0x7FF8000000000000)
_LONG_BYTES = 128
_WORD_BYTES = 8
_KEPT = np.array([(1 << (8 * count)) - 1 for count in range(8)] + [2**64 - 1], dtype=np.uint64)
_NANOSECONDS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


def mix(values: Words) -> Words:
    """Scramble each word in place (the finalizer of splitmix64, a bijection) and return the array.

    References
    ----------
    Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014.

    Examples
    --------
    >>> hex(mix(np.array([1], dtype=np.uint64))[0])
    '0x5692161d100b05e5'
    """
    shifted = values >> np.uint64(30)
    values ^= shifted
    values *= _FIRST
    np.right_shift(values, np.uint64(27), out=shifted)
    values ^= shifted
    values *= _SECOND
    np.right_shift(values, np.uint64(31), out=shifted)
    values ^= shifted
    return values


def salt(position: int) -> np.uint64:
    """Return what is added to the words of the column, field or list element at `position`, from 0."""
    return np.uint64((position + 1) * GOLDEN % 2**64)


def type_name(kind: pa.DataType) -> str:
    """Return how the fingerprint spells an Arrow type; types of equal spelling hold comparable values.

    Examples
    --------
    >>> type_name(pa.dictionary(pa.int8(), pa.large_string())), type_name(pa.timestamp("ms", "Europe/Berlin"))
    ('string', 'timestamp utc')
    """
    kind = _without_encoding(kind)
    if pa.types.is_timestamp(kind):
        return "timestamp" if kind.tz is None else "timestamp utc"
    if pa.types.is_decimal(kind):
        return f"decimal({kind.scale})"
    if pa.types.is_struct(kind):
        return f"struct({', '.join(f'{field.name}: {type_name(field.type)}' for field in _fields(kind))})"
    if pa.types.is_map(kind):
        return f"list(struct(key: {type_name(kind.key_type)}, value: {type_name(kind.item_type)}))"
    if _is_list(kind):
        return f"list({type_name(kind.value_type)})"
    family = next((spelling for spelling, belongs in _FAMILIES if belongs(kind)), str(kind))
    return {"halffloat": "float16", "float": "float32", "double": "float64"}.get(family, family)


def _without_encoding(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values behind extension types, dictionaries and run ends."""
    while True:
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        elif pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
            kind = kind.value_type
        else:
            return kind


def words(array: pa.Array) -> Words:
    """Return one word per value.

    Parameters
    ----------
    array : pyarrow.Array
        Of any type but unions and calendar intervals.

    Returns
    -------
    numpy.ndarray of uint64, shape (len(array),)
        A fresh array that the caller may change.

    Raises
    ------
    InvalidInputError
        For a type that `lmfp1` does not define.
    """
    found = _values(array)
    if array.null_count and not pa.types.is_null(array.type):
        found[~_validity(array)] = _NULL
    return found


def _values(array: pa.Array) -> Words:
    """Return the words, where those of nulls may be anything."""
    makers: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], Words]], ...] = (
        (lambda kind: isinstance(kind, pa.BaseExtensionType), lambda values: words(values.storage)),
        (pa.types.is_null, lambda values: np.full(len(values), _NULL)),
        (pa.types.is_dictionary, _dictionary),
        (pa.types.is_run_end_encoded, lambda values: words(pc.run_end_decode(values))),
        (pa.types.is_struct, _struct),
        (_is_list, _list),
        (_is_binary, _bytes),
        (pa.types.is_decimal, _decimal),
    )
    maker = next((make for belongs, make in makers if belongs(array.type)), _fixed)
    return maker(array)


def _fixed(array: pa.Array) -> Words:
    kind = array.type
    if pa.types.is_boolean(kind):
        return _bits(array, 1).astype(np.uint64)
    if pa.types.is_integer(kind):
        numbers = _buffer(array, kind.to_pandas_dtype())
        return numbers.astype(np.uint64 if pa.types.is_unsigned_integer(kind) else np.int64).view(np.uint64)
    if pa.types.is_floating(kind):
        return _float(_buffer(array, kind.to_pandas_dtype()))
    if pa.types.is_date32(kind):
        return _buffer(array, np.int32).astype(np.int64).view(np.uint64)
    if pa.types.is_date64(kind):
        return (_buffer(array, np.int64) // 86_400_000).view(np.uint64)
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind) or pa.types.is_time(kind):
        numbers = _buffer(array, np.int32 if pa.types.is_time32(kind) else np.int64).astype(np.int64)
        return _moment(numbers, _NANOSECONDS[kind.unit])
    raise InvalidInputError(
        f"type {kind} has no fingerprint",
        hint="fingerprints cover numbers, booleans, text, bytes, dates, times, decimals, lists, structs and maps",
    )


def _float(numbers: npt.NDArray[np.floating]) -> Words:
    """Return the bits of the value as float64, with one zero and one NaN."""
    wide = numbers.astype(np.float64)
    wide += 0.0  # turns -0.0 into 0.0
    found: Words = wide.view(np.uint64)
    nan = np.isnan(wide)
    if nan.any():
        found[nan] = _NAN
    return found


def _moment(numbers: npt.NDArray[np.int64], nanoseconds: int) -> Words:
    """Return whole microseconds; only what lies between two of them takes a second word."""
    if nanoseconds >= 1_000:
        return (numbers * np.int64(nanoseconds // 1_000)).view(np.uint64)
    whole = numbers // 1_000
    rest = numbers - whole * 1_000
    found = whole.view(np.uint64)
    partial = rest != 0
    if partial.any():
        found[partial] = mix(found[partial] + salt(0)) + rest[partial].view(np.uint64)
    return found


def _decimal(array: pa.Array) -> Words:
    """Chain the four words of the unscaled value in two's complement, lowest first."""
    wide = array.cast(pa.decimal256(76, array.type.scale))
    parts = np.frombuffer(wide.buffers()[1], dtype=np.uint64)[wide.offset * 4 : (wide.offset + len(wide)) * 4]
    found: Words = np.zeros(len(wide), dtype=np.uint64)
    for part in range(4):
        found = mix(found ^ parts[part::4])
    return found


def _bytes(array: pa.Array) -> Words:
    if pa.types.is_fixed_size_binary(array.type):
        array = array.cast(pa.large_binary())
    elif array.type in _VIEWS:
        array = _without_views(array)
    width = np.int64 if array.type in (pa.large_string(), pa.large_binary()) else np.int32
    _, offsets, data = array.buffers()
    if len(array) == 0 or offsets is None:
        return np.zeros(len(array), dtype=np.uint64)
    edges = np.frombuffer(offsets, dtype=width)[array.offset : array.offset + len(array) + 1].astype(np.int64)
    first = int(edges[0])
    size = int(edges[-1]) - first
    padded = np.zeros(size + _WORD_BYTES, dtype=np.uint8)
    if size:
        padded[:size] = np.frombuffer(data, dtype=np.uint8)[first : first + size]
    starts = edges[:-1] - first
    return _hash_bytes(padded, starts, edges[1:] - edges[:-1])


def _without_views(array: pa.Array) -> pa.Array:
    kind = pa.large_string() if array.type == pa.string_view() else pa.large_binary()
    try:
        return array.cast(kind)
    except pa.ArrowNotImplementedError:  # pyarrow before 20 has no such cast
        return pa.array(array.to_pylist(), kind)


def _hash_bytes(padded: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> Words:
    """Hash the byte strings that lie in one buffer: word by word over all of them, long ones by sha256."""
    overlapping: Words = np.ndarray((len(padded) - 7,), dtype=np.uint64, buffer=padded.data, strides=(1,))
    found: Words = sizes.astype(np.uint64) * np.uint64(GOLDEN)
    found ^= overlapping[starts] & _KEPT[np.minimum(sizes, 8)]
    found = mix(found)
    largest = int(sizes.max())
    for offset in range(_WORD_BYTES, min(largest, _LONG_BYTES), _WORD_BYTES):
        rows = np.flatnonzero(sizes > offset)
        following = overlapping[starts[rows] + offset] & _KEPT[np.minimum(sizes[rows] - offset, 8)]
        found[rows] = mix(found[rows] ^ following)
    if largest > _LONG_BYTES:
        for row in np.flatnonzero(sizes > _LONG_BYTES).tolist():
            text = padded[starts[row] : starts[row] + sizes[row]]
            found[row] = int.from_bytes(hashlib.sha256(text.tobytes()).digest()[:8], "little")
    return found


def _dictionary(array: pa.DictionaryArray) -> Words:
    """Hash each entry once."""
    entries = words(array.dictionary)
    if len(entries) == 0:
        return np.full(len(array), _NULL)
    codes = array.indices
    picked = _buffer(codes, codes.type.to_pandas_dtype()).astype(np.int64)
    if codes.null_count:
        picked = np.where(_validity(codes), picked, 0)
    found: Words = entries[picked]
    return found


def _struct(array: pa.StructArray) -> Words:
    found: Words = np.zeros(len(array), dtype=np.uint64)
    for position in range(array.type.num_fields):
        found += mix(words(array.field(position)) + salt(position))
    return found


def _list(array: pa.Array) -> Words:
    """Sum the elements' words, each mixed with its place in the list, and add the length."""
    if pa.types.is_map(array.type):
        entry = pa.struct([("key", array.type.key_type), ("value", array.type.item_type)])
        array = array.cast(pa.list_(entry))
    sizes = pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    elements = array.flatten()  # leaves out what lies under nulls
    edges = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
    places = np.arange(len(elements), dtype=np.uint64) - np.repeat(edges[:-1], sizes).astype(np.uint64)
    mixed = mix(words(elements) + (places + np.uint64(1)) * np.uint64(GOLDEN))
    totals = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(mixed, dtype=np.uint64)])
    return mix(totals[edges[1:]] - totals[edges[:-1]] + sizes.astype(np.uint64))


def _buffer(array: pa.Array, kind: type[_Number]) -> npt.NDArray[_Number]:
    """Return the values without a copy, whatever lies under nulls included."""
    data = array.buffers()[1]
    if data is None or len(array) == 0:
        return np.zeros(len(array), dtype=kind)
    return np.frombuffer(data, dtype=kind)[array.offset : array.offset + len(array)]


def _bits(array: pa.Array, position: int) -> npt.NDArray[np.uint8]:
    data = array.buffers()[position]
    if data is None or len(array) == 0:
        return np.zeros(len(array), dtype=np.uint8)
    packed = np.frombuffer(data, dtype=np.uint8)[array.offset // 8 : (array.offset + len(array) + 7) // 8]
    return np.unpackbits(packed, bitorder="little")[array.offset % 8 : array.offset % 8 + len(array)]


def _validity(array: pa.Array) -> npt.NDArray[np.bool_]:
    return np.asarray(array.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)


def _fields(kind: pa.StructType) -> list[pa.Field]:
    return [kind.field(position) for position in range(kind.num_fields)]


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    checks = (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_map, types.is_list_view)
    return any(check(kind) for check in (*checks, types.is_large_list_view))


def _is_text(kind: pa.DataType) -> bool:
    return kind in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), *_VIEWS)


def _is_string(kind: pa.DataType) -> bool:
    return kind in (pa.string(), pa.large_string(), pa.string_view())


def _is_binary(kind: pa.DataType) -> bool:
    return _is_text(kind) or bool(pa.types.is_fixed_size_binary(kind))


_VIEWS = (pa.string_view(), pa.binary_view())
_FAMILIES = (
    ("string", _is_string),
    ("binary", _is_binary),
    ("date", pa.types.is_date),
    ("time", pa.types.is_time),
    ("duration", pa.types.is_duration),
)
