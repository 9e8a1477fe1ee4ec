"""When the pilot may trade, and when it has to stop: rules over days of three shadow books."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantum_trader.domain.clock import NS_PER_DAY, from_ns
from quantum_trader.domain.enums import PilotMode
from quantum_trader.domain.errors import InputError
from quantum_trader.domain.pilot_settings import PilotSettings
from quantum_trader.policy.pilot_evidence import (
    HYBRID_OVER_SIGNALS,
    PILOT,
    PILOT_OVER_SIGNALS,
    SEEDS_COUNT,
    SEEDS_KEY,
    PilotEvidence,
    PilotLimits,
    PilotRules,
    ShadowDay,
    ShadowTrade,
    demotion_reason,
    drawdown_of,
    promotion_reason,
    unmet_for,
    verdict_on,
    weigh_pilot,
)

MODEL = "a" * 64
GOOD_SEEDS = {SEEDS_KEY: 0.4, SEEDS_COUNT: 16.0}
START = 19_000  # days since the epoch
HOUR = NS_PER_DAY // 24


def shadow_days(
    count: int, pilot: float, signals: float, hybrid: float = 0.0, noise: float = 0.0, seed: int = 1, **changed: Any
) -> list[ShadowDay]:
    """Days with these means and *noise* (standard deviation), all shares of equity."""
    drawn = np.random.default_rng(seed).normal(0.0, noise, (count, 3)) if noise else np.zeros((count, 3))
    return [
        ShadowDay(**{
            "day": from_ns((START + i) * NS_PER_DAY).date().isoformat(), "pilot": pilot + float(x),
            "signals": signals + float(y), "hybrid": hybrid + float(z), "hours": 24.0, "decisions": 48, **changed,
        })
        for i, (x, y, z) in enumerate(drawn)
    ]


def shadow_trades(count: int, hours: int = 5) -> list[ShadowTrade]:
    """Trades of some hours, of which every second one wins 1 R and the others lose half an R."""
    start = START * NS_PER_DAY
    return [
        ShadowTrade(
            entry_ns=start + i * HOUR, exit_ns=start + (i + hours) * HOUR, r=1.0 if i % 2 else -0.5,
            exit="FLAT" if i % 2 else "STOP",
        )
        for i in range(count)
    ]


def weighed(days: list[ShadowDay], trades: int = 60, **changed: Any) -> PilotEvidence:
    """The evidence of *days* and some trades."""
    return weigh_pilot(days, shadow_trades(trades), model=MODEL, **changed)


def missing(mode: PilotMode, evidence: PilotEvidence, **changed: Any) -> list[str]:
    """The unmet conditions of a promotion from SHADOW with good seeds."""
    given: dict[str, Any] = {"settings": PilotSettings(), "metrics": GOOD_SEEDS, **changed}
    return [one.text for one in unmet_for(mode, evidence, **given)]


BETTER = shadow_days(60, pilot=0.004, signals=0.001, hybrid=0.005, noise=0.001)


def test_a_pilot_that_clearly_earns_more_may_be_promoted() -> None:
    """Nothing is missing for PRIMARY and for HYBRID; the recorded reason states the evidence."""
    evidence = weighed(BETTER)

    assert missing(PilotMode.PRIMARY, evidence) == missing(PilotMode.HYBRID, evidence) == []
    reason = promotion_reason(PilotMode.PRIMARY, evidence, (), "as agreed")
    assert reason.startswith("on evidence: 60 days, 60 shadow trades, pilot +")
    assert reason.endswith(f"model {MODEL[:12]}; as agreed")
    assert verdict_on(evidence.result(PILOT_OVER_SIGNALS)) == "above zero"


def test_the_shadow_books_are_summed_up() -> None:
    """Hours, decisions, trades with their mean and exits; each result's mean is over all days."""
    evidence = weighed(shadow_days(3, 0.002, 0.001, 0.0015), trades=4)

    assert (evidence.days, evidence.market_hours, evidence.decisions) == (3, 72.0, 144)
    assert (evidence.trades, evidence.mean_r, evidence.win_rate) == (4, 0.25, 0.5)
    assert evidence.exits == {"FLAT": 2, "STOP": 2}
    assert [round(one.mean or 0.0, 6) for one in evidence.results] == [0.002, 0.001, 0.0015, 0.001, 0.0005]


def test_each_mode_asks_for_the_book_that_it_trades() -> None:
    """A pilot that is better and a hybrid that is not: PRIMARY may be promoted and HYBRID not, and the reverse."""
    pilot = weighed(shadow_days(60, 0.004, 0.001, 0.001, 0.001))
    hybrid = weighed(shadow_days(60, 0.001, 0.001, 0.004, 0.001))

    assert missing(PilotMode.PRIMARY, pilot) == missing(PilotMode.HYBRID, hybrid) == []
    assert any(text.startswith(HYBRID_OVER_SIGNALS) for text in missing(PilotMode.HYBRID, pilot))
    assert any(text.startswith(PILOT_OVER_SIGNALS) for text in missing(PilotMode.PRIMARY, hybrid))


def test_less_loss_than_the_signals_is_no_profit() -> None:
    """The difference is above zero, and the pilot's own mean is not: refused for that alone."""
    told = missing(PilotMode.PRIMARY, weighed(shadow_days(60, -0.001, -0.004, 0.0, 0.001)))

    assert len(told) == 1
    assert told[0].startswith(f"{PILOT}, mean a day: interval -")


@pytest.mark.parametrize("count", [None, 1.0, 7.0, float("nan")])
def test_a_quartile_over_few_seeds_is_none(count: float | None) -> None:
    """Evaluated alone, the best of many seeds is its own lower quartile; where the count is not stated nobody knows."""
    told = missing(PilotMode.PRIMARY, weighed(BETTER), metrics={SEEDS_KEY: 0.4, SEEDS_COUNT: count})

    assert len(told) == 1
    assert "at least 8; evaluate all seeds of its training together" in told[0]


def test_luck_is_refused_with_the_interval() -> None:
    """No difference in the mean, much noise: refused, and the next look is named."""
    evidence = weighed(shadow_days(40, 0.0, 0.0, 0.0, 0.01))

    assert any(
        text.startswith("pilot - signals, mean a day: interval -") and "next look at 45 days" in text
        for text in missing(PilotMode.PRIMARY, evidence)
    )
    assert verdict_on(evidence.result(PILOT_OVER_SIGNALS)) == "cannot be told from luck"


@pytest.mark.parametrize(("days", "trades", "changed", "told"), [
    (BETTER[:19], 60, {}, "days of market: 19, needs at least 20"),
    (BETTER, 29, {}, "shadow trades that have ended: 29, needs at least 30"),
    (BETTER, 60, {"metrics": None}, "the model's card: not known, needs --model FOLDER of the model"),
    (BETTER, 60, {"metrics": {}}, f"{SEEDS_KEY} in the model's card: not stated, needs above zero; evaluate all seeds"),
    (BETTER, 60, {"metrics": {SEEDS_KEY: None}}, "not stated"),
    (BETTER, 60, {"metrics": {**GOOD_SEEDS, SEEDS_KEY: -0.1}}, f"{SEEDS_KEY} in the model's card: -0.10, needs above"),
    (BETTER, 60, {"metrics": {**GOOD_SEEDS, SEEDS_KEY: float("nan")}}, "nan"),
    (BETTER, 60, {"settings": PilotSettings(enabled=False)}, "enabled: false, needs true"),
    (BETTER, 60, {"settings": PilotSettings(mode=PilotMode.PRIMARY)}, "mode: PRIMARY already"),
])
def test_each_condition_alone_refuses(days: list[ShadowDay], trades: int, changed: dict[str, Any], told: str) -> None:
    """With its figures, and nothing else beside it."""
    found = missing(PilotMode.PRIMARY, weighed(days, trades), **changed)

    assert len(found) == 1
    assert told in found[0]


def test_a_day_of_short_hours_is_not_24_hours_of_market() -> None:
    """20 days of one hour each are 20 hours."""
    days = [msgspec.structs.replace(day, hours=1.0) for day in BETTER[:20]]

    assert "hours of market: 20, needs at least 24" in missing(PilotMode.PRIMARY, weighed(days))


def test_days_without_market_tell_nothing() -> None:
    """They are left out: not counted, and no zero in the mean."""
    quiet = [msgspec.structs.replace(day, hours=0.0, pilot=0.0) for day in BETTER[:30]]

    assert weighed([*quiet, *BETTER[30:]]) == weighed(BETTER[30:])


def test_days_without_a_decision_tell_nothing() -> None:
    """The pilot was not ready, and the signals traded: that they lost is no merit of its own."""
    idle = [msgspec.structs.replace(day, decisions=0) for day in shadow_days(5, 0.0, -0.02)]
    later = [msgspec.structs.replace(
        day, day=from_ns((START + 5 + place) * NS_PER_DAY).date().isoformat()
    ) for place, day in enumerate(shadow_days(3, 0.002, 0.001))]
    found = weighed([*idle, *later])

    assert (found.days, found.market_hours) == (3, 72.0)
    assert found.result(PILOT_OVER_SIGNALS).mean == pytest.approx(0.001)


def test_the_interval_stays_between_two_looks() -> None:
    """30 to 44 days say the same; at 45 it changes."""
    read = [weighed(BETTER[:count]).result(PILOT).interval for count in (30, 37, 44, 45)]

    assert read[0] == read[1] == read[2] != read[3]


def test_long_trades_tie_days_together() -> None:
    """Trades of ten days make blocks of thirty, of which forty days have too few."""
    days = shadow_days(40, 0.004, 0.001, 0.0, 0.001)
    long = weigh_pilot(days, shadow_trades(60, hours=240), model=MODEL)

    assert any("independent blocks of days" in text for text in missing(PilotMode.PRIMARY, long))
    assert missing(PilotMode.PRIMARY, weigh_pilot(days, shadow_trades(60), model=MODEL)) == []


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(20, 90))
def test_no_look_promotes_a_pilot_that_equals_the_signals(seed: int, count: int) -> None:
    """The pilot does what the signals do: their difference is 0, and never above it."""
    days = [msgspec.structs.replace(day, signals=day.pilot) for day in shadow_days(count, 0.01, 0.0, 0.0, 0.01, seed)]

    assert any(text.startswith(PILOT_OVER_SIGNALS) for text in missing(PilotMode.PRIMARY, weighed(days)))


@pytest.mark.long
def test_luck_is_promoted_less_often_than_the_stated_error() -> None:
    """300 markets without a difference, each looked at on every day up to the 100th: at most 2.5 % above zero."""
    promoted = 0
    for seed in range(300):
        days = shadow_days(100, 0.0, 0.0, 0.0, 0.01, seed)
        looks = [weigh_pilot(days[:count], [], model=MODEL) for count in (20, 30, 45, 68)]
        promoted += any(verdict_on(one.result(PILOT_OVER_SIGNALS)) == "above zero" for one in looks)

    assert promoted <= 300 * 0.025


def test_a_forced_promotion_says_so_and_what_it_passed_over() -> None:
    """One line that fits the store's history, however much is missing."""
    evidence = weighed(BETTER[:5], trades=0)
    unmet = unmet_for(PilotMode.PRIMARY, evidence, settings=PilotSettings(), metrics=None)
    reason = promotion_reason(PilotMode.PRIMARY, evidence, unmet, "a demonstration " * 20)

    assert reason.startswith("forced: a demonstration")
    assert len(reason) <= 500
    assert reason.isprintable()
    with pytest.raises(InputError, match="reason = ' '"):
        promotion_reason(PilotMode.PRIMARY, evidence, unmet, " ")


GOING_ON: dict[str, Any] = {"promoted_model": MODEL, "shadow_drawdown": 0.01, "real_drawdown": 0.0}


@pytest.mark.parametrize(("changed", "told"), [
    ({}, ""),
    ({"promoted_model": "b" * 64}, "the model is aaaaaaaaaaaa, and bbbbbbbbbbbb was promoted"),
    ({"shadow_drawdown": 0.05}, "drawdown of its shadow book: 5.00% of equity, and the limit is 5.00%"),
    ({"real_drawdown": 0.2}, "drawdown of its trades: 20.00% of equity"),
    ({"real_drawdown": float("nan")}, "drawdown of its trades"),
])
def test_a_broken_limit_is_the_reason_to_stop(changed: dict[str, Any], told: str) -> None:
    """In a mode that trades; in SHADOW and OFF there is nothing to stop."""
    evidence = weighed(BETTER)
    found = [demotion_reason(evidence, mode, **{**GOING_ON, **changed}) for mode in PilotMode]

    by_mode = dict(zip(PilotMode, found, strict=True))
    assert by_mode[PilotMode.OFF] == by_mode[PilotMode.SHADOW] == ""
    added = by_mode[PilotMode.HYBRID].replace("what it adds to the signals in the shadow", "its shadow book")
    assert by_mode[PilotMode.PRIMARY] == added
    assert told in by_mode[PilotMode.PRIMARY]
    assert bool(told) == bool(by_mode[PilotMode.PRIMARY])


def test_a_difference_below_zero_is_a_reason_to_stop() -> None:
    """Of the book that the mode trades; one that cannot be told from luck is none."""
    worse = weighed(shadow_days(60, -0.004, 0.001, 0.004, 0.001))

    assert "pilot - signals is below zero" in demotion_reason(worse, PilotMode.PRIMARY, **GOING_ON)
    assert demotion_reason(worse, PilotMode.HYBRID, **GOING_ON) == ""


@given(st.lists(st.floats(-0.5, 0.5), max_size=30))
def test_a_drawdown_is_between_nothing_and_everything(results: list[float]) -> None:
    """And a loss after the peak is all of it."""
    assert 0.0 <= drawdown_of(results) <= 1.0
    assert drawdown_of([0.5, 0.5, -0.1]) == pytest.approx(0.05)


@pytest.mark.parametrize(("make", "told"), [
    (lambda: PilotRules(min_days=9), "min_days = 9: at least 10"),
    (lambda: PilotRules(min_trades=0), "min_trades = 0: at least 1"),
    (lambda: PilotRules(min_market_hours=-1.0), "min_market_hours = -1.0"),
    (lambda: PilotLimits(max_drawdown=1.0), "max_drawdown = 1.0: must lie between 0 and 1"),
    (lambda: weighed([BETTER[1], BETTER[0]]), "give each day once, oldest first"),
    (lambda: weighed(shadow_days(1, 0.0, 0.0, day="yesterday")), "day = 'yesterday': write YYYY-MM-DD"),
    (lambda: missing(PilotMode.SHADOW, weighed(BETTER)), "must be PRIMARY or HYBRID"),
])
def test_what_is_not_acceptable_is_named(make: Any, told: str) -> None:
    """Key, value and what is accepted."""
    with pytest.raises(InputError, match=told):
        make()
