"""First commits: what the log of a table says that is made from files that are there, without its source's past."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import cast

from deltalake import DeltaTable

from lakemark._base.canonical import Json
from lakemark._base.clock import now_ms
from lakemark._base.errors import InvalidInputError
from lakemark.tables.log.commits import Commit
from lakemark.tables.log.manifest import Manifest, ManifestFile
from lakemark.tables.log.pieces import Piece, target_of

__all__ = ["add_action", "clone_info", "known_head", "open_head", "physical_names"]

_NTZ, _MAPPING, _VECTORS = "timestampNtz", "columnMapping", "deletionVectors"
_PHYSICAL = "delta.columnMapping.physicalName"

_KEPT_FEATURES = frozenset(
    {
        _NTZ,
        _MAPPING,
        _VECTORS,
        "allowColumnDefaults",
        "appendOnly",
        "changeDataFeed",
        "checkConstraints",
        "generatedColumns",
        "identityColumns",
        "invariants",
        "typeWidening",
        "typeWidening-preview",
        "v2Checkpoint",
        "vacuumProtocolCheck",
        "variantType",
        "variantType-preview",
    }
)
_DROPPED_FEATURES: Mapping[str, Sequence[str]] = {
    "clustering": (),
    "domainMetadata": (),
    "inCommitTimestamp": (
        "delta.enableInCommitTimestamps",
        "delta.inCommitTimestampEnablementTimestamp",
        "delta.inCommitTimestampEnablementVersion",
    ),
    "rowTracking": (
        "delta.enableRowTracking",
        "delta.rowTracking.materializedRowCommitVersionColumnName",
        "delta.rowTracking.materializedRowIdColumnName",
    ),
}
"""Features that speak of the source's own history, and the properties that go with each."""


def clone_info(manifest: Manifest, *, is_shallow: bool) -> Json:
    """Return what the history of a clone says of it: its source, the source's id and version, and who made it.

    Parameters
    ----------
    manifest : Manifest
        Of the source's version.
    is_shallow : bool
        True where the files are shared.
    """
    said = Commit(message=f"clone of {manifest.uri}@{manifest.version}").properties().custom_metadata or {}
    parameters: dict[str, Json] = {
        "source": manifest.uri,
        "sourceTableId": manifest.table_id,
        "sourceVersion": str(manifest.version),
        "isShallow": "true" if is_shallow else "false",
    }
    metrics: dict[str, Json] = {} if manifest.rows is None else {"numOutputRows": str(manifest.rows)}
    info: dict[str, Json] = {
        "timestamp": now_ms(),
        "operation": "CLONE",
        "operationParameters": parameters,
        "operationMetrics": metrics,
        "engineInfo": "lakemark",
    }
    return {"commitInfo": {**info, **said}}


def open_head(table: DeltaTable, manifest: Manifest, *, table_id: str) -> list[Json]:
    """Return protocol and metadata of a table that is to be as the one that is open, without its past.

    Parameters
    ----------
    table : deltalake.DeltaTable
        The source, open at the version.
    manifest : Manifest
        Of that version.
    table_id : str
        The id of the new table.

    Raises
    ------
    InvalidInputError
        If the source uses a feature that the new table would not keep right; it is named.
    """
    protocol, metadata = table.protocol(), table.metadata()
    configuration = dict(metadata.configuration)
    readers = _kept(protocol.reader_features, configuration, manifest.uri)
    writers = _kept(protocol.writer_features, configuration, manifest.uri)
    return [
        _protocol(protocol.min_reader_version, protocol.min_writer_version, readers=readers, writers=writers),
        _metadata(manifest, table_id=table_id, configuration=configuration, description=metadata.description),
    ]


def known_head(manifest: Manifest, *, table_id: str) -> list[Json]:
    """Return protocol and metadata of a table of which there is nothing but a manifest.

    Parameters
    ----------
    manifest : Manifest
        Of the version.
    table_id : str
        The id of the new table.
    """
    configuration = dict(manifest.properties)
    features = []
    if '"timestamp_ntz"' in manifest.schema_json:
        features.append(_NTZ)
    if f'"{_PHYSICAL}"' in manifest.schema_json:
        features.append(_MAPPING)
        configuration["delta.columnMapping.mode"] = "name"
    if any(entry.deletion_vector for entry in manifest.entries):
        features.append(_VECTORS)
    protocol = _protocol(3, 7, readers=features, writers=features) if features else _protocol(1, 2)
    return [protocol, _metadata(manifest, table_id=table_id, configuration=configuration)]


def physical_names(manifest: Manifest) -> Mapping[str, str]:
    """Return the names that mapped columns have in the log, by the ones that people see."""
    fields = cast("Sequence[Mapping[str, Json]]", json.loads(manifest.schema_json)["fields"])
    named = ((str(field["name"]), cast("Mapping[str, str]", field.get("metadata") or {})) for field in fields)
    return {name: metadata.get(_PHYSICAL, name) for name, metadata in named}


def add_action(entry: ManifestFile, *, physical: Mapping[str, str], statistics: Mapping[str, Json] | None) -> Json:
    """Return what the log says of one data file of the new table.

    Parameters
    ----------
    entry : ManifestFile
        The file in the source.
    physical : mapping of str to str
        From `physical_names`.
    statistics : mapping of str to Json or None
        What the log calls so; None where nothing is known.
    """
    return {
        "add": {
            "path": target_of(Piece(entry.path, entry.size)).path,
            "partitionValues": {physical.get(name, name): value for name, value in entry.partition_values.items()},
            "size": entry.size,
            "modificationTime": entry.modification_time,
            "dataChange": True,
            "stats": None if statistics is None else json.dumps(statistics, ensure_ascii=False),
            "deletionVector": None if entry.deletion_vector is None else entry.deletion_vector.to_json(),
        }
    }


def _kept(features: Sequence[str] | None, configuration: dict[str, str], uri: str) -> list[str] | None:
    """Return the features that a clone has too; properties of the others are taken out of the configuration."""
    if features is None:
        return None
    kept = []
    for feature in features:
        if feature in _KEPT_FEATURES:
            kept.append(feature)
        elif feature not in _DROPPED_FEATURES:
            raise InvalidInputError(
                f"{uri} uses the feature {feature!r} of Delta, which a clone would not keep right",
                hint="lakemark tables read and create make a table of its rows",
            )
        for name in _DROPPED_FEATURES.get(feature, ()):
            configuration.pop(name, None)
    return kept


def _protocol(
    reader: int, writer: int, *, readers: Sequence[str] | None = None, writers: Sequence[str] | None = None
) -> Json:
    protocol: dict[str, Json] = {"minReaderVersion": reader, "minWriterVersion": writer}
    if readers is not None:
        protocol["readerFeatures"] = list(readers)
    if writers is not None:
        protocol["writerFeatures"] = list(writers)
    return {"protocol": protocol}


def _metadata(
    manifest: Manifest, *, table_id: str, configuration: Mapping[str, str], description: str | None = None
) -> Json:
    metadata: dict[str, Json] = {
        "id": table_id,
        "format": {"provider": "parquet", "options": {}},
        "schemaString": manifest.schema_json,
        "partitionColumns": list(manifest.partition_columns),
        "configuration": dict(configuration),
        "createdTime": now_ms(),
    }
    return {"metaData": metadata if description is None else metadata | {"description": description}}
