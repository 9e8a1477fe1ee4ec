"""Guard a plain ccxt loop with the policy: what may be traded, how much, and why not.

    python examples/ccxt_guard.py --demo            # offline, on made-up bars
    python examples/ccxt_guard.py                   # Binance USD-M public data; needs the network, no keys

It prints the order it would send and sends none: put ``exchange.create_order`` where the comment says.
"""

from __future__ import annotations

import argparse
import itertools
import math
from datetime import UTC, datetime, timedelta
from typing import Any

from quantum_trader.policy import (
    OrchestratorPolicy,
    PerformanceTag,
    RiskState,
    SymbolPerformanceData,
    SymbolPolicy,
    create_cost_metrics,
    create_risk_state,
    vol_level_of,
)

Bars = list[list[float]]  # ccxt's rows: time in ms, open, high, low, close, volume
SYMBOL = "BTC/USDT:USDT"


def atr_ratio(bars: Bars, length: int = 14) -> float:
    """Mean true range of the last *length* bars over the last close; NaN with too few bars."""
    if len(bars) <= length:
        return math.nan
    pairs = zip(bars[-length - 1 : -1], bars[-length:], strict=True)
    ranges = [max(high, before[4]) - min(low, before[4]) for before, (_, _, high, low, _, _) in pairs]
    return sum(ranges) / length / bars[-1][4]


def trend_of(hourly: Bars, length: int = 24) -> tuple[str, str | None]:
    """TRENDING with its direction when the way was straight enough, else RANGING."""
    closes = [bar[4] for bar in hourly[-length - 1 :]]
    if len(closes) <= length:
        return "UNKNOWN", None
    way = sum(abs(after - before) for before, after in itertools.pairwise(closes))
    move = closes[-1] - closes[0]
    if way == 0.0 or abs(move) / way < 0.3:
        return "RANGING", None
    return "TRENDING", "UP" if move > 0 else "DOWN"


def account(exchange: Any) -> RiskState:
    """The account as the policy sees it. A real bot reads balance and positions here and keeps its own streak."""
    del exchange
    return create_risk_state(
        daily_pnl_pct=-0.4, day_drawdown_pct=-0.6, losing_streak=1, open_trades_count=1, total_exposure_pct=2.0,
        equity=10_000.0,
    )


def look(policy: OrchestratorPolicy, exchange: Any, now: datetime | None = None) -> SymbolPolicy:
    """Ask the policy about one symbol at this moment."""
    hourly = exchange.fetch_ohlcv(SYMBOL, "1h", limit=100)[:-1]  # the last bar isn't complete
    four_hours = exchange.fetch_ohlcv(SYMBOL, "4h", limit=60)[:-1]
    book = exchange.fetch_order_book(SYMBOL, limit=5)
    bid, ask = book["bids"][0][0], book["asks"][0][0]
    spread_bps = (ask - bid) / bid * 10_000.0
    trend, direction = trend_of(hourly)
    answer = policy.update_policy(
        regime_tag=trend, direction=direction, vol_level=vol_level_of(atr_ratio(four_hours), policy.config),
        risk_state=account(exchange),
        symbol_performance=[SymbolPerformanceData(
            symbol=SYMBOL, winrate=0.52, avg_r=0.8, cumulative_pnl=120.0, trades=25,
            performance_tag=PerformanceTag.NEUTRAL,
        )],
        cost_metrics=create_cost_metrics("HIGH" if spread_bps >= policy.config.high_spread_bps else "NORMAL", "NORMAL"),
        now=now,
    )
    print(f"{answer.timestamp:%Y-%m-%d %H:%M} {answer.note}")
    return answer.for_symbol(SYMBOL)


def trade(allowed: SymbolPolicy, confidence: float, equity: float, entry: float, stop: float) -> str:
    """What the bot does with its own signal of *confidence*; entry and stop in quote currency."""
    if not allowed.allow_new_trades:
        return f"no trade: {allowed.reason or allowed.risk_profile.value}"
    if confidence < allowed.min_confidence:
        return f"no trade: confidence {confidence:.2f} is below {allowed.min_confidence:.2f}"
    qty = equity * allowed.max_risk_pct / 100.0 / abs(entry - stop)
    # exchange.create_order(SYMBOL, "market", "buy", qty, params={"stopLossPrice": stop})
    return f"buy {qty:.4f} at {entry:.1f}, stop {stop:.1f}, exits {allowed.exit_mode.value}"


class DemoExchange:
    """Made-up bars behind ccxt's names, so that the example runs offline."""

    def __init__(self, drift: float) -> None:
        self.drift = drift

    def fetch_ohlcv(self, symbol: str, timeframe: str, limit: int) -> Bars:
        """Bars that drift by a fixed share each, with a wave on top."""
        del symbol
        step = 4 if timeframe == "4h" else 1
        closes = [100.0 * (1.0 + self.drift) ** (step * n) + 0.2 * math.sin(n) for n in range(limit)]
        return [[3.6e6 * step * n, close, close * 1.004, close * 0.996, close, 10.0] for n, close in enumerate(closes)]

    def fetch_order_book(self, symbol: str, limit: int) -> dict[str, list[list[float]]]:
        """A book one basis point wide."""
        del symbol, limit
        return {"bids": [[100.0, 1.0]], "asks": [[100.01, 1.0]]}


def demo() -> list[str]:
    """Three moments: a trend, a flat market, and the trend again, an hour apart."""
    policy, said = OrchestratorPolicy(profile_name="STANDARD"), []
    start = datetime(2024, 3, 1, tzinfo=UTC)
    for hour, drift in enumerate((0.004, 0.0, 0.004)):
        allowed = look(policy, DemoExchange(drift), now=start + timedelta(hours=hour))
        said.append(trade(allowed, confidence=0.5, equity=10_000.0, entry=100.0, stop=98.0))
    return said


def main() -> None:
    """Run the demo, or look once at the live market."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", action="store_true", help="offline, on made-up bars")
    parser.add_argument("--state", help="file to keep the policy's memory in between runs")
    options = parser.parse_args()
    if options.demo:
        print("\n".join(demo()))
        return
    import ccxt

    exchange = ccxt.binanceusdm({"enableRateLimit": True})
    allowed = look(OrchestratorPolicy(state_path=options.state), exchange)
    price = exchange.fetch_ticker(SYMBOL)["last"]
    print(trade(allowed, confidence=0.62, equity=10_000.0, entry=price, stop=price * 0.98))


if __name__ == "__main__":
    main()
