"""The table that a meta-label is trained on: every signal with a known result, its features and whether it won."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from quantum_trader.lab.shadows.judged_signals import JudgedSignals, read_judged_signals
from quantum_trader.market.arrays import Floats, Ints
from quantum_trader.models.entry_features import ENTRY_FEATURES


class MetaLabelTable(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """n signals in the order in which they were given, traded or not; arrays share that axis.

    A label is known over the closed span from the signal to the end of its shadow trade.
    """

    names: tuple[str, ...]  # of the K features: models.entry_features.ENTRY_FEATURES
    rows: Floats  # (n, K); NaN: not known
    labels: Ints  # 1: won after costs and funding; 0: it did not
    net_bps: Floats  # of the entry's notional, after costs and funding
    r: Floats  # weighted by risk
    starts_ns: Ints  # the signal
    ends_ns: Ints  # when the result was known
    known_ns: Ints  # time of the newest datum in the row
    gate_inputs: Floats  # (n, 10) models.gates.GateInputs, as the decision's own record has them; NaN: not recorded
    record_numbers: Ints  # (n, 2) in the journal: of the record of the features, of that of the result
    signal_ids: tuple[str, ...]
    symbols: tuple[str, ...]  # of each signal
    models: tuple[str, ...]  # that gave each signal
    data_hash: str  # of the signals and results that it was made of
    left_out: int  # signals without a known result, or with features of another version
    damage: tuple[str, ...] = ()  # what of the journal could not be read

    def __len__(self) -> int:
        return len(self.labels)


def meta_label_table(state: Path | str) -> MetaLabelTable:
    """The training table of the journal in the state folder *state*.

    Signals behind the first one whose shadow trade is open are left out: of those only the quick results are known,
    and stops are quicker than targets. Raises StateError where there is no journal or no signal that was judged.
    """
    return meta_label_rows(read_judged_signals(state))


def meta_label_rows(signals: JudgedSignals) -> MetaLabelTable:
    """The training table of *signals*."""
    rows = signals.settled & np.isfinite(signals.features[:, 0])
    places = np.flatnonzero(rows).tolist()
    return MetaLabelTable(
        names=ENTRY_FEATURES, rows=signals.features[rows], labels=(signals.net_bps[rows] > 0.0).astype(np.int64),
        net_bps=signals.net_bps[rows], r=signals.r[rows], starts_ns=signals.ts_ns[rows], ends_ns=signals.end_ns[rows],
        known_ns=signals.features_ns[rows], gate_inputs=signals.gate_inputs[rows],
        record_numbers=signals.record_numbers[rows], signal_ids=tuple(signals.signal_ids[at] for at in places),
        symbols=tuple(signals.symbols[at] for at in places), models=tuple(signals.models[at] for at in places),
        data_hash=signals.data_hash, left_out=len(signals) - len(places), damage=signals.damage,
    )
