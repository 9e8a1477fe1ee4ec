"""The built-in set: each model against its definition written a second way, and the set as settings make it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantum_trader.app.runs.model_check import check_user_model
from quantum_trader.app.settings import load_settings
from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.domain.errors import ConfigError
from quantum_trader.models import forecast as fc
from quantum_trader.models.forecasts import Forecasts
from quantum_trader.models.loading import ModelSettings, expanded, load_model, load_models
from quantum_trader.models.port import FIELDS, Model, Panel
from quantum_trader.models.trend import TREND_MODELS, Carry, Donchian, Ewmac, TsmomFast, TsmomSlow, Xsmom

DAYS = 800
DAY_BARS = tuple(f"S{number:02d}USDT" for number in range(20))
SET = ("tsmom_fast", "tsmom_slow", "ewmac", "donchian", "carry")


def panel(model: Model, closes: np.ndarray, funding: np.ndarray | None = None, day: int = -1) -> Panel:
    """What *model* sees at the end of *day*."""
    end = len(closes) + day + 1 if day < 0 else day + 1
    rows = slice(end - model.warmup, end)
    fields = {"close": closes[rows], "funding": closes[rows] * 0.0 if funding is None else funding[rows]}
    count = closes.shape[1]
    return Panel(DAY_BARS[:count], np.arange(end - model.warmup, end, dtype=np.int64) * NS_PER_DAY, end * NS_PER_DAY,
                 {name: values for name, values in fields.items() if name in model.needs})


def walk(count: int = 5, seed: int = 2, drift: float = 0.0) -> np.ndarray:
    """Closes (DAYS, count)."""
    rng = np.random.default_rng(seed)
    return 100.0 * np.exp(np.cumsum(0.03 * rng.standard_normal((DAYS, count)) + drift, axis=0))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of its own: the check keeps its results there."""
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("name", TREND_MODELS)
def test_a_built_in_model_passes_the_check_of_users_models(name: str) -> None:
    """No look-ahead, a warm-up that is long enough, gaps, determinism, state."""
    report = check_user_model(ModelSettings(model=name))
    assert [one for one in report.findings if not one.passed] == []


def volatility(moves: np.ndarray) -> float:
    """Exponentially weighted, span 36, over the last 60 returns."""
    weights = [(1.0 - 2.0 / 37.0) ** age for age in range(60)]
    return float(np.sqrt(np.average(moves[::-1][:60] ** 2, weights=weights)))


@pytest.mark.parametrize(("model", "lookbacks"), [(TsmomFast(), (7, 14, 28)), (TsmomSlow(), (30, 90, 365))])
def test_momentum_is_the_mean_of_returns_in_their_own_deviations(model: Model, lookbacks: tuple[int, ...]) -> None:
    """Each within one, by symbol."""
    closes = walk()
    for s, score in enumerate(model.score(panel(model, closes)).tolist()):
        logs = np.log(closes[:, s])
        vol = volatility(np.diff(logs))
        parts = [np.clip((logs[-1] - logs[-1 - days]) / (vol * days**0.5), -1.0, 1.0) for days in lookbacks]
        assert score == pytest.approx(np.mean(parts), rel=1e-12)


def test_a_crossover_is_the_difference_of_two_averages_in_its_own_deviations() -> None:
    """The weights on returns are those of two recursive averages; on random walks it has deviation 1."""
    model, closes = Ewmac(), walk(20)
    told = model.score(panel(model, closes))
    raw = []
    for s in range(20):
        logs = np.log(closes[-model.warmup:, s])
        parts = []
        for fast, slow in ((8, 24), (16, 48), (32, 96)):
            averages = []
            for n in (fast, slow):
                average = logs[0]
                for value in logs[1:]:
                    average += (value - average) / n
                averages.append(average)
            a, b = 1.0 - 1.0 / fast, 1.0 - 1.0 / slow
            deviation = (a * a / (1 - a * a) + b * b / (1 - b * b) - 2.0 * a * b / (1 - a * b)) ** 0.5
            parts.append((averages[0] - averages[1]) / volatility(np.diff(logs)) / deviation)
        raw += parts
        wanted = np.mean([part * np.exp(-part * part / 4.0) / 0.89 for part in parts])
        assert told[s] == pytest.approx(wanted, abs=2e-3)  # the weights end with the warm-up
    assert 0.6 < np.std(raw) < 1.5


def donchian_by_hand(closes: np.ndarray, length: int) -> int:
    """The side of one channel after all of *closes*: in at the end of the channel, out at a stop behind its middle."""
    side, stop = 0, 0.0
    for day in range(length - 1, len(closes)):
        window = closes[day - length + 1: day + 1]
        top, bottom, now = window.max(), window.min(), closes[day]
        if (side > 0 and now <= stop) or (side < 0 and now >= stop):
            side = 0
        new = 1 if now == top else -1 if now == bottom else side
        middle = (top + bottom) / 2.0
        if new != side:
            side, stop = new, middle
        elif side:
            stop = max(stop, middle) if side > 0 else min(stop, middle)
    return side


def test_a_channel_is_entered_at_its_end_and_left_at_a_stop_that_follows_its_middle() -> None:
    """Nine lengths, day by day from the first warm one on."""
    model, closes = Donchian(), walk(3, seed=5)
    seen = set()
    for day in range(model.warmup - 1, DAYS):
        told = model.score(panel(model, closes, day=day))
        if day % 40 == 0 or day > DAYS - 5:
            for s in range(3):
                sides = [donchian_by_hand(closes[: day + 1, s], length) for length in Donchian.lengths]
                assert told[s] == pytest.approx(np.mean(sides), abs=1e-12)
                seen |= set(sides)
    assert seen == {-1, 0, 1}


def test_channels_hold_through_holes_and_still_prices() -> None:
    """A day without a bar changes nothing; a still price is no breakout; late symbols begin by themselves."""
    closes = walk(3, seed=5)
    closes[700:705, 0] = np.nan
    closes[:600, 1] = np.nan
    closes[:, 2] = 50.0
    model = Donchian()
    before = model.score(panel(model, closes, day=699))
    held = model.score(panel(model, closes, day=704))
    assert held[0] == before[0]
    assert held[2] == 0.0
    lengths = [length for length in Donchian.lengths if length <= 105]
    sides = [donchian_by_hand(closes[600:705, 1], length) for length in lengths]
    assert held[1] == pytest.approx(sum(sides) / len(Donchian.lengths))


def test_carry_is_the_rank_of_real_funding() -> None:
    """Least paid by longs is first; an assumed rate is no funding; below four symbols there is no view."""
    model, closes = Carry(), walk(6)
    rng = np.random.default_rng(1)
    funding = np.array([3e-4, 1e-4, -2e-4, 0.0, 1e-4, 1e-4]) + 1e-6 * rng.standard_normal((DAYS, 6))
    funding[:, 5] = 1e-4  # assumed
    told = model.score(panel(model, closes, funding))
    assert told[[0, 2, 3]].tolist() == [-1.0, 1.0, 0.5]
    assert sorted(told[[1, 4]].tolist()) == [-0.5, 0.0]
    assert np.isnan(told[5])
    funding[-4:, 0] = np.nan  # three days of seven are too few
    assert np.isnan(model.score(panel(model, closes, funding))[0])
    funding[:, 1] = 2e-4
    assert np.isnan(model.score(panel(model, closes, funding))).all()


def test_equal_funding_shares_its_rank() -> None:
    """Rates at the exchange's floor are no order."""
    model, closes = Carry(), walk(4)
    funding = np.full((DAYS, 4), 1e-4)
    funding[-60] = 2e-4
    funding[-7:, 0] = 3e-4
    assert model.score(panel(model, closes, funding)).tolist() == [-1.0] + [1.0 / 3.0] * 3


def test_cross_sectional_momentum_ranks_ten_symbols_and_no_fewer() -> None:
    """By the return of 21 days."""
    model, closes = Xsmom(), walk(10)
    moves = closes[-1] / closes[-22]
    ranks = np.argsort(np.argsort(moves)) / 4.5 - 1.0
    assert model.score(panel(model, closes)).tolist() == pytest.approx(ranks.tolist())
    assert np.isnan(model.score(panel(model, closes[:, :9]))).all()


@pytest.mark.parametrize("kind", TREND_MODELS.values())
def test_a_daily_call_costs_less_than_a_millisecond(kind: type[Model]) -> None:
    """For twenty symbols, the fastest of thirty days."""
    model, closes = kind(), walk(20)
    spent = []
    for day in range(DAYS - 30, DAYS):
        shown = panel(model, closes, closes * 1e-6, day)
        begun = time.perf_counter()
        model.score(shown)
        spent.append(time.perf_counter() - begun)
    assert min(spent) < 1e-3


# ------------------------------------------------------------------ the set


def test_the_set_is_five_models_with_the_prior_of_published_results() -> None:
    """Carry counts a quarter; cross-sectional momentum stands alone, beside the set or by itself."""
    loaded = load_models([ModelSettings(model="trend")])
    assert [one.name for one in loaded] == list(SET)
    assert [one.weight for one in loaded] == [1.0, 1.0, 1.0, 1.0, 0.25]
    assert {(one.forecast.prior_mean, one.forecast.prior_sd) for one in loaded} == {(0.25, 0.4)}
    assert {(one.exit.on, one.exit.stop_atr) for one in loaded} == {("score", 3.0)}
    more = load_models([ModelSettings(model="trend"), ModelSettings(model="xsmom")])
    assert [one.name for one in more] == [*SET, "xsmom"]
    assert load_models([ModelSettings(model="tsmom_slow")])[0].name == "tsmom_slow"


def test_what_is_stated_of_the_set_holds_for_its_models(tmp_path: Path) -> None:
    """Prior, exit, symbols; a weight multiplies their own."""
    file = tmp_path / "settings.toml"
    file.write_text('[[models]]\nmodel = "trend"\nprior = [0.0, 0.5]\nweight = 2.0\nexit = { stop_atr = 4.0 }\n')
    models = load_settings(file).settings.models
    assert [one.model for one in models] == list(SET)
    loaded = load_models(models)
    assert {one.forecast.prior_mean for one in loaded} == {0.0}
    assert [one.weight for one in loaded] == [2.0, 2.0, 2.0, 2.0, 0.5]
    assert {one.exit.stop_atr for one in loaded} == {4.0}


@pytest.mark.parametrize(("entry", "says"), [
    ({"model": "trend", "params": {"days": 3}}, r"trend.params = \{'days': 3\}: trend is a set"),
    ({"model": "trend", "name": "mine"}, "trend.name = 'mine': trend is a set; leave it out, or name its models one"),
    ({"model": "trnd"}, "did you mean 'trend'"), ({"model": "tsmom"}, "did you mean 'tsmom_fast' or 'tsmom_slow'"),
    ({"model": "ewmac", "weight": 0.0}, "ewmac: weight = 0.0: must be above 0"),
    ({"model": "ewmac", "weight": float("nan")}, "ewmac: weight = nan: must be above 0"),
    ({"model": "ewmac", "params": {"days": 3}}, "unknown parameter 'days'; it has none"),
])
def test_a_setting_of_the_set_that_cannot_hold_is_refused(entry: dict[str, Any], says: str) -> None:
    """With the key and the value."""
    with pytest.raises(ConfigError, match=says):
        load_models(load_settings(None, {"models": ([entry], "--model")}).settings.models)


def test_a_model_that_can_never_have_a_view_is_refused_unless_others_have_one() -> None:
    """Ten symbols are not five."""
    five, alone = DAY_BARS[:5], [load_model(ModelSettings(model="xsmom"))]
    with pytest.raises(ConfigError, match="xsmom: has no view of fewer than 10 symbols; here are 5"):
        Forecasts(five, NS_PER_DAY, alone)
    Forecasts(five, NS_PER_DAY, [*alone, load_model(ModelSettings(model="ewmac", prior=(0.25, 0.4)))])


def test_another_weight_or_prior_is_another_model() -> None:
    """A saved run knows the difference; the passed check is the same."""
    plain = load_model(ModelSettings(model="ewmac"))
    for other in (ModelSettings(model="ewmac", weight=0.5), ModelSettings(model="ewmac", prior=(0.0, 0.5))):
        changed = load_model(other)
        assert changed.fingerprint != plain.fingerprint
        assert changed.code == plain.code
    stated = load_model(ModelSettings(model="ewmac", weight=1.0, prior=(0.25, 0.4)))
    assert stated.fingerprint == plain.fingerprint


def run(forecasts: Forecasts, closes: np.ndarray, funding: np.ndarray) -> list[np.ndarray]:
    """The combined forecasts after each day, and in `forecasts.single` those of each model at the end."""
    told = []
    count = closes.shape[1]
    for day, row in enumerate(closes):
        ohlcv = np.stack([row, row * 1.01, row * 0.99, row, np.ones(count)], axis=1)
        bar = forecasts.history.take_whole(day * NS_PER_DAY, ohlcv, ~np.isnan(row), funding[day])
        forecasts._score(bar, np.full(count, 12.0), funding[day])
        told.append(forecasts.out.copy())
    return told


def test_the_average_counts_each_view_by_its_weight() -> None:
    """Of the models that have one; scores are scaled before."""
    closes = walk(5, drift=0.002)[:400]
    funding = 1e-4 + 1e-5 * np.random.default_rng(4).standard_normal(closes.shape)
    forecasts = Forecasts(DAY_BARS[:5], NS_PER_DAY, load_models([ModelSettings(model="trend")]))
    told = run(forecasts, closes, funding)
    weights = np.array([1.0, 1.0, 1.0, 1.0, 0.25])
    scaled = np.array([single.out[:, fc.SCORE] for single in forecasts.single])
    np.testing.assert_allclose(told[-1][:, fc.RAW], weights @ scaled / 4.25, rtol=1e-12)
    assert np.isnan(told[59][:, fc.RAW]).all()
    assert not np.isnan(told[60][:, fc.RAW]).any()  # the first with a view is enough

    no_rates = Forecasts(DAY_BARS[:5], NS_PER_DAY, load_models([ModelSettings(model="trend")]))
    assumed = run(no_rates, closes, np.full_like(closes, 1e-4))
    scaled = np.array([single.out[:, fc.SCORE] for single in no_rates.single])
    assert np.isnan(scaled[4]).all()
    np.testing.assert_allclose(assumed[-1][:, fc.RAW], scaled[:4].mean(axis=0), rtol=1e-12)


def test_the_combined_score_keeps_its_size_while_models_join() -> None:
    """From one model in the first year to four in the second its root-mean-square stays about 1."""
    closes = np.vstack([walk(8, seed)[:500] for seed in (1, 2)])
    forecasts = Forecasts(DAY_BARS[:8], NS_PER_DAY, load_models([ModelSettings(model="trend")]))
    told = np.array(run(forecasts, closes, np.full_like(closes, 1e-4)))[:, :, fc.SCORE]
    for first in range(100, len(told) - 200, 200):
        assert 0.7 < np.sqrt(np.nanmean(told[first: first + 200] ** 2)) < 1.3


def test_funding_received_is_income_where_the_score_is_about_funding() -> None:
    """Carry alone; for every other model it counts as nothing."""
    rate = 1e-3
    costs = {}
    for name in ("carry", "tsmom_fast"):
        forecasts = Forecasts(DAY_BARS[:4], NS_PER_DAY, [load_model(ModelSettings(model=name))])
        funding = np.tile([rate, 0.0, 0.0, -rate], (200, 1))
        funding[:, 1:3] += 1e-6 * np.arange(200)[:, None] * [1, -1]
        funding[:, [0, 3]] += 1e-9 * np.arange(200)[:, None]
        told = run(forecasts, walk(4)[:200], funding)[-1]
        received = -np.sign(told[:, fc.SCORE]) * funding[-1]
        costs[name] = told[:, fc.COST_DAY], received
    cost, received = costs["carry"]
    assert received[[0, 3]] == pytest.approx([rate, rate], rel=1e-3)
    assert cost[0] == pytest.approx(cost[1] + 3.0 * (received[1] - received[0]), rel=1e-9)
    assert cost[0] < 0.0
    assert (costs["tsmom_fast"][0] > 0.0).all()


def test_a_restart_continues_the_set() -> None:
    """To the bit, channels and all."""
    closes = walk(5)[:430]
    funding = 1e-4 + 1e-5 * np.random.default_rng(4).standard_normal(closes.shape)

    def made() -> Forecasts:
        return Forecasts(DAY_BARS[:5], NS_PER_DAY, load_models([ModelSettings(model="trend")]))

    whole = run(made(), closes, funding)
    first, second = made(), made()
    run(first, closes[:400], funding[:400])
    second.load_state(first.state())
    for day in range(400, len(closes)):
        row = closes[day]
        ohlcv = np.stack([row, row * 1.01, row * 0.99, row, np.ones(5)], axis=1)
        bar = second.history.take_whole(day * NS_PER_DAY, ohlcv, np.ones(5, dtype=bool), funding[day])
        second._score(bar, np.full(5, 12.0), funding[day])
        np.testing.assert_array_equal(second.out, whole[day])


def test_only_the_name_of_the_set_is_expanded() -> None:
    """Others stay as they are, in their places."""
    mine, trend = ModelSettings(model="mine.py:Mine"), ModelSettings(model="trend", enabled=False)
    made = expanded([mine, trend])
    assert made[0] is mine
    assert not any(one.enabled for one in made[1:])
    assert {field for kind in TREND_MODELS.values() for field in kind.needs} <= set(FIELDS)
