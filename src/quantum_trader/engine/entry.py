"""An opening sized and judged in one compiled call, on the scalars that the sweep compiles too.

Between two bars the code of a decision leaves the processor's caches; in Python it then takes several times as long.
The gates come before, in Python: most signals end there and need nothing of sizing and guard. The verdict is put
into words by the risk room, which alone makes an ``Approved``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from quantum_trader.engine.road import ROAD_APPROVED, entry_stop, size_entry
from quantum_trader.market.jit import compiled, kernel
from quantum_trader.risk import account_column
from quantum_trader.risk.guard import guard_core

_entry_stop = compiled(entry_stop)
_size_entry = compiled(size_entry)
_guard = compiled(guard_core)

_Row = tuple[float, ...]


class EntryRequest(NamedTuple):
    """What a signal that has passed the gates asks for: a new position, or more of one that is held."""

    sign: int  # +1 long, -1 short
    price: float
    atr: float  # of hourly bars, in price units
    stop_atr: float  # distance of the stop, in ATRs
    risk_pct: float  # of equity, permitted for the trade
    factor: float  # share of the permitted risk that the symbol's record and the governor leave
    leverage: float  # wanted
    quantity: float = math.inf  # to hold in all, base units; infinite where the risk alone decides
    held_qty: float = 0.0  # of the position that is added to
    held_entry: float = 0.0  # its average entry
    held_stop: float = 0.0  # its stop


class EntryDecision(NamedTuple):
    """How a request fared: in sizing (*road*, a ROAD code), then at the guard."""

    road: int
    wanted: float  # quantity before the guard, base units
    leverage: float
    stop: float
    guard: int  # code of the guard's reason, 0: approved
    qty: float  # quantity approved, base units
    observed: float
    limit: float


@kernel
def decide_rows(request, sizes, market, account, limits, tiers):  # type: ignore[no-untyped-def]
    """The fields of :class:`EntryDecision` from the rows of :func:`decide_entry`."""
    sign, price, atr, stop_atr, risk_pct, factor, wanted_leverage, quantity, held_qty, held_entry, stop = request
    held = (held_qty, held_entry)
    stop = _entry_stop(sign, price, atr, stop_atr, quantity, held, stop, wanted_leverage, limits, tiers)
    road, wanted, leverage = _size_entry(
        sign, price, stop, account[account_column.EQUITY], risk_pct, factor, int(account[account_column.GOVERNOR]),
        wanted_leverage, sizes, limits, tiers, quantity, held,
    )
    if road != ROAD_APPROVED:
        return road, wanted, 0.0, stop, 0, 0.0, 0.0, 0.0
    intent = (
        sign, wanted, price, stop, leverage, sizes[0], sizes[1], sizes[2], market[0], market[1], market[2], market[3],
        market[4], held_qty, held_entry,
    )
    guard, qty, observed, limit = _guard(intent, account, limits, tiers)
    return road, wanted, leverage, stop, guard, qty, observed, limit


def decide_entry(
    request: EntryRequest, sizes: _Row, market: _Row, account: _Row, limits: _Row, tiers: Any
) -> EntryDecision:
    """Decide on an opening that the gates let through.

    *sizes*: step, least quantity, least notional. *market*: cost in R, age of the data in seconds, expired, symbol
    allowed, new position (``guard.market_row``). *account*, *limits*: rows of the guard.
    *tiers* (K, 4) float64: the symbol's leverage table.
    """
    return EntryDecision(*decide_rows(
        _floats(request), _floats(sizes), _floats(market), _floats(account), _floats(limits), tiers
    ))


def _floats(row: Sequence[float]) -> _Row:
    """*row* with floats alone: another type would be compiled anew, while an order waits."""
    return tuple(map(float, row))
