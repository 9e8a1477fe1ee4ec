"""What a signal of another program means: its fields, whatever they are called there, as one :class:`OutsideSignal`.

The names, words and forms are those of published bodies of TradingView's users; a source's settings name others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Final, NoReturn

import msgspec

from quantum_trader.app.runs.outside_intents import SizedIn
from quantum_trader.app.runs.signal_bodies import REDACTED, FieldValue, SignalRefused
from quantum_trader.app.runs.signal_sources import FIELD_NAMES, EnterAs, SignalAction, SizeRule, SourceSettings
from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.errors import InputError, brief
from quantum_trader.domain.symbols import parse_symbol
from quantum_trader.models.forecast import duration_ns

_WORDS: Final = {
    SignalAction.LONG: ("buy", "long", "enter_long", "entry_long", "open_long", "go_long", "long_entry", "buy_long",
                        "start_long"),
    SignalAction.SHORT: ("sell", "short", "enter_short", "entry_short", "open_short", "go_short", "short_entry",
                         "sell_short", "start_short"),
    SignalAction.CLOSE: ("close", "exit", "flat", "close_position", "exit_position", "close_at_market_price",
                         "close_all", "closeall", "exit_all"),
    SignalAction.CLOSE_LONG: ("close_long", "exit_long", "long_exit", "closelong", "exitlong"),
    SignalAction.CLOSE_SHORT: ("close_short", "exit_short", "short_exit", "closeshort", "exitshort"),
}
ACTION_WORDS: Final = {word: action for action, words in _WORDS.items() for word in words}
_SIZED_IN: Final = {
    "base": SizedIn.BASE, "contracts": SizedIn.BASE, "coin": SizedIn.BASE, "quote": SizedIn.QUOTE,
    "usdt": SizedIn.QUOTE, "usd": SizedIn.QUOTE, "equity_pct": SizedIn.EQUITY_PCT, "percent": SizedIn.EQUITY_PCT,
    "equity_percent": SizedIn.EQUITY_PCT, "margin_percent": SizedIn.MARGIN_PCT, "margin_pct": SizedIn.MARGIN_PCT,
}
_EXITS: Final = frozenset(("exit", "close"))
_NO_SIGNAL: Final = re.compile(r".*_(fill|cancel)|status|startup|warning|exception")  # news of another bot
_MOST: Final = 1e15
MOST_SCORE: Final = 1e6  # of a score in either direction
_AHEAD_S: Final = 10.0  # how far a sender's clock may be ahead
_CLOSING: Final = 10.0  # times as old may be what closes
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_UNITS: Final = ((1e17, 1), (1e14, 1_000), (1e11, 1_000_000), (0.0, 1_000_000_000))  # least number -> ns in its unit


class OutsideSignal(msgspec.Struct, frozen=True, kw_only=True):
    """A signal as it is taken: *size* in what *sized_in* says, prices in quote units."""

    action: SignalAction
    symbol: str
    size: float = 0.0
    sized_in: SizedIn = SizedIn.RISK
    price: float = 0.0  # at the sender, for the record; 0.0: not stated
    stop_price: float = 0.0
    stop_pct: float = 0.0
    leverage: float
    confidence: float
    sent_ns: int = 0  # 0: not stated
    max_lag_s: float
    signal_id: str = ""  # empty: it has none
    score: float | None = None  # for a model; None: it is an intent
    life_s: float = 0.0  # of a score, from its receipt on; 0.0: the model's max_age alone decides
    ignored: tuple[str, ...] = ()  # fields of the body that nothing was made of


def signal_of(
    fields: Mapping[str, FieldValue], settings: SourceSettings, traded: Collection[str], now_ns: int
) -> OutsideSignal:
    """The signal that *fields*, received at *now_ns*, mean for a run of the symbols *traded* (empty: not known).

    Raises SignalRefused, which names the field, its value and what it may be.
    """
    body = _Body(fields, settings)
    if settings.enter_as is EnterAs.SCORES:
        return _score_signal(body, settings, traded, now_ns)
    action = _action(body, settings)
    size, sized_in = (0.0, SizedIn.RISK) if action.closes else _size(body, settings)
    stop_pct = body.number("stop_pct", below=100.0)
    return OutsideSignal(
        action=action, symbol=_symbol(body, settings, traded), size=size, sized_in=sized_in,
        price=body.number("price"), stop_price=0.0 if stop_pct > 0.0 else body.number("stop_price"),
        stop_pct=stop_pct, leverage=_leverage(body, settings), confidence=_confidence(body, settings),
        sent_ns=_time_ns(body), max_lag_s=_lag_s(body, settings), signal_id=_id(body), ignored=body.unread(),
    )


def _score_signal(
    body: _Body, settings: SourceSettings, traded: Collection[str], now_ns: int
) -> OutsideSignal:
    """The score that a body states, or that its action with its confidence means."""
    confidence = _confidence(body, settings)
    name, value = body.find("score")
    if name:
        score = _score_of(name, value)
        action = SignalAction.LONG if score > 0.0 else SignalAction.SHORT if score < 0.0 else SignalAction.CLOSE
    else:
        action = _action(body, settings, "score")
        score = {SignalAction.LONG: confidence, SignalAction.SHORT: -confidence}.get(action, 0.0)
    return OutsideSignal(
        action=action, symbol=_symbol(body, settings, traded), price=body.number("price"), leverage=settings.leverage,
        confidence=confidence, sent_ns=_time_ns(body), max_lag_s=_lag_s(body, settings), signal_id=_id(body),
        score=score, life_s=_life_s(body, now_ns), ignored=body.unread(),
    )


def _score_of(name: str, value: FieldValue) -> float:
    """The score that *value* is or spells. Raises SignalRefused."""
    try:
        found = math.nan if isinstance(value, bool) or value is None else float(value)
    except (ValueError, OverflowError):
        found = math.nan
    if not abs(found) <= MOST_SCORE:
        _refuse(name, value, f"must be a number from -{MOST_SCORE:g} to {MOST_SCORE:g}: above 0 long, below 0 short, "
                             "0 to leave")
    return found


def _life_s(body: _Body, now_ns: int) -> float:
    """For how long a score is a view after *now_ns*: until it expires or its horizon is over, whichever is sooner."""
    lives = []
    name, horizon = body.text("horizon")
    if name:
        try:
            lives.append(duration_ns(horizon, name) / NS_PER_SECOND)
        except InputError as error:
            raise SignalRefused("bad_value", str(error)) from None
    if expires_ns := _time_ns(body, "expires"):
        lives.append((expires_ns - now_ns) / NS_PER_SECOND)
        if lives[-1] <= 0.0:
            raise SignalRefused("expired", f"expires: is {-lives[-1]:.1f} s ago; the score is no view any more")
    return min(lives, default=0.0)


def _lag_s(body: _Body, settings: SourceSettings) -> float:
    """How old the signal may be, seconds."""
    own_s = body.number("max_lag")
    return min(own_s, settings.max_lag_s) if own_s > 0.0 else settings.max_lag_s


def check_age(signal: OutsideSignal, settings: SourceSettings, now_ns: int) -> None:
    """Raise SignalRefused for a signal that is too old or from the future, and for one that must state its time."""
    if signal.sent_ns == 0:
        if settings.needs_timestamp:
            raise SignalRefused("no_timestamp", "timestamp: is missing, and this source's signals need one; in "
                                                "TradingView write \"timestamp\": \"{{timenow}}\"")
        return
    age_s = (now_ns - signal.sent_ns) / NS_PER_SECOND
    most_s = signal.max_lag_s * (_CLOSING if signal.action.closes else 1.0)
    if age_s > most_s:
        raise SignalRefused("expired", f"timestamp: is {age_s:.1f} s old; at most {most_s:g} s are allowed")
    if age_s < -_AHEAD_S:
        raise SignalRefused(
            "from_the_future", f"timestamp: is {-age_s:.1f} s ahead; the sender's clock or its time zone is wrong"
        )


class _Body:
    """The fields of one body; those that were looked at are known."""

    def __init__(self, fields: Mapping[str, FieldValue], settings: SourceSettings) -> None:
        self._fields, self._names = fields, {**FIELD_NAMES, **settings.fields}
        self._read: set[str] = set()

    def find(self, field: str) -> tuple[str, FieldValue]:
        """Name in the body and value of *field*: of the first of its names that has a value; ("", None) without one."""
        for name in map(str.lower, self._names[field]):
            value = self._fields.get(name)
            if value is not None and value != "":
                self._read.add(name)
                return name, value
        return "", None

    def text(self, field: str) -> tuple[str, str]:
        """Name in the body and value of a *field* that is a text; empty without it."""
        name, value = self.find(field)
        if value is not None and not isinstance(value, str):
            _refuse(name, value, "must be a text")
        return name, value or ""

    def word(self, field: str) -> tuple[str, str]:
        """The same in small letters, with '_' for '-' and blanks."""
        name, value = self.text(field)
        return name, as_word(value)

    def number(self, field: str, below: float = _MOST) -> float:
        """A *field* that is a positive number, or a text of one; 0.0 without it."""
        name, value = self.find(field)
        return number_of(name, value, below) if value is not None else 0.0

    def unread(self) -> tuple[str, ...]:
        """Names of the fields that nothing has looked at; a field that held the secret is not among them."""
        return tuple(sorted(
            name[:60] for name, value in self._fields.items() if name not in self._read and value != REDACTED
        )[:50])


def _refuse(name: str, value: object, hint: str, reason: str = "bad_value") -> NoReturn:
    """Raise SignalRefused for the field *name* with its *value*."""
    raise SignalRefused(reason, f"{name} = {brief(value)}: {hint}")


def as_word(text: str) -> str:
    """*text* as words are compared: in small letters, with '_' for '-' and blanks."""
    return re.sub(r"[\s-]+", "_", text.strip().lower())


def number_of(name: str, value: FieldValue, below: float = _MOST) -> float:
    """The positive number that *value* is or spells. Raises SignalRefused."""
    try:
        found = math.nan if isinstance(value, bool) or value is None else float(value)
    except (ValueError, OverflowError):
        found = math.nan
    if not 0.0 < found < below:
        _refuse(name, value, f"must be a positive number below {below:g}")
    return found


def _action(body: _Body, settings: SourceSettings, *others: str) -> SignalAction:
    """What a body asks for; *others*: fields that may stand in the place of an action."""
    known = {**ACTION_WORDS, **{as_word(word): action for word, action in settings.actions.items()}}
    name, word = body.word("action")
    if word and word not in known:
        _refuse(name, word, f"is no action; use {', '.join(sorted(known))}", "unknown_action")
    action = known[word] if word else None
    _, kind = body.word("kind")
    if _NO_SIGNAL.fullmatch(kind):
        _refuse("type", kind, "is news of what another bot did, and no signal", "not_a_signal")
    _, reduces = body.find("reduce_only")
    if kind in _EXITS or reduces is True or (isinstance(reduces, str) and reduces.lower() in ("true", "1", "yes")):
        action = _closing(action, by_position=kind in _EXITS)
    found = _by_position(body, action)
    if found is None:
        raise SignalRefused(
            "unknown_action", "action: is missing; a signal needs one of "
            f"{', '.join((*others, *FIELD_NAMES['action']))}, such as \"action\": \"buy\""
        )
    return found


def _closing(action: SignalAction | None, *, by_position: bool) -> SignalAction:
    """The action that closes what *action* names: a position of its side (*by_position*), or one it is sent against."""
    if action not in (SignalAction.LONG, SignalAction.SHORT):
        return action or SignalAction.CLOSE
    closes_long = (action is SignalAction.LONG) == by_position
    return SignalAction.CLOSE_LONG if closes_long else SignalAction.CLOSE_SHORT


def _by_position(body: _Body, action: SignalAction | None) -> SignalAction | None:
    """*action*, or what the position after it says of a strategy that states it."""
    name, after = body.word("market_position")
    _, before = body.word("prev_position")
    if not after or (action is not None and action.closes):
        return action
    if after == "flat":
        return {"long": SignalAction.CLOSE_LONG, "short": SignalAction.CLOSE_SHORT}.get(before, SignalAction.CLOSE)
    wanted = {"long": SignalAction.LONG, "short": SignalAction.SHORT}.get(after)
    if wanted is None:
        _refuse(name, after, "must be long, short or flat")
    if action is not None and action is not wanted:
        raise SignalRefused(
            "partial_reduction", f"{name} = {after!r} after a {action.value} order: it makes a position smaller, and "
            "positions are closed as a whole here; close it with market_position = 'flat'"
        )
    return wanted


def _size(body: _Body, settings: SourceSettings) -> tuple[float, SizedIn]:
    quote, share = body.number("quote_quantity"), body.number("equity_pct", below=1000.0)
    kind_name, kind = body.word("size_type")
    name, value = body.find("quantity")
    percent = isinstance(value, str) and value.endswith("%")
    quantity = number_of(name, value[:-1] if percent and isinstance(value, str) else value) if name else 0.0
    if kind and kind not in _SIZED_IN:
        _refuse(kind_name, kind, f"must be one of {', '.join(_SIZED_IN)}")
    if settings.size is SizeRule.EQUITY:
        return settings.equity_pct, SizedIn.EQUITY_PCT
    if settings.size is SizeRule.RISK:
        return 0.0, SizedIn.RISK
    if quantity > 0.0:
        return quantity, SizedIn.EQUITY_PCT if percent else _SIZED_IN.get(kind, SizedIn.BASE)
    if quote > 0.0:
        return quote, SizedIn.QUOTE
    return (share, SizedIn.EQUITY_PCT) if share > 0.0 else (0.0, SizedIn.RISK)


def _symbol(body: _Body, settings: SourceSettings, traded: Collection[str]) -> str:
    name, given = body.text("symbol")
    if not given:
        raise SignalRefused("unknown_symbol", f"symbol: is missing; a signal needs one of "
                                              f"{', '.join(FIELD_NAMES['symbol'])}")
    named = {key.upper(): value for key, value in settings.symbols.items()}
    if (found := named.get(given.upper())) is None:
        candidates = symbols_meant(given)
        found = next((one for one in candidates if one in named or one in traded), "".join(candidates[:1]))
        found = named.get(found, found)
    if not found or (traded and found not in traded):
        run = f"this run trades {', '.join(sorted(traded)[:30])}; " if traded else ""
        _refuse(name, given, f"{run}name it under `symbols` in the source's settings", "unknown_symbol")
    return found


def symbols_meant(given: str) -> list[str]:
    """The symbols that a text such as ``BINANCE:BTCUSDT.P``, ``BTC/USDT:USDT`` or ``USDT_BTC`` can mean; maybe none."""
    text = re.sub(r"[-_.]?PERP$", "", given.upper().strip())
    pair = re.fullmatch(r"([A-Z0-9]+)[_-]([A-Z0-9]+)", text)
    found = []
    for one in (text, f"{pair[2]}{pair[1]}" if pair else ""):
        try:
            found.append(parse_symbol(one))
        except InputError:
            continue
    return found


def _leverage(body: _Body, settings: SourceSettings) -> float:
    name, value = body.find("leverage")
    if value is None:
        return settings.leverage
    text = value.lower().rstrip("x") if isinstance(value, str) else value
    found = number_of(name, text, below=1000.0)
    if found < 1.0:
        _refuse(name, value, "must be at least 1")
    return found


def _confidence(body: _Body, settings: SourceSettings) -> float:
    name, value = body.find("confidence")
    if value is None:
        return settings.confidence
    found = number_of(name, value)
    if found > 1.0:
        _refuse(name, value, "is a probability, above 0 and at most 1")
    return found


def _time_ns(body: _Body, field: str = "timestamp") -> int:
    """The time in *field*: ISO 8601 (UTC where it names no zone), or seconds, milli-, micro- or nanoseconds."""
    name, value = body.find(field)
    if value is None:
        return 0
    if isinstance(value, str) and not re.fullmatch(r"\d+(\.\d+)?", value):
        try:
            found = datetime.fromisoformat(value)
            return int(found.replace(tzinfo=found.tzinfo or UTC).timestamp() * 1e6) * 1_000
        except (ValueError, OverflowError):
            _refuse(name, value, "must be a time such as 2026-01-15T12:00:00Z, or seconds since 1970")
    number = number_of(name, value, below=9e18)
    found_ns = int(number * next(unit_ns for least, unit_ns in _UNITS if number >= least))
    return found_ns if found_ns < 1 << 62 else _refuse(name, value, "is no time")


def _id(body: _Body) -> str:
    name, value = body.find("id")
    if value is None:
        return ""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _ID.fullmatch(text):
        _refuse(name, value, "must be 1 to 64 letters, digits, '-', '_', '.' or ':'")
    return text
