"""Features of Delta's protocol that a reader must know, and the refusal of those that ours does not."""

from __future__ import annotations

import json
import re

from deltalake import DeltaTable

from lakemark._base.errors import InvalidInputError, LakemarkError
from lakemark.tables.log.manifest import location

__all__ = ["READABLE", "check_readable", "unreadable"]

READABLE = frozenset(
    {
        "columnMapping",
        "deletionVectors",
        "timestampNtz",
        "typeWidening",
        "typeWidening-preview",
        "v2Checkpoint",
        "vacuumProtocolCheck",
        "variantType",  # of tables without such a column: `deltalake` adds it to any that it upgrades
    }
)
"""The reader features that are read right; what is not listed is refused."""

_MAPPING_MODES = ("none", "name", "id")
_UNKNOWN = re.compile(r"Feature '([^']+)' is not supported|Unknown(?:TableFeature| table feature)\W+(\w[\w-]*)")


def check_readable(table: DeltaTable) -> None:
    """Refuse a version whose rows would not be read right.

    Raises
    ------
    InvalidInputError
        For a reader feature that is not in `READABLE`, a column of a type or a mapping of columns that is not known;
        it is named.
    """
    where = f"{location(table.table_uri)}@{table.version()}"
    unknown = sorted(set(table.protocol().reader_features or ()) - READABLE)
    if unknown:
        raise _refused(where, unknown)
    mode = table.metadata().configuration.get("delta.columnMapping.mode", "none")
    if mode not in _MAPPING_MODES:
        raise InvalidInputError(
            f"{where} maps its columns by {mode!r}, which is not known; known are {', '.join(_MAPPING_MODES)}"
        )
    if '"variant"' in (schema := table.schema().to_json()) and "variant" in _types(json.loads(schema)):
        raise _refused(where, ["variantType"])


def unreadable(error: LakemarkError, uri: str) -> LakemarkError:
    """Return the error of a table that does not open: where a feature is why, one that names the feature.

    Parameters
    ----------
    error : LakemarkError
        What `lakemark.tables.failures.translated` raised.
    uri : str
        The table.
    """
    cause = str(error.__cause__ or "")
    if "catalog-managed" in cause:
        return _refused(uri, ["catalogManaged"], why="only its catalog knows which commits count")
    found = _UNKNOWN.search(cause)
    return error if found is None else _refused(uri, [found[1] or found[2]])


def _refused(where: str, features: list[str], *, why: str = "its rows would not be read right") -> InvalidInputError:
    plural = "s" * (len(features) > 1)
    return InvalidInputError(
        f"{where} needs the Delta feature{plural} {', '.join(features)}, which this version does not read: {why}",
        hint=f"read it with the engine that wrote it; what is read here is {', '.join(sorted(READABLE))}",
        features=features,
    )


def _types(node: object) -> set[str]:
    """Return the names of the types in a Delta schema, at any depth."""
    if isinstance(node, str):
        return {node}
    if isinstance(node, list):
        return set().union(*(_types(item) for item in node))
    if isinstance(node, dict):
        inner = [node.get(name) for name in ("type", "fields", "elementType", "keyType", "valueType")]
        return set().union(*(_types(item) for item in inner))
    return set()
