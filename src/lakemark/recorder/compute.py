"""What a run computes on: processor, instruction sets, cores, memory, threads. Standard library only."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from lakemark._base.canonical import Json
from lakemark.recorder.secrets import THREAD_VARIABLES, allowed_environment

__all__ = ["NUMERIC_ISA", "observe_compute", "thread_pools"]

NUMERIC_ISA = (
    "amx_bf16",
    "amx_int8",
    "amx_tile",
    "asimd",
    "asimddp",
    "asimdhp",
    "avx",
    "avx2",
    "avx512_bf16",
    "avx512_fp16",
    "avx512_vnni",
    "avx512bw",
    "avx512cd",
    "avx512dq",
    "avx512f",
    "avx512vl",
    "avx_vnni",
    "bf16",
    "f16c",
    "fma",
    "i8mm",
    "sse4_1",
    "sse4_2",
    "ssse3",
    "sve",
    "sve2",
)
"""Instruction sets by which numerical libraries choose their kernels, named as Linux names them."""


def observe_compute(
    *, modules: Mapping[str, ModuleType] | None = None, environ: Mapping[str, str] | None = None
) -> dict[str, Json]:
    """Return what this process computes on.

    Parameters
    ----------
    modules : mapping of str to module, optional
        The loaded modules; `sys.modules` where not given. Thread counts are asked of `threadpoolctl` and `torch` only
        if they are among them.
    environ : mapping of str to str, optional
        The environment; `os.environ` where not given.

    Returns
    -------
    dict
        `cpu_model` (str or None), `isa` (sorted list; empty where the system does not say), `cores` (that this process
        may use), `ram_bytes` (of the machine, or None), `threads` (each thread variable's value or None, and
        `effective`: the pools that libraries really opened), `env` (allow-listed variables).

    Examples
    --------
    >>> observe_compute(modules={}, environ={"OMP_NUM_THREADS": "2"})["env"]
    {'OMP_NUM_THREADS': '2'}
    """
    seen = os.environ if environ is None else environ
    model, flags = _processor()
    threads: dict[str, Json] = {name: seen.get(name) for name in THREAD_VARIABLES}
    threads["effective"] = _effective(sys.modules if modules is None else modules)
    return {
        "cpu_model": model,
        "isa": sorted(flags.intersection(NUMERIC_ISA)),
        "cores": _cores(),
        "ram_bytes": _ram_bytes(),
        "threads": threads,
        "env": allowed_environment(seen),
    }


def thread_pools(modules: Mapping[str, ModuleType]) -> list[dict[str, Json]]:
    """Return what `threadpoolctl` says of the BLAS and OpenMP libraries in this process, if it is loaded.

    Parameters
    ----------
    modules : mapping of str to module
        The loaded modules.

    Returns
    -------
    list of dict
        `user_api`, `internal_api`, `version`, `num_threads`, `architecture` of each library (None where unknown),
        sorted; without the library's path, which is this machine's affair.
    """
    threadpoolctl = modules.get("threadpoolctl")
    ask = getattr(threadpoolctl, "threadpool_info", None)
    if ask is None:
        return []
    fields = ("user_api", "internal_api", "version", "num_threads", "architecture")
    pools = [{field: pool.get(field) for field in fields} for pool in ask()]
    return sorted(pools, key=lambda pool: [str(pool[field]) for field in fields])


def _effective(modules: Mapping[str, ModuleType]) -> Sequence[Json]:
    pools: list[Json] = [
        {"library": pool["internal_api"], "user_api": pool["user_api"], "num_threads": pool["num_threads"]}
        for pool in thread_pools(modules)
    ]
    torch_threads = getattr(modules.get("torch"), "get_num_threads", None)
    if torch_threads is not None:
        pools.append({"library": "torch", "user_api": "torch", "num_threads": int(torch_threads())})
    return pools


def _processor() -> tuple[str | None, frozenset[str]]:
    """Return the processor's name and its flags, from `/proc/cpuinfo` where there is one."""
    try:
        with Path("/proc/cpuinfo").open(errors="replace") as file:
            text = file.read(16_384)  # the first processor's lines; the file grows with the number of cores
    except OSError:
        return platform.processor() or None, frozenset()
    first: dict[str, str] = {}
    for line in text.partition("\n\n")[0].splitlines():
        key, _, value = line.partition(":")
        first.setdefault(key.strip().lower(), value.strip())
    flags = frozenset((first.get("flags") or first.get("features") or "").split())
    return first.get("model name") or platform.processor() or platform.machine() or None, flags


def _cores() -> int:
    """Count the cores that this process may use: its affinity, not what the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _ram_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf, others may not know the names
        return None
