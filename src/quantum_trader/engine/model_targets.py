"""What models want of each symbol and is not held yet: which targets are taken now, and which wait or were refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from quantum_trader.domain.enums import TAG_BAD
from quantum_trader.engine.account import Account
from quantum_trader.engine.books import PILOT, Position
from quantum_trader.engine.instruments import Instruments
from quantum_trader.engine.market import Market
from quantum_trader.engine.policy_in_force import PolicyInForce
from quantum_trader.engine.road import ROAD_APPROVED, ROAD_REASONS, gate
from quantum_trader.market import performance as perf
from quantum_trader.market.jit import compiled, kernel
from quantum_trader.models.forecast import ENTER_AT, LEAST, SCORE, TARGET
from quantum_trader.policy import layout as pol
from quantum_trader.policy.enforcement import Settings, settings_in_use
from quantum_trader.risk.governor import level_factors
from quantum_trader.risk.guard import REASON_CODES
from quantum_trader.risk.sizing import volatility_quantity
from quantum_trader.signals import columns as col

_SIGN, _ROAD, _GUARD, _FARED = range(4)  # columns of how a target fared: direction, the road's code, the guard's

_NONE: Final = (0, 0, 0, 0, 0, 0)  # switches where nothing of the policy is enforced

_gate = compiled(gate)
_settings_in_use = compiled(settings_in_use)
_volatility_quantity = compiled(volatility_quantity)


@kernel
def _choose(  # type: ignore[no-untyped-def]
    forecasts, confidence, atr, decided, late, asks_gates, held, quantity, prices, sizing, pending, open_count, fixed,
    switches, policy, performance, again, stopped, fared, due,
):
    """Mark in *due* (S,) the targets to be taken, and forget what held only for targets that are not wanted now.

    *quantity* (S,) is what may grow of a position, infinite where none may; *prices* (S,); *sizing*: equity, volatility
    target in percent, and the share of it that the governor leaves.
    """
    equity, volatility_pct, share = sizing
    for s in range(due.shape[0]):
        target, small = forecasts[s, TARGET], not abs(forecasts[s, SCORE]) >= ENTER_AT
        if decided[s] and (target != stopped[s] or small):
            stopped[s] = 0
        if target == held[s]:
            factor = performance[s, perf.RISK_FACTOR] * share if asks_gates else 1.0
            least = _volatility_quantity(forecasts[s, LEAST], volatility_pct * factor, equity, prices[s])
            wanted = target != 0.0 and quantity[s] < least and not pending[s]
        else:
            wanted = target != 0.0 and target != stopped[s] and (held[s] != 0 or not small)
        if decided[s] and not wanted:
            fared[s] = 0
        asked = (decided[s] and target != 0.0) or again[s]
        again[s] = asked and late
        due[s] = wanted and asked and not late
        sign = 1 if target > 0.0 else -1
        known = fared[s, _SIGN] == sign and fared[s, _GUARD] == 0 and held[s] == 0 and not pending[s]
        if not (due[s] and known and asks_gates):
            continue
        out, allowed = policy[s + 1], 0 if performance[s, perf.TAG] == TAG_BAD else 1
        by_policy = Settings(
            int(out[pol.OUT_ALLOW]), int(out[pol.OUT_SYMBOL_OK]), out[pol.OUT_MIN_CONF], out[pol.OUT_RISK_PCT],
            int(out[pol.OUT_MAX_OPEN]), int(out[pol.OUT_EXIT]),
        )
        asked_for, risk_pct, positions, exit_code = fixed
        used = _settings_in_use(switches, by_policy, Settings(1, allowed, asked_for, risk_pct, positions, exit_code))
        if _gate(sign, confidence[s], atr[s], 0, 0, open_count, used) == fared[s, _ROAD]:
            due[s] = False


def may_grow(position: Position) -> bool:
    """Whether the score that holds *position* may make it larger: it has its stop and is not being closed."""
    return position.plan.volatility_pct > 0.0 and position.exit_reason is None and position.stop > 0.0


class ModelTargets:
    """The targets of a run's models, by symbol; without models every signal is taken as it comes."""

    def __init__(self, market: Market, account: Account, policy: PolicyInForce, instruments: Instruments) -> None:
        self._market, self._account, self._policy, self._instruments = market, account, policy, instruments
        count = len(instruments.symbols)
        self._again = np.zeros(count, dtype=np.bool_)  # targets that wait for the opposite position to close
        self._stopped = np.zeros(count, dtype=np.int64)  # direction of the target that a stop took the symbol out of
        self._fared = np.zeros((count, _FARED), dtype=np.int64)  # how a refused target fared last; zeros: none is
        self._held, self._pending = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.bool_)
        self._quantity = np.zeros(count)
        self._due = np.zeros(count, dtype=np.bool_)

    def due(self, signals: list[int], pending: Mapping[str, int], open_count: int, began_ns: int = 0) -> list[int]:
        """The *signals* of the moment to be taken; of models, those of a target that is not held, or held too small.

        *pending*: symbols with an opening order on its way, with the direction of one that rests post-only (0: none
        does), which counts as held; *open_count*: positions and such orders. A target whose stop was reached waits
        until the score has been small or has changed its sign. One that waits for the opposite position to close is
        taken as soon as that is gone. From flat a score of ENTER_AT is needed. One that the gates refuse as before is
        not taken, nor is any from before a failure of the models.

        *began_ns*: when the account's books began. A target of bars from before then is a warm-up's; the models' next
        bar is the first to be traded, as in a replay from there. A later one whose bars came too late is taken with
        the first bars that are on time.
        """
        market, policy, positions = self._market, self._policy, self._account.books.positions
        forecasts = market.forecasts
        if forecasts is None:
            return signals
        if forecasts.failed_ns or market.now_ns <= began_ns:
            self._again[:] = False
            return []
        self._held[:], self._pending[:], self._quantity[:] = 0, False, np.inf
        for position in positions.values():
            if position.plan.owner == PILOT:
                continue  # not held for the models: their target is a signal, which the gates refuse
            self._held[position.index] = position.sign
            if may_grow(position):
                self._quantity[position.index] = position.qty
        for symbol, resting in pending.items():
            index = self._instruments.index[symbol]
            self._pending[index] = True
            if resting:
                self._held[index] = resting
        _, _, confidence, risk_pct, most, exit_code = policy.fixed[1]
        _choose(
            forecasts.out, market.kernel.out[:, col.CONFIDENCE], market.exit_ranges, forecasts.decided, market.is_past,
            not policy.settings.ungated, self._held, self._quantity, market.closes,
            (float(self._account.equity), policy.volatility_pct, float(level_factors(self._account.governor_level)[0])),
            self._pending, open_count,
            (float(confidence), float(risk_pct), int(most), int(exit_code)),  # other types are compiled anew
            policy.switches if policy.enforces else _NONE, policy.slots.out, self._account.performance.rows,
            self._again, self._stopped, self._fared, self._due,
        )
        chosen: list[int] = self._due.nonzero()[0].tolist()
        return chosen

    def waits(self, index: int) -> None:
        """Note that a symbol's target waits for the opposite position, or for an order on its way."""
        self._again[index] = True

    def stopped(self, position: Position) -> None:
        """Note that a stop took *position* out, where the score would hold on to it."""
        if position.plan.by_models and self._market.target(position.index) == position.sign:
            self._stopped[position.index] = position.sign

    def is_refused_again(self, index: int, sign: int, road: int, guard: int) -> bool:
        """Whether a target meets the refusal (the road's code, the guard's) that it met last; notes how it fared."""
        fared = self._fared[index]
        if road == ROAD_APPROVED and guard == 0:
            fared[:] = 0
            return False
        again: bool = fared.tolist() == [sign, road, guard]
        fared[:] = sign, road, guard
        return again

    def is_stopped_out(self, index: int) -> bool:
        """Whether a stop has taken a symbol out of the target that its models still want."""
        return bool(self._stopped[index] == self._market.target(index) != 0)

    def refusal(self, index: int) -> str:
        """Why a symbol's target was refused when it was last asked about; empty where it was not."""
        sign, road, guard = self._fared[index].tolist()
        if sign != self._market.target(index) or not sign:
            return ""
        reason = REASON_CODES[guard]
        return reason.value if reason is not None else ROAD_REASONS.get(road, "")

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as plain values."""
        return {
            "again": self._again.copy(), "stopped": self._stopped.copy(), "fared": self._fared.copy(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`; a folder of before 0125 lists what a stop took out, and knows no refusals."""
        if isinstance(state["stopped"], np.ndarray):
            self._again[...], self._stopped[...] = state["again"], state["stopped"]
            self._fared[...] = state["fared"]
            return
        self._again[list(state["again"])] = True
        for index, sign in state["stopped"]:
            self._stopped[index] = sign
