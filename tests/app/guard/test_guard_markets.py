"""The markets of a guard: from a venue's public data, and told apart by what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence

from tests.app.guard.bars import NOW_NS, rising
from tests.clients.serving import HISTORY, START_NS, minutes, serve

from quantum_trader.app.guard.markets import RETRY_NS, ClosedBar, Markets, VenueBars
from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_MINUTE, NS_PER_SECOND
from quantum_trader.domain.errors import DataError
from quantum_trader.domain.market import MarketState
from quantum_trader.policy.profiles import load_profile

SAFE = load_profile("SAFE")


class Feed:
    """Hourly bars up to any moment; it fails while *fails* is set, and counts how often it is asked."""

    bar_s = 3_600
    is_local = False

    def __init__(self) -> None:
        self.fails = ""
        self.asked = 0
        self._rows = rising(600).tolist()

    def bars(self, symbol: str, after_s: int, now_ns: int) -> Sequence[ClosedBar]:
        """The bars that are complete at *now_ns*, 400 of them at NOW_NS."""
        self.asked += 1
        if self.fails:
            raise DataError(self.fails)
        begin = (NOW_NS - 400 * NS_PER_HOUR) // NS_PER_SECOND
        rows = [(begin + 3_600 * place, row[1], row[2], row[3]) for place, row in enumerate(self._rows)]
        return [ClosedBar(*row) for row in rows if row[0] > after_s and row[0] + 3_600 <= now_ns // NS_PER_SECOND]


def state_of(markets: Markets, now_ns: int) -> MarketState:
    """Return the state of BTCUSDT, which has bars."""
    found = markets.state("BTCUSDT", now_ns, SAFE)
    assert found is not None
    return found


def test_bars_come_from_a_venues_public_data() -> None:
    """Complete ones alone, each once; a symbol that the venue does not have is a problem with its name."""
    with serve(minutes([1.0] * 60)) as served:
        source = VenueBars("1m", served.venue.url, lambda _: None)
        first = source.bars("BTCUSDT", -1, START_NS)
        none = source.bars("BTCUSDT", first[-1].start_s, START_NS + 30 * NS_PER_SECOND)
        served.play_to(2)
        later = source.bars("BTCUSDT", first[-1].start_s, START_NS + 2 * NS_PER_MINUTE)
        markets = Markets(source)
        markets.watch(["NONEUSDT"], START_NS)
        markets.refresh(START_NS)

    assert len(first) == HISTORY
    assert first[-1].start_s == (START_NS - NS_PER_MINUTE) // NS_PER_SECOND
    assert [bar.start_s for bar in (*none, *later)] == [START_NS // NS_PER_SECOND, START_NS // NS_PER_SECOND + 60]
    assert "NONEUSDT" in markets.problem("NONEUSDT")


def test_a_venue_is_asked_when_a_bar_is_due_and_not_before() -> None:
    """Once a bar, a moment after its end; after a failure again a quarter of a minute later."""
    feed, now = Feed(), NOW_NS
    markets = Markets(feed)
    markets.watch(["BTCUSDT"], now)
    assert feed.asked == 0, "the question that watches it first does not wait for the network"
    for _ in range(241):
        markets.refresh(now)
        now += 15 * NS_PER_SECOND
    assert feed.asked == 1
    feed.fails = "nobody answers"
    for _ in range(4):
        markets.refresh(now)
        now += RETRY_NS
    assert (feed.asked, markets.problem("BTCUSDT")) == (5, "nobody answers")
    feed.fails = ""
    markets.refresh(now)
    assert (feed.asked, markets.problem("BTCUSDT")) == (6, "")


def test_a_market_ages_while_no_bar_comes() -> None:
    """In hours from the end of its newest bar; unknown symbols have no state."""
    feed = Feed()
    markets = Markets(feed)
    markets.watch(["BTCUSDT"], NOW_NS)
    assert markets.state("BTCUSDT", NOW_NS, SAFE) is None
    markets.refresh(NOW_NS)
    feed.fails = "nobody answers"
    markets.refresh(NOW_NS + 2 * NS_PER_HOUR)

    assert (state_of(markets, NOW_NS).trend.value, state_of(markets, NOW_NS).age_bars) == ("TRENDING", 0.0)
    assert state_of(markets, NOW_NS + 2 * NS_PER_HOUR).age_bars == 2.0
    assert markets.end_ns("BTCUSDT") == NOW_NS
