"""What metrics cost: all of them over a journal of ten million events, and one further day, against one GROUP BY.

What merely reading the columns costs that metrics are made of stands beside them, without a bar: no way of computing
them over these parts is faster. The journal is that of a real run, each of its records many times over with ids of its
own: kinds, sizes and joins have the shares of a run. It is made once, in build/.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.harness import Figure, bench, fastest_in_turns, seconds
from quantum_trader.app.runs.replay import run
from quantum_trader.app.runs.results import RunOptions
from quantum_trader.app.settings import DataSettings, RunSettings
from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.lake import JOURNAL, Lake
from quantum_trader.lab.metrics.computer import MetricsComputer
from quantum_trader.lab.metrics.finished_days import FOLDER

EVENTS = 10_000_000
BUILD = Path(__file__).resolve().parent.parent / "build"
GROUP_BY = "select day, kind, symbol, count(*) as events from events group by day, kind, symbol"
READ = {  # columns of each view that the relations of the catalogue use; of lists the lengths
    "events": "day, kind, ts_ns",
    "fills": "ts_ns, symbol, producer, client_order_id, side, qty, price, liquidity, liquidation, fee, slippage_bps",
    "orders": "ts_ns, symbol, producer, client_order_id, intent_id, trace_id, status, received_ns",
    "intents": "ts_ns, symbol, producer, trace_id, intent_id, source, reduce_only",
    "signals": "ts_ns, symbol, producer, signal_id, trace_id, model, confidence, consensus, received_ns",
    "decisions": "producer, signal_id, decision",
    "verdicts": "producer, signal_id, verdict",
    "signal_gates": "ts_ns, symbol, producer, signal_id, trace_id, mode, regime, gates, len(refused)",
    "shadows": "ts_ns, symbol, producer, signal_id, traded, exit, r, net_bps, cost_bps, funding_bps, bars_held, "
               "entry_ns",
    "trades": "ts_ns, symbol, producer, trace_id, regime_entry, model, pnl, fees, funding, r_multiple, mfe_r, mae_r, "
              "entry_ns, exit_ns, exit_reason, confidence, qty, entry_price, exit_price",
    "policies": "ts_ns, producer, seq, allow_new_trades, risk_profile, min_confidence, risk_pct",
    "regimes": "ts_ns, producer, seq, symbol, after, vol_ratio",
    "funding": "ts_ns, symbol, amount, rate",
    "model_decisions": "ts_ns, model, len(symbols), len(states), len(scores), len(expected_bps), len(cost_bps)",
}
_ID = re.compile(rb'"(?:s|tr|i|t|e|p|r)[0-9]{7,}"|"qt-[0-9a-f]+"|"paper-[a-z]-[0-9]+"')
_LINES = "select kind, ts_ns, payload from events order by ts_ns, seq"
_MARK = b"\x00"


def template(payload: bytes) -> bytes:
    """*payload* with a mark at the end of each id."""
    return _ID.sub(lambda found: found[0][:-1] + _MARK + b'"', payload)


def journal_of(count: int) -> Path:
    """A state folder whose journal has about *count* events of a run of five months; kept in build/."""
    state = BUILD / f"metrics-{count}"
    if (state / "whole").exists():
        return state
    shutil.rmtree(state, ignore_errors=True)
    seed = BUILD / "metrics-seed"
    shutil.rmtree(seed, ignore_errors=True)
    settings = RunSettings(data=DataSettings(start="2018-05-01", end="2018-09-30"))
    run(settings, RunOptions(state_dir=seed))
    rows = Lake(seed / JOURNAL).sql(_LINES).to_pylist()
    state.mkdir(parents=True, mode=0o700)
    copies = [b"-%d" % number for number in range(max(1, count // len(rows)))]
    with EventLogger(state / JOURNAL) as logger:
        for row in rows:
            kind, ts_ns, marked = row["kind"], row["ts_ns"], template(row["payload"].encode())
            for number, copy in enumerate(copies):
                logger.log_checked_line(kind, ts_ns + number, marked.replace(_MARK, copy), 1)
    Lake(state / JOURNAL).compact()
    (state / "whole").touch()
    return state


def _greatest(view: str) -> str:
    """A SELECT that reads the columns of *view* that metrics use, and joins and groups nothing."""
    return f"select {', '.join(f'max({column})' for column in READ[view].split(', '))} from {view}"


def forgotten(state: Path) -> None:
    """Remove what was kept of the days."""
    shutil.rmtree(state / FOLDER, ignore_errors=True)


@bench("metrics")
def metrics(count: int = EVENTS) -> Iterator[Figure]:
    """All metrics by day and dimension from nothing kept, and single days whose others are kept.

    The last day has only what came at its first moment, the one before it is whole.
    """
    state = journal_of(count)
    lake = Lake(state / JOURNAL)
    total = lake.sql("select count(*) as n from events").to_pylist()[0]["n"]
    *_, full, last = sorted(MetricsComputer(state).days())

    def group_by() -> float:
        return seconds(lambda: Lake(state / JOURNAL).sql(GROUP_BY))

    def whole() -> float:
        forgotten(state)
        return seconds(lambda: MetricsComputer(state).compute())

    def further_day(day: str) -> float:
        (state / FOLDER / f"{day}.json").unlink(missing_ok=True)
        return seconds(lambda: MetricsComputer(state).day(day))

    def read_columns() -> float:
        return seconds(lambda: Lake(state / JOURNAL).tables([_greatest(view) for view in READ]))

    name = f"GROUP BY day, kind and symbol over {total:,} events, s"
    found = fastest_in_turns(2, whole, group_by)
    yield Figure(name="metrics.all", value=found.value, unit="s", reference=found.reference, reference_name=name,
                 at_most=10.0)
    for figure, day in (("metrics.further_day", last), ("metrics.further_whole_day", full)):
        found = fastest_in_turns(3, partial(further_day, day), group_by)
        yield Figure(name=figure, value=found.value, unit="s", reference=found.reference, reference_name=name,
                     at_most=1.0)
    found = fastest_in_turns(2, read_columns, group_by)
    yield Figure(name="metrics.columns_read", value=found.value, unit="s", reference=found.reference,
                 reference_name=name)
