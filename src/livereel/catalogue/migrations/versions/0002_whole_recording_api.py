"""Callbacks, plans, slices, settings of domains, snapshots, pull tasks; armed recordings; shorter counting."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the new tables, columns and indexes; rows that are there keep what they meant."""
    op.create_table(
        "bucket_grants",
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("bucket", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "bucket", name=op.f("pk_bucket_grants")),
    )
    op.create_table(
        "callbacks",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("domain", sa.String(), nullable=False),
        sa.Column("app", sa.String(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("sign_type", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("on_demand_url", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_callbacks")),
        sa.UniqueConstraint("domain", name=op.f("uq_callbacks_domain")),
    )
    op.create_index("ix_callbacks_listing", "callbacks", ["project_id", "created_at", "id"], unique=False)
    op.create_table(
        "domain_mappings",
        sa.Column("pull_domain", sa.String(), nullable=False),
        sa.Column("push_domain", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("pull_domain", name=op.f("pk_domain_mappings")),
    )
    op.create_index(op.f("ix_domain_mappings_project_id"), "domain_mappings", ["project_id"], unique=False)
    op.create_index(op.f("ix_domain_mappings_push_domain"), "domain_mappings", ["push_domain"], unique=False)
    op.create_table(
        "key_chains",
        sa.Column("domain", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("auth_type", sa.String(), nullable=False),
        sa.Column("timeout", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("domain", name=op.f("pk_key_chains")),
    )
    op.create_table(
        "plan_tasks",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("domain", sa.String(), nullable=False),
        sa.Column("app", sa.String(), nullable=False),
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("start_at", sa.Double(), nullable=False),
        sa.Column("end_at", sa.Double(), nullable=False),
        sa.Column("template_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("stop_at", sa.Double(), nullable=True),
        sa.Column("recording_task_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plan_tasks")),
    )
    op.create_index("ix_plan_tasks_listing", "plan_tasks", ["project_id", "start_at", "id"], unique=False)
    op.create_index(
        "ix_plan_tasks_open",
        "plan_tasks",
        ["start_at"],
        unique=False,
        sqlite_where=sa.text("stop_at IS NULL"),
        postgresql_where=sa.text("stop_at IS NULL"),
    )
    op.create_table(
        "pull_tasks",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("source_type", sa.String(), nullable=False),
        sa.Column("source_urls", sa.JSON(), nullable=False),
        sa.Column("region", sa.String(), nullable=False),
        sa.Column("domain", sa.String(), nullable=False),
        sa.Column("app", sa.String(), nullable=False),
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("start_at", sa.Double(), nullable=False),
        sa.Column("end_at", sa.Double(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("destination_url", sa.Text(), nullable=False),
        sa.Column("push_args", sa.Text(), nullable=False),
        sa.Column("callback_url", sa.Text(), nullable=False),
        sa.Column("callback_events", sa.JSON(), nullable=False),
        sa.Column("loop_time", sa.Integer(), nullable=False),
        sa.Column("refresh_type", sa.String(), nullable=False),
        sa.Column("start_index", sa.Integer(), nullable=False),
        sa.Column("start_time", sa.Double(), nullable=False),
        sa.Column("backup_source_type", sa.String(), nullable=True),
        sa.Column("backup_source_urls", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pull_tasks")),
    )
    op.create_index("ix_pull_tasks_listing", "pull_tasks", ["project_id", "created_at", "id"], unique=False)
    op.create_index("ix_pull_tasks_state", "pull_tasks", ["state", "start_at"], unique=False)
    op.create_table(
        "snapshots",
        sa.Column("domain", sa.String(), nullable=False),
        sa.Column("app", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("interval", sa.Integer(), nullable=False),
        sa.Column("write_mode", sa.Integer(), nullable=False),
        sa.Column("address", sa.JSON(), nullable=False),
        sa.Column("auth_key", sa.String(), nullable=False),
        sa.Column("callback_on", sa.Boolean(), nullable=False),
        sa.Column("callback_url", sa.Text(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("object_format", sa.String(), nullable=False),
        sa.Column("access_protocol", sa.String(), nullable=False),
        sa.Column("access_domain", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("domain", "app", name=op.f("pk_snapshots")),
    )
    op.create_table(
        "stream_blocks",
        sa.Column("domain", sa.String(), nullable=False),
        sa.Column("app", sa.String(), nullable=False),
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("resume_at", sa.Double(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("domain", "app", "stream", name=op.f("pk_stream_blocks")),
    )
    op.create_index(op.f("ix_stream_blocks_resume_at"), "stream_blocks", ["resume_at"], unique=False)
    op.create_table(
        "slices",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("object_key", sa.String(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=False),
        sa.Column("duration", sa.Double(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["files.job_id"], name=op.f("fk_slices_job_id_files"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "sequence", name=op.f("pk_slices")),
    )
    op.add_column("domains", sa.Column("stream_backup", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index("ix_files_count", "files", ["project_id", "state", "started_at"], unique=False)
    op.create_index("ix_outbox_project", "outbox", ["project_id", "id"], unique=False)
    op.add_column("tasks", sa.Column("armed", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("tasks", sa.Column("pre_roll", sa.Double(), server_default=sa.text("0"), nullable=False))
    op.add_column("tasks", sa.Column("deadline", sa.Double(), nullable=True))
    op.add_column("tasks", sa.Column("plan_id", sa.String(), nullable=True))
    op.add_column("templates", sa.Column("armed", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("templates", sa.Column("pre_roll", sa.Double(), server_default=sa.text("0"), nullable=False))
