"""The 64 features of an observation in their order, and the hash that names this list."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from quantum_trader.pilot.bar_table import BAR_FEATURES
from quantum_trader.pilot.feature import Feature
from quantum_trader.pilot.market_table import MARKET_FEATURES
from quantum_trader.pilot.own_table import OWN_FEATURES
from quantum_trader.pilot.settings import ObservationSettings

FEATURES: Final[tuple[Feature, ...]] = (*BAR_FEATURES, *MARKET_FEATURES, *OWN_FEATURES)
"""Each feature stands in the column of ``feature_columns`` that has its name."""


def feature_hash(settings: ObservationSettings) -> str:
    """SHA-256 of the interval and of each feature's name, formula, unit and version, as hexadecimal text.

    It is part of a model's identity: a model with another hash was made with other features.
    """
    stated = [[one.name, one.formula, one.unit, one.version] for one in FEATURES]
    return hashlib.sha256(msgspec.json.encode(["observation", settings.interval, stated])).hexdigest()
