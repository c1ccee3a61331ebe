"""The description of a table: what it holds, how much of it, and who keeps what of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from lakemark.tables.failures import translated
from lakemark.tables.log.commits import CommitRecord
from lakemark.tables.log.manifest import observe
from lakemark.tables.pinning.tags import Tags
from lakemark.tables.reading import TableReader

__all__ = ["TableDescription", "describe"]


@dataclass(frozen=True, slots=True)
class TableDescription:
    """What there is to say of one version of a table.

    Parameters
    ----------
    name : str or None
        `catalog.schema.table`; None where the table was named by its place.
    uri : str
        Where it lies.
    table_id : str
        The id in its metadata.
    version : int
        The version, from 0.
    schema : pyarrow.Schema
        Its columns.
    partition_columns : tuple of str
        Those whose values are folders.
    rows : int or None
        How many; None where the log does not say.
    files, bytes : int
        Its data files.
    comment : str
        What a person says of it; may be empty.
    managed : bool
        True where it lies in the warehouse.
    properties : mapping of str to str
        Of Delta.
    tags : mapping of str to int
        Tags and the versions that they name.
    pins : int
        How many pins hold versions of it.
    last_commit : CommitRecord or None
        What made the version; None where the log does not have it any more.
    """

    name: str | None
    uri: str
    table_id: str
    version: int
    schema: pa.Schema
    partition_columns: tuple[str, ...]
    rows: int | None
    files: int
    bytes: int
    comment: str
    managed: bool
    properties: Mapping[str, str]
    tags: Mapping[str, int]
    pins: int
    last_commit: CommitRecord | None


def describe(
    table: TableReader, *, tags: Tags | None = None, comment: str = "", managed: bool = False
) -> TableDescription:
    """Return what there is to say of a table.

    Parameters
    ----------
    table : TableReader
        The table; the version is that of its `at`, else the latest.
    tags : Tags, optional
        Where tags and pins are kept.
    comment : str
        What the catalog says of it; without it, what its metadata says.
    managed : bool, default False
        True where it lies in the warehouse.
    """
    opened = table.open()
    with translated(table.uri):
        manifest, metadata = observe(opened), opened.metadata()
        schema = pa.schema(opened.schema().to_arrow())
    commits = TableReader(table.uri, at=manifest.version).history(limit=1)
    pins = () if tags is None else tags.pins.list()
    return TableDescription(
        name=table.name,
        uri=table.uri,
        table_id=manifest.table_id,
        version=manifest.version,
        schema=schema,
        partition_columns=tuple(manifest.partition_columns),
        rows=manifest.rows,
        files=manifest.files,
        bytes=manifest.bytes,
        comment=comment or metadata.description or "",
        managed=managed,
        properties=dict(metadata.configuration),
        tags={} if tags is None else {tag.tag: tag.version for tag in tags.store.list(manifest.table_id)},
        pins=sum(manifest.table_id == pin.table_id for pin in pins),
        last_commit=next((commit for commit in commits if commit.version == manifest.version), None),
    )
