"""What models want of each symbol and is not held yet: which targets are taken now, and which wait or were refused."""

from __future__ import annotations

from typing import Any

from quantum_trader.engine.account import Account
from quantum_trader.engine.books import Position
from quantum_trader.engine.instruments import Instruments
from quantum_trader.engine.market import Market
from quantum_trader.engine.road import ROAD_APPROVED, ROAD_REASONS
from quantum_trader.models.forecast import TARGET
from quantum_trader.risk.guard import REASON_CODES


class ModelTargets:
    """The targets of a run's models, by symbol; without models every signal is taken as it comes."""

    def __init__(self, market: Market, account: Account, instruments: Instruments) -> None:
        self._market, self._account, self._instruments = market, account, instruments
        self._again: set[int] = set()  # symbols whose target waits for the opposite position to close
        self._stopped: dict[int, int] = {}  # symbols that a stop has taken out of a target, and its direction
        self._refused: dict[int, tuple[int, int, int]] = {}  # symbols whose target is refused: direction, both codes

    def due(self, signals: list[int]) -> list[int]:
        """The *signals* of the moment to be taken; of models, those of a target that is not held.

        A target whose stop was reached waits until the score has been small or has changed its sign. One that waits
        for the opposite position to close is taken as soon as that is gone. From flat a score of ENTER_AT is needed.
        Targets from before a failure of the models are not taken.
        """
        forecasts = self._market.forecasts
        if forecasts is None or not (signals or self._again or self._stopped or self._refused):
            return signals
        if forecasts.failed_ns:
            self._again.clear()
            return []
        targets, decided = forecasts.out[:, TARGET].tolist(), forecasts.decided.tolist()
        for index in [one for one in self._stopped if decided[one]]:
            if targets[index] != self._stopped[index] or forecasts.is_small(index):
                del self._stopped[index]
        due = sorted({*signals, *self._again})
        wanted = [index for index in due if self._is_wanted(index, targets[index])]
        for index in self._refused.keys() - set(wanted):
            if decided[index]:
                del self._refused[index]
        late = self._market.is_past  # late bars open nothing: the first bar of the present takes their targets
        self._again = set(due) if late else set()
        return [] if late else wanted

    def _is_wanted(self, index: int, target: float) -> bool:
        """Whether the *target* of a symbol is not held, no stop keeps it out, and from flat its score is not small."""
        if target == 0.0 or self._stopped.get(index) == target:
            return False
        position = self._account.books.positions.get(self._instruments.symbols[index])
        if position is not None:
            return position.sign != target
        forecasts = self._market.forecasts
        return forecasts is not None and not forecasts.is_small(index)

    def waits(self, index: int) -> None:
        """Note that a symbol's target waits for the opposite position, or for an order on its way."""
        self._again.add(index)

    def stopped(self, position: Position) -> None:
        """Note that a stop took *position* out, which the score would hold on to."""
        if position.plan.by_score:
            self._stopped[position.index] = position.sign

    def is_refused_again(self, index: int, sign: int, road: int, guard: int) -> bool:
        """Whether a target meets the refusal (the road's code, the guard's) that it met last; notes how it fared."""
        fared = (sign, road, guard)
        if road == ROAD_APPROVED and guard == 0:
            self._refused.pop(index, None)
            return False
        again = self._refused.get(index) == fared
        self._refused[index] = fared
        return again

    def is_stopped_out(self, index: int) -> bool:
        """Whether a stop has taken a symbol out of the target that its models still want."""
        return self._stopped.get(index, 0) == self._market.target(index) != 0

    def refusal(self, index: int) -> str:
        """Why a symbol's target was refused when it was last asked about; empty where it was not."""
        sign, road, guard = self._refused.get(index, (0, ROAD_APPROVED, 0))
        if sign != self._market.target(index) or not sign:
            return ""
        reason = REASON_CODES[guard]
        return reason.value if reason is not None else ROAD_REASONS.get(road, "")

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values."""
        return {
            "again": sorted(self._again), "stopped": sorted(self._stopped.items()),
            "refused": sorted(self._refused.items()),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`; what an older folder lacks is nothing that waits."""
        self._again = set(state.get("again", ()))
        self._stopped = {int(index): int(sign) for index, sign in state.get("stopped", ())}
        self._refused = {int(index): (fared[0], fared[1], fared[2]) for index, fared in state.get("refused", ())}
