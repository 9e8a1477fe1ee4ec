"""Exchanges ready to serve: a recording played from some moment, a scripted tape, or recorded order books."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_MINUTE, iso
from quantum_trader.domain.errors import ConfigError
from quantum_trader.domain.instrument import Instrument
from quantum_trader.market.instruments import instruments_for
from quantum_trader.market.recording import Recording
from quantum_trader.venues.local.book import load_books
from quantum_trader.venues.local.book_source import exchange_on_books
from quantum_trader.venues.local.exchange import Exchange, ExchangeSettings
from quantum_trader.venues.local.tape import Tape

HISTORY_ROWS: Final = 1_500  # the largest number of bars in one request
_SCRIPT_START_NS: Final = 475_000 * 3_600_000_000_000


def recorded_exchange(
    recording: Recording, *, settings: ExchangeSettings = ExchangeSettings(),  # noqa: B008 - frozen
    start_ns: int | None = None, now_ns: int | None = None, instruments: Sequence[Instrument] | None = None,
) -> Exchange:
    """Return an exchange that plays *recording*.

    With *now_ns* the recording is moved so that it plays at that moment (decision 0061); without, bars keep their
    times. *start_ns* (in recorded time) is where playing begins; by default after 1500 bars of history, or a quarter
    of the recording when it is shorter, and moved by whole days. A given start, and one in a recording without this
    time of day, is moved by whole bars, and playing begins as far into its bar as *now_ns* is (decision 0104).
    ConfigError when the start lies outside.
    """
    first, last, step = recording.start_ns, recording.end_ns, recording.interval_ns
    if start_ns is None:
        history = min(HISTORY_ROWS, recording.moments // 4) * recording.interval_ns
        start_ns = first + history
        if now_ns is not None:  # the same time of day, so that hours and fundings stay where they are
            moment = start_ns + (now_ns - start_ns) % NS_PER_DAY
            moment -= NS_PER_DAY if moment >= last else 0
            if moment >= first:
                start_ns, step = moment, NS_PER_DAY
    if not first <= start_ns < last:
        raise ConfigError(f"start {iso(start_ns)}: the recording has {iso(first)} to {iso(last)}")
    shift = 0 if now_ns is None else (now_ns - start_ns) // step * step
    if now_ns is not None:
        start_ns = min(now_ns - shift, last - 1)
    table = instruments or instruments_for(recording.symbols, list(recording.first_closes())).instruments
    funding = {symbol: (times + shift, rates) for symbol, (times, rates) in recording.funding.items()}
    tape = Tape.of_recording(recording, table, shift)
    return Exchange(tape, start_ns + shift, settings, funding=funding)


def scripted_exchange(
    instruments: Sequence[Instrument], prices: Mapping[str, float], *, interval_ns: int = NS_PER_MINUTE,
    settings: ExchangeSettings = ExchangeSettings(), start_ns: int = _SCRIPT_START_NS,  # noqa: B008 - frozen
    history: int = 1,
) -> Exchange:
    """Return an exchange whose bars are appended one by one; it begins with *history* flat bars at *prices*."""
    tape = Tape.empty(instruments, interval_ns)
    start_ns -= start_ns % interval_ns
    for back in range(history, 0, -1):
        tape.append(start_ns - back * interval_ns, *flat_bar(tape, prices))
    return Exchange(tape, start_ns, settings)


def flat_bar(
    tape: Tape, prices: Mapping[str, float], volume: float = 1_000.0
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return one bar of every symbol, flat at its price; symbols without a price have none."""
    ohlcv = np.full((len(tape.symbols), 5), np.nan)
    for symbol, price in prices.items():
        ohlcv[tape.index[symbol]] = (price, price, price, price, volume)
    return ohlcv, ~np.isnan(ohlcv[:, 0])


def book_exchange(
    folder: Path, *, settings: ExchangeSettings = ExchangeSettings(), now_ns: int | None = None,  # noqa: B008 - frozen
    symbols: Sequence[str] | None = None, day: str | None = None, instruments: Sequence[Instrument] | None = None,
) -> Exchange:
    """An exchange that plays the recorded order books and trades of *folder*, moved by whole minutes to *now_ns*."""
    recording = load_books(folder, symbols, day)
    if now_ns is not None:
        shift = (now_ns - recording.start_ns) // NS_PER_MINUTE * NS_PER_MINUTE
        recording = load_books(folder, symbols, day, shift)
    first = {trade.index: trade.price for trade in reversed(recording.trades)}
    prices = [first[index] for index in range(len(recording.symbols))]
    table = instruments or instruments_for(recording.symbols, prices).instruments
    return exchange_on_books(recording, table, settings)
