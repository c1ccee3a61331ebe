"""Detours: in a replay, `open` and the functions of `os` go where the world says. A recorded run needs none of them."""

from __future__ import annotations

import builtins
import contextlib
import functools
import io
import os
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar, cast

from lakemark.recorder import imports
from lakemark.recorder.recording import Recording
from lakemark.recorder.redirects import World

if TYPE_CHECKING:
    from _typeshed.importlib import PathEntryFinderProtocol

__all__ = ["install_detours"]

_LOOKS = ("access", "chdir", "lstat", "readlink", "stat", "statvfs")
_LISTS = ("listdir", "scandir")
_CHANGES = ("chmod", "chown", "remove", "truncate", "unlink", "utime")
_MAKES = ("mkdir", "rmdir")
_MOVES = ("rename", "replace")
_FEATURE_SETS = ("supports_dir_fd", "supports_effective_ids", "supports_fd", "supports_follow_symlinks")

F = TypeVar("F", bound=Callable[..., object])
Place = Callable[[str], str]


class _Detour:
    """A function whose first paths are mapped.

    An object and not a function, because the functions that it stands for do not bind as methods either.
    """

    def __init__(self, function: Callable[..., object], recording: Recording, places: tuple[Place | None, ...]) -> None:
        self._function = function
        self._recording = recording
        self._places = places

    def __call__(self, *args: object, **kwargs: object) -> object:
        if args and not self._recording.is_ours() and not _is_relative_to_descriptor(kwargs):
            with self._recording.quiet():
                mapped = tuple(map(_map_path, args, self._places))
            args = (*mapped, *args[len(mapped) :])
        elif "path" in kwargs and not self._recording.is_ours() and not _is_relative_to_descriptor(kwargs):
            with self._recording.quiet():
                kwargs["path"] = _map_path(kwargs["path"], self._places[0])
        return self._function(*args, **kwargs)


class _OpenDetour:
    """`open` and `os.open`: whether a path is read or written depends on the mode or the flags."""

    def __init__(self, function: Callable[..., object], recording: Recording, world: World) -> None:
        self._function = function
        self._recording = recording
        self._world = world

    def __call__(self, *args: object, **kwargs: object) -> object:
        opener = args[7] if len(args) > 7 else kwargs.get("opener")  # it opens, by os.open most often
        if opener is None and not self._recording.is_ours() and not _is_relative_to_descriptor(kwargs):
            name = next((key for key in ("file", "path") if key in kwargs), None)
            how = args[1] if len(args) > 1 else kwargs.get("mode" if name != "path" else "flags", kwargs.get("flags"))
            with self._recording.quiet():
                if args:
                    args = (_map_path(args[0], self._place(how)), *args[1:])
                elif name is not None:
                    kwargs[name] = _map_path(kwargs[name], self._place(how))
        return self._function(*args, **kwargs)

    def _place(self, how: object) -> Place | None:
        if isinstance(how, int):
            if how & getattr(os, "O_TMPFILE", 0) == getattr(os, "O_TMPFILE", -1):
                return None
            writes, keep = bool(how & (os.O_WRONLY | os.O_RDWR)), not how & os.O_TRUNC
        else:
            mode = how if isinstance(how, str) else "r"
            writes, keep = any(letter in mode for letter in "wax+"), "w" not in mode and "x" not in mode
        if not writes:
            return self._world.to_open_folder if isinstance(how, int) else self._world.to_read
        return lambda path: self._world.to_write(path, keep=keep)


def install_detours(recording: Recording, world: World) -> None:
    """Send the paths of the original world to where they are in this one, until the hooks are uninstalled.

    Parameters
    ----------
    recording : Recording
        Our own code takes no detour.
    world : World
        Says where.
    """
    if world.redirect is None:
        return
    change = functools.partial(world.to_write, keep=True)
    for owner in (builtins, io, os):
        imports.patch_function(owner, "open", lambda function: _OpenDetour(function, recording, world))
    for names, places in (
        (_LOOKS, (world.to_read,)),
        (_LISTS, (world.to_list,)),
        (_CHANGES, (change,)),
        (_MAKES, (world.to_write,)),
        (_MOVES, (change, world.to_write)),
        (("link",), (world.to_read, world.to_write)),
        (("symlink",), (world.to_link, world.to_write)),
    ):
        for name in names:
            _detour(name, recording, places)
    databases = (("sqlite3.dbapi2", "connect", change), ("sqlite3", "connect", change))
    for module, name, place in (("shutil", "rmtree", world.to_remove_tree), *databases):
        wrap = functools.partial(_Detour, recording=recording, places=(place,))
        imports.after_import(module, functools.partial(imports.patch_function, name=name, wrap=wrap))
    imports.after_import("lightgbm.basic", functools.partial(_detour_saves, recording=recording, world=world))
    imports.after_import("glob", functools.partial(_detour_globs, recording=recording, world=world))
    _find_modules_in(world, recording)


def _detour_globs(module: ModuleType, *, recording: Recording, world: World) -> None:
    """Map what `pathlib` lists from Python 3.13 on: its globber took the functions of `os` when it was imported."""
    globber = getattr(module, "_StringGlobber", None)
    if globber is not None:
        for name, place in (("scandir", world.to_list), ("lstat", world.to_read)):
            wrap = functools.partial(_Detour, recording=recording, places=(place,))
            imports.patch_function(globber, name, wrap)


def _detour_saves(module: ModuleType, *, recording: Recording, world: World) -> None:
    """Map the files that LightGBM writes by itself, in C++."""

    def wrap(function: F) -> F:
        def save(owner: object, filename: object, *args: object, **kwargs: object) -> object:
            with recording.quiet():
                place = _map_path(filename, world.to_write)
            return function(owner, place, *args, **kwargs)

        return cast("F", save)

    for kind, name in ((module.Booster, "save_model"), (module.Dataset, "save_binary")):
        imports.patch_function(kind, name, wrap)


def _detour(name: str, recording: Recording, places: tuple[Place | None, ...]) -> None:
    original = getattr(os, name, None)
    imports.patch_function(os, name, lambda function: _Detour(function, recording, places))
    for features in (getattr(os, feature) for feature in _FEATURE_SETS):
        if original in features:
            features.add(getattr(os, name))  # libraries ask whether `os.stat in os.supports_dir_fd`


def _find_modules_in(world: World, recording: Recording) -> None:
    """Import what the script puts on `sys.path` by an absolute path as it was: from the rebuilt project, or the mirror.

    Of a folder outside of the project the mirror has the modules that the original run loaded; others are found where
    they are.
    """

    def find_in(place: str) -> PathEntryFinderProtocol:
        for hook in sys.path_hooks:
            if hook is not find:
                with contextlib.suppress(ImportError):
                    return hook(place)
        raise ImportError(place)

    def find(path: str) -> PathEntryFinderProtocol:
        with recording.quiet():
            place, mirror = world.to_read(path), world.mirror(path)
        if place != path and world.in_project(world.name(path)):
            return find_in(place)
        if mirror is not None:
            return _FirstOf(find_in(mirror), find_in(path) if Path(path).is_dir() else None)
        raise ImportError(path)

    sys.path_hooks.insert(0, find)
    imports.at_uninstall(lambda: sys.path_hooks.remove(find))


class _FirstOf:
    """Finds modules in one folder, and in another what the first does not have."""

    def __init__(self, *finders: PathEntryFinderProtocol | None) -> None:
        self._finders = [finder for finder in finders if finder is not None]

    def find_spec(self, name: str, target: ModuleType | None = None, /) -> ModuleSpec | None:
        found = [spec for finder in self._finders if (spec := finder.find_spec(name, target)) is not None]
        return next((spec for spec in found if spec.loader is not None), found[0] if found else None)

    def invalidate_caches(self) -> None:
        for finder in self._finders:
            getattr(finder, "invalidate_caches", lambda: None)()


def _map_path(path: object, place: Place | None) -> object:
    """Map a path in the type that it was given in; what is no path, or leads to the same place, stays as it is."""
    if place is None or isinstance(path, int) or not isinstance(path, str | bytes | os.PathLike):
        return path
    plain = os.fspath(path)
    text = os.fsdecode(plain)
    mapped = place(text)
    if mapped == text:
        return path
    return os.fsencode(mapped) if isinstance(plain, bytes) else mapped


def _is_relative_to_descriptor(kwargs: dict[str, object]) -> bool:
    return any(kwargs.get(name) is not None for name in ("dir_fd", "src_dir_fd", "dst_dir_fd"))
