"""What bots send a guard and what they get: the bodies of ``POST /v1/decide`` and ``POST /v1/fills``."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from quantum_trader.app.guard.journal import ToldAccount, ToldPosition
from quantum_trader.app.guard.modes import GuardMode, check_bot_name
from quantum_trader.domain.enums import Side
from quantum_trader.domain.errors import InputError, require
from quantum_trader.domain.fields import Finite, Probability
from quantum_trader.domain.policy import RuleFired
from quantum_trader.domain.symbols import parse_symbol
from quantum_trader.policy.entries import EntryQuestion, EntryRefusal

_MOST: Final = 1e15  # of a stake or a price; what is larger is a mistake
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Positive = Annotated[float, msgspec.Meta(gt=0.0, le=_MOST)]
ToldPositions = Annotated[tuple[ToldPosition, ...], msgspec.Meta(max_length=1_000)]


class DecideQuestion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry that a bot wants to make, and its account.

    *id* is the bot's own for this entry: sent again it is counted once. *stop* is the percent of the stake that is lost
    when the stop is hit, leverage included. *stake*, *equity* and the positions' stakes are in one currency; a stake is
    margin. *confidence* may be left out: then it is not held against the policy's. *paid_in* is what was ever paid into
    the account less what was paid out, as it is in *equity*; left out, money that moves counts as profit or loss.
    """

    bot: str
    id: Id
    symbol: str
    side: Side
    stop: Annotated[float, msgspec.Meta(gt=0.0, le=100.0)]
    stake: Positive
    equity: Finite
    positions: ToldPositions
    confidence: Probability | None = None
    paid_in: Finite | None = None

    def __post_init__(self) -> None:
        check_bot_name(self.bot)
        parse_symbol(self.symbol)
        _check_positions(self.positions)

    @property
    def account(self) -> ToldAccount:
        """The account as the bot tells it."""
        return ToldAccount(equity=self.equity, positions=self.positions, paid_in=self.paid_in)

    def entry(self) -> EntryQuestion:
        """The question as the policy takes it; the symbol as the venue writes it."""
        account = self.account
        return EntryQuestion(
            symbol=parse_symbol(self.symbol), stake=self.stake, stop_pct=self.stop, equity=self.equity,
            open_count=len(self.positions), open_stake=account.open_stake, confidence=self.confidence,
        )


class GuardAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the entry may be made, and with how much.

    In OBSERVE *allow* is always true and *max_stake* the stake that was asked for; *would_allow* and *would_max_stake*
    are the policy's own verdict in both modes. An answer holds until *valid_until*; later the bot asks again.
    """

    bot: str
    id: str
    allow: bool
    max_stake: float
    max_risk_pct: float  # of equity, that the policy permits
    min_confidence: float | None  # None: the policy could not be evaluated
    rules: tuple[RuleFired, ...]  # every rule that fired for the symbol
    refusals: tuple[EntryRefusal, ...]  # those that refuse, with other reasons against the entry
    reason: str  # the refusals as one line; empty where there is none
    valid_until: str  # ISO 8601, UTC
    mode: GuardMode
    would_allow: bool
    would_max_stake: float


class FillReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry or an exit that a bot has made. *id* is the bot's own: sent again it is counted once.

    *profit* belongs to an exit: the net result of what was closed, in the account's currency. *equity*, *positions* and
    *paid_in* (see :class:`DecideQuestion`) are the account after it, where the bot knows them.
    """

    bot: str
    id: Id
    fill: str
    symbol: str
    side: Side
    stake: Positive | None = None
    price: Positive | None = None
    profit: Finite | None = None
    equity: Finite | None = None
    positions: ToldPositions | None = None
    paid_in: Finite | None = None

    def __post_init__(self) -> None:
        check_bot_name(self.bot)
        parse_symbol(self.symbol)
        require(self.fill in ("ENTRY", "EXIT"), "fill", self.fill, "must be ENTRY or EXIT")
        is_exit = self.fill == "EXIT"
        require((self.profit is not None) == is_exit, "profit", self.profit, "an EXIT has one, an ENTRY none")
        is_told = self.equity is not None
        require((self.positions is not None) == is_told, "equity", self.equity, "give it with positions, or neither")
        require(is_told or self.paid_in is None, "paid_in", self.paid_in, "give it with equity and positions")
        _check_positions(self.positions or ())

    @property
    def account(self) -> ToldAccount | None:
        """The account after the fill, where it was told."""
        if self.equity is None or self.positions is None:
            return None
        return ToldAccount(equity=self.equity, positions=self.positions, paid_in=self.paid_in)


class FillAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a report. *is_counted* false: the same report had come before."""

    bot: str
    id: str
    is_counted: bool
    losing_streak: int


def _check_positions(positions: tuple[ToldPosition, ...]) -> None:
    for one in positions:
        try:
            parse_symbol(one.symbol)
        except InputError as error:
            raise InputError(f"positions: {error}") from None
        require(one.stake >= 0.0, "positions: stake", one.stake, "cannot be negative")
