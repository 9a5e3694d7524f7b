"""Pushes whose end is still to be told."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "announced_pushes",
        sa.Column("domain", sa.String(), primary_key=True),
        sa.Column("app", sa.String(), primary_key=True),
        sa.Column("stream", sa.String(), primary_key=True),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("publish", sa.JSON(), nullable=False),
    )
