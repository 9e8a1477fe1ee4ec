"""Working ahead on a copy while a moment's bars come in gives the very bits of waiting for all of them."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

from quantum_trader.market.generate import generated_recording
from quantum_trader.signals.kernel import SignalKernel
from quantum_trader.signals.settings import SignalSettings

SYMBOLS = 7
SETTINGS = SignalSettings(decision_minutes=1, horizon_hours=0.1, cooldown_hours=0.1, edge=0.5, warmup_outcomes=1.0)


def moments(bars: int) -> list[tuple[int, Any, Any]]:
    """Generated bars, moment by moment."""
    found = []
    for ts_ns, ohlcv, present, _ in generated_recording(SYMBOLS, interval="1m", bars=bars, seed=2).chunks(8192):
        found += [(int(ts), ohlcv[row].copy(), present[row].copy()) for row, ts in enumerate(ts_ns)]
    return found


def make() -> SignalKernel:
    """A kernel that decides every minute."""
    return SignalKernel([f"S{n}" for n in range(SYMBOLS)], 60_000_000_000, None, SETTINGS)


def same(one: SignalKernel, other: SignalKernel) -> bool:
    """Whether two kernels hold the same bits."""
    mine, theirs = one.state(), other.state()
    return all(mine[key].tobytes() == theirs[key].tobytes() for key in mine)


def test_bars_in_any_order_give_the_same_bits() -> None:
    """After each moment state and answers equal those of a kernel that never looked ahead; signals included."""
    plain, ahead, rng, signals = make(), make(), Random(3), 0
    for ts_ns, ohlcv, present in moments(400):
        partial, known = np.full_like(ohlcv, np.nan), np.zeros_like(present)
        for index in rng.sample(range(SYMBOLS), SYMBOLS - 1):
            partial[index], known[index] = ohlcv[index], present[index]
            ahead.look_ahead(ts_ns, partial, known)
        expected = plain.advance_arrays(ts_ns, ohlcv, present)
        assert ahead.advance_arrays(ts_ns, ohlcv, present) == expected
        signals += expected
        assert same(plain, ahead)
    assert signals > 20


def test_bars_that_changed_since_or_never_came_are_taken_as_told() -> None:
    """A look ahead at other bars, at another moment, or at one that is never decided on leaves no trace."""
    plain, ahead = make(), make()
    for number, (ts_ns, ohlcv, present) in enumerate(moments(60)):
        if number % 3 == 0:
            ahead.look_ahead(ts_ns, ohlcv * 1.5, present)
        elif number % 3 == 1:
            ahead.look_ahead(ts_ns + 60_000_000_000, ohlcv, present)
        before = ahead.state()
        ahead.look_ahead(ts_ns, ohlcv, present)
        assert all(before[key].tobytes() == value.tobytes() for key, value in ahead.state().items())
        if number % 5 == 0:
            present[number % SYMBOLS] = False
        assert ahead.advance_arrays(ts_ns, ohlcv, present) == plain.advance_arrays(ts_ns, ohlcv, present)
        assert same(plain, ahead)
