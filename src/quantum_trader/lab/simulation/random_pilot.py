"""A pilot that acts at random and now and then fails: what orders, books and exchange go through with any pilot."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.enums import PilotMode
from quantum_trader.domain.pilot_settings import MOST_TRADES, PilotSettings
from quantum_trader.engine.core import Engine, LiveAccount
from quantum_trader.pilot.actions import ACTION_COUNT
from quantum_trader.pilot.predictor import Predictions

MODES: Final = (PilotMode.SHADOW, PilotMode.PRIMARY, PilotMode.HYBRID)
_FAILS: Final = 0.02  # share of the moments at which it raises
_RANGE: Final = 0.004  # ATR over close that it reports
_SURE: Final = (1e6, 1e6, 1e6, 2e5, 1e6, 1e6, 1e6)  # outcomes after which everything it wants pays


class RandomPilot:
    """The same actions for the same moment and symbol: a restart repeats them."""

    identity, name, stop_atr, horizon_ns, trained_until_ns = "random", "random", 3.0, 6 * NS_PER_HOUR, 0
    outcomes: tuple[float, ...] = _SURE
    outcomes_until_ns = 0

    def __init__(self, symbols: tuple[str, ...], interval_ns: int) -> None:
        self._symbols, self.length_ns = symbols, interval_ns
        self.range_ratios = np.full(len(symbols), _RANGE)

    def observe(self, ts_ns: int, ohlcv: Any, present: Any, feed: Any) -> None:
        """Look away."""

    def take(self, ts_ns: int, ohlcv: Any, present: Any, feed: Any, own: Any) -> Predictions:
        """An action for each symbol that has a bar, or an error."""
        if _share(ts_ns, "") < _FAILS:
            raise ArithmeticError("the random pilot fails at this moment")
        places = np.flatnonzero(present)
        actions = np.array(
            [int(_share(ts_ns, self._symbols[place]) * ACTION_COUNT) for place in places.tolist()], dtype=np.int64
        )
        return Predictions(ts_ns + self.length_ns, places, actions, np.eye(ACTION_COUNT)[actions])

    def succeed(self, before: Any) -> None:
        """Remember nothing."""

    def state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue."""


def _share(ts_ns: int, name: str) -> float:
    """A number from 0 to 1 that moment and name decide."""
    digest = hashlib.blake2b(f"{ts_ns}/{name}".encode(), digest_size=6).digest()
    return int.from_bytes(digest) / float(1 << 48)


def piloted_engine(mode: PilotMode, *arguments: Any, **keywords: Any) -> Engine:
    """A live engine with a random pilot in *mode*, which trades at any confidence."""
    instruments, interval_ns = arguments[:2]
    pilot = RandomPilot(tuple(one.symbol for one in instruments), interval_ns)
    engine = Engine(*arguments, live=LiveAccount(), pilot=pilot, **keywords)
    engine.piloting.stance.settings = PilotSettings(mode=mode, min_confidence=0.0, max_trades_per_hour=MOST_TRADES)
    return engine
