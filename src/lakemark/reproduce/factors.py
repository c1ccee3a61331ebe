"""The factors of a run: data, code, params and env; which of them differ between two receipts, and in what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeAlias

from lakemark._base.canonical import Json, digest
from lakemark._base.fields import number, records, section, text, words
from lakemark._base.ids import short
from lakemark.capture.receipt import counts_as_data, deciding_variables

__all__ = [
    "FACTORS",
    "CodeDiff",
    "FactorComparison",
    "Inputs",
    "ReadPair",
    "compare_factors",
    "describe_factor",
    "pair_reads",
]

FACTORS = ("data", "code", "params", "env")

Inputs: TypeAlias = Mapping[str, Json]
"""The `inputs` of a receipt."""

CodeDiff: TypeAlias = Callable[[Mapping[str, Json], Mapping[str, Json]], list[str]]
"""Given two `inputs.code`, returns the paths whose content differs between their trees."""


@dataclass(frozen=True, slots=True)
class ReadPair:
    """The same read in two runs.

    Parameters
    ----------
    a, b : mapping or None
        The entry of the receipt; None where only the other run read it.
    """

    a: Mapping[str, Json] | None
    b: Mapping[str, Json] | None


@dataclass(frozen=True, slots=True)
class FactorComparison:
    """Which factors two runs differ in.

    Parameters
    ----------
    differing : tuple of str
        Factors that have to be told apart by runs, in the order of `FACTORS`.
    equal : tuple of str
        Factors with equal fingerprints.
    null : mapping of str to str
        Factors that look different and cannot matter, with the reason. No run is needed to know.
    in_code : tuple of str, default ()
        Names of the files that both runs opened and that differ, but lie in the code's snapshot and go with the code.
    """

    differing: tuple[str, ...]
    equal: tuple[str, ...]
    null: Mapping[str, str]
    in_code: tuple[str, ...] = ()


def compare_factors(a: Inputs, b: Inputs) -> FactorComparison:
    """Compare the inputs of two runs, factor by factor.

    Parameters
    ----------
    a, b : mapping
        The `inputs` of two receipts.

    Notes
    -----
    Values that a script only logs are no lever: where arguments and seeds are equal, other logged values follow from
    the other factors, so that params are set aside without a run. A package that only one of two codes uses goes with
    that code. What a script reads at all is decided by its code
    and its arguments: a table that only one run read makes the data differ only where those two are equal.
    """
    null: dict[str, str] = {}
    differs = {
        "code": digest(_code_identity(a)) != digest(_code_identity(b)),
        "params": digest(_lever(a)) != digest(_lever(b)),
    }
    one_sided = _packages(a).keys() ^ _packages(b).keys() if differs["code"] else frozenset[str]()
    differs["env"] = _env_differs(a, b, ignored=one_sided)
    differs["data"] = _data_differs(a, b, fixed_reads=not (differs["code"] or differs["params"]))
    logged = _changed(_values(a), _values(b))
    if logged and not differs["params"]:
        null["params"] = "arguments and seeds are equal; the script itself logs other values: " + ", ".join(logged)
    if one_sided and not differs["env"]:
        null["env"] = "the code of only one run uses " + ", ".join(sorted(one_sided)) + ", which goes with the code"
    in_code = _read_in_code(a, b)
    unsaid = {*null, *(["data"] if in_code else [])}
    return FactorComparison(
        differing=tuple(factor for factor in FACTORS if differs[factor]),
        equal=tuple(factor for factor in FACTORS if not differs[factor] and factor not in unsaid),
        null=null,
        in_code=in_code,
    )


def pair_reads(a: Inputs, b: Inputs, kind: str) -> list[ReadPair]:
    """Match the reads of two runs.

    Parameters
    ----------
    a, b : mapping
        The `inputs` of two receipts.
    kind : {"tables", "files"}
        Tables match by URI and the version that was asked for, then by URI, each in the order in which they were read;
        files by path. Files of the snapshot that a script just opens belong to the code and are left out.
    """
    left, right = (list(_reads(inputs, kind)) for inputs in (a, b))
    keys = (("uri", "requested"), ("uri",)) if kind == "tables" else (("path",),)
    pairs: list[ReadPair] = []
    for key in keys:
        for entry in list(left):
            match = next((other for other in right if all(entry.get(name) == other.get(name) for name in key)), None)
            if match is not None:
                left.remove(entry)
                right.remove(match)
                pairs.append(ReadPair(entry, match))
    return [*pairs, *(ReadPair(entry, None) for entry in left), *(ReadPair(None, entry) for entry in right)]


def describe_factor(factor: str, a: Inputs, b: Inputs, *, code_diff: CodeDiff | None = None) -> tuple[str, ...]:
    """Say in a few short phrases what differs in a factor.

    Parameters
    ----------
    factor : {"data", "code", "params", "env"}
        The factor.
    a, b : mapping
        The `inputs` of two receipts.
    code_diff : callable, optional
        Finds the paths that differ between two code trees; without it only the trees are named.
    """
    if factor == "data":
        return tuple(_describe_data(a, b))
    if factor == "code":
        return tuple(_describe_code(section(a, "code"), section(b, "code"), code_diff))
    if factor == "params":
        return tuple(_describe_params(a, b))
    return tuple(_describe_env(a, b))


def _reads(inputs: Inputs, kind: str) -> Iterable[Mapping[str, Json]]:
    return (entry for entry in records(inputs, "data", kind) if counts_as_data(entry))


def _read_in_code(a: Inputs, b: Inputs) -> tuple[str, ...]:
    left, right = (
        {text(entry, "path") or "": entry for entry in records(side, "data", "files") if not counts_as_data(entry)}
        for side in (a, b)
    )
    return tuple(PurePosixPath(path).name for path in left if path in right and not _same_file(left[path], right[path]))


def _code_identity(inputs: Inputs) -> Json:
    code = section(inputs, "code")
    entry = section(code, "entry")
    extra = sorted([text(item, "path") or "", text(item, "sha256") or ""] for item in records(code, "extra"))
    return [code.get("identity") or code.get("tree"), entry.get("kind"), entry.get("name"), code.get("cwd"), extra]


def _lever(inputs: Inputs) -> Json:
    """Return what a person sets from outside: arguments and seeds."""
    randomness = section(inputs, "randomness")
    return [
        words(inputs, "code", "entry", "argv"),
        randomness.get("root_seed"),
        randomness.get("hash_seed"),
    ]


def _values(inputs: Inputs) -> dict[str, str]:
    return {name: str(value) for name, value in section(inputs, "params", "values").items()}


def _packages(inputs: Inputs) -> dict[str, Json]:
    return {
        text(package, "name") or "": [
            package.get("version"),
            package.get("record_sha256"),
            sorted(words(package, "modified")),
            package.get("local"),
        ]
        for package in records(inputs, "env", "packages")
    }


def _env_differs(a: Inputs, b: Inputs, *, ignored: AbstractSet[str]) -> bool:
    if section(a, "env", "python") != section(b, "env", "python"):
        return True
    if _threads(a) != _threads(b):
        return True
    if deciding_variables(section(a, "compute")) != deciding_variables(section(b, "compute")):
        return True
    left, right = ({name: facts for name, facts in _packages(side).items() if name not in ignored} for side in (a, b))
    if left or right:  # the lock is text that can differ where what is installed does not
        return digest(left) != digest(right)
    return text(a, "env", "lock", "sha256") != text(b, "env", "lock", "sha256")


def _threads(inputs: Inputs) -> dict[str, str]:
    """Return the thread variables; which pools a library opened follows from the code."""
    return {name: str(value) for name, value in section(inputs, "compute", "threads").items() if name != "effective"}


def _data_differs(a: Inputs, b: Inputs, *, fixed_reads: bool) -> bool:
    for kind, same in (("tables", _same_table), ("files", _same_file)):
        for pair in pair_reads(a, b, kind):
            if pair.a is None or pair.b is None:
                if fixed_reads:
                    return True
            elif not same(pair.a, pair.b):
                return True
    return False


def _same_table(a: Mapping[str, Json], b: Mapping[str, Json]) -> bool:
    identity = text(a, "log_identity")
    if identity is not None and identity == text(b, "log_identity"):
        return True
    return _same_content(a, b)


def _same_file(a: Mapping[str, Json], b: Mapping[str, Json]) -> bool:
    return text(a, "sha256") == text(b, "sha256") or _same_content(a, b)


def _same_content(a: Mapping[str, Json], b: Mapping[str, Json]) -> bool:
    """Compare what the reader handed to the script; the order of rows counts, because models depend on it."""
    left, right = section(a, "content"), section(b, "content")
    ordered = left.get("ordered")
    return ordered is not None and ordered == right.get("ordered") and left.get("algorithm") == right.get("algorithm")


def _changed(a: Mapping[str, str], b: Mapping[str, str]) -> list[str]:
    """Return `name old → new` for each name whose value differs."""
    names = [*a, *(name for name in b if name not in a)]
    return [f"{name} {a.get(name, '(none)')} → {b.get(name, '(none)')}" for name in names if a.get(name) != b.get(name)]


def _describe_data(a: Inputs, b: Inputs) -> Iterable[str]:
    for pair in pair_reads(a, b, "tables"):
        name = PurePosixPath(text(pair.a or pair.b, "uri") or "").name
        if pair.a is None or pair.b is None:
            yield f"{name} is read by {'B' if pair.a is None else 'A'} only"
        elif not _same_table(pair.a, pair.b):
            yield _describe_table(name, pair.a, pair.b)
    for pair in pair_reads(a, b, "files"):
        name = PurePosixPath(text(pair.a or pair.b, "path") or "").name
        if pair.a is None or pair.b is None:
            yield f"{name} is read by {'B' if pair.a is None else 'A'} only"
        elif not _same_file(pair.a, pair.b):
            yield f"{name} {_count(pair.a, 'size')} → {_count(pair.b, 'size')} bytes"


def _describe_table(name: str, a: Mapping[str, Json], b: Mapping[str, Json]) -> str:
    if text(a, "table_id") != text(b, "table_id"):
        name += " (another table at the same place)"
    before, after = number(a, "rows"), number(b, "rows")
    versions = f"{name} v{a.get('version')} → v{b.get('version')}"
    if before is None or after is None:
        return versions
    if before == after:
        same_rows = text(a, "content", "unordered")
        reordered = same_rows is not None and same_rows == text(b, "content", "unordered")
        return f"{versions}: {before:,.0f} rows in both" + (", only their order differs" if reordered else "")
    return f"{versions}: {before:,.0f} → {after:,.0f} rows"


def _count(entry: Mapping[str, Json], name: str) -> str:
    value = number(entry, name)
    return "?" if value is None else f"{value:,.0f}"


def _describe_code(a: Mapping[str, Json], b: Mapping[str, Json], code_diff: CodeDiff | None) -> Iterable[str]:
    for name, left, right in (
        ("entry", text(a, "entry", "name"), text(b, "entry", "name")),
        ("working directory", text(a, "cwd"), text(b, "cwd")),
    ):
        if left != right:
            yield f"{name} {left} → {right}"
    trees = text(a, "tree"), text(b, "tree")
    if trees[0] != trees[1]:
        paths = code_diff(a, b) if code_diff is not None else []
        yield from paths or [f"tree {short(trees[0] or '?')} → {short(trees[1] or '?')}"]
    left_extra, right_extra = (
        {text(item, "path") or "": text(item, "sha256") or "" for item in records(code, "extra")} for code in (a, b)
    )
    names = [*left_extra, *(name for name in right_extra if name not in left_extra)]
    yield from (name for name in names if left_extra.get(name) != right_extra.get(name))


def _describe_params(a: Inputs, b: Inputs) -> Iterable[str]:
    changed = _changed(_values(a), _values(b))
    before, after = words(a, "code", "entry", "argv"), words(b, "code", "entry", "argv")
    if before != after and not changed:
        changed = [f"arguments {' '.join(before) or '(none)'} → {' '.join(after) or '(none)'}"]
    yield from changed
    left, right = section(a, "randomness"), section(b, "randomness")
    for name, label in (("root_seed", "seed"), ("hash_seed", "hash seed")):
        if left.get(name) != right.get(name):
            yield f"{label} {left.get(name)} → {right.get(name)}"


def _describe_env(a: Inputs, b: Inputs) -> Iterable[str]:
    before, after = text(a, "env", "python", "version"), text(b, "env", "python", "version")
    if before != after:
        yield f"python {before} → {after}"
    left, right = ({text(item, "name") or "": item for item in records(side, "env", "packages")} for side in (a, b))
    versions = ({name: text(item, "version") or "?" for name, item in side.items()} for side in (left, right))
    yield from _changed(*versions)
    for name in left:
        if name in right and _edited(left[name], right[name]):
            yield f"{name}: same version, other installed files"
    yield from _changed(_threads(a), _threads(b))
    variables = (deciding_variables(section(side, "compute")) for side in (a, b))
    yield from _changed(*({name: str(value) for name, value in side.items()} for side in variables))


def _edited(a: Mapping[str, Json], b: Mapping[str, Json]) -> bool:
    if a.get("version") != b.get("version"):
        return False
    return a.get("record_sha256") != b.get("record_sha256") or words(a, "modified") != words(b, "modified")
