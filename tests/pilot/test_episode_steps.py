"""The reward's terms and the account's features against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quantum_trader.domain.errors import ConfigError
from quantum_trader.pilot.array_form import array_form
from quantum_trader.pilot.episode import EnvironmentSettings, RewardSettings
from quantum_trader.pilot.episode_steps import (
    EpisodeAccount,
    Known,
    RewardWeights,
    equity_at,
    own_numbers,
    reward_parts,
    scaled_bar,
    scaled_own,
    scaled_terms,
    step_account,
)
from quantum_trader.pilot.position_steps import PendingOrder, Sizing, StepBar, Terms, VirtualPosition

TERMS = Terms(0.1, 0.001, 0.001, 5.0, 5.0, 125.0, 0.0, 2.0, np.array([[50_000.0, 0.004, 125.0, 0.0]]))
SIZING = Sizing(3.0, 0.5, 10.0, 1.0)
STEP = array_form(step_account, np)  # the same source; scalars of numpy divide by zero where nothing uses it


def account(cash: float = 10_000.0, **changes: float) -> EpisodeAccount:
    """An account without a position."""
    empty = EpisodeAccount(
        VirtualPosition(*(0.0,) * len(VirtualPosition._fields)), PendingOrder(*(0.0,) * len(PendingOrder._fields)),
        cash, cash, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
    )
    return empty._replace(**changes)


def test_profit_is_the_change_of_equity_in_permitted_risks() -> None:
    """75 USDT with 0.5 % of 10,000 permitted are 1.5 R."""
    parts = reward_parts(10_000.0, 10_075.0, 10_000.0, 0.5, 0.0, 0.0, 0.0, RewardWeights(2.0, 1.0, 1.0, 1.0))
    assert parts.profit == pytest.approx(3.0)
    assert parts[1:] == (0.0, 0.0, 0.0)


def test_drawdown_is_the_growth_of_its_square_in_permitted_risks() -> None:
    """From 1 R to 3 R below the peak: 9 - 1 = 8; back to the peak gives 9 back."""
    weights = RewardWeights(0.0, 0.1, 0.0, 0.0)
    deeper = reward_parts(9_950.0, 9_850.0, 10_000.0, 0.5, 0.0, 0.0, 0.0, weights)
    back = reward_parts(9_850.0, 10_200.0, 10_000.0, 0.5, 0.0, 0.0, 0.0, weights)
    assert deeper.drawdown == pytest.approx(-0.8)
    assert back.drawdown == pytest.approx(0.9)


def test_turnover_is_the_notional_traded_over_equity() -> None:
    """4,000 USDT of 10,000 at a weight of 0.02."""
    parts = reward_parts(10_000.0, 10_000.0, 10_000.0, 0.5, 4_000.0, 0.0, 0.0, RewardWeights(0.0, 0.0, 0.02, 0.0))
    assert parts.turnover == pytest.approx(-0.008)


@pytest.mark.parametrize(("held", "trend", "expected"), [
    (0.2, 1.0, 1.0), (-0.2, 1.0, -1.0), (-0.1, -1.0, 0.5), (0.7, 1.0, 1.0), (0.2, 0.0, 0.0), (0.0, 1.0, 0.0),
])
def test_regime_is_the_size_that_goes_with_the_trend(held: float, trend: float, expected: float) -> None:
    """A fifth of the equity is 1, and more counts no more."""
    parts = reward_parts(10_000.0, 10_000.0, 10_000.0, 0.5, 0.0, held, trend, RewardWeights(0.0, 0.0, 0.0, 0.3))
    assert parts.regime == pytest.approx(0.3 * expected)


def test_one_step_worked_out_by_hand() -> None:
    """Long a fifth at 40,000 with an ATR of 500: 0.033 by the risk, filled at 40,100 with 10 bps, marked at 41,000."""
    weights = RewardWeights(1.0, 0.01, 0.02, 0.001)
    bar = StepBar(40_100.0, 41_200.0, 40_000.0, 10.0, 0.02)
    made = STEP(account(), 0.2, Known(40_000.0, 500.0, 1.0), bar, 41_000.0, TERMS, SIZING, weights)
    qty, price = 0.033, 40_140.1  # 50 USDT over 1,500; 40,100 * 1.001 on the tick above
    gain = qty * (41_000.0 - price) - qty * price * 5e-4
    assert made.account.position.qty == qty
    assert made.account.position.entry == pytest.approx(price)
    assert made.account.position.stop == pytest.approx(price - 1_500.0)
    assert made.equity == pytest.approx(10_000.0 + gain)
    assert made.traded == pytest.approx(qty * price)
    share = qty * 41_000.0 / (10_000.0 + gain)
    assert made.reward == pytest.approx(gain / 50.0 - 0.02 * qty * price / 10_000.0 + 0.001 * share / 0.2)
    assert made.account.permitted == pytest.approx(50.0)
    assert made.account.held_bars == 1.0


def test_losses_in_a_row_count_in_permitted_risks() -> None:
    """A stop costs about 1 R of what was permitted at the opening; a win ends the row."""
    flat, known = RewardWeights(1.0, 0.0, 0.0, 0.0), Known(40_000.0, 500.0, 0.0)
    opened = STEP(
        account(), 0.2, known, StepBar(40_000.0, 40_000.0, 40_000.0, 0.0, 0.0), 40_000.0, TERMS, SIZING, flat
    )
    lost = STEP(
        opened.account, math.nan, known, StepBar(40_000.0, 40_000.0, 38_000.0, 0.0, 0.0), 38_100.0, TERMS, SIZING, flat
    )
    net = -0.033 * 1_500.0 - 0.033 * (40_000.0 + 38_500.0) * 5e-4
    assert lost.exit == 1.0
    assert lost.account.lost_r == pytest.approx(-net / 50.0)
    won = STEP(
        opened.account._replace(lost_r=2.5), 0.0, known, StepBar(41_000.0, 41_000.0, 41_000.0, 0.0, 0.0), 41_000.0,
        TERMS, SIZING, flat,
    )
    assert won.account.lost_r == 0.0
    assert won.account.held_bars == 0.0


def test_features_of_the_account() -> None:
    """Side, size, open R, log of bars held, stop distance, drawdown, exposure, losses in a row."""
    position = VirtualPosition(-0.05, 40_000.0, 200.0, 43_000.0, 10.0, 41_000.0, 41_000.0, 0.05, -0.2, 300.0, -1.0,
                               0.05)
    one = account(9_900.0, position=position, peak=10_000.0, held_bars=4.0, lost_r=2.9)
    equity = 9_900.0 + 0.05 * 500.0
    assert equity_at(one, 39_500.0) == equity
    size = 0.05 * 39_500.0 / equity
    assert own_numbers(one, 39_500.0) == pytest.approx(
        (-1.0, size, 25.0 / 50.0, math.log(5.0), 1_500.0 / 39_500.0, 1.0 - equity / 10_000.0, size, 2.0)
    )


def test_own_features_are_scaled_as_the_market_s() -> None:
    """(number - center) / scale within ±5, 0 where a feature is not seen."""
    assert scaled_own(3.0, 1.0, 4.0, True) == 0.5
    assert scaled_own(-100.0, 1.0, 4.0, True) == -5.0
    assert scaled_own(3.0, 1.0, 4.0, False) == 0.0


def test_a_share_of_the_costs_scales_fee_spread_and_slippage_alone() -> None:
    """Funding and the extra fee of a liquidation stay."""
    terms = scaled_terms(TERMS._replace(range_bps=50.0), 0.25)
    assert (terms.fee_bps, terms.range_bps, terms.liquidation_fee_bps) == (1.25, 12.5, 125.0)
    bar = scaled_bar(StepBar(1.0, 2.0, 0.5, 8.0, 0.01), 0.25)
    assert (bar.cost_bps, bar.funding_rate) == (2.0, 0.01)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: RewardSettings(turnover=-1.0), "reward.turnover = -1.0: must be a finite number, 0 to 1000"),
    (lambda: RewardSettings(profit=math.nan), "reward.profit = nan"),
    (lambda: EnvironmentSettings(episode_bars=0), "environment.episode_bars = 0: must be 1 to 1,000,000"),
    (lambda: EnvironmentSettings(ruin_share=1.0), "environment.ruin_share = 1.0: must be between 0 and 0.99"),
])
def test_settings_out_of_range_are_refused(make: object, message: str) -> None:
    """The message names the setting and its value."""
    with pytest.raises(ConfigError, match=message):
        make()  # type: ignore[operator]
