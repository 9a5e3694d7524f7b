"""What reading record files again has found."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the columns; nobody has looked at the files that are there."""
    op.add_column("files", sa.Column("verification", sa.String(), nullable=True))
    op.add_column("files", sa.Column("damages", sa.JSON(), nullable=True))
    op.add_column("files", sa.Column("verified_at", sa.Double(), nullable=True))
