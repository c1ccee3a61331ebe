"""Randomness: where the generators start, which seeds the script sets, and what it draws without a seed.

The global generators start at the plan's root seed. A generator that is made without a seed asks numpy for entropy;
it gets a number derived from the root seed and a counter, so a replay draws the same, and it is written down where in
the script that was. Forked children get real entropy: they would all draw the same otherwise.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TypeVar, cast

from lakemark._base.canonical import Json
from lakemark.recorder.expressions import is_importing, is_user_frame, nearest_frame, seed_call
from lakemark.recorder.imports import after_import, patch_function
from lakemark.recorder.recording import Recording

__all__ = ["Seeds", "install_randomness"]

F = TypeVar("F", bound=Callable[..., object])

_SAFE_INTEGER = 2**53


class Seeds:
    """Writes `seed` and `unseeded` events, each once for a place.

    Parameters
    ----------
    recording : Recording
        Takes them.
    """

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._written: set[tuple[str, str, str]] = set()
        self._local = threading.local()

    def seen(self, api: str, value: object) -> None:
        """Write down a seed that the script set."""
        self._write("seed", api, value=_said(value))

    def unseeded(self, api: str) -> None:
        """Write down that the script made a generator without a seed."""
        self._write("unseeded", api)

    def is_told(self) -> bool:
        """Return True while a call runs that was written down already."""
        return getattr(self._local, "told", False)

    @contextmanager
    def told(self) -> Iterator[None]:
        """Mark a call as written down, for what it calls itself."""
        before = self.is_told()
        self._local.told = True
        try:
            yield
        finally:
            self._local.told = before

    def _write(self, event: str, api: str, **fields: Json) -> None:
        where = self._recording.where()
        key = (f"{event} {api}", repr(fields), where)
        if key not in self._written:
            self._written.add(key)
            self._recording.spool.write(event, api=api, **fields, where=where)


class _Entropy:
    """Stands for `secrets.randbits` in numpy, as long as it is asked in the process that is recorded."""

    def __init__(self, recording: Recording, seeds: Seeds, *, real: Callable[[int], int], derive: bool) -> None:
        self._recording = recording
        self._seeds = seeds
        self._real = real
        self._derive = derive
        self._process = os.getpid()
        self._counter = itertools.count()

    def randbits(self, bits: int) -> int:
        """Return `bits` bits: derived from the root seed, or real ones."""
        if os.getpid() != self._process:
            return self._real(bits)
        if not self._recording.is_ours() and not self._seeds.is_told():
            self._tell()
        if not self._derive:
            return self._real(bits)
        return _derived(self._recording.plan.root_seed, next(self._counter), bits=bits)

    def _tell(self) -> None:
        """Say what asked for entropy, where that is a call in the script.

        numpy asks for entropy in `RandomState(42)` too, before it sets the seed, and classes can't be patched without
        changing what `type` and `isinstance` say. So the expression that is being evaluated is read.
        """
        with self._recording.quiet():
            try:
                found = seed_call(nearest_frame(), project=self._recording.plan.project)
                if found is not None and found.given:
                    self._seeds.seen(f"numpy.random.{found.name}", found.value)
                elif found is not None:
                    self._seeds.unseeded(f"numpy.random.{found.name}")
            except Exception as error:  # noqa: BLE001 - the edge of a hook: a seed that can't be read is no reason to fail
                self._recording.missing("seed", f"{type(error).__name__}: {error}")


class _Seeding:
    """Wraps functions that seed: `random.seed`, `numpy.random.seed`, `default_rng`, `torch.manual_seed`."""

    def __init__(self, recording: Recording, seeds: Seeds, *, derive: bool) -> None:
        self._recording = recording
        self._seeds = seeds
        self._derive = derive
        self._process = os.getpid()

    def wrap(self, api: str, *, parameter: str, entropy: Callable[[], int] | None = None) -> Callable[[F], F]:
        """Return the `wrap` of `patch_function` for one function.

        Parameters
        ----------
        api : str
            What the event calls it.
        parameter : str
            The name of its first parameter, the seed.
        entropy : callable, optional
            Gives the seed for a call without one, where the function itself would ask the system.
        """

        def wrap(original: F) -> F:
            def seeding(*args: object, **kwargs: object) -> object:
                if self._recording.is_ours() or os.getpid() != self._process:
                    return original(*args, **kwargs)
                value = args[0] if args else kwargs.get(parameter)
                self._tell(api, value)
                with self._seeds.told():
                    if value is None and entropy is not None and self._derive:
                        return original(entropy())
                    return original(*args, **kwargs)

            return cast("F", seeding)

        return wrap

    def _tell(self, api: str, value: object) -> None:
        with self._recording.quiet():
            try:
                frame, project = nearest_frame(), self._recording.plan.project
                if value is None and not is_importing(frame, project=project):
                    self._seeds.unseeded(api)
                elif value is not None and is_user_frame(frame, project=project):
                    self._seeds.seen(api, value)
            except Exception as error:  # noqa: BLE001 - the edge of a hook: the script's generator is made whatever we do
                self._recording.missing("seed", f"{type(error).__name__}: {error}")


def install_randomness(recording: Recording, seeds: Seeds, *, seed: bool) -> None:
    """Start the generators and watch seeding, now or when their libraries are imported.

    Parameters
    ----------
    recording : Recording
        Where facts go; its plan has the root seed.
    seeds : Seeds
        Writes the events.
    seed : bool
        Start the global generators and derive unseeded ones. False leaves all draws as they are.
    """
    root = recording.plan.root_seed
    hash_seed = os.environ.get("PYTHONHASHSEED")
    recording.spool.write("randomness", root_seed=root if seed else None, hash_seed=hash_seed, how="observed")
    seeding = _Seeding(recording, seeds, derive=seed)
    reseeds = itertools.count()
    process = os.getpid()

    def install_random(module: ModuleType) -> None:
        if seed:
            module.seed(root)
        derive = lambda: _derived(root, next(reseeds), bits=128)  # noqa: E731 - one line that reads as one
        patch_function(module, "seed", seeding.wrap("random.seed", parameter="a", entropy=derive))

    def install_numpy(module: ModuleType) -> None:
        if os.getpid() != process:  # numpy loads this module late, perhaps in a forked child that is to draw by itself
            return
        _derive_entropy(recording, seeds, derive=seed)
        if seed:
            module.seed(root)
        patch_function(module, "seed", seeding.wrap("numpy.random.seed", parameter="seed"))
        patch_function(module, "default_rng", seeding.wrap("numpy.random.default_rng", parameter="seed"))

    def install_torch(module: ModuleType) -> None:
        if os.getpid() != process:
            return
        if seed:
            module.manual_seed(root)
        patch_function(module, "manual_seed", seeding.wrap("torch.manual_seed", parameter="seed"))

    after_import("random", install_random)
    after_import("numpy.random", install_numpy)
    after_import("torch", install_torch)


def _derive_entropy(recording: Recording, seeds: Seeds, *, derive: bool) -> None:
    """Put our source of entropy where numpy's `SeedSequence` looks for it."""

    def install(module: ModuleType) -> None:
        if not callable(getattr(module, "randbits", None)):
            recording.missing("unseeded generators", "this numpy takes its entropy from elsewhere")
            return

        def wrap(original: F) -> F:
            real = cast("Callable[[int], int]", original)
            return cast("F", _function(_Entropy(recording, seeds, real=real, derive=derive).randbits))

        patch_function(module, "randbits", wrap)

    after_import("numpy.random.bit_generator", install)


def _function(method: Callable[[int], int]) -> Callable[[int], int]:
    """Return a plain function, which takes the marks of a patch that a bound method refuses."""

    def randbits(bits: int) -> int:
        return method(bits)

    return randbits


def _derived(root: int, number: int, *, bits: int) -> int:
    digest = b"".join(
        hashlib.sha256(f"lakemark.entropy/1 {root} {number} {piece}".encode()).digest()
        for piece in range(-(-bits // 256))
    )
    return int.from_bytes(digest) >> (len(digest) * 8 - bits)


def _said(value: object) -> Json:
    """Return a seed as JSON; integers that other languages would round, and objects, become text."""
    if isinstance(value, list | tuple):
        return [_said(item) for item in value]
    to_list = getattr(value, "tolist", None)
    if callable(to_list):
        return _said(to_list())
    if hasattr(value, "entropy"):  # a SeedSequence
        return _said(value.entropy)
    if isinstance(value, bool | float | str):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _SAFE_INTEGER else str(value)
    return type(value).__name__
