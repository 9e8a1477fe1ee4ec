"""The first seven tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_INDEXES = (
    ("trades_by_time", "trades", ["mode", "exit_ns"]), ("trades_by_symbol", "trades", ["symbol", "exit_ns"]),
    ("shadow_trades_by_time", "shadow_trades", ["mode", "closed_ns"]), ("halts_by_time", "halts", ["raised_ns"]),
    ("audit_by_time", "audit", ["ts_ns"]),
)


def _key(name: str) -> list[sa.Column]:  # type: ignore[type-arg]
    return [
        sa.Column("run_id", sa.Text, primary_key=True, server_default=""), sa.Column(name, sa.Text, primary_key=True),
    ]


def _text(*names: str) -> list[sa.Column]:  # type: ignore[type-arg]
    return [sa.Column(name, sa.Text, nullable=False, server_default="") for name in names]


def _number(*names: str) -> list[sa.Column]:  # type: ignore[type-arg]
    return [sa.Column(name, sa.Double) for name in names]


def _time(*names: str) -> list[sa.Column]:  # type: ignore[type-arg]
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "trades", *_key("trade_id"), *_text("trace_id", "mode", "symbol", "side"), *_time("entry_ns", "exit_ns"),
        *_number(
            "qty", "entry_price", "exit_price", "stop_price", "target_price", "pnl", "fees", "funding",
            "slippage_bps", "risk_amount", "r_multiple", "mfe_r", "mae_r", "stop_distance_pct", "stop_distance_atr",
            "target_distance_atr", "confidence",
        ),
        sa.Column("bars_held", sa.Integer),
        *_text("exit_reason", "regime_entry", "regime_exit", "exit_mode", "policy_hash", "model"),
    )
    op.create_table(
        "shadow_trades", *_key("signal_id"), *_text("trace_id", "mode", "symbol", "side", "exit"),
        *_time("closed_ns"), *_number("r", "pnl_bps", "probability", "duration_s"),
        sa.Column("bars_held", sa.Integer), sa.Column("traded", sa.Integer),
        *_text("reason", "model", "regime", "features"),
    )
    op.create_table(
        "models", *_key("model_id"), *_time("created_ns"),
        *_text("kind", "alias", "parents", "metrics", "data_hash", "notes"),
    )
    op.create_table(
        "sessions", *_key("session_id"), *_time("started_ns"), sa.Column("ended_ns", sa.BigInteger),
        *_text("model_id", "data_hash", "parameters", "before", "after"), sa.Column("rows", sa.BigInteger),
        sa.Column("seed", sa.BigInteger),
    )
    op.create_table(
        "exports", *_key("export_id"), *_time("exported_ns"),
        *_text("model_id", "target", "sha256", "signature", "actor"),
    )
    op.create_table(
        "halts", *_key("halt_id"), *_text("mode", "kind", "reason", "owner", "exit_path", "level"),
        *_time("raised_ns"), sa.Column("cleared_ns", sa.BigInteger), *_text("cleared_by"),
    )
    op.create_table(
        "audit", *_key("entry_id"), *_time("ts_ns"),
        *_text("actor", "action", "subject", "reason", "before", "after"),
    )
    for name, table, columns in _INDEXES:
        op.create_index(name, table, columns)


def downgrade() -> None:
    """Drop the tables."""
    for name, table, _ in _INDEXES:
        op.drop_index(name, table)
    for table in ("audit", "halts", "exports", "sessions", "models", "shadow_trades", "trades"):
        op.drop_table(table)
