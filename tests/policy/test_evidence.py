"""The interval covers, looked at again and again, over outcomes that share a market."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.errors import InputError
from quantum_trader.policy.evidence import (
    Evidence,
    RolloutRules,
    block_hours_for,
    block_interval,
    evidence,
    look_for,
    look_sizes,
    student_t_quantile,
    verdict_of,
)
from quantum_trader.policy.ledger import RolloutLedger

START = 19_000 * 24 * NS_PER_HOUR


def shadow_trades(
    rng: np.random.Generator, count: int, gap_hours: float, hourly_r: float, drift_r: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Long shadow trades over random walks that share a market: times, results and lives.

    Seven symbols with correlation 0.7, steps of 15 minutes, stop at -1 R, target at 7/3 R, 24 hours at most. Without
    *drift_r* (R an hour) the mean result is exactly zero, and every pair of overlapping trades is dependent.
    """
    hours = np.cumsum(rng.exponential(gap_hours, count))
    steps = int(hours[-1] * 4) + 100
    moves = np.sqrt(0.7) * rng.standard_normal(steps) + np.sqrt(0.3) * rng.standard_normal((7, steps))
    prices = np.cumsum(hourly_r / 2.0 * moves + drift_r / 4.0, axis=1)
    symbols = rng.integers(0, 7, count)
    results, lives = np.empty(count), np.empty(count)
    for index, (hour, symbol) in enumerate(zip(hours, symbols, strict=True)):
        first = int(hour * 4)
        path = prices[symbol, first : first + 97] - prices[symbol, first]
        hits = np.nonzero((path <= -1.0) | (path >= 7.0 / 3.0))[0]
        last = int(hits[0]) if len(hits) else 96
        results[index], lives[index] = path[last], last / 4.0
    return START + (hours * NS_PER_HOUR).astype(np.int64), results, (lives * NS_PER_HOUR).astype(np.int64)


def ever(worlds: int, count: int, gap: float, hourly_r: float, drift: float, seed: int) -> tuple[float, float]:
    """Share of *worlds* in which any of the looks excludes zero, and in which any lies below zero."""
    rng = np.random.default_rng(seed)
    excluded = below = 0
    for _ in range(worlds):
        times, results, lives = shadow_trades(rng, count, gap, hourly_r, drift)
        sizes = itertools.takewhile(lambda size: size <= count, look_sizes(30))
        found = [
            block_interval(times[:size], results[:size], lives[:size], 0.05 / (look * (look + 1))).interval
            for look, size in enumerate(sizes, 1)
        ]
        known = [interval for interval in found if interval is not None]
        excluded += any(low > 0.0 or high < 0.0 for low, high in known)
        below += any(high < 0.0 for _, high in known)
    return excluded / worlds, below / worlds


@pytest.mark.parametrize(("gap", "hourly_r"), [(0.5, 0.3), (2.0, 0.3), (2.0, 0.7), (2.0, 1.5)])
def test_repeated_looks_at_dependent_outcomes_mislead_rarely(gap: float, hourly_r: float) -> None:
    """Zero is left out in about 5 % of worlds at most, over seven looks together (120 worlds: 3 sd are 6 %)."""
    excluded, _ = ever(120, 400, gap, hourly_r, drift=0.0, seed=7)
    assert excluded <= 0.11


def test_a_plain_interval_would_mislead() -> None:
    """The same worlds, read as independent outcomes at a constant 5 %: wrong most of the time."""
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(120):
        _, results, _ = shadow_trades(rng, 400, 0.5, 0.3)
        sizes = itertools.takewhile(lambda size: size <= 400, look_sizes(30))
        wrong += any(
            abs(results[:size].mean()) > 1.96 * results[:size].std() / np.sqrt(size) for size in sizes
        )
    assert wrong / 120 > 0.6


def test_a_real_loss_is_found() -> None:
    """Trades that drift against themselves by 0.2 R an hour are found out in most worlds."""
    _, below = ever(40, 400, 2.0, 0.7, drift=-0.2, seed=3)
    assert below >= 0.8


def overlapping(
    rng: np.random.Generator, days: int, gap_hours: float, lives: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes over one random walk, each the walk's change over one of *lives* (hours): times, results and lives."""
    hours = np.cumsum(rng.exponential(gap_hours, int(days * 24 / gap_hours)))
    hours = hours[hours < days * 24]
    walk = np.concatenate(([0.0], np.cumsum(rng.standard_normal(days * 24 + max(lives)))))
    first, life = hours.astype(int), rng.choice(lives, len(hours))
    return START + (hours * NS_PER_HOUR).astype(np.int64), walk[first + life] - walk[first], life * NS_PER_HOUR


def block_coverage(worlds: int, days: int, gap_hours: float, lives: tuple[int, ...]) -> float:
    """Share of *worlds* in which the 95 % interval holds the true mean, zero."""
    rng = np.random.default_rng(11)
    held = 0
    for _ in range(worlds):
        low, high = block_interval(*overlapping(rng, days, gap_hours, lives), 0.05).interval or (1.0, -1.0)
        held += low <= 0.0 <= high
    return held / worlds


@pytest.mark.long
@pytest.mark.parametrize("days", [60, 90, 180, 365])
@pytest.mark.parametrize(("gap_hours", "lives"), [(1.0, (48,)), (6.0, (48,)), (6.0, (6, 6, 48))])
def test_the_interval_covers_where_outcomes_overlap_48_hours(
    days: int, gap_hours: float, lives: tuple[int, ...]
) -> None:
    """0.93 to 0.98 of 400 worlds; also where most outcomes are short and a third lasts 48 hours."""
    assert 0.93 <= block_coverage(400, days, gap_hours, lives) <= 0.98


def test_the_longest_lives_decide_how_long_a_block_is() -> None:
    """One outcome of 48 hours among eight of one hour: blocks of three times 41.3 hours, not of three times 6.2."""
    times = START + np.arange(9, dtype=np.int64) * 20 * NS_PER_HOUR
    lives = [48 * NS_PER_HOUR, *[NS_PER_HOUR] * 8]
    assert block_interval(times, np.ones(9), lives, 0.05).hours == pytest.approx(3.0 * (48.0**2 + 8.0) / 56.0)


def test_one_verdict_for_each_interval() -> None:
    """Of the mean result of what is taken away: below zero it helps."""
    told = [verdict_of(bounds) for bounds in ((-0.3, -0.1), (0.1, 0.2), (-0.1, 0.1), None)]
    assert told == ["helps", "harms", "undecided", "not enough evidence"]


def losing_ledger(count: int, hours: float, result: float = -1.0) -> RolloutLedger:
    """A ledger with *count* blocked signals spread evenly over *hours*."""
    ledger = RolloutLedger()
    for index in range(count):
        moment = START + int(index * hours / max(1, count - 1) * NS_PER_HOUR)
        ledger.record(index, moment, (1.0, 0.0, 0.0, 0.0, 0.0, 0.0))
        ledger.resolve(index, result, end_ns=moment)
    return ledger


def test_nothing_seen_is_no_data_not_zero() -> None:
    """No mean, no interval, and the first look is announced."""
    assert evidence(RolloutLedger(), "trading_gate") == Evidence(switch="trading_gate", next_look=30)


def test_the_sum_and_mean_are_of_every_known_decision() -> None:
    """Also of those after the latest look."""
    found = evidence(losing_ledger(40, 48.0), "signal_filter")
    assert (found.resolved, found.sum_r, found.mean_r) == (40, -40.0, -1.0)
    assert (found.look, found.look_size, found.next_look) == (1, 30, 45)


def test_between_two_looks_the_interval_does_not_move() -> None:
    """31 to 44 decisions give the interval of 30; the 45th gives another."""
    found = [evidence(losing_ledger(count, count * 1.5), "signal_filter") for count in (30, 31, 44, 45)]
    assert found[0].interval == found[1].interval
    assert found[3].look == 2
    assert found[3].interval != found[2].interval


def test_asking_changes_nothing() -> None:
    """The same ledger gives the same answer, to the last bit, and spends nothing."""
    ledger = losing_ledger(60, 80.0)
    before = ledger.state()
    assert evidence(ledger, "signal_filter") == evidence(ledger, "signal_filter")
    assert ledger.state() == before


def test_the_errors_of_all_looks_sum_to_alpha() -> None:
    """alpha / (k (k + 1)) telescopes."""
    spent = sum(0.05 / (look * (look + 1)) for look in range(1, 100_000))
    assert spent == pytest.approx(0.05, rel=1e-4)
    assert spent < 0.05


def test_outcomes_all_alike_are_not_certainty() -> None:
    """Thirty stops in a row still leave an interval with a width, and it is below zero."""
    low, high = evidence(losing_ledger(30, 40.0), "signal_filter").interval or (0.0, 0.0)
    assert low < -1.0 < high < 0.0


def test_too_few_blocks_give_no_interval() -> None:
    """Thirty stops in two hours are one market, however many they are."""
    found = evidence(losing_ledger(30, 2.0), "signal_filter")
    assert (found.interval, found.blocks, found.block_hours) == (None, 1, 4.0)


def test_long_lives_make_long_blocks() -> None:
    """Three mean lives, however short the span; a day or a sixtieth of the span for long ones."""
    assert [block_hours_for(30.0, 0.0), block_hours_for(30.0, 10.0)] == [4.0, 30.0]
    assert [block_hours_for(span, 2.0) for span in (288.0, 600.0, 8760.0)] == [24.0, 24.0, 146.0]


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, (0, 0, 30)), (29, (0, 0, 30)), (30, (1, 30, 45)), (67, (2, 45, 68)), (68, (3, 68, 102))],
)
def test_looks_are_taken_at_fixed_counts(count: int, expected: tuple[int, int, int]) -> None:
    """30, 45, 68, 102, ... for every caller."""
    assert look_for(count, 30) == expected


@pytest.mark.parametrize(
    ("probability", "freedom", "expected"),
    [(0.975, 1, 12.7062), (0.975, 2, 4.30265), (0.975, 3, 3.18245), (0.975, 5, 2.57058), (0.975, 30, 2.04227),
     (0.995, 4, 4.60409), (0.9995, 10, 4.58689), (0.99995, 59, 4.17)],
)
def test_students_t_matches_the_tables(probability: float, freedom: float, expected: float) -> None:
    """Six digits, computed with scipy's stats.t.ppf; the usual printed tables have their first three decimals."""
    assert student_t_quantile(probability, freedom) == pytest.approx(expected, rel=2e-3 if freedom == 59 else 1e-5)


@pytest.mark.parametrize(
    ("key", "value"), [("min_count", 5), ("min_market_hours", -1.0), ("alpha", 0.0), ("alpha", float("nan"))],
)
def test_rules_out_of_their_domain_are_refused(key: str, value: float) -> None:
    """The error names the key."""
    with pytest.raises(InputError, match=key):
        RolloutRules(**{key: value})


def test_the_modules_import_without_numpy() -> None:
    """The policy is usable as a light library."""
    code = (
        "import sys; import quantum_trader.policy.rollout_file, quantum_trader.policy.observation; "
        "print(sorted(set(sys.modules) & {'numpy', 'numba', 'polars'}))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
