"""Two receipts side by side: which inputs differ, in the words of a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from lakemark._base.canonical import Json
from lakemark._base.fields import records, section, text, words
from lakemark._base.ids import short
from lakemark.capture.receipt import deciding_variables

__all__ = ["Difference", "Part", "compare_inputs"]


class Part(StrEnum):
    """The parts of a receipt's inputs."""

    DATA = "data"
    CODE = "code"
    ENV = "env"
    PARAMS = "params"
    RANDOMNESS = "randomness"
    COMPUTE = "compute"


@dataclass(frozen=True, slots=True)
class Difference:
    """One input that is not the same in two receipts.

    Parameters
    ----------
    part : Part
        Where it stands.
    name : str
        What it is: a table, a package, a param.
    detail : str
        What is different, from the first receipt to the second.
    """

    part: Part
    name: str
    detail: str


def compare_inputs(a: Mapping[str, Json], b: Mapping[str, Json]) -> tuple[Difference, ...]:
    """Return what differs from the inputs of receipt `a` to those of `b`, in the order of the parts.

    Parameters
    ----------
    a, b : mapping
        The `inputs` of two receipts.

    Notes
    -----
    A table or file whose rows are the same in another order is named as just that: row order alone changes what many
    learners make of the data.
    """
    compared = (
        (Part.DATA, _data),
        (Part.CODE, _code),
        (Part.ENV, _env),
        (Part.PARAMS, _params),
        (Part.RANDOMNESS, _randomness),
        (Part.COMPUTE, _compute),
    )
    return tuple(
        Difference(part, name, detail)
        for part, compare in compared
        for name, detail in compare(section(a, part), section(b, part))
    )


_Named = Iterator[tuple[str, str]]


def _by(mapping: Mapping[str, Json], key: str, name: str) -> dict[str, Mapping[str, Json]]:
    return {str(row[name]): row for row in records(mapping, key)}


def _pairs(
    a: Mapping[str, Mapping[str, Json]], b: Mapping[str, Mapping[str, Json]]
) -> Iterator[tuple[str, Mapping[str, Json] | None, Mapping[str, Json] | None]]:
    for name in sorted({*a, *b}):
        yield name, a.get(name), b.get(name)


def _data(a: Mapping[str, Json], b: Mapping[str, Json]) -> _Named:
    for old, new in _pair_tables(a, b):
        name = f"table {str((old or new or {})['uri']).rsplit('/', 1)[-1]}"
        if old is None or new is None:
            yield name, "read only by the second" if old is None else "read only by the first"
        elif old["table_id"] != new["table_id"]:
            yield name, f"not the same table: id {old['table_id']} -> {new['table_id']}"
        else:
            yield from ((name, said) for said in _rows(old, new, identity="log_identity"))
    yield from _names(a, b)
    yield from _splits(a, b)
    for path, old, new in _pairs(_by(a, "files", "path"), _by(b, "files", "path")):
        name = f"file {path.rsplit('/', 1)[-1]}"
        if old is None or new is None:
            yield name, "read only by the second" if old is None else "read only by the first"
        else:
            yield from ((name, said) for said in _rows(old, new, identity="sha256"))


def _pair_tables(
    a: Mapping[str, Json], b: Mapping[str, Json]
) -> Iterator[tuple[Mapping[str, Json] | None, Mapping[str, Json] | None]]:
    """Match the versions that were read: those that were asked for alike, then of one table in their order."""
    left, right = list(records(a, "tables")), list(records(b, "tables"))
    for keys in (("uri", "requested"), ("uri",)):
        for row in list(left):
            match = next((other for other in right if all(row.get(key) == other.get(key) for key in keys)), None)
            if match is not None:
                left.remove(row)
                right.remove(match)
                yield row, match
    yield from ((row, None) for row in left)
    yield from ((None, row) for row in right)


def _names(a: Mapping[str, Json], b: Mapping[str, Json]) -> _Named:
    """Tell which names and tags mean something else."""
    for name, old, new in _pairs(_by(a, "names", "text"), _by(b, "names", "text")):
        if old is None or new is None:
            continue
        if old["uri"] != new["uri"]:
            yield f"name {name}", f"{old['uri']} -> {new['uri']}"
        elif old["version"] != new["version"]:
            yield f"name {name}", f"version {old['version']} -> {new['version']}"


def _splits(a: Mapping[str, Json], b: Mapping[str, Json]) -> _Named:
    """Compare the splits of both, in the order in which they were made."""
    for old, new in zip(records(a, "splits"), records(b, "splits"), strict=False):
        name = f"split of {(text(new, 'table', 'uri') or '').rsplit('/', 1)[-1]}"
        for field in ("by", "on", "salt"):
            if old.get(field) != new.get(field):
                yield name, f"{field} {old.get(field)} -> {new.get(field)}"
        parts = [{str(row["name"]): row["rows"] for row in records(side, "parts")} for side in (old, new)]
        for part in dict.fromkeys((*parts[0], *parts[1])):
            before, after = (side.get(part) for side in parts)
            if before != after:
                yield name, f"{part} {_count(before)} -> {_count(after)} rows"


def _rows(old: Mapping[str, Json], new: Mapping[str, Json], *, identity: str) -> Iterator[str]:
    """Compare one table or file: by the rows that the script got where both are known, else by its identity."""
    before, after = section(old, "content"), section(new, "content")
    known = bool(before) and bool(after) and before.get("algorithm") == after.get("algorithm")
    versions = (
        "" if old.get("version") == new.get("version") else f"version {old.get('version')} -> {new.get('version')}"
    )
    if known and before["ordered"] == after["ordered"]:
        return
    if known and before["unordered"] == after["unordered"]:
        yield ", ".join(filter(None, [versions, f"row order: the same {_count(before['rows'])} rows in another order"]))
    elif known:
        yield ", ".join(filter(None, [versions, f"rows {_count(before['rows'])} -> {_count(after['rows'])}"]))
    elif old.get(identity) != new.get(identity):
        yield versions or f"content {short(str(old.get(identity)))} -> {short(str(new.get(identity)))}"


def _count(rows: Json) -> str:
    return f"{rows:,}" if isinstance(rows, int) else "?"


def _code(a: Mapping[str, Json], b: Mapping[str, Json]) -> _Named:
    if a.get("tree") != b.get("tree"):
        yield "snapshot", f"{short(str(a.get('tree')))} -> {short(str(b.get('tree')))}"
    for field in ("kind", "name"):
        old, new = section(a, "entry").get(field), section(b, "entry").get(field)
        if old != new:
            yield "entry point", f"{old} -> {new}"
    if a.get("cwd") != b.get("cwd"):
        yield "working directory", f"{a.get('cwd') or '.'} -> {b.get('cwd') or '.'}"
    yield from _hashes(_modules(a), _modules(b), prefix="file outside of the snapshot ")


def _modules(code: Mapping[str, Json]) -> dict[str, Mapping[str, Json]]:
    """Return the files outside of the snapshot, without the metadata of local packages, which is no code."""
    return {path: row for path, row in _by(code, "extra", "path").items() if ".dist-info/" not in path}


def _hashes(a: Mapping[str, Mapping[str, Json]], b: Mapping[str, Mapping[str, Json]], *, prefix: str) -> _Named:
    for path, old, new in _pairs(a, b):
        before, after = (old or {}).get("sha256"), (new or {}).get("sha256")
        if before != after:
            yield f"{prefix}{path}", f"{short(str(before))} -> {short(str(after))}"


def _env(a: Mapping[str, Json], b: Mapping[str, Json]) -> _Named:
    old_python, new_python = section(a, "python").get("version"), section(b, "python").get("version")
    if old_python != new_python:
        yield "python", f"{old_python} -> {new_python}"
    for name, old, new in _pairs(_from_index(a), _from_index(b)):
        before, after = (old or {}).get("version"), (new or {}).get("version")
        if before != after:
            yield name, f"{before or 'not loaded'} -> {after or 'not loaded'}"
        elif old is not None and new is not None and _is_other_build(old, new):
            yield name, f"version {before} in both, but another build of it: its files are not the same"
        elif old is not None and new is not None and old.get("modified") != new.get("modified"):
            edited = ", ".join(words(old, "modified") or words(new, "modified"))
            yield (
                name,
                f"installed files were edited {'in the first' if old.get('modified') else 'in the second'}: {edited}",
            )


def _from_index(env: Mapping[str, Json]) -> dict[str, Mapping[str, Json]]:
    """Return the packages that an index has; the files of local ones are compared as code."""
    return {name: row for name, row in _by(env, "packages", "name").items() if not row.get("local")}


def _is_other_build(a: Mapping[str, Json], b: Mapping[str, Json]) -> bool:
    before, after = a.get("record_sha256"), b.get("record_sha256")
    return before is not None and after is not None and before != after


def _params(a: Mapping[str, Json], b: Mapping[str, Json]) -> _Named:
    yield from _values(section(a, "values"), section(b, "values"))


def _values(a: Mapping[str, Json], b: Mapping[str, Json]) -> _Named:
    for key in sorted({*a, *b}):
        if a.get(key) != b.get(key):
            yield key, f"{_shown(a.get(key))} -> {_shown(b.get(key))}"


def _shown(value: Json) -> str:
    return "not set" if value is None else str(value)


def _randomness(a: Mapping[str, Json], b: Mapping[str, Json]) -> _Named:
    for key in ("root_seed", "hash_seed"):
        if a.get(key) is not None and b.get(key) is not None and a[key] != b[key]:  # None: it was not seen
            yield key.replace("_", " "), f"{a[key]} -> {b[key]}"
    old, new = ([(row.get("api"), row.get("value")) for row in records(part, "seeds")] for part in (a, b))
    if old != new:
        yield "seeds", f"{len(old)} set -> {len(new)} set, not the same"


def _compute(a: Mapping[str, Json], b: Mapping[str, Json]) -> _Named:
    if a.get("cpu_model") != b.get("cpu_model"):
        yield "cpu", f"{a.get('cpu_model')} -> {b.get('cpu_model')}"
    if a.get("isa") != b.get("isa"):
        lost = sorted({*words(a, "isa")} ^ {*words(b, "isa")})
        yield "instruction sets", f"only in one: {', '.join(lost)}"
    yield from _values(_set(section(a, "threads")), _set(section(b, "threads")))
    yield from _values(deciding_variables(a), deciding_variables(b))
    yield from _pools(section(a, "threads"), section(b, "threads"))


def _set(threads: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in threads.items() if name != "effective"}


def _pools(a: Mapping[str, Json], b: Mapping[str, Json]) -> _Named:
    """Compare the thread pools that both runs opened; a pool that only one of them opened is its code's affair."""
    old, new = (
        {str(pool["library"]): pool.get("num_threads") for pool in records(part, "effective")} for part in (a, b)
    )
    for library in sorted(old.keys() & new.keys()):
        if old[library] != new[library]:
            yield f"{library} threads", f"{old[library]} -> {new[library]}"
