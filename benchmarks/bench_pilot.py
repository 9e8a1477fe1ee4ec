"""How long a live decision of the pilot takes: 64 features of each symbol and its network.

The reference is the bare network on observations that are there already. Every bar ends an observed one, so that each
call makes both.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.harness import Figure, bench, median_us_in_turns
from quantum_trader.domain.clock import NS_PER_MINUTE
from quantum_trader.pilot.actions import ACTION_COUNT
from quantum_trader.pilot.artefact import Artefact, Card, DataSnapshot, weights_hash
from quantum_trader.pilot.feature_columns import FEATURE_COUNT
from quantum_trader.pilot.feed_columns import FEED_SIZE
from quantum_trader.pilot.network import Network, Weights
from quantum_trader.pilot.own_columns import OWN_SIZE
from quantum_trader.pilot.predictor import Predictor
from quantum_trader.pilot.scaling import default_scalers
from quantum_trader.pilot.settings import ObservationSettings

WARM = 300  # bars before a symbol is ready
CALLS = 2_000
WIDTH = 128
BASE_NS = 30 * NS_PER_MINUTE
START_NS = 1_704_067_200_000_000_000


def _weights() -> Weights:
    """Weights of the size that training gives; which numbers they are changes no time."""
    chance = np.random.default_rng(1)
    sizes = ((FEATURE_COUNT, WIDTH), (WIDTH, WIDTH), (WIDTH, ACTION_COUNT))
    return Weights(*(
        ((chance.standard_normal(size) / np.sqrt(size[0])).astype(np.float32), np.zeros(size[1], dtype=np.float32))
        for size in sizes
    ))


def _predictor(symbols: tuple[str, ...]) -> Predictor:
    """A pilot of these symbols on half-hour bars."""
    weights, observation = _weights(), ObservationSettings()
    card = Card(
        name="bench", created_ns=0, observation=observation, scalers=default_scalers(observation),
        data=DataSnapshot(source="none", symbols=symbols, interval=observation.interval, first_ns=0, last_ns=0),
        training={}, metrics={}, weights_hash=weights_hash(weights),
    )
    return Predictor(Artefact(card=card, weights=weights), symbols, BASE_NS)


def _live(count: int, calls: int) -> tuple[float, float]:
    """Microseconds of a decision for *count* symbols, and of the bare network for as many."""
    symbols = ("BTCUSDT", *(f"SYM{number:03d}USDT" for number in range(1, count)))
    chance, pilot = np.random.default_rng(2), _predictor(symbols)
    closes = 100.0 * np.exp(np.cumsum(chance.normal(0.0, 0.004, (WARM + calls, count)), axis=0))
    bars = np.stack([closes, closes * 1.002, closes * 0.998, closes, np.full(closes.shape, 5.0)], axis=2)
    present, feed = np.ones(count, dtype=np.bool_), np.full((count, FEED_SIZE), np.nan)
    own = np.zeros((count, OWN_SIZE))
    for t in range(WARM):
        pilot.take(START_NS + t * BASE_NS, bars[t], present, feed, own)
    rows, network = pilot.observer.values.copy(), Network(_weights())
    pair = median_us_in_turns(
        calls, lambda i: pilot.take(START_NS + (WARM + i) * BASE_NS, bars[WARM + i], present, feed, own),
        lambda i: network.of_observer(rows),
    )
    return pair.value, pair.reference


@bench("pilot")
def live_decision() -> Iterator[Figure]:
    """One symbol, and 222 at once."""
    for count, calls, most in ((1, CALLS, 3.0), (222, CALLS // 4, 1.5)):
        value, reference = _live(count, calls)
        yield Figure(
            name=f"pilot: live decision, {count} symbol{'s' if count > 1 else ''}", value=value, unit="us",
            reference=reference, reference_name="the bare network, us", at_most=most,
        )
