"""What follows from a change of a decision's inputs: scalar functions over one row (columns in ``lab.explain.row``).

:func:`follow` carries a change into every place that holds the same figure, and into what follows from it by
arithmetic. :func:`settle` makes the settings that trading uses: by the policy's own rules where the policy is enforced,
from the recorded rows with the changed inputs. Both run as plain Python and as machine code.
"""

from __future__ import annotations

import math
from typing import Final

from quantum_trader.domain.enums import (
    DIR_DOWN,
    DIR_NONE,
    DIR_UP,
    TAG_BAD,
    TREND_RANGING,
    TREND_TRENDING,
    TREND_UNKNOWN,
    VOL_HIGH,
)
from quantum_trader.domain.indicators import vol_level
from quantum_trader.domain.scalar import scalar
from quantum_trader.engine.road import ROAD_APPROVED, ROAD_PILOT_CONFIDENT, exit_vol_level
from quantum_trader.lab.explain import row as at
from quantum_trader.lab.explain.row import RowCells
from quantum_trader.models.forecast import normal_cdf
from quantum_trader.policy import layout as pol
from quantum_trader.policy.core import (
    MIN_TRADES,
    AccountState,
    cost_level,
    decide,
    liquidity_level,
    risk_is_stale,
    symbol_refusal,
)
from quantum_trader.policy.enforcement import Settings, settings_in_use
from quantum_trader.risk import account_column as acc
from quantum_trader.risk import limit_column as lim
from quantum_trader.risk.governor import level_factors

_BPS: Final = 10_000.0
_LEAST_ERROR: Final = 1e-12  # basis points: an expectation without doubt

_IN: Final = at.POLICY_MARKET
_ACC: Final = at.POLICY_ACCOUNT
_MEM: Final = at.POLICY_MEMORY
_BOOK: Final = at.ACCOUNT


@scalar
def is_other(first: float, second: float) -> bool:
    """Whether two figures differ; two that are not known do not."""
    return first != second and not (first != first and second != second)


# ---- what follows by arithmetic -------------------------------------------------------------------------------------
@scalar
def follow(row: RowCells, base: RowCells) -> None:
    """Write into *row*, a copy of *base* with some inputs changed, all that follows from these changes."""
    follow_market(row, base)
    follow_forecast(row, base)
    follow_money(row, base)
    follow_losses(row, base)
    follow_positions(row, base)


@scalar
def follow_market(row: RowCells, base: RowCells) -> None:
    """Spread and slippage move the costs, the stop the cost in R; regime and volatility stand in two rows."""
    if is_other(row[at.GATE_SPREAD_BPS], base[at.GATE_SPREAD_BPS]):
        row[_IN + pol.IN_SPREAD_BPS] = row[at.GATE_SPREAD_BPS]
    if is_other(row[at.GATE_VOLUME_RATIO], base[at.GATE_VOLUME_RATIO]):
        row[_IN + pol.IN_VOLUME_RATIO] = row[at.GATE_VOLUME_RATIO]
    more = row[at.GATE_SPREAD_BPS] - base[at.GATE_SPREAD_BPS]
    slippage = row[_IN + pol.IN_SLIPPAGE_BPS] - base[_IN + pol.IN_SLIPPAGE_BPS]
    more = (more if more == more else 0.0) + (2.0 * slippage if slippage == slippage else 0.0)
    stop = base[at.REQUEST_STOP_ATR] * base[at.REQUEST_ATR]
    if not is_other(row[at.MARKET_COST_R], base[at.MARKET_COST_R]) and stop > 0.0:
        cost = base[at.MARKET_COST_R] + more / _BPS * base[at.REQUEST_PRICE] / stop
        if is_other(row[at.REQUEST_STOP_ATR], base[at.REQUEST_STOP_ATR]):
            cost *= base[at.REQUEST_STOP_ATR] / row[at.REQUEST_STOP_ATR]
        row[at.MARKET_COST_R] = cost
    if is_other(row[at.MARKET_COST_R], base[at.MARKET_COST_R]):
        row[_IN + pol.IN_COST_IN_R] = row[at.MARKET_COST_R]
    if row[at.LAW] == at.LAW_DIRECTION and not is_other(row[at.GATE_COST_BPS], base[at.GATE_COST_BPS]):
        row[at.GATE_COST_BPS] = base[at.GATE_COST_BPS] + more
    if is_other(row[_IN + pol.IN_VOL_RATIO], base[_IN + pol.IN_VOL_RATIO]):
        row[at.GATE_HIGH_VOLATILITY] = 1.0 if exit_vol_level(row[_IN + pol.IN_VOL_RATIO]) >= VOL_HIGH else 0.0
    if row[at.REGIME] != base[at.REGIME]:
        trend, direction = TREND_TRENDING, DIR_NONE
        if row[at.REGIME] == at.REGIME_UP:
            direction = DIR_UP
        elif row[at.REGIME] == at.REGIME_DOWN:
            direction = DIR_DOWN
        elif row[at.REGIME] == at.REGIME_RANGING:
            trend = TREND_RANGING
        elif row[at.REGIME] == at.REGIME_UNKNOWN:
            trend = TREND_UNKNOWN
        row[at.GATE_TREND], row[_IN + pol.IN_TREND], row[_IN + pol.IN_DIRECTION] = trend, trend, direction


@scalar
def follow_forecast(row: RowCells, base: RowCells) -> None:
    """Confidence, expected return and cost belong together, by the law of the forecast; the pilot compares its own."""
    expected, cost, error = row[at.GATE_EXPECTED_BPS], row[at.GATE_COST_BPS], row[at.ERROR_BPS]
    own = is_other(row[at.CONFIDENCE], base[at.CONFIDENCE])
    moved = is_other(cost, base[at.GATE_COST_BPS]) or is_other(error, base[at.ERROR_BPS])
    moved = moved or is_other(expected, base[at.GATE_EXPECTED_BPS])
    if row[at.LAW] == at.LAW_NORMAL and moved and not own:
        confidence = normal_cdf((expected - cost) / max(error, _LEAST_ERROR)) + row[at.BONUS]
        row[at.CONFIDENCE] = 1.0 if confidence > 1.0 else confidence
    if row[at.LAW] == at.LAW_DIRECTION and own and not is_other(expected, base[at.GATE_EXPECTED_BPS]):
        before = 2.0 * (base[at.CONFIDENCE] - row[at.BONUS]) - 1.0
        if before != 0.0:
            row[at.GATE_EXPECTED_BPS] *= (2.0 * (row[at.CONFIDENCE] - row[at.BONUS]) - 1.0) / before
    if is_other(row[at.CONFIDENCE], base[at.CONFIDENCE]):
        row[at.GATE_CONFIDENCE] = row[at.CONFIDENCE]
    if base[at.PILOT_ROAD] == ROAD_PILOT_CONFIDENT and row[at.PILOT_ROAD] == ROAD_PILOT_CONFIDENT:
        stronger = row[at.PILOT_OWN] > row[at.PILOT_OTHER] and row[at.PILOT_OWN] >= row[at.PILOT_LEAST]
        known = row[at.PILOT_OWN] == row[at.PILOT_OWN]
        row[at.PILOT_ROAD] = ROAD_PILOT_CONFIDENT if stronger or not known else ROAD_APPROVED


@scalar
def follow_money(row: RowCells, base: RowCells) -> None:
    """Equity moves the quantity wanted and the exposure; governor and the symbol's record move the size."""
    equity, before = row[_BOOK + acc.EQUITY], base[_BOOK + acc.EQUITY]
    sized = not is_other(row[at.QUANTITY], base[at.QUANTITY])
    exposed = is_other(row[at.EXPOSURE_PCT], base[at.EXPOSURE_PCT])
    if is_other(equity, before) and before > 0.0:
        row[_ACC + pol.ACC_EQUITY] = equity
        row[at.TARGET_QUANTITY] *= equity / before
        if sized and math.isfinite(row[at.QUANTITY]):
            row[at.QUANTITY] *= equity / before
        if not exposed:
            row[_ACC + pol.ACC_EXPOSURE_PCT] *= before / equity
    if exposed:
        row[_BOOK + acc.USED_MARGIN] = row[at.EXPOSURE_PCT] * equity / 100.0
        more = row[at.EXPOSURE_PCT] - base[at.EXPOSURE_PCT]
        row[_ACC + pol.ACC_EXPOSURE_PCT] = max(0.0, row[_ACC + pol.ACC_EXPOSURE_PCT] + more)
    governor = row[_BOOK + acc.GOVERNOR] != base[_BOOK + acc.GOVERNOR]
    if governor or is_other(row[at.SYMBOL_FACTOR], base[at.SYMBOL_FACTOR]):
        size, _, _ = level_factors(row[_BOOK + acc.GOVERNOR])
        factor = row[at.SYMBOL_FACTOR] * size
        if math.isfinite(row[at.TARGET_QUANTITY]):
            if sized:
                row[at.QUANTITY] = row[at.TARGET_QUANTITY] * factor
            row[at.REQUEST_FACTOR] = factor
        else:
            had, _, _ = level_factors(base[_BOOK + acc.GOVERNOR])
            old = base[at.SYMBOL_FACTOR] * had
            row[at.REQUEST_FACTOR] = base[at.REQUEST_FACTOR] * factor / old if old > 0.0 else factor


@scalar
def follow_losses(row: RowCells, base: RowCells) -> None:
    """The day's change stands in three places; the halts that it has raised as it stands go with it."""
    change = row[at.DAY_CHANGE_PCT]
    if is_other(change, base[at.DAY_CHANGE_PCT]):
        if change > base[at.DAY_CHANGE_PCT]:
            row[_BOOK + acc.ROLLING_PNL] = max(row[_BOOK + acc.ROLLING_PNL], change)
            row[_BOOK + acc.MIDNIGHT_PNL] = max(row[_BOOK + acc.MIDNIGHT_PNL], change)
            row[_ACC + pol.ACC_DAILY_PNL_PCT] = max(row[_ACC + pol.ACC_DAILY_PNL_PCT], change)
        else:
            row[_BOOK + acc.MIDNIGHT_PNL] = change
            row[_ACC + pol.ACC_DAILY_PNL_PCT] = change
        worst = min(row[_BOOK + acc.ROLLING_PNL], row[_BOOK + acc.MIDNIGHT_PNL])
        if row[at.NEW_GUARD_LATCH] != 0.0 and worst > -row[at.LIMITS + lim.DAILY_LOSS_PCT]:
            row[_BOOK + acc.LOSS_LATCHED] = 0.0


@scalar
def follow_positions(row: RowCells, base: RowCells) -> None:
    """Open positions stand in three places; a position that is closed first is one less; a tag decides on a symbol."""
    if row[at.CLOSED] != 0.0:
        row[at.HELD] = 0.0
        row[at.OPEN_COUNT] = max(0.0, row[at.OPEN_COUNT] - 1.0)
    more = row[at.OPEN_COUNT] - base[at.OPEN_COUNT]
    if more != 0.0:
        row[_BOOK + acc.POSITIONS] = max(0.0, row[_BOOK + acc.POSITIONS] + more)
        row[_ACC + pol.ACC_OPEN_COUNT] = max(0.0, row[_ACC + pol.ACC_OPEN_COUNT] + more)
    if is_other(row[_IN + pol.IN_TAG], base[_IN + pol.IN_TAG]):
        row[at.FIXED + 1] = 0.0 if row[_IN + pol.IN_TAG] == TAG_BAD else 1.0


# ---- the settings in use --------------------------------------------------------------------------------------------
@scalar
def settle(row: RowCells, base: RowCells, profile: RowCells) -> int:
    """Write the settings that trading uses into *row*; returns how many causes the policy has to refuse the signal.

    *profile*: the policy's profile as ``policy.layout`` orders it; read where the row says that its rules apply.
    """
    causes = apply_rules(row, profile) if row[at.RULES] != 0.0 else 0
    if row[at.DERIVED] != 0.0:
        p, f, s = at.POLICY, at.FIXED, at.SWITCHES
        used = settings_in_use(
            (int(row[s]), int(row[s + 1]), int(row[s + 2]), int(row[s + 3]), int(row[s + 4]), int(row[s + 5])),
            Settings(int(row[p]), int(row[p + 1]), row[p + 2], row[p + 3], int(row[p + 4]), int(row[p + 5])),
            Settings(int(row[f]), int(row[f + 1]), row[f + 2], row[f + 3], int(row[f + 4]), int(row[f + 5])),
        )
        row[at.USED_GATE], row[at.USED_SYMBOL], row[at.USED_CONFIDENCE] = used.gate, used.symbol, used.min_confidence
        row[at.USED_RISK], row[at.USED_POSITIONS], row[at.USED_EXIT] = used.risk_pct, used.max_positions, used.exit_code
    if is_other(row[at.OWN_CONFIDENCE], base[at.OWN_CONFIDENCE]):
        row[at.USED_CONFIDENCE] = row[at.OWN_CONFIDENCE]
    if is_other(row[at.OWN_RISK_PCT], base[at.OWN_RISK_PCT]):
        row[at.USED_RISK] = row[at.OWN_RISK_PCT]
    if is_other(row[at.OWN_POSITIONS], base[at.OWN_POSITIONS]):
        row[at.USED_POSITIONS] = row[at.OWN_POSITIONS]
    if is_other(row[at.OWN_GATE], base[at.OWN_GATE]):
        row[at.USED_GATE] = row[at.OWN_GATE]
    if is_other(row[at.OWN_SYMBOL], base[at.OWN_SYMBOL]):
        row[at.USED_SYMBOL] = row[at.OWN_SYMBOL]
    row[at.GATE_MIN_CONFIDENCE] = row[at.USED_CONFIDENCE]
    row[at.REQUEST_RISK_PCT] = row[at.USED_RISK]
    return causes


@scalar
def loss_latch(row: RowCells, profile: RowCells) -> float:
    """The day (or -1) of the policy's daily loss latch: one that the losses as they stood had raised goes with them."""
    latch, limit = row[_MEM + pol.MEM_LATCH_DAY], -profile[pol.PROFILE_DD_LIMIT]
    worst = min(row[_ACC + pol.ACC_DAILY_PNL_PCT], row[_ACC + pol.ACC_DRAWDOWN_PCT])
    return -1.0 if row[at.NEW_POLICY_LATCH] != 0.0 and worst > limit else latch


@scalar
def apply_rules(row: RowCells, profile: RowCells) -> int:
    """Write what the policy says by its rules into *row*; returns how many causes refuse.

    A setting that waits to loosen stays as strict as it is, unless the row says that it has waited long enough.
    """
    market = (
        int(row[_IN + pol.IN_TREND]), int(row[_IN + pol.IN_DIRECTION]),
        vol_level(row[_IN + pol.IN_VOL_RATIO], profile[pol.PROFILE_HIGH_VOL], profile[pol.PROFILE_EXTREME_VOL]),
        row[_IN + pol.IN_AGE_BARS],
    )
    cost = (
        cost_level(row[_IN + pol.IN_SPREAD_BPS], profile[pol.PROFILE_HIGH_SPREAD_BPS]),
        cost_level(row[_IN + pol.IN_SLIPPAGE_BPS], profile[pol.PROFILE_HIGH_SLIPPAGE_BPS]),
        liquidity_level(row[_IN + pol.IN_VOLUME_RATIO]), math.nan,
    )
    latch = loss_latch(row, profile)
    account = AccountState(
        row[_ACC + pol.ACC_DAILY_PNL_PCT], row[_ACC + pol.ACC_DRAWDOWN_PCT], latch >= 0.0,
        row[_ACC + pol.ACC_STREAK], row[_ACC + pol.ACC_BROKEN_STREAK], row[_ACC + pol.ACC_WINS_SINCE],
        row[_ACC + pol.ACC_OPEN_COUNT], row[_ACC + pol.ACC_EXPOSURE_PCT],
        risk_is_stale(row[_ACC + pol.ACC_RISK_AGE_S], row[_ACC + pol.ACC_EQUITY], True),
        row[_MEM + pol.MEM_HALT] != 0.0, row[_ACC + pol.ACC_QUALITY],
    )
    allow, _, risk, confidence, _, exit_, bits = decide(market, cost, account, profile, None)
    refused = symbol_refusal(
        int(row[_IN + pol.IN_TAG]), row[_IN + pol.IN_WINRATE], row[_IN + pol.IN_AVG_R], row[_IN + pol.IN_TRADES],
        row[_IN + pol.IN_LOSSES], row[_IN + pol.IN_COST_IN_R], profile,
    )
    causes = refusal_causes(row, profile, latch, bits | refused)
    write_policy(row, allow, 1 if refused == 0 else 0, confidence, risk, profile[pol.PROFILE_MAX_OPEN], exit_)
    return causes


@scalar
def refusal_causes(row: RowCells, profile: RowCells, latch: float, bits: int) -> int:
    """How many inputs give the policy a reason to refuse, from its refusal *bits* and what may stand behind one."""
    causes = 0
    for place in range(9):
        bit = 1 << place
        if bits & bit and bit != pol.REFUSE_DAILY_LOSS and bit != pol.REFUSE_BAD_SYMBOL:
            causes += 1
    limit = -profile[pol.PROFILE_DD_LIMIT]
    causes += 1 if latch >= 0.0 else 0
    causes += 1 if row[_ACC + pol.ACC_DAILY_PNL_PCT] <= limit else 0
    causes += 1 if row[_ACC + pol.ACC_DRAWDOWN_PCT] <= limit else 0
    causes += 1 if row[_IN + pol.IN_TAG] == TAG_BAD else 0
    if row[_IN + pol.IN_TRADES] >= MIN_TRADES:
        causes += 1 if row[_IN + pol.IN_WINRATE] < profile[pol.PROFILE_MIN_WINRATE] else 0
        causes += 1 if row[_IN + pol.IN_AVG_R] < profile[pol.PROFILE_MIN_AVG_R] else 0
        causes += 1 if row[_IN + pol.IN_LOSSES] >= profile[pol.PROFILE_BAD_STREAK] else 0
    return causes


@scalar
def write_policy(
    row: RowCells, allow: int, symbol: int, confidence: float, risk: float, positions: float, exit_: int
) -> None:
    """Write the rules' answer into *row*, each setting as strict as what is in force while it waits to loosen."""
    held = int(row[at.HELD_FIELDS]) if row[at.RELEASED] == 0.0 else 0
    p = at.POLICY
    row[p] = min(row[p], float(allow)) if held & 1 else float(allow)
    row[p + 1] = min(row[p + 1], float(symbol)) if held & 2 else float(symbol)
    row[p + 2] = max(row[p + 2], confidence) if held & 4 else confidence
    row[p + 3] = min(row[p + 3], risk) if held & 8 else risk
    row[p + 4] = min(row[p + 4], positions) if held & 16 else positions
    row[p + 5] = max(row[p + 5], float(exit_)) if held & 32 else float(exit_)
