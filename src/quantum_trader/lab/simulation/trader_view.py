"""What the simulation reads of a trader's engine, in one place: no other part of it looks inside an engine.

Every function takes the engine of a live session and changes nothing, except :func:`begin_warm` and
:func:`continue_records`, which prepare a new engine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

from quantum_trader.domain.enums import GOV_EMERGENCY
from quantum_trader.engine.books import Position
from quantum_trader.engine.core import Engine
from quantum_trader.engine.gateway import Ticket
from quantum_trader.engine.venue_port import Transfer
from quantum_trader.policy.layout import MEM_DAY, MEM_PEAK
from quantum_trader.risk.limits import LOSS_LAST, losses_latched, losses_pct, orders_last_hour
from quantum_trader.signals import columns as col


class Safety(msgspec.Struct, frozen=True, kw_only=True):
    """What must survive a restart, as the engine holds it after the same inputs."""

    kill: bool
    held: str
    streak: int
    governor: tuple[float, ...]
    losses: tuple[float, ...]
    rate: tuple[float, ...]
    claimed: dict[str, int]
    positions: dict[str, float]
    cash: float
    models: str  # hash of what forecasts and models have learned and remember; empty without models

    @classmethod
    def of(cls, engine: Engine) -> Safety:
        """The state of *engine* now."""
        return cls(
            kill=engine.halts.operator_halt, held=engine.halts.held, streak=engine.account.books.losing_streak,
            governor=tuple(_comparable(engine.account.governor)), losses=tuple(_comparable(engine.account.losses)),
            rate=tuple(_comparable(engine.account.rate)), claimed=dict(engine.gateway.state()["claimed"]),
            positions={symbol: p.sign * p.qty for symbol, p in engine.account.books.positions.items()},
            cash=engine.account.books.cash, models=_models_hash(engine),
        )


def _comparable(row: Any) -> list[float]:
    """A row with a number in place of each NaN, which equals nothing."""
    return [-1e300 if value != value else value for value in row.tolist()]


def _models_hash(engine: Engine) -> str:
    """Hash of the whole state of the models; equal states give equal hashes."""
    forecasts = engine.market.forecasts
    if forecasts is None:
        return ""
    return hashlib.sha256(msgspec.msgpack.encode(forecasts.state(), enc_hook=_plain, order="deterministic")).hexdigest()


def _plain(value: Any) -> Any:
    """An array, or a scalar of one, as values that are equal where it is equal to the bit."""
    array = np.asarray(value)
    return [array.dtype.str, list(array.shape), array.tobytes()]


def may_rest(engine: Engine, symbol: str, now_ns: int) -> bool:
    """Whether an entry of *symbol* may rest post-only at *now_ns*: planned, not too old, and openings are not halted.

    While the venue is not there it cannot be cancelled.
    """
    halted = engine.halts.connected and bool(engine.halts.closed(symbol))
    return engine.opening.orders.may_rest(symbol, now_ns) and not halted


# ---------------------------------------------------------------------- a new engine


def begin_warm(engine: Engine, kernel: Any, now_ns: int) -> None:
    """Give a new engine the signals' state *kernel* and its first time."""
    engine.market.kernel.load_state(kernel)
    engine.market.now_ns = now_ns


def continue_records(engine: Engine, saved: dict[str, Any]) -> None:
    """Continue the record numbers of the session checkpoint *saved*."""
    engine.records.recorder.resume(saved["engine"]["seq"], ())


# ---------------------------------------------------------------------- time and halts


def engine_now_ns(engine: Engine) -> int:
    """The engine's time: the end of the newest bar or the time of the newest input."""
    return engine.now_ns


def is_killed(engine: Engine) -> bool:
    """Whether an operator's halt is in force."""
    return engine.halts.operator_halt


def hold_reason(engine: Engine) -> str:
    """Why openings wait for a person; empty when they do not."""
    return engine.halts.held


def why_no_openings(engine: Engine) -> str:
    """Why *engine* may open nothing; empty when it may."""
    if engine.halts.operator_halt:
        return "an operator halted"
    if not engine.halts.connected:
        return "the venue is out of reach"
    if engine.halts.held:
        return f"openings are held: {engine.halts.held}"
    if int(engine.account.governor[0]) >= GOV_EMERGENCY:
        return "the governor says EMERGENCY"
    return "the daily loss is latched" if is_loss_latched(engine) else ""


# ---------------------------------------------------------------------- limits


def is_loss_latched(engine: Engine) -> bool:
    """Whether the daily loss limit closes openings."""
    return bool(losses_latched(engine.account.losses))


def loss_24h_pct(engine: Engine) -> float:
    """Loss of the last 24 hours in percent, below zero, as of the newest judgement of the limit."""
    rolling, _ = losses_pct(engine.account.losses, float(engine.account.losses[LOSS_LAST]))
    return float(rolling)


def judged_pct(engine: Engine) -> tuple[float, float, float]:
    """What limits judge, in percent at the newest equity noted: 24 hours' change, since midnight, day's drawdown."""
    last, memory = float(engine.account.losses[LOSS_LAST]), engine.policy.slots.mem
    if last != last:  # nothing was noted yet
        return 0.0, 0.0, 0.0
    rolling, midnight = losses_pct(engine.account.losses, last)
    drawdown = (last / memory[MEM_PEAK] - 1.0) * 100.0 if memory[MEM_DAY] >= 0.0 else 0.0
    return float(rolling), float(midnight), float(drawdown)


def daily_loss_limit_pct(engine: Engine) -> float:
    """The daily loss limit in percent."""
    return engine.settings.limits.daily_loss_pct


def max_data_age_s(engine: Engine) -> float:
    """The age of bars above which nothing may open."""
    return engine.settings.limits.max_data_age_s


def engine_orders_last_hour(engine: Engine, at_ns: int) -> float:
    """Opening orders of the last hour, as the rate limit counts them."""
    return float(orders_last_hour(engine.account.rate, at_ns))


# ---------------------------------------------------------------------- account


def cash(engine: Engine) -> float:
    """Wallet balance by the books."""
    return engine.account.books.cash


def sizing_equity(engine: Engine) -> float:
    """The equity that orders are sized with now."""
    return engine.account.equity


def book_equity(engine: Engine) -> float:
    """Equity by the books at the engine's newest closes."""
    return float(engine.account.books.equity(engine.market.kernel.out[:, col.CLOSE]))


def position(engine: Engine, symbol: str) -> Position | None:
    """The position of *symbol* in the books."""
    return engine.account.books.positions.get(symbol)


def losing_streak(engine: Engine) -> int:
    """Losing trades in a row."""
    return engine.account.books.losing_streak


def booked_trades(engine: Engine) -> int:
    """Trades closed in the books."""
    return engine.account.books.trade_count


def closed_trades(engine: Engine) -> int:
    """Closed trades on record in this life."""
    return len(engine.records.tally.trades)


def booked_fills(engine: Engine) -> set[str]:
    """Ids of the fills that the engine remembers as booked."""
    return set(engine.seen.state())


def booked_transfers(engine: Engine, transfers: Iterable[Transfer]) -> list[float]:
    """The amounts (USDT) of those of the exchange's *transfers* that the engine remembers, by stream or by answer."""
    seen = engine.seen
    return [
        one.amount for one in transfers
        if f"money/{one.move_id}" in seen or f"money/{one.ts_ns}/{one.amount!r}" in seen
    ]


def tickets(engine: Engine) -> Iterable[Ticket]:
    """The gateway's orders."""
    return engine.gateway.tickets()
