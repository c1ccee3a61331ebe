from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from lakemark._base.errors import StorageError
from lakemark.storage import migrations
from lakemark.storage.database import Database, open_database
from lakemark.storage.migrations.upgrade import upgrade
from lakemark.storage.schema import METADATA, REVISIONS


def test_a_new_database_has_the_schema_of_the_metadata(tmp_path: Path) -> None:
    with open_database(tmp_path / "db") as database, database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_migrations_build_what_a_new_database_is_made_as(tmp_path: Path) -> None:
    migrated, new = Database(tmp_path / "migrated"), open_database(tmp_path / "new")
    with migrated.write() as connection:
        upgrade(connection)
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    statement = text("SELECT type, name, tbl_name FROM sqlite_master ORDER BY name")
    with migrated.read() as one, new.read() as two:
        assert one.execute(statement).all() == two.execute(statement).all()
        revision = text("SELECT version_num FROM alembic_version")
        assert one.execute(revision).scalar() == two.execute(revision).scalar() == REVISIONS[-1]
    migrated.close()
    new.close()


def test_an_older_database_is_brought_up_to_date_with_what_it_holds(tmp_path: Path) -> None:
    older = Database(tmp_path / "db")
    with older.write() as connection:
        upgrade(connection, "0001")
        connection.execute(text("INSERT INTO experiments (name, created_ms) VALUES ('x', 1)"))
    older.close()
    with open_database(tmp_path / "db") as database, database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        assert connection.execute(text("SELECT name FROM experiments")).scalar() == "x"


def test_the_revisions_are_those_of_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    steps = [step.revision for step in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(steps)) == REVISIONS


def test_settings_of_a_connection(tmp_path: Path) -> None:
    with open_database(tmp_path / "db") as database, database.read() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 60_000}


def test_opening_a_database_that_is_up_to_date_does_not_load_alembic(tmp_path: Path) -> None:
    open_database(tmp_path / "db").close()
    program = (
        "import sys; from pathlib import Path; from lakemark.storage.database import Database, open_database;"
        f"open_database(Path({str(tmp_path / 'db')!r})).close(); print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(database: Database) -> None:
        with database.write() as connection:
            connection.execute(text("INSERT INTO experiments (name, created_ms) VALUES ('x', 1)"))
            raise RuntimeError

    with open_database(tmp_path / "db") as database:
        with pytest.raises(RuntimeError):
            fail(database)
        with database.read() as connection:
            assert connection.execute(text("SELECT count(*) FROM experiments")).scalar() == 0


def test_a_reader_sees_one_state(tmp_path: Path) -> None:
    count = text("SELECT count(*) FROM experiments")
    with open_database(tmp_path / "db") as database, database.read() as reader:
        before = reader.execute(count).scalar()
        with database.write() as writer:
            writer.execute(text("INSERT INTO experiments (name, created_ms) VALUES ('x', 1)"))
        assert reader.execute(count).scalar() == before == 0
        with database.read() as later:
            assert later.execute(count).scalar() == 1


def test_a_database_of_a_newer_lakemark_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "db"
    open_database(path).close()
    raw = sqlite3.connect(path)
    raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.commit()
    raw.close()
    with pytest.raises(StorageError, match=r"newer Lakemark: its schema is 9999, this one knows up to") as caught:
        open_database(path)
    assert caught.value.hint == "pip install --upgrade lakemark"


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "db"
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(StorageError, match="not a database") as caught:
        open_database(path)
    assert "damaged" in (caught.value.hint or "")


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="unable to open"):
        open_database(tmp_path / "missing" / "db")
