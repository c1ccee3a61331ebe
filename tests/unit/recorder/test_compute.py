import os
import subprocess
import sys

import pytest

from lakemark._base.canonical import canonical
from lakemark.recorder.compute import NUMERIC_ISA, observe_compute, thread_pools
from lakemark.recorder.secrets import THREAD_VARIABLES


def test_what_is_seen_is_canonical_json_with_all_fields() -> None:
    facts = observe_compute()
    assert set(facts) == {"cpu_model", "isa", "cores", "ram_bytes", "threads", "env"}
    assert canonical(facts)
    isa = facts["isa"]
    assert isinstance(isa, list)
    assert isa == sorted(isa)
    assert set(isa) <= set(NUMERIC_ISA)


def test_thread_variables_are_all_named_set_or_not() -> None:
    facts = observe_compute(modules={}, environ={"OMP_NUM_THREADS": "3", "HOME": "/x"})
    threads = facts["threads"]
    assert isinstance(threads, dict)
    assert set(threads) == {*THREAD_VARIABLES, "effective"}
    assert threads["OMP_NUM_THREADS"] == "3"
    assert threads["MKL_NUM_THREADS"] is None
    assert threads["effective"] == []
    assert facts["env"] == {"OMP_NUM_THREADS": "3"}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_cores_are_those_of_the_affinity() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from lakemark.recorder.compute import observe_compute; print(observe_compute()['cores'])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"


def test_pools_of_the_real_libraries_carry_no_path() -> None:
    code = (
        "import numpy, scipy.linalg, threadpoolctl, sys;"
        "from lakemark.recorder.compute import observe_compute, thread_pools;"
        "pools = thread_pools(sys.modules); assert pools, pools;"
        "assert set(pools[0]) == {'user_api', 'internal_api', 'version', 'num_threads', 'architecture'}, pools;"
        "print(observe_compute()['threads']['effective'][0]['num_threads'])"
    )
    environ = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ)
    assert done.stdout == "1\n"


def test_nothing_is_imported_to_ask() -> None:
    assert thread_pools({}) == []
