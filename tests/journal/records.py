"""Lines of a run's records, made by the recorder that runs use."""

from __future__ import annotations

from typing import Any

import pytest

from quantum_trader.domain.enums import ExitReason, OrderSide, Side
from quantum_trader.domain.errors import DataError, InputError
from quantum_trader.domain.trading import ClosedTrade, Fill, Signal
from quantum_trader.engine.facts import SignalDecision
from quantum_trader.engine.recorder import MemorySink, Recorder
from quantum_trader.journal.lines import check_line, typed_event

NOW = 1_700_000_000_000_000_000


class CheckedSink(MemorySink):
    """Fails the test, through every shield, at a record that is not what its topic says."""

    def append(self, line: bytes, topic: str, ts_ns: int) -> None:
        """Check and keep one record."""
        try:
            check_line(topic, ts_ns, line)
            typed_event(topic, line)
        except (DataError, InputError) as error:
            pytest.fail(str(error))
        super().append(line, topic, ts_ns)


def record_line(topic: str, data: Any, ts_ns: int = NOW, trace_id: str = "tr1") -> bytes:
    """The line that a recorder makes of *data*."""
    sink = MemorySink()
    Recorder(sink).record(topic, trace_id, ts_ns, data)
    return sink.lines[0]


def signal(**changed: Any) -> Signal:
    """A signal of NOW on a bar of NOW."""
    fields: dict[str, Any] = {
        "signal_id": "s1", "trace_id": "tr1", "symbol": "BTCUSDT", "action": Side.LONG, "confidence": 0.6,
        "model": "ensemble", "ts_ns": NOW, "features_ts_ns": NOW, "consensus": 1.0, "votes": {"momentum": 0.6},
    }
    return Signal(**{**fields, **changed})


def decision(**changed: Any) -> SignalDecision:
    """A signal of NOW that was traded."""
    fields: dict[str, Any] = {
        "signal_id": "s1", "symbol": "BTCUSDT", "action": "LONG", "confidence": 0.6, "decision": "ALLOWED",
        "reason": "", "observed": 0.0, "limit": 0.0, "features_ts_ns": NOW, "min_confidence_used": 0.45,
        "risk_pct_used": 1.0,
    }
    return SignalDecision(**{**fields, **changed})


def fill(number: int = 1) -> Fill:
    """Fill *number* of NOW."""
    return Fill(
        fill_id=f"f{number}", client_order_id=f"o{number}", symbol="BTCUSDT", side=OrderSide.BUY, qty=1.0,
        price=30_000.0, fee=1.0, liquidity="taker", ts_ns=NOW,
    )


def trade(pnl: float) -> ClosedTrade:
    """A long trade that ended at NOW with *pnl*."""
    return ClosedTrade(
        trade_id="t1", trace_id="tr1", symbol="BTCUSDT", side=Side.LONG, qty=1.0, entry_ns=NOW - 1, exit_ns=NOW,
        entry_price=30_000.0, exit_price=30_000.0 + pnl, stop_price=29_000.0, target_price=0.0,
        exit_reason=ExitReason.TRAILING_STOP, pnl=pnl, fees=1.0, funding=0.0, slippage_bps=0.0, risk_amount=100.0,
        r_multiple=pnl / 100.0, mfe_r=0.1, mae_r=-0.1, stop_distance_pct=1.0, stop_distance_atr=1.0,
        target_distance_atr=0.0, bars_held=3, regime_entry="TRENDING UP NORMAL", regime_exit="TRENDING UP NORMAL",
        exit_mode="TREND_FOLLOW", confidence=0.6, policy_hash="abc", model="ensemble",
    )
