"""The policy in force: it tightens at once and loosens only after a wait; and the latches of the account.

Scalar functions over small mutable sequences (lists in the library, rows of arrays in compiled code). A slot keeps,
per field, ``current, pending, since, count``: the value in force and the run of looser evaluations that waits. Values
are stored as *looseness*, bigger is riskier, so that one comparison serves every field.
"""

from __future__ import annotations

import math
from collections.abc import MutableSequence, Sequence
from typing import Final

from quantum_trader.domain.loss_window import after_transfer, record_equity, rolling_pnl_pct
from quantum_trader.domain.scalar import scalar
from quantum_trader.policy.layout import (
    FIELD_ALLOW,
    FIELD_COUNT,
    FIELD_ENTRY,
    FIELD_EXIT,
    FIELD_MIN_CONF,
    FIELD_RISK_PCT,
    FIELD_RISK_PROFILE,
    HOLD_COUNT,
    HOLD_CURRENT,
    HOLD_PENDING,
    HOLD_SINCE,
    HOLD_WIDTH,
    MEM_DAY,
    MEM_LAST_S,
    MEM_LATCH_DAY,
    MEM_PEAK,
    PROFILE_DD_LIMIT,
    PROFILE_INTERVAL_S,
    PROFILE_PERSISTENCE,
    PROFILE_SIMILARITY,
    SLOT_SIZE,
    SLOT_STARTED,
    SLOT_WAITING,
)

NUMBERS_ALIKE: Final = 0.1  # numbers within a tenth of the larger count as equal
DRIFT_EVALUATIONS: Final = 10.0  # in a row, that a looser number waits for while the policies are alike
HELD_DRIFT: Final = 1 << FIELD_COUNT  # among the bits of the fields held: the numbers wait for DRIFT_EVALUATIONS
_DAY_S: Final = 86_400.0
_HOUR_S: Final = 3_600.0


def new_memory() -> list[float]:
    """An account memory that has seen nothing, (MEM_SIZE,): no latch, no halt."""
    return [-math.inf, -1.0, 0.0, -1.0, 0.0]


def new_slot() -> list[float]:
    """A slot that has seen no evaluation."""
    return [0.0] * SLOT_SIZE


# ---- the account ----------------------------------------------------------------------------------------------------
@scalar
def day_drawdown(memory: MutableSequence[float], day: float, drawdown: float, equity: float) -> float:
    """The UTC day's drawdown: the worse of the one given and that of *equity* from *day*'s peak (percent, <= 0).

    *memory* holds the peak. This is the only place that derives the day's drawdown, for the library, the engine and
    the sweep; without an equity the given one counts.
    """
    if not (math.isfinite(equity) and equity > 0.0):
        return drawdown
    if memory[MEM_DAY] != day:
        memory[MEM_DAY] = day
        memory[MEM_PEAK] = equity
    memory[MEM_PEAK] = max(memory[MEM_PEAK], equity)
    return min(drawdown, (equity / memory[MEM_PEAK] - 1.0) * 100.0)


@scalar
def scale_memory(memory: MutableSequence[float], equity: float, amount: float) -> None:
    """Take a transfer of *amount* at *equity* (USDT) into the day's peak; the drawdown keeps its percentage."""
    if memory[MEM_DAY] >= 0.0:
        memory[MEM_PEAK] = after_transfer(memory[MEM_PEAK], equity, amount)


@scalar
def account_step(
    memory: MutableSequence[float], ring: MutableSequence[float], now_s: float, daily_pnl: float, drawdown: float,
    equity: float, profile: Sequence[float]
) -> tuple[float, bool]:
    """Advance the latches to *now_s*; returns (drawdown, latched).

    *ring* holds the equities of the last 24 hours; where *equity* is in it already, noting it again changes nothing.
    *equity* NaN: not given. B1 latches on the UTC day it fires and holds until a later day has come and the rolling
    24-hour loss is inside the limit.
    """
    day = math.floor(now_s / _DAY_S)
    limit = -profile[PROFILE_DD_LIMIT]
    drawdown = day_drawdown(memory, day, drawdown, equity)
    known = math.isfinite(equity) and equity > 0.0
    if known:
        hour = math.floor(now_s / _HOUR_S)
        if ring[0] < 0.0 and -100.0 < daily_pnl < 0.0 and hour > 0:
            # The first equity comes with a loss already made: what the day began with counts for the next 24 hours.
            record_equity(ring, hour - 1, equity / (1.0 + daily_pnl / 100.0))
        record_equity(ring, hour, equity)
    if daily_pnl <= limit or drawdown <= limit:
        memory[MEM_LATCH_DAY] = max(memory[MEM_LATCH_DAY], float(day))
    elif memory[MEM_LATCH_DAY] >= 0.0 and day > memory[MEM_LATCH_DAY]:
        # A latch made with an equity is not lifted without one.
        inside = rolling_pnl_pct(ring, equity) > limit if known else ring[0] < 0.0
        if inside:
            memory[MEM_LATCH_DAY] = -1.0
    return drawdown, memory[MEM_LATCH_DAY] >= 0.0


# ---- one slot -------------------------------------------------------------------------------------------------------
@scalar
def looseness(
    allow: float, level: int, risk: float, confidence: float, entry: float, exit_: float, max_open: float,
    exposure: float, symbol_ok: float
) -> tuple[float, float, float, float, float, float, float, float, float]:
    """The fields in order, each turned so that bigger is riskier."""
    return (
        float(allow), -float(level), float(risk), -float(confidence), -float(entry), -float(exit_),
        float(max_open), float(exposure), float(symbol_ok),
    )


@scalar
def alike(first: float, second: float) -> bool:
    """Whether two numbers are within a tenth of the larger."""
    return abs(first - second) <= NUMBERS_ALIKE * max(abs(first), abs(second))


@scalar
def similarity(
    slot: MutableSequence[float], candidate: Sequence[float], allowed_share: float, disallowed_share: float
) -> float:
    """How alike the values in force and the *candidate* are, 0..1; the two shares are Jaccard indices of the sets."""
    score = 0.10 * allowed_share + 0.05 * disallowed_share
    score += 0.20 if slot[FIELD_ALLOW * HOLD_WIDTH] == candidate[FIELD_ALLOW] else 0.0
    score += 0.15 if slot[FIELD_RISK_PROFILE * HOLD_WIDTH] == candidate[FIELD_RISK_PROFILE] else 0.0
    score += 0.15 if alike(slot[FIELD_RISK_PCT * HOLD_WIDTH], candidate[FIELD_RISK_PCT]) else 0.0
    score += 0.15 if alike(slot[FIELD_MIN_CONF * HOLD_WIDTH], candidate[FIELD_MIN_CONF]) else 0.0
    score += 0.10 if slot[FIELD_ENTRY * HOLD_WIDTH] == candidate[FIELD_ENTRY] else 0.0
    score += 0.10 if slot[FIELD_EXIT * HOLD_WIDTH] == candidate[FIELD_EXIT] else 0.0
    return score


@scalar
def hold_field(
    slot: MutableSequence[float], at: int, value: float, now_s: float, last_s: float, interval: float, needed: float
) -> int:
    """Bring one field of *slot* to *value*; returns bits: 1 changed, 2 a looser value waits.

    Safer or equal is taken at once. Looser waits from the last evaluation that did not want it, for *interval* seconds
    and *needed* evaluations in a row, and then takes the safest value of that run.
    """
    current = slot[at + HOLD_CURRENT]
    if value <= current:
        slot[at + HOLD_CURRENT] = value
        slot[at + HOLD_COUNT] = 0.0
        return 1 if value < current else 0
    count = slot[at + HOLD_COUNT]
    if count == 0.0:
        slot[at + HOLD_SINCE] = last_s
        slot[at + HOLD_PENDING] = value
    else:
        slot[at + HOLD_PENDING] = min(slot[at + HOLD_PENDING], value)
    count += 1.0
    if count < needed or now_s - slot[at + HOLD_SINCE] < interval:
        slot[at + HOLD_COUNT] = count
        return 2
    released = slot[at + HOLD_PENDING]
    slot[at + HOLD_CURRENT] = released
    slot[at + HOLD_PENDING] = value
    slot[at + HOLD_SINCE] = now_s
    slot[at + HOLD_COUNT] = 0.0 if released == value else 1.0
    return 1 if released == value else 3


@scalar
def evaluations_needed(persistence: float, drift: bool) -> float:
    """The evaluations in a row after which a looser value comes into force; *drift*: a number of alike policies."""
    return max(persistence, DRIFT_EVALUATIONS) if drift else persistence


def wait_left(
    slot: Sequence[float], at: int, now_s: float, interval: float, needed: float
) -> tuple[int, float]:
    """How many more evaluations in a row, and seconds, the field at *at* waits to loosen if the rules agree."""
    return int(max(0.0, needed - slot[at + HOLD_COUNT])), max(0.0, slot[at + HOLD_SINCE] + interval - now_s)


@scalar
def is_in_force(slot: MutableSequence[float], candidate: Sequence[float]) -> bool:
    """Whether every field of *slot* already has the *candidate*'s value."""
    for field in range(FIELD_COUNT):  # noqa: SIM110 - compiled
        if slot[field * HOLD_WIDTH + HOLD_CURRENT] != candidate[field]:
            return False
    return True


@scalar
def hold_slot(
    slot: MutableSequence[float], candidate: Sequence[float], now_s: float, last_s: float, allowed_share: float,
    disallowed_share: float, profile: Sequence[float]
) -> tuple[int, int]:
    """Bring all fields of *slot* to *candidate* (looseness values); returns (changed, bits of the fields held).

    The bits have HELD_DRIFT as well where the numbers among those fields wait for DRIFT_EVALUATIONS.
    """
    if slot[SLOT_STARTED] != 0.0 and slot[SLOT_WAITING] == 0.0 and is_in_force(slot, candidate):
        return 0, 0
    if slot[SLOT_STARTED] == 0.0:
        slot[SLOT_STARTED] = 1.0
        for field in range(FIELD_COUNT):
            slot[field * HOLD_WIDTH + HOLD_CURRENT] = candidate[field]
            slot[field * HOLD_WIDTH + HOLD_COUNT] = 0.0
        return 1, 0
    drift = (
        candidate[FIELD_RISK_PCT] > slot[FIELD_RISK_PCT * HOLD_WIDTH]
        or candidate[FIELD_MIN_CONF] > slot[FIELD_MIN_CONF * HOLD_WIDTH]
    ) and similarity(slot, candidate, allowed_share, disallowed_share) >= profile[PROFILE_SIMILARITY]
    changed = 0
    held = 0
    for field in range(FIELD_COUNT):
        if candidate[field] == slot[field * HOLD_WIDTH + HOLD_CURRENT]:
            slot[field * HOLD_WIDTH + HOLD_COUNT] = 0.0
            continue
        numeric = field in (FIELD_RISK_PCT, FIELD_MIN_CONF)
        result = hold_field(
            slot, field * HOLD_WIDTH, candidate[field], now_s, last_s, profile[PROFILE_INTERVAL_S],
            evaluations_needed(profile[PROFILE_PERSISTENCE], drift and numeric),
        )
        changed |= result & 1
        if result & 2:
            held |= 1 << field
    if held and drift:
        held |= HELD_DRIFT
    slot[SLOT_WAITING] = 1.0 if held else 0.0
    return changed, held


@scalar
def clamp_clock(memory: MutableSequence[float], now_s: float) -> tuple[float, float]:
    """The time of this evaluation and of the last one: a clock that steps back stands still."""
    last_s = memory[MEM_LAST_S]
    now_s = max(now_s, last_s)
    memory[MEM_LAST_S] = now_s
    return now_s, last_s if math.isfinite(last_s) else now_s
