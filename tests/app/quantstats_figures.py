"""The figures of QuantStats for daily returns, in an environment of its own.

``python quantstats_figures.py RETURNS.json``: returns of consecutive days, fractions. Prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import pandas  # noqa: E402  (after the filter: the libraries warn at import)
import quantstats  # noqa: E402

YEAR = 365


def main() -> None:
    """Read, measure, print."""
    returns = json.loads(Path(sys.argv[1]).read_text())
    series = pandas.Series(returns, index=pandas.date_range("2018-01-01", periods=len(returns)))
    stats = quantstats.stats
    falls = stats.to_drawdown_series(series)
    sys.stdout.write(json.dumps({
        "return_pct": float(stats.comp(series)) * 100.0, "cagr_pct": float(stats.cagr(series, periods=YEAR)) * 100.0,
        "sharpe": float(stats.sharpe(series, periods=YEAR)), "sortino": float(stats.sortino(series, periods=YEAR)),
        "volatility_pct": float(stats.volatility(series, periods=YEAR)) * 100.0,
        "max_drawdown_pct": float(stats.max_drawdown(series)) * 100.0,
        "longest_under_water_days": int(stats.drawdown_details(falls)["days"].max()),
        "under_water_share": float((falls < 0.0).mean()),
    }))


if __name__ == "__main__":
    main()
