"""The inputs of one decision as one row of floats, and back.

The row begins with the rows that are on record (``engine.decision_inputs.DecisionInputs``), one after the other. Behind
them stand figures that the record holds in several places or in another form, so that a person changes each once:
:mod:`quantum_trader.lab.explain.effects` writes what follows from a change into all of them.
"""

from __future__ import annotations

import math
from collections.abc import MutableSequence, Sequence
from typing import Final

from quantum_trader.domain.enums import DIR_DOWN, DIR_UP, TREND_RANGING, TREND_TRENDING
from quantum_trader.engine.decision_inputs import DecisionInputs, PositionState
from quantum_trader.policy import layout as pol
from quantum_trader.risk import account_column, limit_column

RowCells = MutableSequence[float]

# ---- the head, then the rows on record ------------------------------------------------------------------------------
(
    SIGN, CONFIDENCE, ATR, HELD, PENDING, OPEN_COUNT, ADDS, IS_KEPT, IS_PILOTS, PILOT_ROAD, ENFORCED, QUANTITY,
    SYMBOL_FACTOR, TARGET_QUANTITY, PILOT_OWN, PILOT_OTHER, PILOT_LEAST, USED,
) = range(18)
FIXED: Final = USED + 6
SWITCHES: Final = FIXED + 6
POLICY: Final = SWITCHES + 6
GATES: Final = POLICY + 6
GATE_LIMITS: Final = GATES + 10
REQUEST: Final = GATE_LIMITS + 7
SIZES: Final = REQUEST + 11
MARKET: Final = SIZES + 3
ACCOUNT: Final = MARKET + 7
LIMITS: Final = ACCOUNT + account_column.SIZE
POLICY_MARKET: Final = LIMITS + limit_column.SIZE
POLICY_ACCOUNT: Final = POLICY_MARKET + pol.IN_SIZE
POLICY_MEMORY: Final = POLICY_ACCOUNT + pol.ACC_SIZE

# ---- places in rows that have no names of their own -----------------------------------------------------------------
USED_GATE, USED_SYMBOL, USED_CONFIDENCE, USED_RISK, USED_POSITIONS, USED_EXIT = range(USED, USED + 6)
(
    GATE_SPREAD_BPS, GATE_VOLUME_RATIO, GATE_TREND, GATE_HIGH_VOLATILITY, GATE_EXPECTED_BPS, GATE_COST_BPS,
    GATE_CONFIDENCE, GATE_MIN_CONFIDENCE, GATE_WIN_PROBABILITY, GATE_PAYOFF,
) = range(GATES, GATES + 10)
(
    LIMIT_SPREAD_BPS, LIMIT_VOLUME_RATIO, LIMIT_REGIMES, LIMIT_MARGIN_BPS, LIMIT_HIGH_VOLATILITY, LIMIT_CONFIDENCE,
    LIMIT_WIN_PROBABILITY,
) = range(GATE_LIMITS, GATE_LIMITS + 7)
(
    REQUEST_SIGN, REQUEST_PRICE, REQUEST_ATR, REQUEST_STOP_ATR, REQUEST_RISK_PCT, REQUEST_FACTOR, REQUEST_LEVERAGE,
    REQUEST_QUANTITY, REQUEST_HELD_QTY, REQUEST_HELD_ENTRY, REQUEST_HELD_STOP,
) = range(REQUEST, REQUEST + 11)
SIZE_STEP, SIZE_MIN_QTY, SIZE_MIN_NOTIONAL = range(SIZES, SIZES + 3)
(
    MARKET_COST_R, MARKET_DATA_AGE_S, MARKET_EXPIRED, MARKET_SYMBOL_OK, MARKET_NEW_POSITION, MARKET_HELD_QTY,
    MARKET_HELD_ENTRY,
) = range(MARKET, MARKET + 7)

# ---- behind them ----------------------------------------------------------------------------------------------------
(
    DERIVED,  # 1: what trading uses follows from switches, policy and fixed settings; 0: it is taken as it was
    RULES,  # 1: the policy follows from its own inputs by its rules; 0: it is taken as it was
    LAW,  # how confidence and expected return belong together: LAW_*
    ERROR_BPS,  # standard error of the expected return
    BONUS,  # of a consensus with the pilot, in the confidence
    REGIME,  # REGIME_*
    EXPOSURE_PCT,  # margin in use over equity
    DAY_CHANGE_PCT,  # the worse of the change since midnight and of 24 hours
    CLOSED,  # 1: the opposite position is closed first
    HELD_FIELDS,  # bits of the policy's settings that wait to loosen
    RELEASED,  # 1: they have waited long enough
    NEW_GUARD_LATCH,  # 1: the guard's daily loss halt is there because of the day's change as it stands
    NEW_POLICY_LATCH,  # 1: the same of the policy's
    OWN_CONFIDENCE,  # threshold in force
    OWN_RISK_PCT,  # permitted risk a trade in force
    OWN_POSITIONS,  # most open positions in force
    OWN_GATE,  # 1: new trades are permitted
    OWN_SYMBOL,  # 1: the symbol is
    ROW_SIZE,
) = range(POLICY_MEMORY + pol.MEM_SIZE, POLICY_MEMORY + pol.MEM_SIZE + 19)

LAW_NONE, LAW_NORMAL, LAW_DIRECTION = 0, 1, 2  # none known; of models.forecast; of the ensemble's probability
REGIME_UNKNOWN, REGIME_RANGING, REGIME_UP, REGIME_DOWN, REGIME_TRENDING = range(5)
_REGIMES: Final = {
    (TREND_TRENDING, DIR_UP): REGIME_UP, (TREND_TRENDING, DIR_DOWN): REGIME_DOWN,
}


def regime_code(trend: float, direction: float) -> float:
    """The REGIME code of a TREND and a DIR code."""
    if trend == TREND_TRENDING:
        return float(_REGIMES.get((TREND_TRENDING, int(direction)), REGIME_TRENDING))
    return float(REGIME_RANGING if trend == TREND_RANGING else REGIME_UNKNOWN)


def recorded_row(inputs: DecisionInputs) -> list[float]:
    """The rows on record of *inputs*, one after the other; what is not there is NaN."""
    held = inputs.position
    target = inputs.target_quantity
    row: list[float] = [
        inputs.sign, inputs.confidence, inputs.atr, held.sign, held.pending, held.open_count, held.adds, held.is_kept,
        held.is_pilots, inputs.pilot_road, inputs.gates_enforced,
        math.inf if inputs.quantity is None else inputs.quantity, inputs.symbol_factor,
        math.inf if target is None else target, *(inputs.pilot or _NO_PILOT), *inputs.used, *inputs.fixed,
        *inputs.switches, *(inputs.policy or _NO_POLICY), *inputs.gates, *inputs.gate_limits, *inputs.request,
        *inputs.sizes, *inputs.market, *inputs.account, *inputs.limits, *(inputs.policy_market or _NO_MARKET),
        *(inputs.policy_account or _NO_ACCOUNT), *(inputs.policy_memory or _NO_MEMORY),
    ]
    return row


_NO_PILOT: Final = (math.nan,) * 3
_NO_POLICY: Final = (math.nan,) * 6
_NO_MARKET: Final = (math.nan,) * pol.IN_SIZE
_NO_ACCOUNT: Final = (math.nan,) * pol.ACC_SIZE
_NO_MEMORY: Final = (math.nan,) * pol.MEM_SIZE


def inputs_of(row: Sequence[float], base: DecisionInputs) -> DecisionInputs:
    """The decision's inputs that *row* stands for; what a row does not hold is that of *base*."""
    quantity, target = row[QUANTITY], row[TARGET_QUANTITY]
    cut = tuple(row)
    return DecisionInputs(
        signal_id=base.signal_id, symbol=base.symbol, ts_ns=base.ts_ns, sign=int(row[SIGN]), confidence=row[CONFIDENCE],
        atr=row[ATR],
        position=PositionState(
            sign=int(row[HELD]), pending=int(row[PENDING]), open_count=int(row[OPEN_COUNT]), adds=bool(row[ADDS]),
            is_kept=bool(row[IS_KEPT]), is_pilots=bool(row[IS_PILOTS]),
        ),
        used=cut[USED:FIXED], fixed=cut[FIXED:SWITCHES], switches=tuple(map(int, cut[SWITCHES:POLICY])),
        pilot_road=int(row[PILOT_ROAD]),
        gates=cut[GATES:GATE_LIMITS], gate_limits=cut[GATE_LIMITS:REQUEST], gates_enforced=int(row[ENFORCED]),
        request=cut[REQUEST:SIZES], quantity=quantity if math.isfinite(quantity) else None,
        sizes=cut[SIZES:MARKET], market=cut[MARKET:ACCOUNT], account=cut[ACCOUNT:LIMITS],
        limits=cut[LIMITS:POLICY_MARKET], tiers=base.tiers, policy=cut[POLICY:GATES] if base.policy else (),
        policy_market=cut[POLICY_MARKET:POLICY_ACCOUNT] if base.policy_market else (),
        policy_overall=base.policy_overall,
        policy_account=cut[POLICY_ACCOUNT:POLICY_MEMORY] if base.policy_account else (),
        policy_memory=cut[POLICY_MEMORY:DERIVED] if base.policy_memory else (), symbol_factor=row[SYMBOL_FACTOR],
        target_quantity=target if math.isfinite(target) else None, pilot=base.pilot,
    )


