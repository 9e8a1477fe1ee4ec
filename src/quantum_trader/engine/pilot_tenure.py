"""Which trained model the pilot is, which models may trade, and what was learned of those that were replaced.

Another model may take the pilot's place between two bars. Confidence and shadow books belong to the model that made
the decisions, so each has its own; those of a replaced model are kept, and it goes on with them if it comes back. What
is known of the market goes over from one model to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from quantum_trader.domain.clock import iso
from quantum_trader.domain.enums import PilotMode
from quantum_trader.domain.pilot_settings import LIMITS
from quantum_trader.engine.facts import PilotChanged
from quantum_trader.engine.instruments import Instruments
from quantum_trader.engine.market import Market
from quantum_trader.engine.pilot_confidence import PilotConfidence
from quantum_trader.engine.pilot_shadows import PilotShadows
from quantum_trader.engine.policy_in_force import PolicyInForce
from quantum_trader.engine.ports import PilotSource
from quantum_trader.engine.records import Records

TRADES: Final = (PilotMode.PRIMARY, PilotMode.HYBRID)
KEPT: Final = 8  # replaced models whose confidence and shadow books are kept; of more, the oldest is forgotten


class PilotParts(NamedTuple):
    """A pilot with what is learned and followed of its decisions."""

    source: PilotSource
    confidence: PilotConfidence
    shadows: PilotShadows


class PilotTenure:
    """The models that have been the pilot of this run, and the mode's own history."""

    def __init__(
        self, instruments: Instruments, interval_ns: int, market: Market, policy: PolicyInForce, records: Records
    ) -> None:
        self._instruments, self._interval_ns = instruments, interval_ns
        self._market, self._policy, self._records = market, policy, records
        self.mode_since_ns = 0  # when the mode that the settings ask for was put into force, or its model
        self.promoted = ""  # the model that was running then
        self._may_trade: list[str] = []  # models that ran when a mode that trades was put into force
        self._replaced: dict[str, tuple[Any, Any]] = {}  # model -> states of its confidence and its shadow books

    def parts_of(self, source: PilotSource) -> PilotParts:
        """*source* with a confidence and shadow books of its own, which have seen nothing yet."""
        confidence = PilotConfidence(
            self._instruments.symbols, self._interval_ns, source.length_ns, source.horizon_ns, source.outcomes,
            source.outcomes_until_ns,
        )
        shadows = PilotShadows(
            self._instruments, self._interval_ns, source, self._market, self._policy, self._records
        )
        return PilotParts(source, confidence, shadows)

    # ------------------------------------------------------------------ which model may trade

    def mode_changed(self, change: PilotChanged, model: str, now_ns: int) -> None:
        """Note that *change* puts another mode into force while *model* runs.

        Who puts a mode that trades into force lets the model that runs trade; the limits withdraw that.
        """
        self.mode_since_ns, self.promoted = now_ns, model
        if change.actor == LIMITS:
            self._may_trade = [one for one in self._may_trade if one != model]
        elif change.after.mode_in_force in TRADES and model not in self._may_trade:
            self._may_trade.append(model)

    def why_not(self, source: PilotSource, before: PilotSource, mode: PilotMode, now_ns: int) -> str:
        """Why *source* may not take the place of *before* in *mode*, in a sentence; empty where it may."""
        if source.length_ns != before.length_ns:
            return (
                f"it observes bars of {_minutes(source.length_ns)}, and the pilot of this run those of "
                f"{_minutes(before.length_ns)}; begin a new --state folder with it"
            )
        if source.trained_until_ns >= now_ns:
            until = iso(source.trained_until_ns)[:16]
            return f"it was trained on bars until {until}, which are not over: it knows them"
        if mode in TRADES and source.identity not in self._may_trade:
            return (
                f"the pilot trades in {mode.value}, and this model has not been promoted in this run; `pilot demote` "
                "lets it take over in SHADOW, and `pilot promote` then asks for its own evidence"
            )
        return ""

    # ------------------------------------------------------------------ replacing a model

    def successor(self, source: PilotSource, before: PilotParts) -> PilotParts:
        """The parts of *source*, ready to take the place of *before*; nothing of *before* is changed.

        Raises StateError where *source* cannot go on from it.
        """
        parts = self.parts_of(source)
        source.succeed(before.source)
        if (kept := self._replaced.get(source.identity)) is not None:
            parts.confidence.load_state(kept[0])
            parts.shadows.load_state(kept[1])
        parts.confidence.succeed(before.confidence)
        return parts

    def replace(self, before: PilotParts, after: PilotParts, mode: PilotMode, now_ns: int) -> None:
        """Put *before* aside, with its shadow positions ended; in a mode that trades *after* is the promoted one."""
        before.shadows.end(now_ns)
        self._replaced.pop(after.source.identity, None)
        self._replaced[before.source.identity] = before.confidence.state(), before.shadows.state()
        while len(self._replaced) > KEPT:
            del self._replaced[next(iter(self._replaced))]
        if mode in TRADES:
            self.mode_since_ns, self.promoted = now_ns, after.source.identity

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values and arrays."""
        return {
            "may_trade": list(self._may_trade), "replaced": {key: list(kept) for key, kept in self._replaced.items()},
        }

    def load_state(self, state: Mapping[str, Any], mode: PilotMode) -> None:
        """Continue from :meth:`state`; a folder of before models were replaced has the promoted one alone."""
        self._may_trade = list(state.get("may_trade", [self.promoted] if mode in TRADES else []))
        self._replaced = {key: (kept[0], kept[1]) for key, kept in state.get("replaced", {}).items()}


def _minutes(length_ns: int) -> str:
    return f"{length_ns / 60e9:g} minutes"
