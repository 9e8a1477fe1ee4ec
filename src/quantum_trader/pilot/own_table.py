"""The features that the account fills, as the feature list states them: its position, its losses, its settings."""

from __future__ import annotations

from typing import Final

from quantum_trader.pilot.feature import INF, Feature

NO_ACCOUNT: Final = "where bars are observed without an account"


def _own(
    name: str, formula: str, unit: str, low: float, high: float, source: str, center: float = 0.0, scale: float = 1.0
) -> Feature:
    return Feature(
        name=name, formula=formula, unit=unit, low=low, high=high, source=source, mask=NO_ACCOUNT, center=center,
        scale=scale, fitted=False,
    )


OWN_FEATURES: Final = (
    _own("position_side", "1 long, -1 short, 0 none", "side", -1.0, 1.0, "position"),
    _own("position_size", "notional / equity; 0 without a position", "equities", 0.0, INF, "position", 0.0, 0.2),
    _own("unrealised_r", "open profit / risk taken at the entry; 0 without a position", "R", -INF, INF, "position"),
    _own("bars_held", "ln(1 + bars since the entry)", "log bars", 0.0, INF, "position", 0.0, 2.0),
    _own("stop_distance", "|close - stop| / close; 0 without a position", "fraction", 0.0, INF, "position", 0.0, 0.03),
    _own("drawdown", "1 - equity / its peak", "fraction", 0.0, 1.0, "account", 0.0, 0.04),
    _own("exposure", "notional of all positions / equity", "equities", 0.0, INF, "account", 0.0, 0.5),
    _own("losing_streak", "losses in a row, as the governor counts them", "R", 0.0, INF, "account", 0.0, 3.0),
    _own("min_confidence", "least confidence in force", "probability", 0.0, 1.0, "settings", 0.5, 0.1),
    _own("max_risk", "largest risk of a trade in force", "% of equity", 0.0, INF, "settings", 0.5, 0.5),
    _own("gate", "1 where the gates in force let the symbol be opened, 0 where not", "flag", 0.0, 1.0, "settings"),
)
