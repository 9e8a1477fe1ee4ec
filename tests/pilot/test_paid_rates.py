"""The payments that a running system learns of, one by one, are what the recording says of the same moments."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from tests.pilot.conftest import same, walk

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.market.recording import Recording, open_recording, recording_from_arrays
from quantum_trader.pilot.feed_columns import FUNDING_8H
from quantum_trader.pilot.paid_rates import PaidRates
from quantum_trader.pilot.recorded_feed import recorded_feed

REAL = Path(os.environ.get("QT_FUNDING_BARS", Path(__file__).parents[3] / "shared" / "data" / "binance_um"))


def replayed(recording: Recording) -> np.ndarray:
    """The feed (T, S, 5) as a replay learns of it: each payment before the bar that opens at its time or later."""
    rates, feeds = PaidRates(len(recording.symbols)), []
    events = sorted(
        (int(ts), place, float(rate)) for place, symbol in enumerate(recording.symbols)
        if symbol in recording.funding
        for ts, rate in zip(recording.funding[symbol][0], recording.funding_8h[symbol], strict=True)
    )
    at = 0
    for ts in recording.times.tolist():
        while at < len(events) and events[at][0] <= ts:
            rates.pay(events[at][1], events[at][0], events[at][2])
            at += 1
        rates.pass_to(ts + recording.interval_ns)
        feeds.append(rates.feed(ts + recording.interval_ns))
    return np.array(feeds)


def paying(hours: int) -> Recording:
    """Ten days of two symbols, one of which pays every so many *hours*."""
    tape = walk(480, 30, ("BTCUSDT", "ETHUSDT"), missing=0.0)
    times = tape.ts[0] + np.arange(1, 240 // hours, dtype=np.int64) * hours * NS_PER_HOUR
    return recording_from_arrays(
        tape.symbols, "30m", tape.ts, tape.ohlcv, funding={"ETHUSDT": (times, 1e-5 * np.arange(1, len(times) + 1))}
    )


@pytest.mark.parametrize("hours", [1, 4, 8])
def test_they_are_those_of_the_recording(hours: int) -> None:
    """To the bit, at every bar, where a symbol pays every 1, 4 or 8 hours and where one pays nothing."""
    recording = paying(hours)
    assert same(replayed(recording), recorded_feed(recording, recording.times))


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT", "SOLUSDT"])
def test_they_are_those_of_a_real_recording(symbol: str) -> None:
    """Real payments of a year; needs bars with funding, named by QT_FUNDING_BARS."""
    if not REAL.is_dir():
        pytest.skip(f"no recording with funding at {REAL}; name one with QT_FUNDING_BARS")
    recording = open_recording(REAL, symbols=(symbol,), start="2023-01-01", end="2024-01-01", interval="1h")
    feed = recorded_feed(recording, recording.times)
    assert np.isfinite(feed[..., FUNDING_8H]).any()
    assert same(replayed(recording), feed)


@pytest.mark.parametrize("hours", [1, 4, 8])
def test_each_payment_is_charged_once(hours: int) -> None:
    """The sum of what falls due is the sum of the payments, however often it is asked; a payment told twice counts
    once.
    """
    recording = paying(hours)
    times, rates = recording.funding["ETHUSDT"][0], recording.funding_8h["ETHUSDT"]
    paid, due, at = PaidRates(2), np.zeros(2), 0
    for ts in recording.times.tolist():
        while at < len(times) and times[at] <= ts:
            for _ in range(2):
                paid.pay(1, int(times[at]), float(rates[at]))
            at += 1
        due += paid.due(ts, np.full(2, 1e-4))
        due += paid.due(ts, np.full(2, 1e-4))
    assert due[1] == pytest.approx(recording.funding["ETHUSDT"][1].sum(), rel=1e-9, abs=8e-5)
    assert due[0] == pytest.approx(1e-4 * (recording.times[-1] // (8 * NS_PER_HOUR)
                                           - recording.times[0] // (8 * NS_PER_HOUR)))


def test_an_announced_rate_is_charged_when_its_time_has_come() -> None:
    """Once, at the open of the bar after; the rate that stands at that moment."""
    paid, start = PaidRates(1), 1_704_067_200_000_000_000
    paid.pay(0, start, 1e-4)
    paid.due(start, np.zeros(1))
    half = NS_PER_HOUR // 2
    found = []
    for bar in range(1, 34):
        paid.announce(0, 2e-4 if bar < 10 else 3e-4, start + bar * half - 1)
        paid.pass_to(start + bar * half)
        found.append(float(paid.due(start + bar * half, np.zeros(1))[0]))
    assert [(at + 1, one) for at, one in enumerate(found) if one] == [(16, 3e-4), (32, 3e-4)]


def test_a_rate_is_no_payment_of_before_it_was_announced() -> None:
    """A trader that starts at ten pays nothing for eight o'clock, whose rate it never heard."""
    paid, ten = PaidRates(1), 1_704_067_200_000_000_000 + 10 * NS_PER_HOUR
    paid.announce(0, 1e-3, ten)
    paid.pass_to(ten + NS_PER_HOUR)
    assert float(paid.due(ten + NS_PER_HOUR, np.zeros(1))[0]) == 0.0
    assert np.isnan(paid.feed(ten + NS_PER_HOUR)[0, FUNDING_8H])
    paid.pass_to(ten + 7 * NS_PER_HOUR)
    assert float(paid.due(ten + 7 * NS_PER_HOUR, np.zeros(1))[0]) == 1e-3


def test_it_goes_on_after_a_restart() -> None:
    """With what is due and announced."""
    first = PaidRates(2)
    first.due(8 * NS_PER_HOUR, np.zeros(2))
    first.pay(1, 9 * NS_PER_HOUR, 1e-4)
    first.announce(0, 2e-4, 9 * NS_PER_HOUR)
    second = PaidRates(2)
    second.load_state(first.state())
    for one in (first, second):
        one.pass_to(17 * NS_PER_HOUR)
    assert same(first.feed(17 * NS_PER_HOUR), second.feed(17 * NS_PER_HOUR))
    due = first.due(17 * NS_PER_HOUR, np.zeros(2))
    assert due.tolist() == [2e-4, 1e-4]
    assert same(due, second.due(17 * NS_PER_HOUR, np.zeros(2)))


def test_the_sums_of_an_older_folder_are_charged() -> None:
    """Payments had no times then; what was due is due at the next bar."""
    older = PaidRates(2).state()
    del older["waiting"], older["is_told"]
    rates = PaidRates(2)
    rates.load_state({**older, "due": np.array([0.0, 3e-4]), "asked_ns": 8 * NS_PER_HOUR})
    assert rates.due(9 * NS_PER_HOUR, np.zeros(2)).tolist() == [0.0, 3e-4]


@pytest.mark.parametrize("hours", [1, 4, 8])
def test_an_announced_rate_is_paid_at_the_interval_of_the_contract(hours: int) -> None:
    """Before two payments have told the interval that of the instrument counts: a day of 1, 4 and 8 hours pays 24, 6
    and 3 times what the rate of 8 hours is of each.
    """
    rates, start = PaidRates(1, [hours]), 1_704_067_200_000_000_000
    rates.due(start, np.zeros(1))
    rates.announce(0, 8e-4, start + 1)
    found = []
    for hour in range(1, 25):
        rates.pass_to(start + hour * NS_PER_HOUR)
        found.append(float(rates.due(start + hour * NS_PER_HOUR, np.zeros(1))[0]))
    assert [hour for hour, one in enumerate(found, 1) if one] == list(range(hours, 25, hours))
    assert found[hours - 1] == pytest.approx(1e-4 * hours)


def test_a_payment_waits_for_the_bar_that_opens_at_its_time() -> None:
    """A payment that is told before an older bar is taken is not charged at that bar's open."""
    rates = PaidRates(1)
    rates.due(7 * NS_PER_HOUR, np.zeros(1))
    rates.pay(0, 9 * NS_PER_HOUR, 1e-4, 1e-4)
    assert rates.due(8 * NS_PER_HOUR, np.zeros(1))[0] == 0.0
    assert rates.due(9 * NS_PER_HOUR, np.zeros(1))[0] == 1e-4


def test_what_is_paid_may_be_told_beside_the_rate_of_eight_hours() -> None:
    """The first payment of a contract that pays each hour is for an hour, whatever came before it."""
    rates = PaidRates(1)
    rates.due(NS_PER_HOUR, np.zeros(1))
    rates.pay(0, 2 * NS_PER_HOUR, 8e-4, 1e-4)
    assert rates.due(2 * NS_PER_HOUR, np.zeros(1))[0] == 1e-4
