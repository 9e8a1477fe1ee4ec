"""Candles of a symbol, with the signals that were allowed and the market states behind them.

They come from the journal, or from the bundled recording.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from quantum_trader.app.api.endpoints import Call, Endpoint
from quantum_trader.app.api.freqtrade.candles import EVER, MOST, USUAL, Candles
from quantum_trader.app.api.freqtrade.facts import RunView
from quantum_trader.app.api.freqtrade.words import NS_PER_MS, symbol_of
from quantum_trader.app.api.read_endpoints import V1
from quantum_trader.app.api.reader import AS_OF, RunReader, query_time_ns

_TAKEN: Final = ("__date_ts", "open", "high", "low", "close", "volume", "enter_long", "enter_short")
_STATES: Final = (  # the last change before the first candle, and the last one within each
    "select max(ts_ns) as ts_ns, max_by(after, (ts_ns, seq)) as regime from regimes where symbol = $symbol "
    "and ts_ns <= $ends group by case when ts_ns <= $begins then -1 else (ts_ns - $begins) // $length end order by 1"
)


class CandleQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which candles."""

    symbol: Annotated[str, msgspec.Meta(max_length=100)]
    timeframe: Annotated[str, msgspec.Meta(max_length=8, description="As 4h; empty: the run's own bars.")] = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST, description="The newest so many.")] = USUAL
    as_of: Annotated[str, AS_OF] = ""


class Candle(msgspec.Struct, frozen=True, kw_only=True):
    """One candle. *ts_ns* is its opening; prices are quote units; *long* and *short*: a signal was allowed in it."""

    ts_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    long: bool
    short: bool


class RegimeSpan(msgspec.Struct, frozen=True, kw_only=True):
    """A market state of the symbol, such as TRENDING UP NORMAL, and from when to when it held."""

    from_ns: int
    to_ns: int
    regime: str


class CandlesOfSymbol(msgspec.Struct, frozen=True, kw_only=True):
    """Candles, oldest first, each of *length_ns*; the newest may still lack bars.

    *regimes*: the market states over the time of the candles, oldest first; of several that ended within one candle the
    last one.
    """

    symbol: str
    timeframe: str
    length_ns: int
    candles: list[Candle]
    regimes: list[RegimeSpan]


def candle_endpoints(reader: RunReader) -> list[Endpoint]:
    """The road to the candles of the run in *reader*'s folder."""
    view = RunView(reader)
    candles = Candles(view)

    def run(call: Call) -> CandlesOfSymbol:
        until_ns = query_time_ns("as_of", call.query.as_of) if call.query.as_of else EVER
        found = candles.answer(call.query.symbol, call.query.timeframe, call.query.limit, until_ns=until_ns)
        places = [found["columns"].index(name) for name in _TAKEN]
        rows = [[row[place] for place in places] for row in found["data"]]
        length_ns = found["timeframe_ms"] * NS_PER_MS
        return CandlesOfSymbol(
            symbol=call.query.symbol, timeframe=found["timeframe"], length_ns=length_ns,
            candles=[
                Candle(ts_ns=ms * NS_PER_MS, open=opened, high=high, low=low, close=close, volume=volume,
                       long=bool(long), short=bool(short))
                for ms, opened, high, low, close, volume, long, short in rows
            ],
            regimes=_regimes(
                view, symbol_of(call.query.symbol), rows[0][0] * NS_PER_MS,
                min(rows[-1][0] * NS_PER_MS + length_ns, until_ns, view.now_ns()), length_ns,
            ) if rows else [],
        )

    return [Endpoint(
        path=f"{V1}/candles", summary="Candles of a symbol, with the signals that were allowed and the market states.",
        tag="lists", answers=CandlesOfSymbol, query=CandleQuery, run=run,
        example={"symbol": "BTCUSDT", "timeframe": "4h", "length_ns": 14400000000000, "candles": [], "regimes": [
            {"from_ns": 1551025800000000000, "to_ns": 1551040200000000000, "regime": "TRENDING UP NORMAL"},
        ]},
    )]


def _regimes(view: RunView, symbol: str, begins_ns: int, ends_ns: int, length_ns: int) -> list[RegimeSpan]:
    """The market states of *symbol* between two times, at most one more than candles."""
    params: Any = {"symbol": symbol, "begins": begins_ns, "ends": ends_ns, "length": length_ns}
    rows = view.rows(_STATES, params)
    ends = [*(row["ts_ns"] for row in rows[1:]), ends_ns]
    return [
        RegimeSpan(from_ns=max(begins_ns, row["ts_ns"]), to_ns=end, regime=row["regime"])
        for row, end in zip(rows, ends, strict=True) if end > begins_ns
    ]
