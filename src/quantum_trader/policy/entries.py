"""Whether one entry of another bot is permitted, and with how much: the policy in force held against the account.

Pure functions of a policy and figures; nothing is remembered here.
"""

from __future__ import annotations

from typing import Final

import msgspec

from quantum_trader.domain.errors import require, require_finite
from quantum_trader.domain.policy import RuleFired
from quantum_trader.policy.layout import FIELD_ALLOW, FIELDS
from quantum_trader.policy.policy import SymbolPolicy, TradingPolicy

_ALLOW: Final = FIELDS[FIELD_ALLOW]
CONFIDENCE: Final = "CONFIDENCE"  # the code of a refusal that no rule makes alone: below the policy's min_confidence
UNKNOWN_SYMBOL: Final = "SYMBOL"


class EntryQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """One entry that a bot wants, and its account.

    *stop_pct* is the percent of the stake that a stopped trade loses, leverage included. *stake*, *equity* and
    *open_stake* (the stakes of all open positions) are margin in one currency. *confidence* None: it is not held
    against the policy's. Raises InputError for figures that are none.
    """

    symbol: str
    stake: float
    stop_pct: float
    equity: float
    open_count: int = 0
    open_stake: float = 0.0
    confidence: float | None = None

    def __post_init__(self) -> None:
        require_finite("stake", self.stake)
        require(self.stake > 0.0, "stake", self.stake, "must be above 0")
        require_finite("stop_pct", self.stop_pct)
        require(0.0 < self.stop_pct <= 100.0, "stop_pct", self.stop_pct, "is the percent a stop loses")
        require_finite("equity", self.equity)
        require_finite("open_stake", self.open_stake)
        require(self.open_stake >= 0.0, "open_stake", self.open_stake, "cannot be negative")
        require(self.open_count >= 0, "open_count", self.open_count, "cannot be negative")
        if self.confidence is not None:
            require_finite("confidence", self.confidence)
            require(0.0 <= self.confidence <= 1.0, "confidence", self.confidence, "is between 0 and 1")


class EntryRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """One reason against an entry: *code* is the name of a rule, or CONFIDENCE, or a code of the caller's own."""

    code: str
    why: str


class EntryVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the policy says of one entry. *max_stake* is 0 where it is refused, and never above the stake asked for."""

    allow: bool
    max_stake: float
    max_risk_pct: float  # of equity
    min_confidence: float
    refusals: tuple[EntryRefusal, ...]
    rules: tuple[RuleFired, ...]  # every rule that fired for the symbol, also those that refuse nothing

    @property
    def reason(self) -> str:
        """The refusals in words; empty where the entry is permitted."""
        return "; ".join(f"{one.code} {one.why}" for one in self.refusals)


def judge_entry(policy: TradingPolicy, question: EntryQuestion) -> EntryVerdict:
    """Hold *question* against *policy*: the gate, the symbol, the confidence, positions, exposure and risk."""
    own = policy.for_symbol(question.symbol)
    refusals = [*_closed(own), *_limits(policy, question)]
    if question.confidence is not None and not question.confidence >= own.min_confidence:
        why = f"confidence {question.confidence:.2f} is below {own.min_confidence:.2f}"
        refusals.append(EntryRefusal(code=CONFIDENCE, why=why))
    allow = not refusals
    stake = 0.0
    if allow:
        stake = min(question.stake, permitted_stake(
            question.equity, own.max_risk_pct, question.stop_pct, policy.total_exposure_limit_pct, question.open_stake
        ))
    return EntryVerdict(
        allow=allow, max_stake=stake, max_risk_pct=own.max_risk_pct if allow else 0.0,
        min_confidence=own.min_confidence, refusals=tuple(refusals), rules=own.rules,
    )


def permitted_stake(
    equity: float, risk_pct: float, stop_pct: float, exposure_limit_pct: float, open_stake: float
) -> float:
    """The largest stake whose stop costs *risk_pct* of *equity* and that stays within the exposure limit.

    Not positive where the limit is used up.
    """
    return min(equity * risk_pct / stop_pct, equity * exposure_limit_pct / 100.0 - open_stake)


def _closed(own: SymbolPolicy) -> list[EntryRefusal]:
    """The rules that permit no new trade in the symbol; one refusal in words where no rule says so."""
    if own.allow_new_trades:
        return []
    closing = {
        rule.rule: rule.why for rule in own.rules
        if (rule.field == _ALLOW or rule.field.startswith("symbol ")) and (rule.rule == "HOLD" or rule.after != "true")
    }
    if not closing:
        return [EntryRefusal(code=UNKNOWN_SYMBOL, why=own.reason or "no new trades are permitted")]
    return [EntryRefusal(code=code, why=why) for code, why in closing.items()]


def _limits(policy: TradingPolicy, question: EntryQuestion) -> list[EntryRefusal]:
    """B3 and B4 for an entry that came since the policy was evaluated; none that the policy names itself."""
    refusals = []
    known = {rule.rule for rule in policy.rules if rule.field == _ALLOW}
    if question.open_count >= policy.max_open_positions and "B3" not in known:
        why = f"{question.open_count} of {policy.max_open_positions} positions are open"
        refusals.append(EntryRefusal(code="B3", why=why))
    room = question.equity * policy.total_exposure_limit_pct / 100.0 - question.open_stake
    if not room > 0.0 and "B4" not in known:
        why = f"the exposure limit of {policy.total_exposure_limit_pct:g} % is used up"
        refusals.append(EntryRefusal(code="B4", why=why))
    return refusals
