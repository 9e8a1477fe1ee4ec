"""How fast a model of the user's own is, beside backtesting.py with the same rule.

backtesting.py has neither a policy nor a portfolio: one symbol, in an environment of its own that
``make build/backtesting`` makes. Where that is not there, these figures are skipped with a line.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bench_engine import DEFAULT_SIGNALS, SYMBOLS, generated, replay
from benchmarks.harness import Figure, bench
from quantum_trader.engine.core import Engine
from quantum_trader.engine.recorder import MemorySink
from quantum_trader.engine.replay import ReplayDriver
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.market.instruments import instruments_for
from quantum_trader.market.recording import Recording
from quantum_trader.models import FrameModel, Model, Panel
from quantum_trader.models.forecasts import Forecasts, LoadedModel
from quantum_trader.policy.profiles import load_profile
from quantum_trader.signals import columns as col
from quantum_trader.venues.paper.settings import PaperSettings
from quantum_trader.venues.paper.venue import PaperVenue

PYTHON = Path(__file__).resolve().parent.parent / "build" / "backtesting" / "bin" / "python"
TURNS = 3
BARS = 20_000
PANEL_AT_LEAST, COLUMNS_AT_LEAST, ONE_AT_LEAST = 0.8, 4.0, 1.0


class Averages(Model):
    """Long while the average of 20 bars stands above that of 100."""

    bars, warmup, horizon = "1m", 100, "2h"

    def score(self, panel: Panel) -> Any:
        """The distance of both averages."""
        return panel.close[-20:].mean(axis=0) / panel.close.mean(axis=0) - 1.0


class AverageColumns(FrameModel):
    """The same as columns."""

    bars, warmup, horizon = "1m", 100, "2h"

    def scores(self, frame: Any) -> Any:
        """The distance of both averages."""
        import polars as pl

        close = pl.col("close")
        return frame.with_columns(score=close.rolling_mean(20) / close.rolling_mean(100) - 1.0)


def peer(kind: str, bars: int) -> float | None:
    """Bars a second of backtesting.py with the rule *kind* on one symbol; None where it is not installed."""
    if not PYTHON.is_file():
        print("models: skipped, `make build/backtesting` installs backtesting.py beside the project", file=sys.stderr)
        return None
    ohlcv = next(iter(generated(SYMBOLS[:1], bars).chunks(bars))).ohlcv[:, 0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bars.npy"
        np.save(path, ohlcv)
        script = Path(__file__).with_name("backtesting_cross.py")
        done = subprocess.run([PYTHON, script, path, kind], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[0])


def with_model(recording: Recording, model: Model | FrameModel) -> float:
    """Symbol-bars a second of one replay with *model*, a column model's columns included."""
    table = instruments_for(recording.symbols, recording.first_closes().tolist())
    started = time.perf_counter()
    loaded = LoadedModel(name=type(model).__name__, model=model, fingerprint="bench")
    forecasts = Forecasts(tuple(recording.symbols), recording.interval_ns, [loaded])
    settings = EngineSettings(profile=load_profile("STANDARD"))
    engine = Engine(table.instruments, recording.interval_ns, settings, MemorySink(), forecasts=forecasts)
    if isinstance(model, FrameModel):
        from quantum_trader.app.runs.model_bars import use_columns

        use_columns(forecasts, recording)
    venue = PaperVenue(
        table.instruments, PaperSettings(initial_cash=engine.settings.start_equity),
        taker_cost_bps=engine.market.kernel.out[:, col.TAKER_COST_BPS],
    )
    driver = ReplayDriver(engine, venue, recording.interval_ns)
    count = 0
    for ts_ns, ohlcv, present, _ in recording.chunks(4096):
        for row, moment in enumerate(ts_ns.tolist()):
            driver.step(moment, ohlcv[row], present[row])
        count += int(present.sum())
    return count / (time.perf_counter() - started)


def fastest(recording: Recording, model: type[Model] | type[FrameModel]) -> float:
    """The best of a few replays."""
    return max(with_model(recording, model()) for _ in range(TURNS))


@bench("models")
def models() -> Iterator[Figure]:
    """A model that decides on every one-minute bar: 20 symbols, as a panel and as columns; and one symbol."""
    averages, crosses = peer("averages", BARS), peer("ema", 5 * BARS)
    if averages is None or crosses is None:
        return
    with_model(generated(SYMBOLS, 500), Averages())
    many = generated(SYMBOLS, BARS)
    name = "backtesting.py, one symbol, the same rule, bars/s"
    for title, model, bar in (
        ("models.panel_20_symbols_1m", Averages, PANEL_AT_LEAST),
        ("models.columns_20_symbols_1m", AverageColumns, COLUMNS_AT_LEAST),
    ):
        yield Figure(
            name=title, value=fastest(many, model), unit="bars/s", reference=averages, reference_name=name, at_least=bar
        )
    one = generated(SYMBOLS[:1], 5 * BARS)
    replay(generated(SYMBOLS[:1], 500))
    runs = [replay(one, DEFAULT_SIGNALS) for _ in range(TURNS)]
    yield Figure(
        name="models.built_in_1_symbol_1m", value=max(run.bars / run.spent for run in runs), unit="bars/s",
        reference=crosses, reference_name="backtesting.py, an EMA cross, bars/s", at_least=ONE_AT_LEAST,
    )
