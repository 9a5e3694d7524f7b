"""Deletion of recordings: rules in templates, holds, what was deleted and why."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table, columns and indexes; a task learns which template it was begun with."""
    op.create_table(
        "holds",
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_holds_task_id_tasks"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_holds")),
    )
    op.add_column("templates", sa.Column("retention", sa.JSON(), nullable=True))
    op.add_column("tasks", sa.Column("template_id", sa.String(), server_default=sa.text("''"), nullable=False))
    sqlite = op.get_bind().dialect.name == "sqlite"
    template_id = "json_extract(template, '$.id')" if sqlite else "template ->> 'id'"
    op.execute(f"UPDATE tasks SET template_id = coalesce({template_id}, '')")  # noqa: S608  nothing of others is in it
    op.add_column("files", sa.Column("deleted_at", sa.Double(), nullable=True))
    op.add_column("files", sa.Column("delete_reason", sa.String(), nullable=True))
    op.create_index("ix_files_age", "files", ["state", "ended_at", "job_id"], unique=False)
