"""Candles of a run in freqtrade's shape, with its entries and exits: from the journal, or from the bundled recording.

A live process journals its bars. A replay does not; those of the recording that comes with the program are read again,
after a check that they are the same bars.
"""

from __future__ import annotations

from threading import Lock
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.app.api.errors import ApiError
from quantum_trader.app.api.freqtrade.facts import RunConfig, RunView
from quantum_trader.app.api.freqtrade.words import NS_PER_MS, date_of, ms_of, pair_of, symbol_of
from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.errors import brief
from quantum_trader.market.arrays import Floats, Ints
from quantum_trader.market.intervals import INTERVALS
from quantum_trader.market.recording import Recording, open_recording

MOST: Final = 5_000  # candles of an answer
USUAL: Final = 500
_MOST_BARS: Final = 200_000  # that are read for them
EVER: Final = (1 << 63) - 1  # no time of a bar is later
_PRICES: Final = ("open", "high", "low", "close", "volume")
_MARKS: Final = ("enter_long", "exit_long", "enter_short", "exit_short")
_COLUMNS: Final = ("date", *_PRICES, *_MARKS, "__date_ts", *(f"_{name}_signal_close" for name in _MARKS))
_BUNDLED: Final = "bundled"


class Candles:
    """The candles of one run."""

    def __init__(self, view: RunView) -> None:
        self._view = view
        self._lock = Lock()
        self._recording: Recording | None = None

    def answer(
        self, pair: str, timeframe: str, limit: int, columns: list[str] | None = None, until_ns: int = EVER
    ) -> dict[str, Any]:
        """The newest *limit* candles of *pair*, of bars that were complete at *until_ns*.

        *columns*: those of the answer beside date, prices and volume.

        ApiError for a pair that the run does not trade, a timeframe that its bars do not make, and bars that are not
        at hand.
        """
        config, symbol = self._view.config(), symbol_of(pair)
        if symbol not in config.symbols:
            raise ApiError(404, f"pair = {brief(pair)}: the run does not trade it; it trades "
                                f"{', '.join(map(pair_of, config.symbols))}")
        length_ns = _length_of(timeframe or config.timeframe, config)
        count = min(limit or USUAL, MOST)
        bars = min(count * (length_ns // config.interval_ns), _MOST_BARS)
        opens_ns, ohlcv = self._bars(config, symbol, bars, until_ns)
        opens_ns, ohlcv = _joined(opens_ns, ohlcv, length_ns)
        opens_ns, ohlcv = opens_ns[-count:], ohlcv[-count:]
        marks = self._marks(symbol, opens_ns, length_ns, until_ns)
        return _document(config, symbol, length_ns, opens_ns, ohlcv, marks, columns)

    def last(self, symbol: str, until_ns: int = EVER) -> float:
        """The newest close of *symbol* at *until_ns*; 0.0 where none is at hand."""
        try:
            _, ohlcv = self._bars(self._view.config(), symbol, 1, until_ns)
        except ApiError:
            return 0.0
        return float(ohlcv[-1, 3]) if len(ohlcv) else 0.0

    # ---- bars --------------------------------------------------------------------------------------------------------
    def _bars(self, config: RunConfig, symbol: str, count: int, until_ns: int) -> tuple[Ints, Floats]:
        """Times of opening (n,) and bars (n, 5) of the last *count* of *symbol* at *until_ns*, oldest first."""
        found = self._view.rows(
            "select ts_ns, ohlcv[place] as bar from (select ts_ns, seq, ohlcv, list_position(symbols, ?) as place "
            "from bars where ts_ns <= ?) where place > 0 order by ts_ns desc, seq desc limit ?",
            [symbol, until_ns, count],
        )
        if not found:
            return self._recorded(config, symbol, count, until_ns)
        once = {row["ts_ns"]: row["bar"] for row in found}  # of several of one moment the first that came
        times = np.array(sorted(once), dtype=np.int64)
        values = [_numbers(once[int(one)]) for one in times]
        return times - config.interval_ns, np.array(values, dtype=np.float64).reshape(-1, 5)

    def _recorded(self, config: RunConfig, symbol: str, count: int, until_ns: int) -> tuple[Ints, Floats]:
        if config.recording.source != _BUNDLED:
            source = config.recording.source or "an exchange"
            raise ApiError(409, f"the journal holds no bars yet, and the run's come from {brief(source)}: a replay "
                                "journals none, and only those of the bundled recording can be read again")
        recording = self._opened(config)
        place, until_ns = list(recording.symbols).index(symbol), min(until_ns, self._view.now_ns())
        times, rows = [], []
        for ts_ns, ohlcv, present, _ in recording.chunks():
            kept = present[:, place] & (ts_ns + config.interval_ns <= until_ns)
            times.append(ts_ns[kept])
            rows.append(ohlcv[kept, place])
        return np.concatenate(times)[-count:], np.concatenate(rows)[-count:]

    def _opened(self, config: RunConfig) -> Recording:
        stated = config.recording
        with self._lock:
            if self._recording is None:
                found = open_recording(
                    None, stated.interval, stated.symbols, stated.start_ns, stated.end_ns,
                    settings=config.recording_settings, warm_up=config.has_bars_before,
                )
                if found.fingerprint != stated.fingerprint:
                    raise ApiError(409, "the recording that comes with this version of the program has other bars than "
                                        "the run had")
                self._recording = found
            return self._recording

    # ---- what was traded ---------------------------------------------------------------------------------------------
    def _marks(self, symbol: str, opens_ns: Ints, length_ns: int, until_ns: int) -> dict[str, Floats]:
        """0 or 1 for each candle: a signal that was allowed at its close or within it, and the end of a trade.

        None of them later than *until_ns*.
        """
        marks = {name: np.zeros(len(opens_ns)) for name in _MARKS}
        if not len(opens_ns):
            return marks
        span = [symbol, int(opens_ns[0]), min(int(opens_ns[-1]) + length_ns, until_ns)]
        found = self._view.rows(
            "select ts_ns, 'enter_' || lower(action) as mark from decisions where kind = 'signal.decided' and "
            "decision = 'ALLOWED' and symbol = ? and ts_ns > ? and ts_ns <= ? union all "
            "select exit_ns, 'exit_' || lower(side) from trades where kind = 'trade.closed' and symbol = ? "
            "and exit_ns > ? and exit_ns <= ?", [*span, *span],
        )
        for row in found:
            place = int(np.searchsorted(opens_ns, row["ts_ns"], side="left")) - 1
            if row["mark"] in marks and place >= 0 and row["ts_ns"] <= opens_ns[place] + length_ns:
                marks[row["mark"]][place] = 1.0
        return marks


def _numbers(bar: Any) -> list[float]:
    """A bar as SQL gives it: a list, or its JSON."""
    return list(bar) if isinstance(bar, list | tuple) else msgspec.json.decode(bar, type=list[float])


def _length_of(timeframe: str, config: RunConfig) -> int:
    """The length (ns) of *timeframe*, which whole bars of the run make."""
    length_ns = INTERVALS.get(timeframe, 0)
    if not length_ns or length_ns % config.interval_ns:
        usable = [name for name, length in INTERVALS.items() if length % config.interval_ns == 0]
        raise ApiError(400, f"timeframe = {brief(timeframe)}: the run's bars of {config.timeframe} do not make it; "
                            f"use one of {', '.join(usable)}")
    return length_ns


def _joined(opens_ns: Ints, ohlcv: Floats, length_ns: int) -> tuple[Ints, Floats]:
    """Candles of *length_ns* of shorter bars; the first and the last may lack some."""
    if not len(opens_ns):
        return opens_ns, ohlcv
    starts_ns, first = np.unique(opens_ns // length_ns * length_ns, return_index=True)
    last = np.append(first[1:], len(opens_ns)) - 1
    return starts_ns, np.column_stack([
        ohlcv[first, 0], np.maximum.reduceat(ohlcv[:, 1], first), np.minimum.reduceat(ohlcv[:, 2], first),
        ohlcv[last, 3], np.add.reduceat(ohlcv[:, 4], first),
    ])


def _document(
    config: RunConfig, symbol: str, length_ns: int, opens_ns: Ints, ohlcv: Floats, marks: dict[str, Floats],
    columns: list[str] | None,
) -> dict[str, Any]:
    """The answer to pair_candles."""
    timeframe = next(name for name, length in INTERVALS.items() if length == length_ns)
    named = {name: ohlcv[:, place].tolist() for place, name in enumerate(_PRICES)} if len(ohlcv) else {}
    told: dict[str, list[Any]] = {
        "date": [f"{(date_of(int(one)) or '').replace(' ', 'T')}Z" for one in opens_ns],
        **{name: named.get(name, []) for name in _PRICES}, **{name: marks[name].tolist() for name in _MARKS},
        "__date_ts": (opens_ns // NS_PER_MS).tolist(),
        **{f"_{name}_signal_close": [
            close if mark else None for close, mark in zip(named.get("close", []), marks[name], strict=True)
        ] for name in _MARKS},
    }
    chosen = [name for name in _COLUMNS if columns is None or name in ("date", *_PRICES, "__date_ts", *columns)
              or name.startswith("_")]
    first, last = (int(opens_ns[0]), int(opens_ns[-1])) if len(opens_ns) else (0, 0)
    made_ns = last + length_ns if last else 0
    return {
        "strategy": config.strategy, "pair": pair_of(symbol), "timeframe": timeframe,
        "timeframe_ms": length_ns // NS_PER_MS, "columns": chosen, "all_columns": list(_COLUMNS),
        "data": [list(row) for row in zip(*(told[name] for name in chosen), strict=True)], "length": len(opens_ns),
        **{f"{name}_signals": int(marks[name].sum()) for name in _MARKS},
        "buy_signals": int(marks["enter_long"].sum()), "sell_signals": int(marks["exit_long"].sum()),
        "last_analyzed": date_of(made_ns), "last_analyzed_ts": made_ns // NS_PER_SECOND,
        "data_start": date_of(first) or "", "data_start_ts": ms_of(first) or 0, "data_stop": date_of(last) or "",
        "data_stop_ts": ms_of(last) or 0, "annotations": [],
    }
