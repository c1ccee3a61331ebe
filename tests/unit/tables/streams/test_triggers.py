from __future__ import annotations

import signal
import threading

import pytest

from lakemark._base.errors import InvalidInputError
from lakemark.tables.streams.triggers import StopRequest, Trigger, check_interval, parse_trigger


def test_triggers_by_name() -> None:
    assert [parse_trigger(kind.value) for kind in Trigger] == list(Trigger)
    with pytest.raises(InvalidInputError, match="no trigger is named 'availableNow', did you mean 'available-now'"):
        parse_trigger("availableNow")


@pytest.mark.parametrize("seconds", [-0.1, float("nan"), float("inf")])
def test_intervals_that_are_none(seconds: float) -> None:
    with pytest.raises(InvalidInputError, match="interval is"):
        check_interval(seconds)


def test_waiting_ends_when_somebody_asks() -> None:
    request = StopRequest()
    threading.Timer(0.01, request.ask).start()
    request.wait(600)
    assert request.made
    request.clear()
    assert not request.made


def test_a_second_signal_does_as_before() -> None:
    request, before = StopRequest(), signal.getsignal(signal.SIGINT)
    with request.by_signals():
        signal.raise_signal(signal.SIGINT)
        assert (request.made, request.signal) == (True, signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_signals_are_left_alone_in_other_threads() -> None:
    seen = []

    def look() -> None:
        with StopRequest().by_signals():
            seen.append(signal.getsignal(signal.SIGINT))

    worker = threading.Thread(target=look)
    worker.start()
    worker.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
