"""Whether the equity of a run can be told from luck, as the dashboard and the API say it."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantum_trader.app.report.data import curve_statistics
from quantum_trader.app.runs import equity_history as history
from quantum_trader.app.runs.equity_history import equity_history
from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.settings import DataSettings, RunSettings
from quantum_trader.domain.clock import NS_PER_DAY


def test_the_sharpe_ratio_of_the_history_is_that_of_the_report(tmp_path: Path) -> None:
    """One run, two readings: the last sample of each day is the same, so are the ratio and its interval."""
    settings = RunSettings(data=DataSettings(symbols=("BTCUSDT", "ETHUSDT"), start="2018-03-01", end="2018-05-31"))
    facts = run(settings, RunOptions(state_dir=tmp_path / "run")).facts
    summary = curve_statistics(facts.ts_ns, facts.equity, facts.drawdown)
    found = equity_history(tmp_path / "run", most=10).sharpe
    assert found is not None
    assert summary["sharpe"] is not None
    assert (found.sharpe, found.low, found.high) == pytest.approx(
        (summary["sharpe"], summary["sharpe_low"], summary["sharpe_high"]), abs=0.05
    )


@pytest.mark.parametrize(("returns", "verdict"), [
    ((0.011, 0.009) * 100, "Luck alone does not explain the profit."),
    ((-0.011, -0.009) * 100, "Luck alone does not explain the loss."),
    ((0.02, -0.02, 0.001) * 100, "This can be luck: the interval of the Sharpe ratio includes zero."),
    ((0.01,) * 5, "Too few days to tell profit or loss from luck."),
])
def test_the_verdict_follows_the_interval(returns: tuple[float, ...], verdict: str) -> None:
    """Above zero, below it, around it, or none."""
    equity, values = 10_000.0, [10_000.0]
    for one in returns:
        equity *= 1.0 + one
        values.append(equity)
    assert history._sharpe([day * NS_PER_DAY for day in range(len(values))], values).verdict == verdict
