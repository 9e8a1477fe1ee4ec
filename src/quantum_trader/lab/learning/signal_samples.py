"""Samples of a signal model from bars: its features at a close, and which barrier the price touches first from then on.

The bet is a long position that enters at the next bar's open. Target and stop lie equally far away, so many deviations
of the symbol's own returns over the horizon; time ends it at the horizon. The label is 1 where it gains before costs.
What long and short positions make after fee, spread, slippage and funding stands beside it, for the report.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.errors import DataError, require
from quantum_trader.domain.instrument import Instrument
from quantum_trader.lab.learning.labels import triple_barrier, vertical_barriers
from quantum_trader.lab.learning.training_table import SampleTable, joined_samples, sample_weights
from quantum_trader.market.arrays import Bools, Floats, Ints
from quantum_trader.market.costs import (
    BPS,
    FUNDING_HOURS,
    RANGE_SLIPPAGE_BPS,
    SPREAD_BPS_PER_ATR_RATIO,
    liquidity_of,
    round_trip_bps,
)
from quantum_trader.market.intervals import interval_name
from quantum_trader.models.forecast import duration_ns
from quantum_trader.models.history import CLOSE, FUNDING
from quantum_trader.models.learned.feature_list import NAMES
from quantum_trader.models.learned.signal_features import recording_features
from quantum_trader.models.whole_bars import WholeBars

_VOLATILITY, _RANGE = NAMES.index("volatility"), NAMES.index("range_share")
_COST_BARS_HOURS: Final = 4.0  # length of the bars whose range the costs look at


class LabelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the label of a sample is about."""

    horizon: str = "24h"  # longest life of a position, such as 12h or 3d
    width: float = 1.0  # of target and stop, in deviations over the horizon
    every: int = 1  # bars from one sample of a symbol to its next
    oldest_weight: float = 1.0  # towards which the weight of the oldest sample falls; 1: none falls

    def __post_init__(self) -> None:
        duration_ns(self.horizon, "--horizon")
        require(0.1 <= self.width <= 10.0, "--width", self.width, "must be 0.1 to 10 deviations")
        require(1 <= self.every <= 10_000, "--every", self.every, "must be 1 to 10,000 bars")

    def horizon_ns(self, length_ns: int) -> int:
        """The horizon in nanoseconds; DataError where it is shorter than a bar."""
        horizon = duration_ns(self.horizon, "--horizon")
        if horizon < length_ns:
            raise DataError(f"--horizon {self.horizon}: is shorter than a bar of {interval_name(length_ns)}; give a "
                            "longer horizon, or shorter bars with --bars")
        return horizon


def signal_samples(
    bars: WholeBars, instruments: tuple[Instrument, ...], labels: LabelSettings, source: str
) -> SampleTable:
    """The samples of all symbols of *bars*; *instruments* (S,) give fees and ticks. DataError where there are none."""
    features = recording_features(bars)
    tables = [
        table for s in range(len(bars.symbols))
        if (table := _of_symbol(bars, s, features[:, s], instruments[s], labels)) is not None
    ]
    if not tables:
        raise DataError(f"{source}: no symbol has the 97 bars of {interval_name(bars.length_ns)} and the horizon of "
                        f"{labels.horizon} that a sample needs; give more bars")
    table = joined_samples(tables)
    weights = sample_weights(table.starts_ns, table.ends_ns, bars.length_ns, labels.oldest_weight)
    return msgspec.structs.replace(table, weights=weights, source=source)


def _of_symbol(
    bars: WholeBars, index: int, features: Any, instrument: Instrument, labels: LabelSettings
) -> SampleTable | None:
    """The samples of one symbol, weights still 1; None without any."""
    have = np.flatnonzero(bars.present[:, index])
    fields, opens = bars.fields[:, have, index], bars.opens[have]
    if len(have) < 2:
        return None
    rows = features[have]
    volatility = rows[:, _VOLATILITY].astype(np.float64)
    followed = np.append(np.diff(have) == 1, False)
    chosen = np.flatnonzero((volatility > 0.0) & followed & (have % labels.every == 0))
    if not len(chosen):
        return None
    life_ns = labels.horizon_ns(bars.length_ns)
    width = labels.width * volatility[chosen] * np.sqrt(life_ns / bars.length_ns)
    first = (chosen + 1).astype(np.int64)
    found = triple_barrier(
        fields.T[:, :4], first, 1.0, width, np.minimum(width, 0.99), vertical_barriers(opens, first, life_ns)
    )
    done = found.resolved
    chosen, first, last, gross = chosen[done], first[done], found.exit_bar[done], found.gross_return[done]
    cost = _round_trips(bars, instrument, rows[chosen, _RANGE], fields[CLOSE, chosen]) / BPS
    funding = _funding_paid(fields[FUNDING], first, last, bars.length_ns)
    starts = opens[chosen] + bars.length_ns
    return SampleTable(
        names=NAMES, rows=rows[chosen], labels=(gross > 0.0).astype(np.int64), starts_ns=starts,
        ends_ns=opens[last] + bars.length_ns, known_ns=starts, net_returns=gross - cost - funding,
        net_against=-gross - cost + funding, weights=np.ones(len(chosen)), symbol=np.zeros(len(chosen), dtype=np.int64),
        sides=np.ones(len(chosen), dtype=np.int64), symbols=(bars.symbols[index],),
        interval=interval_name(bars.length_ns),
    )


def _round_trips(bars: WholeBars, instrument: Instrument, ranges: Any, closes: Floats) -> Floats:
    """What a taker's round trip costs (n,) in bps at *closes*, by the mean range of the bars before (a share)."""
    liquidity = liquidity_of(instrument.symbol)
    atr_ratio = ranges.astype(np.float64) * np.sqrt(_COST_BARS_HOURS * NS_PER_HOUR / bars.length_ns)
    spread = np.maximum(liquidity.spread_floor_bps, instrument.tick_size / closes * BPS)
    fee = np.full(len(closes), instrument.taker_fee_bps)
    slippage = liquidity.slippage_bps + RANGE_SLIPPAGE_BPS * atr_ratio
    return round_trip_bps(fee, slippage, spread + SPREAD_BPS_PER_ATR_RATIO * atr_ratio)


def _funding_paid(rates: Floats, first: Ints, last: Ints, length_ns: int) -> Floats:
    """What a long position pays (n,) from bar *first* to bar *last*, a fraction; an unknown rate counts as 0."""
    known: Bools = np.isfinite(rates)
    share = np.where(known, rates, 0.0) * (length_ns / (FUNDING_HOURS * NS_PER_HOUR))
    running = np.concatenate(([0.0], np.cumsum(share)))
    paid: Floats = running[last + 1] - running[first]
    return paid
