"""Tables to work with, among them ones that `deltalake` can read but not write."""

from __future__ import annotations

import json
import os
import shutil
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pytest

from lakemark.config.home import create_home
from lakemark.storage.database import open_database
from lakemark.storage.objects import ObjectStore
from lakemark.tables.pinning.markers import MarkedPins
from lakemark.tables.table import Table
from lakemark.tracking.pins import SqlPinStore

MakeTable = Callable[..., Table]
Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """A table with two versions: rows 1 and 2, then 3 too."""
    made = Table(tmp_path / "sales")
    made.create(pa.table({"day": [1, 2], "amount": [9.5, None], "shop": ["a b", "c/d"]}))
    made.append(pa.table({"day": [3], "amount": [1.0], "shop": ["é"]}))
    return made


@pytest.fixture
def deletion_table(tmp_path: Path) -> MakeTable:
    """Make a table of ten rows in one file: version 1 deletes rows 1 and 4 by a vector, version 2 (if any) 5 too."""

    def make(storage: str, *, versions: int = 2) -> Table:
        made = Table(tmp_path / f"vectors-{storage}")
        made.create(pa.table({"x": list(range(10))}))
        for version in range(1, versions):
            delete_rows(Path(made.uri), [1, 4, 5][: version + 1], storage=storage, version=version)
        return made

    return make


@pytest.fixture
def cleaned(tmp_path: Path) -> tuple[Table, list[bytes]]:
    """A table of five versions (each one row, its own number) whose log opens only 3 and 4; and all manifests."""
    made = Table(tmp_path / "cleaned")
    made.create(pa.table({"x": [0]}))
    manifests = [made.manifest().to_json()]
    for number in range(1, 5):
        if number == 4:
            made.open().create_checkpoint()
            for entry in (Path(made.uri) / "_delta_log").iterdir():
                os.utime(entry, (1_000_000_000, 1_000_000_000))
        made.overwrite(pa.table({"x": [number]}))
        manifests.append(made.manifest().to_json())
    # the explicit call cleans by the retention that the table has, so the log is made older than that
    made.open().cleanup_metadata()
    return made, manifests


@pytest.fixture
def home_pins(tmp_path: Path) -> Iterator[MarkedPins]:
    """The pins of a new home."""
    home = create_home(tmp_path)
    with open_database(home.database) as database:
        yield MarkedPins(SqlPinStore(database), ObjectStore(home.objects), home)


@pytest.fixture
def borrower(table: Table, tmp_path: Path) -> Table:
    """A table whose log names the files of `table` by absolute paths, as the shallow clones of other engines do."""
    folder = tmp_path / "borrower"
    shutil.copytree(Path(table.uri) / "_delta_log", folder / "_delta_log")
    for commit in folder.glob("_delta_log/*.json"):
        lines = [json.loads(line) for line in commit.read_text().splitlines()]
        for line in lines:
            if "add" in line:
                line["add"]["path"] = f"file://{table.uri}/{line['add']['path']}"
        commit.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Table(folder)


def delete_rows(folder: Path, rows: Sequence[int], *, storage: str, version: int) -> None:
    """Commit a version by hand: a deletion vector in a file (`u`) or inline (`i`), after Delta's protocol."""
    bitmap = struct.pack("<IIHHI", 12346, 1, 0, len(rows) - 1, 16) + b"".join(struct.pack("<H", row) for row in rows)
    data = struct.pack("<IQI", 1681511377, 1, 0) + bitmap
    vector: dict[str, object] = {"storageType": storage, "sizeInBytes": len(data), "cardinality": len(rows)}
    if storage == "u":
        name = UUID(int=version)
        blob = b"\x01" + struct.pack(">I", len(data)) + data + struct.pack(">I", zlib.crc32(data))
        (folder / f"deletion_vector_{name}.bin").write_bytes(blob)
        vector |= {"pathOrInlineDv": z85(name.bytes), "offset": 1}
    else:
        vector["pathOrInlineDv"] = z85(data + b"\0" * (-len(data) % 4))
    log = folder / "_delta_log"
    actions = [json.loads(line) for line in (log / f"{version - 1:020}.json").read_text().splitlines()]
    add = next(action["add"] for action in actions if "add" in action)
    metadata = next(action for action in actions if "metaData" in action)
    feature = ["deletionVectors"]
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": feature, "writerFeatures": feature}
    remove = {"path": add["path"], "deletionTimestamp": time.time_ns() // 1_000_000, "dataChange": True}
    if "deletionVector" in add:
        remove["deletionVector"] = add["deletionVector"]
    lines = [{"protocol": protocol}, metadata, {"remove": remove}, {"add": add | {"deletionVector": vector}}]
    (log / f"{version:020}.json").write_text("\n".join(json.dumps(line) for line in lines) + "\n")


@pytest.fixture(name="z85")
def z85_fixture() -> Callable[[bytes], str]:
    """What writes bytes in the base 85 of ZeroMQ."""
    return z85


def z85(data: bytes) -> str:
    """Write bytes in the base 85 of ZeroMQ."""
    text = ""
    for start in range(0, len(data), 4):
        number, part = int.from_bytes(data[start : start + 4], "big"), ""
        for _ in range(5):
            part = Z85[number % 85] + part
            number //= 85
        text += part
    return text
