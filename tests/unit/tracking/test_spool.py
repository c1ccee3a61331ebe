import math
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lakemark.tracking.spool import EVENTS_NAME, Spool, is_held, read_events


def test_events_come_back_in_order_with_their_ends(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "run")
    spool.write("metric", key="rmse", value=math.nan)
    spool.write("finished")
    spool.close()
    events = list(read_events(tmp_path / "run"))
    assert [event["event"] for _, event in events] == ["metric", "finished"]
    assert math.isnan(events[0][1]["value"])  # type: ignore[arg-type]  # a metric's value is a number
    assert [event["event"] for _, event in read_events(tmp_path / "run", offset=events[0][0])] == ["finished"]


def test_a_torn_last_line_is_left_for_later(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.write("metric", key="a", value=1.0)
    with (tmp_path / EVENTS_NAME).open("ab") as file:
        file.write(b'{"event": "met')
    assert len(list(read_events(tmp_path))) == 1


def test_what_follows_a_torn_line_is_kept(tmp_path: Path) -> None:
    (tmp_path / EVENTS_NAME).write_bytes(b'{"event": "met')
    spool = Spool(tmp_path)
    spool.write("metric", key="a", value=1.0)
    spool.write("metric", key="b", value=2.0)
    assert [event["key"] for _, event in read_events(tmp_path)] == ["a", "b"]


def test_a_spool_is_held_as_long_as_somebody_has_it_open(tmp_path: Path) -> None:
    first, second = Spool(tmp_path), Spool(tmp_path)
    first.close()
    assert is_held(tmp_path)
    second.close()
    assert not is_held(tmp_path)
    assert not is_held(tmp_path / "nothing")


def test_a_run_without_events_has_none(tmp_path: Path) -> None:
    assert list(read_events(tmp_path)) == []


def test_threads_write_whole_lines(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: spool.write("metric", key="k" * 500, value=number), range(2_000)))
    assert {event["value"] for _, event in read_events(tmp_path)} == set(range(2_000))


_WRITER = """
import sys
from pathlib import Path
from lakemark.tracking.spool import Spool
spool = Spool(Path(sys.argv[1]))
for number in range(10**9):
    spool.write("metric", key="x", value=number)
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    while int(process.stdout.readline()) < 500:
        time.sleep(0)
    process.kill()
    acknowledged = [int(line) for line in process.stdout.read().split(b"\n")[:-1] if line]
    process.stdout.close()
    process.wait()
    values = [event["value"] for _, event in read_events(tmp_path)]
    assert values == list(range(len(values)))
    assert not acknowledged or values[-1] >= acknowledged[-1]  # type: ignore[operator]  # the values are numbers
