"""A snapshot of one day and the day before, of a small catalogue: what the tests of statements speak of."""

from __future__ import annotations

from collections.abc import Iterable

from quantum_trader.lab.metrics.metric import BetterWhen, Dimension, Metric, Unit
from quantum_trader.lab.metrics.values import WHOLE, MetricKey, MetricSnapshot, MetricValue

DAY, BEFORE = "2026-11-27", "2026-11-26"
BY = (Dimension.MODE, Dimension.SYMBOL)


def metric(
    id_: str, unit: Unit, direction: BetterWhen, *nouns: str, target: float | None = None,
    by: tuple[Dimension, ...] = BY,
) -> Metric:
    """A metric of the small catalogue; its SQL is never run."""
    return Metric(
        id=id_, title=nouns[0], group="performance", unit=unit, direction=direction, meaning="", of="trades",
        value="1", nouns=nouns, target=target, by=by,
    )


HIGHER, LOWER, NEITHER = BetterWhen.HIGHER, BetterWhen.LOWER, BetterWhen.NEITHER
METRICS = {
    one.id: one
    for one in (
        metric("pnl_total", Unit.USDT, HIGHER, "profit", "result", "PnL"),
        metric("win_rate", Unit.SHARE, HIGHER, "win rate", "share of wins", target=0.5),
        metric("profit_factor", Unit.RATIO, HIGHER, "profit factor", target=1.2),
        metric("trades", Unit.COUNT, NEITHER, "trade", "number of trades"),
        metric("fees", Unit.USDT, LOWER, "fee", "cost of trading"),
        metric("expectancy_r", Unit.R, HIGHER, "expectancy"),
        metric("max_drawdown", Unit.SHARE, LOWER, "drawdown", "maximum drawdown", target=0.1),
        metric("latency_p99", Unit.SECONDS, LOWER, "decision latency", by=()),
        metric("slippage", Unit.BPS, LOWER, "slippage"),
        metric("holding_hours", Unit.HOURS, NEITHER, "holding time"),
        metric("sharpe", Unit.RATIO, HIGHER, "Sharpe ratio", by=()),
        metric("signals", Unit.COUNT, NEITHER, "signal", by=()),
    )
}


def values(table: dict[str, dict[str, float | None]]) -> Iterable[MetricValue]:
    """Values of ``{metric: {"day" or "day|mode=scalp": value}}``, each with an interval a tenth wide."""
    for name, cells in table.items():
        for place, value in cells.items():
            day, _, where = place.partition("|")
            pairs = tuple(sorted(tuple(one.split("=", 1)) for one in where.split(",") if one))
            width = None if value is None else abs(value) * 0.05
            yield MetricValue(
                key=MetricKey(name, day, pairs), value=value, samples=10,  # type: ignore[arg-type]
                low=None if value is None else value - width, high=None if value is None else value + width,
            )


def cells(
    today: float | None, before: float | None, whole: float | None, **by: float | None
) -> dict[str, float | None]:
    """A day, the day before, the span; scalp, trend and runner, BTCUSDT and 1000PEPEUSDT of the day."""
    made = {DAY: today, BEFORE: before, WHOLE: whole}
    for name in ("scalp", "trend", "runner"):
        if name in by:
            made[f"{DAY}|mode={name}"] = by[name]
    if "btc" in by:
        made |= {f"{DAY}|symbol=BTCUSDT": by["btc"], f"{DAY}|symbol=1000PEPEUSDT": by["pepe"]}
    return made


def day_snapshot() -> MetricSnapshot:
    """A day with a gain after a day with a loss."""
    table = {
        "pnl_total": cells(412.5, -85.25, 1020.0, scalp=520.0, trend=-107.5, runner=0.0, btc=300.0, pepe=112.5),
        "win_rate": cells(0.545, 0.412, 0.48, scalp=0.6, trend=0.4, btc=0.5, pepe=0.65),
        "profit_factor": cells(1.62, 0.85, 1.1, scalp=2.1, trend=0.7),
        "trades": cells(22.0, 17.0, 140.0, scalp=15.0, trend=7.0, runner=0.0, btc=12.0, pepe=10.0),
        "fees": cells(31.4, 15.5, 190.0, scalp=25.0, trend=6.4),
        "expectancy_r": cells(0.21, -0.08, 0.05, scalp=0.3, trend=-0.1),
        "max_drawdown": cells(0.031, 0.052, 0.08),
        "latency_p99": cells(0.00042, 0.00042, 0.0005),
        "slippage": cells(1.8, 2.2, 2.0),
        "holding_hours": cells(3.4, 7.1, 5.0),
        "sharpe": cells(None, None, 1.4),
        "signals": cells(310.0, 250.0, 2100.0),
    }
    return MetricSnapshot(METRICS, values(table), DAY)
