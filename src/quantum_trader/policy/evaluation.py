"""One evaluation of the policy: pure, from inputs and a profile to a policy.

:func:`evaluate` runs all of it. :class:`~quantum_trader.policy.OrchestratorPolicy` uses the same parts and adds the
memory: latches, holds, history and persistence.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from quantum_trader.domain.enums import TAG_CODES, PerformanceTag
from quantum_trader.domain.policy import RiskState, SymbolPerformanceData
from quantum_trader.policy.core import (
    AccountState,
    Cost,
    MarketCodes,
    decide,
    risk_is_stale,
    symbol_is_bad,
    symbol_refusal,
)
from quantum_trader.policy.inputs import (
    OVERALL,
    Costs,
    PolicyInputs,
    cost_codes,
    market_codes,
    market_of,
    overall_cost,
    quality_of,
)
from quantum_trader.policy.layout import (
    FIELD_COUNT,
    FIELD_ENTRY,
    FIELD_EXIT,
    FIELD_MIN_CONF,
    FIELD_RISK_PCT,
    FIELD_RISK_PROFILE,
    HOLD_WIDTH,
    PROFILE_BAD_STREAK,
    PROFILE_EXPOSURE_LIMIT,
    PROFILE_INTERVAL_S,
    PROFILE_MAX_OPEN,
    PROFILE_MIN_AVG_R,
    PROFILE_MIN_WINRATE,
    PROFILE_PERSISTENCE,
    REFUSE_BAD_SYMBOL,
    RULE_HOLD,
)
from quantum_trader.policy.policy import SlotValues, TradingPolicy
from quantum_trader.policy.profiles import OrchestratorConfig, profile_vector
from quantum_trader.policy.rules import RuleChange
from quantum_trader.policy.stability import HELD_DRIFT, evaluations_needed, looseness, wait_left

Candidate = tuple[SlotValues, int, tuple[RuleChange, ...]]

_BAD: Final = PerformanceTag.BAD
_NEUTRAL: Final = TAG_CODES.index(PerformanceTag.NEUTRAL)
_NUMBERS: Final = (FIELD_RISK_PCT, FIELD_MIN_CONF)
_REVERSED: Final = (FIELD_RISK_PROFILE, FIELD_MIN_CONF, FIELD_ENTRY, FIELD_EXIT)  # looseness is the negative value


def account_of(
    risk: RiskState, streak: tuple[int, int, int], drawdown: float, latched: bool, age_s: float, halted: bool,
    quality: float,
) -> AccountState:
    """The account as the rules take it; *streak* is (losing, broken, wins since) as far as it counts."""
    equity = risk.equity
    given = equity is not None
    return AccountState(
        risk.daily_pnl_pct, drawdown, latched, *streak,
        risk.open_trades_count, risk.total_exposure_pct,
        risk_is_stale(age_s, math.nan if equity is None else equity, given), halted, quality,
    )


def candidate_of(
    market: MarketCodes, cost: Cost, account: AccountState, symbol_ok: bool, vector: Sequence[float]
) -> Candidate:
    """The rules' answer for one market: looseness values, refusal bits and the trace."""
    trace: list[RuleChange] = []
    allow, level, risk, confidence, entry, exit_, bits = decide(market, cost, account, vector, trace)
    values = looseness(
        allow, level, risk, confidence, entry, exit_, vector[PROFILE_MAX_OPEN],
        vector[PROFILE_EXPOSURE_LIMIT], symbol_ok,
    )
    return values, bits, tuple(trace)


def refused_symbols(
    performances: Collection[SymbolPerformanceData], costs: Costs | None, vector: Sequence[float]
) -> dict[str, int]:
    """Refusal bits of the symbols that C1 or, by their own costs, D2 disallow."""
    winrate, avg_r, losses = vector[PROFILE_MIN_WINRATE], vector[PROFILE_MIN_AVG_R], vector[PROFILE_BAD_STREAK]
    refused = {one.symbol: REFUSE_BAD_SYMBOL for one in performances if one.performance_tag is _BAD}
    if not (math.isnan(winrate) and math.isnan(avg_r) and math.isnan(losses)):
        suspects = [  # a superset of what C1 bans, in one quick pass; the rule decides
            one for one in performances
            if one.winrate < winrate or one.avg_r < avg_r or one.consecutive_losses >= losses
        ]
        for one in suspects:
            if symbol_is_bad(_NEUTRAL, one.winrate, one.avg_r, one.trades, one.consecutive_losses, vector):
                refused[one.symbol] = REFUSE_BAD_SYMBOL
    if isinstance(costs, Mapping):
        for symbol, cost in costs.items():
            bits = symbol_refusal(_NEUTRAL, 0.0, 0.0, 0, 0, cost_codes(cost)[3], vector)
            if bits and symbol != OVERALL:
                refused[symbol] = refused.get(symbol, 0) | bits
    return refused


def slot_cost(costs: Costs | None, symbol: str) -> Cost:
    """The costs of one symbol's own slot; its cost in R is judged by :func:`refused_symbols`."""
    if not isinstance(costs, Mapping):
        return cost_codes(costs)
    own = cost_codes(costs.get(symbol, costs.get(OVERALL)))
    return own[0], own[1], own[2], math.nan


def hold_trace(
    slot: Sequence[float], candidate: SlotValues, held: int, now_s: float, vector: Sequence[float]
) -> list[RuleChange]:
    """The fields of *held* as rule HOLD: the value in force, the one that waits, and how long it does from *now_s*."""
    trace: list[RuleChange] = []
    for field in range(FIELD_COUNT):
        if held & (1 << field):
            sign = -1.0 if field in _REVERSED else 1.0
            drift = bool(held & HELD_DRIFT) and field in _NUMBERS
            wait = wait_left(
                slot, field * HOLD_WIDTH, now_s, vector[PROFILE_INTERVAL_S],
                evaluations_needed(vector[PROFILE_PERSISTENCE], drift),
            )
            before, after = sign * slot[field * HOLD_WIDTH] + 0.0, sign * candidate[field] + 0.0
            trace.append((RULE_HOLD, field, before, after, *wait))
    return trace


def known_symbols(inputs: PolicyInputs) -> frozenset[str]:
    """Every symbol that the inputs name."""
    named = {one.symbol for one in inputs.symbol_performance}
    named.update(inputs.markets or ())
    if isinstance(inputs.cost_metrics, Mapping):
        named.update(inputs.cost_metrics.keys() - {OVERALL})
    return frozenset(named)


def evaluate(inputs: PolicyInputs, profile: OrchestratorConfig, *, ts_ns: int = 0) -> TradingPolicy:
    """The policy of *inputs* under *profile*: rules only, nothing remembered, nothing read.

    *ts_ns* becomes the policy's timestamp. Raises InputError for a value out of its domain.
    """
    vector = tuple(profile_vector(profile))
    risk, costs = inputs.risk_state, inputs.cost_metrics
    account = account_of(
        risk, (risk.losing_streak, risk.broken_streak, risk.wins_since), risk.day_drawdown_pct, False,
        inputs.risk_age_s, False, quality_of(inputs.ensemble_quality),
    )
    overall = market_of(inputs.regime_tag, inputs.vol_level, inputs.direction, inputs.market_age_bars)
    refused = refused_symbols(inputs.symbol_performance, costs, vector)
    values, _, trace = candidate_of(overall, overall_cost(costs), account, True, vector)
    symbols = {}
    own = dict.fromkeys(inputs.markets or ())
    own.update(dict.fromkeys(costs.keys() - {OVERALL}) if isinstance(costs, Mapping) else {})
    for symbol in own:
        state = (inputs.markets or {}).get(symbol)
        market = overall if state is None else market_codes(state)
        slot_values, _, slot_trace = candidate_of(
            market, slot_cost(costs, symbol), account, symbol not in refused, vector
        )
        symbols[symbol] = (slot_values, slot_trace)
    return TradingPolicy.in_force(
        values, known_symbols(inputs), None, profile.name, ts_ns, trace, symbols, refused
    )
