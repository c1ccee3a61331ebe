"""The tables of the metadata database, in SQL that SQLite and PostgreSQL both understand.

A change here needs a migration in `storage/migrations/versions` and its number in `REVISIONS`; a test compares what
the migrations build with what stands here.

Notes
-----
SQLite turns NaN into NULL, so a metric's value is stored as 0 with `is_nan` set.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

__all__ = [
    "METADATA",
    "REVISIONS",
    "catalog_tables",
    "check_results",
    "experiments",
    "file_digests",
    "latest_metrics",
    "metrics",
    "params",
    "pins",
    "runs",
    "table_reads",
    "table_tags",
    "tags",
    "verdicts",
]

REVISIONS = ("0001", "0002")
"""The migrations that this Lakemark knows, oldest first; the last is what an up-to-date database says of itself."""

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

experiments = Table(
    "experiments",
    METADATA,
    Column("experiment_id", Integer, autoincrement=True, nullable=False),
    Column("name", String(500), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("experiment_id"),
    UniqueConstraint("name"),
)

runs = Table(
    "runs",
    METADATA,
    Column("run_id", String(32), nullable=False),
    Column("experiment_id", Integer, ForeignKey("experiments.experiment_id"), nullable=False),
    Column("name", String(500)),
    Column("kind", String(20), nullable=False),
    Column("status", String(20), nullable=False),
    Column("parent_run_id", String(32)),
    Column("started_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Column("entry_point", Text, nullable=False),
    Column("receipt", String(64)),
    Column("memo_key", String(64)),
    Column("pid", BigInteger),
    Column("process_start", String(200)),
    PrimaryKeyConstraint("run_id"),
    Index(None, "experiment_id", "started_ms"),
    Index(None, "started_ms"),
    Index(None, "name"),
    Index(None, "memo_key"),
    Index(None, "status"),
)

params = Table(
    "params",
    METADATA,
    Column("run_id", String(32), ForeignKey("runs.run_id", ondelete="CASCADE"), nullable=False),
    Column("key", String(250), nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("run_id", "key"),
)

tags = Table(
    "tags",
    METADATA,
    Column("run_id", String(32), ForeignKey("runs.run_id", ondelete="CASCADE"), nullable=False),
    Column("key", String(250), nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("run_id", "key"),
)

metrics = Table(
    "metrics",
    METADATA,
    Column("run_id", String(32), ForeignKey("runs.run_id", ondelete="CASCADE"), nullable=False),
    Column("key", String(250), nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("timestamp_ms", BigInteger, nullable=False),
    Column("value", Double, nullable=False),
    Column("is_nan", Boolean, nullable=False),
    PrimaryKeyConstraint("run_id", "key", "step", "timestamp_ms", "value", "is_nan"),
)

latest_metrics = Table(
    "latest_metrics",
    METADATA,
    Column("run_id", String(32), ForeignKey("runs.run_id", ondelete="CASCADE"), nullable=False),
    Column("key", String(250), nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("timestamp_ms", BigInteger, nullable=False),
    Column("value", Double, nullable=False),
    Column("is_nan", Boolean, nullable=False),
    PrimaryKeyConstraint("run_id", "key"),
)

table_reads = Table(
    "table_reads",
    METADATA,
    Column("run_id", String(32), ForeignKey("runs.run_id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("uri", Text, nullable=False),
    Column("table_id", String(200), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("manifest", String(64)),
    PrimaryKeyConstraint("run_id", "position"),
    Index(None, "table_id", "version"),
)

verdicts = Table(
    "verdicts",
    METADATA,
    Column("digest", String(64), nullable=False),
    Column("run_id", String(32), ForeignKey("runs.run_id", ondelete="CASCADE"), nullable=False),
    Column("replay_run_id", String(32)),
    Column("level", Integer, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("digest"),
    Index(None, "run_id"),
)

pins = Table(
    "pins",
    METADATA,
    Column("pin_id", Integer, autoincrement=True, nullable=False),
    Column("table_uri", Text, nullable=False),
    Column("table_id", String(200), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("manifest", String(64), nullable=False),
    Column("holder", String(250), nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("released_ms", BigInteger),
    Column("release_reason", Text),
    PrimaryKeyConstraint("pin_id"),
    Index(None, "table_id", "version"),
    Index(None, "table_uri"),
    Index(None, "holder"),
)

catalog_tables = Table(
    "catalog_tables",
    METADATA,
    Column("catalog", String(255), nullable=False),
    Column("schema", String(255), nullable=False),
    Column("name", String(255), nullable=False),
    Column("uri", Text, nullable=False),
    Column("table_id", String(200), nullable=False),
    Column("managed", Boolean, nullable=False),
    Column("comment", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("catalog", "schema", "name"),
    Index(None, "uri"),
)

table_tags = Table(
    "table_tags",
    METADATA,
    Column("table_id", String(200), nullable=False),
    Column("tag", String(250), nullable=False),
    Column("table_uri", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("manifest", String(64), nullable=False),
    Column("comment", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("table_id", "tag"),
    Index(None, "table_uri"),
)

check_results = Table(
    "check_results",
    METADATA,
    Column("result_id", Integer, autoincrement=True, nullable=False),
    Column("table_uri", Text, nullable=False),
    Column("table_id", String(200), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("check_name", String(250), nullable=False),
    Column("severity", String(20), nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("failing_rows", BigInteger),
    Column("detail", Text, nullable=False),
    Column("run_id", String(32)),
    Column("checked_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("result_id"),
    Index(None, "table_id", "version"),
)

file_digests = Table(
    "file_digests",
    METADATA,
    Column("manifest", String(64), nullable=False),
    Column("document", String(64), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("manifest"),
)
