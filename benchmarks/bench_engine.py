"""How fast the engine replays one-minute bars with everything on, and what memory a year of 20 symbols takes.

The reference is :class:`benchmarks.references.PlainBot`, a hand-written bot on the same bars, chunk by chunk in turns
with the engine. Like the engine's, its moments are made of small numpy operations, calls of compiled functions, Python
and encoded records.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.harness import Figure, Pair, bench, fastest_in_turns, seconds
from benchmarks.references import PlainBot
from quantum_trader.app.runs.journal_sink import JournalSink
from quantum_trader.app.runs.state_dir import RecordFile
from quantum_trader.engine.core import Engine
from quantum_trader.engine.ports import RecordSink
from quantum_trader.engine.recorder import MemorySink
from quantum_trader.engine.replay import ReplayDriver
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.market.generate import generated_recording
from quantum_trader.market.instruments import instruments_for
from quantum_trader.market.recording import Recording
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
CHUNK = 4096
TURNS = 3
MANY_AT_LEAST = 0.075
EACH_AT_LEAST = 0.052
ONE_AT_LEAST = 0.22
DEFAULT_SIGNALS = SignalSettings()
EVERY_BAR = SignalSettings(decision_minutes=1)  # the models look at each one-minute bar, not at half-hours


class Replayed(NamedTuple):
    """One replay: seconds in the engine's loop and in the reference's, symbol-bars, the engine and its records."""

    spent: float
    beside: float
    bars: int
    engine: Engine
    sink: MemorySink


def generated(symbols: tuple[str, ...], bars: int) -> Recording:
    """*bars* generated minutes of *symbols*, the same each time."""
    return generated_recording(symbols, interval="1m", start=START, bars=bars, seed=1)


def replay(
    recording: Recording, signals: SignalSettings = DEFAULT_SIGNALS, kept: RecordSink | None = None
) -> Replayed:
    """Replay *recording* through the engine and through the reference, in turns of 4,096 moments.

    With *kept* the records go there instead of into memory.
    """
    table = instruments_for(recording.symbols, recording.first_closes().tolist())
    sink = MemorySink()
    settings = EngineSettings(profile=load_profile("STANDARD"), signals=signals)
    engine = Engine(table.instruments, recording.interval_ns, settings, sink if kept is None else kept)
    venue = PaperVenue(
        table.instruments, PaperSettings(initial_cash=engine.settings.start_equity),
        taker_cost_bps=engine.market.kernel.out[:, col.TAKER_COST_BPS],
    )
    driver = ReplayDriver(engine, venue, recording.interval_ns)
    plain = PlainBot(len(recording.symbols))
    spent, beside, count = 0.0, 0.0, 0
    for ts_ns, ohlcv, present, holes in recording.chunks(CHUNK):
        times = ts_ns.tolist()
        rows = np.any(holes, axis=1).tolist()
        started = time.perf_counter()
        for i, moment in enumerate(times):
            driver.step(moment, ohlcv[i], present[i])
            if rows[i]:
                driver.hole(moment, holes[i].nonzero()[0].tolist())
        between = time.perf_counter()
        plain.run(times, ohlcv, present)
        spent, beside = spent + between - started, beside + time.perf_counter() - between
        count += int(present.sum())
    return Replayed(spent, beside, count, engine, sink)


def speed(recording: Recording, signals: SignalSettings = DEFAULT_SIGNALS) -> tuple[Pair, Replayed]:
    """Symbol-bars a second of the engine and of the reference, the best of three replays each; the last replay."""
    runs = [replay(recording, signals) for _ in range(TURNS)]
    count = runs[0].bars
    pair = Pair(count / min(run.spent for run in runs), count / min(run.beside for run in runs))
    return pair, runs[-1]


def bars_a_second(name: str, pair: Pair, at_least: float) -> Figure:
    """A figure of symbol-bars a second beside the plain bot's."""
    return Figure(
        name=name, value=pair.value, unit="bars/s", reference=pair.reference,
        reference_name="plain bot on the same bars, bars/s", at_least=at_least,
    )


@bench("engine")
def engine_replay() -> Iterator[Figure]:
    """20 symbols and one symbol of one-minute bars; indicators, regime, signals, policy, guard, venue, records kept.

    The reference is the plain bot on the same bars.
    """
    replay(generated(SYMBOLS, 500))
    recording = generated(SYMBOLS, 20_000)
    many, last = speed(recording)
    assert last.engine.records.tally.signals > 100, "the benchmark must trade"
    assert last.engine.records.tally.trades, "the benchmark must close trades"
    assert len(last.sink.lines) == sum(last.engine.records.recorder.seq.values()), "the records are kept"
    yield bars_a_second("engine.replay_20_symbols_1m", many, MANY_AT_LEAST)
    each, _ = speed(recording, EVERY_BAR)
    yield bars_a_second("engine.replay_20_symbols_1m_models_every_bar", each, EACH_AT_LEAST)
    replay(generated(SYMBOLS[:1], 500))
    one, _ = speed(generated(SYMBOLS[:1], 100_000))
    yield bars_a_second("engine.replay_1_symbol_1m", one, ONE_AT_LEAST)


def journaled(recording: Recording) -> float:
    """Seconds of a replay with every record in the record file and in the journal, until all of them are durable."""
    with tempfile.TemporaryDirectory() as folder:
        sink = JournalSink(Path(folder), RecordFile(Path(folder) / "records.jsonl", 0), 0)
        try:
            spent = replay(recording, EVERY_BAR, sink).spent
            return spent + seconds(sink.sync)
        finally:
            sink.close()


@bench("journaled")
def journaled_replay() -> Iterator[Figure]:
    """The engine with the journal on; the models look at every bar.

    The reference is the same replay without a journal.
    """
    recording = generated(SYMBOLS, 20_000)
    replay(generated(SYMBOLS, 500), EVERY_BAR)
    count = int(recording.arrays().present.sum())
    took = fastest_in_turns(TURNS, lambda: journaled(recording), lambda: replay(recording, EVERY_BAR).spent)
    yield Figure(
        name="engine.replay_20_symbols_1m_journaled", value=count / took.value, unit="bars/s",
        reference=count / took.reference, reference_name="the same without a journal, bars/s",
        at_least=0.75,
    )


@bench("memory")
def year_memory() -> Iterator[Figure]:
    """Peak memory and speed of a process that replays a 20-symbol year of one-minute bars with the records kept.

    The references are the size of the bars as one float64 array, and the plain bot on the same bars.
    """
    code = f"from benchmarks.bench_engine import report_year; report_year({YEAR_BARS})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    measured = json.loads(done.stdout.strip().splitlines()[-1])
    yield Figure(
        name="memory.year_20_symbols_1m", value=measured["peak_mib"], unit="MiB",
        reference=YEAR_BARS * len(SYMBOLS) * 5 * 8 / 2**20, reference_name="the bars as one float64 array, MiB",
        at_most=3.8,
    )
    pair = Pair(measured["bars_per_s"], measured["reference"])
    yield bars_a_second("memory.year_20_symbols_1m_speed", pair, MANY_AT_LEAST)


def report_year(bars: int) -> None:
    """Replay *bars* minutes in this process and print its peak memory as JSON."""
    done = replay(generated(SYMBOLS, bars))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps(
        {"peak_mib": peak, "bars_per_s": done.bars / done.spent, "reference": done.bars / done.beside}
    ) + "\n")
