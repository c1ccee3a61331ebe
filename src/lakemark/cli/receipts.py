"""A receipt in words: each part as a few lines, without layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from lakemark._base.fields import number, records, section, text, words
from lakemark._base.ids import short
from lakemark.cli.runs import table_name
from lakemark.cli.text import duration, plain, size
from lakemark.cli.text import number as number_text

if TYPE_CHECKING:
    from lakemark._base.canonical import Json

__all__ = ["completeness_line", "metrics_line", "receipt_parts"]


def receipt_parts(
    receipt: Mapping[str, Json], *, pinned: frozenset[tuple[str, int]] = frozenset()
) -> tuple[tuple[str, Sequence[str]], ...]:
    """Return the parts of a receipt, each a label and its lines; a part that says nothing is left out.

    Parameters
    ----------
    receipt : mapping
        `lakemark.receipt/1`.
    pinned : frozenset of (str, int)
        URI and version of each table version that a pin holds.
    """
    parts = (
        ("data", _data(section(receipt, "inputs", "data"), pinned)),
        ("code", _code(section(receipt, "inputs", "code"))),
        ("env", _env(section(receipt, "inputs", "env"))),
        ("params", _params(section(receipt, "inputs", "params"))),
        ("seeds", _seeds(section(receipt, "inputs", "randomness"))),
        ("compute", _compute(section(receipt, "inputs", "compute"))),
        ("metrics", [metrics_line(receipt)]),
        ("model", _models(section(receipt, "outputs"))),
        ("written", _written(section(receipt, "outputs"))),
        ("took", _took(section(receipt, "outputs"))),
        ("error", _error(section(receipt, "outputs", "error"))),
    )
    told = ((label, [plain(line) for line in lines]) for label, lines in parts)
    return tuple((label, lines) for label, lines in told if lines)


def metrics_line(receipt: Mapping[str, Json]) -> str:
    """Return the latest value of each metric of a receipt, in one line.

    Examples
    --------
    >>> metrics_line({"outputs": {"metrics": [{"key": "auc", "value": 0.83, "step": 0}]}})
    'auc 0.83'
    """
    latest: dict[str, tuple[float, str]] = {}
    for point in records(receipt, "outputs", "metrics"):
        key, step, value = str(point["key"]), number(point, "step") or 0.0, number(point, "value")
        if value is not None and step >= latest.get(key, (step, ""))[0]:
            latest[key] = (step, number_text(value))
    return plain(", ".join(f"{key} {shown}" for key, (_, shown) in latest.items())) or "no metrics"


def completeness_line(receipt: Mapping[str, Json]) -> str:
    """Return how much of a run was captured, and what is missing, in one line.

    Examples
    --------
    >>> completeness_line({"completeness": {"observed": 9, "declared": 1, "inferred": 0, "missing": []}})
    'captured: 9 observed, 1 declared, 0 inferred; nothing is missing'
    """
    known = section(receipt, "completeness")
    missing = [f"{row['fact']} ({row['why']})" for row in records(receipt, "completeness", "missing")]
    told = f"missing: {', '.join(missing)}" if missing else "nothing is missing"
    counts = f"{known.get('observed', 0)} observed, {known.get('declared', 0)} declared"
    return plain(f"captured: {counts}, {known.get('inferred', 0)} inferred; {told}")


def _data(data: Mapping[str, Json], pinned: frozenset[tuple[str, int]]) -> Iterator[str]:
    for row in records(data, "tables"):
        uri, version = str(row["uri"]), number(row, "version") or 0
        rows = number(row, "rows")
        facts = [
            f"{table_name(uri)}@{version:.0f}",
            "" if rows is None else f"{rows:,.0f} rows",
            "pinned" if (uri, int(version)) in pinned else "not pinned",
            "asked for the latest" if row.get("requested") is None else "",
            uri,
        ]
        yield ", ".join(filter(None, facts))
    for row in records(data, "names"):
        at = "" if row["version"] is None else f"@{row['version']}"
        yield f"{row['text']} meant {table_name(str(row['uri']))}{at}, {row['uri']}"
    for row in records(data, "splits"):
        parts = ", ".join(f"{part['name']} {number(part, 'rows') or 0:,.0f}" for part in records(row, "parts"))
        split = f"{table_name(text(row, 'table', 'uri') or '')}@{section(row, 'table').get('version')}"
        yield f"split of {split} by {row.get('by')} of {', '.join(words(row, 'on'))}: rows in {parts}"
    for row in records(data, "files"):
        digest = text(row, "sha256")
        facts = [
            f"{table_name(str(row['path']))}, {size(number(row, 'size') or 0)}",
            f"sha256 {short(digest)}" if digest else "not hashed",
            "kept" if row.get("stored") or row.get("in_snapshot") else "not kept",
            str(row["path"]),
        ]
        yield ", ".join(facts)


def _code(code: Mapping[str, Json]) -> Iterator[str]:
    tree = text(code, "tree")
    if tree is None:
        yield "no snapshot"
        return
    commit = text(code, "commit")
    state = "with changes that are not committed" if code.get("dirty") else "clean"
    where = f"commit {short(commit)}, {state}" if commit else "in no commit"
    yield f"{where}; snapshot {short(tree)} ({text(code, 'vcs')})"
    entry = section(code, "entry")
    started = f"python {'-m ' if entry.get('kind') == 'module' else ''}{entry.get('name', '?')}"
    yield " ".join([started, *words(entry, "argv")]) + f", in {code.get('cwd') or '.'}"
    skipped = [f"{row['path']} ({row['reason']})" for row in records(code, "skipped")]
    if skipped:
        more = f" and {len(skipped) - 4} more" if len(skipped) > 4 else ""
        yield f"not stored: {', '.join(skipped[:4])}{more}"
    if extra := records(code, "extra"):
        yield f"{len(extra)} loaded files lie outside of the snapshot and are kept by content"


def _env(env: Mapping[str, Json]) -> Iterator[str]:
    python, lock, packages = section(env, "python"), section(env, "lock"), records(env, "packages")
    if not python:
        yield "not observed"
        return
    digest = text(lock, "sha256")
    locked = f"lock {short(digest)}{'' if lock.get('complete') else ', not complete'}" if digest else "no lock"
    yield f"Python {python.get('version')}, {len(packages)} {'package' if len(packages) == 1 else 'packages'}, {locked}"
    for package in packages:
        if edited := words(package, "modified"):
            yield f"edited after it was installed: {package['name']} ({', '.join(edited[:3])})"


def _params(params: Mapping[str, Json]) -> Iterator[str]:
    values, how = section(params, "values"), section(params, "how")
    if values:
        yield "  ".join(f"{key}={value}" for key, value in values.items())
        sources = sorted({str(how[key]) for key in values if key in how})
        if sources == ["inferred"]:
            yield "(taken from the command line)"


def _seeds(randomness: Mapping[str, Json]) -> Iterator[str]:
    root, hash_seed = randomness.get("root_seed"), randomness.get("hash_seed")
    start = "generators as the program left them" if root is None else f"generators start at {root}"
    yield f"{start}, PYTHONHASHSEED {'random' if hash_seed is None else hash_seed}"
    for row in records(randomness, "seeds"):
        yield f"{row['api']}({row.get('value')}) at {row['where']}"
    for row in records(randomness, "unseeded"):
        yield f"unseeded: {row['api']} at {row['where']}"


def _compute(compute: Mapping[str, Json]) -> Iterator[str]:
    cores, ram = number(compute, "cores"), number(compute, "ram_bytes")
    facts = [
        text(compute, "cpu_model") or "",
        "" if cores is None else f"{cores:.0f} cores",
        "" if ram is None else f"{size(ram)} of memory",
        *(f"{name}={value}" for name, value in section(compute, "threads").items() if isinstance(value, str | int)),
    ]
    if any(facts):
        yield ", ".join(filter(None, facts))


def _threads(threads: Mapping[str, Json]) -> Iterator[str]:
    """Yield the thread variables that were set, and the most threads that a library really used."""
    yield from (f"{name}={value}" for name, value in threads.items() if isinstance(value, str))
    pools = [number(row, "num_threads") or 0 for row in records(threads, "effective")]
    if pools:
        yield f"libraries use {max(pools):.0f} threads"


def _models(outputs: Mapping[str, Json]) -> Iterator[str]:
    for row in records(outputs, "models"):
        weak = " (weak: by its pickle)" if row.get("weak") else ""
        name = str(row["class_name"]).rsplit(".", 1)[-1]
        yield f"{name} ({row['flavor']}), fingerprint {short(str(row['fingerprint']))}{weak}"
    predictions = section(outputs, "predictions")
    if predictions:
        sample, rows = number(predictions, "sample") or 0, number(predictions, "n") or 0
        yield f"predictions: {sample:,.0f} of {rows:,.0f} rows kept, hash {short(str(predictions['exact']))}"


def _written(outputs: Mapping[str, Json]) -> Iterator[str]:
    for row in records(outputs, "artifacts"):
        yield f"artifact {row['path']}, {size(number(row, 'size') or 0)}"
    for row in records(outputs, "tables_written"):
        yield f"table {table_name(str(row['uri']))}@{row.get('version')}"
    if files := words(outputs, "files_written"):
        yield f"files: {', '.join(files[:4])}{f' and {len(files) - 4} more' if len(files) > 4 else ''}"


def _took(outputs: Mapping[str, Json]) -> Iterator[str]:
    wall, cpu, peak = (number(outputs, key) for key in ("wall_seconds", "cpu_seconds", "peak_rss_bytes"))
    if wall is not None:
        yield f"{duration(wall)}, {duration(cpu or 0)} of CPU, {size(peak or 0)} of memory at most"


def _error(error: Mapping[str, Json]) -> Iterator[str]:
    if error:
        yield f"{error.get('type')}: {error.get('message')}"
        for frame in records(error, "frames"):
            yield f"{frame.get('file')}:{frame.get('line')} in {frame.get('function')}: {frame.get('code')}"
