"""The trade journal's tables, the same on SQLite and PostgreSQL.

Times are nanoseconds since the epoch, money USDT, ``_bps`` basis points, ``_r`` multiples of the risk taken. Every
row belongs to a run (``run_id``; "" where there is none), because ids count from one in each.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Column, Double, Index, Integer, MetaData, Table, Text

METADATA: Final = MetaData()


def _key(name: str) -> list[Column[Any]]:
    """The primary key: the run and the row's own id."""
    return [
        Column("run_id", Text, primary_key=True, server_default=""),
        Column(name, Text, primary_key=True),
    ]


def _text(*names: str) -> list[Column[Any]]:
    return [Column(name, Text, nullable=False, server_default="") for name in names]


def _number(*names: str) -> list[Column[Any]]:
    """Unknown is NULL."""
    return [Column(name, Double) for name in names]


def _time(*names: str) -> list[Column[Any]]:
    return [Column(name, BigInteger, nullable=False) for name in names]


TRADES: Final = Table(
    "trades", METADATA,
    *_key("trade_id"), *_text("trace_id", "mode", "symbol", "side"), *_time("entry_ns", "exit_ns"),
    *_number(
        "qty", "entry_price", "exit_price", "stop_price", "target_price", "pnl", "fees", "funding", "slippage_bps",
        "risk_amount", "r_multiple", "mfe_r", "mae_r", "stop_distance_pct", "stop_distance_atr",
        "target_distance_atr", "confidence",
    ),
    Column("bars_held", Integer),
    *_text("exit_reason", "regime_entry", "regime_exit", "exit_mode", "policy_hash", "model", "model_id"),
    Index("trades_by_time", "mode", "exit_ns"), Index("trades_by_symbol", "symbol", "exit_ns"),
)

SHADOW_TRADES: Final = Table(
    "shadow_trades", METADATA,
    *_key("signal_id"), *_text("trace_id", "mode", "symbol", "side", "exit"), *_time("closed_ns"),
    *_number("r", "pnl_bps", "probability", "duration_s"),
    Column("bars_held", Integer), Column("traded", Integer),
    *_text("reason", "model", "regime", "features", "model_id"),  # features at entry: JSON
    Index("shadow_trades_by_time", "mode", "closed_ns"),
)

MODELS: Final = Table(
    "models", METADATA,
    *_key("model_id"), *_time("created_ns"), *_text("kind", "alias", "parents", "metrics", "data_hash", "notes"),
)

SESSIONS: Final = Table(  # training sessions
    "sessions", METADATA,
    *_key("session_id"), *_time("started_ns"), Column("ended_ns", BigInteger),
    *_text("model_id", "data_hash", "parameters", "before", "after"), Column("rows", BigInteger),
    Column("seed", BigInteger), *_text("kind"), Column("data_from_ns", BigInteger), Column("data_until_ns", BigInteger),
    *_text("importance"), *_number("importance_shift"),  # importance: JSON, feature -> share
)

EXPORTS: Final = Table(
    "exports", METADATA,
    *_key("export_id"), *_time("exported_ns"), *_text("model_id", "target", "sha256", "signature", "actor"),
)

HALTS: Final = Table(
    "halts", METADATA,
    *_key("halt_id"), *_text("mode", "kind", "reason", "owner", "exit_path", "level"), *_time("raised_ns"),
    Column("cleared_ns", BigInteger), *_text("cleared_by"),
    Index("halts_by_time", "raised_ns"),
)

AUDIT_ENTRIES: Final = Table(  # changes by operators: who, what and why
    "audit", METADATA,
    *_key("entry_id"), *_time("ts_ns"), *_text("actor", "action", "subject", "reason", "before", "after"),
    Index("audit_by_time", "ts_ns"),
)
