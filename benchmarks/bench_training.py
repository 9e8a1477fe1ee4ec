"""How fast the pilot is trained on one core: steps of the environment and of the whole of PPO, beside the arithmetic.

Times are the processor time of this process, bound to one core, so that a busy machine disturbs them less.

The reference of training is the limit that the machine's arithmetic sets: the best speed of products of B x 128 x 128
in the same process, for the operations that the network needs. For a network i-128-128-(6 + 1), with i = 64 features:

    one look at a step (forward)      2 * (i * 128 + 128 * 128 + 128 * 7)                =  50,944 operations
    one pass over a step (gradients)  three times that but for the features' gradients   = 136,448 operations
    a step of PPO with four passes    50,944 + 4 * 136,448                               = 596,736 operations

Measured on the position environment of the learnability exams and on the training market, whose step is an order, its
fill, its stop and a bar's range.

Needs JAX (the extra `train`); without it a line says that these figures are skipped.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.harness import Figure, bench, fastest_in_turns
from quantum_trader.pilot.training.settings import PpoSettings

TURNS = 7
FEATURES, UNITS, OUTPUTS, EPOCHS = 64, 128, 7, 4
FORWARD = 2 * (FEATURES * UNITS + UNITS * UNITS + UNITS * OUTPUTS)
OPERATIONS = FORWARD + EPOCHS * (3 * FORWARD - 2 * FEATURES * UNITS)
BATCHES, PRODUCTS = (512, 1024, 2048, 4096, 8192), 64
SETTINGS = PpoSettings(environments=1024, rollout_steps=64, minibatch_size=4096, epochs=EPOCHS)
AT_LEAST, MARKET_AT_LEAST = 0.45, 0.4


def computing_s(call: Callable[..., object], *arguments: object) -> float:
    """Seconds of processor time until the arrays that ``call(*arguments)`` returns are computed."""
    import jax

    started = time.process_time()
    jax.block_until_ready(call(*arguments))
    return time.process_time() - started


def wide_environment() -> tuple[Any, Any]:
    """The position environment with 64 observed numbers, and its bars."""
    import jax.numpy as jnp

    from quantum_trader.pilot.training.device import on_device
    from quantum_trader.pilot.training.learnability.bars import random_walk_bars
    from quantum_trader.pilot.training.learnability.position_environment import POSITION_ENVIRONMENT

    rng = np.random.default_rng(1)
    bars = on_device(random_walk_bars(0.01, 0.001, (32, 2048), rng))
    others = jnp.asarray(rng.normal(size=(32, 2048, FEATURES - 2)), jnp.float32)

    def observe(state: Any, table: Any) -> Any:
        return jnp.concatenate([POSITION_ENVIRONMENT.observe(state, table[0]), table[1][state.path, state.bar]])

    environment = POSITION_ENVIRONMENT._replace(
        reset=lambda key, table: POSITION_ENVIRONMENT.reset(key, table[0]),
        step=lambda state, action, key, table: POSITION_ENVIRONMENT.step(state, action, key, table[0]),
        observe=observe, observation_size=FEATURES,
    )
    return environment, (bars, others)


def market() -> tuple[Any, Any]:
    """The training market and a table of five symbols on random bars."""
    from quantum_trader.domain.clock import NS_PER_MINUTE
    from quantum_trader.market.instruments import known_instruments
    from quantum_trader.pilot.episode import EnvironmentSettings, EpisodeTable
    from quantum_trader.pilot.feature_columns import FIRST_OWN
    from quantum_trader.pilot.own_columns import OWN_SIZE
    from quantum_trader.pilot.shadow_book import symbol_terms
    from quantum_trader.pilot.training.market_environment import market_environment, table_on_device

    rng, settings, bars = np.random.default_rng(1), EnvironmentSettings(), 4096
    instruments = [known_instruments()[name] for name in ("BTCUSDT", "ETHUSDT", "XRPUSDT", "LTCUSDT", "SOLUSDT")]
    closes = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.005, (len(instruments), bars)), axis=1))
    nothing = np.zeros_like(closes)
    last = bars - settings.episode_bars - 1
    table = EpisodeTable(
        open=closes, high=closes * 1.003, low=closes * 0.997, close=closes, atr=closes * 0.006, cost_bps=nothing + 2.0,
        funding_rate=nothing, trend=nothing,
        features=rng.normal(size=(*closes.shape, FIRST_OWN)).astype(np.float32),
        starts=np.array([(place, bar) for place in range(len(instruments)) for bar in range(last)], dtype=np.int32),
        terms=symbol_terms(instruments, settings.positions, 30 * NS_PER_MINUTE, 10.0 * settings.start_equity),
        own_centers=np.zeros(OWN_SIZE), own_scales=np.ones(OWN_SIZE), own_seen=np.ones(OWN_SIZE, dtype=np.bool_),
        cost_share=np.array(1.0),
    )
    return market_environment(settings), table_on_device(table)


def products_s() -> Callable[[], float]:
    """A function that returns the fewest seconds of 10⁹ operations in products of B x 128 x 128, over several B."""
    import jax
    import jax.numpy as jnp

    def run(rows: Any, weights: Any) -> Any:
        return jax.lax.fori_loop(0, PRODUCTS, lambda _, product: product @ weights, rows)

    multiply = jax.jit(run)
    cases = [(jnp.ones((size, UNITS)), jnp.eye(UNITS), 2e-9 * PRODUCTS * size * UNITS * UNITS) for size in BATCHES]
    for rows, weights, _ in cases:
        computing_s(multiply, rows, weights)
    return lambda: min(computing_s(multiply, rows, weights) / giga for rows, weights, giga in cases)


def environment_steps(environment: Any, table: Any) -> Callable[[], float]:
    """A function that makes as many steps as an update has, with random actions, and returns its seconds."""
    import jax
    import jax.numpy as jnp

    from quantum_trader.pilot.training.environment import observe_many, step_many
    from quantum_trader.pilot.training.rollout import new_worlds

    shape = (SETTINGS.rollout_steps, SETTINGS.environments)

    def run(states: Any, key: Any, data: Any) -> Any:
        action_key, world_key = jax.random.split(key)
        drawn = (jax.random.uniform(action_key, shape) * environment.action_count).astype(jnp.int32)

        def act(now: Any, chance: Any) -> tuple[Any, Any]:
            actions, keys = chance
            step = step_many(environment, now, actions, keys, data)
            return step.state, (step.reward.mean(), observe_many(environment, step.state, data).mean())

        return jax.lax.scan(act, states, (drawn, jax.random.split(world_key, (*shape, 2))))

    key = jax.random.key(0)
    states = new_worlds(environment, SETTINGS, key, table).states
    steps = jax.jit(run)
    computing_s(steps, states, key, table)
    return lambda: computing_s(steps, states, key, table)


def updates(environment: Any, table: Any) -> Callable[[], float]:
    """A function that makes one update of one seed, and returns its seconds."""

    from quantum_trader.pilot.training.ppo import Trainer

    trainer = Trainer(environment, SETTINGS)
    training = trainer.start([1], table)
    computing_s(trainer.update, training, table, 1)
    return lambda: computing_s(trainer.update, training, table, 1)


@bench("training")
def training_speed() -> Iterator[Figure]:
    """On one core: the process is bound to it before JAX starts its threads."""
    if find_spec("jax") is None:
        print("training: skipped, JAX is not installed: pip install 'quantum-trader[train]'", file=sys.stderr)
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        products = products_s()
        for name, (environment, table), least in (
            ("training", wide_environment(), AT_LEAST), ("training.market", market(), MARKET_AT_LEAST),
        ):
            yield from _figures(name, environment, table, products, least)
    finally:
        os.sched_setaffinity(0, cores)


def _figures(
    name: str, environment: Any, table: Any, products: Callable[[], float], least: float
) -> Iterator[Figure]:
    """Steps of the environment with observations, and of the whole of PPO on it."""
    steps = SETTINGS.steps_per_update
    took = fastest_in_turns(TURNS, environment_steps(environment, table), products)
    yield Figure(
        name=f"{name}.environment", value=steps / took.value / 1e3, unit="k steps/s",
        reference=1e6 / took.reference / FORWARD,
        reference_name=f"the network's forward pass at {1 / took.reference:.0f} GFLOP/s, k steps/s",
    )
    took = fastest_in_turns(TURNS, updates(environment, table), products)
    yield Figure(
        name=f"{name}.ppo", value=steps / took.value / 1e3, unit="k steps/s",
        reference=1e6 / took.reference / OPERATIONS, at_least=least,
        reference_name=f"{OPERATIONS:,} operations a step at {1 / took.reference:.0f} GFLOP/s, k steps/s",
    )
