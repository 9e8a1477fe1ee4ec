"""How a value of a metric is written: one way for each unit, on every screen and in every sentence."""

from __future__ import annotations

import math
from typing import Final

from quantum_trader.lab.metrics.metric import Unit

NO_DATA: Final = "no data"


def metric_text(value: float | None, unit: Unit) -> str:
    """*value* in *unit* for a person: rounded, with sign where it is a gain or a loss, and its unit behind it."""
    if value is None or not math.isfinite(value):
        return NO_DATA
    return _WRITTEN[unit](value)


def _signed(value: float, digits: int) -> str:
    text = f"{value:+,.{digits}f}"
    return text[1:] if float(text.replace(",", "")) == 0.0 else text


def _plain(value: float, digits: int) -> str:
    text = f"{value:,.{digits}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0.0 else text


def _ratio(value: float) -> str:
    return _plain(value, 2 if abs(value) < 100.0 else 0)


def _seconds(value: float) -> str:
    if abs(value) >= 1.0:
        return f"{_plain(value, 2)} s"
    return f"{_plain(value * 1e3, 1)} ms" if abs(value) >= 1e-3 else f"{_plain(value * 1e6, 0)} us"


def _bytes(value: float) -> str:
    for factor, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if abs(value) >= factor:
            return f"{_plain(value / factor, 1)} {name}"
    return f"{_plain(value, 0)} B"


_WRITTEN: Final = {
    Unit.USDT: lambda value: f"{_signed(value, 2)} USDT",
    Unit.USDT_AMOUNT: lambda value: f"{_plain(value, 2)} USDT",
    Unit.PRICE: lambda value: f"{_plain(value, 6 if abs(value) < 1.0 else 2)} USDT",
    Unit.BPS: lambda value: f"{_signed(value, 1)} bps",
    Unit.SHARE: lambda value: f"{_plain(100.0 * value, 1)} %",
    Unit.PERCENT: lambda value: f"{_signed(value, 2)} %",
    Unit.QUANTITY: lambda value: f"{value:g}",
    Unit.R: lambda value: f"{_signed(value, 3)} R",
    Unit.COUNT: lambda value: _plain(value, 0),
    Unit.RATIO: _ratio,
    Unit.SECONDS: _seconds,
    Unit.HOURS: lambda value: f"{_plain(value, 1)} h",
    Unit.DAYS: lambda value: f"{_plain(value, 1)} d",
    Unit.BYTES: _bytes,
}
