"""The Gymnasium view keeps Gymnasium's contract and plays the episodes of the paper venue."""

from __future__ import annotations

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium", reason="the view needs Gymnasium: pip install 'quantum-trader[train]'")

from gymnasium.utils.env_checker import check_env
from tests.pilot.episode_tables import sequences_of, table_of
from tests.pilot.sequences import INTERVAL_NS
from tests.pilot.venue_account import VenueAccount

from quantum_trader.domain.errors import InputError
from quantum_trader.pilot.episode import EnvironmentSettings
from quantum_trader.pilot.gym_view import MarketGym
from quantum_trader.pilot.shadow_book import ACTION_SHARES

SETTINGS = EnvironmentSettings(episode_bars=100, ruin_share=0.5)
SEEDS = range(8)


def _view(settings: EnvironmentSettings = SETTINGS) -> MarketGym:
    return MarketGym(table_of(sequences_of(SEEDS, settings), settings), settings)


def test_the_view_passes_gymnasium_s_own_check() -> None:
    """Spaces, types, seeds and the order of calls."""
    check_env(_view(), skip_render_check=True)


def test_equity_is_that_of_the_paper_venue() -> None:
    """The equity of every step, within 1e-9."""
    view = _view()
    for window, one in enumerate(sequences_of(SEEDS, SETTINGS)):
        view.reset(options={"window": window})
        venue = VenueAccount(one.instrument, SETTINGS.positions, INTERVAL_NS, SETTINGS.start_equity, one.funding)
        venue.take(int(one.ts[0]), one.ohlc[0], one.cost_bps[0])
        for bar, action in enumerate(one.actions[:100].tolist()):
            venue.want(ACTION_SHARES[action], float(one.atr[bar]))
            venue.take(int(one.ts[bar + 1]), one.ohlc[bar + 1], one.cost_bps[bar + 1])
            _, _, terminated, truncated, info = view.step(action)
            assert info["equity"] == pytest.approx(venue.equity, abs=1e-9 * SETTINGS.start_equity)
            if terminated:
                break
            assert truncated == (bar == 99)


def test_a_seed_draws_the_same_windows() -> None:
    """Two views with one seed begin at the same windows, and with another seed elsewhere."""
    def drawn(seed: int) -> list[float]:
        view = _view()
        view.reset(seed=seed)
        return [float(view.reset()[0][0]) + view._symbol for _ in range(6)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_an_unknown_window_is_refused() -> None:
    """The error names how many there are."""
    with pytest.raises(InputError, match=r"window = 8: must be 0 to 7"):
        _view().reset(options={"window": 8})


def test_terms_of_the_reward_are_told() -> None:
    """Their sum is the sum of the rewards."""
    view = _view()
    view.reset(options={"window": 1})
    total = 0.0
    for action in (1, 5, 2, 0, 3, 4, 5):
        _, reward, _, _, info = view.step(np.int64(action))
        total += reward
    assert sum(info["reward"].values()) == pytest.approx(total)
    assert list(info["reward"]) == ["profit", "drawdown", "turnover", "regime"]
