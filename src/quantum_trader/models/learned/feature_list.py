"""The features of a signal model by name, in their order, and the hash that names this list."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

WINDOW: Final = 200  # intervals that a row of features is made of, the newest one included
VERSION: Final = 1  # raised when a feature is computed in another way
LEAST_BARS: Final = 97  # of a symbol within the window; with fewer it has no features
LEAST_RANKED: Final = 4  # symbols with a value; with fewer there is no rank


class SignalFeature(msgspec.Struct, frozen=True, kw_only=True):
    """One feature: its name, how it is made, its unit, and when it is missing."""

    name: str
    formula: str
    unit: str
    missing: str = ""  # in words; empty: as long as the symbol has features at all it is known


_LONG: Final = "with fewer than 193 bars in the window"
_STILL: Final = "where no price has moved in 96 bars"
_ALONE: Final = f"with fewer than {LEAST_RANKED} symbols"


def _move(bars: int) -> SignalFeature:
    return SignalFeature(
        name=f"move_{bars}", formula=f"ln(close / close {bars} bars ago) / (volatility × √{bars})", unit="deviations",
        missing=_LONG if bars > 96 else _STILL,
    )


def _place(bars: int) -> SignalFeature:
    return SignalFeature(
        name=f"place_{bars}", formula=f"(close - lowest low) / (highest high - lowest low) of {bars} bars",
        unit="share", missing=_LONG if bars > 96 else "where nothing has moved in them",
    )


def _distance(bars: int) -> SignalFeature:
    return SignalFeature(
        name=f"distance_{bars}", formula=f"ln(close / mean close of {bars} bars) / (volatility × √{bars})",
        unit="deviations", missing=_LONG if bars > 96 else _STILL,
    )


def _crossover(fast: int, slow: int) -> SignalFeature:
    return SignalFeature(
        name=f"crossover_{fast}_{slow}",
        formula=f"ln(mean close of {fast} / mean close of {slow} bars) / (volatility × √{slow})", unit="deviations",
        missing=_LONG if slow > 96 else _STILL,
    )


def _strength(bars: int) -> SignalFeature:
    return SignalFeature(
        name=f"strength_{bars}", formula=f"sum of the rises / sum of all moves of {bars} bars (RSI by plain sums)",
        unit="share", missing="where nothing has moved in them",
    )


def _efficiency(bars: int) -> SignalFeature:
    return SignalFeature(
        name=f"efficiency_{bars}", formula=f"ln(close / close {bars} bars ago) / sum of the absolute moves",
        unit="share", missing="where nothing has moved in them",
    )


def _rank(of: str) -> SignalFeature:
    return SignalFeature(
        name=f"rank_{of}", formula=f"rank of {of} among the symbols, from -1 to 1, equal ones share", unit="rank",
        missing=_ALONE,
    )


OWN_FEATURES: Final = (
    *(_move(bars) for bars in (1, 3, 6, 12, 24, 48, 96, 192)),
    SignalFeature(name="volatility", formula="root mean square of the last 96 log returns", unit="fraction a bar"),
    SignalFeature(name="volatility_6_24", formula="the same of 6 bars / of 24", unit="ratio", missing=_STILL),
    SignalFeature(name="volatility_24_96", formula="the same of 24 bars / of 96", unit="ratio", missing=_STILL),
    SignalFeature(name="volatility_96_192", formula="the same of 96 bars / of 192", unit="ratio", missing=_LONG),
    SignalFeature(name="down_share_48", formula="squared falls / all squared moves of 48 bars", unit="share",
                  missing="where nothing has moved in them"),
    SignalFeature(name="repetition_48", formula="sum of products of neighbouring log returns / sum of squares, of 48 "
                  "bars", unit="correlation", missing="where nothing has moved in them"),
    SignalFeature(name="range_share", formula="mean true range of 24 bars / close", unit="fraction"),
    SignalFeature(name="range_ratio", formula="true range of the bar / mean of 24", unit="ratio",
                  missing="where nothing has moved in them"),
    SignalFeature(name="body_share", formula="(close - open) / (high - low) of the bar", unit="share",
                  missing="where the bar has no range"),
    *(_place(bars) for bars in (1, 24, 96, 192)),
    *(_distance(bars) for bars in (6, 24, 96, 192)),
    _crossover(6, 24), _crossover(24, 96), _crossover(48, 192),
    _strength(14), _strength(48), _efficiency(24), _efficiency(96),
    SignalFeature(name="age_of_high", formula="bars since the highest high of 192 / 192", unit="share", missing=_LONG),
    SignalFeature(name="age_of_low", formula="bars since the lowest low of 192 / 192", unit="share", missing=_LONG),
    SignalFeature(name="volume_1_24", formula="ln(1 + volume / mean of 24 bars)", unit="log ratio",
                  missing="where nothing was traded"),
    SignalFeature(name="volume_6_96", formula="ln(1 + mean volume of 6 bars / mean of 96)", unit="log ratio",
                  missing="where nothing was traded"),
    SignalFeature(name="pressure_24", formula="(volume of rising - volume of falling bars) / volume of 24 bars",
                  unit="share", missing="where nothing was traded"),
    SignalFeature(name="funding", formula="funding rate per 8 hours known at the close × 10,000", unit="bps",
                  missing="where it is not known"),
    SignalFeature(name="funding_mean_96", formula="mean of funding over 96 bars, of those known", unit="bps",
                  missing="where none is known"),
    SignalFeature(name="funding_change", formula="funding - funding_mean_96", unit="bps",
                  missing="where it is not known"),
)
"""What a symbol's own bars give. Lengths are in bars of the model; ``volatility`` is the feature of that name."""

SHARED_FEATURES: Final = (
    SignalFeature(name="hour_sine", formula="sin(2π × share of the UTC day passed at the close)", unit="wave"),
    SignalFeature(name="hour_cosine", formula="cos(2π × share of the UTC day passed at the close)", unit="wave"),
    SignalFeature(name="week_sine", formula="sin(2π × share of the week passed at the close, from Monday)",
                  unit="wave"),
    SignalFeature(name="week_cosine", formula="cos(2π × share of the week passed at the close, from Monday)",
                  unit="wave"),
    SignalFeature(name="market_move_1", formula="mean of move_1 over the symbols", unit="deviations", missing=_STILL),
    SignalFeature(name="market_move_24", formula="mean of move_24 over the symbols", unit="deviations", missing=_STILL),
    SignalFeature(name="market_breadth", formula="share of the symbols whose move_24 is above 0", unit="share",
                  missing=_STILL),
    SignalFeature(name="lead_24", formula="move_24 - market_move_24", unit="deviations", missing=_STILL),
    _rank("move_6"), _rank("move_24"), _rank("move_96"), _rank("volatility"), _rank("volume_6_96"), _rank("funding"),
)
"""What the clock and the other symbols give."""

SIGNAL_FEATURES: Final = (*OWN_FEATURES, *SHARED_FEATURES)
NAMES: Final = tuple(one.name for one in SIGNAL_FEATURES)


def signal_features_hash(bars: str) -> str:
    """SHA-256 of the interval *bars*, and of each feature's name, formula and unit: another hash, other features."""
    stated = [[one.name, one.formula, one.unit] for one in SIGNAL_FEATURES]
    return hashlib.sha256(msgspec.json.encode(["signal", VERSION, WINDOW, bars, stated])).hexdigest()


def names_hash(names: tuple[str, ...]) -> str:
    """SHA-256 of feature *names* alone: of a model whose rows are made elsewhere."""
    return hashlib.sha256(msgspec.json.encode(["named", names])).hexdigest()
