"""How numbers are written for a person: one way each, in the terminal and in the HTML report."""

from __future__ import annotations

from typing import Any, Final

from quantum_trader.app.report.words import policy_words, words

__all__ = [
    "UNKNOWN", "count", "day", "interval", "money", "multiple", "percent", "policy_words", "price", "ratio", "share",
    "signed_money", "trades_words", "words",
]

UNKNOWN: Final = "–"


def money(value: float | None, digits: int = 2) -> str:
    """USDT with thousands separators."""
    return UNKNOWN if value is None else f"{value:,.{digits}f}"


def signed_money(value: float | None) -> str:
    """USDT with its sign."""
    return UNKNOWN if value is None else f"{value:+,.2f}"


def percent(value: float | None, digits: int = 2) -> str:
    """Percent with its sign."""
    return UNKNOWN if value is None else f"{value:+.{digits}f} %"


def share(value: float | None, digits: int = 1) -> str:
    """A share of 0..1 as percent."""
    return UNKNOWN if value is None else f"{value * 100.0:.{digits}f} %"


def multiple(value: float | None) -> str:
    """A multiple of the risk taken, with its sign."""
    return UNKNOWN if value is None else f"{value:+.3f} R"


def trades_words(trades: dict[str, Any]) -> str:
    """What stands beside the number of closed trades, given by :func:`trade_statistics`."""
    if not trades["count"]:
        return "none was closed"
    factor = f"profit factor {ratio(trades['profit_factor'])}"
    return f"{share(trades['win_rate'])} won, {factor}, {multiple(trades['avg_r'])} each"


def attempted_words(road: dict[str, Any]) -> str:
    """How many signals there were and how many orders were attempted for them, given by the report's signals."""
    return (
        f"{count(road['signals'])} signals, {count(road['intents'])} orders attempted, additions to open positions "
        "counted in both"
    )


def ratio(value: float | None) -> str:
    """A plain ratio."""
    return UNKNOWN if value is None else f"{value:.2f}"


def count(value: int | None) -> str:
    """A whole number with thousands separators."""
    return UNKNOWN if value is None else f"{value:,}"


def price(value: float) -> str:
    """A price with two decimals from 100 on, four from 1 on and six below 1."""
    magnitude = abs(value)
    digits = 2 if magnitude >= 100.0 else 4 if magnitude >= 1.0 else 6
    return f"{value:,.{digits}f}"


def interval(low: float | None, high: float | None, unit: str = "R") -> str:
    """A 95 % interval, or a note that there are too few trades for one."""
    if low is None or high is None:
        return "too few trades"
    return f"{low:+.3f} to {high:+.3f} {unit}"


def day(iso_time: str) -> str:
    """The date of an ISO time."""
    return iso_time[:10]
