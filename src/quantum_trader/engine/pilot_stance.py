"""What the pilot wants of each symbol now, and what that means for the signals in the mode in force."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.enums import PilotMode
from quantum_trader.domain.pilot_settings import PilotSettings
from quantum_trader.engine.ports import PilotSource
from quantum_trader.engine.road import ROAD_APPROVED, ROAD_PILOT_CONFIDENT, ROAD_PILOT_PRIMARY

RL_PRIMARY: Final = "RL_V3_PRIMARY"  # sources of intents, as they are published
HYBRID_RL: Final = "RL_V3_HYBRID_RL_PRIMARY"
HYBRID_SIGNAL: Final = "RL_V3_HYBRID_SIGNAL_PRIMARY"
HYBRID_CONSENSUS: Final = "RL_V3_HYBRID_CONSENSUS"
CONSENSUS_BONUS: Final = 0.1  # added to the confidence where pilot and signal agree; 1 in all at most
CONSENSUS_SIZE: Final = 1.2  # times the size, before the limits clip it
_DAY_HOURS: Final = 24.0


class SignalAnswer(NamedTuple):
    """What the pilot's mode makes of a signal."""

    road: int = ROAD_APPROVED  # else the ROAD code that refuses it
    source: str = ""  # of its intent; empty: the signals' own
    size: float = 1.0  # times the size
    bonus: float = 0.0  # added to the confidence


_UNTOUCHED: Final = SignalAnswer()


class PilotStance:
    """The pilot's settings in force and its last decision on every symbol. Arrays have one row a symbol."""

    def __init__(self, count: int) -> None:
        self.settings = PilotSettings(mode=PilotMode.OFF)
        self.failure = ""  # why the pilot is not asked any more; empty while it is
        self.model = ""  # identity of the pilot; empty: there is none
        self.is_trained_on = False  # whether the bars of the moment are among those that the pilot was trained on
        self.horizon_days = 1.0  # for how long the pilot's positions are held on average
        self.signs = np.zeros(count, dtype=np.int64)  # direction that the last decision wants; 0: none, or no decision
        self.confidences = np.zeros(count)

    @property
    def mode(self) -> PilotMode:
        """The mode in force: OFF for a pilot that failed too often or knows the bars from its training.

        Signals then trade as without it.
        """
        return PilotMode.OFF if self.failure or self.is_trained_on else self.settings.mode_in_force

    def follow(self, source: PilotSource) -> None:
        """Take the decisions of *source* from now on."""
        self.model, self.horizon_days = source.identity, source.horizon_ns / NS_PER_HOUR / _DAY_HOURS

    def forget(self) -> None:
        """Want nothing of any symbol: the pilot has not decided, or failed."""
        self.signs[:], self.confidences[:] = 0, 0.0

    def answer(self, index: int, sign: int, confidence: float) -> SignalAnswer:
        """What the mode makes of a signal for a symbol; *confidence* is over the pilot's horizon."""
        mode = self.mode
        if mode is PilotMode.PRIMARY:
            return SignalAnswer(ROAD_PILOT_PRIMARY)
        if mode is not PilotMode.HYBRID:
            return _UNTOUCHED
        own = float(self.confidences[index])
        if self.signs[index] != 0 and own >= self.settings.min_confidence:
            if self.signs[index] == sign:
                return SignalAnswer(ROAD_APPROVED, HYBRID_CONSENSUS, CONSENSUS_SIZE, CONSENSUS_BONUS)
            if own > confidence:
                return SignalAnswer(ROAD_PILOT_CONFIDENT)
        return SignalAnswer(ROAD_APPROVED, HYBRID_SIGNAL)

    def compared(self, index: int, confidence: float) -> tuple[float, ...]:
        """What HYBRID compares for a symbol: the pilot's confidence, a signal's, and the least of the pilot's own.

        *confidence* is over the pilot's horizon. Empty in another mode, and where the pilot wants nothing.
        """
        if self.mode is not PilotMode.HYBRID or self.signs[index] == 0:
            return ()
        return float(self.confidences[index]), confidence, self.settings.min_confidence

    def state(self) -> dict[str, Any]:
        """The last decisions, as arrays; the settings are the orchestrator's to save."""
        return {"signs": self.signs.copy(), "confidences": self.confidences.copy(), "failure": self.failure}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`."""
        self.signs[:], self.confidences[:] = state["signs"], state["confidences"]
        self.failure = state["failure"]


def boosted(confidence: float, bonus: float) -> float:
    """*confidence* with the *bonus* of a consensus, 1 at most."""
    return min(1.0, confidence + bonus) if bonus > 0.0 else confidence
