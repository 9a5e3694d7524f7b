"""Bringing a database to the newest schema that this code knows, and refusing one that is newer."""

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from livereel.catalogue import migrations
from livereel.catalogue.port import CatalogueError

# Several nodes may start at once on one PostgreSQL. Any number that nobody else in the same database locks: "livereel".
_MIGRATION_LOCK = int.from_bytes(b"livereel", "big")

# Alembic keeps the running migration in module globals; two catalogues of one process must not migrate at once.
_one_at_a_time = threading.Lock()


def upgrade(connection: Connection, *, to: str = "head") -> None:
    """Apply the missing steps, up to the step `to`, in the transaction of `connection`. Blocks.

    Raises CatalogueError for a newer schema.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    with _one_at_a_time:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
        _refuse_newer(connection, ScriptDirectory.from_config(config))
        command.upgrade(config, to)


def _refuse_newer(connection: Connection, scripts: ScriptDirectory) -> None:
    known = {step.revision for step in scripts.walk_revisions()}
    unknown = sorted(set(MigrationContext.configure(connection).get_current_heads()) - known)
    if unknown:
        raise CatalogueError(
            f"the catalogue has schema {unknown[0]}, but this livereel knows only up to {scripts.get_current_head()}: "
            "a newer livereel has upgraded it. Install that version or a newer one, or restore the backup of the "
            "catalogue that was made before the upgrade."
        )
