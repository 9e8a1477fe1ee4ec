"""Facts of an invented run, for tests of what is made of them."""

from __future__ import annotations

import numpy as np

from quantum_trader.app.runs.results import (
    CostFacts,
    DataStatement,
    DrawdownFacts,
    EvidenceRow,
    HaltRow,
    PolicyFacts,
    PositionView,
    RunFacts,
    RunStats,
    ShadowFacts,
    TimeShares,
)
from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR
from quantum_trader.domain.enums import ExitReason, Side
from quantum_trader.domain.trading import ClosedTrade

_NO_META_LABEL = 0b100000_100000  # the bits of a meta-label gate that does not pass, for it was not measured
START_NS = 17_440 * NS_PER_DAY  # 2017-10-01
SYMBOLS = ("BTCUSDT", "ETHUSDT")
STATS = RunStats(wall_s=1.5, bars_per_s=100_000.0, version="0.0.0", python="3.11", report="report.html")


def trade(index: int, r: float, **changes: object) -> ClosedTrade:
    """A closed trade of *r* times 10 USDT."""
    values: dict[str, object] = {
        "trade_id": f"t{index}", "trace_id": f"s{index}", "symbol": SYMBOLS[index % 2],
        "side": Side.LONG if index % 3 else Side.SHORT, "qty": 0.1, "entry_ns": START_NS + index * NS_PER_HOUR,
        "exit_ns": START_NS + (index + 6) * NS_PER_HOUR, "entry_price": 100.0, "exit_price": 100.0 + r,
        "stop_price": 99.0, "target_price": 0.0,
        "exit_reason": ExitReason.STOP if r < 0.0 else ExitReason.TRAILING_STOP, "pnl": 10.0 * r, "fees": 0.5,
        "funding": -0.1, "slippage_bps": 2.0, "risk_amount": 10.0, "r_multiple": r, "mfe_r": max(r, 0.2),
        "mae_r": min(r, -0.2), "stop_distance_pct": 1.0, "stop_distance_atr": 1.5, "target_distance_atr": 0.0,
        "bars_held": 12, "regime_entry": ("TRENDING UP NORMAL", "RANGING LOW")[index % 2], "regime_exit": "RANGING LOW",
        "exit_mode": "TREND_FOLLOW", "confidence": 0.55, "policy_hash": "abc", "model": "ensemble",
    }
    return ClosedTrade(**{**values, **changes})  # type: ignore[arg-type]


def facts(days: int = 400, trades: int = 300, *, with_policy: bool = True, seed: int = 7) -> RunFacts:
    """A run of *days* with a wandering equity and *trades* closed trades."""
    rng = np.random.default_rng(seed)
    hours = days * 24 + 1
    ts = START_NS + np.arange(hours, dtype=np.int64) * NS_PER_HOUR
    equity = 10_000.0 * np.exp(np.concatenate(([0.0], np.cumsum(rng.normal(0.0, 0.002, hours - 1)))))
    closes = 4_000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.006, (hours, 2)), axis=0))
    closes[:48, 1] = np.nan
    state = np.repeat(rng.choice([0, 0, 0, 1, 2], size=hours // 36 + 1), 36)[:hours].astype(np.int8)
    shadow_count = trades * 3
    others = np.random.default_rng(seed + 1)
    return RunFacts(
        settings={"policy": {"profile": "STANDARD"}, "rollout": {"mode": "OBSERVE"}, "account": {"leverage": 10.0}},
        data=DataStatement(
            source="bundled", symbols=SYMBOLS, interval="30m", first_ns=int(ts[0]), last_ns=int(ts[-1]),
            moments=hours * 2, bars=hours * 4, outages=12, holes=1, fingerprint="0" * 64, funding_source="assumed",
            funding_statement="The bars are spot and carry no funding: 0.0100 % per 8 hours is assumed.",
        ),
        start_equity=10_000.0, ts_ns=ts, equity=equity, closes=closes,
        lows=equity / np.maximum.accumulate(equity) - 1.0,
        drawdown=DrawdownFacts(depth=-0.061, peak_ns=int(ts[3]), trough_ns=int(ts[5])),
        hold_drawdown=DrawdownFacts(depth=-0.5, peak_ns=int(ts[2]), trough_ns=int(ts[9])),
        policy_state=state if with_policy else np.full(hours, -1, dtype=np.int8),
        gross=0.5 * equity, held=np.ones(hours),
        trades=[trade(i, float(r)) for i, r in enumerate(rng.normal(0.05, 1.3, trades))],
        costs=CostFacts(fees=812.4, funding=-61.2, slippage=433.0, turnover=1_624_800.0), signals=2400, intents=trades,
        refusals={"CONFIDENCE": 1500, "POSITION_LIMIT": 310, "COST": 240, "DAILY_LOSS": 50},
        shadows=ShadowFacts(
            r=rng.normal(-0.05, 1.0, shadow_count), blocked=rng.random(shadow_count) < 0.4,
            ts_ns=np.sort(START_NS + rng.integers(0, days * 24, shadow_count) * NS_PER_HOUR),
            life_ns=rng.integers(1, 25, shadow_count) * NS_PER_HOUR, complete=np.ones(shadow_count, dtype=np.bool_),
            settled=np.ones(shadow_count, dtype=np.bool_), net_bps=others.normal(-2.0, 60.0, shadow_count),
            traded=others.random(shadow_count) < 0.2,
            gates=others.integers(0, 32, shadow_count) | _NO_META_LABEL,
        ),
        policy=PolicyFacts(
            updates=9000, changes=700, moments=9000, moments_blocked=900, moments_reduced=1400,
            rules={"A2": 4100, "A3": 900, "B1": 120, "HOLD": 2000, "E1": 800},
        ) if with_policy else None,
        evidence=(
            EvidenceRow(switch="signal_filter", enforced=False, decisions=2400, changed=90, shadows=88, mean_r=-0.11,
                        low_r=-0.4, high_r=0.2, verdict="undecided"),
            EvidenceRow(switch="trading_gate", enforced=False, decisions=2400, changed=12, shadows=12, mean_r=-0.2,
                        low_r=float("nan"), high_r=float("nan"), verdict="not enough evidence"),
        ) if with_policy else (),
        halts=(
            HaltRow(ts_ns=int(ts[hours // 20]), kind="DAILY_LOSS", reason="loss of 5.1 % in 24 hours",
                    cleared_ns=int(ts[hours // 20]) + 20 * NS_PER_HOUR, exit_path="next UTC midnight"),
            HaltRow(ts_ns=int(ts[-2]), kind="EMERGENCY", reason="drawdown 8.3 %", exit_path="resume --reason"),
        ),
        positions=(
            PositionView(symbol="BTCUSDT", side="LONG", qty=0.02, entry_price=8_100.0, mark_price=8_200.0,
                         stop_price=7_900.0, target_price=0.0, unrealised=2.0, unrealised_r=0.5, bars_held=9),
        ),
        shares=TimeShares(
            regime={"RANGING LOW": 0.7, "TRENDING UP NORMAL": 0.3}, governor={"NORMAL": 0.9, "CAUTIOUS": 0.1}
        ),
        records={"signal.generated": 2400, "trade.closed": trades}, notes=("The bars are those of a spot market.",),
    )
