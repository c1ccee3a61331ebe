"""Symbolic links of a restored snapshot: one that led out of the project leads into the replay's own folders.

Data folders are often links. In a rebuilt world such a link would hand the script today's files, and let it write into
them. It is turned to the mirror, where the stored content of what the run read is laid.
"""

# Names of the original world are compared as text: their folders may be gone, and pathlib keeps `..`.
# ruff: noqa: PTH118, PTH120

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

__all__ = ["turn_links"]

_SYSTEM = ("/dev/", "/etc/", "/proc/", "/sys/")


def turn_links(project: Path, *, original: str, mirror: Path, files: Collection[str]) -> None:
    """Turn the links below a folder that lead out of it.

    Parameters
    ----------
    project : Path
        The restored project, without links on its own way.
    original : str
        The project folder of the original run, absolute.
    mirror : Path
        The folder that repeats absolute paths.
    files : collection of str
        Absolute paths of the files that the run read: a link of such a name leads to a file, and not to a folder.
    """
    for link in list(_links(project)):
        name = os.path.join(original, link.relative_to(project))
        target = os.path.normpath(os.path.join(os.path.dirname(name), link.readlink()))
        if target == original or target.startswith(original + os.sep):
            place = project / Path(target).relative_to(original)
        elif target.startswith(_SYSTEM):
            continue
        else:
            place = mirror / target.lstrip(os.sep)
            is_file = name in files or target in files or Path(target).is_file()
            (place.parent if is_file else place).mkdir(parents=True, exist_ok=True)
        link.unlink()
        link.symlink_to(place)


def _links(folder: Path) -> Iterator[Path]:
    for above, folders, names in os.walk(folder):
        for name in (*folders, *names):
            if (path := Path(above, name)).is_symlink():
                yield path
