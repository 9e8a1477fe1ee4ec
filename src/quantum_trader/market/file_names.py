"""What a data file's name says: symbol, interval and kind of data, in the ways of the programs that write them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.domain.errors import DataError, InputError
from quantum_trader.domain.symbols import parse_symbol
from quantum_trader.market.intervals import INTERVALS

BARS, MARK, FUNDING = "bars", "mark", "funding"
_DAYS: Final = r"(?:-[\d-]+)?$"
# BTCUSDT-1m-2024-01, BTCUSDT-5m
_ARCHIVE: Final = re.compile(rf"^(?P<symbol>\w+?)-(?P<interval>\d+[mhd]){_DAYS}")
# BTCUSDT-fundingRate-2024-01, BTCUSDT-aggTrades-2024-01-02
_ARCHIVE_OTHER: Final = re.compile(rf"^(?P<symbol>\w+?)-(?P<label>[A-Za-z]+){_DAYS}")
# BTC_USDT_USDT-5m-futures, BTC_USDT-5m
_FREQTRADE: Final = re.compile(
    r"^(?P<pair>[0-9A-Za-z]+_[0-9A-Za-z]+(?P<contract>_[0-9A-Za-z]+)?)(?<!_\d{6})-(?P<interval>\d+[mhdwM])(?:-(?P<label>\w+))?$"
)
_FOLDERS: Final = {"markpriceklines": MARK, "klines": BARS}  # of the public archive, on disk as on the server
_NOT_BARS: Final = {
    "aggtrades": "trades", "trades": "trades", "bookticker": "best bids and asks", "bookdepth": "order books",
    "metrics": "open interest", "liquidationsnapshot": "liquidations", "index": "index prices",
    "indexpriceklines": "index prices", "premiumindex": "premium index", "premiumindexklines": "premium index",
}
_QUOTES: Final = ("USDT", "USDC", "BUSD", "FDUSD", "USD1")  # of symbols recognised inside a name
_WORDS: Final = {
    "1min": "1m", "minute": "1m", "minutely": "1m", "hour": "1h", "hourly": "1h", "daily": "1d", "day": "1d", "d": "1d",
}


class NotBarsError(DataError):
    """A file of a kind that is not imported. In a folder it is left out with a line."""


class SpotBarsError(NotBarsError):
    """Bars of a spot market. They are imported only under a symbol that the caller names."""

    def __init__(self, message: str, interval: str) -> None:
        super().__init__(message)
        self.interval = interval


class FileName(msgspec.Struct, frozen=True, kw_only=True):
    """Symbol and interval that a file's name contains (empty: it does not), and the kind of its data."""

    symbol: str = ""
    interval: str = ""
    guessed: bool = False  # a word of the name that looks like an interval: the bars' own step decides
    kind: str = ""  # BARS | MARK | FUNDING; empty: the name does not tell


def parse_file_name(path: Path) -> FileName:
    """Read symbol, interval and kind from a file's name and, where the layout has them there, its folders.

    NotBarsError for trades, order books and other kinds of data that are known by their names, and for spot bars.
    """
    stem = path.name.split(".csv")[0].split(".zip")[0] if path.suffix.lower() in (".zip", ".csv") else path.stem
    return _freqtrade(path, stem) or _archive(path, stem) or _store(path, stem) or _words(stem)


def _freqtrade(path: Path, stem: str) -> FileName | None:
    found = _FREQTRADE.match(stem)
    if found is None:
        if re.match(r"^[0-9A-Za-z]+_[0-9A-Za-z]+(_[0-9A-Za-z]+)?-trades$", stem):
            raise NotBarsError(f"{path}: holds trades, not bars")
        return None
    label, interval = (found["label"] or "").lower(), found["interval"]
    if label == "funding_rate":
        return FileName(symbol=_symbol(found["pair"]), interval="", kind=FUNDING)
    if label.replace("_", "") in _NOT_BARS:
        raise NotBarsError(f"{path}: holds {_NOT_BARS[label.replace('_', '')]}, not bars")
    if found["contract"] is None:
        raise SpotBarsError(
            f"{path}: holds spot bars of freqtrade, and a spot price is not the perpetual's; to store it all the same, "
            f"import the file alone with --symbol {found['pair'].replace('_', '').upper()}", interval,
        )
    return FileName(symbol=_symbol(found["pair"]), interval=interval, kind=MARK if label == "mark" else BARS)


def _archive(path: Path, stem: str) -> FileName | None:
    folders = {part.lower() for part in path.parts[:-1]}
    if found := _ARCHIVE.match(stem):
        if other := next((folder for folder in folders if folder in _NOT_BARS), ""):
            raise NotBarsError(f"{path}: holds {_NOT_BARS[other]}, not bars")
        kind = next((kind for folder, kind in _FOLDERS.items() if folder in folders), "")
        return FileName(symbol=_symbol(found["symbol"]), interval=found["interval"], kind=kind)
    if found := _ARCHIVE_OTHER.match(stem):
        label = found["label"].lower()
        if label == "fundingrate":
            return FileName(symbol=_symbol(found["symbol"]), kind=FUNDING)
        if label in _NOT_BARS:
            raise NotBarsError(f"{path}: holds {_NOT_BARS[label]}, not bars")
    return None


def _store(path: Path, stem: str) -> FileName | None:
    if stem == "funding":
        return FileName(kind=FUNDING)
    folder, _, interval = path.parent.name.partition("_")
    if folder in (BARS, MARK) and interval in INTERVALS:
        return FileName(symbol=_symbol(stem), interval=interval, kind=folder)
    return None


def _words(stem: str) -> FileName:
    """Symbol and interval among the words of a name: Binance_BTCUSDT_1h, BTC_USDT_5m; a bare number is no interval."""
    words = [word for word in re.split(r"[\s,_-]+", stem) if word]
    interval = next((found for word in reversed(words) if (found := _WORDS.get(word.lower(), word)) in INTERVALS), "")
    for first, word in enumerate(words):
        second = words[first + 1] if first + 1 < len(words) else ""
        if second.upper() in _QUOTES and word.isalnum() and word.upper() not in _QUOTES:
            return FileName(symbol=_symbol(word + second), interval=interval, guessed=True)
        upper = word.upper().removesuffix(".P")
        if upper.isalnum() and any(upper.endswith(quote) and upper != quote for quote in _QUOTES):
            return FileName(symbol=upper, interval=interval, guessed=True)
    return FileName(interval=interval, guessed=True)


def _symbol(text: str) -> str:
    try:
        return parse_symbol(text)
    except InputError:
        return ""
