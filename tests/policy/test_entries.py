"""One entry held against a policy: the gate, the confidence, positions, exposure and risk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.errors import InputError
from quantum_trader.policy import OrchestratorPolicy, TradingPolicy, create_risk_state
from quantum_trader.policy.entries import EntryQuestion, judge_entry, permitted_stake

NOW = 1_798_725_600_000_000_000


def policy_of(**risk: float) -> TradingPolicy:
    """Return SAFE's policy in a calm trend for an account with *risk*."""
    state = create_risk_state(**({"daily_pnl_pct": 0.0, "losing_streak": 0, "open_trades_count": 0,
                                  "total_exposure_pct": 0.0, "equity": 10_000.0} | risk))
    return OrchestratorPolicy(profile_name="SAFE").update_policy("TRENDING", "NORMAL", state, direction="UP", now=NOW)


def question(**fields: object) -> EntryQuestion:
    """Return an entry of 200 with a stop of 3 % on an account of 10,000."""
    return EntryQuestion(**({"symbol": "BTCUSDT", "stake": 200.0, "stop_pct": 3.0, "equity": 10_000.0} | fields))


def test_an_entry_within_the_policy_gets_its_stake() -> None:
    """What is asked for, where risk and exposure permit more."""
    verdict = judge_entry(policy_of(), question())

    assert (verdict.allow, verdict.max_stake, verdict.refusals, verdict.reason) == (True, 200.0, (), "")


def test_a_stake_is_cut_to_the_permitted_risk() -> None:
    """A stop that loses half of the stake leaves a stake whose half is the policy's risk of the equity."""
    policy = policy_of()

    verdict = judge_entry(policy, question(stop_pct=50.0, stake=5_000.0))

    assert verdict.allow
    assert verdict.max_stake * 0.50 == pytest.approx(10_000.0 * policy.max_risk_pct / 100.0)


@pytest.mark.parametrize(("risk", "fields", "code"), [
    ({"daily_pnl_pct": -9.0}, {}, "B1"),
    ({}, {"confidence": 0.1}, "CONFIDENCE"),
    ({}, {"open_count": 1_000}, "B3"),
    ({}, {"open_stake": 9_999.0}, "B4"),
    ({"open_trades_count": 1_000}, {"open_count": 1_000}, "B3"),
    ({"equity": -1.0}, {}, "F2"),
])
def test_each_limit_refuses_under_its_own_name(risk: dict[str, float], fields: dict[str, float], code: str) -> None:
    """No stake, no risk, and one refusal with the rule's name."""
    verdict = judge_entry(policy_of(**risk), question(**fields))

    assert (verdict.allow, verdict.max_stake, verdict.max_risk_pct) == (False, 0.0, 0.0)
    assert [one.code for one in verdict.refusals] == [code]
    assert verdict.reason.startswith(code)


def test_without_a_confidence_none_is_held_against_the_policy() -> None:
    """The answer names the confidence that the policy asks for."""
    verdict = judge_entry(policy_of(), question(confidence=None))

    assert verdict.allow
    assert 0.0 < verdict.min_confidence < 1.0


@pytest.mark.parametrize("fields", [
    {"stake": 0.0}, {"stake": float("nan")}, {"stop_pct": 0.0}, {"stop_pct": 101.0}, {"equity": float("inf")},
    {"open_count": -1}, {"open_stake": -0.1}, {"confidence": 1.1},
])
def test_figures_that_are_none_are_refused(fields: dict[str, float]) -> None:
    """InputError names the key."""
    with pytest.raises(InputError, match=next(iter(fields))):
        question(**fields)


@given(
    equity=st.floats(1.0, 1e9), risk=st.floats(0.0, 10.0), stop=st.floats(0.01, 100.0), limit=st.floats(0.5, 100.0),
    held=st.floats(0.0, 1e9),
)
def test_a_permitted_stake_breaks_no_limit(equity: float, risk: float, stop: float, limit: float, held: float) -> None:
    """Neither the risk when the stop is hit nor the exposure."""
    stake = permitted_stake(equity, risk, stop, limit, held)

    if stake > 0.0:
        assert stake * stop <= equity * risk * (1.0 + 1e-9)
        assert held + stake <= equity * limit / 100.0 * (1.0 + 1e-9)
