"""What a training session was: its kind, the span of its data, the importance of features and how far it shifted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COLUMNS = ("kind", "data_from_ns", "data_until_ns", "importance", "importance_shift")


def upgrade() -> None:
    """Add the columns."""
    op.add_column("sessions", sa.Column("kind", sa.Text, nullable=False, server_default=""))
    op.add_column("sessions", sa.Column("data_from_ns", sa.BigInteger))
    op.add_column("sessions", sa.Column("data_until_ns", sa.BigInteger))
    op.add_column("sessions", sa.Column("importance", sa.Text, nullable=False, server_default=""))
    op.add_column("sessions", sa.Column("importance_shift", sa.Double))


def downgrade() -> None:
    """Drop them."""
    with op.batch_alter_table("sessions") as table:
        for name in _COLUMNS:
            table.drop_column(name)
