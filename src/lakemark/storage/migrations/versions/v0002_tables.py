"""The catalog of tables, tags on versions, results of checks, digests of data files."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "catalog_tables",
        sa.Column("catalog", sa.String(length=255), nullable=False),
        sa.Column("schema", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("table_id", sa.String(length=200), nullable=False),
        sa.Column("managed", sa.Boolean(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("catalog", "schema", "name", name=op.f("pk_catalog_tables")),
    )
    op.create_index(op.f("ix_catalog_tables_uri"), "catalog_tables", ["uri"], unique=False)
    op.create_table(
        "table_tags",
        sa.Column("table_id", sa.String(length=200), nullable=False),
        sa.Column("tag", sa.String(length=250), nullable=False),
        sa.Column("table_uri", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("manifest", sa.String(length=64), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("table_id", "tag", name=op.f("pk_table_tags")),
    )
    op.create_index(op.f("ix_table_tags_table_uri"), "table_tags", ["table_uri"], unique=False)
    op.create_table(
        "check_results",
        sa.Column("result_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("table_uri", sa.Text(), nullable=False),
        sa.Column("table_id", sa.String(length=200), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("check_name", sa.String(length=250), nullable=False),
        sa.Column("severity", sa.String(length=20), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("failing_rows", sa.BigInteger(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=True),
        sa.Column("checked_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("result_id", name=op.f("pk_check_results")),
    )
    op.create_index(op.f("ix_check_results_table_id_version"), "check_results", ["table_id", "version"], unique=False)
    op.create_table(
        "file_digests",
        sa.Column("manifest", sa.String(length=64), nullable=False),
        sa.Column("document", sa.String(length=64), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("manifest", name=op.f("pk_file_digests")),
    )
