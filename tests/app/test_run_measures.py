"""What a run measures of its equity: at every bar, the same as a sweep, and the same after a stop."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quantum_trader.app.report.data import build_report, run_summary
from quantum_trader.app.runs import local as run_local
from quantum_trader.app.runs import replay
from quantum_trader.app.runs.results import RunOptions, RunStats
from quantum_trader.app.runs.samples import Drawdown, Samples, hold_drawdown
from quantum_trader.app.settings import RunSettings, load_settings
from quantum_trader.domain.clock import NS_PER_HOUR, NS_PER_MINUTE
from quantum_trader.engine.account import Account
from quantum_trader.lab.sweep.grid import settings_of
from quantum_trader.lab.sweep.market import SweepSettings, prepare
from quantum_trader.lab.sweep.sweep import SettingResult, sweep
from quantum_trader.market.instruments import instruments_for
from quantum_trader.market.recording import open_recording

STATS = RunStats(wall_s=1.0, bars_per_s=None, version="0")


def enforced(start: str, end: str, mode: str = "LIVE") -> RunSettings:
    """The bundled bars from *start* to *end*, traded by the intraday models; the policy is enforced or observes."""
    return load_settings(None, {
        "data.start": (start, "test"), "data.end": (end, "test"), "policy.profile": ("STANDARD", "test"),
        "rollout.mode": (mode, "--policy"), "models": (({"model": "intraday-demo"},), "test"),
    }).settings


def swept(settings: RunSettings) -> SettingResult:
    """The same run as a sweep of one setting."""
    recording = open_recording(**settings.recording_arguments())
    instruments = instruments_for(recording.symbols, recording.first_closes().tolist()).instruments
    fixed = SweepSettings(engine=settings.engine_settings(), venue=settings.paper_settings())
    return sweep(prepare(recording, instruments, fixed), settings_of(["STANDARD"], []), splits=0).results[0]


def test_drawdown_and_sharpe_of_a_run_are_those_of_the_sweep() -> None:
    """To the last bit, over 36 days from a midnight on: every bar counts, and no day is counted that was not there."""
    settings = enforced("2018-01-01", "2018-02-05")
    found, told = run_summary(replay.run(settings).facts), swept(settings)

    assert found["max_drawdown_pct"] == told.max_drawdown_pct < -0.5
    assert found["sharpe"] == told.whole.sharpe
    assert told.whole.days == 36


def test_a_stopped_run_goes_on_with_its_drawdown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole report equals that of a run without a stop, but for the run section and how often records were made."""
    settings = enforced("2018-01-01", "2018-02-05")
    whole = build_report(replay.run(settings).facts, STATS)
    monkeypatch.setattr(replay, "_CHECKPOINT_EVERY_S", 0.0)
    half_ns = open_recording(**settings.recording_arguments()).start_ns + 25 * 24 * NS_PER_HOUR

    def stop(close_ns: int) -> None:
        if close_ns >= half_ns:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay.run(settings, RunOptions(state_dir=tmp_path / "state"), pace=stop)
    result = replay.run(settings, RunOptions(state_dir=tmp_path / "state"))
    after = build_report(result.facts, STATS)

    assert result.resumed
    assert result.resumed_at_ns > half_ns - 24 * NS_PER_HOUR
    for section in ("summary", "benchmark", "policy", "curves", "trades"):
        assert after[section] == whole[section]


def test_a_run_over_the_local_venue_measures_every_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """The live engine: the deepest fall among all its marks at closes, and the same first sample as a replay."""
    marks: dict[int, list[float]] = defaultdict(list)  # of each account: compiling the kernels makes some, too
    mark = Account.mark

    def noted(account: Account, closes: Any) -> None:
        mark(account, closes)
        marks[id(account)].append(account.equity)

    monkeypatch.setattr(Account, "mark", noted)
    settings = enforced("2018-01-01", "2018-01-20", "OBSERVE")
    facts = run_local.run_over_local_venue(settings).facts

    equity = np.array([facts.start_equity, *max(marks.values(), key=len)])
    assert facts.drawdown.depth == (equity / np.maximum.accumulate(equity) - 1.0).min() < 0.0
    assert facts.ts_ns[0] == open_recording(**settings.recording_arguments()).start_ns
    assert facts.equity[0] == facts.start_equity


def _at(equity: float) -> Any:
    """As much of an engine as a sample looks at."""
    out = np.full((1, 64), 100.0)
    tally = SimpleNamespace(governor={"NORMAL": 0}, regimes={"": 0})
    return SimpleNamespace(
        account=SimpleNamespace(equity=equity, governor=[0], books=SimpleNamespace(positions={})),
        settings=SimpleNamespace(policy_enabled=False),
        market=SimpleNamespace(kernel=SimpleNamespace(out=out), regime_name=lambda index: ""),
        records=SimpleNamespace(tally=tally),
    )


def test_a_crash_between_two_samples_is_in_the_figure_and_in_the_chart() -> None:
    """Equity falls from 100 to 94.32 within the hour and is back at its end: -5.68 %, at the time of that bar."""
    samples = Samples(1, 100.0)
    samples.begin(_at(100.0), 0)
    for minute, equity in ((15, 99.0), (30, 94.32), (45, 97.0), (60, 100.0), (75, 99.5), (120, 99.9)):
        samples.note(minute * NS_PER_MINUTE, equity)
        if minute % 60 == 0:
            samples.take(_at(equity), minute * NS_PER_MINUTE)

    assert samples.drawdown.facts().depth == pytest.approx(-0.0568)
    assert samples.drawdown.facts().trough_ns == 30 * NS_PER_MINUTE
    assert samples.arrays()["lows"].tolist() == pytest.approx([0.0, -0.0568, -0.005])

    again = Samples(1, 100.0)
    again.load_state(samples.state())
    again.note(121 * NS_PER_MINUTE, 90.0)
    assert again.drawdown.facts().depth == pytest.approx(-0.1)
    assert again.drawdown.facts().peak_ns == 0, "nothing has been higher than the start"


def test_buy_and_hold_is_measured_at_every_bar_too() -> None:
    """Against a plain loop over all bars of the recording."""
    recording = open_recording(**enforced("2017-12-10", "2018-01-19").recording_arguments())
    closes = recording.arrays().ohlcv[:, :, 3]
    times = recording.arrays().ts_ns + recording.interval_ns
    hourly = times % NS_PER_HOUR == 0
    sampled, at = closes[hourly].copy(), times[hourly]
    known = np.isfinite(sampled)
    first = known.argmax(axis=0)
    expected = Drawdown(1.0)
    last = sampled[first, np.arange(closes.shape[1])].copy()
    price, bought = last.copy(), at[first]
    for row, ts_ns in enumerate(times.tolist()):
        last = np.where(np.isfinite(closes[row]), closes[row], last)
        expected.note(ts_ns, float(np.where(ts_ns >= bought, last / price, 1.0).mean()))

    assert hold_drawdown(recording, at, sampled) == expected.facts()
    assert expected.facts().depth < -0.3
