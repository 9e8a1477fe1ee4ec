"""Scores that other programs send: which one counts at which bar, for how long, and what changes nothing."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from tests.models.conftest import START, SYMBOLS, Feed

from quantum_trader.app.runs.model_bars import bars_of
from quantum_trader.app.runs.state_dir import pack, unpack
from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR
from quantum_trader.domain.enums import Side
from quantum_trader.domain.errors import ConfigError, DataError
from quantum_trader.domain.market import MarketBatch
from quantum_trader.domain.trading import OutsideScore
from quantum_trader.market.recording import open_recording
from quantum_trader.models import Panel
from quantum_trader.models.check import CheckTools, check_scores
from quantum_trader.models.forecasts import Forecasts, LoadedModel
from quantum_trader.models.loading import ModelSettings, load_model, load_models
from quantum_trader.models.outside_scores import OutsideScores, ScoreRefusal

DAY = START + 100 * NS_PER_DAY
BTC, ETH = SYMBOLS[:2]


def made(**params: str) -> OutsideScores:
    """The model with *params*."""
    model = load_model(ModelSettings(model="outside-scores", params=params)).model
    assert isinstance(model, OutsideScores)
    return model


def given(
    name: str, value: float, received_ns: int, symbol: str = BTC, *, source: str = "tv", life_ns: int = 0,
    age_ns: int = 0, leaves: Side | None = None,
) -> OutsideScore:
    """A score of *value*, sent *age_ns* before it was received, that expires *life_ns* after that."""
    return OutsideScore(
        score_id=name, symbol=symbol, score=value, source=source, created_ns=received_ns - age_ns, leaves=leaves,
        expires_ns=received_ns + life_ns if life_ns else 0,
    )


def take(model: OutsideScores, name: str, value: float, received_ns: int, **more: Any) -> ScoreRefusal | None:
    """Let *model* take a score."""
    return model.take(given(name, value, received_ns, **more), received_ns)


def at(model: OutsideScores, now_ns: int, closes: tuple[float, float] = (1.0, 1.0)) -> list[float]:
    """The scores of BTC and ETH at the close of a bar at *now_ns*."""
    panel = Panel((BTC, ETH), np.array([now_ns - NS_PER_DAY]), now_ns, {"close": np.array([closes])})
    return model.score(panel).tolist()


def test_a_score_counts_from_the_first_close_at_or_after_its_receipt() -> None:
    """At the close of its receipt it does, a nanosecond later not before the next close; without one there is none."""
    model = made()
    np.testing.assert_array_equal(at(model, DAY - NS_PER_DAY), [np.nan, np.nan])
    assert take(model, "a", 0.5, DAY) is None
    assert take(model, "b", -2.0, DAY + 1, symbol=ETH) is None
    np.testing.assert_array_equal(at(model, DAY), [0.5, np.nan])
    assert (model.used(BTC), model.used(ETH)) == ("a", "")
    np.testing.assert_array_equal(at(model, DAY + NS_PER_DAY), [0.5, -2.0])
    assert model.used(ETH) == "b"


def test_a_score_received_after_a_close_leaves_the_one_before_in_force_at_that_close() -> None:
    """Both are known when the bar is decided on late: it has the older one, the next bar the newer one."""
    model = made()
    take(model, "old", 0.5, DAY - NS_PER_HOUR)
    take(model, "new", -0.5, DAY + 1)
    assert at(model, DAY)[0] == 0.5
    assert at(model, DAY + NS_PER_DAY)[0] == -0.5
    late = made()  # bars of an outage: each has what was known at its own close
    for day, value in enumerate((1.0, 2.0, 3.0)):
        take(late, str(day), value, DAY + day * NS_PER_DAY)
    assert [at(late, DAY + day * NS_PER_DAY)[0] for day in range(3)] == [1.0, 2.0, 3.0]


def test_of_several_scores_before_a_close_the_newest_counts_whoever_sent_it() -> None:
    """By the order of receipt, also where the clock was set back; it holds even where an older one lives longer."""
    model = made()
    take(model, "a", 0.5, DAY - 3, source="one")
    take(model, "b", -1.0, DAY - 2, source="two", life_ns=NS_PER_HOUR)
    assert len(model.state()["given"][BTC]) == 1  # one for each close, however many come
    assert at(model, DAY)[0] == -1.0
    assert np.isnan(at(model, DAY + NS_PER_DAY)[0])
    assert model.used(BTC) == ""
    take(model, "c", 3.0, DAY + 2 * NS_PER_DAY)
    take(model, "d", 4.0, DAY + NS_PER_HOUR)
    assert at(model, DAY + 2 * NS_PER_DAY)[0] == 4.0


@pytest.mark.parametrize(("more", "last_ns"), [
    ({}, 7 * NS_PER_DAY), ({"age_ns": 2 * NS_PER_DAY}, 5 * NS_PER_DAY), ({"life_ns": 2 * NS_PER_DAY}, 2 * NS_PER_DAY),
    ({"life_ns": 30 * NS_PER_DAY}, 7 * NS_PER_DAY),
])
def test_a_score_is_no_view_once_it_is_too_old_or_has_expired(more: dict[str, Any], last_ns: int) -> None:
    """At its last moment it counts, at the next close it does not; its age counts from when it was sent."""
    model = made()
    take(model, "a", 1.0, DAY, **more)
    assert at(model, DAY + last_ns)[0] == 1.0
    assert np.isnan(at(model, DAY + last_ns + 1)[0])


def test_a_score_that_is_too_old_or_has_expired_when_it_comes_is_refused() -> None:
    """It replaces nothing."""
    model = made()
    take(model, "a", 1.0, DAY)
    assert take(model, "b", 2.0, DAY, age_ns=8 * NS_PER_DAY) is ScoreRefusal.EXPIRED
    expired = given("c", 2.0, DAY - NS_PER_HOUR, life_ns=NS_PER_HOUR - 1)
    assert model.take(expired, DAY) is ScoreRefusal.EXPIRED
    assert at(model, DAY)[0] == 1.0


def test_a_score_of_zero_leaves_and_one_that_leaves_a_side_needs_a_score_of_that_side() -> None:
    """exit_long does nothing where the newest score is short, old or not there."""
    model = made()
    assert take(model, "a", 0.0, DAY, leaves=Side.LONG) is ScoreRefusal.NO_SCORE_OF_SIDE
    take(model, "b", -1.0, DAY)
    assert take(model, "c", 0.0, DAY, leaves=Side.LONG) is ScoreRefusal.NO_SCORE_OF_SIDE
    assert at(model, DAY)[0] == -1.0
    assert take(model, "d", 0.0, DAY + 1, leaves=Side.SHORT) is None
    assert at(model, DAY + NS_PER_DAY)[0] == 0.0
    take(model, "e", 1.0, DAY + 1)
    assert take(model, "f", 0.0, DAY + 8 * NS_PER_DAY, leaves=Side.LONG) is ScoreRefusal.NO_SCORE_OF_SIDE


def test_a_symbol_without_a_bar_keeps_what_its_last_bar_was_made_of() -> None:
    """And its newer score waits for its next bar."""
    model = made()
    take(model, "a", 1.0, DAY)
    at(model, DAY)
    take(model, "b", 2.0, DAY + 1)
    assert np.isnan(at(model, DAY + NS_PER_DAY, (np.nan, 1.0))[0])
    assert model.used(BTC) == "a"
    assert at(model, DAY + 2 * NS_PER_DAY)[0] == 2.0


def test_a_model_continued_from_its_state_gives_the_same_scores() -> None:
    """Scores in use and scores that no bar has seen yet, through a checkpoint."""
    model = made()
    take(model, "a", 1.0, DAY)
    at(model, DAY)
    take(model, "b", -1.0, DAY + 1, life_ns=NS_PER_DAY)
    again = made()
    again.load_state(unpack(pack(model.state())))
    assert again.used(BTC) == "a"
    for days in (1, 2):
        np.testing.assert_array_equal(at(again, DAY + days * NS_PER_DAY), at(model, DAY + days * NS_PER_DAY))
    assert again.state() == model.state()


def forecasts(*entries: dict[str, Any]) -> Forecasts:
    """The models of *entries* over three symbols and hourly bars."""
    settings = [ModelSettings(model="outside-scores", **one) for one in entries]
    return Forecasts(SYMBOLS, NS_PER_HOUR, load_models(settings))


def test_two_models_take_the_scores_of_their_own_sources() -> None:
    """Both count in the average; a source of neither and a symbol of neither are refused, each with its reason."""
    two = forecasts(
        {"name": "one", "params": {"source": "one"}}, {"name": "two", "params": {"source": "two"}, "symbols": (BTC,)},
    )
    received = START + NS_PER_HOUR
    assert two.take_score(given("a", 1.0, received, source="one"), received) is None
    assert two.take_score(given("b", -1.0, received, source="two"), received) is None
    assert two.take_score(given("c", 1.0, received, source="three"), received) is ScoreRefusal.NO_MODEL
    assert two.take_score(given("d", 1.0, received, ETH, source="two"), received) is ScoreRefusal.UNKNOWN_SYMBOL
    assert two.take_score(given("e", 1.0, received, "LTCUSDT", source="one"), received) is ScoreRefusal.UNKNOWN_SYMBOL
    feed = Feed(24)
    for row, ts_ns in enumerate(feed.ts_ns.tolist()):
        batch = MarketBatch(ts_ns, NS_PER_HOUR, feed.ohlcv[row], feed.present[row])
        two.take(batch, np.full(3, 10.0), feed.funding)
    assert [float(one.out[0, 10]) for one in two.single] == [1.0, -1.0]
    assert two.outside_scores(0) == ["a", "b"]
    assert two.outside_scores(1) == []


def test_a_run_without_such_a_model_takes_no_score() -> None:
    """It says which model is missing."""
    trend = Forecasts(SYMBOLS, NS_PER_HOUR, load_models([ModelSettings(model="ewmac")]))
    assert not trend.takes_scores
    assert trend.take_score(given("a", 1.0, START), START) is ScoreRefusal.NO_MODEL


@pytest.mark.parametrize(("params", "says"), [
    ({"max_age": "soon"}, "outside-scores: max_age = 'soon': must be a time"),
    ({"bars": "2d"}, "interval '2d' is not known"),
    ({"horizon": "x"}, "horizon = 'x'"), ({"sorce": "tv"}, "did you mean 'source'"),
])
def test_wrong_parameters_are_named(params: dict[str, str], says: str) -> None:
    """The key and what it may be."""
    with pytest.raises((ConfigError, DataError), match=says):
        made(**params)


class Sent(OutsideScores):
    """The model with scores that were sent at random times before and between its bars."""

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        rng, bars = np.random.default_rng(8), BARS
        for seconds in np.sort(rng.integers(-86_400, 86_400 * len(bars.opens), 900)).tolist():
            received = int(bars.opens[0]) + int(seconds) * 10**9 + 1
            symbol = bars.symbols[int(rng.integers(len(bars.symbols)))]
            life_ns = int(rng.integers(0, 3)) * 5 * NS_PER_DAY
            self.take(given(f"n{seconds}", float(rng.standard_normal()), received, symbol, life_ns=life_ns), received)


BARS = bars_of(open_recording(), NS_PER_DAY)


def test_scores_that_were_sent_between_bars_pass_every_property_of_the_check() -> None:
    """No look-ahead, the same again, through a checkpoint at any moment, with gaps: as any other model."""
    def loaded() -> LoadedModel:
        return LoadedModel(name="sent", model=Sent(), fingerprint="f", code="f")

    report = check_scores(loaded(), BARS, CheckTools(
        reload=loaded, roundtrip=lambda state: unpack(pack(state)), clock=time.perf_counter,
    ))
    assert [one for one in report.findings if not one.passed] == []
    assert len(report.findings) == 9
