from __future__ import annotations

import os
import subprocess
import sys
import time

from lakemark.tracking import processes
from lakemark.tracking.processes import is_alive, process_start


def test_a_process_keeps_its_start() -> None:
    assert process_start(os.getpid()) == process_start(os.getpid()) is not None
    assert is_alive(os.getpid(), process_start(os.getpid()))


def test_two_processes_have_two_starts_and_an_ended_one_has_none() -> None:
    time.sleep(0.02)  # a clock tick is 10 ms
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = process_start(process.pid)
    assert started not in (None, process_start(os.getpid()))
    assert is_alive(process.pid, started)
    assert not is_alive(process.pid, process_start(os.getpid()))  # a number that was used again
    process.communicate(b"\n")
    assert process_start(process.pid) is None
    assert not is_alive(process.pid, started)


def test_a_zombie_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    started = process_start(process.pid)
    assert process.stdout is not None
    process.stdout.read()  # ends when the process has closed it, which is at its end
    for _ in range(1_000):
        if process_start(process.pid) is None:
            break
        time.sleep(0.01)
    assert not is_alive(process.pid, started)
    process.communicate()


def test_where_the_start_is_not_known_the_number_counts() -> None:
    assert is_alive(os.getpid(), None)
    assert is_alive(os.getpid(), "")


def test_ps_tells_the_same_story() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert processes._from_ps(process.pid) is not None
    process.communicate(b"\n")
    assert processes._from_ps(process.pid) is None
