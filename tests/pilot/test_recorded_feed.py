"""What a recording knows beside its bars: the last payment and the time to the next one."""

from __future__ import annotations

import numpy as np
import pytest
from tests.pilot.conftest import walk

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.market.recording import Recording, recording_from_arrays
from quantum_trader.pilot.feed_columns import DEPTH_IMBALANCE, FUNDING_8H, HOURS_TO_FUNDING, SPREAD_BPS
from quantum_trader.pilot.recorded_feed import recorded_feed


def test_an_assumed_rate_is_masked_and_its_schedule_is_known(bundled: Recording) -> None:
    """The bundled bars have no payments: the rate is NaN, and the next payment is at 00, 08 or 16 UTC."""
    ts = bundled.times
    feed = recorded_feed(bundled, ts)

    assert np.isnan(feed[..., FUNDING_8H]).all()
    closes = ts + bundled.interval_ns
    assert feed[:, 0, HOURS_TO_FUNDING] == pytest.approx(8.0 - (closes % (8 * NS_PER_HOUR)) / NS_PER_HOUR)


def test_a_recording_has_no_order_book(bundled: Recording) -> None:
    """Spread and imbalances are NaN, which masks them."""
    assert np.isnan(recorded_feed(bundled, bundled.times)[..., SPREAD_BPS : DEPTH_IMBALANCE + 2]).all()


@pytest.mark.parametrize("hours", [1, 4, 8])
def test_payments_are_known_once_made_and_the_next_is_one_interval_later(hours: int) -> None:
    """Every 1, 4 and 8 hours; the rate stands per 8 hours."""
    tape = walk(480, 30, ("BTCUSDT", "ETHUSDT"), missing=0.0)
    times = tape.ts[0] + np.arange(1, 240 // hours, dtype=np.int64) * hours * NS_PER_HOUR
    rates = 1e-5 * np.arange(1, len(times) + 1)
    recording = recording_from_arrays(tape.symbols, "30m", tape.ts, tape.ohlcv, funding={"ETHUSDT": (times, rates)})

    feed = recorded_feed(recording, tape.ts)

    for row in range(6 * hours, 480 - 4 * hours):  # from the third payment to the last but one
        paid = int(np.searchsorted(times, tape.ts[row], side="right"))
        assert feed[row, 1, FUNDING_8H] == pytest.approx(rates[paid - 1] * 8.0 / hours)
        close = tape.ts[row] + tape.base_ns
        assert feed[row, 1, HOURS_TO_FUNDING] == pytest.approx((times[times > close].min() - close) / NS_PER_HOUR)
    assert np.isnan(feed[: 2 * hours, 1, FUNDING_8H]).all()
    assert np.isnan(feed[:, 0, FUNDING_8H]).all()
