"""The three exams of ``quantum-trader pilot learnability``: can PPO, as it trains the pilot, learn at all?

1. A mean-reverting market with costs, in which looking one bar ahead is not enough. The best policy is known exactly.
2. A cheat ladder: a random walk in which one feature tells of a coming return, with a correlation from 0 to 1.
3. A random walk: there is nothing to learn, and nothing may be found.

Positions are scored, not actions: HOLD without a position is the same as FLAT. A policy is scored by its most probable
actions.
"""

from __future__ import annotations

import math
from typing import Any, Final

import jax
import jax.numpy as jnp
import msgspec
import numpy as np

from quantum_trader.pilot.training.device import on_device
from quantum_trader.pilot.training.learnability.bars import (
    MarketBars,
    leaked_bars,
    mean_reverting_bars,
    random_walk_bars,
)
from quantum_trader.pilot.training.learnability.exact import (
    ExactMarket,
    Places,
    best_policy,
    leaked_market,
    mean_profit,
    mean_reverting_market,
    one_bar_policy,
)
from quantum_trader.pilot.training.learnability.findings import (
    IntervalScore,
    LadderFindings,
    RevertingFindings,
    RungFindings,
    SeedScore,
    WalkFindings,
)
from quantum_trader.pilot.training.learnability.plan import (
    DEVIATIONS,
    NO_GAIN_UNIT,
    PHI,
    REVERTING_COST,
    SIGMA,
    WALK_COST,
    LearnabilityPlan,
)
from quantum_trader.pilot.training.learnability.position_environment import (
    POSITION_ENVIRONMENT,
    HeldPosition,
    next_place,
    observation,
)
from quantum_trader.pilot.training.learnability.positions import TARGET_SHARES
from quantum_trader.pilot.training.network import ActorCritic, actor_critic_hash, best_actions
from quantum_trader.pilot.training.ppo import Trainer, of_seed
from quantum_trader.pilot.training.settings import PpoSettings

EXAM_SETTINGS: Final = PpoSettings(
    environments=256, rollout_steps=32, minibatch_size=1024, epochs=4, learning_rate=1e-3, last_learning_rate_share=0.0,
)
_TRAINING_SHAPE: Final = (512, 2048)  # paths and bars
_HELD_OUT_SHAPE: Final = (1024, 1024)
_TRAINING_BARS, _HELD_OUT_BARS = 1, 2  # seeds of the bars
_BPS: Final = 10_000.0


class Examiner:
    """Trains on the markets of the exams and scores what was learned; the network's layers are the plan's."""

    def __init__(self, plan: LearnabilityPlan, settings: PpoSettings = EXAM_SETTINGS) -> None:
        self.plan = plan
        self._trainer = Trainer(POSITION_ENVIRONMENT, msgspec.structs.replace(settings, hidden=plan.hidden))

    @property
    def device(self) -> str:
        """What is computed on, such as "cpu"."""
        return str(jax.devices()[0].device_kind)

    def mean_reverting(self) -> RevertingFindings:
        """The first exam."""
        market = mean_reverting_market(PHI, SIGMA, REVERTING_COST)
        bars = mean_reverting_bars(PHI, SIGMA, REVERTING_COST, _TRAINING_SHAPE, np.random.default_rng(_TRAINING_BARS))
        best = mean_profit(market, best_policy(market))
        return RevertingFindings(
            best_profit_bps=best * _BPS, one_bar_pct=100.0 * mean_profit(market, one_bar_policy(market)) / best,
            steps=self.plan.reverting_steps, scores=self._scores(market, best, bars, self.plan.reverting_steps),
        )

    def cheat_ladder(self) -> LadderFindings:
        """The second exam."""
        rungs = tuple(self._rung(correlation) for correlation in self.plan.correlations if correlation > 0.0)
        training, held_out = (
            leaked_bars(0.0, SIGMA, WALK_COST, shape, np.random.default_rng(seed))
            for shape, seed in ((_TRAINING_SHAPE, _TRAINING_BARS), (_HELD_OUT_SHAPE, _HELD_OUT_BARS))
        )
        return LadderFindings(steps=self.plan.ladder_steps, nothing=self._intervals(training, held_out), rungs=rungs)

    def random_walk(self) -> WalkFindings:
        """The third exam."""
        training, held_out = (
            random_walk_bars(SIGMA, WALK_COST, shape, np.random.default_rng(seed))
            for shape, seed in ((_TRAINING_SHAPE, _TRAINING_BARS), (_HELD_OUT_SHAPE, _HELD_OUT_BARS))
        )
        return WalkFindings(steps=self.plan.ladder_steps, scores=self._intervals(training, held_out))

    def _rung(self, correlation: float) -> RungFindings:
        market = leaked_market(correlation, SIGMA, WALK_COST)
        bars = leaked_bars(correlation, SIGMA, WALK_COST, _TRAINING_SHAPE, np.random.default_rng(_TRAINING_BARS))
        best = mean_profit(market, best_policy(market))
        return RungFindings(
            correlation=correlation, best_profit_bps=best * _BPS,
            scores=self._scores(market, best, bars, self.plan.ladder_steps),
        )

    def _networks(self, bars: MarketBars, steps: int) -> list[ActorCritic]:
        """One trained network for each seed."""
        training, _ = self._trainer.train(range(self.plan.seeds), on_device(bars), steps)
        return [of_seed(training.network, seed) for seed in range(self.plan.seeds)]

    def _scores(self, market: ExactMarket, best: float, bars: MarketBars, steps: int) -> tuple[SeedScore, ...]:
        """Each seed's profit over that of the best policy, both exact."""
        return tuple(
            SeedScore(
                seed=seed, percent=100.0 * mean_profit(market, learned_policy(network, market)) / best,
                weights_hash=actor_critic_hash(network),
            )
            for seed, network in enumerate(self._networks(bars, steps))
        )

    def _intervals(self, training: MarketBars, held_out: MarketBars) -> tuple[IntervalScore, ...]:
        """Each seed's profit on bars it never saw; 100 % is what the best policy makes of a small correlation."""
        market = leaked_market(NO_GAIN_UNIT, SIGMA, WALK_COST)
        unit = mean_profit(market, best_policy(market)) / 100.0
        found = []
        for seed, network in enumerate(self._networks(training, self.plan.ladder_steps)):
            mean, error = profit_on_bars(network, held_out)
            found.append(IntervalScore(
                seed=seed, lower=(mean - DEVIATIONS * error) / unit, percent=mean / unit,
                upper=(mean + DEVIATIONS * error) / unit, weights_hash=actor_critic_hash(network),
            ))
        return tuple(found)


def learned_policy(network: ActorCritic, market: ExactMarket) -> Places:
    """The next position at each level and position held, as ``exact`` scores it."""
    levels, places = np.indices((len(market.seen), len(TARGET_SHARES)))
    actions = best_actions(network, observation(jnp.asarray(market.seen, jnp.float32)[levels], jnp.asarray(places)))
    return np.asarray(next_place(jnp.asarray(places), actions)).astype(np.intp)


def profit_on_bars(network: ActorCritic, bars: MarketBars) -> tuple[float, float]:
    """Mean profit a bar over all paths of *bars*, and its standard error; each path starts without a position."""
    profits = np.asarray(_path_profits(network, on_device(bars)), dtype=np.float64)
    return float(profits.mean()), float(profits.std(ddof=1)) / math.sqrt(len(profits))


@jax.jit
def _path_profits(network: ActorCritic, table: Any) -> jax.Array:
    """The mean profit a bar of each path."""
    paths, bars = table.feature.shape
    none = jnp.zeros(paths, jnp.int32)
    start = HeldPosition(jnp.arange(paths), none, none, none + bars)
    observe = jax.vmap(POSITION_ENVIRONMENT.observe, (0, None))
    step = jax.vmap(POSITION_ENVIRONMENT.step, (0, 0, None, None))

    def act(now: HeldPosition, _: None) -> tuple[HeldPosition, jax.Array]:
        outcome = step(now, best_actions(network, observe(now, table)), jax.random.key(0), table)
        return outcome.state, outcome.reward

    return jax.lax.scan(act, start, length=bars - 1)[1].mean(axis=0)
