"""Shadow trades of a sweep pay the funding that the engine's pay, to the last bit, at every interval of a contract."""

from __future__ import annotations

import numpy as np
import pytest
from tests.lab.test_sweep_equals_engine import EAGER, LIVE, rough_recording, sweep_settings, through_engine

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.lab.sweep.market import prepare
from quantum_trader.market.instruments import instruments_for
from quantum_trader.market.recording import Recording, recording_from_arrays
from quantum_trader.pilot.paid_rates import PaidRates

HOURS = (1, 4, 8)  # of the first three symbols; the last one pays the assumed rate


def paying(seed: int, hours: int = 1_200) -> Recording:
    """A wild market whose symbols pay every 1, 4 and 8 hours, the last one at an assumed rate; bars are missing."""
    rough = rough_recording(seed, hours=hours)
    chunk = rough.arrays()
    random = np.random.default_rng(seed)
    funding = {}
    for symbol, interval in zip(rough.symbols[:3], HOURS, strict=True):
        times = rough.times[::interval][3:-3]
        funding[symbol] = (times + 2_000_000, random.normal(0.0, 0.003, len(times)))
    return recording_from_arrays(
        rough.symbols, "1h", chunk.ts_ns, np.nan_to_num(chunk.ohlcv, nan=1.0), chunk.present, funding=funding
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_the_shadows_of_tape_and_engine_are_equal(seed: int) -> None:
    """Symbol, signal and R of every shadow trade in the order they ended; and funding made many of them differ."""
    recording, settings = paying(seed), sweep_settings("STANDARD", LIVE, signals=EAGER)
    engine, _, _, _ = through_engine(recording, settings)
    instruments = instruments_for(recording.symbols, recording.first_closes().tolist()).instruments
    tape = prepare(recording, instruments, settings).tape
    shadows = engine.records.tally.shadows
    np.testing.assert_array_equal(tape.shadow_r, shadows.r)
    np.testing.assert_array_equal(tape.shadow_signal + 1, shadows.seq)
    chunk = recording.arrays()
    unfunded = recording_from_arrays(
        recording.symbols, "1h", chunk.ts_ns, np.nan_to_num(chunk.ohlcv, nan=1.0), chunk.present
    )
    without = prepare(unfunded, instruments, settings).tape
    np.testing.assert_array_equal(tape.shadow_signal, without.shadow_signal)
    assert np.mean(tape.shadow_r != without.shadow_r) > 0.2


@pytest.mark.parametrize("seed", [2, 3])
def test_the_rates_of_the_tape_are_those_that_a_running_system_learns_of(seed: int) -> None:
    """Payment by payment through the engine's own book-keeping, also where nothing is held."""
    recording = paying(seed)
    settings = sweep_settings("STANDARD", LIVE)
    instruments = instruments_for(recording.symbols, recording.first_closes().tolist()).instruments
    due = prepare(recording, instruments, settings).tape.funding_due
    paid, at = PaidRates(len(recording.symbols)), 0
    events = sorted(
        (int(ts), place, float(rate_8h), float(rate))
        for place, symbol in enumerate(recording.symbols) if symbol in recording.funding
        for ts, rate_8h, rate in zip(
            recording.funding[symbol][0], recording.funding_8h[symbol], recording.funding[symbol][1], strict=True
        )
    )
    assumed = np.full(len(recording.symbols), settings.engine.funding_rate_8h)
    for row, ts in enumerate(recording.times.tolist()):
        while at < len(events) and events[at][0] <= ts:
            paid.pay(events[at][1], events[at][0], events[at][2], events[at][3])
            at += 1
        np.testing.assert_array_equal(paid.due(ts, assumed), due[row])
    assert np.count_nonzero(due[:, 0]) > 1_000
    whole = recording.funding[recording.symbols[2]][1].sum()
    assert due[:, 2].sum() == pytest.approx(whole + 2e-4)  # its first payment is at 24:00: 8:00 and 16:00 are assumed
    last = recording.times // (8 * NS_PER_HOUR)
    assert due[:, 3].sum() == pytest.approx(1e-4 * (last[-1] - last[0]))
