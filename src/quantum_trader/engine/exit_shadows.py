"""Exit shadows: each entry under two exit modes, which measures the policy's exit mode in R.

For a signal whose exit mode the policy would change, one shadow entry is managed twice, under the fixed mode and under
the policy's, with the brackets and trailing rules real positions get. When both have ended (stop, target, or 24 hours)
their results are the evidence of the exit_mode switch. Costs and funding are those of every shadow trade.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.market import MarketBatch
from quantum_trader.market.costs import RANGE_SLIPPAGE_BPS, fill_cost_bps
from quantum_trader.market.jit import compiled, kernel
from quantum_trader.risk.exits import bracket, next_stop
from quantum_trader.signals.shadow import shadow_exit, shadow_fill, shadow_net

CAPACITY: Final = 512
MAX_HOURS: Final = 24.0
(_ROW_SYMBOL, _ROW_SEQ, _ROW_SIGN, _ROW_ATR, _ROW_STOP, _ROW_TARGET, _ROW_BREAKEVEN, _ROW_TRAIL, _ROW_ENTRY, _ROW_FROM,
 _ROW_BEST, _ROW_FUNDING) = range(12)
_ROW_VARIANTS: Final = 12
_VARIANT_MODE, _VARIANT_STOP, _VARIANT_FIRST, _VARIANT_TARGET, _VARIANT_DONE, _VARIANT_R = range(6)
_VARIANT_SIZE: Final = 6
_WIDTH: Final = _ROW_VARIANTS + 2 * _VARIANT_SIZE
FIXED, POLICY = 0, 1

_bracket, _next_stop, _exit, _fill, _net, _fill_cost = (
    compiled(f) for f in (bracket, next_stop, shadow_exit, shadow_fill, shadow_net, fill_cost_bps)
)


@kernel
def _enter(row, open_, cost_bps, index, tick):  # type: ignore[no-untyped-def]
    """Fill the entry of *row* at a bar's open and bracket both variants."""
    sign = row[_ROW_SIGN]
    entry = open_ * (1.0 + sign * cost_bps / 10_000.0)
    row[_ROW_ENTRY], row[_ROW_FROM], row[_ROW_BEST] = entry, index, entry
    for v in range(2):
        variant = row[_ROW_VARIANTS + v * _VARIANT_SIZE:]
        stop, target = _bracket(
            int(sign), entry, row[_ROW_ATR], row[_ROW_STOP], row[_ROW_TARGET], int(variant[_VARIANT_MODE]), tick, 0.0
        )
        variant[_VARIANT_STOP] = variant[_VARIANT_FIRST] = stop
        variant[_VARIANT_TARGET] = target if target > 0.0 else sign * np.inf
        variant[_VARIANT_DONE] = 0.0 if stop == stop else -1.0


@kernel
def _variant_bar(row, v, bar, expired, cost_bps, fee_bps, tick, min_step):  # type: ignore[no-untyped-def]
    """Process a bar for one variant of *row*: its exit, else its trailing stop."""
    variant = row[_ROW_VARIANTS + v * _VARIANT_SIZE:]
    sign, entry = row[_ROW_SIGN], row[_ROW_ENTRY]
    level, code = _exit(sign, variant[_VARIANT_STOP], variant[_VARIANT_TARGET], bar[0], bar[1], bar[2], bar[3], expired)
    if code >= 0:
        risk = sign * (entry - variant[_VARIANT_FIRST])
        variant[_VARIANT_R] = _net(sign, entry, _fill(sign, level, cost_bps), fee_bps, row[_ROW_FUNDING]) / risk
        variant[_VARIANT_DONE] = 1.0
        return
    variant[_VARIANT_STOP] = _next_stop(
        int(sign), entry, variant[_VARIANT_FIRST], variant[_VARIANT_STOP], row[_ROW_BEST],
        row[_ROW_ATR], row[_ROW_BREAKEVEN], row[_ROW_TRAIL],
        int(variant[_VARIANT_MODE]), tick, min_step * row[_ROW_ATR],
    )


@kernel
def _move(  # type: ignore[no-untyped-def]
    rows, count, ohlcv, present, costs, owed, range_bps, fees, ticks, interval_ns, index, max_bars, min_step, done,
):
    """Process each symbol's bar for its shadows; returns (still open, ended) with the ended rows in *done*.

    *owed* (S,): the sum of the funding rates due at the open of a symbol's bar.
    """
    kept = ended = 0
    for n in range(count):
        row = rows[n]
        s = int(row[_ROW_SYMBOL])
        if present[s]:
            bar = ohlcv[s]
            cost = _fill_cost(costs[s], range_bps, bar[0], bar[1], bar[2], interval_ns)
            if row[_ROW_ENTRY] == 0.0:
                _enter(row, bar[0], cost, index, ticks[s])
            else:
                row[_ROW_FUNDING] -= row[_ROW_SIGN] * bar[0] * owed[s]
            best = bar[1] if row[_ROW_SIGN] > 0.0 else bar[2]
            if (best - row[_ROW_BEST]) * row[_ROW_SIGN] > 0.0:
                row[_ROW_BEST] = best  # moves the stop for the next bar: exits of this bar come first
            expired = index - row[_ROW_FROM] + 1.0 >= max_bars
            for v in range(2):
                if row[_ROW_VARIANTS + v * _VARIANT_SIZE + _VARIANT_DONE] == 0.0:
                    _variant_bar(row, v, bar, expired, cost, fees[s], ticks[s], min_step)
        first, second = row[_ROW_VARIANTS + _VARIANT_DONE], row[_ROW_VARIANTS + _VARIANT_SIZE + _VARIANT_DONE]
        if first != 0.0 and second != 0.0:
            done[ended] = row
            ended += 1
        else:
            if kept != n:
                rows[kept] = row
            kept += 1
    return kept, ended


class ExitShadows:
    """Entries whose exit mode the policy would change, each under both modes."""

    def __init__(
        self, interval_ns: int, fees_bps: Any, ticks: Any, min_step: float,
        range_slippage_bps: float = RANGE_SLIPPAGE_BPS,
    ) -> None:
        self._interval_ns = interval_ns
        self._range_bps = range_slippage_bps
        self._fees, self._ticks = np.asarray(fees_bps, dtype=np.float64), np.asarray(ticks, dtype=np.float64)
        self._min_step = min_step
        self._max_bars = MAX_HOURS * NS_PER_HOUR / interval_ns
        self._rows = np.zeros((CAPACITY, _WIDTH))
        self._done = np.zeros((CAPACITY, _WIDTH))
        self._owed = np.zeros(len(self._fees))  # rates due that no bar has charged yet
        self._count = 0

    def open(
        self, symbol: int, seq: int, sign: int, atr: float, row: tuple[float, ...], fixed_mode: int, policy_mode: int
    ) -> bool:
        """Track signal *seq* under both modes (exit codes); *row* is the exit row. False when all slots are taken."""
        if self._count == CAPACITY:
            return False
        entry = self._rows[self._count]
        entry[:] = 0.0
        entry[:_ROW_ENTRY] = (symbol, seq, sign, atr, row[0], row[1], row[2], row[3])
        entry[_ROW_VARIANTS + _VARIANT_MODE] = fixed_mode
        entry[_ROW_VARIANTS + _VARIANT_SIZE + _VARIANT_MODE] = policy_mode
        self._count += 1
        return True

    def on_bar(
        self, batch: MarketBatch, costs_bps: Any, funding_rates: Any = None
    ) -> list[tuple[int, float, float]]:
        """Process one moment; returns (signal, R under the fixed mode, R under the policy's) of the ended pairs.

        *funding_rates* (S,): the sum of the rates that fell due since the moment before; None: none did. A pair without
        a valid bracket has NaN results.
        """
        if not self._count:
            self._owed[:] = 0.0
            return []
        if funding_rates is not None:
            self._owed += funding_rates
        index = float(batch.ts_ns // self._interval_ns)
        kept, ended = _move(
            self._rows, self._count, batch.ohlcv, batch.present, costs_bps, self._owed, self._range_bps, self._fees,
            self._ticks, self._interval_ns, index, self._max_bars, self._min_step, self._done,
        )
        self._owed[batch.present] = 0.0
        self._count = int(kept)
        return [_result(row) for row in self._done[:ended].tolist()]

    def drop(self, symbol: int) -> list[int]:
        """Remove the shadows of *symbol*, whose data has a hole; returns their signals."""
        open_rows = self._rows[:self._count]
        gone = open_rows[:, _ROW_SYMBOL] == symbol
        signals = open_rows[gone, _ROW_SEQ].astype(int).tolist()
        kept = open_rows[~gone].copy()
        self._count = len(kept)
        self._rows[:self._count] = kept
        return [int(seq) for seq in signals]

    def state(self) -> dict[str, Any]:
        """The open pairs."""
        return {"rows": self._rows[:self._count].copy(), "owed": self._owed.copy()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state`."""
        rows = state["rows"]
        if rows.shape[1] == _WIDTH - 1:  # of before they paid funding
            rows = np.insert(rows, _ROW_FUNDING, 0.0, axis=1)
        self._count = len(rows)
        self._rows[:self._count], self._owed[:] = rows, state.get("owed", 0.0)


def _result(row: list[float]) -> tuple[int, float, float]:
    """Signal and both results of an ended pair."""
    fixed, policy = row[_ROW_VARIANTS:_ROW_VARIANTS + _VARIANT_SIZE], row[_ROW_VARIANTS + _VARIANT_SIZE:]
    if fixed[_VARIANT_DONE] < 0.0 or policy[_VARIANT_DONE] < 0.0:
        return int(row[_ROW_SEQ]), float("nan"), float("nan")
    return int(row[_ROW_SEQ]), fixed[_VARIANT_R], policy[_VARIANT_R]
