"""Shadow trades: a paper copy of every signal, traded or not.

A shadow enters at the open of its symbol's next bar and pays a taker's cost (``market.costs``) and fee on both sides.
One of the standard bracket ends at its stop, its target, after 24 hours at the close, or at the last close before a
hole of more than a day. One of a model whose score holds positions has that model's stop and no target; it ends at the
next open once the model no longer wants it, after four times the model's horizon at the latest, and its R is weighted
by risk. When a bar touches stop and target the stop came first; a gap fills at the open. Funding is charged at the
open of each bar, on that price, at the rates that fell due since the bar before: an entered shadow pays or receives it
before it can end in the bar, and one that enters there does not. A missing bar postpones the charge to the next one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR
from quantum_trader.domain.errors import StateError, require
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.scalar import scalar
from quantum_trader.market.arrays import Floats, Ints
from quantum_trader.market.costs import RANGE_SLIPPAGE_BPS, fill_cost_bps
from quantum_trader.market.jit import compiled, kernel

SHADOW_STOP, SHADOW_TARGET, SHADOW_TIMEOUT, SHADOW_HOLE, SHADOW_SCORE = 0, 1, 2, 3, 4
SHADOW_EXITS: Final = ("STOP", "TAKE_PROFIT", "TIMEOUT", "DATA_HOLE", "SCORE")
MAX_OPEN: Final = 64
_OPEN: Final = -1  # no exit yet

# Columns of a resolved row; R is net and weighted, the bps are of the entry's notional, FROM is the entry's bar number.
(
    RESOLVED_SYMBOL, RESOLVED_SEQ, RESOLVED_NET_R, RESOLVED_EXIT, RESOLVED_BARS, RESOLVED_ENTRY, RESOLVED_FILL,
    RESOLVED_NET_BPS, RESOLVED_COST_BPS, RESOLVED_FUNDING_BPS, RESOLVED_FROM, RESOLVED_WEIGHT,
) = range(12)
RESULT_SIZE: Final = 12

# Columns of one held shadow; entry 0.0 until it has entered, reach negative once its model no longer wants it.
# The open it entered at, and funding received so far in price units, stand last.
_SEQ, _SIGN, _RISK, _REACH, _ENTRY, _FROM, _BARS, _WEIGHT, _OPENED_AT, _FUNDING = range(10)
SHADOW_SIZE: Final = 10
_LEAVES: Final = -1.0  # reach of a shadow that ends at the next open
_COUNT, _LAST_TS, _OVERFLOW, _DROPPED = 0, 1, 2, 3  # columns of the per-symbol integers
COUNTS_SIZE: Final = 4
MARK_CLOSE, MARK_OWED = 0, 1  # columns of the per-symbol marks: newest close, rates due that no bar has charged yet
MARKS_SIZE: Final = 2


@scalar
def shadow_exit(
    sign: float, stop: float, target: float, open_: float, high: float, low: float, close: float, expired: bool
) -> tuple[float, int]:
    """Return (level, exit code) of a position of *sign* within one bar; (0.0, -1) when it stays open.

    Stop before target; where the open is already beyond a level it fills at the open; *expired* closes at the close.
    """
    worst = low if sign > 0.0 else high
    best = high if sign > 0.0 else low
    if sign * (worst - stop) <= 0.0:
        return (open_ if sign * (open_ - stop) <= 0.0 else stop), SHADOW_STOP
    if sign * (best - target) >= 0.0:
        return (open_ if sign * (open_ - target) >= 0.0 else target), SHADOW_TARGET
    if expired:
        return close, SHADOW_TIMEOUT
    return 0.0, _OPEN


@scalar
def shadow_fill(sign: float, level: float, cost_bps: float) -> float:
    """Return the price at which a position of *sign* is left by a taker at *level*."""
    return level * (1.0 - sign * cost_bps / 10_000.0)


@scalar
def shadow_net(sign: float, entry: float, fill: float, fee_bps: float, funding: float) -> float:
    """Return the net result of one unit in price units: both prices are fills, *funding* received is above 0."""
    return sign * (fill - entry) - (entry + fill) * fee_bps / 10_000.0 + funding


@scalar
def shadow_cost(sign: float, opened_at: float, entry: float, level: float, fill: float, fee_bps: float) -> float:
    """Return what both fills of one unit cost in price units: spread, slippage and fees.

    *opened_at* and *level* are the prices before the fills *entry* and *fill*.
    """
    return sign * (entry - opened_at) + sign * (level - fill) + (entry + fill) * fee_bps / 10_000.0


_exit = compiled(shadow_exit)
_fill = compiled(shadow_fill)
_net = compiled(shadow_net)
_cost = compiled(shadow_cost)
_fill_cost = compiled(fill_cost_bps)


@kernel
def _resolve(s: int, shadow: Any, level: float, code: int, cost_bps: float, fee_bps: float, row: Any) -> None:
    """Write the result of symbol *s*'s *shadow*, which ends at *level* before the exit's cost, into *row*."""
    sign, entry, weight = shadow[_SIGN], shadow[_ENTRY], shadow[_WEIGHT]
    fill = _fill(sign, level, cost_bps)
    net = _net(sign, entry, fill, fee_bps, shadow[_FUNDING])
    to_bps = 10_000.0 / entry
    row[RESOLVED_SYMBOL], row[RESOLVED_SEQ] = s, shadow[_SEQ]
    row[RESOLVED_EXIT], row[RESOLVED_BARS] = code, shadow[_BARS]
    row[RESOLVED_NET_R] = net / shadow[_RISK] * weight
    row[RESOLVED_ENTRY], row[RESOLVED_FILL], row[RESOLVED_NET_BPS] = entry, fill, net * to_bps
    row[RESOLVED_COST_BPS] = _cost(sign, shadow[_OPENED_AT], entry, level, fill, fee_bps) * to_bps
    row[RESOLVED_FUNDING_BPS] = shadow[_FUNDING] * to_bps
    row[RESOLVED_FROM], row[RESOLVED_WEIGHT] = shadow[_FROM], weight


@kernel
def close_shadows(
    s: int, held: Any, counts: Any, close: float, cost: float, fee_bps: float, resolved: Any, at: int
) -> int:
    """Resolve symbol *s*'s entered shadows at *close* and drop the waiting ones; return the next free row."""
    for slot in range(counts[s, _COUNT]):
        shadow = held[s, slot]
        if shadow[_ENTRY] > 0.0:
            _resolve(s, shadow, close, SHADOW_HOLE, cost, fee_bps, resolved[at])
            at += 1
        else:
            counts[s, _DROPPED] += 1
    counts[s, _COUNT] = 0
    return at


@kernel
def _symbol_bar(
    s: int, bar: Any, owed: float, interval_ns: Any, index: float, max_bars: float, held: Any, counts: Any,
    calm_cost: float, range_bps: float, fee_bps: float, resolved: Any, at: int,
) -> int:
    """Process one bar (number *index*) for symbol *s*'s shadows; return the next free row of *resolved*.

    *owed*: the sum of the funding rates that are due at its open.
    """
    kept, open_, high, low, close = 0, bar[0], bar[1], bar[2], bar[3]  # in registers: shadows are written meanwhile
    cost = _fill_cost(calm_cost, range_bps, open_, high, low, interval_ns)
    for slot in range(counts[s, _COUNT]):
        sign, entry = held[s, slot, _SIGN], held[s, slot, _ENTRY]
        if entry == 0.0:
            entry = held[s, slot, _ENTRY] = open_ * (1.0 + sign * cost / 10_000.0)
            held[s, slot, _OPENED_AT], held[s, slot, _FROM] = open_, index
        elif owed != 0.0:
            held[s, slot, _FUNDING] -= sign * open_ * owed
        held[s, slot, _BARS] += 1.0
        expired = index - held[s, slot, _FROM] + 1.0 >= max_bars
        level, code, reach = open_, SHADOW_SCORE, held[s, slot, _REACH]
        if reach >= 0.0:
            level, code = _exit(
                sign, entry - sign * held[s, slot, _RISK], entry + sign * reach, open_, high, low, close, expired
            )
        if code >= 0:
            _resolve(s, held[s, slot], level, code, cost, fee_bps, resolved[at])
            at += 1
        else:
            if kept != slot:
                held[s, kept] = held[s, slot]
            kept += 1
    counts[s, _COUNT] = kept
    return at


@kernel
def shadow_moment(
    ts_ns: Any, interval_ns: Any, max_bars: float, range_bps: float, fees_bps: Any, ohlcv: Any, present: Any,
    costs: Any, rates: Any, held: Any, counts: Any, marks: Any, resolved: Any,
) -> int:
    """Process the bar of every present symbol for its shadows; return how many were resolved.

    *rates* (S,): the sum of the funding rates that fell due after the bar before and up to *ts_ns*.
    """
    made = 0
    index = float(ts_ns // interval_ns)
    for s in range(held.shape[0]):
        marks[s, MARK_OWED] += rates[s]
        if not present[s]:
            continue
        last = counts[s, _LAST_TS]
        if counts[s, _COUNT] > 0:
            if last >= 0 and ts_ns - last - interval_ns > NS_PER_DAY:
                made = close_shadows(s, held, counts, marks[s, MARK_CLOSE], costs[s], fees_bps[s], resolved, made)
            made = _symbol_bar(
                s, ohlcv[s], marks[s, MARK_OWED], interval_ns, index, max_bars, held, counts, costs[s], range_bps,
                fees_bps[s], resolved, made,
            )
        counts[s, _LAST_TS] = ts_ns
        marks[s, MARK_CLOSE], marks[s, MARK_OWED] = ohlcv[s, 3], 0.0
    return made


@kernel
def leave_shadows(targets: Any, decided: Any, held: Any, counts: Any) -> None:
    """Let the shadows end at the next open that are against their model's *targets* (S,), where *decided* (S,)."""
    for s in range(held.shape[0]):
        if decided[s]:
            for slot in range(counts[s, _COUNT]):
                if held[s, slot, _SIGN] != targets[s]:
                    held[s, slot, _REACH] = _LEAVES


@kernel
def queue_shadow(
    s: int, seq: int, sign: int, risk: float, reach: float, weight: float, held: Any, counts: Any
) -> bool:
    """Queue a shadow as :meth:`ShadowBook.open` does; *risk* and *reach* are distances in price units."""
    count = counts[s, _COUNT]
    if count >= MAX_OPEN:
        counts[s, _OVERFLOW] += 1
        return False
    shadow = held[s, count]
    shadow[_SEQ], shadow[_SIGN], shadow[_RISK], shadow[_REACH], shadow[_WEIGHT] = seq, sign, risk, reach, weight
    shadow[_ENTRY] = shadow[_FROM] = shadow[_BARS] = shadow[_OPENED_AT] = shadow[_FUNDING] = 0.0
    counts[s, _COUNT] = count + 1
    return True


class ShadowBook:
    """The shadows of all symbols, at most 64 a symbol. *taker_fee_bps* is one rate for all, or one a symbol (S,).

    ``resolved`` (S*64, RESULT_SIZE) float64, columns RESOLVED_: the first n rows are valid after a call that returned
    n, until the next call. Raises InputError for settings out of their domain.
    """

    def __init__(
        self, n_symbols: int, interval_ns: int, taker_fee_bps: npt.ArrayLike, max_hours: float = 24.0,
        range_slippage_bps: float = RANGE_SLIPPAGE_BPS,
    ) -> None:
        require(n_symbols > 0, "n_symbols", n_symbols, "at least one symbol is needed")
        require(interval_ns > 0, "interval_ns", interval_ns, "must be positive")
        fees: Floats = np.broadcast_to(np.asarray(taker_fee_bps, dtype=np.float64), (n_symbols,)).copy()
        require(bool(np.isfinite(fees).all()), "taker_fee_bps", taker_fee_bps, "must be finite numbers of basis points")
        require(0.0 < max_hours < 1e6, "max_hours", max_hours, "must be above 0")
        self.interval_ns = interval_ns
        self.taker_fees_bps, self.range_slippage_bps = fees, float(range_slippage_bps)
        self.max_bars = float(max(1, round(max_hours * NS_PER_HOUR / interval_ns)))
        self.resolved: Floats = np.zeros((n_symbols * MAX_OPEN, RESULT_SIZE))
        self._held: Floats = np.zeros((n_symbols, MAX_OPEN, SHADOW_SIZE))
        self._counts: Ints = np.zeros((n_symbols, COUNTS_SIZE), dtype=np.int64)
        self._counts[:, _LAST_TS] = -1
        self._marks: Floats = np.zeros((n_symbols, MARKS_SIZE))
        self._marks[:, MARK_CLOSE] = np.nan
        self._none: Floats = np.zeros(n_symbols)
        self._costs: Floats = np.zeros(n_symbols)
        self.overflow = self._counts[:, _OVERFLOW]
        self.dropped = self._counts[:, _DROPPED]

    def open(
        self, symbol_index: int, signal_seq: int, sign: int, atr: float, stop_atr: float,
        target_atr: float = math.inf, weight: float = 1.0,
    ) -> bool:
        """Queue a shadow that enters at the symbol's next bar; False (and counted in ``overflow``) when 64 are held.

        *sign* +1 long, -1 short; *atr* in price units; *stop_atr*, *target_atr* multiples of it (infinite: no target);
        *weight* of its R. Raises InputError.
        """
        require(sign in (1, -1), "sign", sign, "is +1 (long) or -1 (short)")
        for key, value in (("atr", atr), ("stop_atr", stop_atr), ("weight", weight)):
            require(0.0 < value < math.inf, key, value, "must be a positive number")
        require(target_atr > 0.0, "target_atr", target_atr, "must be a positive number")
        return bool(queue_shadow(
            symbol_index, signal_seq, sign, stop_atr * atr, target_atr * atr, weight, self._held, self._counts
        ))

    def open_count(self, symbol_index: int) -> int:
        """Shadows of the symbol waiting or open."""
        return int(self._counts[symbol_index, _COUNT])

    def on_bar(self, batch: MarketBatch, cost_bps: Floats, funding_rates: Floats | None = None) -> int:
        """Process the bars of one moment; return how many rows of ``resolved`` are new.

        *cost_bps* (S,): what a fill costs a side in a calm market, as known before the bar. *funding_rates* (S,): the
        sum of the rates that fell due after the moment before and up to this one; None: none did.
        """
        self._costs[:] = cost_bps
        return shadow_moment(  # type: ignore[no-any-return]
            batch.ts_ns, self.interval_ns, self.max_bars, self.range_slippage_bps, self.taker_fees_bps, batch.ohlcv,
            batch.present, self._costs, self._none if funding_rates is None else funding_rates, self._held,
            self._counts, self._marks, self.resolved,
        )

    def leave(self, targets: Any, decided: Any) -> None:
        """Let the shadows end at the next open that are against *targets* (S,) of the symbols *decided* (S,)."""
        leave_shadows(targets, decided, self._held, self._counts)

    def close_before_hole(self, symbol_index: int) -> int:
        """Resolve the symbol's open shadows at its last close (exit 3); return how many rows are new.

        Shadows still waiting for their entry are dropped and counted in ``dropped``.
        """
        return close_shadows(  # type: ignore[no-any-return]
            symbol_index, self._held, self._counts, float(self._marks[symbol_index, MARK_CLOSE]),
            float(self._costs[symbol_index]), float(self.taker_fees_bps[symbol_index]), self.resolved, 0,
        )

    def arrays(self) -> tuple[Floats, Ints, Floats, Floats]:
        """What its kernels work on: shadows held, counts, marks and results."""
        return self._held, self._counts, self._marks, self.resolved

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Copies of the arrays to save for a restart."""
        return {
            "held": self._held.copy(), "counts": self._counts.copy(), "marks": self._marks.copy(),
            "costs": self._costs.copy(),
        }

    def load_state(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Continue from :meth:`state`. Raises StateError when it has another number of symbols."""
        here = {"held": self._held, "counts": self._counts, "marks": self._marks, "costs": self._costs}
        state = _of_today(state)
        for key, array in here.items():
            saved = state.get(key)
            if saved is None or saved.shape != array.shape:
                raise StateError(f"shadow state {key}: not of {self._held.shape[0]} symbols; start a new state folder")
        for key, array in here.items():
            array[:] = state[key]


def _of_today(state: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """*state* with the columns that older versions did not save: weights (1.0), opens (the entry) and funding (0.0)."""
    found = dict(state)
    held = found.get("held")
    if held is not None and held.ndim == 3 and _WEIGHT <= held.shape[2] < SHADOW_SIZE:
        whole = np.zeros((*held.shape[:2], SHADOW_SIZE))
        whole[..., _WEIGHT], whole[..., : held.shape[2]] = 1.0, held
        whole[..., _OPENED_AT] = whole[..., _ENTRY]
        found["held"] = whole
    if "marks" not in found and "closes" in found:
        found["marks"] = np.stack([found["closes"], np.zeros_like(found["closes"])], axis=1)
    return found
