"""Tables as other engines write them, made by hand: read right, or refused by name."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakemark._base.errors import InvalidInputError, LakemarkError, StorageError
from lakemark.tables.log.deletion import DeletionVector
from lakemark.tables.log.vectors import logged_vectors
from lakemark.tables.reading import TableReader
from lakemark.tables.table import Table

Action = Mapping[str, Any]
LONG = {"name": "x", "type": "long", "nullable": True, "metadata": {}}


def protocol(*features: str, reader: int = 3, writers: Sequence[str] = ()) -> Action:
    named = {"readerFeatures": list(features), "writerFeatures": [*features, *writers]} if reader == 3 else {}
    return {"protocol": {"minReaderVersion": reader, "minWriterVersion": 7 if reader == 3 else 5, **named}}


def metadata(fields: Sequence[Action], *, partition_by: Sequence[str] = (), **configuration: str) -> Action:
    return {
        "metaData": {
            "id": "5fba94ed-9794-4965-ba6e-6ee3c0d22af9",
            "format": {"provider": "parquet", "options": {}},
            "schemaString": json.dumps({"type": "struct", "fields": list(fields)}),
            "partitionColumns": list(partition_by),
            "configuration": {key.replace("_", "."): value for key, value in configuration.items()},
            "createdTime": 1_700_000_000_000,
        }
    }


def add(folder: Path, name: str, rows: pa.Table, **more: object) -> Action:
    """Write a data file and return the action that adds it."""
    pq.write_table(rows, folder / name, row_group_size=5)
    facts = {"size": (folder / name).stat().st_size, "modificationTime": int(name[0]) * 1000, "dataChange": True}
    stats = json.dumps({"numRecords": rows.num_rows})
    return {"add": {"path": name, "partitionValues": {}, "stats": stats, **facts, **more}}


def commit(folder: Path, version: int, actions: Iterable[Action]) -> None:
    place = folder / "_delta_log" / f"{version:020}.json"
    place.parent.mkdir(exist_ok=True)
    place.write_text("".join(json.dumps(action) + "\n" for action in actions))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "foreign"
    made.mkdir()
    return made


def simple(
    folder: Path, head: Action, configuration: Mapping[str, str] | None = None, *, fields: Sequence[Action] = (LONG,)
) -> TableReader:
    """Make a table of one file with the numbers 0 to 2."""
    info = {
        "commitInfo": {"timestamp": 1_700_000_000_000, "operation": "WRITE", "inCommitTimestamp": 1_700_000_000_000}
    }
    rows = add(folder, "1.parquet", pa.table({"x": [0, 1, 2]}))
    commit(folder, 0, [info, head, metadata(fields, **(configuration or {})), rows])
    return TableReader(folder)


@pytest.mark.parametrize(
    ("head", "configuration"),
    [
        (protocol(), {}),
        (protocol("timestampNtz"), {}),
        (protocol("vacuumProtocolCheck"), {}),
        (protocol("variantType"), {}),
        (protocol("v2Checkpoint"), {"delta_checkpointPolicy": "v2"}),
        (protocol(writers=["domainMetadata", "clustering"]), {}),
        (protocol(writers=["rowTracking", "domainMetadata"]), {"delta_enableRowTracking": "true"}),
        (protocol(writers=["inCommitTimestamp"]), {"delta_enableInCommitTimestamps": "true"}),
        (protocol(writers=["aWriterOfTomorrow"]), {}),
    ],
)
def test_features_that_do_not_change_how_rows_are_read(
    folder: Path, head: Action, configuration: dict[str, str]
) -> None:
    table = simple(folder, head, configuration)
    assert table.read()["x"].to_pylist() == [0, 1, 2]
    assert [record.version for record in table.history()] == [0]


def test_a_property_does_not_make_a_table_unreadable(tmp_path: Path) -> None:
    table = Table(tmp_path / "naive")
    table.create(pa.table({"at": [datetime(2013, 6, 24)]}))  # noqa: DTZ001
    table.set_properties({"delta.enableChangeDataFeed": "true"})  # deltalake adds variantType meanwhile
    assert table.read().num_rows == 1


@pytest.mark.parametrize(
    ("feature", "kind"),
    [
        ("variantType", "variant"),
        ("variantType-preview", "variant"),
        ("variantShredding-preview", "long"),
        ("catalogManaged", "long"),
        ("catalogOwned-preview", "long"),
        ("aReaderOfTomorrow", "long"),
    ],
)
def test_features_that_are_not_known_are_refused_by_name(folder: Path, feature: str, kind: str) -> None:
    writers = ["inCommitTimestamp"] if feature.startswith("catalog") else []
    table = simple(
        folder,
        protocol(feature, writers=writers),
        {"delta_enableInCommitTimestamps": "true"},
        fields=[LONG | {"type": kind}],
    )
    named = "catalogManaged" if feature.startswith("catalog") else feature
    for read in (table.read, table.batches, table.to_pandas, lambda: table.head(1)):
        with pytest.raises(InvalidInputError, match=named):
            read()


def test_a_mapping_that_is_not_known_is_refused(folder: Path) -> None:
    table = simple(folder, protocol("columnMapping"), {"delta_columnMapping_mode": "sideways"})
    with pytest.raises(InvalidInputError, match="'sideways'"):
        table.read()


@pytest.mark.parametrize("mode", ["name", "id"])
def test_mapped_columns_in_structs_and_partitions(folder: Path, mode: str) -> None:
    def field(name: str, kind: object, number: int) -> Action:
        naming = {"delta.columnMapping.id": number, "delta.columnMapping.physicalName": f"col-{number}"}
        return {"name": name, "type": kind, "nullable": True, "metadata": naming}

    def column(name: str, kind: pa.DataType, number: int) -> pa.Field:
        return pa.field(name, kind, metadata={"PARQUET:field_id": str(number)})

    point = {"type": "struct", "fields": [field("x", "long", 3), field("y", "long", 4)]}
    other = {"type": "struct", "fields": [field("x", "long", 7), field("y", "long", 8)]}
    listed = {"type": "array", "elementType": other, "containsNull": True}
    fields = [field("day", "date", 1), field("a point", point, 2), field("points", listed, 5), field("late", "long", 6)]
    strange = {"name": "col-4", "id": "another"}[mode]
    inner = pa.struct([column(strange, pa.int64(), 4), column("col-3", pa.int64(), 3)])
    listed_inner = pa.struct([column("col-7", pa.int64(), 7), column("col-8", pa.int64(), 8)])
    physical = pa.schema([column("col-5", pa.list_(listed_inner), 5), column("col-2", inner, 2)])
    row = {"col-2": {strange: 40, "col-3": 30}, "col-5": [{"col-7": 30, "col-8": 40}, None]}
    rows = pa.Table.from_pylist([row, {"col-2": None, "col-5": None}], physical)
    commit(
        folder,
        0,
        [
            protocol(reader=2),
            metadata(fields, partition_by=["day"], delta_columnMapping_mode=mode, delta_columnMapping_maxColumnId="8"),
            add(folder, "1.parquet", rows, partitionValues={"col-1": "2013-06-24"}),
        ],
    )
    first = {
        "day": date(2013, 6, 24),
        "a point": {"x": 30, "y": 40},
        "points": [{"x": 30, "y": 40}, None],
        "late": None,
    }
    table = TableReader(folder)
    assert table.read().to_pylist() == [
        first,
        {"day": date(2013, 6, 24), "a point": None, "points": None, "late": None},
    ]
    assert table.read(columns=["late", "a point"], where="day = '2013-06-24'").num_rows == 2
    assert table.read(where="day > '2013-06-24' or late = 1").num_rows == 0


def test_widened_types(folder: Path) -> None:
    def field(name: str, kind: str) -> Action:
        return LONG | {"name": name, "type": kind}

    old = pa.table(
        {
            "x": pa.array([1, None], pa.int8()),
            "f": pa.array([1.5, 2.5], pa.float32()),
            "n": pa.array([7, 8], pa.int32()),
            "d": pa.array([Decimal("1.5"), None], pa.decimal128(5, 1)),
            "day": [date(2013, 6, 24), None],
        }
    )
    fields = [field("x", "long"), field("f", "double"), field("n", "decimal(12,2)"), field("d", "decimal(9,3)")]
    head = protocol("typeWidening", "timestampNtz")
    commit(folder, 0, [head, metadata([*fields, field("day", "timestamp_ntz")]), add(folder, "1.parquet", old)])
    found = TableReader(folder).read()
    assert found["x"].to_pylist() == [1, None]
    assert found["f"].to_pylist() == [1.5, 2.5]
    assert found["n"].to_pylist() == [Decimal("7.00"), Decimal("8.00")]
    assert found["d"].to_pylist() == [Decimal("1.500"), None]
    assert found["day"].to_pylist() == [datetime(2013, 6, 24), None]  # noqa: DTZ001


def test_old_timestamps_keep_their_instant(folder: Path) -> None:
    moments = pa.array([1, None, -62_135_596_800_000_000], pa.timestamp("us"))
    pq.write_table(pa.table({"t": moments.slice(0, 2)}), folder / "1.parquet", use_deprecated_int96_timestamps=True)
    legacy = {"path": "1.parquet", "partitionValues": {}, "modificationTime": 1000, "dataChange": True}
    legacy["size"] = (folder / "1.parquet").stat().st_size
    fields = [{"name": "t", "type": "timestamp", "nullable": True, "metadata": {}}]
    rest = add(folder, "2.parquet", pa.table({"t": moments.slice(2)}))
    commit(folder, 0, [protocol(reader=1), metadata(fields), {"add": legacy}, rest])
    found = TableReader(folder).read()["t"]
    assert found.type == pa.timestamp("us", "UTC")
    assert found.cast(pa.int64()).to_pylist() == [1, None, -62_135_596_800_000_000]


def vector(folder: Path, rows: Sequence[int], *, number: int, z85: Callable[[bytes], str]) -> dict[str, object]:
    """Write a deletion vector file and return its descriptor."""
    bitmap = struct.pack("<IIHHI", 12346, 1, 0, len(rows) - 1, 16) + b"".join(struct.pack("<H", row) for row in rows)
    data = struct.pack("<IQI", 1681511377, 1, 0) + bitmap
    blob = b"\x01" + struct.pack(">I", len(data)) + data + struct.pack(">I", zlib.crc32(data))
    name = UUID(int=number)
    (folder / f"deletion_vector_{name}.bin").write_bytes(blob)
    place = {"storageType": "u", "pathOrInlineDv": z85(name.bytes), "offset": 1}
    return {**place, "sizeInBytes": len(data), "cardinality": len(rows)}


@pytest.fixture
def sieve(folder: Path, z85: Callable[[bytes], str]) -> list[Action]:
    """The actions of a table with 40 rows in two files of several row groups, some deleted at their edges."""
    first = vector(folder, [0, 4, 5, 19], number=1, z85=z85)
    return [
        protocol("deletionVectors", "v2Checkpoint"),
        metadata([LONG], delta_checkpointPolicy="v2", delta_enableDeletionVectors="true"),
        add(folder, "1 a.parquet", pa.table({"x": range(20)}), deletionVector=first, path="1%20a.parquet"),
        add(folder, "2.parquet", pa.table({"x": range(20, 40)})),
    ]


LEFT = [number for number in range(40) if number not in {0, 4, 5, 19}]


def test_deleted_rows_with_row_groups_left_out(folder: Path, sieve: list[Action]) -> None:
    commit(folder, 0, sieve)
    table = TableReader(folder)
    assert table.read()["x"].to_pylist() == LEFT
    assert table.read(where="x >= 4 and x < 22")["x"].to_pylist() == [x for x in LEFT if 4 <= x < 22]
    assert table.read(where="x = 19").num_rows == 0
    assert [batch.num_rows for batch in table.batches(where="x in (6, 39)")] == [1, 1]


def test_a_deletion_vector_that_is_gone_is_an_error(folder: Path, sieve: list[Action]) -> None:
    commit(folder, 0, sieve)
    next(folder.glob("*.bin")).unlink()
    with pytest.raises(StorageError, match="is gone"):
        TableReader(folder).read()


@pytest.mark.parametrize("kind", ["classic", "json", "parquet"])
def test_checkpoints_of_old_and_new_kind_know_the_deletion_vectors(
    folder: Path, sieve: list[Action], kind: str
) -> None:
    commit(folder, 0, sieve)
    commit(folder, 1, [{"commitInfo": {"timestamp": 1, "operation": "NOTHING"}}])
    log = folder / "_delta_log"
    whole = TableReader(folder).manifest()
    name = f"{1:020}.checkpoint"
    if kind == "classic":
        TableReader(folder).open().create_checkpoint()
    else:
        name = f"{name}.80a083e8-7026-4e79-81be-64bd76c43a11.{kind}"
        write_v2(log, sieve, name)
    for version in (0, 1):
        (log / f"{version:020}.json").unlink()
    commit(folder, 2, [{"commitInfo": {"timestamp": 2, "operation": "NOTHING"}}])
    table = TableReader(folder)
    assert table.read()["x"].to_pylist() == LEFT
    manifest = table.manifest()
    assert manifest.entries == whole.entries
    assert manifest.rows is None or manifest.rows == len(LEFT)
    found = manifest.entries[0].deletion_vector
    assert isinstance(found, DeletionVector)
    assert (found.storage, found.cardinality) == ("u", 4)
    assert found.locate(folder) == next(folder.glob("*.bin"))


def write_v2(log: Path, actions: Sequence[Action], name: str) -> None:
    """Write a checkpoint of the second kind, whose files stand in a sidecar."""
    files = [action for action in actions if "add" in action]
    (log / "_sidecars").mkdir()
    sidecar = log / "_sidecars" / "3a0d65cd-4056-49b8-937b-95f9e3ee90e5.parquet"
    pq.write_table(pa.Table.from_pylist(files, schema_of_files()), sidecar)
    facts = {"path": sidecar.name, "sizeInBytes": sidecar.stat().st_size, "modificationTime": 1}
    rest = [{"checkpointMetadata": {"version": 1}}, *(a for a in actions if "add" not in a), {"sidecar": facts}]
    if name.endswith("json"):
        (log / name).write_text("".join(json.dumps(action) + "\n" for action in rest))
        return
    texts = pa.map_(pa.string(), pa.string())
    names = pa.list_(pa.string())
    form = pa.struct([("provider", pa.string()), ("options", texts)])
    inner = {
        "checkpointMetadata": pa.struct([("version", pa.int64())]),
        "protocol": pa.struct(
            [
                ("minReaderVersion", pa.int32()),
                ("minWriterVersion", pa.int32()),
                ("readerFeatures", names),
                ("writerFeatures", names),
            ]
        ),
        "metaData": pa.struct(
            [
                ("id", pa.string()),
                ("format", form),
                ("schemaString", pa.string()),
                ("partitionColumns", names),
                ("configuration", texts),
                ("createdTime", pa.int64()),
            ]
        ),
        "sidecar": pa.struct([("path", pa.string()), ("sizeInBytes", pa.int64()), ("modificationTime", pa.int64())]),
    }
    plain = [{key: mapped(value) for key, value in action.items()} for action in rest]
    pq.write_table(pa.Table.from_pylist(plain, pa.schema(list(inner.items()))), log / name)


def mapped(action: Action) -> Action:
    """Return an action with its maps as Arrow takes them."""
    found = dict(action)
    if "configuration" in found:
        found["configuration"] = list(found["configuration"].items())
        found["format"] = found["format"] | {"options": []}
    return found


def schema_of_files() -> pa.Schema:
    vector_fields = [("storageType", pa.string()), ("pathOrInlineDv", pa.string()), ("offset", pa.int32())]
    inner = pa.struct([*vector_fields, ("sizeInBytes", pa.int32()), ("cardinality", pa.int64())])
    fields = [("path", pa.string()), ("partitionValues", pa.map_(pa.string(), pa.string())), ("size", pa.int64())]
    more = [
        ("modificationTime", pa.int64()),
        ("dataChange", pa.bool_()),
        ("stats", pa.string()),
        ("deletionVector", inner),
    ]
    return pa.schema([("add", pa.struct([*fields, *more]))])


def test_a_log_with_a_gap_tells_nothing(folder: Path, sieve: list[Action]) -> None:
    commit(folder, 0, sieve)
    assert set(logged_vectors(str(folder), 0)) == {"1%20a.parquet", "2.parquet"}
    assert logged_vectors(str(folder), 1) == {}


def test_commits_that_say_nothing_keep_their_own_number(table: Table) -> None:
    table.append(pa.table({"day": [4], "amount": [1.0], "shop": ["z"]}))
    place = Path(table.uri) / "_delta_log" / f"{1:020}.json"
    place.write_text("".join(line + "\n" for line in place.read_text().splitlines() if "commitInfo" not in line))
    found = table.history()
    assert [(record.version, record.operation) for record in found] == [(2, "WRITE"), (1, ""), (0, "WRITE")]
    assert found[1].timestamp_ms == place.stat().st_mtime_ns // 1_000_000
    assert [record.version for record in table.history(limit=2)] == [2, 1]


def test_the_commits_own_time_and_words_count(folder: Path) -> None:
    table = simple(folder, protocol(writers=["inCommitTimestamp"]), {"delta_enableInCommitTimestamps": "true"})
    for version, moment in ((1, 1_700_000_100_000), (2, 1_700_000_200_000)):
        said = {"timestamp": 5, "inCommitTimestamp": moment, "userMetadata": f"why {version}", "userName": "ada"}
        info = said | {"operation": "WRITE", "operationMetrics": {"numOutputRows": "3"}}
        commit(folder, version, [{"commitInfo": info}, add(folder, f"{version}.parquet", pa.table({"x": [version]}))])
    latest = table.history()[0]
    assert (latest.timestamp_ms, latest.user, latest.commit.message) == (1_700_000_200_000, "ada", "why 2")
    assert latest.added_rows == 3
    assert table.open(timestamp="2023-11-14T22:15:00.000Z").version() == 1
    with pytest.raises(LakemarkError, match=r"its log begins at 2023-11-14T22:13:20\.000Z"):
        table.open(timestamp="2023-11-14T22:13:19Z")
