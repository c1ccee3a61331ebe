"""The lock: the packages of a run as a requirements list with the hashes of every file that the index has for them.

The text has the form that `pip install --require-hashes` and `uv pip sync` read. It names no index and no machine.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lakemark._base.canonical import Json, canonical, digest
from lakemark._base.files import write_atomic
from lakemark._base.hashing import sha256_bytes
from lakemark.capture.uv import Outcome, find_uv, run_installer

__all__ = ["Lock", "Unlocked", "make_lock"]

_FORMAT = "lakemark.lock/1"
_OPTIONS = ("--no-deps", "--generate-hashes", "--no-header", "--no-annotate", "--quiet", "--no-python-downloads")
_NETWORK = re.compile(r"Failed to fetch|Request failed|error sending request|Failed to download|timed out|dns error")
_NAMED = re.compile(
    r"(?:Because |and |no version of |that )(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:==\S+)? "
    r"(?P<why>was not found in the package registry|was not found in the cache|has no wheels|needs to be downloaded|"
    r"has no usable wheels|was not found in the provided package locations)"
)
_NO_VERSION = re.compile(r"there is no version of (?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==")
_BUILD = re.compile(r"Failed to (?:build|prepare|fetch)[^`]*`(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?: @ |==)")
_OFFLINE = "the index could not be reached, and uv's cache does not have it"


@dataclass(frozen=True, slots=True)
class Unlocked:
    """A package that the lock lacks, or has no hash for.

    Parameters
    ----------
    name : str
        The package.
    why : str
        The reason, for people.
    """

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock.

    Parameters
    ----------
    text : str
        Requirements with hashes.
    sha256 : str
        Of the text.
    complete : bool
        Whether an environment can be rebuilt from it alone.
    missing : tuple of Unlocked
        What keeps it from being complete, sorted by name.
    """

    text: str
    sha256: str
    complete: bool
    missing: tuple[Unlocked, ...] = ()


def make_lock(
    packages: Iterable[Mapping[str, Json]],
    *,
    cache: Path,
    python_version: str,
    use_uv: bool = True,
    seconds: float = 300.0,
) -> Lock:
    """Lock packages at the versions that they have.

    Parameters
    ----------
    packages : iterable of mapping
        As the `environment` event lists them: `name`, `version`, `local`. Local packages are left out: no index has
        them, their files are stored with the code.
    cache : Path
        A folder that remembers locks by the set of packages, so that one is made once per environment.
    python_version : str
        For example `"3.11.7"`.
    use_uv : bool, default True
        False makes the lock that a machine without uv gets: versions, and no hashes.
    seconds : float, default 300
        How long to wait for the index in all.

    Notes
    -----
    A package that the index does not have is named in `missing` and spoils nothing else. Without a network, what uv
    has in its cache is locked. Takes about a second; asks the index for each package.
    """
    pins = sorted({(str(row["name"]), str(row["version"])) for row in packages if not row.get("local")})
    remembered = cache / "locks" / f"{digest([_FORMAT, python_version, [list(pin) for pin in pins]])}.json"
    known = _read(remembered) if use_uv else None
    if known is not None:
        return known
    uv = find_uv() if use_uv else None
    if uv is None:
        text = "".join(f"{name}=={version}\n" for name, version in pins)
        return _lock(text, {name: "uv is not installed, so there is no hash" for name, _ in pins})
    attempt = _Attempt(uv, python_version=python_version, until=time.monotonic() + seconds)
    text = attempt.compile(pins)
    unhashed = _unhashed(text)
    lock = _lock(text, attempt.missing | unhashed)
    if not (attempt.offline or attempt.late or unhashed):
        _remember(remembered, lock)
    return lock


@dataclass(slots=True)
class _Attempt:
    """One making of a lock, which takes out what cannot be locked until the rest can."""

    uv: Path
    python_version: str
    until: float
    missing: dict[str, str] = field(default_factory=dict)
    offline: bool = False
    late: bool = False

    def compile(self, pins: Sequence[tuple[str, str]]) -> str:
        """Return the lock of those that can be locked."""
        left = list(pins)
        while left:
            outcome, text = self._ask(left)
            if outcome.exit_code == 0:
                return text
            if outcome.exit_code is None:
                self.late = True
                self.missing |= dict.fromkeys((name for name, _ in left), outcome.said)
                return ""
            named = self._named(outcome.said, left)
            if not named and _NETWORK.search(outcome.said) and not self.offline:
                self.offline = True
            elif named:
                self.offline = self.offline or _OFFLINE in named.values()
                self.missing |= named
                left = [pin for pin in left if pin[0] not in named]
            elif len(left) == 1:
                self.missing[left[0][0]] = _OFFLINE if self.offline else _first_line(outcome.said)
                return ""
            else:
                half = len(left) // 2
                return self.compile(left[:half]) + self.compile(left[half:])
        return ""

    def _ask(self, pins: Sequence[tuple[str, str]]) -> tuple[Outcome, str]:
        with tempfile.TemporaryDirectory(prefix="lakemark-lock-") as name:
            folder = Path(name)
            (folder / "pins.in").write_text("".join(f"{package}=={version}\n" for package, version in pins))
            command: list[str | Path] = [self.uv, "pip", "compile", *_OPTIONS, "--python", sys.executable]
            command += ["--python-version", self.python_version, "--output-file", "pins.lock", "pins.in"]
            command += ["--offline"] if self.offline else []
            outcome = run_installer(command, folder=folder, seconds=max(self.until - time.monotonic(), 1.0))
            return outcome, (folder / "pins.lock").read_text() if outcome.exit_code == 0 else ""

    def _named(self, said: str, pins: Sequence[tuple[str, str]]) -> dict[str, str]:
        """Read out of uv's words which of the packages it cannot lock, and why."""
        versions = dict(pins)
        plain = " ".join(said.split())
        return {name: why for name, why in self._reasons(plain, versions) if name in versions}

    def _reasons(self, said: str, versions: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        for match in _NO_VERSION.finditer(said):
            yield match["name"], f"the index has no version {versions.get(match['name'])}"
        for match in _NAMED.finditer(said):
            if match["why"].startswith(("has no", "needs")):
                yield (
                    match["name"],
                    f"no wheel fits Python {self.python_version} on this platform, and it has no source",
                )
            elif "cache" in match["why"]:
                yield match["name"], _OFFLINE
            else:
                yield match["name"], "the index does not have it"
        if not _NETWORK.search(said):
            for match in _BUILD.finditer(said):
                yield match["name"], "its source distribution could not be built"


def _lock(text: str, missing: Mapping[str, str]) -> Lock:
    unlocked = tuple(Unlocked(name, missing[name]) for name in sorted(missing))
    return Lock(text, sha256_bytes(text.encode()), complete=not unlocked, missing=unlocked)


def _unhashed(text: str) -> dict[str, str]:
    """Return the packages that stand in a lock without a hash, as those of an index that is a mere folder of files."""
    requirements = text.replace("\\\n", " ").splitlines()
    bare = (line.partition("==")[0].strip() for line in requirements if "==" in line and "--hash=" not in line)
    return dict.fromkeys(bare, "the index has no hash for it")


def _first_line(said: str) -> str:
    lines = [line.strip().removeprefix("error: ") for line in said.splitlines() if line.strip()]
    return lines[0] if lines else "uv gave no reason"


def _read(path: Path) -> Lock | None:
    try:
        data = json.loads(path.read_bytes())
        return _lock(data["text"], data["missing"])
    except (OSError, ValueError, KeyError, TypeError):  # not there, or damaged: it is made again
        return None


def _remember(path: Path, lock: Lock) -> None:
    missing: dict[str, Json] = {entry.name: entry.why for entry in lock.missing}
    try:
        write_atomic(path, canonical({"text": lock.text, "missing": missing}), durable=False)
    except OSError:
        return  # a cache that cannot be written is done without
