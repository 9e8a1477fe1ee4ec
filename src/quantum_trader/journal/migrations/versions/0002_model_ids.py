"""The ids of the models that made trades and shadow trades."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLES = ("trades", "shadow_trades")


def upgrade() -> None:
    """Add the columns; rows of before state no id."""
    for table in _TABLES:
        op.add_column(table, sa.Column("model_id", sa.Text, nullable=False, server_default=""))


def downgrade() -> None:
    """Drop the columns."""
    for table in _TABLES:
        op.drop_column(table, "model_id")
