"""The rules as a readable table, and the texts for the rules that fired."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec

from quantum_trader.domain.enums import ENTRY_CODES, EXIT_CODES, RISK_PROFILE_CODES
from quantum_trader.domain.policy import RuleFired
from quantum_trader.policy.layout import (
    FIELD_ALLOW,
    FIELD_ENTRY,
    FIELD_EXIT,
    FIELD_MAX_OPEN,
    FIELD_RISK_PROFILE,
    FIELD_SYMBOL,
    FIELDS,
    REFUSE_BAD_SYMBOL,
    REFUSE_COST,
    RULE_B1,
    RULE_C1,
    RULE_D2,
    RULE_HOLD,
)

_SHOWN: Final = 4  # effects of one rule that the note lists

# Rule, field ("symbol X", or a figure of the account by its name), before, after, as the rules note it; rule HOLD adds
# how many more evaluations and seconds the looser value waits, rule B1 the loss in percent that reached the limit.
RuleChange = (
    tuple[int, int | str, float, float] | tuple[int, int | str, float, float, float]
    | tuple[int, int | str, float, float, int, float]
)
Wait = tuple[int, float]  # evaluations in a row, seconds


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table."""

    name: str
    when: str
    effect: str
    profiles: str
    says: str  # how the note puts it


def _rule(name: str, when: str, effect: str, profiles: str, says: str) -> Rule:
    return Rule(name=name, when=when, effect=effect, profiles=profiles, says=says)


_LABELLED: Final = "SAFE, AGGRESSIVE, user"

# The position of a rule is its code (policy.layout.RULE_*).
RULES: Final = (
    _rule("A", "a label applies (trend or HIGH_VOL)", "the label's row: risk ×, confidence +, entry, exit", _LABELLED,
          "market label's row"),
    _rule("A1", "TRENDING and volatility NORMAL",
          "entry AGGRESSIVE, exit TREND_FOLLOW, confidence −0.03 (row CALM_TREND)", "STANDARD, compound",
          "TRENDING in NORMAL volatility"),
    _rule("A2", "RANGING", "entry DEFENSIVE, exit FAST_TP, risk ×0.7, confidence +0.05 (row CHOP)",
          "STANDARD, compound", "RANGING market: defensive"),
    _rule("A3", "volatility HIGH", "risk ×0.5, confidence +0.03 (row HIGH_VOL)", "STANDARD, compound",
          "HIGH volatility"),
    _rule("A4", "volatility EXTREME", "no new trades, risk × extreme_vol, confidence + extreme_vol", "all",
          "EXTREME volatility"),
    _rule("A5", "volatility HIGH", "risk profile REDUCED", "all", "HIGH volatility: risk profile REDUCED"),
    _rule("B1", "drawdown or daily PnL ≤ −daily_dd_limit",
          "no new trades until the next UTC midnight and until the rolling 24 h loss is inside the limit", "all",
          "Daily DD limit hit"),
    _rule("B2", "losing streak ≥ losing_streak_limit; stays until recovery_after_streak wins",
          "risk ×0.3, entry DEFENSIVE, confidence +0.05", "all", "losing streak"),
    _rule("B3", "open positions ≥ max_open_positions", "no new trades (POSITION_LIMIT)", "all",
          "POSITION_LIMIT: too many open positions"),
    _rule("B4", "total exposure ≥ total_exposure_limit", "no new trades (EXPOSURE_LIMIT)", "all",
          "EXPOSURE_LIMIT: total exposure"),
    _rule("C1", "symbol tagged BAD, or below a threshold of the profile with 5 trades or more", "symbol disallowed",
          "all", "symbol's own results are bad"),
    _rule("D1", "spread HIGH or slippage HIGH",
          "STANDARD: entry DEFENSIVE, confidence +0.03 once; others: the profile's multipliers and adjustments", "all",
          "high trading cost"),
    _rule("D2", "estimated round-trip cost > max_cost_in_r", "that symbol's trade refused", "all",
          "round-trip cost above max_cost_in_r"),
    _rule("D3", "liquidity LOW", "confidence + low_liquidity", "profiles that have it", "low liquidity"),
    _rule("E1", "ensemble quality < 0.40", "confidence +0.05", "all", "low ensemble quality"),
    _rule("F1", "market state UNKNOWN, older than 3 of its bars, or not finite",
          "lowest risk and highest confidence of any row, entry DEFENSIVE, exit FAST_TP", "all",
          "STALE_REGIME: market state unknown or too old"),
    _rule("F2", "risk state older than 60 s (live), equity not finite or ≤ 0", "no new trades", "all",
          "STALE_RISK: risk state too old or unusable"),
    _rule("P1", "losing streak > 0", "risk × max(0, 1 − losing_streak_per_loss × streak)", "profiles that have it",
          "penalty per loss of the streak"),
    _rule("P2", "drawdown < 0", "risk × max(0, 1 − drawdown_per_pct × |drawdown|)", "profiles that have it",
          "penalty per percent of drawdown"),
    _rule("R1", "B2 still latched after a win", "risk × recovery_multiplier per win", "all",
          "recovery after a losing streak"),
    _rule("CLAMP", "after all rules",
          "confidence within [0, 0.95]; risk within [0, base × max(1, the label's multiplier)]", "all",
          "kept within its bounds"),
    _rule("ZERO", "risk is 0", "no new trades", "all", "risk is zero"),
    _rule("HOLD", "a field would loosen",
          "waits for the interval and `persistence` evaluations in a row; a number of alike policies for ten", "all",
          "looser value waits"),
    _rule("HALT", "the saved state was damaged, or an operator halted", "no new trades until resumed", "all", "halted"),
    _rule("B2-END",
          "flat for 24 h and `recovery_after_streak` shadow trades in a row won; without shadow trades flat for 72 h",
          "the losing streak counts as 0", "all", "losing streak ended: 72 h without a position"),
)
_SYMBOL: Final = "symbol "  # before the name, as the field of a trace
RULE_NAMES: Final = tuple(rule.name for rule in RULES)


def is_symbol(field: int | str) -> bool:
    """Whether *field* of a trace is a symbol."""
    return isinstance(field, str) and field.startswith(_SYMBOL)


def said(trace: Iterable[RuleChange]) -> tuple[tuple[int, int | str, float, float], ...]:
    """What *trace* says apart from figures that change by themselves: how long something waits, and the loss of B1."""
    return tuple((one[0], one[1], one[2], one[3]) for one in trace)


def with_loss(trace: Iterable[RuleChange], loss_pct: float | None) -> tuple[RuleChange, ...]:
    """*trace* with the loss that rule B1 names, where it is known."""
    if loss_pct is None:
        return tuple(trace)
    return tuple((one[0], one[1], one[2], one[3], loss_pct) if one[0] == RULE_B1 else one for one in trace)


def wait_text(wait: Wait) -> str:
    """How long a looser value still waits."""
    evaluations, seconds = wait
    parts = [f"{evaluations} more evaluation{'' if evaluations == 1 else 's'}"] if evaluations else []
    if seconds > 0.0:
        parts.append(f"{seconds:.0f} s")
    return " and ".join(parts)


def _why(one: RuleChange) -> str:
    if len(one) == 5:
        return f"{RULES[one[0]].says} ({one[4]:.2f}%)"
    rest = wait_text((one[4], one[5])) if len(one) == 6 else ""
    return f"{RULES[one[0]].says}: {rest}" if rest else RULES[one[0]].says


def closed_because(trace: Iterable[RuleChange]) -> str:
    """The rules of *trace* that permit no new trades, each once."""
    rules = dict.fromkeys(one[0] for one in trace if one[1] == FIELD_ALLOW and (one[0] == RULE_HOLD or not one[3]))
    return "; ".join(f"{RULES[rule].name} {RULES[rule].says}" for rule in rules)


def value_text(field: int | str, value: float) -> str:
    """*value* of *field* in the words of the enums."""
    if field == FIELD_SYMBOL or is_symbol(field):
        return "allowed" if value else "disallowed"
    if field == FIELD_ALLOW:
        return "true" if value else "false"
    if field == FIELD_RISK_PROFILE:
        return str(RISK_PROFILE_CODES[int(value)].value)
    if field == FIELD_ENTRY:
        return str(ENTRY_CODES[int(value)].value)
    if field == FIELD_EXIT:
        return str(EXIT_CODES[int(value)].value)
    if field == FIELD_MAX_OPEN:
        return str(int(value))
    return f"{value:.6g}"


def fired(trace: Iterable[RuleChange]) -> tuple[RuleFired, ...]:
    """The explanation of a numeric *trace*."""
    return tuple(
        RuleFired(
            rule=RULES[one[0]].name, field=one[1] if isinstance(one[1], str) else FIELDS[one[1]],
            before=value_text(one[1], one[2]), after=value_text(one[1], one[3]), why=_why(one),
        )
        for one in trace
    )


def note_of(rules: Sequence[RuleFired]) -> str:
    """One line derived from the rules that fired: each rule once, with what it did."""
    effects: dict[str, list[str]] = {}
    says: dict[str, str] = {}
    for one in rules:
        says.setdefault(one.rule, one.why)
        effects.setdefault(one.rule, []).append(f"{one.field} {one.before} → {one.after}")
    if not says:
        return "no rule fired"
    return "; ".join(f"{name} {why} ({_shortened(effects[name])})" for name, why in says.items())


def _shortened(effects: Sequence[str]) -> str:
    """The first effects, and how many more there are; ``rules`` holds all."""
    more = len(effects) - _SHOWN
    return ", ".join(effects[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def symbols_trace(refused: Mapping[str, int], waiting: Mapping[str, Wait]) -> tuple[RuleChange, ...]:
    """The symbols *refused*, with their bits, and the banned ones *waiting* to be re-admitted (rule HOLD), how long."""
    trace: list[RuleChange] = []
    for symbol, bits in sorted(refused.items()):
        if bits & REFUSE_BAD_SYMBOL:
            trace.append((RULE_C1, _SYMBOL + symbol, 1.0, 0.0))
        if bits & REFUSE_COST:
            trace.append((RULE_D2, _SYMBOL + symbol, 1.0, 0.0))
    trace.extend((RULE_HOLD, _SYMBOL + symbol, 0.0, 1.0, *waiting[symbol]) for symbol in sorted(waiting))
    return tuple(trace)


def symbol_reasons(refused: Mapping[str, int], waiting: Iterable[str] = ()) -> Mapping[str, str]:
    """Why each symbol is disallowed; cannot be changed."""
    reasons = dict.fromkeys(refused, _BAD_RESULTS)
    if not _BAD_ONLY.issuperset(refused.values()):
        reasons = {symbol: _REASONS[bits] for symbol, bits in refused.items()}
    for symbol in waiting:
        reasons[symbol] = WAITS
    return MappingProxyType(reasons)


WAITS: Final = "HOLD waits to be re-admitted"
_BAD_RESULTS: Final = "C1 symbol's own results are bad"
_TOO_DEAR: Final = "D2 round-trip cost above max_cost_in_r"
_BAD_ONLY: Final = frozenset({REFUSE_BAD_SYMBOL})
_REASONS: Final = {
    REFUSE_BAD_SYMBOL: _BAD_RESULTS, REFUSE_COST: _TOO_DEAR,
    REFUSE_BAD_SYMBOL | REFUSE_COST: f"{_BAD_RESULTS}; {_TOO_DEAR}",
}


