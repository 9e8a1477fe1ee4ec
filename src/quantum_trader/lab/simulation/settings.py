"""The settings of every simulated day: wallet, the driver's timing, and the deadlines that follow from it."""

from __future__ import annotations

from typing import Final

from quantum_trader.lab.simulation.deadlines import Bounds
from quantum_trader.lab.simulation.network import LATENCY_S, RECEIVE_WINDOW_S, TIMEOUT_S
from quantum_trader.live.timing import LiveTiming

WALLET: Final = 10_000.0  # USDT
TIMING: Final = LiveTiming(tick_s=15.0, checkpoint_s=2900.0, request_timeout_s=6.0)
TIMEOUTS_S: Final = (TIMEOUT_S, 3.0 * TIMING.request_timeout_s)  # before and after the driver's own
BOUNDS: Final = Bounds.of(TIMING, RECEIVE_WINDOW_S, LATENCY_S[1], TIMEOUTS_S[-1])
CALM_S: Final = BOUNDS.found_s + 200.0  # after the last bar nothing strikes, and everything must come to agree
STOP_MOST_S: Final = 60.0  # a graceful stop at the end of the day takes at most
