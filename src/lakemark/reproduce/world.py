"""A rebuilt world: the code, the environment and the data of a receipt, in a scratch folder, ready to run.

Nothing of the user's is touched: code is restored into the scratch folder, tables are opened where they are but at
their pinned versions, files are answered with their stored content, and what the script writes lands in the scratch
folder.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from lakemark._base.canonical import Json
from lakemark._base.errors import LakemarkError
from lakemark._base.fields import records, section, text, words
from lakemark._base.hashing import sha256_file
from lakemark._base.ids import short
from lakemark.capture.code import CodeFacts, restore
from lakemark.capture.workspace import Workspace
from lakemark.recorder.plan import NamedTable, PinnedTable, Redirect
from lakemark.recorder.redirects import place_of, spellings
from lakemark.reproduce.environment import rebuild as rebuild_environment
from lakemark.reproduce.failures import ReplayError
from lakemark.reproduce.links import turn_links
from lakemark.tables.pinning.clones import rebuild
from lakemark.tables.pinning.pins import Pin, PinState, PinStatus, verify

__all__ = ["Step", "World", "build_world"]

_PASSED_ON = ("HOME", "LOGNAME", "PATH", "SHELL", "USER")
"""Variables that a replay takes from the process that starts it; all others come from the receipt."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a rebuild that is done, for people who wait.

    Parameters
    ----------
    name : str
        What was rebuilt: code, environment, data.
    detail : str
        What came of it.
    """

    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class World:
    """A rebuilt world.

    Parameters
    ----------
    folder : Path
        The scratch folder that holds all of it.
    project : Path
        The restored code.
    cwd : Path
        The working directory in it.
    script : str
        What is run, by the name that it has here.
    python : Path
        The interpreter of the rebuilt environment.
    environment : mapping of str to str
        All environment variables of the replay.
    redirect : Redirect
        How reads and writes are answered.
    """

    folder: Path
    project: Path
    cwd: Path
    script: str
    python: Path
    environment: Mapping[str, str]
    redirect: Redirect


@contextmanager
def build_world(
    workspace: Workspace,
    inputs: Mapping[str, Json],
    *,
    on_step: Callable[[Step], None] = lambda _step: None,
    keep: bool = False,
) -> Iterator[World]:
    """Rebuild the world of a receipt's inputs; it is deleted at the end.

    Parameters
    ----------
    workspace : Workspace
        Holds the snapshot, the lock, the pins and the stored files.
    inputs : mapping
        The `inputs` of a receipt, or a mixture of two.
    on_step : callable
        Called after each step.
    keep : bool, default False
        Leave the scratch folder for a person to look at.

    Raises
    ------
    ReplayError
        If a part of it can't be had; the stage and the reason say which.
    """
    folder = Path(tempfile.mkdtemp(prefix="lakemark-world-")).resolve()
    try:
        project = folder / "project"
        code = section(inputs, "code")
        mirror = folder / "outside"
        roots = _restore_code(workspace, inputs, mirror=mirror, project=project)
        on_step(Step("code", f"snapshot {short(str(code.get('tree')))} restored"))
        redirect = _answer_data(workspace, inputs, folder=folder, project=project, mirror=mirror)
        redirect = dataclasses.replace(redirect, import_roots=tuple(map(str, roots)))
        on_step(Step("data", _data_detail(inputs)))
        python, detail = _rebuild_environment(workspace, inputs)
        on_step(Step("environment", detail))
        cwd = project / str(code.get("cwd") or ".")
        cwd.mkdir(parents=True, exist_ok=True)  # a folder without files is in no snapshot
        temporary = folder / "tmp"
        temporary.mkdir()
        yield World(
            folder=folder,
            project=project,
            cwd=cwd,
            script=_script(code, mirror),
            python=python,
            environment=_variables(inputs) | {"TMPDIR": str(temporary)},
            redirect=redirect,
        )
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _restore_code(workspace: Workspace, inputs: Mapping[str, Json], *, mirror: Path, project: Path) -> list[Path]:
    """Restore the snapshot, lay the loaded files that were in none beside it, and return where imports find them."""
    code = section(inputs, "code")
    if text(code, "tree") is None:
        raise ReplayError("code", "no snapshot of the code was taken", hint="lakemark show RUN tells why")
    try:
        restore(CodeFacts.from_json(code), project, home=workspace.home)
    except LakemarkError as error:
        raise ReplayError("code", error.message, hint=error.hint) from error
    original = str(code["project"])
    read = frozenset(str(file["path"]) for file in records(inputs, "data", "files"))
    turn_links(project, original=original, mirror=mirror, files=read)
    roots = dict.fromkeys(project / name for name in words(code, "import_roots"))
    for file in records(code, "extra"):
        path, root = str(file["path"]), text(file, "import_root") or str(Path(str(file["path"])).parent)
        if path.startswith(original + os.sep):
            place = project / Path(path).relative_to(original)
        else:
            roots[_in_mirror(mirror, root)] = None
            place = _in_mirror(mirror, path)
        workspace.objects.copy_to(str(file["sha256"]), place)
    return list(roots)


def _in_mirror(mirror: Path, path: str) -> Path:
    return mirror / path.lstrip(os.sep)


def _script(code: Mapping[str, Json], mirror: Path) -> str:
    """Return the name of what is run; a script outside of the project lies in the mirror."""
    entry = section(code, "entry")
    name = str(entry["name"])
    if entry.get("kind") != "script":
        return name
    original = os.path.normpath(Path(str(code["project"])) / str(code.get("cwd") or ".") / name)
    known = {str(file["path"]) for file in records(code, "extra")}
    place = _in_mirror(mirror, original)
    return str(place) if original in known and place.is_file() else name


def _answer_data(
    workspace: Workspace, inputs: Mapping[str, Json], *, folder: Path, project: Path, mirror: Path
) -> Redirect:
    original = str(section(inputs, "code")["project"])
    rows = records(inputs, "data", "tables")
    own = _changed_tables(rows, original=original, project=project, mirror=mirror)
    tables = tuple(
        _pinned(workspace, table, folder=folder / "tables" / str(number), own=own.get((table["uri"], table["version"])))
        for number, table in enumerate(rows)
    )
    files = {str(file["path"]): _stored(workspace, file) for file in records(inputs, "data", "files")}
    return Redirect(
        original_root=original,
        scratch_root=str(project),
        tables=tables,
        files=files,
        outside=str(mirror),
        names=tuple(
            NamedTable(str(row["text"]), str(row["uri"]), cast("int | None", row["version"]), text(row, "name"))
            for row in records(inputs, "data", "names")
        ),
    )


def _changed_tables(
    rows: Sequence[Mapping[str, Json]], *, original: str, project: Path, mirror: Path
) -> dict[tuple[Json, Json], Path]:
    """Return the versions that the original run went on from when it wrote, and where the replay has its own of each.

    A replay changes no table of the user's: what a script shall change is laid where the replay's own writes go.
    """
    latest: dict[Json, int] = {}
    for row in rows:
        if row.get("role") == "written":
            latest[row["uri"]] = max(cast("int", row["version"]), latest.get(row["uri"], 0))
    roots = spellings(original)
    return {
        (uri, version): Path(place_of(str(uri), originals=roots, scratch=str(project), outside=str(mirror)))
        for uri, version in latest.items()
    }


def _pinned(workspace: Workspace, table: Mapping[str, Json], *, folder: Path, own: Path | None = None) -> PinnedTable:
    """Return where a version is opened: where it is, or rebuilt in `folder`, or in `own` for the script to change."""
    uri, version = str(table["uri"]), cast("int", table["version"])
    requested, manifest = cast("int | None", table["requested"]), text(table, "manifest")
    name = f"table {uri.rsplit('/', 1)[-1]} at version {version}"
    if manifest is None:
        raise ReplayError("data", f"{name} was not pinned: its list of files could not be written")
    content = workspace.objects.get(manifest)
    pin = Pin(uri, str(table["table_id"]), version, manifest, holder="", reason="", created_ms=0)
    state = verify(pin, content)
    if state.status is PinStatus.READABLE and own is None:
        return PinnedTable(uri, requested, version, uri, version, pin.table_id)
    if state.status is PinStatus.READABLE or state.recoverable:
        place = own or folder
        if not (place / "_delta_log").is_dir():  # another way of asking for this version, or the code's snapshot
            rebuild(content, place, numbered=True)
        return PinnedTable(uri, requested, version, str(place), version, pin.table_id)
    raise ReplayError("data", f"{name}: {state.status}, {state.detail}", hint=_how_to_restore(state, name=name))


def _how_to_restore(state: PinState, *, name: str) -> str:
    first = f", the first is {state.missing[0]}" if state.missing else ""
    if state.status is PinStatus.TABLE_RECREATED:
        return f"the table was dropped and made again; put the old one back from a backup: {name}{first}"
    return f"put the missing files back from a backup{first}; `lakemark tables vacuum` never deletes pinned files"


def _stored(workspace: Workspace, file: Mapping[str, Json]) -> str:
    """Return where the content that a file had lies: in the object store, or still where it was."""
    path, digest = str(file["path"]), text(file, "sha256")
    if file.get("stored") and digest is not None and digest in workspace.objects:
        return str(workspace.objects.path(digest))
    if digest is not None and Path(path).is_file() and sha256_file(Path(path)) == digest:
        return path
    raise ReplayError(
        "data",
        f"file {path} is not what it was when the run read it, and its content was not kept",
        hint="a larger LAKEMARK_STORE_LIMIT keeps larger files",
    )


def _data_detail(inputs: Mapping[str, Json]) -> str:
    tables = [
        f"{str(row['uri']).rsplit('/', 1)[-1]} at version {row['version']}" for row in records(inputs, "data", "tables")
    ]
    files = len(records(inputs, "data", "files"))
    return (
        ", ".join([*tables, *([f"{files} stored files" if files > 1 else "1 stored file"] if files else [])])
        or "none read"
    )


def _rebuild_environment(workspace: Workspace, inputs: Mapping[str, Json]) -> tuple[Path, str]:
    digest = text(inputs, "env", "lock", "sha256")
    version = text(inputs, "env", "python", "version")
    if digest is None or version is None:
        raise ReplayError("environment", "the run ended before its environment could be observed")
    unlocked = [str(row["name"]) for row in records(inputs, "env", "lock", "missing")]
    if unlocked:
        reasons = "; ".join(f"{row['name']}: {row['why']}" for row in records(inputs, "env", "lock", "missing"))
        raise ReplayError(
            "environment",
            f"the lock has no hash for {', '.join(unlocked)} ({reasons})",
            hint="lakemark show RUN lists the lock",
        )
    try:
        lock = workspace.objects.get(digest).decode()
        rebuilt = rebuild_environment(lock, python_version=version, cache=workspace.home.cache)
    except LakemarkError as error:
        raise ReplayError("environment", error.message, hint=error.hint) from error
    packages = len(records(inputs, "env", "packages"))
    how = "taken from the cache" if rebuilt.cached else f"rebuilt in {rebuilt.seconds:.1f} s"
    return rebuilt.python, f"Python {version} and {packages} packages, {how}"


def _variables(inputs: Mapping[str, Json]) -> dict[str, str]:
    variables = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    variables |= {name: str(value) for name, value in section(inputs, "compute", "env").items() if value is not None}
    threads = section(inputs, "compute", "threads")
    variables |= {name: str(value) for name, value in threads.items() if name.isupper() and value is not None}
    seed = text(inputs, "randomness", "hash_seed")
    variables["PYTHONHASHSEED"] = seed if seed is not None else "0"
    return variables
