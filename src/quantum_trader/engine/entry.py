"""An opening decided in one compiled call: gates, size, leverage and guard, on the scalars that the sweep compiles too.

Between two bars the code of a decision leaves the processor's caches; walked in Python it then takes several times as
long. The verdict is put into words by the risk room, which alone makes an ``Approved``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from quantum_trader.engine.road import ROAD_APPROVED, gate, planned_stop, size_entry
from quantum_trader.market.jit import compiled, kernel
from quantum_trader.policy.enforcement import Settings
from quantum_trader.risk import account_column
from quantum_trader.risk.guard import guard_core

_gate = compiled(gate)
_planned_stop = compiled(planned_stop)
_size_entry = compiled(size_entry)
_guard = compiled(guard_core)

Row = tuple[float, ...]


class EntryRequest(NamedTuple):
    """What a signal asks for, and what stands in its way before the guard."""

    sign: int  # +1 long, -1 short
    confidence: float
    held_sign: int  # of the symbol's open position, 0: none
    pending: int  # 1: an opening order of the symbol is on its way
    open_count: int  # positions and opening orders on their way
    price: float
    atr: float  # of hourly bars, in price units
    stop_atr: float  # distance of the stop, in ATRs
    factor: float  # share of the permitted risk that the symbol's record and the governor leave
    leverage: float  # wanted


class EntryDecision(NamedTuple):
    """How a request fared: at the gates and in sizing (*road*, a ROAD code), then at the guard."""

    road: int
    wanted: float  # quantity before the guard, base units
    leverage: float
    stop: float
    guard: int  # code of the guard's reason, 0: approved
    qty: float  # quantity approved, base units
    observed: float
    limit: float


@kernel
def _decide(request, settings, sizes, market, account, limits, tiers):  # type: ignore[no-untyped-def]
    sign, confidence, held_sign, pending, open_count, price, atr, stop_atr, factor, wanted_leverage = request
    road = _gate(sign, confidence, atr, held_sign, pending, open_count, settings)
    if road != ROAD_APPROVED:
        return road, 0.0, 0.0, 0.0, 0, 0.0, 0.0, 0.0
    stop = _planned_stop(sign, price, atr, stop_atr)
    road, wanted, leverage = _size_entry(
        sign, price, stop, account[account_column.EQUITY], settings[3], factor,
        int(account[account_column.GOVERNOR]), wanted_leverage, sizes,
        limits, tiers,
    )
    if road != ROAD_APPROVED:
        return road, wanted, 0.0, stop, 0, 0.0, 0.0, 0.0
    intent = (
        float(sign), wanted, price, stop, leverage, sizes[0], sizes[1], sizes[2], market[0], market[1], market[2],
        market[3], market[4],
    )
    guard, qty, observed, limit = _guard(intent, account, limits, tiers)
    return road, wanted, leverage, stop, guard, qty, observed, limit


def decide_entry(
    request: EntryRequest, settings: Settings, sizes: Row, market: Row, account: Row, limits: Row, tiers: Any
) -> EntryDecision:
    """Decide on an opening.

    *settings*: those in use for the symbol. *sizes*: step, least quantity, least notional. *market*: cost in R, age of
    the data in seconds, expired, symbol allowed, new position (the last five columns of the guard's intent row).
    *account*, *limits*: rows of the guard. *tiers* (K, 4) float64: the symbol's leverage table.
    """
    return EntryDecision(*_decide(
        _floats(request), _floats(settings), _floats(sizes), _floats(market), _floats(account), _floats(limits), tiers
    ))


def _floats(row: Sequence[float]) -> Row:
    """*row* with floats alone: another type would be compiled anew, while an order waits."""
    return tuple(map(float, row))
