"""The journal's published names that another design stands behind: thin faces over tracer and lake.

:class:`DecisionTracer` times steps by durations in milliseconds, over the tracer of live decisions;
:func:`query` is the lake's SQL with the short kinds; :class:`LoggingExtensions` makes the fields of a trade log.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_MS
from quantum_trader.domain.errors import InputError, require, require_finite
from quantum_trader.domain.fields import FieldLookup
from quantum_trader.engine.accounting import risk_amount
from quantum_trader.journal.lake import Lake
from quantum_trader.journal.lines import KIND_TOPICS
from quantum_trader.journal.tracer import SpanTracer

if TYPE_CHECKING:
    import polars as pl

_SIGNS: Final = {"LONG": 1, "BUY": 1, "SHORT": -1, "SELL": -1}


# ---- queries --------------------------------------------------------------------------------------------------------
def query(directory: Path | str, sql: str) -> pl.DataFrame:
    """Answer one SELECT over ``events``, in which the records of runs have the short kinds (``signal``, ``trade``).

    `quantum-trader journal sql` shows the full ones (``signal.generated``). Raises InputError for anything but one
    SELECT.
    """
    import polars as pl

    cases = " ".join(f"when '{topic}' then '{kind}'" for kind, topics in KIND_TOPICS.items() for topic in topics)
    short = f"select * replace (case kind {cases} else kind end as kind) from memory.main.events"
    text = sql.strip().removesuffix(";")
    found = pl.from_arrow(Lake(directory).sql(f"with events as ({short}) select * from ({text}\n)"))
    assert isinstance(found, pl.DataFrame)
    return found


# ---- traces ---------------------------------------------------------------------------------------------------------
class DecisionAnalysis(FieldLookup, msgspec.Struct, frozen=True, kw_only=True):
    """The steps of one decision and its bottleneck, as attributes or by key; durations in milliseconds."""

    trace_id: str
    symbol: str
    outcome: str
    bottleneck: str  # "trade_execution (45ms, 95%)"; empty when no step took time
    bottleneck_step: str
    total_ms: float
    steps: tuple[tuple[str, float, str], ...]  # name, duration, outcome


class DecisionTracer:
    """Times the steps of decisions that are told one after the other with their durations."""

    def __init__(self, max_traces: int = 4096, max_steps: int = 64) -> None:
        self._tracer = SpanTracer(max_traces, max_steps)

    def start_trace(self, signal_id: str, symbol: str = "") -> str:
        """Begin a decision; returns the id of its trace."""
        require(isinstance(symbol, str), "symbol", symbol, "must be a symbol like 'BTCUSDT'")
        return self._tracer.start_trace(signal_id, 0, symbol=symbol)

    def record_step(self, trace_id: str, name: str, duration_ms: float, outcome: str = "OK", **facts: Any) -> None:
        """Add a step of *duration_ms* milliseconds behind the last one; InputError for an unknown trace."""
        require_finite("duration_ms", duration_ms)
        require(duration_ms >= 0.0, "duration_ms", duration_ms, "cannot be negative")
        end_ns = self._tracer.trace(trace_id).end_ns + round(duration_ms * NS_PER_MS)
        self._tracer.mark(name, outcome, trace_id=trace_id, at_ns=end_ns, **facts)

    def finish_trace(self, trace_id: str, outcome: str = "executed") -> None:
        """End the decision; InputError for an unknown trace."""
        self._tracer.trace(trace_id)
        self._tracer.finish_trace(trace_id, outcome=outcome)

    def analyze_trace(self, trace_id: str) -> DecisionAnalysis:
        """The steps and the bottleneck; InputError for an unknown trace."""
        found = self._tracer.analyze_trace(trace_id)
        share = "" if found.share is None else f", {found.share:.0%}"
        worst = f"{found.bottleneck} ({found.bottleneck_ns / NS_PER_MS:g}ms{share})" if found.bottleneck else ""
        return DecisionAnalysis(
            trace_id=trace_id, symbol=found.symbol, outcome=found.outcome, bottleneck=worst,
            bottleneck_step=found.bottleneck, total_ms=found.total_ns / NS_PER_MS,
            steps=tuple((span.name, span.duration_ns / NS_PER_MS, span.outcome) for span in found.spans),
        )


# ---- the trade log --------------------------------------------------------------------------------------------------
class LoggingExtensions:
    """The fields of a trade log, from the figures of an entry and an exit; R is against the stop at entry."""

    @staticmethod
    def enrich_trade_entry(
        symbol: str, action: str, entry_price: float, quantity: float, stop_loss: float, take_profit: float,
        atr: float, confidence: float = 0.0, consensus: str = "UNKNOWN", regime: str | None = None,
    ) -> dict[str, Any]:
        """Distances of stop and target in money, percent and ATR, and the risk taken; *action* is LONG or SHORT."""
        sign = _sign(action)
        for key, value in (("entry_price", entry_price), ("quantity", quantity), ("atr", atr)):
            require_finite(key, value)
            require(value > 0.0, key, value, "must be above 0")
        stop, target = sign * (entry_price - stop_loss), sign * (take_profit - entry_price)
        require(stop > 0.0, "stop_loss", stop_loss, "must be on the losing side of the entry")
        return {
            "symbol": symbol, "action": action, "entry_price": entry_price, "quantity": quantity,
            "notional": entry_price * quantity, "stop_loss": stop_loss, "take_profit": take_profit, "atr": atr,
            "sl_distance_dollars": stop, "sl_distance_pct": stop / entry_price * 100.0, "sl_distance_atr": stop / atr,
            "tp_distance_dollars": target, "tp_distance_pct": target / entry_price * 100.0,
            "tp_distance_atr": target / atr, "risk_reward_ratio": target / stop,
            "risk_amount": risk_amount(sign, entry_price, stop_loss, 0.0, 0.0, quantity),
            "confidence": confidence, "consensus": consensus, "regime_at_entry": regime,
        }

    @staticmethod
    def enrich_trade_exit(
        trade_entry: Mapping[str, Any], exit_price: float, exit_reason: str, pnl_dollars: float,
        fees_estimate: float = 0.0, slippage_estimate: float = 0.0, mfe: float | None = None, mae: float | None = None,
        regime: str | None = None,
    ) -> dict[str, Any]:
        """*trade_entry* with its result; *mfe* and *mae* are the best and the worst price seen."""
        sign, risk = _sign(trade_entry["action"]), trade_entry["risk_amount"]
        entry, distance = trade_entry["entry_price"], trade_entry["sl_distance_dollars"]
        costs = fees_estimate + slippage_estimate
        return {
            **trade_entry, "exit_price": exit_price, "exit_reason": exit_reason, "pnl_dollars": pnl_dollars,
            "pnl_pct": pnl_dollars / trade_entry["notional"] * 100.0, "R_multiple": pnl_dollars / risk,
            "net_R_multiple": (pnl_dollars - costs) / risk, "total_costs": costs, "cost_in_R": costs / risk,
            "mfe_R": None if mfe is None else sign * (mfe - entry) / distance,
            "mae_R": None if mae is None else sign * (mae - entry) / distance,
            "was_winner": pnl_dollars > 0.0, "regime_at_exit": regime,
        }

    @staticmethod
    def format_trade_log_message(enriched: Mapping[str, Any], stage: str = "ENTRY") -> str:
        """One line for people about an entry or an exit."""
        name = f"{enriched['action']} {enriched['symbol']} {stage}"
        if stage == "ENTRY":
            parts = [
                f"{name} @ ${enriched['entry_price']:,.6g}",
                f"SL: ${enriched['stop_loss']:,.6g} (-{enriched['sl_distance_pct']:.1f}%)",
                f"TP: ${enriched['take_profit']:,.6g} (+{enriched['tp_distance_pct']:.1f}%)",
                f"R:R {enriched['risk_reward_ratio']:.1f}", enriched["consensus"], enriched["regime_at_entry"],
            ]
        else:
            best = enriched.get("mfe_R")
            parts = [
                f"{name} @ ${enriched['exit_price']:,.6g}", enriched["exit_reason"],
                f"{enriched['R_multiple']:.1f}R (${enriched['pnl_dollars']:,.2f})",
                f"Net: {enriched['net_R_multiple']:.2f}R", None if best is None else f"MFE: {best:.2f}R",
            ]
        return " | ".join(part for part in parts if part)


def _sign(action: str) -> int:
    if action not in _SIGNS:
        raise InputError(f"action = {action!r}: must be LONG or SHORT")
    return _SIGNS[action]
