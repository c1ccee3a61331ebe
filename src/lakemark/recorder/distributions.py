"""Installed distributions: what they declare, which files they brought, and whether those are still as they came.

Standard library only: it runs inside users' processes, and outside on rebuilt environments.

References
----------
PEP 376 and the specification "Recording installed projects" (`RECORD`); PEP 610 (`direct_url.json`).
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, cast
from urllib.parse import unquote, urlsplit

from lakemark._base.files import write_atomic

__all__ = ["Distribution", "InstalledDistributions", "Verification", "normalize_name"]

_FORMAT = "lakemark.distributions/1"
_INSTALLER_NOTES = frozenset({"INSTALLER", "RECORD", "RECORD.jws", "RECORD.p7s", "REQUESTED", "direct_url.json"})
_UNSETTLED_NS = 50_000_000
"""A file younger than this may change again within one tick of the file system's clock: its state is not cached."""
_SMALL = 1 << 20
_OF_EXTRA = re.compile(r";.*\bextra\s*==")
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


class _Declared(TypedDict):
    """What the cache keeps of a distribution's own words."""

    state: list[str]
    name: str
    version: str
    requires: list[str]
    top: list[str]
    local_root: str | None
    editable: bool


class _Verified(TypedDict):
    """What the cache keeps of a verification."""

    state: str
    record_sha256: str
    modified: list[str]


class _Known(TypedDict):
    """The cache file."""

    format: str
    declared: dict[str, _Declared]
    verified: dict[str, _Verified]


@dataclass(frozen=True, slots=True)
class Distribution:
    """An installed distribution.

    Parameters
    ----------
    name : str
        Normalised: lower case, one hyphen between words.
    version : str
        As it declares.
    site : str
        The folder that it is installed in.
    info : str
        The name of its `.dist-info` or `.egg-info` in there.
    requires : tuple of str
        Names that it declares to need, without those of extras.
    top : tuple of str
        First parts of the paths of its files, for example `("numpy", "numpy.libs")`.
    local_root : str or None
        The folder that it was installed from, where that was no index.
    editable : bool
        Whether its modules are imported from there.
    """

    name: str
    version: str
    site: str
    info: str
    requires: tuple[str, ...] = ()
    top: tuple[str, ...] = ()
    local_root: str | None = None
    editable: bool = False


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether a distribution's files are as they came.

    Parameters
    ----------
    record_sha256 : str or None
        Identity of the content: sha256 over the sorted `path,hash` lines of RECORD. Lines that depend on the machine or
        on the installer (scripts, byte code, notes) are left out, so pip and uv agree. None without a RECORD.
    modified : tuple of str
        Paths, relative to the site folder, that are missing or have another content.
    """

    record_sha256: str | None
    modified: tuple[str, ...]


def normalize_name(name: str) -> str:
    """Return a distribution's name as indexes compare it.

    Examples
    --------
    >>> normalize_name("Foo.Bar_baz")
    'foo-bar-baz'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


class InstalledDistributions:
    """The distributions in some folders, with a cache of what was read and verified.

    Parameters
    ----------
    sites : iterable of str
        Folders that hold installed distributions, in the order of the import path: the first of a name counts.
    cache : Path, optional
        A file for what is known by size, times and inode; it may be deleted at any time.

    Notes
    -----
    A file's time of status change counts only while it has one name: installers link files into new environments,
    which changes it for all of them. An edit changes the time of modification all the same.
    """

    def __init__(self, sites: Iterable[str], *, cache: Path | None = None) -> None:
        self._cache = cache
        self._known = _read_cache(cache)
        self._changed = False
        self._records: dict[str, dict[str, str]] = {}
        self.all: dict[str, Distribution] = {}
        for site in dict.fromkeys(sites):
            for distribution in self._scan(site):
                first = self.all.get(distribution.name)
                if first is None or (first.info.endswith(".egg-info") and distribution.info.endswith(".dist-info")):
                    self.all[distribution.name] = distribution
        self._owners: dict[tuple[str, str], list[Distribution]] = {}
        for distribution in self.all.values():
            for part in distribution.top:
                self._owners.setdefault((distribution.site, part), []).append(distribution)
        self._sites = sorted({distribution.site for distribution in self.all.values()}, key=len, reverse=True)

    def owner(self, path: str) -> Distribution | None:
        """Return the distribution that brought a file, or from whose folder it was imported; None where none did.

        Parameters
        ----------
        path : str
            Absolute.
        """
        for site in self._sites:
            if path.startswith(site + os.sep):
                relative = path[len(site) + 1 :].replace(os.sep, "/")
                owners = self._owners.get((site, relative.partition("/")[0]), [])
                if len(owners) > 1:
                    return next((owner for owner in owners if relative in self.record(owner)), owners[0])
                if owners:
                    return owners[0]
        for distribution in self.all.values():
            if distribution.editable and path.startswith(f"{distribution.local_root}{os.sep}"):
                return distribution
        return None

    def with_requirements(self, names: Iterable[str]) -> list[Distribution]:
        """Return the named distributions and what they declare to need, as far as it is installed, sorted by name."""
        waiting, found = list(names), dict[str, Distribution]()
        while waiting:
            name = waiting.pop()
            if name not in found and name in self.all:
                found[name] = self.all[name]
                waiting += self.all[name].requires
        return sorted(found.values(), key=lambda distribution: distribution.name)

    def record(self, distribution: Distribution) -> Mapping[str, str]:
        """Return the files that a distribution brought: path relative to the site folder -> hash as RECORD writes it.

        Files outside of the site folder and byte code are left out; the hash is empty where RECORD has none.
        """
        key = f"{distribution.site}/{distribution.info}"
        if key not in self._records:
            self._records[key] = dict(_record_lines(f"{key}/RECORD"))
        return self._records[key]

    def verify(self, distribution: Distribution) -> Verification:
        """Compare the files on disk with RECORD; files whose state is known by their size and times are not read."""
        record = self.record(distribution)
        if not record:
            return Verification(None, ())
        checked = {path: value for path, value in record.items() if not _is_note(distribution, path)}
        signature, settled = _signature(distribution.site, checked)
        known = self._known["verified"]
        key = f"{distribution.site}/{distribution.info}"
        entry = known.get(key)
        if entry is None or entry["state"] != signature:
            content = "".join(f"{path},{value}\n" for path, value in sorted(checked.items()) if value)
            digest = hashlib.sha256(content.encode(errors="surrogateescape")).hexdigest()
            entry = {"state": signature, "record_sha256": digest, "modified": [*_modified(distribution.site, checked)]}
            if settled:
                known[key] = entry
                self._changed = True
        return Verification(entry["record_sha256"], tuple(entry["modified"]))

    def save(self) -> None:
        """Write the cache, if there is one and anything is new; a cache that cannot be written is done without."""
        if self._cache is not None and self._changed:
            try:
                write_atomic(self._cache, json.dumps(self._known, separators=(",", ":")).encode(), durable=False)
            except OSError:
                return
            self._changed = False

    def _scan(self, site: str) -> Iterator[Distribution]:
        try:
            entries = sorted(entry.name for entry in os.scandir(site))
        except OSError:
            return
        known = self._known["declared"]
        for info in entries:
            if not info.endswith((".dist-info", ".egg-info")):
                continue
            folder = f"{site}/{info}"
            parts = ("", "/METADATA", "/PKG-INFO", "/RECORD", "/direct_url.json")
            state = [_state(folder + part) for part in parts[info.endswith(".dist-info") :]]
            declared = known.get(folder)
            if declared is None or declared["state"] != state:
                declared = known[folder] = _declared(site, info, state)
                self._changed = True
            if declared["name"]:
                yield Distribution(
                    name=declared["name"],
                    version=declared["version"],
                    site=site,
                    info=info,
                    requires=tuple(declared["requires"]),
                    top=tuple(declared["top"]),
                    local_root=declared["local_root"],
                    editable=declared["editable"],
                )


def _read_cache(cache: Path | None) -> _Known:
    if cache is not None:
        try:
            known = json.loads(cache.read_bytes())
        except (OSError, ValueError):
            known = None
        if isinstance(known, dict) and known.get("format") == _FORMAT:
            return cast("_Known", known)
    return {"format": _FORMAT, "declared": {}, "verified": {}}


def _state(path: str) -> str:
    """Return what changes with a file: empty where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116  # for thousands of files: a path object costs more than the call
    except OSError:
        return ""
    changed = status.st_ctime_ns if status.st_nlink == 1 else 0
    return f"{status.st_size},{status.st_mtime_ns},{changed},{status.st_ino}"


def _signature(site: str, paths: Iterable[str]) -> tuple[str, bool]:
    """Return one digest of the states of many files, and whether all are old enough to be known by them."""
    states = [f"{path}\0{_state(f'{site}/{path}')}\n" for path in paths]
    digest = hashlib.sha256("".join(states).encode(errors="surrogateescape")).hexdigest()
    times = (int(state.rpartition("\0")[2].split(",")[1]) for state in states if state[-2] != "\0")
    now = time.time_ns()
    return digest, not any(now - _UNSETTLED_NS < modified < now + _UNSETTLED_NS for modified in times)


def _declared(site: str, info: str, state: list[str]) -> _Declared:
    """Read what a distribution says of itself."""
    folder = Path(site, info)
    about = folder if folder.is_file() else folder / ("METADATA" if info.endswith(".dist-info") else "PKG-INFO")
    name, version, requires = _metadata(about)
    url, editable = _direct_url(folder / "direct_url.json")
    if not folder.name.endswith(".dist-info"):
        top = _words(folder / "top_level.txt")
        if Path(site).name not in {"site-packages", "dist-packages"}:  # it is developed in this very folder
            url, editable = site, True
    else:
        parts = {path.partition("/")[0] for path, _ in _record_lines(f"{site}/{info}/RECORD")}
        top = sorted(parts - {info}) or _words(folder / "top_level.txt")
    return {
        "state": state,
        "name": normalize_name(name),
        "version": version,
        "requires": requires,
        "top": [*top, *(f"{word}.py" for word in top)] if info.endswith(".egg-info") else top,
        "local_root": url,
        "editable": editable,
    }


def _metadata(path: Path) -> tuple[str, str, list[str]]:
    """Return name, version and the names of the requirements, extras left out, of a METADATA or PKG-INFO file."""
    name = version = ""
    requires: dict[str, None] = {}
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                if not line.strip():
                    break  # the description begins
                field, _, value = line.partition(":")
                if field == "Name":
                    name = value.strip()
                elif field == "Version":
                    version = value.strip()
                elif field == "Requires-Dist" and not _OF_EXTRA.search(value):
                    match = _REQUIREMENT.match(value)
                    if match:
                        requires[normalize_name(match[1])] = None
    except OSError:
        pass  # an interrupted installation: no name, so it is not listed
    return name, version, list(requires)


def _direct_url(path: Path) -> tuple[str | None, bool]:
    """Return the local folder that a distribution was installed from, and whether it is imported from there."""
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None, False
    url = urlsplit(str(data.get("url", "")))
    if url.scheme != "file" or "dir_info" not in data:
        return None, False
    return unquote(url.path).rstrip("/"), bool(data["dir_info"].get("editable"))


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _record_lines(path: str) -> Iterator[tuple[str, str]]:
    """Yield `(path, hash)` of the files in a RECORD that lie in the site folder, without byte code."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return
    plain = '"' not in text  # csv costs four times as much, and is hardly ever needed
    rows = (line.rsplit(",", 2) for line in text.splitlines()) if plain else csv.reader(text.splitlines())
    for row in rows:
        if len(row) == 3 and not row[0].startswith(("../", "/")) and not row[0].endswith((".pyc", ".pyo")):
            yield row[0], row[1]


def _is_note(distribution: Distribution, path: str) -> bool:
    """Tell whether a file is the installer's own note, which it may rewrite."""
    folder, _, name = path.rpartition("/")
    return folder == distribution.info and (name in _INSTALLER_NOTES or name.startswith("uv_"))


def _modified(site: str, record: Mapping[str, str]) -> Iterator[str]:
    for path in sorted(record):
        algorithm, _, expected = record[path].partition("=")
        try:
            os.stat(f"{site}/{path}")  # noqa: PTH116  # see _state
            if expected and _hash(f"{site}/{path}", algorithm) != expected.rstrip("="):
                yield path
        except OSError:
            yield path


def _hash(path: str, algorithm: str) -> str:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # see _state
        data = file.read(_SMALL)
        if len(data) < _SMALL:
            digest = hashlib.new(algorithm, data)
        else:
            file.seek(0)
            digest = hashlib.file_digest(file, algorithm)
    return base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
