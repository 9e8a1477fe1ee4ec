"""Market streams: the meaning of a stream's name, and its frames, each built once for all listeners."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from quantum_trader.venues.local.exchange import Exchange
from quantum_trader.venues.local.orders import MarketTick, MarketTrade
from quantum_trader.venues.local.rest_market import LENGTHS
from quantum_trader.venues.local.sources import MADE_UP_LEVELS
from quantum_trader.venues.local.wire import Wire, mean_price, ms

_ENCODE: Final = msgspec.json.Encoder().encode
_NAME: Final = re.compile(r"(?P<symbol>[a-z0-9_]+)@(?P<kind>[A-Za-z]+?)(?P<levels>\d*)(?:_(?P<interval>\w+))?(?:@\w+)?")
_ALL: Final = {
    "!bookTicker": "bookTicker", "!markPrice@arr": "markPrice", "!markPrice@arr@1s": "markPrice",
    "!ticker@arr": "ticker", "!miniTicker@arr": "miniTicker",
}
_PUBLIC: Final = ("bookTicker", "depth", "rpiDepth", "trade")
_MOST_CLOSED: Final = 1_500  # closed bars sent at one tick
_ARRAYS: Final = ("markPrice", "ticker", "miniTicker")


class FrameStream(msgspec.Struct, frozen=True):
    """A stream's name, understood."""

    name: str
    kind: str
    index: int  # -1 for all symbols
    interval: str = ""
    levels: int = 0
    continuous: bool = False

    @property
    def road(self) -> str:
        """The road it is sent on."""
        return "public" if self.kind in _PUBLIC else "market"


def stream_of(exchange: Exchange, name: str) -> FrameStream | None:
    """Return the meaning of *name*; None when it is no market stream of this venue."""
    if name in _ALL:
        return FrameStream(name, _ALL[name], -1)
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    kind, symbol, interval = match["kind"], match["symbol"].upper(), match["interval"] or ""
    continuous = kind == "continuousKline"
    if continuous:
        symbol, kind = symbol.removesuffix("_PERPETUAL"), "kline"
    index = exchange.index.get(symbol, -1)
    known = ("kline", "aggTrade", "trade", "bookTicker", "markPrice", "ticker", "miniTicker", "depth", "rpiDepth")
    if index < 0 or kind not in known or (kind == "kline" and interval not in LENGTHS):
        return None
    return FrameStream(name, kind, index, interval, int(match["levels"] or 0), continuous)


class MarketFrames:
    """Frames of one exchange's market streams."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._last_before = wire.exchange.last.copy()
        self._id_before = wire.exchange.update_id
        self._makers: dict[str, Callable[[int, int], dict[str, Any]]] = {
            "aggTrade": self._agg_trade, "trade": self._trade, "bookTicker": self._book_ticker,
            "markPrice": self._mark_price, "ticker": self._ticker, "miniTicker": self._mini_ticker,
        }

    def frames(self, stream: FrameStream, tick: MarketTick) -> list[bytes]:
        """Return the frames of *stream* at *tick*, oldest first."""
        if stream.kind == "kline":
            return self._klines(stream, tick)
        now = ms(tick.ts_ns)
        if stream.index >= 0 and self.wire.exchange.last[stream.index] <= 0.0:
            return []  # not traded yet
        if tick.recorded and stream.index >= 0 and stream.kind in ("depth", "aggTrade", "trade"):
            return [_ENCODE(frame) for frame in self._recorded(stream, tick)]
        if stream.kind in ("depth", "rpiDepth"):
            return [_ENCODE(frame) for frame in self._depth(stream, now)]
        maker = self._makers[stream.kind]
        if stream.index >= 0:
            return [_ENCODE(maker(stream.index, now))]
        rows = [maker(index, now) for index in range(len(self.wire.formats)) if self.wire.exchange.last[index] > 0.0]
        return [_ENCODE(rows)] if stream.kind in _ARRAYS else [_ENCODE(row) for row in rows]

    # ------------------------------------------------------------------ bars

    def _klines(self, stream: FrameStream, tick: MarketTick) -> list[bytes]:
        """The bars that closed since the tick before, then the running one."""
        tape, length, index = self.wire.exchange.tape, LENGTHS[stream.interval], stream.index
        if not tape.can_make(length):
            return []
        found = []
        ended = tick.ts_ns // length * length
        sent_until = max(ended - _MOST_CLOSED * length, tick.since_ns // length * length)
        for end in range(sent_until + length, ended + 1, length):
            bar = self._bar(index, length, end - length, end)
            if bar:
                found.append(self._kline(stream, end - length, length, bar, ms(end), True))
        if tick.ts_ns > ended:
            bar = self._bar(index, length, ended, tick.ts_ns)
            if bar:
                found.append(self._kline(stream, ended, length, bar, ms(tick.ts_ns), False))
        return found

    def _bar(self, index: int, length: int, opened: int, now_ns: int) -> list[float]:
        """One bar as it is at *now_ns*; empty when there is none."""
        tape = self.wire.exchange.tape
        if length != tape.interval_ns:
            rows = tape.bars(index, length, opened, opened, now_ns, 1)
            long_bar: list[float] = rows[0, 1:].tolist() if len(rows) else []
            return long_bar
        row = tape.row_at(opened)
        if row < 0 or int(tape.ts_ns[row]) != opened or not tape.present[row, index]:
            return []
        return self.wire.running_bars(row, now_ns)[index]

    def _kline(
        self, stream: FrameStream, opened_ns: int, length_ns: int, bar: list[float], now_ms: int, closed: bool
    ) -> bytes:
        form = self.wire.formats[stream.index]
        symbol, open_, high, low, close, volume = form.instrument.symbol, *bar
        opened, price, qty = ms(opened_ns), form.price, form.qty
        quote = volume * mean_price(open_, high, low, close)
        head = f'"ps":"{symbol}","ct":"PERPETUAL"' if stream.continuous else f'"s":"{symbol}"'
        inner = "" if stream.continuous else f'"s":"{symbol}",'
        kind = "continuous_kline" if stream.continuous else "kline"
        return (
            f'{{"e":"{kind}","E":{now_ms},{head},"k":{{"t":{opened},"T":{opened + ms(length_ns) - 1},{inner}'
            f'"i":"{stream.interval}","f":{opened},"L":{opened + 1},"o":"{price(open_)}","c":"{price(close)}",'
            f'"h":"{price(high)}","l":"{price(low)}","v":"{qty(volume)}","n":{max(1, int(volume))},'
            f'"x":{"true" if closed else "false"},"q":"{quote:.8f}","V":"{qty(volume / 2.0)}",'
            f'"Q":"{quote / 2.0:.8f}","B":"0"}}}}'
        ).encode()

    # ------------------------------------------------------------------ prices

    def _agg_trade(self, index: int, now: int) -> dict[str, Any]:
        exchange, form = self.wire.exchange, self.wire.formats[index]
        number, lot = max(1, exchange.update_id), form.qty(form.instrument.step_size)
        return {
            "e": "aggTrade", "E": now, "s": exchange.symbols[index], "a": number,
            "p": form.price(float(exchange.last[index])), "q": lot, "nq": lot, "f": number, "l": number, "T": now,
            "m": False,
        }

    def _trade(self, index: int, now: int) -> dict[str, Any]:
        row = self._agg_trade(index, now)
        return {"e": "trade", "E": now, "T": now, "s": row["s"], "t": row["a"], "p": row["p"], "q": row["q"],
                "X": "MARKET", "m": False}

    def _book_ticker(self, index: int, now: int) -> dict[str, Any]:
        row = self.wire.book_ticker(index)
        return {
            "e": "bookTicker", "u": row["lastUpdateId"], "s": row["symbol"], "ps": row["symbol"],
            "b": row["bidPrice"], "B": row["bidQty"], "a": row["askPrice"], "A": row["askQty"], "T": now, "E": now,
        }

    def _mark_price(self, index: int, now: int) -> dict[str, Any]:
        row = self.wire.premium(index)
        return {
            "e": "markPriceUpdate", "E": now, "s": row["symbol"], "p": row["markPrice"], "ap": row["markPrice"],
            "P": row["estimatedSettlePrice"], "i": row["indexPrice"], "r": row["lastFundingRate"],
            "T": row["nextFundingTime"],
        }

    def _ticker(self, index: int, now: int) -> dict[str, Any]:
        row = self.wire.day_ticker(index)
        return {
            "e": "24hrTicker", "E": now, "s": row["symbol"], "p": row["priceChange"], "P": row["priceChangePercent"],
            "w": row["weightedAvgPrice"], "c": row["lastPrice"], "Q": row["lastQty"], "o": row["openPrice"],
            "h": row["highPrice"], "l": row["lowPrice"], "v": row["volume"], "q": row["quoteVolume"],
            "O": row["openTime"], "C": row["closeTime"], "F": row["firstId"], "L": row["lastId"], "n": row["count"],
        }

    def _mini_ticker(self, index: int, now: int) -> dict[str, Any]:
        row = self.wire.day_ticker(index)
        return {
            "e": "24hrMiniTicker", "E": now, "s": row["symbol"], "c": row["lastPrice"], "o": row["openPrice"],
            "h": row["highPrice"], "l": row["lowPrice"], "v": row["volume"], "q": row["quoteVolume"],
        }

    def end_tick(self) -> None:
        """Remember prices and book id as they are, for the changes of the next tick."""
        self._last_before = self.wire.exchange.last.copy()
        self._id_before = self.wire.exchange.update_id

    def _depth(self, stream: FrameStream, now: int) -> list[dict[str, Any]]:
        """The made-up book: whole for a partial stream; for the diff stream removed and current levels."""
        wire, index = self.wire, stream.index
        bids, asks = wire.ladder(index, stream.levels or MADE_UP_LEVELS)
        if not stream.levels:
            bids, asks = self._gone(index, 0, bids) + bids, self._gone(index, 1, asks) + asks
        symbol, before = wire.exchange.symbols[index], self._id_before
        return [{
            "e": "depthUpdate", "E": now, "T": now, "s": symbol, "ps": symbol, "U": before + 1,
            "u": max(wire.exchange.update_id, before + 1), "pu": before, "b": bids, "a": asks,
        }]

    def _gone(self, index: int, side: int, levels: list[list[str]]) -> list[list[str]]:
        """The levels of the tick before that have gone, with quantity 0."""
        last = float(self._last_before[index])
        if last <= 0.0:
            return []
        form, there = self.wire.formats[index], {price for price, _ in levels}
        before = self.wire.exchange.source.levels_at(index, last, MADE_UP_LEVELS)[side]
        return [[form.price(price), "0"] for price, _ in before if form.price(price) not in there]

    def _recorded(self, stream: FrameStream, tick: MarketTick) -> list[dict[str, Any]]:
        """Frames of a recording: each change of the book, each trade; a partial book as it is now."""
        if stream.kind != "depth":
            return [self._market_trade(stream.kind, trade) for trade in tick.trades if trade.index == stream.index]
        wire, form, symbol = self.wire, self.wire.formats[stream.index], self.wire.exchange.symbols[stream.index]
        diffs = [diff for diff in tick.diffs if diff.index == stream.index]
        if stream.levels and diffs:
            bids, asks = wire.ladder(stream.index, stream.levels)
            last, at_ms = diffs[-1], ms(diffs[-1].ts_ns)
            return [{"e": "depthUpdate", "E": at_ms, "T": at_ms, "s": symbol, "ps": symbol, "U": last.first_id,
                     "u": last.last_id, "pu": last.previous_id, "b": bids, "a": asks}]
        return [
            {"e": "depthUpdate", "E": ms(diff.ts_ns), "T": ms(diff.ts_ns), "s": symbol, "ps": symbol,
             "U": diff.first_id, "u": diff.last_id, "pu": diff.previous_id,
             "b": [[form.price(price), form.qty(qty)] for price, qty in diff.bids],
             "a": [[form.price(price), form.qty(qty)] for price, qty in diff.asks]}
            for diff in diffs
        ]

    def _market_trade(self, kind: str, trade: MarketTrade) -> dict[str, Any]:
        form, symbol, at_ms = self.wire.formats[trade.index], self.wire.exchange.symbols[trade.index], ms(trade.ts_ns)
        price, qty, number = form.price(trade.price), form.qty(trade.qty), trade.trade_id
        if kind == "trade":
            return {"e": "trade", "E": at_ms, "T": at_ms, "s": symbol, "t": number, "p": price, "q": qty,
                    "X": "MARKET", "m": trade.buyer_is_maker}
        return {"e": "aggTrade", "E": at_ms, "s": symbol, "a": number, "p": price, "q": qty, "nq": qty, "f": number,
                "l": number, "T": at_ms, "m": trade.buyer_is_maker}
