"""The policy in force: one frozen value that answers what is allowed, how much, and why."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, NoReturn, TypeVar

import msgspec

from quantum_trader.domain.clock import from_ns, iso, to_ns
from quantum_trader.domain.enums import (
    ENTRY_CODES,
    EXIT_CODES,
    RISK_PROFILE_CODES,
    EntryMode,
    ExitMode,
    RiskProfile,
)
from quantum_trader.domain.errors import InputError, brief, require, require_finite
from quantum_trader.domain.policy import RuleFired
from quantum_trader.policy.layout import FIELD_COUNT, HOLD_WIDTH
from quantum_trader.policy.rules import (
    RuleChange,
    Wait,
    closed_because,
    fired,
    is_symbol,
    note_of,
    said,
    symbol_reasons,
    symbols_trace,
)
from quantum_trader.policy.stability import looseness, similarity

_E = TypeVar("_E", bound=Enum)
_NO_TIME: Final = 1 << 63
_DIGITS: Final = 10  # of numbers in the JSON form
SlotValues = tuple[float, ...]  # looseness values of a slot, in the order of layout.FIELDS
NO_BITS: Final[Mapping[str, int]] = MappingProxyType({})
NO_WAITS: Final[Mapping[str, Wait]] = MappingProxyType({})


def to_enum(kind: type[_E], key: str, value: object) -> _E:
    """*value* (member or its word) as a member of *kind*; InputError naming *key* otherwise."""
    if isinstance(value, kind):
        return value
    try:
        return kind(value)
    except (ValueError, TypeError, RecursionError):
        words = ", ".join(str(member.value) for member in kind)
        raise InputError(f"{key} = {brief(value)}: must be one of {words}") from None


def time_ns(key: str, moment: datetime | int | str | None) -> int:
    """*moment* (UTC datetime, ns, or ISO 8601) in ns; 0 for None."""
    if moment is None:
        return 0
    try:
        if isinstance(moment, int) and not isinstance(moment, bool):
            found = moment
        else:
            found = to_ns(moment if isinstance(moment, datetime) else datetime.fromisoformat(str(moment)))
    except (ValueError, TypeError, OverflowError, RecursionError):
        found = _NO_TIME
    if not -_NO_TIME < found < _NO_TIME:
        raise InputError(
            f"{key} = {brief(moment)}: must be a datetime, ns since the epoch, or ISO 8601 text, of 1678 to 2261"
        )
    return found


class SymbolPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The policy for one symbol: its own market where that is known, the overall one where not."""

    symbol: str
    allow_new_trades: bool
    risk_profile: RiskProfile
    max_risk_pct: float
    min_confidence: float
    entry_mode: EntryMode
    exit_mode: ExitMode
    symbol_allowed: bool = True
    reason: str = ""  # why no new trade is permitted; empty where one is
    trace: tuple[RuleChange, ...] = ()

    @property
    def rules(self) -> tuple[RuleFired, ...]:
        """The rules that fired for this symbol."""
        return fired(self.trace)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "symbol": self.symbol, "allow_new_trades": self.allow_new_trades, "risk_profile": self.risk_profile.value,
            "max_risk_pct": round(self.max_risk_pct, _DIGITS), "min_confidence": round(self.min_confidence, _DIGITS),
            "entry_mode": self.entry_mode.value, "exit_mode": self.exit_mode.value,
            "symbol_allowed": self.symbol_allowed, "reason": self.reason,
        }


def _symbol_policy(
    symbol: str, values: SlotValues, allowed: bool, reason: str, trace: tuple[RuleChange, ...]
) -> SymbolPolicy:
    return SymbolPolicy(
        symbol=symbol, allow_new_trades=values[0] == 1.0 and allowed, risk_profile=RISK_PROFILE_CODES[int(-values[1])],
        max_risk_pct=values[2], min_confidence=-values[3] + 0.0, entry_mode=ENTRY_CODES[int(-values[4])],
        exit_mode=EXIT_CODES[int(-values[5])], symbol_allowed=allowed, reason=reason, trace=trace,
    )


class TradingPolicy:
    """What is permitted now; frozen.

    ``_pct`` fields are percent. *disallowed_symbols* maps a symbol to its reason (a plain list is accepted too). With
    no symbol known, every unlisted one is allowed. *timestamp* is when it came into force. Raises InputError for a word
    that is none of the field's.
    """

    __slots__ = (
        "_allowed", "_disallowed", "_hash", "_known", "_note", "_refused", "_rules", "_symbols", "_told", "_trace",
        "_values", "_waiting", "_whole", "profile", "ts_ns",
    )
    profile: str
    ts_ns: int
    _values: SlotValues
    _known: frozenset[str]
    _allowed: frozenset[str] | None
    _disallowed: Mapping[str, str] | None
    _whole: bool  # the reasons of the disallowed symbols follow from _refused and _waiting
    _told: tuple[RuleChange, ...]
    _refused: Mapping[str, int]
    _waiting: Mapping[str, Wait]
    _trace: tuple[RuleChange, ...] | None
    _symbols: Mapping[str, tuple[SlotValues, tuple[RuleChange, ...]]]
    _rules: tuple[RuleFired, ...] | None
    _note: str | None
    _hash: str | None

    def __init__(
        self, *, allow_new_trades: bool, risk_profile: RiskProfile | str, max_risk_pct: float, min_confidence: float,
        entry_mode: EntryMode | str, exit_mode: ExitMode | str, max_open_positions: int = 8,
        total_exposure_limit_pct: float = 15.0, allowed_symbols: Iterable[str] = (),
        disallowed_symbols: Mapping[str, str] | Iterable[str] = (), note: str = "",
        timestamp: datetime | int | str | None = None, profile: str = "", rules: Iterable[RuleFired] = (),
    ) -> None:
        require(isinstance(allow_new_trades, bool), "allow_new_trades", allow_new_trades, "must be true or false")
        require_finite("max_risk_pct", max_risk_pct)
        require(max_risk_pct >= 0.0, "max_risk_pct", max_risk_pct, "cannot be negative")
        require_finite("min_confidence", min_confidence)
        require(0.0 <= min_confidence <= 1.0, "min_confidence", min_confidence, "is a confidence between 0 and 1")
        require_finite("max_open_positions", max_open_positions)
        require_finite("total_exposure_limit_pct", total_exposure_limit_pct)
        level = to_enum(RiskProfile, "risk_profile", risk_profile)
        entry = to_enum(EntryMode, "entry_mode", entry_mode)
        exit_ = to_enum(ExitMode, "exit_mode", exit_mode)
        values = looseness(
            allow_new_trades, RISK_PROFILE_CODES.index(level), max_risk_pct, min_confidence, ENTRY_CODES.index(entry),
            EXIT_CODES.index(exit_), max_open_positions, total_exposure_limit_pct, 1.0,
        )
        named = disallowed_symbols
        banned = named if isinstance(named, Mapping) else dict.fromkeys(named, "")
        _fill(self, values, frozenset(allowed_symbols), MappingProxyType(dict(banned)), profile,
              time_ns("timestamp", timestamp), (), {}, {}, {})
        _put(self, "_allowed", self._known)
        _put(self, "_rules", tuple(rules))
        if note:
            _put(self, "_note", note)

    @classmethod
    def in_force(
        cls, values: SlotValues, known: frozenset[str], disallowed: Mapping[str, str] | None, profile: str, ts_ns: int,
        trace: tuple[RuleChange, ...], symbols: Mapping[str, tuple[SlotValues, tuple[RuleChange, ...]]],
        refused: Mapping[str, int] = NO_BITS, waiting: Mapping[str, Wait] = NO_WAITS,
    ) -> TradingPolicy:
        """The policy of looseness *values* for the *known* symbols; the words are made when someone asks for them.

        They say what the numeric *trace* does, which symbols are *refused*, with their bits, and which banned ones are
        *waiting* to be re-admitted, and how long. *disallowed* None: these two, each with its reason. No argument may
        change later.
        """
        policy = cls.__new__(cls)
        _fill(policy, values, known, disallowed, profile, ts_ns, trace, symbols, refused, waiting)
        return policy

    # ---- questions --------------------------------------------------------------------------------------------------
    @property
    def allow_new_trades(self) -> bool:
        """Whether positions may be opened at all."""
        return self._values[0] == 1.0

    @property
    def risk_profile(self) -> RiskProfile:
        """How much risk trading is at."""
        return RISK_PROFILE_CODES[int(-self._values[1])]

    @property
    def max_risk_pct(self) -> float:
        """Risk per trade, percent of equity."""
        return self._values[2]

    @property
    def min_confidence(self) -> float:
        """Confidence a signal needs, 0..1."""
        return -self._values[3] + 0.0  # no negative zero

    @property
    def entry_mode(self) -> EntryMode:
        """How positions are entered."""
        return ENTRY_CODES[int(-self._values[4])]

    @property
    def exit_mode(self) -> ExitMode:
        """How positions are left."""
        return EXIT_CODES[int(-self._values[5])]

    @property
    def max_open_positions(self) -> int:
        """Positions that may be open at once."""
        return int(self._values[6])

    @property
    def total_exposure_limit_pct(self) -> float:
        """Initial margin of all positions, percent of equity."""
        return self._values[7]

    @property
    def timestamp(self) -> datetime:
        """When this policy came into force, UTC."""
        return from_ns(self.ts_ns)

    @property
    def disallowed_symbols(self) -> Mapping[str, str]:
        """The symbols that may not be traded, and why."""
        disallowed = self._disallowed
        if disallowed is None:
            disallowed = symbol_reasons(self._refused, self._waiting)
            _put(self, "_disallowed", disallowed)
        return disallowed

    @property
    def allowed_symbols(self) -> frozenset[str]:
        """The known symbols that are not disallowed."""
        allowed = self._allowed
        if allowed is None:
            allowed = self._known.difference(self.disallowed_symbols)
            _put(self, "_allowed", allowed)
        return allowed

    @property
    def rules(self) -> tuple[RuleFired, ...]:
        """The rules that fired: name, field, before, after, why."""
        rules = self._rules
        if rules is None:
            rules = fired(self.trace)
            _put(self, "_rules", rules)
        return rules

    @property
    def note(self) -> str:
        """One line made from the rules that fired."""
        note = self._note
        if note is None:
            note = note_of(self.rules)
            _put(self, "_note", note)
        return note

    @property
    def content_hash(self) -> str:
        """Hash of what is in force: everything but the time and the explanation."""
        digest = self._hash
        if digest is None:
            encoded = msgspec.json.encode(self._content(exact=True))
            digest = hashlib.blake2b(encoded, digest_size=8).hexdigest()
            _put(self, "_hash", digest)
        return digest

    @property
    def trace(self) -> tuple[RuleChange, ...]:
        """The rules that fired, as numbers."""
        trace = self._trace
        if trace is None:
            trace = (*self._told, *symbols_trace(self._refused, self._waiting))
            _put(self, "_trace", trace)
        return trace

    def explained_by(
        self, trace: tuple[RuleChange, ...], refused: Mapping[str, int], waiting: Mapping[str, Wait]
    ) -> bool:
        """Whether a policy in force of these three would say the same, apart from how long something still waits."""
        if self._whole:
            same = trace == self._told or said(trace) == said(self._told)
            return same and refused == self._refused and waiting.keys() == self._waiting.keys()
        return (
            symbol_reasons(refused, waiting) == self.disallowed_symbols
            and said((*trace, *symbols_trace(refused, waiting))) == said(self.trace)
        )

    def waiting_on(
        self, trace: tuple[RuleChange, ...], symbols: Mapping[str, tuple[SlotValues, tuple[RuleChange, ...]]],
        waiting: Mapping[str, Wait],
    ) -> TradingPolicy:
        """This policy, of the same moment, with what these three say of how long something still waits."""
        policy = TradingPolicy.in_force(
            self._values, self._known, None if self._whole else self._disallowed, self.profile, self.ts_ns, trace,
            symbols, self._refused, waiting,
        )
        _put(policy, "_allowed", self._allowed)
        _put(policy, "_hash", self._hash)
        return policy

    @property
    def symbols(self) -> Collection[str]:
        """Symbols with a market state of their own."""
        return self._symbols.keys()

    def allows(self, symbol: str) -> bool:
        """Whether *symbol* may be traded as far as symbols go; unlisted ones only when no symbol is known."""
        if not isinstance(symbol, str):
            raise InputError(f"symbol = {brief(symbol)}: must be a symbol like 'BTCUSDT'")
        if symbol in self.disallowed_symbols:
            return False
        return symbol in self._known or not (self._known or self.disallowed_symbols)

    def for_symbol(self, symbol: str) -> SymbolPolicy:
        """The policy for one symbol: from its own market where that was given, else the overall one."""
        allowed = self.allows(symbol)
        reason = self.disallowed_symbols.get(symbol, "" if allowed else "not among the known symbols")
        values, trace = self._symbols.get(symbol, (self._values, self.trace))
        about = tuple(one for one in self.trace if one[1] == f"symbol {symbol}")
        trace = (*(one for one in trace if not is_symbol(one[1])), *about)
        if values[0] != 1.0:
            reason = "; ".join(filter(None, (reason, closed_because(trace) or self.note)))
        return _symbol_policy(symbol, values, allowed, reason, trace)

    def similarity_score(self, other: TradingPolicy) -> float:
        """How alike two policies are, 0..1, symmetric; 1.0 for equal ones."""
        if not isinstance(other, TradingPolicy):
            raise InputError(f"other = {brief(other)}: must be a TradingPolicy")
        slot = [0.0] * (FIELD_COUNT * HOLD_WIDTH)
        slot[::HOLD_WIDTH] = self._values
        return round(float(similarity(
            slot, other._values, jaccard(self.allowed_symbols, other.allowed_symbols),
            jaccard(self.disallowed_symbols.keys(), other.disallowed_symbols.keys()),
        )), 12)

    # ---- forms ------------------------------------------------------------------------------------------------------
    def _content(self, *, exact: bool = False) -> dict[str, Any]:
        def number(value: float) -> float:
            return value if exact else round(value, _DIGITS)

        content: dict[str, Any] = {
            "allow_new_trades": self.allow_new_trades, "risk_profile": self.risk_profile.value,
            "max_risk_pct": number(self.max_risk_pct), "min_confidence": number(self.min_confidence),
            "entry_mode": self.entry_mode.value, "exit_mode": self.exit_mode.value,
            "max_open_positions": self.max_open_positions, "total_exposure_limit_pct": self.total_exposure_limit_pct,
            "allowed_symbols": sorted(self.allowed_symbols),
            "disallowed_symbols": dict(sorted(self.disallowed_symbols.items())), "profile": self.profile,
        }
        if self._symbols:
            content["symbols"] = {name: self.for_symbol(name).to_dict() for name in sorted(self._symbols)}
        return content

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, with the field names of the specification."""
        return {
            **self._content(), "note": self.note, "timestamp": iso(self.ts_ns), "content_hash": self.content_hash,
            "rules": [msgspec.to_builtins(rule) for rule in self.rules],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TradingPolicy:
        """The policy of :meth:`to_dict`, without the per-symbol part; InputError for what is not such a form."""
        if not isinstance(data, Mapping):
            raise InputError(f"data = {brief(data)}: must be the mapping that to_dict() made")
        names = (
            "allow_new_trades", "risk_profile", "max_risk_pct", "min_confidence", "entry_mode", "exit_mode",
            "max_open_positions", "total_exposure_limit_pct", "allowed_symbols", "disallowed_symbols", "note",
            "timestamp", "profile",
        )
        missing = [name for name in names if name not in data]
        if missing:
            raise InputError(f"{missing[0]}: missing from a saved policy")
        try:
            rules = msgspec.convert(data.get("rules", []), tuple[RuleFired, ...])
            return cls(rules=rules, **{name: data[name] for name in names})
        except (TypeError, AttributeError, msgspec.ValidationError) as error:
            raise InputError(f"a saved policy: {error}") from None

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle through :meth:`to_dict`, without the per-symbol part."""
        return (TradingPolicy.from_dict, (self.to_dict(),))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{name}: a TradingPolicy is frozen")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{name}: a TradingPolicy is frozen")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TradingPolicy):
            return NotImplemented
        return self is other or (
            self.ts_ns == other.ts_ns and self.content_hash == other.content_hash and self.rules == other.rules
        )

    def __hash__(self) -> int:
        return hash((self.content_hash, self.ts_ns))

    def __repr__(self) -> str:
        return (
            f"TradingPolicy({self.profile or 'no profile'}: allow_new_trades={self.allow_new_trades}, "
            f"{self.risk_profile.value}, risk {self.max_risk_pct:.4g} %, confidence {self.min_confidence:.4g}, "
            f"{self.entry_mode.value}, {self.exit_mode.value}, {len(self.disallowed_symbols)} disallowed; {self.note})"
        )


_put: Final = object.__setattr__


def _fill(
    policy: TradingPolicy, values: SlotValues, known: frozenset[str], disallowed: Mapping[str, str] | None,
    profile: str, ts_ns: int, trace: tuple[RuleChange, ...],
    symbols: Mapping[str, tuple[SlotValues, tuple[RuleChange, ...]]],
    refused: Mapping[str, int], waiting: Mapping[str, Wait],
) -> None:
    """Set every slot of a new policy."""
    _put(policy, "_values", values)
    _put(policy, "_known", known)
    _put(policy, "_allowed", None)
    _put(policy, "_disallowed", disallowed)
    _put(policy, "_whole", disallowed is None)
    _put(policy, "_told", trace)
    _put(policy, "_refused", refused)
    _put(policy, "_waiting", waiting)
    _put(policy, "_trace", None)
    _put(policy, "_symbols", symbols)
    _put(policy, "_rules", None)
    _put(policy, "_note", None)
    _put(policy, "_hash", None)
    _put(policy, "profile", profile)
    _put(policy, "ts_ns", ts_ns)


def jaccard(first: Collection[str], second: Collection[str]) -> float:
    """Shared over all members; two empty sets are equal."""
    return shared_share(len(set(first) & set(second)), len(first), len(second))


def shared_share(shared: int, first: int, second: int) -> float:
    """The Jaccard index of two sets of *first* and *second* members that have *shared* ones in common."""
    either = first + second - shared
    return shared / either if either else 1.0
