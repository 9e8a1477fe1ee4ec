"""The figures of a report and of a comparison are those of QuantStats for the same returns.

QuantStats brings some thirty packages with it, so it stands in an environment of its own: ``make build/quantstats``,
which `make test-all` makes first.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantum_trader.app.report.data import curve_statistics, daily_returns
from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.lab.comparison import Traded, figures_of

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / "build" / "quantstats" / "bin" / "python"

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not PYTHON.exists(), reason="`make build/quantstats` installs QuantStats beside the project"),
]


def theirs(returns: np.ndarray, folder: Path) -> Any:
    """What QuantStats says of *returns*."""
    file = folder / "returns.json"
    file.write_text(json.dumps(returns.tolist()))
    found = subprocess.run(
        [PYTHON, Path(__file__).with_name("quantstats_figures.py"), file], capture_output=True, text=True, timeout=300,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-2000:]
    return json.loads(found.stdout)


@pytest.mark.parametrize(("seed", "mean"), [(1, 0.0004), (2, -0.0006), (3, 0.002)])
def test_figures_are_those_of_quantstats(seed: int, mean: float, tmp_path: Path) -> None:
    """Two years of days: return, return a year, Sharpe, Sortino, volatility, drawdown, time below the peak."""
    rng = np.random.default_rng(seed)
    returns = mean + 0.02 * rng.standard_t(4, size=730)
    equity = 10_000.0 * np.cumprod(1.0 + returns)
    whole = np.concatenate(([10_000.0], equity))
    ts_ns = (17_000 + np.arange(731, dtype=np.int64)) * NS_PER_DAY
    assert daily_returns(ts_ns, whole) == pytest.approx(returns)

    expected, report = theirs(returns, tmp_path), curve_statistics(ts_ns, whole)
    for key in ("sharpe", "sortino", "volatility_pct", "max_drawdown_pct"):
        assert report[key] == pytest.approx(expected[key], rel=1e-6), key
    compared = figures_of(Traded(
        equity=equity, start_equity=10_000.0, max_drawdown_pct=report["max_drawdown_pct"], gross=np.zeros(730),
        held_share=0.0, trades=0, turnover=0.0, fees=0.0, slippage=0.0, funding=0.0,
    ))
    assert compared.sharpe == pytest.approx(expected["sharpe"], rel=1e-6)
    assert compared.volatility_pct == pytest.approx(expected["volatility_pct"], rel=1e-6)
    assert compared.return_pct == pytest.approx(expected["return_pct"], rel=1e-6)
    assert compared.annual_return_pct == pytest.approx(expected["cagr_pct"], rel=1e-2)
    assert compared.under_water_share == pytest.approx(expected["under_water_share"], abs=1e-9)
    assert compared.longest_under_water_days == pytest.approx(expected["longest_under_water_days"], abs=1)
