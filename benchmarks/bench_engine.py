"""How fast the engine replays one-minute bars with everything on, and what memory a year of 20 symbols takes."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.harness import Figure, bench, best_of, ema_cross_loop
from quantum_trader.app.runs.journal_sink import JournalSink
from quantum_trader.app.runs.state_dir import RecordFile
from quantum_trader.engine.core import Engine
from quantum_trader.engine.ports import RecordSink
from quantum_trader.engine.recorder import MemorySink
from quantum_trader.engine.replay import ReplayDriver
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.market.generate import generated_recording
from quantum_trader.market.instruments import instruments_for
from quantum_trader.policy.profiles import load_profile
from quantum_trader.signals import columns as col
from quantum_trader.signals.settings import SignalSettings
from quantum_trader.venues.paper.settings import PaperSettings
from quantum_trader.venues.paper.venue import PaperVenue

START = datetime(2024, 1, 1, tzinfo=UTC)
SYMBOLS = (
    "BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "XRPUSDT", "LTCUSDT", "DOGEUSDT", "AVAXUSDT", "LINKUSDT", "FILUSDT",
    "SUIUSDT", "WIFUSDT", "1000PEPEUSDT", "ADAUSDT", "DOTUSDT", "TRXUSDT", "UNIUSDT", "ATOMUSDT", "ETCUSDT", "XLMUSDT",
)
YEAR_BARS = 366 * 1440
DEFAULT_SIGNALS = SignalSettings()
EVERY_BAR = SignalSettings(decision_minutes=1)  # the models look at each one-minute bar, not at half-hours


def replay(
    symbols: tuple[str, ...], bars: int, signals: SignalSettings = DEFAULT_SIGNALS, kept: RecordSink | None = None
) -> tuple[float, int, Engine, MemorySink]:
    """Replay *bars* generated minutes of *symbols*; returns (seconds in the loop, symbol-bars, engine, records).

    With *kept* the records go there instead of into memory.
    """
    recording = generated_recording(symbols, interval="1m", start=START, bars=bars, seed=1)
    table = instruments_for(recording.symbols, recording.first_closes().tolist())
    sink = MemorySink()
    settings = EngineSettings(profile=load_profile("STANDARD"), signals=signals)
    engine = Engine(table.instruments, recording.interval_ns, settings, sink if kept is None else kept)
    venue = PaperVenue(
        table.instruments, PaperSettings(initial_cash=engine.settings.start_equity),
        taker_cost_bps=engine.market.kernel.out[:, col.TAKER_COST_BPS],
    )
    driver = ReplayDriver(engine, venue, recording.interval_ns)
    spent, count = 0.0, 0
    for ts_ns, ohlcv, present, holes in recording.chunks(8192):
        times = ts_ns.tolist()
        rows = np.any(holes, axis=1).tolist()
        started = time.perf_counter()
        for i, moment in enumerate(times):
            driver.step(moment, ohlcv[i], present[i])
            if rows[i]:
                driver.hole(moment, holes[i].nonzero()[0].tolist())
        spent += time.perf_counter() - started
        count += int(present.sum())
    return spent, count, engine, sink


def speed(
    symbols: tuple[str, ...], bars: int, signals: SignalSettings = DEFAULT_SIGNALS
) -> tuple[float, Engine, MemorySink]:
    """Symbol-bars a second, the best of three runs after a warm-up."""
    replay(symbols, 500, signals)
    runs = [replay(symbols, bars, signals) for _ in range(3)]
    spent, count, engine, sink = min(runs, key=lambda run: run[0])
    return count / spent, engine, sink


@bench("engine")
def engine_replay() -> list[Figure]:
    """20 symbols and one symbol of one-minute bars; indicators, regime, signals, policy, guard, venue, records kept."""
    closes = [100.0 + (i * 7919 % 1000) / 100.0 for i in range(200_000)]
    reference = len(closes) / best_of(3, lambda: ema_cross_loop(closes))
    name = "plain Python EMA cross, bars/s"
    many, engine, sink = speed(SYMBOLS, 20_000)
    one, _, _ = speed(SYMBOLS[:1], 100_000)
    each, _, _ = speed(SYMBOLS, 20_000, EVERY_BAR)
    assert engine.records.tally.signals > 100, "the benchmark must trade"
    assert engine.records.tally.trades, "the benchmark must close trades"
    assert len(sink.lines) == sum(engine.records.recorder.seq.values()), "the records are kept"
    return [
        Figure(
            name="engine.replay_20_symbols_1m", value=many, unit="bars/s", reference=reference, reference_name=name,
            bar=">= 200,000",
        ),
        Figure(
            name="engine.replay_20_symbols_1m_models_every_bar", value=each, unit="bars/s", reference=reference,
            reference_name=name, bar=">= 200,000",
        ),
        Figure(
            name="engine.replay_1_symbol_1m", value=one, unit="bars/s", reference=reference, reference_name=name,
            bar=">= 40,000",
        ),
    ]


def journaled(symbols: tuple[str, ...], bars: int) -> float:
    """Symbol-bars a second with every record in the record file and in the journal, until all of them are durable."""
    with tempfile.TemporaryDirectory() as folder:
        sink = JournalSink(Path(folder), RecordFile(Path(folder) / "records.jsonl", 0), 0)
        try:
            spent, count, _, _ = replay(symbols, bars, EVERY_BAR, sink)
            started = time.perf_counter()
            sink.sync()
            spent += time.perf_counter() - started
        finally:
            sink.close()
    return count / spent


@bench("journaled")
def journaled_replay() -> list[Figure]:
    """The engine with the journal on beside the engine without, turn by turn; the models look at every bar."""
    bars = 20_000
    replay(SYMBOLS, 500, EVERY_BAR)
    without, with_journal = [], []
    for _ in range(3):
        spent, count, _, _ = replay(SYMBOLS, bars, EVERY_BAR)
        without.append(count / spent)
        with_journal.append(journaled(SYMBOLS, bars))
    return [
        Figure(
            name="engine.replay_20_symbols_1m_journaled", value=max(with_journal), unit="bars/s",
            reference=max(without), reference_name="the same without a journal, bars/s", bar="ratio >= 0.75",
        ),
    ]


@bench("memory")
def year_memory() -> list[Figure]:
    """Peak memory of a process that replays a 20-symbol year of one-minute bars with the records kept."""
    code = f"from benchmarks.bench_engine import report_year; report_year({YEAR_BARS})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.strip().splitlines()[-1])
    bars_mib = YEAR_BARS * len(SYMBOLS) * 5 * 8 / 2**20
    return [
        Figure(
            name="memory.year_20_symbols_1m", value=told["peak_mib"], unit="MiB", reference=bars_mib,
            reference_name="the bars as one float64 array, MiB", bar="<= 1,536",
        ),
        Figure(
            name="memory.year_20_symbols_1m_speed", value=told["bars_per_s"], unit="bars/s",
            reference=told["reference"], reference_name="plain Python EMA cross, bars/s", bar=">= 200,000",
        ),
    ]


def report_year(bars: int) -> None:
    """Replay *bars* minutes in this process and print its peak memory as JSON."""
    closes = [100.0 + (i * 7919 % 1000) / 100.0 for i in range(200_000)]
    reference = len(closes) / best_of(3, lambda: ema_cross_loop(closes))
    spent, count, _, _ = replay(SYMBOLS, bars)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({"peak_mib": peak, "bars_per_s": count / spent, "reference": reference}) + "\n")
