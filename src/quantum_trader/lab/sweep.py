"""Many settings of the policy over one history: a grid, run in threads, measured, split and deflated."""

from __future__ import annotations

import numpy as np


from quantum_trader.domain.errors import StateError
from quantum_trader.engine import stage
from quantum_trader.engine.road import ROAD_REASONS
from quantum_trader.lab.sweep_kernel import run_setting
from quantum_trader.lab.sweep_layout import (
    A_SIZE,
    C_SIZE,
    D_REASON,
    D_SIZE,
    ERROR_NOT_FLAT,
    GUARD_CODE,
    M_CASH,
    M_EQUITY,
    M_PEAK,
    M_SIZE,
    M_VENUE_CASH,
    REASON_NONE,
    S_SIZE,
    T_SIZE,
    T_WHOLE_SIZE,
    Desk,
    Levels,
    Outcome,
)
from quantum_trader.lab.sweep_market import Floats, Market
from quantum_trader.market.performance import SymbolPerformance
from quantum_trader.policy import layout as pol
from quantum_trader.policy.compiled import new_mem, new_slots
from quantum_trader.risk.governor import empty_governor
from quantum_trader.risk.guard import ACCOUNT_SIZE, INTENT_SIZE, LIMIT_SIZE, REASON_CODES
from quantum_trader.risk.limits import empty_losses, empty_rate


def new_desk(market: Market) -> Desk:
    """The desk of a setting before its first moment."""
    size, start = len(market.symbols), market.settings.engine.start_equity
    symbols, money = np.zeros((size, D_SIZE)), np.zeros(M_SIZE)
    symbols[:, D_REASON] = REASON_NONE
    money[[M_CASH, M_VENUE_CASH, M_EQUITY, M_PEAK]] = start
    return Desk(
        symbols=symbols, stamps=np.zeros((size, S_SIZE), dtype=np.int64), held=np.zeros(size, dtype=np.int64),
        pending=np.zeros(size, dtype=np.int64), waiting=np.zeros(2 * size + 2, dtype=np.int64),
        opened=np.zeros(size, dtype=np.int64), counts=np.zeros(C_SIZE, dtype=np.int64), money=money,
        performance=SymbolPerformance(market.symbols).rows, losses=np.array(empty_losses()),
        rate=np.array(empty_rate()), governor=np.array(empty_governor()), day=stage.new_day(),
        book=np.zeros(stage.BOOK_SIZE), account=np.zeros(pol.ACC_SIZE), seen=np.full(A_SIZE, np.nan),
        slots=new_slots(size), memory=new_mem(), policy=np.zeros((size + 1, pol.OUT_SIZE)),
        refused=np.zeros(size + 1, dtype=np.int64), rest=np.zeros(size + 1, dtype=np.uint32),
        intent_row=np.zeros(INTENT_SIZE), account_row=np.zeros(ACCOUNT_SIZE), limit_row=np.zeros(LIMIT_SIZE),
    )


def new_outcome(market: Market) -> Outcome:
    """Room for what one setting leaves behind."""
    tape, period = market.tape, market.rules.period_ns
    signals, interval = len(tape.signal_symbol), market.rules.interval_ns
    first = (int(tape.ts_ns[0]) + interval - 1) // period
    last = (int(tape.ts_ns[-1]) + interval - 1) // period
    return Outcome(
        decision=np.full(signals, -1, dtype=np.int16), quantity=np.zeros(signals),
        trade_whole=np.zeros((signals, T_WHOLE_SIZE), dtype=np.int64), trade=np.zeros((signals, T_SIZE)),
        equity=np.full(last - first + 1, np.nan), first_period=first,
    )


def run_one(market: Market, vector: Floats, levels: Levels) -> tuple[Desk, Outcome]:
    """Run the setting of the profile *vector* over the whole tape. Raises StateError when its books do not close."""
    desk, outcome = new_desk(market), new_outcome(market)
    error = run_setting(0, len(market.tape.ts_ns), market.tape, levels, vector, market.rules, desk, outcome)
    if error == ERROR_NOT_FLAT:
        raise StateError("a closing fill left a rest: the sweep does not equal the engine here; report the profile")
    return desk, outcome


def decision_name(code: int) -> str:
    """The reason behind a decision's *code*, as the engine records it; empty for a signal that was traded."""
    if code >= GUARD_CODE:
        reason = REASON_CODES[code - GUARD_CODE]
        return reason.value if reason is not None else ""
    return ROAD_REASONS.get(code, "")
