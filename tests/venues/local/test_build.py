"""Where and when a recording is played."""

from __future__ import annotations

import numpy as np
import pytest
from tests.venues.local.world import exchange

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE
from quantum_trader.domain.errors import ConfigError
from quantum_trader.market.recording import open_recording, recording_from_arrays
from quantum_trader.venues.local.build import HISTORY_ROWS, recorded_exchange
from quantum_trader.venues.local.clock import MarketClock

NOW_NS = 1_795_000_000_123_456_789


def test_bars_keep_their_times_or_play_today() -> None:
    """Moved by whole days: the venue's time is now, hours and fundings stay where they are."""
    recording = open_recording(symbols=["BTCUSDT"])

    own = recorded_exchange(recording)
    today = recorded_exchange(recording, now_ns=NOW_NS)

    assert own.tape.ts_ns[0] == recording.start_ns
    assert today.now_ns == NOW_NS
    assert (today.tape.ts_ns[0] - recording.start_ns) % NS_PER_DAY == 0
    assert len(own.tape.bars(0, own.tape.interval_ns, 0, 2**62, own.now_ns, 1500)) == HISTORY_ROWS
    assert today.funding_of(0)[1] % (8 * NS_PER_HOUR) == 0


@pytest.mark.parametrize("interval_ns", [NS_PER_MINUTE, NS_PER_HOUR])
def test_a_given_start_plays_now(interval_ns: int) -> None:
    """The market's time is the present, less than a bar after the start, and bars lie on their grid."""
    closes = np.full((600, 1, 5), 100.0)
    recorded = recording_from_arrays(["BTCUSDT"], "1m" if interval_ns == NS_PER_MINUTE else "1h",
                                     np.arange(600) * interval_ns, closes)
    start = 100 * interval_ns

    market = recorded_exchange(recorded, start_ns=start, now_ns=NOW_NS)

    assert market.now_ns == NOW_NS
    moved = int(market.tape.ts_ns[0])
    assert moved % interval_ns == 0
    assert start <= NOW_NS - moved < start + interval_ns
    assert market.tape.bars(0, interval_ns, 0, 2**62, market.now_ns, 1)[-1, 0] == NOW_NS // interval_ns * interval_ns


def test_a_recording_shorter_than_a_day_plays_now() -> None:
    """It need not have this time of day."""
    recorded = recording_from_arrays(["BTCUSDT"], "1m", np.arange(60) * NS_PER_MINUTE, np.full((60, 1, 5), 100.0))

    assert recorded_exchange(recorded, now_ns=NOW_NS).now_ns == NOW_NS


def test_playing_may_begin_anywhere_inside() -> None:
    """Outside it is refused with the range."""
    recording = open_recording(symbols=["BTCUSDT"])

    assert recorded_exchange(recording, start_ns=recording.start_ns + NS_PER_DAY).now_ns == (
        recording.start_ns + NS_PER_DAY
    )
    with pytest.raises(ConfigError, match="the recording has"):
        recorded_exchange(recording, start_ns=recording.end_ns)


def test_market_time_follows_the_wall_at_its_speed() -> None:
    """Sixty times: a second is a minute; a new speed goes on from where time is."""
    wall = [0]
    market = exchange()
    clock = MarketClock(60.0, monotonic_ns=lambda: wall[0])
    clock.start(market.now_ns)
    wall[0] = 1_000_000_000
    assert clock.now_ns(market) - market.now_ns == 60_000_000_000

    clock.set_speed(1.0, market.now_ns)
    wall[0] += 1_000_000_000

    assert clock.now_ns(market) - market.now_ns == 1_000_000_000
    recorded = recorded_exchange(open_recording(symbols=["BTCUSDT"]))
    fastest = MarketClock(None)
    assert fastest.now_ns(recorded) - recorded.now_ns == recorded.tape.interval_ns // 4
    assert fastest.now_ns(market) == market.now_ns, "nothing moves after the last bar"
    assert (fastest.pause_s(0.25, True), fastest.pause_s(0.25, False)) == (0.0, 0.25)
    with pytest.raises(ConfigError, match="speed"):
        MarketClock(0.0)
