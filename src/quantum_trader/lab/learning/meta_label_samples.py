"""Samples of a meta-label from a journal: each signal's features at its entry, and what its shadow trade came to.

The bet is the signal's own. The label is 1 where its shadow trade won after fees, spread, slippage and funding. The
features were recorded when the signal was judged, before anything was known of its result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.domain.clock import NS_PER_HOUR, iso
from quantum_trader.domain.errors import DataError
from quantum_trader.domain.json_text import decode_json
from quantum_trader.journal.lake import Lake
from quantum_trader.lab.learning.training_table import TrainingTable, in_order, sample_weights
from quantum_trader.market.costs import BPS
from quantum_trader.models.entry_features import ENTRY_FEATURES, ENTRY_FEATURES_HASH

_MEMORY_MB: Final = 4096
_NO_OUTCOME: Final = "HOLE"  # the data ended before the trade did
_SQL: Final = (
    "select g.signal_id, g.symbol, g.ts_ns as start_ns, g.features, g.features_hash, s.ts_ns as end_ns, s.r, "
    "s.net_bps, s.entry_ns, s.exit "
    "from signal_gates g join shadows s on s.signal_id = g.signal_id and s.symbol = g.symbol "
    "where s.ts_ns <= ? and g.ts_ns <= s.ts_ns order by g.ts_ns, g.symbol, g.signal_id, s.ts_ns"
)


def meta_label_samples(
    state: Path, until_ns: int, symbols: Sequence[str] | None = None, notice: Callable[[str], None] = lambda line: None
) -> TrainingTable:
    """The samples in the journal of the state folder *state*, of signals whose result is known at *until_ns*.

    A signal that was recorded twice counts once. Those of other features, of an older program, and those whose data
    ended before their trade did are left out and told to *notice*. Raises StateError where there is no journal,
    DataError where it has no samples.
    """
    lake = Lake(state / "journal", memory_mb=_MEMORY_MB)
    rows = lake.sql(_SQL, [until_ns]).to_pylist()
    for damage in lake.damage:
        notice(f"{damage.path}: {damage.reason}; its events are left out")
    known, left_out = dict[tuple[str, int, str], Mapping[str, Any]](), Counter[str]()
    for row in rows:
        if symbols is not None and row["symbol"] not in symbols:
            continue
        if row["features_hash"] != ENTRY_FEATURES_HASH:
            left_out["have other features than this program records"] += 1
        elif row["exit"] == _NO_OUTCOME:
            left_out["have no result: their data ended before"] += 1
        else:
            known.setdefault((row["signal_id"], row["start_ns"], row["symbol"]), row)
    for why, count in left_out.items():
        notice(f"{count:,} signals {why}; they are left out")
    if not known:
        raise DataError(
            f"{state / 'journal'}: no signal has a result until {iso(until_ns)}; give the state folder of a run with "
            "signals, such as `quantum-trader run --exit --state DIR` or `quantum-trader live --state DIR`"
        )
    return table_of_signals(list(known.values()), f"signals of {state.resolve().name}")


def table_of_signals(rows: Sequence[Mapping[str, Any]], source: str) -> TrainingTable:
    """The samples of *rows*, one a signal: its features at entry, start, end and result."""
    features = [decode_json(row["features"]) if isinstance(row["features"], str) else row["features"] for row in rows]
    values = np.array(
        [[np.nan if one.get(name) is None else one[name] for name in ENTRY_FEATURES] for one in features],
        dtype=np.float64,
    )
    starts, ends = (np.array([row[name] for row in rows], dtype=np.int64) for name in ("start_ns", "end_ns"))
    measured = np.array([row["entry_ns"] > 0 for row in rows])  # older records state the result in R alone
    net = np.where(measured, np.array([row["net_bps"] for row in rows], dtype=np.float64) / BPS, np.nan)
    won = np.where(measured, net > 0.0, np.array([row["r"] for row in rows], dtype=np.float64) > 0.0)
    symbols = tuple(dict.fromkeys(str(row["symbol"]) for row in rows))
    return _weighted(in_order(TrainingTable(
        names=ENTRY_FEATURES, rows=values.astype(np.float32), labels=won.astype(np.int64), starts_ns=starts,
        ends_ns=ends, known_ns=starts, net_returns=net, net_against=np.full(len(rows), np.nan),
        weights=np.ones(len(rows)),
        symbol=np.array([symbols.index(str(row["symbol"])) for row in rows], dtype=np.int64),
        sides=np.where(values[:, ENTRY_FEATURES.index("sign")] < 0.0, -1, 1).astype(np.int64), symbols=symbols,
        source=source,
    )))


def _weighted(table: TrainingTable) -> TrainingTable:
    return msgspec.structs.replace(table, weights=sample_weights(table.starts_ns, table.ends_ns, NS_PER_HOUR))
