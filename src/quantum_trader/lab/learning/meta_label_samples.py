"""Samples of a meta-label from a journal: each signal's features at its entry, and what its shadow trade came to.

The bet is the signal's own. The label is 1 where its shadow trade won after fees, spread, slippage and funding. The
features were recorded when the signal was judged, before anything was known of its result. That is checked: by the
order of the journal's records, and by those features that the decision's inputs state too. The others can't be computed
again, because a journal does not hold the data that they were made of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from quantum_trader.domain.clock import NS_PER_HOUR, iso
from quantum_trader.domain.errors import DataError
from quantum_trader.lab.learning.evidence_file import LeakageFinding
from quantum_trader.lab.learning.leakage_checks import check_recorded
from quantum_trader.lab.learning.training_table import SampleTable, in_order, sample_weights
from quantum_trader.lab.shadows.meta_labels import MetaLabelTable, meta_label_table
from quantum_trader.market.arrays import Ints
from quantum_trader.market.costs import BPS
from quantum_trader.models.entry_features import ENTRY_FEATURES, time_features
from quantum_trader.models.gates import GateInputs

_SIGN: Final = "sign"  # the feature that says which way a signal bets
_TIMES: Final = ("hour_sin", "hour_cos", "weekday")  # what `time_features` gives


class MetaLabelSamples(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Samples of a meta-label, and which of their features were not recorded at the decisions."""

    table: SampleTable
    recorded: tuple[LeakageFinding, ...]


def meta_label_samples(
    state: Path, until_ns: int, symbols: Sequence[str] | None = None, notice: Callable[[str], None] = lambda line: None
) -> MetaLabelSamples:
    """The samples in the journal of the state folder *state* whose results were known at *until_ns*.

    Those behind the first signal whose result was not known by then are left out: of them only the quick results are
    known, and stops are quicker than targets. What else is left out is told to *notice*. Raises StateError where there
    is no journal or no signal that was judged, DataError where no result is known.
    """
    table = meta_label_table(state)
    for line in table.damage:
        notice(line)
    if table.left_out:
        notice(f"{table.left_out:,} signals have no known result, or features of another version; they are left out")
    chosen = known_until(table, until_ns, symbols)
    samples = samples_of(table, chosen, f"signals of {state.resolve().name}")
    if not len(samples.labels):
        raise DataError(
            f"{state / 'journal'}: no signal has a result until {iso(until_ns)}; give the state folder of a run with "
            "signals, such as `quantum-trader run --exit --state DIR` or `quantum-trader live --state DIR`"
        )
    weights = sample_weights(samples.starts_ns, samples.ends_ns, NS_PER_HOUR)
    return MetaLabelSamples(
        table=msgspec.structs.replace(samples, weights=weights), recorded=recorded_findings(table, chosen)
    )


def recorded_findings(table: MetaLabelTable, chosen: Ints) -> tuple[LeakageFinding, ...]:
    """Which features of the signals at the places *chosen* were not recorded at their decisions."""
    stated = {
        name: table.gate_inputs[chosen, GateInputs._fields.index(name)]
        for name in ENTRY_FEATURES if name in GateInputs._fields
    }
    has_inputs = ~np.all([np.isnan(values) for values in stated.values()], axis=0)
    times = np.array([time_features(moment) for moment in table.starts_ns[chosen].tolist()]).reshape(-1, len(_TIMES))
    times[~has_inputs] = np.nan
    again = stated | {name: times[:, place] for place, name in enumerate(_TIMES)}
    return check_recorded(table.names, table.rows[chosen], again, table.record_numbers[chosen])


def known_until(table: MetaLabelTable, until_ns: int, symbols: Sequence[str] | None) -> Ints:
    """The places of the signals of *symbols* whose results, and those of all before them, were known at *until_ns*."""
    open_yet = np.flatnonzero(table.ends_ns > until_ns)
    before = table.starts_ns < (table.starts_ns[open_yet[0]] if len(open_yet) else until_ns + 1)
    wanted = np.array([symbols is None or symbol in symbols for symbol in table.symbols], dtype=np.bool_)
    return np.flatnonzero(before & wanted & (table.ends_ns <= until_ns)).astype(np.int64)


def samples_of(table: MetaLabelTable, chosen: Ints, source: str) -> SampleTable:
    """The signals of *table* at the places *chosen* as samples, weights still 1."""
    named = [table.symbols[place] for place in chosen.tolist()]
    symbols = tuple(dict.fromkeys(named))
    rows = table.rows[chosen]
    sides = np.where(rows[:, table.names.index(_SIGN)] < 0.0, -1, 1).astype(np.int64)
    return in_order(SampleTable(
        names=table.names, rows=rows.astype(np.float32), labels=table.labels[chosen], starts_ns=table.starts_ns[chosen],
        ends_ns=table.ends_ns[chosen], known_ns=table.known_ns[chosen], net_returns=table.net_bps[chosen] / BPS,
        net_against=np.full(len(chosen), np.nan), weights=np.ones(len(chosen)),
        symbol=np.array([symbols.index(symbol) for symbol in named], dtype=np.int64), sides=sides, symbols=symbols,
        source=source,
    ))
