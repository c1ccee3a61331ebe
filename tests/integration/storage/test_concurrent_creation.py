from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sqlalchemy import text

from lakemark.storage.database import open_database

PROGRAM = """
import sys
from pathlib import Path
from sqlalchemy import text
from lakemark.storage.database import open_database

path, number = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
with open_database(path) as database, database.write() as connection:
    connection.execute(text("INSERT INTO experiments (name, created_ms) VALUES (:name, 1)"), {"name": number})
"""


def test_four_processes_create_one_database_at_once(tmp_path: Path) -> None:
    path = tmp_path / "lakemark.db"
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PROGRAM, str(path), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:  # all have imported what they need, and start together
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ended = [(process.communicate()[1], process.returncode) for process in processes]
    assert ended == [("", 0)] * 4
    with open_database(path) as database, database.read() as connection:
        names = connection.execute(text("SELECT name FROM experiments ORDER BY name")).scalars().all()
    assert names == ["0", "1", "2", "3"]
