"""Filters and tiers: the venue's facts where known, strict and reported defaults elsewhere."""

from __future__ import annotations

import csv
import itertools
import math
from pathlib import Path

import pytest

from quantum_trader.domain.errors import DataError
from quantum_trader.domain.instrument import LeverageTier
from quantum_trader.market.instruments import DEFAULT_TIERS, instrument_for, instruments_for, known_instruments

TIERS_CSV = Path(__file__).resolve().parents[3] / "shared" / "data" / "binance_um" / "ref" / "leverage_tiers.csv"


def margin(tiers: tuple[LeverageTier, ...], notional: float) -> float:
    """Maintenance margin of a position of *notional* USDT."""
    tier = next(one for one in tiers if notional <= one.max_notional)
    return notional * tier.maintenance_margin_rate - tier.maintenance_amount


def leverage(tiers: tuple[LeverageTier, ...], notional: float) -> float:
    """Highest leverage a position of *notional* USDT may have."""
    return next(one.max_leverage for one in tiers if notional <= one.max_notional)


def test_known_symbols_have_the_venues_facts() -> None:
    """BTCUSDT's filters are those of exchangeInfo, its fees the spec's, its first tier the venue's."""
    instrument, assumed = instrument_for("BTCUSDT", 1.0)
    assert not assumed
    assert (instrument.tick_size, instrument.step_size, instrument.min_qty) == (0.1, 0.001, 0.001)
    assert (instrument.maker_fee_bps, instrument.taker_fee_bps) == (2.0, 5.0)
    first = instrument.tiers[0]
    assert (first.max_notional, first.maintenance_margin_rate, first.max_leverage) == (50_000.0, 0.004, 125.0)
    assert len(known_instruments()) == 13


@pytest.mark.parametrize("symbol", sorted(known_instruments()))
def test_tiers_are_continuous_and_the_default_is_stricter(symbol: str) -> None:
    """Maintenance margin has no jump between tiers, and at every size the default asks for more margin."""
    tiers = known_instruments()[symbol].tiers
    for low, high in itertools.pairwise(tiers):
        assert margin((low,), low.max_notional) == pytest.approx(margin((high,), low.max_notional))
    for notional in (100.0, 5_000.0, 5_001.0, 30_000.0, 1e5, 3e5, 1e6, 4.9e6):
        assert margin(DEFAULT_TIERS, notional) > margin(tiers, notional)
        assert leverage(DEFAULT_TIERS, notional) <= leverage(tiers, notional)


def test_default_tiers_are_continuous() -> None:
    """The made-up table obeys the same arithmetic as the venue's."""
    for low, high in itertools.pairwise(DEFAULT_TIERS):
        assert margin((low,), low.max_notional) == pytest.approx(margin((high,), low.max_notional))


@pytest.mark.parametrize("price", [1.2e-5, 0.72, 1.0, 9.99, 10.0, 64_000.0])
def test_unknown_symbols_get_filters_from_their_price(price: float) -> None:
    """Tick between 0.1 and 1 basis point, step worth 0.1 to 1 USDT, and the table says it is assumed."""
    table = instruments_for(["BTCUSDT", "NEWUSDT"], [64_000.0, price])
    assert table.assumed == ("NEWUSDT",)
    made = table.instruments[1]
    assert 0.9e-5 <= made.tick_size / price <= 1.1e-4
    assert 0.09 <= made.step_size * price <= 1.1
    assert math.log10(made.tick_size) == pytest.approx(round(math.log10(made.tick_size)))


@pytest.mark.parametrize("price", [0.0, -1.0, math.nan, math.inf])
def test_unknown_symbol_without_a_price_is_refused(price: float) -> None:
    """There is nothing to derive filters from."""
    with pytest.raises(DataError, match="NEWUSDT: price"):
        instrument_for("NEWUSDT", price)


@pytest.mark.skipif(not TIERS_CSV.is_file(), reason="the reference data is not on this machine")
def test_table_is_the_reference_data() -> None:
    """Every tier in the package is a row of the source and the other way round."""
    with TIERS_CSV.open(encoding="utf-8", newline="") as file:
        rows = [
            (row["symbol"], *(float(row[key]) for key in ("max_notional", "maintenance_margin_rate", "max_leverage")))
            for row in csv.DictReader(file)
        ]
    made = [
        (symbol, tier.max_notional, tier.maintenance_margin_rate, tier.max_leverage)
        for symbol, instrument in known_instruments().items() for tier in instrument.tiers
    ]
    assert sorted(made) == sorted(rows)
