"""Candles of a symbol, with the signals that were allowed: from the journal, or from the bundled recording."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from quantum_trader.app.api.endpoints import Call, Endpoint
from quantum_trader.app.api.freqtrade.candles import MOST, USUAL, Candles
from quantum_trader.app.api.freqtrade.facts import RunView
from quantum_trader.app.api.freqtrade.words import NS_PER_MS
from quantum_trader.app.api.read_endpoints import V1
from quantum_trader.app.api.reader import RunReader

_TAKEN: Final = ("__date_ts", "open", "high", "low", "close", "volume", "enter_long", "enter_short")


class CandleQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which candles."""

    symbol: Annotated[str, msgspec.Meta(max_length=100)]
    timeframe: Annotated[str, msgspec.Meta(max_length=8, description="As 4h; empty: the run's own bars.")] = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST, description="The newest so many.")] = USUAL


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


class CandlesOfSymbol(msgspec.Struct, frozen=True, kw_only=True):
    """Candles, oldest first, each of *length_ns*; the newest may still lack bars."""

    symbol: str
    timeframe: str
    length_ns: int
    candles: list[Candle]


def candle_endpoints(reader: RunReader) -> list[Endpoint]:
    """The road to the candles of the run in *reader*'s folder."""
    candles = Candles(RunView(reader))

    def run(call: Call) -> CandlesOfSymbol:
        found = candles.answer(call.query.symbol, call.query.timeframe, call.query.limit)
        places = [found["columns"].index(name) for name in _TAKEN]
        rows = ([row[place] for place in places] for row in found["data"])
        return CandlesOfSymbol(
            symbol=call.query.symbol, timeframe=found["timeframe"], length_ns=found["timeframe_ms"] * NS_PER_MS,
            candles=[
                Candle(ts_ns=ms * NS_PER_MS, open=opened, high=high, low=low, close=close, volume=volume,
                       long=bool(long), short=bool(short))
                for ms, opened, high, low, close, volume, long, short in rows
            ],
        )

    return [Endpoint(
        path=f"{V1}/candles", summary="Candles of a symbol, with the signals that were allowed.", tag="lists",
        answers=CandlesOfSymbol, query=CandleQuery, run=run,
        example={"symbol": "BTCUSDT", "timeframe": "4h", "length_ns": 14400000000000, "candles": []},
    )]
