"""Which features a pilot's decisions rest on: what shuffling a group costs, and gradient times input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from quantum_trader.lab.pilot.replaying import Played, Replayer
from quantum_trader.market.arrays import Floats
from quantum_trader.pilot import feature_columns as col
from quantum_trader.pilot.features import FEATURES
from quantum_trader.pilot.network import LAYERS, Weights
from quantum_trader.pilot.scaling import Singles

_BAR_GROUPS: Final = (
    ("returns", ("return_",)), ("volatility", ("volatility_", "atr_ratio", "bollinger_width")),
    ("distance from means", ("sma_", "ema_")),
    ("oscillators", ("rsi", "macd_", "bollinger_position")),
    ("trend and range", ("adx", "plus_di", "minus_di", "momentum", "trend_", "high_", "low_")),
    ("volume", ("volume_",)),
)
_GRADIENT_ROWS: Final = 20_000  # decisions that gradients are measured on, evenly over time


class FeatureGroup(NamedTuple):
    """Features that are shuffled together."""

    name: str
    columns: tuple[int, ...]


def _group_of(place: int) -> str:
    feature = FEATURES[place]
    if feature.name.startswith("regime_"):
        return "regime"
    if feature.source != "bars":
        return {"quotes": "order book", "market": "the market", "position": "own position", "account": "own account",
                "settings": "settings in force"}.get(feature.source, feature.source)
    return next(
        name for name, begins in _BAR_GROUPS if any(feature.name.startswith(begin) for begin in begins)
    )


def feature_groups() -> tuple[FeatureGroup, ...]:
    """The 64 features in groups, each in one."""
    found: dict[str, list[int]] = {}
    for place in range(col.FEATURE_COUNT):
        found.setdefault(_group_of(place), []).append(place)
    return tuple(FeatureGroup(name, tuple(columns)) for name, columns in found.items())


# ---- shuffling -----------------------------------------------------------------------------------------------------
def shuffled_plays(
    replayer: Replayer, weights: Weights, played: Played, group: FeatureGroup, count: int, rng: np.random.Generator
) -> Iterator[Played]:
    """Play *weights* again, *count* times, with the features of *group* taken from other times of the same symbol.

    The features of the account are shuffled as *played* had them.
    """
    market = [column for column in group.columns if column < col.FIRST_OWN]
    own = [column - col.FIRST_OWN for column in group.columns if column >= col.FIRST_OWN]
    for _ in range(count):
        order = _shuffled_rows(replayer, rng)
        features = _exchanged(replayer.features, order, market) if market else None
        yield replayer.pilot(weights, features, _own_columns(played.own, order, own) if own else None)


def _shuffled_rows(replayer: Replayer, rng: np.random.Generator) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """For each decision and symbol (G, S) another decision of the same symbol that was ready."""
    ready = replayer.replay.ready
    order = np.repeat(np.arange(len(ready))[:, None], ready.shape[1], axis=1)
    for place in range(ready.shape[1]):
        rows = np.flatnonzero(ready[:, place])
        order[rows, place] = rng.permutation(rows)
    return order


def _exchanged(values: Singles, order: np.ndarray[tuple[int, ...], np.dtype[np.int64]], columns: list[int]) -> Singles:
    changed = values.copy()
    for place in range(values.shape[1]):
        changed[:, place, columns] = values[order[:, place], place][:, columns]
    return changed


def _own_columns(
    own: Singles, order: np.ndarray[tuple[int, ...], np.dtype[np.int64]], columns: list[int]
) -> Singles:
    """*own* (G, S, 11) with *columns* shuffled; the others are NaN, which leaves them to the book."""
    changed = np.full_like(own, np.nan)
    for place in range(own.shape[1]):
        changed[:, place, columns] = own[order[:, place], place][:, columns]
    return changed


# ---- gradients -----------------------------------------------------------------------------------------------------
def chosen_gradients(weights: Weights, rows: Singles) -> tuple[Floats, Floats]:
    """Logits (N, 6) of *rows* (N, 64), and the gradient (N, 64) of the chosen action's logit, in double precision.

    The derivative of tanh is 1 - tanh².
    """
    (first, first_bias), (second, second_bias), (last, last_bias) = (
        tuple(part.astype(np.float64) for part in getattr(weights, name)) for name in LAYERS
    )
    hidden_1 = np.tanh(rows.astype(np.float64) @ first + first_bias)
    hidden_2 = np.tanh(hidden_1 @ second + second_bias)
    logits = hidden_2 @ last + last_bias
    back = last.T[logits.argmax(axis=1)] * (1.0 - hidden_2**2)
    back = (back @ second.T) * (1.0 - hidden_1**2)
    return logits, np.asarray(back @ first.T)


def gradient_times_input(replayer: Replayer, weights: Weights, played: Played) -> Floats:
    """The mean absolute value (64,) of gradient times input of the chosen action's logit over the decisions made."""
    places = np.argwhere(played.actions >= 0)
    places = places[:: max(1, len(places) // _GRADIENT_ROWS)]
    if not len(places):
        return np.zeros(col.FEATURE_COUNT)
    rows = replayer.features[places[:, 0], places[:, 1]].copy()
    rows[:, col.FIRST_OWN :] = played.own[places[:, 0], places[:, 1]]
    _, gradients = chosen_gradients(weights, rows)
    return np.asarray(np.abs(gradients * rows).mean(axis=0))
