"""Good, bad and neutral blocks: their limits, what was saved and missed, and intervals that hold the truth."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lab.shadows.made_signals import HOURS_OPEN, START_NS, made_signals

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.errors import ConfigError, InputError
from quantum_trader.lab.shadows.analysis import REFUSED, analyse
from quantum_trader.lab.shadows.blocks import BlockLimits, BlockScore, GroupCounts, ShadowResults, score_of
from quantum_trader.lab.shadows.judged_signals import NONE, OPEN, VOID
from quantum_trader.models.gates import GATES

BPS = st.floats(-500.0, 500.0, allow_nan=False)


def score(net_bps: list[float], limits: BlockLimits | None = None) -> BlockScore:
    """The score of refused signals with these results, an hour apart and an hour long; one R is 100 bps, 20 USDT."""
    values = np.array(net_bps, dtype=np.float64)
    results = ShadowResults(
        ts_ns=START_NS + np.arange(len(values), dtype=np.int64) * NS_PER_HOUR,
        life_ns=np.full(len(values), NS_PER_HOUR, dtype=np.int64), net_bps=values, r=values / 100.0, usdt=values / 5.0,
    )
    return score_of("all", results, GroupCounts(signals=len(values)), limits or BlockLimits())


def test_the_limits_are_below_zero_and_above_ten() -> None:
    """-0.01 is good, 0 and 10 are neutral, 10.01 is bad: one right of two decided."""
    found = score([-0.01, 0.0, 10.0, 10.01])
    assert (found.good, found.neutral, found.bad, found.accuracy) == (1, 2, 1, 0.5)


def test_the_limits_are_settings() -> None:
    """With -5 and 20 the losses of a few bps and the small win are neutral."""
    found = score([-6.0, -5.0, 0.0, 20.0, 21.0], BlockLimits(good_below_bps=-5.0, bad_above_bps=20.0))
    assert (found.good, found.neutral, found.bad) == (1, 3, 1)


@pytest.mark.parametrize(
    ("changes", "key"),
    [({"good_below_bps": math.nan}, "good_below_bps"), ({"bad_above_bps": 1e6}, "bad_above_bps"),
     ({"good_below_bps": 11.0}, "must not be above")],
)
def test_limits_that_cannot_be_name_their_key(changes: dict[str, float], key: str) -> None:
    """NaN, out of range, and good above bad."""
    with pytest.raises(ConfigError, match=key):
        BlockLimits(**changes)


def test_saved_and_missed_by_hand() -> None:
    """Losses of 30 and 50 bps were saved, wins of 20 and 5 missed: 80 - 25 bps, 0.55 R, 11 USDT."""
    found = score([-30.0, 20.0, -50.0, 5.0])
    assert (found.bps.saved, found.bps.missed, found.bps.net) == (80.0, 25.0, 55.0)
    assert found.r.net == pytest.approx(0.55)
    assert found.usdt.net == pytest.approx(11.0)
    assert (found.low_bps, found.verdict) == (None, "not enough evidence")


def test_nothing_is_no_data() -> None:
    """A group without results has no accuracy and no mean, never 0."""
    found = score([])
    assert (found.accuracy, found.mean_bps, found.low_bps, found.settled) == (None, None, None, 0)


@given(net_bps=st.lists(BPS, max_size=60))
def test_the_parts_make_the_whole(net_bps: list[float]) -> None:
    """Every result is in one class, and saved less missed is the sum of the results with the other sign."""
    found = score(net_bps)
    assert found.good + found.neutral + found.bad == len(net_bps)
    assert found.bps.net == pytest.approx(-math.fsum(net_bps), abs=1e-6)


def test_intervals_hold_the_truth_where_shadows_overlap() -> None:
    """The mean of 300 overlapping results lies around 0, and right and wrong are as frequent: in 150 worlds the bounds
    of the mean and of the accuracy hold that at least 93 times in a hundred. Bounds that take the results as
    independent hold it far less often, or the worlds would test nothing.
    """
    held, shares, naive = [], [], []
    for seed in range(150):
        signals = made_signals(300, seed)
        results = ShadowResults(
            ts_ns=signals.ts_ns, life_ns=np.full(300, HOURS_OPEN * NS_PER_HOUR, dtype=np.int64),
            net_bps=signals.net_bps, r=signals.r, usdt=signals.r,
        )
        limits = BlockLimits(good_below_bps=0.0, bad_above_bps=0.0)
        found = score_of("all", results, GroupCounts(signals=300), limits)
        held.append(_holds(found.low_bps, 0.0, found.high_bps))
        shares.append(_holds(found.accuracy_low, 0.5, found.accuracy_high))
        error = float(signals.net_bps.std()) / math.sqrt(300)
        naive.append(abs(float(signals.net_bps.mean())) <= 1.96 * error)
    assert np.mean(held) >= 0.93
    assert np.mean(shares) >= 0.93
    assert np.mean(naive) < 0.85


def _holds(low: float | None, truth: float, high: float | None) -> bool:
    assert low is not None
    assert high is not None
    return low <= truth <= high


def test_signals_behind_an_open_shadow_wait() -> None:
    """Of 100 signals the 61st is open: 60 count, 39 wait; a void one and one without a shadow hold up nothing."""
    signals = made_signals(100, 3)
    outcome = signals.outcome.copy()
    outcome[[5, 10]], outcome[60] = (VOID, NONE), OPEN
    found = analyse(msgspec.structs.replace(signals, outcome=outcome, reasons=("GOVERNOR",) * 100))
    score = found.all_refused
    assert (score.signals, score.settled, score.waiting, score.open, score.without) == (100, 58, 39, 1, 2)


def test_groups_add_up() -> None:
    """Refused signals by reason, by regime and by symbol are the same signals; gates count what they do not pass."""
    signals = made_signals(400, 5)
    found = analyse(signals)
    refused = int((~signals.traded).sum())
    assert (found.refused, found.traded, found.all_refused.name) == (refused, 400 - refused, REFUSED)
    for rows in (found.by_reason, found.by_regime, found.by_symbol):
        assert sum(one.signals for one in rows) == refused
        assert sum(one.bps.saved for one in rows) == pytest.approx(found.all_refused.bps.saved)
    assert [one.name for one in found.by_regime] in (["TRENDING", "RANGING"], ["RANGING", "TRENDING"])
    for place, one in enumerate(found.by_gate):
        stopped = signals.measured[:, place] & ~signals.passed[:, place]
        assert (one.gate, one.score.signals) == (GATES[place], int(stopped.sum()))
        assert one.traded == int((stopped & signals.traded).sum())
    label = found.by_gate[-1]
    assert (label.measured, label.unmeasured, label.pass_rate, label.score.signals) == (0, 400, None, 0)


def test_an_unknown_dimension_is_refused() -> None:
    """It names what there is."""
    with pytest.raises(InputError, match="gate, reason, regime, symbol"):
        analyse(made_signals(40, 1), by=("weekday",))
