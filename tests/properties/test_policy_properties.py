"""Properties of the policy that hold for every input and every sequence of calls."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from quantum_trader.domain.enums import (
    ENTRY_CODES,
    EXIT_CODES,
    RISK_PROFILE_CODES,
    TAG_CODES,
    Direction,
    EntryMode,
    ExitMode,
    Level,
    PerformanceTag,
    Trend,
    VolLevel,
)
from quantum_trader.policy import (
    CostMetrics,
    OrchestratorConfig,
    OrchestratorPolicy,
    PolicyInputs,
    RiskState,
    SymbolPerformanceData,
    TradingPolicy,
    evaluate,
    load_profile,
)
from quantum_trader.policy.core import symbol_refusal
from quantum_trader.policy.evaluation import refused_symbols
from quantum_trader.policy.layout import LABELS
from quantum_trader.policy.profiles import profile_vector

PROFILES = [load_profile(name) for name in ("SAFE", "STANDARD", "AGGRESSIVE")]
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)

costs = st.builds(
    CostMetrics,
    spread_level=st.sampled_from(Level),
    slippage_level=st.sampled_from(Level),
    liquidity_level=st.none() | st.sampled_from(Level),
    cost_in_r=st.none() | st.floats(0.0, 0.6),
)
risks = st.builds(
    RiskState,
    daily_pnl_pct=st.floats(-6.0, 6.0),
    current_drawdown_pct=st.floats(-6.0, 0.0),
    losing_streak=st.integers(0, 9),
    open_trades_count=st.integers(0, 11),
    total_exposure_pct=st.floats(0.0, 25.0),
    broken_streak=st.integers(0, 9),
    wins_since=st.integers(0, 3),
    equity=st.none() | st.floats(0.0, 200.0),
)
performances = st.lists(
    st.builds(
        SymbolPerformanceData,
        symbol=st.sampled_from("ABCD"),
        winrate=st.floats(0, 1),
        avg_r=st.floats(-2, 2),
        cumulative_pnl=st.just(0.0),
        performance_tag=st.sampled_from(PerformanceTag),
        trades=st.integers(0, 8),
        consecutive_losses=st.integers(0, 6),
    ),
    max_size=5,
    unique_by=lambda one: one.symbol,
)
questions = st.builds(
    PolicyInputs,
    regime_tag=st.sampled_from(Trend),
    vol_level=st.sampled_from(VolLevel),
    risk_state=risks,
    direction=st.none() | st.sampled_from(Direction),
    market_age_bars=st.sampled_from([0.0, 1.0, 9.0]),
    symbol_performance=performances.map(tuple),
    ensemble_quality=st.none() | st.floats(0.0, 1.0),
    cost_metrics=st.none() | costs,
)
multipliers = st.dictionaries(st.sampled_from(LABELS), st.floats(0.0, 3.0))
profiles = st.sampled_from(PROFILES) | st.builds(
    OrchestratorConfig,
    risk_multipliers=multipliers,
    labels=st.sampled_from(["single", "compound"]),
    recovery_multiplier=st.floats(1.0, 3.0),
    recovery_after_streak=st.integers(0, 9),
    confidence_adjustments=st.dictionaries(st.sampled_from(LABELS), st.floats(-0.5, 0.5)),
)


def looseness(policy: TradingPolicy) -> tuple[float, ...]:
    """Every field turned so that bigger is riskier."""
    return (
        float(policy.allow_new_trades),
        -RISK_PROFILE_CODES.index(policy.risk_profile),
        policy.max_risk_pct,
        -policy.min_confidence,
        -ENTRY_CODES.index(EntryMode(policy.entry_mode)),
        -EXIT_CODES.index(ExitMode(policy.exit_mode)),
        policy.max_open_positions,
        policy.total_exposure_limit_pct,
        -len(policy.disallowed_symbols),
    )


def no_riskier(safer: TradingPolicy, riskier: TradingPolicy) -> bool:
    """Whether no field of *safer* is looser; a rounding in the last place is none."""
    return all(one <= two + 1e-12 for one, two in zip(looseness(safer), looseness(riskier), strict=True))


def ask(policy: OrchestratorPolicy, question: PolicyInputs, now: datetime) -> TradingPolicy:
    return policy.update_policy(
        question.regime_tag,
        question.vol_level,
        question.risk_state,
        question.symbol_performance,
        question.ensemble_quality,
        question.cost_metrics,
        direction=question.direction,
        market_age_bars=question.market_age_bars,
        now=now,
    )


@given(profiles, st.lists(st.tuples(questions, st.integers(0, 4000)), min_size=1, max_size=12))
def test_tightening_is_never_delayed(profile: OrchestratorConfig, history: list[tuple[PolicyInputs, int]]) -> None:
    """After any history, the policy in force is never looser than the rules' verdict on the newest inputs."""
    policy, now = OrchestratorPolicy(profile), NOON
    for question, seconds in history:
        now += timedelta(seconds=seconds)
        assert no_riskier(ask(policy, question, now), evaluate(question, profile))


@given(profiles, st.lists(st.tuples(questions, st.integers(0, 59)), min_size=2, max_size=8))
def test_nothing_loosens_within_the_interval(
    profile: OrchestratorConfig, history: list[tuple[PolicyInputs, int]]
) -> None:
    """From one evaluation to the next, less than 60 s in all, no field loosens."""
    policy, now = OrchestratorPolicy(profile), NOON
    before = ask(policy, history[0][0], now)
    for at, (question, _) in enumerate(history[1:], start=1):
        after = ask(policy, question, now + timedelta(seconds=at * 7))
        assert no_riskier(after, before)
        before = after


calm = RiskState(equity=100.0)
quiet = PolicyInputs(regime_tag=Trend.TRENDING, vol_level=VolLevel.NORMAL, risk_state=calm)
steps = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "ask", "reset", "restart", "save", "load", "profile"]),
        questions | st.just(quiet),
        st.integers(1, 5400),
    ),
    min_size=1,
    max_size=14,
)


@settings(max_examples=60, deadline=None)
@given(steps, st.sampled_from(PROFILES), st.booleans())
def test_nothing_reopens_trading_that_a_limit_closed_within_its_day(
    history: list[tuple[str, PolicyInputs, int]], profile: OrchestratorConfig, save_before: bool
) -> None:
    """Updates, resets, restarts, saves and loads of any state, also one from before the loss."""
    with tempfile.TemporaryDirectory() as folder:
        path, other = Path(folder) / "state.json", Path(folder) / "other.json"
        policy = OrchestratorPolicy(profile, state_path=path)
        ask(policy, quiet, NOON - timedelta(hours=2))
        if save_before:
            policy.save(other)
        ask(
            policy,
            PolicyInputs(
                regime_tag=Trend.TRENDING,
                vol_level=VolLevel.NORMAL,
                risk_state=RiskState(daily_pnl_pct=-10.0, equity=90.0),
            ),
            NOON,
        )
        now, midnight = NOON, NOON.replace(hour=0) + timedelta(days=1)
        for action, question, seconds in history:
            now += timedelta(seconds=seconds)
            if now >= midnight:
                break
            policy = act(policy, action, question, now, path, other)
            assert policy.get_policy().allow_new_trades is False
            assert policy.latched


def act(
    policy: OrchestratorPolicy, action: str, question: PolicyInputs, now: datetime, path: Path, other: Path
) -> OrchestratorPolicy:
    """One step of a history; returns the policy that goes on."""
    if action == "reset":
        policy.reset_daily(now=now)
    elif action == "restart":
        return OrchestratorPolicy(policy.config, state_path=path)
    elif action == "profile":
        return OrchestratorPolicy(PROFILES[2], state_path=path)
    elif action == "save":
        policy.save(other)
    elif action == "load" and other.exists():
        policy.load(other)
    else:
        ask(policy, question, now)
    return policy


@given(questions, profiles)
def test_risk_and_confidence_stay_within_their_bounds(question: PolicyInputs, profile: OrchestratorConfig) -> None:
    """0 ≤ risk ≤ base × max(1, the labels' multiplier); 0 ≤ confidence ≤ 0.95; risk 0 permits nothing."""
    policy = evaluate(question, profile)
    most = 1.0
    for multiplier in profile.risk_multipliers.values():
        most *= max(1.0, multiplier)
    assert 0.0 <= policy.max_risk_pct <= profile.base_risk_pct * most * (1 + 1e-12)
    assert 0.0 <= policy.min_confidence <= 0.95
    assert policy.max_risk_pct > 0.0 or not policy.allow_new_trades
    assert policy.allow_new_trades is (policy.risk_profile != "NO_NEW_TRADES")


@given(questions, st.sampled_from([PROFILES[0], PROFILES[2]]))
def test_one_label_bounds_the_risk_by_its_own_multiplier(question: PolicyInputs, profile: OrchestratorConfig) -> None:
    """In SAFE and AGGRESSIVE nothing exceeds base × max(1, highest row)."""
    highest = max(1.0, *(profile.risk_multipliers[label] for label in LABELS if label in profile.risk_multipliers))
    assert evaluate(question, profile).max_risk_pct <= profile.base_risk_pct * highest + 1e-12


def replaced(value: Any, **change: Any) -> Any:
    return type(value)(**{**{key: getattr(value, key) for key in value.__struct_fields__}, **change})


LEVELS = list(Level)


@given(questions, profiles, st.data())
def test_a_worse_account_or_higher_costs_never_give_a_riskier_policy(
    question: PolicyInputs, profile: OrchestratorConfig, data: st.DataObject
) -> None:
    """Drawdown, daily PnL, streaks, exposure, positions, costs, liquidity, quality: each made worse."""
    risk = question.risk_state
    worse_risk = replaced(
        risk,
        current_drawdown_pct=data.draw(st.floats(-8.0, risk.current_drawdown_pct)),
        daily_pnl_pct=data.draw(st.floats(-8.0, risk.daily_pnl_pct)),
        losing_streak=risk.losing_streak + data.draw(st.integers(0, 4)),
        broken_streak=risk.broken_streak + data.draw(st.integers(0, 4)),
        open_trades_count=risk.open_trades_count + data.draw(st.integers(0, 4)),
        total_exposure_pct=risk.total_exposure_pct + data.draw(st.floats(0.0, 10.0)),
    )
    cost = question.cost_metrics
    if isinstance(cost, CostMetrics):
        in_r = 0.0 if cost.cost_in_r is None else cost.cost_in_r
        cost = CostMetrics(
            spread_level=data.draw(st.sampled_from(LEVELS[LEVELS.index(cost.spread_level) :])),
            slippage_level=data.draw(st.sampled_from(LEVELS[LEVELS.index(cost.slippage_level) :])),
            liquidity_level=data.draw(st.just(cost.liquidity_level) | st.just(Level.LOW)),
            cost_in_r=in_r + data.draw(st.floats(0.0, 0.5)),
        )
    quality = question.ensemble_quality
    worse = replaced(
        question,
        risk_state=worse_risk,
        cost_metrics=cost,
        ensemble_quality=None if quality is None else data.draw(st.floats(0.0, quality)),
    )
    assert no_riskier(evaluate(worse, profile), evaluate(question, profile))


@given(questions, profiles, st.floats(3.1, 1e6))
def test_an_old_market_is_never_riskier_than_the_fresh_one_in_risk_and_modes(
    question: PolicyInputs, profile: OrchestratorConfig, age: float
) -> None:
    """F1 only tightens."""
    fresh = evaluate(replaced(question, market_age_bars=0.0), profile)
    assert no_riskier(evaluate(replaced(question, market_age_bars=age), profile), fresh)


@given(performances, st.sampled_from(PROFILES))
def test_the_quick_pass_over_the_symbols_bans_what_the_rule_bans(
    given_performances: list[SymbolPerformanceData], profile: OrchestratorConfig
) -> None:
    """refused_symbols and C1 agree on every symbol."""
    vector = profile_vector(profile)
    expected = {
        one.symbol
        for one in given_performances
        if symbol_refusal(
            TAG_CODES.index(one.performance_tag),
            one.winrate,
            one.avg_r,
            one.trades,
            one.consecutive_losses,
            0.0,
            vector,
        )
    }
    assert expected == set(refused_symbols(given_performances, None, vector))


@given(questions, questions, profiles)
def test_similarity_is_symmetric_and_one_for_equal(
    first: PolicyInputs, second: PolicyInputs, profile: OrchestratorConfig
) -> None:
    """0..1, the same from both sides."""
    one, two = evaluate(first, profile), evaluate(second, profile)
    assert one.similarity_score(two) == two.similarity_score(one)
    assert 0.0 <= one.similarity_score(two) <= 1.0 == one.similarity_score(one)
