"""Everything that a decision on a signal was made of, on record, and the same decision made again from it.

:func:`decide_again` is the road of an order as a pure function of its inputs: the policy's gates, the pilot's stance,
the six gates of :mod:`quantum_trader.models.gates`, sizing and guard. What is explained of a refusal is found by
changing an input and deciding again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from quantum_trader.domain.errors import StateError
from quantum_trader.domain.fields import Probability, TimeNs, Word
from quantum_trader.engine.entry import EntryRequest, decide_entry
from quantum_trader.engine.road import ROAD_APPROVED, ROAD_REASONS, ROAD_SPREAD, road_of_signal
from quantum_trader.models.gates import GateInputs, GateLimits, first_gate, refused_gates
from quantum_trader.policy import layout as pol
from quantum_trader.policy.enforcement import Settings
from quantum_trader.risk import account_column, limit_column
from quantum_trader.risk.guard import REASON_CODES

_Row = tuple[float, ...]
_NULLABLE: Final = ("quantity", "target_quantity", "position")
_TIER_WIDTH: Final = 4
_WIDTHS: Final = {  # figures of each row
    "used": len(Settings._fields), "fixed": len(Settings._fields), "switches": 6, "gates": len(GateInputs._fields),
    "gate_limits": len(GateLimits._fields), "request": len(EntryRequest._fields), "sizes": 3, "market": 7,
    "account": account_column.SIZE, "limits": limit_column.SIZE, "policy": len(Settings._fields),
    "policy_market": pol.IN_SIZE, "policy_overall": pol.IN_SIZE, "policy_account": pol.ACC_SIZE,
    "policy_memory": pol.MEM_SIZE, "pilot": 3,
}
_EMPTY: Final = ("policy", "policy_market", "policy_overall", "policy_account", "policy_memory", "pilot")


class PositionState(msgspec.Struct, frozen=True, kw_only=True):
    """What the account holds and has on its way when a signal comes."""

    sign: int  # of the symbol's position; 0: none
    pending: int  # 1: an opening order of the symbol is on its way
    open_count: int  # positions, and opening orders on their way
    adds: bool = False  # the signal wants more of the position
    is_kept: bool = False  # a signal does not reverse the position: another source opened it
    is_pilots: bool = False  # the pilot holds it, or its order is on its way


class DecisionInputs(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs of the decision on one signal. Rows have the columns of the modules that they name."""

    signal_id: Word
    symbol: Word
    ts_ns: TimeNs
    sign: int
    confidence: Probability  # with the bonus of a consensus
    atr: float  # that exits are measured in, price units
    position: PositionState
    used: tuple[float, ...]  # policy.enforcement.Settings: what trading uses
    fixed: tuple[float, ...]  # the same: the fixed settings
    switches: tuple[int, ...]  # of the policy, 1: enforced
    pilot_road: int  # ROAD code of the pilot's stance; 0: it lets the signal through
    gates: tuple[float, ...]  # models.gates.GateInputs
    gate_limits: tuple[float, ...]  # models.gates.GateLimits
    gates_enforced: int  # bits of GATES
    request: tuple[float, ...]  # engine.entry.EntryRequest; its quantity stands in `quantity`
    quantity: float | None  # to hold in all, base units; None: the risk alone decides
    sizes: tuple[float, ...]  # step, least quantity, least notional
    market: tuple[float, ...]  # risk.guard.market_row
    account: tuple[float, ...]  # risk.account_column
    limits: tuple[float, ...]  # risk.limit_column
    tiers: tuple[tuple[float, ...], ...]  # leverage table of the symbol
    policy: tuple[float, ...] = ()  # policy.enforcement.Settings: what the policy says; empty without a policy
    policy_market: tuple[float, ...] = ()  # policy.layout IN_: of the symbol
    policy_overall: tuple[float, ...] = ()  # policy.layout IN_: of all symbols together
    policy_account: tuple[float, ...] = ()  # policy.layout ACC_
    policy_memory: tuple[float, ...] = ()  # policy.layout MEM_
    symbol_factor: float = 1.0  # share of the permitted risk that the symbol's record leaves, without the governor's
    target_quantity: float | None = None  # `quantity` at the full permitted risk; None where the risk alone decides
    pilot: tuple[float, ...] = ()  # its confidence, the signal's over its horizon, least of its own; empty: not asked


def recorded_inputs(data: Mapping[str, Any]) -> DecisionInputs:
    """The inputs that a record ``signal.inputs`` holds; JSON writes null for a figure that is not finite.

    Raises StateError where it is not one of them.
    """
    plain = {key: value if key in _NULLABLE else _figures(value) for key, value in data.items()}
    try:
        made = msgspec.convert(plain, DecisionInputs)
        _check_widths(made)
        return made
    except ValueError as error:
        raise StateError(f"signal.inputs: cannot be read ({error}); another version of this program wrote it") from None


def _check_widths(made: DecisionInputs) -> None:
    """Raise ValueError where a row has another number of figures than this version writes."""
    for key, width in _WIDTHS.items():
        row = getattr(made, key)
        if len(row) != width and not (key in _EMPTY and not row):
            raise ValueError(f"{key}: {len(row)} numbers; {width} are needed")
    if any(len(tier) != _TIER_WIDTH for tier in made.tiers):
        raise ValueError(f"tiers: each needs {_TIER_WIDTH} numbers")


def _figures(value: Any) -> Any:
    """*value* with NaN for null, at any depth of lists."""
    if isinstance(value, list | tuple):
        return [_figures(one) for one in value]
    return math.nan if value is None else value


class Redecision(NamedTuple):
    """How a decision ends."""

    road: int  # ROAD code; ROAD_APPROVED with a guard code where the guard refuses
    guard: int  # code of the guard's reason; 0: approved, or not asked
    qty: float  # approved, base units
    observed: float
    limit: float

    @property
    def reason(self) -> str:
        """Why nothing is sent, as it is recorded; empty for an order."""
        if self.road != ROAD_APPROVED:
            return ROAD_REASONS[self.road]
        found = REASON_CODES[self.guard]
        return found.value if found is not None else ""

    @property
    def is_approved(self) -> bool:
        """Whether an order is sent."""
        return self.road == ROAD_APPROVED and self.guard == 0


def policy_road(inputs: DecisionInputs) -> int:
    """ROAD code of the checks before the six gates: warm-up, positions, what trading uses of the policy, the pilot."""
    held = inputs.position
    return int(road_of_signal(
        inputs.sign, inputs.confidence, inputs.atr, (held.sign, held.pending, held.open_count), int(held.adds),
        int(held.is_kept), int(held.is_pilots), inputs.pilot_road, settings_of_row(inputs.used),
    ))


def decide_again(inputs: DecisionInputs) -> Redecision:
    """The decision that *inputs* lead to."""
    code = policy_road(inputs)
    if code != ROAD_APPROVED:
        return Redecision(code, 0, 0.0, 0.0, 0.0)
    measured, limits = gate_inputs_of(inputs.gates), gate_limits_of(inputs.gate_limits)
    place = first_gate(int(refused_gates(measured, limits)) & inputs.gates_enforced)
    if place >= 0:
        return Redecision(ROAD_SPREAD + place, 0, 0.0, 0.0, 0.0)
    request = EntryRequest._make(inputs.request)._replace(
        quantity=math.inf if inputs.quantity is None else inputs.quantity, sign=int(inputs.request[0])
    )
    sized = decide_entry(
        request, inputs.sizes, inputs.market, inputs.account, inputs.limits,
        np.array(inputs.tiers, dtype=np.float64).reshape(-1, _TIER_WIDTH),
    )
    if sized.road != ROAD_APPROVED:
        return Redecision(sized.road, 0, 0.0, sized.wanted, 0.0)
    return Redecision(ROAD_APPROVED, sized.guard, sized.qty, sized.observed, sized.limit)


def settings_of_row(row: _Row) -> Settings:
    """*row* as settings."""
    allowed, symbol, confidence, risk_pct, positions, exit_code = row
    return Settings(int(allowed), int(symbol), confidence, risk_pct, int(positions), int(exit_code))


def gate_inputs_of(row: _Row) -> GateInputs:
    """*row* as the inputs of the gates."""
    made = GateInputs._make(row)
    return made._replace(trend=int(made.trend), high_volatility=int(made.high_volatility))


def gate_limits_of(row: _Row) -> GateLimits:
    """*row* as the limits of the gates."""
    made = GateLimits._make(row)
    return made._replace(regimes=int(made.regimes))


def numbers(row: Iterable[float]) -> tuple[float, ...]:
    """*row* as plain floats."""
    return tuple(map(float, row))
