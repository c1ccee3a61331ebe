"""The receipt: one canonical JSON document of what went into a run and what came out, by content.

`assemble` turns the events of a run into `lakemark.receipt/1` (its JSON Schema lies beside this module as
`receipt.schema.json`). `memo_key` is the digest of those inputs that decide the outputs: two runs with one key are the
same evaluation, so the second needs not be run. Every fact says in `how` whether it was observed, declared, inferred or
is missing; `completeness` counts them and names what is missing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

import lakemark
from lakemark._base.canonical import Json, digest
from lakemark._base.clock import rfc3339
from lakemark._base.fields import records, section
from lakemark.recorder.secrets import THREAD_VARIABLES

__all__ = [
    "SCHEMA",
    "Event",
    "Receipt",
    "RunFacts",
    "assemble",
    "counts_as_data",
    "deciding_variables",
    "is_nested",
    "last_described",
    "memo_key",
]

SCHEMA = "lakemark.receipt/1"

Event: TypeAlias = Mapping[str, Json]
Receipt: TypeAlias = Mapping[str, Json]

_META = ("event", "at")
_SAID_ELSEWHERE = frozenset(
    {*THREAD_VARIABLES, "LANGUAGE", "OPENBLAS_VERBOSE", "PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED"}
)


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is known about a run beside its own events.

    Parameters
    ----------
    lock : Mapping
        `{sha256, complete, missing}` of the environment lock.
    snapshot_files : mapping of str to str
        Paths in the code snapshot, relative to the project, and what is there (mode and content id).
    memo_key : str, optional
        The key under which a mixture was planned; None computes it from the inputs.
    """

    lock: Mapping[str, Json] = field(default_factory=lambda: {"sha256": None, "complete": False, "missing": []})
    snapshot_files: Mapping[str, str] = field(default_factory=dict)
    memo_key: str | None = None


class _Events:
    """The events of one run, by kind."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.all = [_finite(event) for event in events]

    def of(self, kind: str) -> list[dict[str, Json]]:
        return [
            {key: value for key, value in event.items() if key not in _META}
            for event in self.all
            if event["event"] == kind
        ]

    def last(self, kind: str) -> dict[str, Json] | None:
        found = self.of(kind)
        return found[-1] if found else None


def assemble(events: Sequence[Event], facts: RunFacts, *, status: str) -> Receipt:
    """Return the receipt of a run.

    Parameters
    ----------
    events : sequence of Event
        What its process wrote into the spool, in order.
    facts : RunFacts
        What the process around it found out.
    status : {"FINISHED", "FAILED", "KILLED"}
        How it ended.

    Notes
    -----
    Pure: the same events and facts give the same bytes.
    """
    known = _Events(events)
    created = known.last("created") or {}
    inputs = {
        "data": _data(known, facts),
        "code": _code(known, created, facts),
        "env": _environment(known, facts),
        "params": _params(known),
        "randomness": _randomness(known),
        "compute": {"how": "observed"} | (known.last("compute") or {"how": "missing"}),
    }
    outputs = _outputs(known)
    return {
        "schema": SCHEMA,
        "run_id": created.get("run_id"),
        "name": created.get("name") or last_described(events, "name"),
        "kind": created.get("kind", "run"),
        "parent_run_id": created.get("parent_run_id"),
        "created": rfc3339(cast("int", known.all[0]["at"])) if known.all else None,
        "finished": rfc3339(cast("int", known.all[-1]["at"])) if known.all else None,
        "status": status,
        "lakemark": lakemark.__version__,
        "inputs_digest": facts.memo_key or memo_key(inputs),
        "inputs": inputs,
        "outputs": outputs,
        "completeness": _completeness(known, inputs, outputs),
    }


def memo_key(inputs: Mapping[str, Json]) -> str:
    """Return the digest of the inputs that decide what a run puts out.

    Left out is what only describes: how a fact was obtained, the CPU's name, the way a read was seen.
    """
    code, env = section(inputs, "code"), section(inputs, "env")
    randomness, compute = section(inputs, "randomness"), section(inputs, "compute")
    data = section(inputs, "data")
    lock, tables = section(env, "lock"), records(data, "tables")
    packages = [
        [package["name"], package["version"], package.get("record_sha256")] for package in records(env, "packages")
    ]
    edited = [[package["name"], package["modified"]] for package in records(env, "packages") if package.get("modified")]
    return digest(
        {
            "tables": sorted(
                [[t["uri"], t["requested"], t["table_id"], t["version"], t.get("log_identity")] for t in tables],
                key=str,
            ),
            "files": sorted([[f["path"], f["sha256"]] for f in records(data, "files")], key=str),
            "code": [code.get("identity") or code.get("tree"), *(code.get(key) for key in ("entry", "cwd", "extra"))],
            "env": [section(env, "python").get("version"), lock.get("sha256") or sorted(packages, key=str), edited],
            "variables": deciding_variables(compute),
            "randomness": [randomness.get("root_seed"), randomness.get("hash_seed")],
            "threads": {name: value for name, value in section(compute, "threads").items() if name != "effective"},
        }
    )


def deciding_variables(compute: Mapping[str, Json]) -> dict[str, Json]:
    """Return the environment variables that may change a result, and that stand nowhere else in the inputs.

    Parameters
    ----------
    compute : mapping
        The `compute` of a receipt's inputs.
    """
    return {name: value for name, value in section(compute, "env").items() if name not in _SAID_ELSEWHERE}


def last_described(events: Sequence[Event], field: str) -> str | None:
    """Return the name or the experiment that a script gave to the run that it was started for.

    Parameters
    ----------
    events : sequence of Event
        Of the run.
    field : {"name", "experiment"}
        Which of them.
    """
    said = [event.get(field) for event in events if event["event"] == "described"]
    return next((str(value) for value in reversed(said) if value is not None), None)


def is_nested(created: Event) -> bool:
    """Return True for a run that is a part of another, by its `created` event: it has no inputs of its own."""
    return created.get("parent_run_id") is not None and created.get("how_started") == "api"


def _data(known: _Events, facts: RunFacts) -> dict[str, Json]:
    delivered = {(row["source"], row.get("version")): row for row in known.of("delivered")}
    project = str((known.last("code") or {}).get("project") or "")
    tables: list[Json] = []
    seen: set[tuple[Json, ...]] = set()
    written = {row["uri"] for row in known.of("write_table")}
    for table in known.of("read_table"):
        key = (table["uri"], table["requested"], table["version"], table["table_id"])
        if key not in seen:
            seen.add(key)
            content = delivered.get((table["uri"], table["version"]))
            role = "written" if table["uri"] in written else None
            tables.append(table | {"role": role, "content": _content(content)})
    files: dict[Json, Json] = {}
    for file in known.of("read_file"):
        relative = str(file["path"]).removeprefix(project + "/")
        content = delivered.get((file["path"], None))
        row = file | {"in_snapshot": relative in facts.snapshot_files, "content": _content(content)}
        files.setdefault(file["path"], row)
    return {
        "tables": tables,
        "files": list(files.values()),
        "names": known.of("named_table"),
        "splits": known.of("split"),
    }


def _content(delivered: Mapping[str, Json] | None) -> dict[str, Json] | None:
    if delivered is None:
        return None
    return {key: delivered[key] for key in ("algorithm", "ordered", "unordered", "rows")}


def _code(known: _Events, created: Mapping[str, Json], facts: RunFacts) -> dict[str, Json]:
    code = known.last("code")
    project = str((code or {}).get("project") or "")
    extra: list[Json] = []
    roots: set[str] = set()
    for file in known.of("loaded"):
        root = str(file.get("import_root") or "")
        if root == project or root.startswith(project + "/"):
            roots.add(root.removeprefix(project).lstrip("/") or ".")
        relative = str(file["path"]).removeprefix(project + "/")
        if relative not in facts.snapshot_files:
            extra.append({"path": file["path"], "import_root": file.get("import_root"), "sha256": file["sha256"]})
    how: Json = code.get("how", "observed") if code else "missing"
    return (code or {}) | {
        "entry": created.get("entry"),
        "extra": extra,
        "import_roots": sorted(roots),
        "identity": _identity(known, facts, project=project) if code else None,
        "how": how,
    }


def _identity(known: _Events, facts: RunFacts, *, project: str) -> str:
    """Return the digest of the snapshot without the data and the outputs of the script that lie in the project.

    Data is compared as data, and what a run wrote is no code, though git may know both.
    """
    loaded = {str(file["path"]) for file in known.of("loaded")}
    data = {str(file["path"]) for file in known.of("read_file") if file["via"] != "open"}
    written = {str(file["path"]) for file in known.of("write_file")}
    left_out = {path.removeprefix(project + "/") for path in (data | written) - loaded}
    return digest([[path, found] for path, found in sorted(facts.snapshot_files.items()) if path not in left_out])


def counts_as_data(file: Mapping[str, Json]) -> bool:
    """Return True for a file of a receipt that is data; one of the snapshot is code unless a reader of frames read it.

    Examples
    --------
    >>> [counts_as_data({"in_snapshot": True, "via": via}) for via in ("open", "pandas.read_csv")]
    [False, True]
    """
    return not file.get("in_snapshot") or file.get("via") != "open"


def _environment(known: _Events, facts: RunFacts) -> dict[str, Json]:
    environment = known.last("environment")
    if environment is None:
        return {"python": None, "lock": facts.lock, "packages": [], "libraries": [], "platform": None, "how": "missing"}
    return environment | {"lock": facts.lock, "how": environment.get("how", "observed")}


def _params(known: _Events) -> dict[str, Json]:
    """Collect params; what the script declared counts more than what its command line suggests."""
    values: dict[str, Json] = {}
    how: dict[str, Json] = {}
    for param in known.of("param"):
        key = str(param["key"])
        if how.get(key) != "declared":
            values[key], how[key] = param["value"], param["how"]
    return {"values": values, "how": how}


def _randomness(known: _Events) -> dict[str, Json]:
    start = known.last("randomness") or {"root_seed": None, "hash_seed": None, "how": "missing"}
    return start | {"seeds": known.of("seed"), "unseeded": known.of("unseeded")}


def _outputs(known: _Events) -> dict[str, Json]:
    finished = known.last("finished") or {}
    return {
        "metrics": known.of("metric"),
        "models": known.of("model"),
        "predictions": known.last("predictions"),
        "evaluations": known.of("evaluation"),
        "trainings": known.of("training"),
        "artifacts": known.of("artifact"),
        "tables_written": known.of("write_table"),
        "files_written": sorted({str(row["path"]) for row in known.of("write_file")}),
        "wall_seconds": finished.get("wall_seconds"),
        "cpu_seconds": finished.get("cpu_seconds"),
        "peak_rss_bytes": finished.get("peak_rss_bytes"),
        "error": finished.get("error") or _exit_error(known),
    }


def _exit_error(known: _Events) -> dict[str, Json] | None:
    """Return how a process ended that could not say so itself, as an error without frames."""
    exited = known.last("exited")
    if exited is None or exited["exit_code"] == 0:
        return None
    return {"type": exited["type"], "message": exited["message"], "frames": []}


def _completeness(known: _Events, inputs: Mapping[str, Json], outputs: Mapping[str, Json]) -> dict[str, Json]:
    counted = Counter(how for part in (inputs, outputs) for how in _hows(part))
    missing = known.of("missing")
    said = {str(row["fact"]) for row in missing}
    lock = section(section(inputs, "env"), "lock")
    lacking = {
        "code": known.last("code") is None and "no snapshot was taken",
        "environment": known.last("environment") is None and "the process ended before it could be observed",
        "compute": known.last("compute") is None and "the process ended before it could be observed",
        "hash seed": section(inputs, "randomness").get("hash_seed") is None and "PYTHONHASHSEED was random",
        "outcome": known.last("finished") is None
        and str((known.last("exited") or {}).get("message") or "the process was interrupted"),
        "model": not outputs["models"] and _looks_for_models(known) and "no fitted model was seen",
        "lock": lock.get("sha256") is not None and not lock.get("complete") and _unlocked(lock),
    }
    missing += [{"fact": fact, "why": why} for fact, why in lacking.items() if why and fact not in said]
    return {name: counted.get(name, 0) for name in ("observed", "declared", "inferred")} | {"missing": missing}


def _looks_for_models(known: _Events) -> bool:
    """Return True for a run whose hooks stood until its end; a nested run has none of its own."""
    created = known.last("created") or {}
    return known.last("finished") is not None and not is_nested(created)


def _unlocked(lock: Mapping[str, Json]) -> str:
    names = ", ".join(str(row["name"]) for row in records(lock, "missing"))
    return f"no hash for {names}"


def _hows(value: Json) -> Iterator[str]:
    """Yield every `how` in a part of the receipt."""
    if isinstance(value, Mapping):
        how = value.get("how")
        if isinstance(how, str):
            yield how
        elif isinstance(how, Mapping):
            yield from (str(item) for item in how.values())
        for key, item in value.items():
            if key != "how":
                yield from _hows(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _hows(item)


def _finite(event: Event) -> dict[str, Json]:
    """Return an event with NaN and infinities as strings, as canonical JSON needs them."""
    return {key: _finite_value(value) for key, value in event.items()}


def _finite_value(value: Json) -> Json:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {key: _finite_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite_value(item) for item in value]
    return value
