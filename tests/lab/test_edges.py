"""Expected and realised edges, by a second computation from the bars, and of trades by hand."""

from __future__ import annotations

import numpy as np
import pytest
from tests.app.sample import START_NS, trade

from quantum_trader.app.cli.options import model_flags, policy_flags
from quantum_trader.app.report.edges import edges_section, traded_edges
from quantum_trader.app.runs.model_bars import bars_of
from quantum_trader.app.settings import load_settings
from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.lab.edges import TOGETHER, Edges, edges_of
from quantum_trader.lab.sharpe import mean_interval
from quantum_trader.lab.sweep.market import SweepSettings
from quantum_trader.market.recording import Recording, open_recording
from quantum_trader.models import forecast as fc
from quantum_trader.models.history import CLOSE
from quantum_trader.models.kept import KeptForecasts
from quantum_trader.models.loading import load_models


@pytest.fixture(scope="module")
def made() -> tuple[Recording, KeptForecasts, Edges]:
    """Two models over five months of the bundled bars, warmed up by those before."""
    given = {"data.start": ("2018-03-01", "--from"), "data.end": ("2018-07-31", "--to")}
    settings = load_settings(None, policy_flags("observe") | model_flags(["tsmom_fast", "carry"]) | given).settings
    recording = open_recording(**settings.recording_arguments())
    forecasts = KeptForecasts(recording.symbols, recording.interval_ns, load_models(settings.models))
    fixed = SweepSettings(engine=settings.engine_settings(), venue=settings.paper_settings())
    return recording, forecasts, edges_of(recording, fixed, forecasts)


def test_edges_of_decisions_are_those_of_the_daily_bars(made: tuple[Recording, KeptForecasts, Edges]) -> None:
    """Each day's target times the next day's move, from whole bars, without the sweep's tape."""
    recording, forecasts, edges = made
    bars = bars_of(recording, NS_PER_DAY)
    closes = dict(zip((bars.opens + NS_PER_DAY).tolist(), bars.fields[CLOSE], strict=True))
    days = [moment for moment in closes if recording.start_ns < moment <= recording.end_ns]
    told = forecasts.together(len(days))
    gained, expected = [], []
    for row, day in enumerate(days[:-1]):
        for symbol in range(len(recording.symbols)):
            target = told[row, symbol, fc.TARGET]
            move = closes[days[row + 1]][symbol] / closes[day][symbol] - 1.0
            if target != 0.0 and np.isfinite(move):
                gained.append(target * move * 1e4)
                expected.append(told[row, symbol, fc.EXPECTED_DAY] * 1e4)
    found = edges.by_model()[0]
    assert (found.name, found.decisions) == (TOGETHER, len(gained))
    assert found.realised_bps == pytest.approx(np.mean(gained))
    assert found.expected_bps == pytest.approx(np.mean(expected))
    assert found.low_bps is not None
    assert found.high_bps is not None
    assert (found.low_bps + found.high_bps) / 2.0 == pytest.approx(found.realised_bps, abs=1e-6)


def test_edges_of_symbols_add_up_and_a_model_without_a_view_has_none(
    made: tuple[Recording, KeptForecasts, Edges],
) -> None:
    """Five symbols make all together; carry has no real funding here."""
    _, _, edges = made
    together, fast, carry = edges.by_model()
    symbols = edges.by_symbol()
    assert sum(one.decisions for one in symbols) == together.decisions
    total = np.sum([one.decisions * one.realised_bps for one in symbols])
    assert total / together.decisions == pytest.approx(together.realised_bps)
    assert (fast.name, carry.name, carry.decisions, carry.low_bps) == ("tsmom_fast", "carry", 0, None)
    section = edges_section([], edges)
    assert section["by_model"][2]["expected_bps"] is None
    assert section["trades_by_symbol"] == []


def test_edges_of_trades_are_weighted_by_notional_and_time() -> None:
    """10 at 100 for two days lose 20, 20 at 100 for a day win 10: -10 on 4,000 of notional-days is -25 bps."""
    day = NS_PER_DAY
    rows = [
        trade(0, -1.0, symbol="A", qty=10.0, entry_ns=START_NS, exit_ns=START_NS + 2 * day, pnl=-20.0),
        trade(1, 1.0, symbol="A", qty=20.0, entry_ns=START_NS, exit_ns=START_NS + day, pnl=10.0),
    ]
    assert traded_edges(rows, None, lambda one: one.symbol) == [
        {"name": "A", "trades": 2, "expected_net_bps": None, "realised_net_bps": pytest.approx(-25.0)},
    ]


def test_the_interval_of_a_mean_holds_it_where_days_remember() -> None:
    """95 of 100, within the noise of 500, at a first-order correlation of 0.3."""
    rng, held = np.random.default_rng(4), 0
    for _ in range(500):
        shocks = rng.standard_normal(500) * np.sqrt(1.0 - 0.3**2)
        values = np.empty(500)
        last = rng.standard_normal()
        for day, shock in enumerate(shocks):
            last = values[day] = 0.3 * last + shock
        bounds = mean_interval(values + 0.2)
        assert bounds is not None
        held += bounds[0] <= 0.2 <= bounds[1]
    assert 0.92 <= held / 500 <= 0.98
    assert mean_interval(np.zeros(50)) is None
    assert mean_interval(rng.standard_normal(5)) is None
