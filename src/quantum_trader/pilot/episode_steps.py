"""One step of an episode of the training market: a decision, the next bar, the reward, and what the account knows.

Written without branches on scalars, as ``position_steps``: machine code, numpy and JAX run the same source. Money in
USDT. A decision is made at the close of a bar that is known; it fills at the open of the next one.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from numpy import floor, log1p, maximum, minimum, sign

from quantum_trader.domain.scalar import scalar
from quantum_trader.pilot.actions import LARGE
from quantum_trader.pilot.position_steps import (
    EXIT_LIQUIDATION,
    EXIT_NONE,
    StepBar,
    Terms,
    open_profit,
    open_risks,
    order_for,
    safe,
    stop_share,
    through_bar,
    where,
)

_LIMIT: Final = 5.0  # a scaled feature lies within ±5, as ``scaling.LIMIT``


class EpisodeAccount(NamedTuple):
    """An account of one symbol within an episode."""

    position: Any
    order: Any  # waits for the next open: only of a position that could have no stop
    cash: Any  # wallet, USDT
    peak: Any  # largest equity so far
    lost_r: Any  # R lost in a row
    permitted: Any  # USDT that the position that is open was permitted to lose
    held_bars: Any  # bars since the entry
    profit: Any  # sums of the reward's terms so far, each with its weight
    drawdown: Any
    turnover: Any
    regime: Any


class Known(NamedTuple):
    """What a decision knows of its bar."""

    close: Any
    atr: Any  # price units
    trend: Any  # 1 in BULL, -1 in BEAR, else 0


class RewardWeights(NamedTuple):
    """What each term of the reward weighs."""

    profit: Any
    drawdown: Any
    turnover: Any
    regime: Any


class EpisodeStep(NamedTuple):
    """What one decision led to."""

    account: Any
    reward: Any
    equity: Any  # at the close of the next bar
    liquidated: Any  # whether the venue closed the position
    exit: Any  # EXIT_* of the position that ended in the next bar
    traded: Any  # USDT


class RewardParts(NamedTuple):
    """The terms of a reward, each with its weight and its sign."""

    profit: Any
    drawdown: Any
    turnover: Any
    regime: Any


@scalar
def equity_at(account: Any, price: Any) -> Any:
    """Wallet and unrealised profit at *price*."""
    return account.cash + open_profit(account.position, price)


@scalar
def scaled_terms(terms: Any, cost_share: Any) -> Any:
    """*terms* with a share of fee and slippage in force; what a liquidation costs on top stays."""
    return Terms(
        terms.tick, terms.step, terms.min_qty, terms.min_notional, terms.fee_bps * cost_share,
        terms.liquidation_fee_bps, terms.range_bps * cost_share, terms.range_root, terms.tiers,
    )


@scalar
def scaled_bar(bar: Any, cost_share: Any) -> Any:
    """*bar* with a share of the taker's cost in force."""
    return StepBar(bar.open, bar.high, bar.low, bar.cost_bps * cost_share, bar.funding_rate)


@scalar
def reward_parts(
    before: Any, after: Any, peak: Any, risk_pct: Any, traded: Any, held_share: Any, trend: Any, weights: Any
) -> Any:
    """The terms of the reward of a step that took the equity from *before* to *after*; *peak* is that of before.

    Drawdowns are counted in permitted risks of the peak, and the growth of their square is charged, so that an episode
    is charged its last drawdown once: staying out of the market after a loss costs nothing. *held_share*: the signed
    notional held at the end of the bar over the equity; *trend*: what was known of the regime before the bar.
    """
    unit = safe(before * risk_pct / 100.0)
    gain = weights.profit * (after - before) / unit
    new_peak = maximum(peak, after)
    drawdown_before = (peak - before) / safe(peak * risk_pct / 100.0)
    drawdown_after = (new_peak - after) / safe(new_peak * risk_pct / 100.0)
    deeper = drawdown_after * drawdown_after - drawdown_before * drawdown_before
    aligned = trend * maximum(minimum(held_share / LARGE, 1.0), -1.0)
    return RewardParts(
        gain, -weights.drawdown * deeper, -weights.turnover * traded / safe(before), weights.regime * aligned
    )


@scalar
def step_account(
    account: Any, share: Any, known: Any, bar: Any, close: Any, terms: Any, sizing: Any, weights: Any
) -> Any:
    """Decide for *share* at what is *known*, and take the account through the next *bar*, which closes at *close*.

    *share*: signed share of the equity; 0.0 closes, NaN keeps.
    """
    before = equity_at(account, known.close)
    order = order_for(account.position, account.order, share, known.close, known.atr, before, terms, sizing)
    opens = (account.position.qty == 0.0) & (order.qty != 0.0)
    permitted = where(opens, before * sizing.risk_pct / 100.0, account.permitted)
    outcome = through_bar(account.position, order, bar, terms)
    position = outcome.position
    cash = account.cash + outcome.cash
    after = cash + open_profit(position, close)
    lost = where(
        outcome.closed_net >= 0.0, 0.0, account.lost_r + maximum(0.0, -outcome.closed_net / safe(permitted))
    )
    held_bars = where(account.position.qty == 0.0, 1.0, account.held_bars + 1.0)
    parts = reward_parts(
        before, after, account.peak, sizing.risk_pct, outcome.traded, position.qty * close / safe(after), known.trend,
        weights,
    )
    following = EpisodeAccount(
        position, outcome.order, cash, maximum(account.peak, after),
        where(outcome.exit != EXIT_NONE, lost, account.lost_r), permitted,
        where(position.qty != 0.0, held_bars, 0.0), account.profit + parts.profit, account.drawdown + parts.drawdown,
        account.turnover + parts.turnover, account.regime + parts.regime,
    )
    reward = parts.profit + parts.drawdown + parts.turnover + parts.regime
    return EpisodeStep(following, reward, after, outcome.exit == EXIT_LIQUIDATION, outcome.exit, outcome.traded)


@scalar
def own_numbers(account: Any, close: Any) -> Any:
    """The eight features of the account before scaling: side, size, open R, log bars held, stop distance, drawdown,

    exposure and R lost in a row. The last three of an observation, the settings in force, are constant in training.
    """
    position = account.position
    equity = equity_at(account, close)
    size = abs(position.qty) * close / safe(equity)
    return (
        sign(position.qty), size, open_risks(position, close), log1p(account.held_bars), stop_share(position, close),
        maximum(0.0, 1.0 - equity / safe(account.peak)), size, floor(account.lost_r),
    )


@scalar
def scaled_own(number: Any, center: Any, scale: Any, seen: Any) -> Any:
    """A feature of the account on the scale of the observation; 0.0 where it is not *seen*."""
    return where(seen, maximum(-_LIMIT, minimum(_LIMIT, (number - center) / scale)), 0.0)
