"""A replayed pilot is the pilot of a run in SHADOW: the same trades, the same days."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.lab.pilot.replay_world import (
    BARS_A_DAY,
    OBSERVATION,
    SCALERS,
    clock_network,
    random_network,
    random_walk,
    recording_of,
    stubborn_network,
)

from quantum_trader.app.runs.pilot_evaluation import trend_shares
from quantum_trader.app.runs.replay import memory_run
from quantum_trader.app.settings import RunSettings, load_settings
from quantum_trader.lab.pilot.replay_bars import ReplayBars, replay_bars
from quantum_trader.lab.pilot.replaying import (
    Played,
    Replayer,
    ReplaySettings,
    action_counts,
    pilot_outcomes,
    trades_of,
)
from quantum_trader.market.recording import open_recording
from quantum_trader.pilot.actions import ACTION_COUNT, PilotAction
from quantum_trader.pilot.artefact import Artefact, Card, DataSnapshot, save_artefact, weights_hash
from quantum_trader.pilot.shadow_book import PositionSettings

REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "binance_um"


def settings_of_run(tmp: Path, data: dict[str, Any]) -> RunSettings:
    """A run without a policy with a random pilot in SHADOW."""
    weights = random_network(1)
    card = Card(
        name="random", created_ns=1, observation=OBSERVATION, scalers=SCALERS, training={}, metrics={},
        data=DataSnapshot(source="none", symbols=("BTCUSDT",), interval="30m", first_ns=0, last_ns=1),
        weights_hash=weights_hash(weights),
    )
    save_artefact(tmp / "pilot", Artefact(card=card, weights=weights))
    given = {"pilot.model": str(tmp / "pilot"), "policy.enabled": False, **data}
    return load_settings(None, {key: (value, key) for key, value in given.items()}).settings


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], ReplayBars, Played]:
    """The records of a run over five weeks with bars of before it, and the same pilot replayed."""
    settings = settings_of_run(
        tmp_path_factory.mktemp("shadow"), {"data.start": "2018-01-10", "data.end": "2018-02-14"}
    )
    _, sink = memory_run(settings)
    replay = replay_bars(open_recording(**settings.recording_arguments()), OBSERVATION)
    rules = ReplaySettings(positions=PositionSettings(risk_pct=1.0))  # the fixed risk of a run without a policy
    return [json.loads(line) for line in sink.lines], replay, Replayer(replay, rules, SCALERS).pilot(random_network(1))


def of_topic(records: list[dict[str, Any]], topic: str) -> list[dict[str, Any]]:
    """What the records of *topic* hold."""
    return [record["data"] for record in records if record["topic"] == topic]


def test_replay_has_the_trades_of_a_shadow_run(both: Any) -> None:
    """Each position of the run's shadow book ended at the same time, in the same way, with the same R."""
    records, replay, played = both
    closed = of_topic(records, "pilot.closed")
    trades = trades_of(replay, played)

    assert len(closed) == len(trades) > 300
    for there, here in zip(closed, trades, strict=True):
        assert (there["symbol"], there["entry_ns"], there["exit_ns"], there["exit"], there["bars_held"]) == (
            here.symbol, here.entry_ns, here.exit_ns, here.exit, here.bars_held
        )
        assert there["r"] == pytest.approx(here.r, abs=1e-12)
        assert there["share"] == abs(here.share)


def test_replay_has_the_days_of_a_shadow_run(both: Any) -> None:
    """The net result of each recorded day is the same share of the start."""
    records, _, played = both
    days = np.array([day["pilot"] for day in of_topic(records, "pilot.day")])
    made = np.diff(np.concatenate(([played.start], played.daily))) / played.start

    assert len(days) >= 34
    np.testing.assert_allclose(made[: len(days)], days, rtol=0.0, atol=1e-12)


def test_replay_has_the_decisions_of_a_shadow_run(both: Any) -> None:
    """Every recorded decision wanted and held the same shares."""
    records, replay, played = both
    for told in of_topic(records, "pilot.decided"):
        g = int(np.searchsorted(replay.closes_ns, told["closed_ns"]))
        places = [replay.symbols.index(symbol) for symbol in told["symbols"]]
        assert played.wanted[g, places].tolist() == told["wanted"]
        assert played.before[g, places].tolist() == told["held"]


def test_the_trend_set_has_the_days_of_a_shadow_runs_signals(both: Any) -> None:
    """The built-in models are compared as the signals' shadow book of a running system is."""
    records, replay, _ = both
    rules = ReplaySettings(positions=PositionSettings(risk_pct=1.0))
    shares = trend_shares(replay, rules.min_confidence)
    assert shares is not None
    played = Replayer(replay, rules, SCALERS).table(shares)
    days = np.array([day["signals"] for day in of_topic(records, "pilot.day")])
    made = np.diff(np.concatenate(([played.start], played.daily))) / played.start

    assert days.any()
    np.testing.assert_allclose(made[: len(days)], days, rtol=0.0, atol=1e-12)


@pytest.mark.long
@pytest.mark.skipif(not REAL.exists(), reason="no real recordings here")
def test_replay_equals_a_shadow_run_on_real_bars_with_funding_and_a_hole(tmp_path: Path) -> None:
    """Five-minute bars, funding as it was paid, and three symbols whose data end: the same trades with the same R."""
    settings = settings_of_run(tmp_path, {
        "data.path": str(REAL), "data.interval": "5m", "data.start": "2024-05-08", "data.end": "2024-05-20",
    })
    _, sink = memory_run(settings)
    closed = of_topic([json.loads(line) for line in sink.lines], "pilot.closed")
    replay = replay_bars(open_recording(**settings.recording_arguments()), OBSERVATION)
    rules = ReplaySettings(positions=PositionSettings(risk_pct=1.0))
    trades = trades_of(replay, Replayer(replay, rules, SCALERS).pilot(random_network(1)))

    assert "HOLE" in {one.exit for one in trades}
    assert [(one["symbol"], one["exit_ns"], one["exit"]) for one in closed] == [
        (one.symbol, one.exit_ns, one.exit) for one in trades
    ]
    np.testing.assert_allclose([one["r"] for one in closed], [one.r for one in trades], rtol=0.0, atol=1e-12)


def test_costs_are_what_separates_net_from_the_market() -> None:
    """Fees are the rate times the notional; each symbol's result is part of the equity."""
    replay = random_walk(30)
    played = Replayer(replay, ReplaySettings(), SCALERS).pilot(clock_network())

    assert played.traded > 0.0
    assert played.fees == pytest.approx(played.traded * replay.instruments[0].taker_fee_bps * 1e-4)
    assert played.slippage > 0.0
    assert played.values[-1].sum() == pytest.approx(played.equity[-1] - played.start)


def test_one_long_position_is_worth_what_a_calculator_says() -> None:
    """Bought at the next open with cost and fee, valued at the last close, funding paid in between."""
    returns = np.zeros((8 * BARS_A_DAY, 1))
    returns[::2], returns[1::2] = 0.001, -0.001 / 1.001
    returns[-10:] = 0.001
    replay = replay_bars(recording_of(returns, ("BTCUSDT",)), OBSERVATION)
    shares = np.full(replay.ready.shape, np.nan)
    first = int(np.flatnonzero(replay.ready[:, 0])[0])
    shares[first] = 0.1
    played = Replayer(replay, ReplaySettings(), SCALERS).table(shares)

    bars, step = replay.bars, replay.instruments[0].step_size
    qty = np.floor(1_000.0 / bars.ohlcv[first, 0, 3] / step + 1e-9) * step
    price = played.traded / qty
    opens, rates = bars.ohlcv[first + 2 :, 0, 0], bars.funding[first + 2 :, 0]
    funding = -float((qty * opens * rates).sum())
    assert played.orders == 1
    assert 0.0 < price / bars.ohlcv[first + 1, 0, 0] - 1.0 < 0.002
    assert played.funding == pytest.approx(funding)
    assert played.funding < 0.0
    assert played.equity[-1] - played.start == pytest.approx(
        qty * (bars.ohlcv[-1, 0, 3] - price) - played.fees + funding
    )


def test_a_pilot_that_wants_nothing_has_its_money_at_the_end() -> None:
    """FLAT at all times trades nothing."""
    replay = random_walk(30)
    played = Replayer(replay, ReplaySettings(), SCALERS).pilot(stubborn_network(PilotAction.FLAT))

    assert (played.trades, played.traded, played.equity[-1], played.holding_hours) == (0, 0.0, 10_000.0, None)
    assert action_counts(played).tolist() == [int(replay.ready.sum())] + [0] * (ACTION_COUNT - 1)


def test_outcomes_are_the_sums_of_a_pilots_confidence() -> None:
    """A card takes as many sums as a confidence starts from, and they are of decisions that were made."""
    replay = random_walk(30)
    played = Replayer(replay, ReplaySettings(), SCALERS).pilot(clock_network())
    outcomes = pilot_outcomes(replay, played, 12 * 3_600 * 10**9)

    assert any(value != 0.0 for value in outcomes)
    assert all(np.isfinite(outcomes))
