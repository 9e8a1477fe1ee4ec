"""Filters, fees and leverage tiers of symbols: the venue's values for known symbols, strict defaults for others."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.domain.errors import DataError
from quantum_trader.domain.instrument import Instrument, LeverageTier

# Stricter at every position size than any known symbol (a test compares them).
DEFAULT_TIERS: Final = (
    LeverageTier(max_notional=5_000.0, maintenance_margin_rate=0.025, max_leverage=20.0, maintenance_amount=0.0),
    LeverageTier(max_notional=25_000.0, maintenance_margin_rate=0.05, max_leverage=10.0, maintenance_amount=125.0),
    LeverageTier(max_notional=100_000.0, maintenance_margin_rate=0.1, max_leverage=5.0, maintenance_amount=1_375.0),
    LeverageTier(max_notional=250_000.0, maintenance_margin_rate=0.125, max_leverage=4.0, maintenance_amount=3_875.0),
    LeverageTier(max_notional=1_000_000.0, maintenance_margin_rate=0.25, max_leverage=2.0,
                 maintenance_amount=35_125.0),
    LeverageTier(max_notional=5_000_000.0, maintenance_margin_rate=0.5, max_leverage=1.0,
                 maintenance_amount=285_125.0),
)
DEFAULT_MIN_NOTIONAL: Final = 10.0


class InstrumentTable(msgspec.Struct, frozen=True, kw_only=True):
    """Instruments of a run, in the order of the request, and which of them are defaults."""

    instruments: tuple[Instrument, ...]
    assumed: tuple[str, ...]


def table_path() -> Path:
    """File of the package's instrument table."""
    return Path(str(files("quantum_trader").joinpath("data", "instruments.toml")))


@cache
def known_instruments() -> dict[str, Instrument]:
    """Every symbol of the package's table."""
    with table_path().open("rb") as file:
        table = tomllib.load(file)["instruments"]
    return {symbol: _instrument(symbol, facts) for symbol, facts in table.items()}


def _instrument(symbol: str, facts: dict[str, Any]) -> Instrument:
    tiers = tuple(
        LeverageTier(
            max_notional=notional, maintenance_margin_rate=rate, max_leverage=leverage, maintenance_amount=amount
        )
        for notional, rate, leverage, amount in facts["tiers"]
    )
    return Instrument(
        symbol=symbol, tick_size=facts["tick_size"], step_size=facts["step_size"], min_qty=facts["min_qty"],
        min_notional=facts["min_notional"], tiers=tiers,
    )


def instrument_for(symbol: str, price: float) -> tuple[Instrument, bool]:
    """Return the instrument of *symbol* and whether it is the default made for a symbol near *price*.

    The default has a tick of 0.1 to 1 basis point of the price, a step worth 0.1 to 1 USDT, and tiers stricter
    than any known symbol's. DataError when the symbol is unknown and the price is not positive and finite.
    """
    known = known_instruments().get(symbol)
    if known is not None:
        return known, False
    if not (math.isfinite(price) and price > 0.0):
        raise DataError(f"{symbol}: price = {price!r}: an unknown symbol's filters follow its price; give one above 0")
    magnitude = math.floor(math.log10(price))
    step = _power_of_ten(-magnitude - 1)
    default = Instrument(
        symbol=symbol, tick_size=_power_of_ten(magnitude - 4), step_size=step, min_qty=step,
        min_notional=DEFAULT_MIN_NOTIONAL, tiers=DEFAULT_TIERS,
    )
    return default, True


def _power_of_ten(exponent: int) -> float:
    return float(f"1e{exponent}")


def instruments_for(symbols: Sequence[str], prices: Sequence[float]) -> InstrumentTable:
    """Return the instruments of *symbols*; *prices* (a close each) matter for unknown ones.

    DataError for a symbol whose price is NaN: none of its bars was traded.
    """
    if untraded := [symbol for symbol, price in zip(symbols, prices, strict=True) if math.isnan(price)]:
        raise DataError(
            f"{', '.join(untraded)}: no bar was traded (volume 0 in every one), so there is no market; repair "
            "the volume, or import the bars without that column to have every bar count as traded"
        )
    found = [instrument_for(symbol, price) for symbol, price in zip(symbols, prices, strict=True)]
    return InstrumentTable(
        instruments=tuple(instrument for instrument, _ in found),
        assumed=tuple(instrument.symbol for instrument, assumed in found if assumed),
    )
