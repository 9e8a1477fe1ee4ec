"""A recording: aligned, streamed, checked, with the same content for every chunk size."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE
from quantum_trader.domain.errors import ConfigError, DataError
from quantum_trader.market import store
from quantum_trader.market.funding import rates_per_8h
from quantum_trader.market.generate import generated_recording, write_generated
from quantum_trader.market.recording import (
    Chunk,
    Recording,
    RecordingSettings,
    bundled_path,
    moment_ns,
    open_recording,
    recording_from_arrays,
)

T0 = 1_704_067_200_000_000_000  # 2024-01-01T00:00:00Z
REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "binance_um"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="the recordings are not on this machine")


def flat(rows: int, symbols: int, price: float = 10.0) -> np.ndarray:
    """Clean bars (rows, symbols, 5)."""
    return np.tile([price, price + 1.0, price - 1.0, price, 5.0], (rows, symbols, 1))


def joined(recording: Recording, max_rows: int, start_row: int = 0) -> Chunk:
    """The recording put together from chunks."""
    chunks = list(recording.chunks(max_rows, start_row))
    return Chunk(*(np.concatenate(parts) for parts in zip(*chunks, strict=True)))


def same(first: Chunk, second: Chunk) -> bool:
    """Whether two chunks are equal bit by bit."""
    pairs = zip(first, second, strict=True)
    return all(np.array_equal(one, two, equal_nan=one.dtype.kind == "f") for one, two in pairs)


def test_symbols_are_aligned_on_the_union_of_times() -> None:
    """A moment exists when any symbol has a bar; absent cells are NaN and not present."""
    ts = T0 + np.array([0, 1, 2, 5]) * NS_PER_MINUTE
    present = np.array([[True, True], [True, False], [False, True], [True, False]])
    chunk = recording_from_arrays(["A", "B"], "1m", ts, flat(4, 2), present).arrays()
    assert np.array_equal(chunk.ts_ns, ts)
    assert np.array_equal(chunk.present, present)
    assert np.isnan(chunk.ohlcv[~present]).all()
    assert (chunk.ohlcv[present] == [10.0, 11.0, 9.0, 10.0, 5.0]).all()


def test_zero_volume_bars_are_outages() -> None:
    """A bar without volume is absent and counted; with the setting off it is a bar like any other."""
    bars = flat(4, 1)
    bars[1, 0, 4] = 0.0
    ts = T0 + np.arange(4) * NS_PER_MINUTE
    recording = recording_from_arrays(["A"], "1m", ts, bars)
    assert recording.arrays().present[:, 0].tolist() == [True, False, True, True]
    assert (recording.report.outages, recording.report.bars, recording.report.moments) == (1, 3, 4)
    kept = recording_from_arrays(["A"], "1m", ts, bars, settings=RecordingSettings(zero_volume_is_outage=False))
    assert kept.arrays().present.all()
    assert (kept.report.outages, kept.report.bars) == (1, 4)


def test_hole_is_marked_at_the_last_bar_before_it() -> None:
    """More than a day without a traded bar, and an end more than a day before the others', are holes."""
    ts = T0 + np.arange(100) * NS_PER_HOUR
    present = np.ones((100, 3), dtype=bool)
    present[11:36, 0] = False  # 25 bars missing: a hole
    present[11:35, 1] = False  # 24 bars missing: exactly a day, no hole
    present[50:, 2] = False  # ends early
    recording = recording_from_arrays(["A", "B", "C"], "1h", ts, flat(100, 3), present)
    hole_after = recording.arrays().hole_after
    assert np.argwhere(hole_after).tolist() == [[10, 0], [49, 2]]
    assert [one.holes for one in recording.report.symbols] == [1, 0, 1]
    assert same(joined(recording, 7), recording.arrays())


def test_an_outage_of_more_than_a_day_is_a_hole() -> None:
    """What counts is bars that traded: a source that fills two days with empty bars hides a hole."""
    bars = flat(100, 1)
    bars[20:60, 0, 4] = 0.0
    recording = recording_from_arrays(["A"], "1h", T0 + np.arange(100) * NS_PER_HOUR, bars)
    assert np.argwhere(recording.arrays().hole_after).tolist() == [[19, 0]]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 400), st.integers(0, 350), st.integers(0, 2**32 - 1))
def test_chunks_are_the_same_however_they_are_cut(max_rows: int, start_row: int, seed: int) -> None:
    """Chunk size never changes content, and resuming at a row gives exactly what follows it."""
    rng = np.random.default_rng(seed)
    present = rng.random((300, 3)) < 0.7
    present[0] = True
    bars = flat(300, 3)
    bars[..., 4] *= rng.random((300, 3)) < 0.95
    bars[0, :, 4] = 1.0
    recording = recording_from_arrays(["A", "B", "C"], "1h", T0 + np.arange(300) * NS_PER_HOUR, bars, present)
    whole = recording.arrays()
    if start_row >= recording.moments:
        assert list(recording.chunks(max_rows, start_row)) == []
        return
    tail = Chunk(*(part[start_row:] for part in whole))
    assert same(joined(recording, max_rows, start_row), tail)


def test_resume_by_time_is_resume_by_row() -> None:
    """start_ns picks the first moment at or after it."""
    recording = generated_recording(2, "1m", bars=500)
    row = 123
    by_time = next(recording.chunks(50, start_ns=int(recording.times[row]) - 1))
    assert same(by_time, next(recording.chunks(50, start_row=row)))


def test_fingerprint_follows_content_range_and_symbols(tmp_path: Path) -> None:
    """Equal content has an equal fingerprint wherever it comes from; any change shows."""
    made = generated_recording(["A", "B"], "1m", bars=2_000, seed=3)
    root = write_generated(tmp_path, ["A", "B"], "1m", bars=2_000, seed=3)
    stored = open_recording(root)
    assert stored.fingerprint == made.fingerprint
    assert same(stored.arrays(), made.arrays())
    others = [
        open_recording(root, symbols=["A"]), open_recording(root, symbols=["B", "A"]),
        open_recording(root, end="2024-01-01T10:00:00"), generated_recording(["A", "B"], "1m", bars=2_000, seed=4),
    ]
    assert len({one.fingerprint for one in [stored, *others]}) == 5
    chunk = made.arrays()
    chunk.ohlcv[700, 1, 4] += 0.001
    assert recording_from_arrays(["A", "B"], "1m", chunk.ts_ns, chunk.ohlcv).fingerprint != made.fingerprint


def test_bundled_bars_are_what_the_docs_say() -> None:
    """Five symbols, two years of half hours, no fault, assumed funding stated, and an unchanged content hash."""
    recording = open_recording()
    assert recording.symbols == ("BTCUSDT", "EOSUSDT", "ETHUSDT", "LTCUSDT", "XRPUSDT")
    assert (recording.interval, recording.source, recording.moments) == ("30m", "bundled", 35_022)
    assert recording.start_ns == moment_ns("2017-10-01")
    assert recording.end_ns == moment_ns("2019-10-01T00:30:00")
    report = recording.report
    assert (report.bars, report.gaps, report.outages, report.holes) == (175_005, 69, 0, 0)
    assert recording.funding == {}
    assert recording.funding_source == "assumed"
    assert "0.01 % every 8 hours" in recording.funding_statement
    assert "spot" in recording.notes[0]
    assert recording.fingerprint == "7c2d50d3512450992ad230bbaadb59b417042b57ac4ca9ba6b1abe039cd962ca"


def test_range_is_start_included_end_excluded() -> None:
    """A date as the end includes that day; a moment does not include the bar that opens at it."""
    by_day = open_recording(None, "30m", ["BTCUSDT"], date(2018, 1, 1), "2018-01-02")
    assert (by_day.start_ns, by_day.end_ns) == (moment_ns("2018-01-01"), moment_ns("2018-01-03"))
    by_time = open_recording(
        None, "30m", ["BTCUSDT"], datetime(2018, 1, 1, 0, 10, tzinfo=UTC), "2018-01-01T02:00:00Z"
    )
    assert np.array_equal(by_time.times, moment_ns("2018-01-01") + np.arange(1, 4) * 30 * NS_PER_MINUTE)
    assert same(by_time.arrays(), Chunk(*(part[1:4] for part in by_day.arrays())))


ABSENT = [
    (dict(path="nowhere"), "there is no such folder"),
    (dict(interval="5m"), r"there are no 5m bars \(expected .*bars_5m\); there are 30m"),
    (dict(interval="7m"), "'7m' is not known: use one of 1m"),
    (dict(symbols=["BTCUSDT", "DOGEUSDT"]), "no bars of DOGEUSDT; there are BTCUSDT, EOSUSDT"),
    (dict(symbols=[]), "no symbols were asked for"),
    (dict(symbols=["BTCUSDT", "BTCUSDT"]), "BTCUSDT is named twice"),
    (dict(start="2024-01-01"), "no bars from 2024-01-01T00:00:00Z to the end; there are 2017-10-01T00:00:00Z to"),
    (dict(symbols=["BTCUSDT"], end="2016-01-01"), "BTCUSDT has no bars from the start to 2016-01-02"),
    (dict(start="2018-02-01", end="2018-01-01"), "is empty: give an end after the start"),
]


@pytest.mark.parametrize(("arguments", "message"), ABSENT)
def test_missing_data_is_reported_with_the_stored_data(arguments: dict[str, object], message: str) -> None:
    """The error for a missing folder, interval, symbol or range lists what is stored."""
    with pytest.raises(DataError, match=message):
        open_recording(**arguments)  # type: ignore[arg-type]


def test_an_unreadable_time_is_refused() -> None:
    """Text that is no date is a settings error that shows the form."""
    with pytest.raises(ConfigError, match="'soon' is no time: write 2024-01-31"):
        open_recording(start="soon")


BAD = [(0, np.nan, "open = nan"), (2, 0.0, "low = 0.0"), (3, -1.0, "close = -1.0"), (1, 3.0, "high = 3.0"),
       (4, -2.0, "volume = -2.0")]


@pytest.mark.parametrize(("column", "value", "message"), BAD)
def test_a_bad_bar_in_a_file_stops_the_opening(tmp_path: Path, column: int, value: float, message: str) -> None:
    """NaN, zero, negative, crossed: the file, its row and the value are named before anything runs."""
    rows = store.ROW_GROUP + 20
    bars = flat(rows, 1)[:, 0]
    bars[rows - 5, column] = value
    store.write_series(tmp_path, "1m", "A", T0 + np.arange(rows) * NS_PER_MINUTE, bars)
    with pytest.raises(DataError, match=rf"A\.parquet: row {rows - 4} .*{message}"):
        open_recording(tmp_path)
    early = open_recording(tmp_path, end=T0 + 100 * NS_PER_MINUTE)
    assert early.moments == 100


def test_time_going_backwards_stops_the_opening(tmp_path: Path) -> None:
    """Two bars in the wrong order are refused, also across the pieces a file is read in."""
    rows = store.ROW_GROUP + 20
    ts = T0 + np.arange(rows) * NS_PER_MINUTE
    ts[store.ROW_GROUP] = ts[store.ROW_GROUP - 1]
    store.write_series(tmp_path, "1m", "A", ts, flat(rows, 1)[:, 0])
    with pytest.raises(DataError, match=f"row {store.ROW_GROUP + 1} .*duplicate"):
        open_recording(tmp_path)
    ts = T0 + np.arange(50) * NS_PER_MINUTE
    ts[30] -= 10 * NS_PER_MINUTE
    store.write_series(tmp_path, "1m", "A", ts, flat(50, 1)[:, 0])
    with pytest.raises(DataError, match="row 31 .*duplicate"):
        open_recording(tmp_path)


def test_a_wild_time_stamp_is_an_error_not_a_huge_grid(tmp_path: Path) -> None:
    """Seconds taken as milliseconds put a bar decades away; the error comes before memory is allocated."""
    bars = np.concatenate(([0], T0 + np.arange(6) * NS_PER_MINUTE))
    store.write_series(tmp_path, "1m", "A", bars, flat(7, 1)[:, 0])
    with pytest.raises(DataError, match="a time stamp is far off"):
        open_recording(tmp_path)


def test_symbols_without_bars_in_the_range_are_left_out_and_noted(tmp_path: Path) -> None:
    """Without a list of symbols those that have bars are taken; the notes name the others."""
    store.write_series(tmp_path, "1h", "A", T0 + np.arange(48) * NS_PER_HOUR, flat(48, 1)[:, 0])
    store.write_series(tmp_path, "1h", "B", T0 + np.arange(24) * NS_PER_HOUR, flat(24, 1)[:, 0])
    recording = open_recording(tmp_path, start=T0 + NS_PER_DAY)
    assert recording.symbols == ("A",)
    assert recording.notes == ("Left out, without bars in the range: B.",)


def test_funding_is_the_venues_where_there_is_one(tmp_path: Path) -> None:
    """History is cut to the symbol's bars; a symbol without one is named with the assumed rate."""
    hours = T0 + np.arange(96) * NS_PER_HOUR
    store.write_series(tmp_path, "1h", "A", hours, flat(96, 1)[:, 0])
    store.write_series(tmp_path, "1h", "B", hours, flat(96, 1)[:, 0])
    times = T0 - 8 * NS_PER_HOUR + np.arange(30) * 8 * NS_PER_HOUR + 7_000_000  # stamped 7 ms late, as venues do
    store.merge_funding(tmp_path, "A", times, np.arange(30) * 1e-5)
    recording = open_recording(tmp_path)
    ts, rate = recording.funding["A"]
    assert np.array_equal(ts, T0 + np.arange(13) * 8 * NS_PER_HOUR)
    assert rate.tolist() == [n * 1e-5 for n in range(1, 14)]
    assert set(recording.funding) == {"A"}
    assert recording.funding_source == "mixed"
    assert "is assumed for B (no history)" in recording.funding_statement
    assert recording.funding_8h["A"].tolist() == rate.tolist()
    alone = open_recording(tmp_path, symbols=["A"])
    assert alone.funding_source == "venue history"


def test_missing_payments_inside_a_history_are_filled_and_counted() -> None:
    """Two days without a payment get the assumed rate at 00, 08 and 16 UTC, and the statement says how many."""
    ts = T0 + np.arange(24 * 6) * NS_PER_HOUR
    times = T0 + np.array([0, 8, 16, 72, 80, 88, 96, 104, 112, 120, 128, 136]) * NS_PER_HOUR
    recording = recording_from_arrays(
        ["A"], "1h", ts, flat(len(ts), 1), funding={"A": (times, np.full(len(times), 3e-4))},
        settings=RecordingSettings(assumed_funding_rate=2e-4),
    )
    found, rate = recording.funding["A"]
    assert np.array_equal(found, T0 + np.arange(18) * 8 * NS_PER_HOUR)
    assert rate.tolist() == [3e-4] * 3 + [2e-4] * 6 + [3e-4] * 9
    assert recording.funding_8h["A"].tolist() == rate.tolist(), "a gap is no interval"
    assert "6 payments missing" in recording.funding_statement


@pytest.mark.parametrize("cut", [24, 40, 71, 80])
def test_a_range_that_begins_in_a_gap_has_the_payments_of_the_longer_one(tmp_path: Path, cut: int) -> None:
    """And so have the bars of before it: the same rates at the same times, wherever the range begins."""
    hours = T0 + np.arange(24 * 6) * NS_PER_HOUR
    store.write_series(tmp_path, "1h", "A", hours, flat(len(hours), 1)[:, 0])
    times = T0 + np.array([0, 8, 16, 72, 80, 88, 96, 104, 112, 120, 128, 136]) * NS_PER_HOUR
    store.merge_funding(tmp_path, "A", times, np.full(len(times), 3e-4))
    start_ns = int(T0 + cut * NS_PER_HOUR)
    whole, part = open_recording(tmp_path), open_recording(tmp_path, start=start_ns, warm_up=True)
    times, rates = whole.funding["A"]
    later, earlier = times >= start_ns, times < start_ns
    assert part.funding["A"][0].tolist() == times[later].tolist()
    assert part.funding["A"][1].tolist() == rates[later].tolist()
    assert part.earlier is not None
    before = part.earlier.funding["A"]
    assert before[0][before[0] < start_ns].tolist() == times[earlier].tolist()
    assert before[1][before[0] < start_ns].tolist() == rates[earlier].tolist()


@pytest.mark.parametrize("hours", [1, 2, 4, 8])
def test_a_rate_is_read_by_the_interval_of_its_contract(hours: int) -> None:
    """-2 % each 2 hours is -8 % per 8 hours; the first payment's interval is told by its hour of the day."""
    ts = T0 + np.arange(48) * NS_PER_HOUR
    times = T0 + hours * NS_PER_HOUR + np.arange(48 // hours - 1) * hours * NS_PER_HOUR
    recording = recording_from_arrays(
        ["A"], "1h", ts, flat(len(ts), 1), funding={"A": (times, np.full(len(times), -0.02))}
    )
    assert recording.funding["A"][1].tolist() == [-0.02] * len(times)
    assert recording.funding_8h["A"].tolist() == pytest.approx([-0.16 / hours] * len(times))


def test_what_is_paid_later_does_not_change_how_a_rate_is_read() -> None:
    """A contract that changes from 8 hours to 1: each payment counts by the time since the one before it."""
    times = T0 + np.array([0, 8, 16, 17, 18, 19]) * NS_PER_HOUR
    rates = np.full(len(times), 1e-4)
    assert rates_per_8h(times, rates).tolist() == pytest.approx([1e-4] * 3 + [8e-4] * 3)
    for cut in range(1, len(times)):
        assert rates_per_8h(times[:cut], rates[:cut]).tolist() == rates_per_8h(times, rates)[:cut].tolist()


def test_bad_funding_and_settings_are_refused() -> None:
    """A rate that is no number, times out of order, and a percentage given as a fraction are errors."""
    ts = T0 + np.arange(24) * NS_PER_HOUR
    for times, rates in (([T0], [np.nan]), ([T0 + NS_PER_HOUR, T0], [1e-4, 1e-4])):
        with pytest.raises(DataError, match="funding of A: row"):
            recording_from_arrays(["A"], "1h", ts, flat(24, 1), funding={"A": (np.array(times), np.array(rates))})
    with pytest.raises(ConfigError, match="assumed_funding_rate = 1.0"):
        RecordingSettings(assumed_funding_rate=1.0)


def test_shapes_that_do_not_fit_are_refused() -> None:
    """Arrays of another shape, and a symbol without a bar, are errors."""
    ts = T0 + np.arange(4) * NS_PER_HOUR
    with pytest.raises(DataError, match=r"ohlcv is \(4, 2, 5\)"):
        recording_from_arrays(["A"], "1h", ts, flat(4, 2))
    with pytest.raises(DataError, match="A has no bars"):
        recording_from_arrays(["A"], "1h", ts, flat(4, 1), np.zeros((4, 1), dtype=bool))


def test_generated_bars_are_clean_seeded_and_lifelike() -> None:
    """The same seed gives the same bits; tails are fat, volatility clusters, symbols move together."""
    first = generated_recording(3, "1m", bars=40_000, seed=9)
    assert first.fingerprint == generated_recording(3, "1m", bars=40_000, seed=9).fingerprint
    assert (first.report.gaps, first.report.outages, first.report.bars) == (0, 0, 120_000)
    returns = np.diff(np.log(first.arrays().ohlcv[:, :, 3]), axis=0)
    assert ((returns / returns.std(0)) ** 4).mean() > 6.0
    assert np.corrcoef(returns.T)[0, 1] > 0.15
    calm = np.abs(returns[60:, 0])
    assert np.corrcoef(calm, np.abs(returns[:-60, 0]))[0, 1] > 0.05


def test_iterating_keeps_memory_flat() -> None:
    """Ten symbols of 100,000 bars (40 MB as numbers) pass through in a fraction of that."""
    recording = generated_recording(10, "1m", bars=100_000)
    tracemalloc.start()
    rows = sum(len(chunk.ts_ns) for chunk in recording.chunks(4096))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == 100_000
    assert peak < 30e6


@needs_real
def test_real_recording_with_real_funding() -> None:
    """Binance USD-M 5-minute bars of 2024: outages counted, the hole in ETH found, funding as it was paid."""
    recording = open_recording(REAL, "5m", ["BTCUSDT", "ETHUSDT", "SOLUSDT"], "2024-01-01", "2024-12-31")
    assert recording.moments == 105_408
    assert recording.report.holes == 1
    assert [one.outages for one in recording.report.symbols] == [16, 16, 16]
    assert recording.funding_source == "venue history"
    rows = sum(int(chunk.present.sum()) for chunk in recording.chunks())
    assert rows == recording.report.bars == 276_043


def test_bundled_path_is_a_bar_store() -> None:
    """The bundled bars have the one layout there is."""
    assert store.intervals_of(bundled_path()) == ["30m"]
