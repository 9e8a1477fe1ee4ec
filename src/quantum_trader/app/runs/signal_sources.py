"""How the signals of each source are read and taken: ``signal_sources.toml`` in a state folder, one table a source.

A source without a table has the values below. The file holds no secret; it is read again for every signal.
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from enum import Enum
from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.domain.errors import StateError, brief
from quantum_trader.domain.private_files import open_private
from quantum_trader.domain.symbols import check_symbols

SOURCES_FILE: Final = "signal_sources.toml"
MOST_SOURCES_BYTES: Final = 1 << 20
FIELD_NAMES: Final[dict[str, tuple[str, ...]]] = {  # field -> its names in published bodies
    "action": (
        "action", "side", "order.action", "order.side", "order_action", "strategy.order.action", "signal", "command",
        "cmd", "direction",
    ),
    "kind": ("type", "event"),
    "symbol": ("symbol", "ticker", "pair", "tv_instrument", "instrument", "market", "order.symbol"),
    "price": ("price", "signalprice", "signal_price", "trigger_price", "order.price", "close"),
    "quantity": ("quantity", "qty", "order.amount", "order.quantity", "contracts", "amount", "amountpertrade", "size",
                 "vol"),
    "size_type": ("order.currency_type", "currency_type", "size_type", "amountpertradetype"),
    "quote_quantity": ("quote_quantity", "quote_amount", "stake_amount", "stakeamount", "notional", "usdt"),
    "equity_pct": ("equity_pct", "size_pct", "qty_pct", "percent_of_equity"),
    "market_position": ("market_position", "marketposition", "strategy_info.market_position",
                        "strategy.market_position", "order.market_position"),
    "prev_position": ("prev_position", "prev_market_position", "strategy_info.prev_market_position",
                      "strategy_info.prev_position", "strategy.prev_market_position"),
    "reduce_only": ("reduce_only", "reduceonly", "close_position", "closeposition"),
    "stop_price": ("stop_price", "stop_loss_price", "stoploss.price", "stop_loss.price", "stoploss", "stop_loss",
                   "sl"),
    "stop_pct": ("stop_pct", "stoploss.percent", "stop_loss.percent", "stoploss_percent", "stop_loss_percent",
                 "sl_percent"),
    "leverage": ("leverage", "lev"),
    "confidence": ("confidence", "probability"),
    "timestamp": ("timestamp", "source_timestamp", "timenow", "sent_at"),
    "max_lag": ("max_lag", "maxlag"),
    "id": ("signal_id", "alert_id", "message_id"),
    "score": ("score", "model_score", "prediction"),
    "horizon": ("horizon",),
    "expires": ("expires", "expires_at", "expiry", "valid_until"),
}


class EnterAs(str, Enum):
    """How a source's signals enter the run."""

    INTENT = "intent"  # each is an intent of its own, which is acted on at once
    SCORES = "scores"  # each is the newest score of its symbol for the model outside-scores


class SizeRule(str, Enum):
    """Where the size of a source's positions comes from. The risk limits may reduce every one of them."""

    SENT = "sent"  # from the signal; one that states none gets the risk of the program's own signals
    RISK = "risk"  # the risk of the program's own signals, whatever the signal states
    EQUITY = "equity"  # *equity_pct* of the equity, whatever the signal states


class SignalAction(str, Enum):
    """What a signal asks for. CLOSE_LONG and CLOSE_SHORT leave a position of the other side alone."""

    LONG = "LONG"
    SHORT = "SHORT"
    CLOSE = "CLOSE"
    CLOSE_LONG = "CLOSE_LONG"
    CLOSE_SHORT = "CLOSE_SHORT"

    @property
    def closes(self) -> bool:
        """Whether it closes a position."""
        return self in (SignalAction.CLOSE, SignalAction.CLOSE_LONG, SignalAction.CLOSE_SHORT)


class SourceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One source. Percentages are of equity, times in seconds.

    Of a source that enters as scores nothing counts that says how much or how: sizes, leverage, reversals and stops.
    """

    enter_as: EnterAs = EnterAs.INTENT
    size: SizeRule = SizeRule.SENT
    equity_pct: float = 0.0  # notional of a position where *size* is "equity"
    leverage: float = 3.0  # of a signal that states none
    confidence: float = 1.0  # of a signal that states none; held against the policy's threshold
    max_lag_s: float = 60.0  # how old a signal with a time may be; a signal's own max_lag only shortens it
    ttl_s: float = 30.0  # how long a taken signal may be acted on
    repeat_s: float = 60.0  # for how long a body without id and time counts as sent again
    needs_timestamp: bool = False  # a signal without a time is refused
    reverses: bool = False  # an entry against a position closes it and opens once it is gone, within ttl_s
    per_minute: int = 30  # opening signals; ten times as many that close
    pattern: str = ""  # regular expression over the body; its named groups are fields
    fields: dict[str, list[str]] = {}  # names of a field in the body, in the order they are looked for
    actions: dict[str, SignalAction] = {}  # further words
    symbols: dict[str, str] = {}  # symbols as the source writes them -> as the run trades them

    def __post_init__(self) -> None:
        for key, low, high in (
            ("equity_pct", 0.0, 1000.0), ("leverage", 1.0, 125.0), ("confidence", 0.0, 1.0),
            ("max_lag_s", 1.0, 86_400.0), ("ttl_s", 1.0, 86_400.0), ("repeat_s", 0.0, 86_400.0),
            ("per_minute", 1, 6_000),
        ):
            value = getattr(self, key)
            if not (math.isfinite(value) and low <= value <= high):
                raise ValueError(f"{key} = {value!r}: must be from {low:g} to {high:g}")
        if self.size is SizeRule.EQUITY and self.equity_pct == 0.0:
            raise ValueError("equity_pct = 0: is needed where size = \"equity\"")
        if self.pattern:
            try:
                named = re.compile(self.pattern).groupindex
            except re.error as error:
                raise ValueError(f"pattern = {brief(self.pattern)}: is no regular expression ({error})") from None
            if not named:
                raise ValueError(f"pattern = {brief(self.pattern)}: names no group; write (?P<action>...)")
        check_symbols("symbols", tuple(dict.fromkeys(self.symbols.values())))


def read_sources(folder: Path) -> dict[str, SourceSettings]:
    """The settings of the sources in *folder* that have any. Raises StateError with file, key and value."""
    path = folder / SOURCES_FILE
    try:
        with open(open_private(path, os.O_RDONLY), "rb") as file:
            content = file.read(MOST_SOURCES_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StateError(f"{path}: cannot be read ({error.strerror}); no signal is taken") from None
    try:
        tables = tomllib.loads(content[:MOST_SOURCES_BYTES].decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StateError(f"{path}: is no TOML ({error}); no signal is taken until it is mended") from None
    return {name: _source(path, name, table) for name, table in tables.items()}


def _source(path: Path, name: str, table: object) -> SourceSettings:
    try:
        found = msgspec.convert(table, SourceSettings)
        if unknown := sorted(set(found.fields).difference(FIELD_NAMES)):
            raise ValueError(f"fields.{unknown[0]}: is no field of a signal; use {', '.join(FIELD_NAMES)}")
    except (ValueError, msgspec.ValidationError) as error:
        text = str(error)
        raise StateError(
            f"{path}: [{name}] {text[:1].lower()}{text[1:]}; no signal is taken until it is mended"
        ) from None
    return found
