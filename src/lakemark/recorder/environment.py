"""The environment of a run, seen from inside: interpreter, platform, packages with their integrity, libraries.

Standard library only. Packages are those that the script really loaded, with what they declare to need.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType

from lakemark._base.canonical import Json
from lakemark.recorder.compute import thread_pools
from lakemark.recorder.distributions import Distribution, InstalledDistributions
from lakemark.recorder.secrets import is_secret

__all__ = ["find_installed", "loaded_files", "observe_environment"]

_OURS = "lakemark"
_PACKAGE = str(Path(__file__).parents[1]) + os.sep
_STANDARD = str(Path(os.__file__).parent) + os.sep
_SITES = ("site-packages", "dist-packages")
_STARTED_BY_SITE = frozenset({"_distutils_hack", "_virtualenv"})
"""What `.pth` files load into every process: no choice of the script's, and its builds differ between venvs."""


def find_installed(*, cache: Path | None = None) -> InstalledDistributions:
    """Return the distributions on this process's import path.

    Parameters
    ----------
    cache : Path, optional
        A file that remembers which installed files were verified, so that a second run only looks at their times.
    """
    return InstalledDistributions(_import_path(), cache=cache)


def observe_environment(
    modules: Mapping[str, ModuleType] | None = None, *, installed: InstalledDistributions | None = None
) -> dict[str, Json]:
    """Return the environment of this process, as the receipt spells it but for the lock.

    Parameters
    ----------
    modules : mapping of str to module, optional
        The loaded modules; `sys.modules` where not given. Only what is among them is asked or listed.
    installed : InstalledDistributions, optional
        From `find_installed`, which is called where it is not given.

    Returns
    -------
    dict
        `python` (`version`, `implementation`, `soabi`), `platform` (`system`, `machine`, `libc`), `packages` (each
        `name`, `version`, `record_sha256`, `modified`, `local`; sorted by name), `libraries` (what `threadpoolctl`
        says, if it is loaded), `instrument` (ourselves, which are no input), `how`.

    Notes
    -----
    The first call reads every file of the packages (about 2 ms per MiB); later ones cost a `stat` per file.
    """
    loaded = sys.modules if modules is None else modules
    installed = installed or find_installed()
    used = {
        owner.name
        for name, path in _module_files(loaded)
        if name not in _STARTED_BY_SITE and (owner := installed.owner(path)) is not None
    }
    packages: list[Json] = []
    for distribution in installed.with_requirements(used - {_OURS}):
        if distribution.name == _OURS:
            continue
        verification = installed.verify(distribution)
        packages.append(
            {
                "name": distribution.name,
                "version": distribution.version,
                "record_sha256": verification.record_sha256,
                "modified": list(verification.modified),
                "local": distribution.local_root is not None,
            }
        )
    installed.save()
    return {
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
            "soabi": EXTENSION_SUFFIXES[0].strip(".").rpartition(".")[0] or None,
        },
        "platform": {"system": platform.system(), "machine": platform.machine(), "libc": _libc()},
        "packages": packages,
        "libraries": list(thread_pools(loaded)),
        "instrument": {"name": _OURS, "version": getattr(loaded.get(_OURS), "__version__", None)},
        "how": "observed",
    }


def loaded_files(
    *,
    project: Path,
    modules: Mapping[str, ModuleType] | None = None,
    installed: InstalledDistributions | None = None,
) -> list[dict[str, Json]]:
    """Return the files that the script loaded and that no index can give back.

    They are neither of the standard library, nor of a distribution from an index, nor ours: the project's own modules,
    modules beside it, editable and local packages (of these all files, with their metadata).

    Parameters
    ----------
    project : Path
        The project folder: where a file's place for imports is not known otherwise, it is this.
    modules : mapping of str to module, optional
        The loaded modules; `sys.modules` where not given.
    installed : InstalledDistributions, optional
        As for `observe_environment`.

    Returns
    -------
    list of dict
        `path` (absolute), `module` (its name, None for a package's other files), `import_root` (the folder from which
        its name is found), `distribution` (of a local package, else None). Sorted by path; files that may hold secrets
        are left out.
    """
    loaded = sys.modules if modules is None else modules
    installed = installed or find_installed()
    files: dict[str, dict[str, Json]] = {}
    local: dict[str, Distribution] = {}
    for name, path in _module_files(loaded):
        if path.startswith(_PACKAGE) or _is_standard(path):
            continue
        owner = installed.owner(path)
        if owner is not None and owner.local_root is not None:
            local[owner.name] = owner
        elif owner is not None and _is_recorded(installed, owner, path):
            continue
        files.setdefault(path, _row(path, name, root=_import_root(name, path, project), owner=owner))
    for owner in local.values():
        if owner.name != _OURS:
            for path in _local_files(installed, owner):
                files.setdefault(path, _row(path, None, root=owner.site, owner=owner))
    return [files[path] for path in sorted(files) if Path(path).is_file() and is_secret(path) is None]


def _row(path: str, module: str | None, *, root: str, owner: Distribution | None) -> dict[str, Json]:
    name = owner.name if owner is not None and owner.local_root is not None else None
    return {"path": path, "module": module, "import_root": root, "distribution": name}


def _is_recorded(installed: InstalledDistributions, owner: Distribution, path: str) -> bool:
    """Tell whether an index's distribution brought this file; one that was put beside its files it did not."""
    record = installed.record(owner)
    return not record or path[len(owner.site) + 1 :].replace(os.sep, "/") in record


def _local_files(installed: InstalledDistributions, owner: Distribution) -> Iterator[str]:
    """Yield the files of a local package: all that were copied, or of an editable one its metadata."""
    for relative in installed.record(owner):
        if not owner.editable or relative.startswith(f"{owner.info}/"):
            yield f"{owner.site}/{relative}"


def _module_files(modules: Mapping[str, ModuleType]) -> Iterator[tuple[str, str]]:
    """Yield each module's name and its file, absolute, without waking modules that load lazily."""
    for name, module in list(modules.items()):
        try:
            namespace = object.__getattribute__(module, "__dict__")
        except AttributeError:  # not everything in sys.modules is a module
            continue
        path = namespace.get("__file__")
        if isinstance(path, str):
            yield name, os.path.abspath(path)  # noqa: PTH100  # links stay: distributions are found by this very path


def _import_path() -> list[str]:
    """Return the folders of the import path, absolute, without the standard library's."""
    folders = (os.path.abspath(entry) for entry in sys.path if isinstance(entry, str))  # noqa: PTH100  # as above
    return [folder for folder in folders if not _is_standard(folder + os.sep)]


def _is_standard(path: str) -> bool:
    if not path.startswith(_STANDARD):
        return False
    return path[len(_STANDARD) :].partition(os.sep)[0] not in _SITES


def _import_root(name: str, path: str, project: Path) -> str:
    """Return the folder from which a module's name leads to its file."""
    parts = name.split(".")
    place = Path(path)
    if place.name.partition(".")[0] == "__init__":
        place = place.parent
    folder = place.parent
    names = [place.name.partition(".")[0]]
    for _ in parts[1:]:
        names.insert(0, folder.name)
        folder = folder.parent
    if names == parts:
        return str(folder)
    around = [entry for entry in (*_import_path(), str(project)) if path.startswith(entry + os.sep)]
    return max(around, key=len, default=str(Path(path).parent))


def _libc() -> str | None:
    """Name the C library and its version; None where the system does not say cheaply."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (AttributeError, OSError, ValueError):  # not glibc
        return None
