"""The settings that a person chose: flag > `LAKEMARK_*` > `lakemark.toml` or `pyproject.toml` > default, read once.

Standard library only: it is read in users' processes too.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TypeVar

from lakemark._base.errors import InvalidInputError, nearest
from lakemark.config.home import HOME_NAME, Home

__all__ = ["Origin", "Settings", "read_settings"]

_PREFIX = "LAKEMARK_"
_OF_A_RUN = "LAKEMARK_RUN_"
"""Variables that Lakemark itself sets in the process of a run; no settings."""
_T = TypeVar("_T")

_FILE = "lakemark.toml"
_PROJECT_FILE = "pyproject.toml"
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a setting's value comes from.

    Parameters
    ----------
    kind : {"flag", "environment", "file", "default"}
        What said it.
    name : str
        The flag, the variable, `file:line`, or, of a default, how it came about (may be empty).
    """

    kind: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".rstrip()


@dataclass(frozen=True, slots=True)
class Settings:
    """What a person chose, or the defaults.

    Parameters
    ----------
    home : Path
        The home's folder, absolute. It is always named `.lakemark`: a value that names another folder means the home
        inside of that. By default found upward, else in the top of the git repository or in the working directory
        (where it is not made by reading it here).
    experiment : str, default "default"
        Where runs go.
    store_limit : int, default 268435456
        Bytes up to which a file's content is kept; "256MB" and "256MiB" are understood.
    sample_rows : int, default 1000
        Rows of the pinned prediction sample, 1 or more.
    seed : int, default 0
        Where the global random generators start, 0 to 2**32 - 1.
    warehouse : str
        The folder, absolute, or the URI below which the catalog makes tables; by default `tables` in the home.
    origins : mapping of str to Origin
        Where each value comes from.
    """

    home: Path
    experiment: str = "default"
    store_limit: int = 256 * 2**20
    sample_rows: int = 1_000
    seed: int = 0
    warehouse: str = ""
    origins: Mapping[str, Origin] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if not self.warehouse:
            object.__setattr__(self, "warehouse", str(Home(self.home).tables))  # frozen, and it depends on the home


@dataclass(frozen=True, slots=True)
class _Said:
    """A value as it was written, and by whom."""

    key: str
    value: object
    origin: Origin
    folder: Path

    def refused(self, allowed: str) -> InvalidInputError:
        return InvalidInputError(
            f"{self.origin}: {self.key} is {self.value!r}, allowed is {allowed}",
            hint="lakemark config show --origin lists the settings",
        )


def read_settings(
    flags: Mapping[str, str] | None = None,
    *,
    start: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Read the settings.

    Parameters
    ----------
    flags : mapping of str to str, optional
        What was said on the command line, by the setting's name.
    start : Path, optional
        Where the search upward for files and the home begins; the working directory by default.
    environment : mapping of str to str, optional
        Environment variables; those of the process by default.

    Raises
    ------
    InvalidInputError
        If a key is unknown (the nearest is named) or a value is not allowed; with the file and line, or the variable.
    """
    folder = (start or Path.cwd()).resolve()
    said: dict[str, _Said] = {}
    for source in (
        _from_files(folder),
        _from_environment(os.environ if environment is None else environment, folder),
        (_Said(key, flag, Origin("flag", f"--{key.replace('_', '-')}"), folder) for key, flag in (flags or {}).items()),
    ):
        for entry in source:
            _known(entry.key, entry.origin)
            said[entry.key] = entry
    home, origin = _home(said.get("home"), folder)
    defaults = Settings(home)
    return Settings(
        home=home,
        experiment=_take(said.get("experiment"), defaults.experiment, _text),
        store_limit=_take(said.get("store_limit"), defaults.store_limit, _bytes),
        sample_rows=_take(said.get("sample_rows"), defaults.sample_rows, _rows),
        seed=_take(said.get("seed"), defaults.seed, _seed),
        warehouse=_take(said.get("warehouse"), defaults.warehouse, _place),
        origins={key: said[key].origin if key in said else Origin("default") for key in _keys()} | {"home": origin},
    )


def _keys() -> tuple[str, ...]:
    return tuple(item.name for item in fields(Settings) if item.name != "origins")


def _known(key: str, origin: Origin) -> None:
    if key in _keys():
        return
    near = nearest(key, _keys())
    told = f"did you mean {near!r}?" if near else f"there are {', '.join(_keys())}"
    raise InvalidInputError(
        f"{origin}: no setting is named {key!r}; {told}", hint="lakemark config show lists the settings", nearest=near
    )


def _from_environment(environment: Mapping[str, str], folder: Path) -> Iterator[_Said]:
    for name in sorted(environment):
        if name.startswith(_PREFIX) and not name.startswith(_OF_A_RUN):
            yield _Said(name.removeprefix(_PREFIX).lower(), environment[name], Origin("environment", name), folder)


def _from_files(start: Path) -> Iterator[_Said]:
    """Yield what the nearest file at or above `start` says; `lakemark.toml` counts more than its neighbour."""
    for folder in (start, *start.parents):
        for name, section in ((_FILE, ()), (_PROJECT_FILE, ("tool", "lakemark"))):
            path = folder / name
            if path.is_file():
                text = _read(path)
                table = _table(text, path, section)
                if table is not None:
                    yield from _entries(table, path, text=text)
                    return


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        if path.name == _PROJECT_FILE and b"tool.lakemark" not in path.read_bytes():
            return ""  # somebody else's broken file says nothing about us
        raise InvalidInputError(f"{path}: {error}", hint="the file must be TOML, in UTF-8") from None


def _table(text: str, path: Path, section: tuple[str, ...]) -> Mapping[str, object] | None:
    try:
        table: object = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        if section and "tool.lakemark" not in text:
            return None  # somebody else's broken file says nothing about us
        raise InvalidInputError(f"{path}: {error}", hint="the file must be TOML") from None
    for key in section:
        table = table.get(key) if isinstance(table, Mapping) else None
    if table is not None and not isinstance(table, Mapping):
        raise InvalidInputError(f"{path}: tool.lakemark is {table!r}, allowed is a table", hint="write [tool.lakemark]")
    return table


def _entries(table: Mapping[str, object], path: Path, *, text: str) -> Iterator[_Said]:
    lines = text.splitlines()
    first = next((n for n, line in enumerate(lines) if line.strip() == "[tool.lakemark]"), 0)
    for key, value in table.items():
        written = re.compile(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=")
        number = next((n for n in range(first, len(lines)) if written.match(lines[n])), first)
        yield _Said(key, value, Origin("file", f"{path}:{number + 1}"), path.parent)


def _home(said: _Said | None, start: Path) -> tuple[Path, Origin]:
    if said is not None:
        named = Path(_text(said)).expanduser()
        path = Path(os.path.abspath(said.folder / named))  # noqa: PTH100 -- links in it stay what they are
        return (path if path.name == HOME_NAME else path / HOME_NAME), said.origin
    folders = (start, *start.parents)
    for folder in folders:
        if (folder / HOME_NAME).is_dir():
            return folder / HOME_NAME, Origin("default", "(found)")
    top = next((folder for folder in folders if (folder / ".git").exists()), None)
    if top is not None:
        return top / HOME_NAME, Origin("default", "(top of the git repository)")
    return start / HOME_NAME, Origin("default", "(working directory)")


def _take(said: _Said | None, default: _T, parse: Callable[[_Said], _T]) -> _T:
    return default if said is None else parse(said)


def _text(said: _Said) -> str:
    if isinstance(said.value, str) and said.value.strip():
        return said.value
    raise said.refused("text that is not empty")


def _place(said: _Said) -> str:
    """Return a URI as it is, and a folder as absolute: relative to the file that names it, or the working directory."""
    text = _text(said)
    if "://" in text:
        return text.rstrip("/")
    return os.path.abspath(said.folder / Path(text).expanduser())  # noqa: PTH100 -- links in it stay what they are


def _bytes(said: _Said) -> int:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(said.value))
    if isinstance(said.value, bool) or match is None or match[2].upper() not in _UNITS:
        raise said.refused('a number of bytes, 0 or more, for example 1000000 or "256MB"')
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _rows(said: _Said) -> int:
    return _integer(said, low=1, high=2**31 - 1)


def _seed(said: _Said) -> int:
    return _integer(said, low=0, high=2**32 - 1)


def _integer(said: _Said, *, low: int, high: int) -> int:
    allowed = f"a whole number from {low} to {high}"
    if isinstance(said.value, bool | float) or re.fullmatch(r"\s*-?\d+\s*", str(said.value)) is None:
        raise said.refused(allowed)
    if not low <= int(str(said.value)) <= high:
        raise said.refused(allowed)
    return int(str(said.value))
