"""The closed trades of a state folder, read from its records, and as a CSV file with named units."""

from __future__ import annotations

import csv
import io
import math
from array import array
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.app.report.formats import words
from quantum_trader.app.runs.results import FloatArray, IntArray
from quantum_trader.domain.clock import iso
from quantum_trader.domain.errors import StateError
from quantum_trader.domain.trading import ClosedTrade
from quantum_trader.engine.books import ADOPTED

RECORDS: Final = "records.jsonl"
TRADE_COLUMNS: Final = (  # the heading of the CSV file; an empty cell: not known
    "entry_time_utc", "exit_time_utc", "symbol", "side", "qty_base", "entry_price_usdt", "exit_price_usdt",
    "first_stop_price_usdt", "result_r", "net_usdt", "fees_usdt", "funding_usdt", "exit_reason", "model", "source",
    "regime_at_entry", "confidence_0_to_1", "trace_id",
)
_CLOSED: Final = b'"topic":"trade.closed"'
_BARS: Final = b'"topic":"market.bar"'
_CLOSE: Final = 3  # column of a bar
_INTENTS: Final = (b'"topic":"trade.intent"', b'"topic":"intent.received"')
_TOPIC_WITHIN: Final = 200  # bytes of a line that hold its topic
_SOURCES: Final = {"ENSEMBLE": "ensemble", "MODEL": "model"}  # of the program's own intents


class SourcedTrade(msgspec.Struct, frozen=True, kw_only=True):
    """A closed trade and who wanted it: ensemble, model, adopted, or the name that an outside intent stated."""

    trade: ClosedTrade
    source: str


class _Closed(msgspec.Struct):
    data: dict[str, Any]


class _Origin(msgspec.Struct):
    trace_id: str
    source: str


class _Wanted(msgspec.Struct):
    data: _Origin


def recorded_trades(state: Path) -> list[SourcedTrade]:
    """Every closed trade in the records of *state*, in the order they were closed; StateError without records."""
    path = state / RECORDS
    if not path.is_file():
        raise StateError(f"--state {state}: holds no {RECORDS}; give the folder of `run --state` or `live --state`")
    sources: dict[str, str] = {}
    found: list[ClosedTrade] = []
    for line in whole_lines(path):
        head = line[:_TOPIC_WITHIN]
        if _CLOSED in head:
            found.append(_trade(msgspec.json.decode(line, type=_Closed).data))
        elif any(topic in head for topic in _INTENTS):
            origin = msgspec.json.decode(line, type=_Wanted).data
            sources.setdefault(origin.trace_id, origin.source)
    return [SourcedTrade(trade=one, source=source_of(one, sources)) for one in found]


class _Bars(msgspec.Struct):
    symbols: list[str]
    ohlcv: list[list[float | None]]


class _BarsRecord(msgspec.Struct):
    ts_ns: int  # of the close
    data: _Bars


def recorded_closes(state: Path, symbols: Collection[str]) -> dict[str, tuple[IntArray, FloatArray]]:
    """Times (N,) of the closes in ns and closing prices (N,) of each of *symbols*, of the bars in the records."""
    times: dict[str, array[int]] = {symbol: array("q") for symbol in symbols}
    closes: dict[str, array[float]] = {symbol: array("d") for symbol in symbols}
    decode = msgspec.json.Decoder(_BarsRecord).decode
    for line in whole_lines(state / RECORDS):
        if _BARS not in line[:_TOPIC_WITHIN]:
            continue
        record = decode(line)
        for symbol, bar in zip(record.data.symbols, record.data.ohlcv, strict=True):
            if symbol in closes and bar[_CLOSE] is not None:
                times[symbol].append(record.ts_ns)
                closes[symbol].append(bar[_CLOSE])
    return {symbol: (np.array(times[symbol], dtype=np.int64), np.array(closes[symbol])) for symbol in symbols}


def whole_lines(path: Path) -> Iterator[bytes]:
    """The whole lines of a file of records; a process may be writing the last one."""
    with path.open("rb") as handle:
        for line in handle:
            if line.endswith(b"\n"):
                yield line


def _trade(data: dict[str, Any]) -> ClosedTrade:
    """A trade as it was recorded; null stands for a number that is not known."""
    numbers = {field.encode_name for field in msgspec.structs.fields(ClosedTrade) if field.type is float}
    known = {key: math.nan if value is None and key in numbers else value for key, value in data.items()}
    return msgspec.convert(known, ClosedTrade)


def source_of(trade: ClosedTrade, sources: dict[str, str]) -> str:
    """Who wanted *trade*; *sources* are those of the intents, by trace id."""
    if trade.model == ADOPTED:
        return ADOPTED
    source = sources.get(trade.trace_id, trade.model)
    return _SOURCES.get(source, source)


def trades_csv(trades: Iterable[SourcedTrade]) -> bytes:
    """The file: one row for each trade, in the order they were closed, below a row of headings."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(TRADE_COLUMNS)
    writer.writerows([_cell(value) for value in trade_row(one)] for one in trades)
    return text.getvalue().encode()


def trade_row(one: SourcedTrade) -> tuple[Any, ...]:
    """The values of one row, in the order of TRADE_COLUMNS."""
    trade = one.trade
    return (
        iso(trade.entry_ns), iso(trade.exit_ns), trade.symbol, trade.side.value, trade.qty, trade.entry_price,
        trade.exit_price, trade.stop_price if trade.stop_price > 0.0 else None,
        trade.r_multiple if trade.risk_amount > 0.0 else None, trade.pnl, trade.fees, trade.funding,
        words(trade.exit_reason.value), trade.model, one.source, trade.regime_entry,
        trade.confidence if one.source != ADOPTED else None, trade.trace_id,
    )


def _cell(value: Any) -> str:
    """A number with every digit, empty where it is not known; a text that a spreadsheet takes for no formula."""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
    return "" if value is None or not math.isfinite(value) else repr(value)
