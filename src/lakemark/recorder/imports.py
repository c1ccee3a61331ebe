"""Post-import hooks and patches: how the recorder gets at a library without importing it for the user.

A finder at the head of `sys.meta_path` asks the other finders for the modules that somebody waits for, and lends their
spec a loader that executes the module as its own loader would and then calls who waits. Before the module's code runs,
its own loader is back in `module.__spec__` and `module.__loader__`, so `pickle`, `inspect` and `importlib.resources`
meet nothing of ours. The finder is the only state, and it is the interpreter's (`sys.meta_path`), not this module's.
"""

from __future__ import annotations

import functools
import inspect
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import BuiltinFunctionType, ModuleType
from typing import TypeVar

__all__ = ["after_import", "at_uninstall", "failures", "patch_function", "uninstall"]

F = TypeVar("F", bound=Callable[..., object])

_MARK = "__lakemark_patch__"


def after_import(name: str, install: Callable[[ModuleType], None]) -> None:
    """Call `install(module)` now where the module is imported already, else after its import, and after a reload.

    Parameters
    ----------
    name : str
        The module, with dots: `"pandas"`, `"polars.io.delta"`.
    install : callable
        Gets the executed module. What it raises never reaches the importing script; see `failures`.

    Examples
    --------
    >>> after_import("sys", lambda module: print(module.__name__))
    sys
    >>> uninstall()
    """
    watch = _watch() or _start_watch()
    watch.add(name, install)
    module = sys.modules.get(name)
    if module is None:
        return
    spec = _spec_of(module)
    if type(module).__name__ == "_LazyModule":  # importlib.util.LazyLoader's: any attribute would wake it
        watch.lend(spec)
    elif not getattr(spec, "_initializing", False) or not watch.waits_in(spec):
        watch.call(install, module)


def patch_function(owner: object, name: str, wrap: Callable[[F], F]) -> None:
    """Replace `owner.name` by `wrap(original)` until `uninstall`.

    Parameters
    ----------
    owner : module or class
        Where the function is bound. Where the function's own module binds the same object (a package that re-exports
        it), that binding is replaced too, so that it is still pickled by its name.
    name : str
        The attribute. Static and class methods stay what they are.
    wrap : callable
        Gets the plain original function and returns the one to use instead, which takes over its name, docstring and
        signature.

    Notes
    -----
    A function that is patched already, or is not there, is left alone.
    """
    raw = inspect.getattr_static(owner, name, None)
    kind = type(raw) if isinstance(raw, staticmethod | classmethod) else None
    original = raw.__func__ if isinstance(raw, staticmethod | classmethod) else raw
    if not callable(original) or hasattr(original, _MARK):
        return
    wrapper = wrap(original)  # type: ignore[arg-type]  # whatever is bound there is what the caller's F stands for
    functools.update_wrapper(wrapper, original)
    setattr(wrapper, _MARK, True)
    watch = _watch() or _start_watch()
    watch.bind(owner, name, kind(wrapper) if kind else wrapper)
    home = None if type(original) is BuiltinFunctionType else sys.modules.get(getattr(original, "__module__", "") or "")
    if kind is None and home is not None and home is not owner and vars(home).get(name) is original:
        watch.bind(home, name, wrapper)


def at_uninstall(stop: Callable[[], None]) -> None:
    """Call `stop()` once at the next `uninstall`: for hooks that the interpreter never lets go, like audit hooks."""
    (_watch() or _start_watch()).stops.append(stop)


def failures() -> tuple[tuple[str, str], ...]:
    """Return `(module, what went wrong)` for each hook that raised since the first `after_import`."""
    watch = _watch()
    return tuple(watch.failed) if watch else ()


def uninstall() -> None:
    """Put every patched function back and wait for no module any more."""
    watch = _watch()
    if watch is not None:
        sys.meta_path.remove(watch)
        watch.restore()


@dataclass(frozen=True, slots=True)
class _Binding:
    """One attribute that was replaced, and what was there."""

    owner: object
    name: str
    before: object
    after: object
    own: bool


class _Watch(MetaPathFinder):
    """The finder, with who waits for which module and what was replaced."""

    def __init__(self) -> None:
        self.failed: list[tuple[str, str]] = []
        self.stops: list[Callable[[], None]] = []
        self._installs: dict[str, list[Callable[[ModuleType], None]]] = {}
        self._bindings: list[_Binding] = []
        self._finding = threading.local()
        self._lock = threading.RLock()

    def add(self, name: str, install: Callable[[ModuleType], None]) -> None:
        with self._lock:
            self._installs.setdefault(name, []).append(install)

    def bind(self, owner: object, name: str, value: object) -> None:
        """Set an attribute and remember what was there."""
        with self._lock:
            before = inspect.getattr_static(owner, name, None)
            own = name in getattr(owner, "__dict__", {})
            setattr(owner, name, value)
            self._bindings.append(_Binding(owner, name, before, value, own))

    def restore(self) -> None:
        """Put back what is still ours; what somebody else replaced since then is theirs."""
        for stop in self.stops:
            stop()
        with self._lock:
            for binding in reversed(self._bindings):
                if inspect.getattr_static(binding.owner, binding.name, None) is not binding.after:
                    continue
                if binding.own:
                    setattr(binding.owner, binding.name, binding.before)
                else:
                    delattr(binding.owner, binding.name)
            self._bindings.clear()
            self._installs.clear()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find what the other finders find, and lend its spec our loader; None for what nobody waits for."""
        if fullname not in self._installs:
            return None
        busy: set[str] = self._finding.__dict__.setdefault("names", set())
        if fullname in busy:  # another tool's finder asks all finders, as we do
            return None
        busy.add(fullname)
        try:
            spec = self._ask_others(fullname, path, target)
        finally:
            busy.discard(fullname)
        if spec is not None:
            self.lend(spec)
        return spec

    def lend(self, spec: ModuleSpec | None) -> None:
        """Make the module of `spec` call who waits when it was executed."""
        loader = spec.loader if spec is not None else None
        if spec is not None and loader is not None and not isinstance(loader, _Lent) and hasattr(loader, "exec_module"):
            spec.loader = _Lent(loader, self)

    def waits_in(self, spec: ModuleSpec | None) -> bool:
        """Return True where the module is being executed by a loader that we lent."""
        return spec is not None and spec.name in self._finding.__dict__.get("executing", set())

    def execute(self, loader: Loader, module: ModuleType) -> None:
        """Execute a module with its own loader, then call who waits for it."""
        executing: set[str] = self._finding.__dict__.setdefault("executing", set())
        executing.add(module.__name__)
        try:
            loader.exec_module(module)
        finally:
            executing.discard(module.__name__)
        module = sys.modules.get(module.__name__, module)  # a module may put another object into its place
        for install in list(self._installs.get(module.__name__, ())):
            self.call(install, module)

    def call(self, install: Callable[[ModuleType], None], module: ModuleType) -> None:
        """Call one hook; this is the edge at which its failures stop."""
        try:
            install(module)
        except Exception as error:  # noqa: BLE001 - the edge of a hook: the user's import must go on
            self.failed.append((module.__name__, f"{type(error).__name__}: {error}"))

    def _ask_others(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        for finder in list(sys.meta_path):
            find: Callable[..., ModuleSpec | None] | None = getattr(finder, "find_spec", None)
            if finder is not self and find is not None and (spec := find(name, path, target)) is not None:
                return spec
        return None


class _Lent(Loader):
    """The loader that a spec has between being found and being executed; everything else is its own loader's."""

    def __init__(self, loader: Loader, watch: _Watch) -> None:
        self.loader = loader
        self.watch = watch

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        spec = _spec_of(module)
        if spec is not None and spec.loader is self:
            spec.loader = self.loader
        if module.__loader__ is self:
            module.__loader__ = self.loader
        self.watch.execute(self.loader, module)

    def __getattr__(self, name: str) -> object:
        return getattr(self.loader, name)


def _spec_of(module: ModuleType) -> ModuleSpec | None:
    """Return a module's spec without waking a lazy module."""
    try:
        spec = object.__getattribute__(module, "__spec__")
    except AttributeError:
        return None
    return spec if isinstance(spec, ModuleSpec) else None


def _watch() -> _Watch | None:
    return next((finder for finder in sys.meta_path if isinstance(finder, _Watch)), None)


def _start_watch() -> _Watch:
    watch = _Watch()
    sys.meta_path.insert(0, watch)
    return watch
