"""The slots of symbols with a market or costs of their own: per symbol the values in force and their explanation."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from quantum_trader.policy.core import AccountState, Cost, MarketCodes
from quantum_trader.policy.evaluation import Candidate, candidate_of, hold_trace, slot_cost
from quantum_trader.policy.inputs import OVERALL, UNKNOWN_MARKET, Costs
from quantum_trader.policy.layout import (
    FIELD_COUNT,
    FIELD_SYMBOL,
    HOLD_COUNT,
    HOLD_CURRENT,
    HOLD_WIDTH,
    SLOT_STARTED,
)
from quantum_trader.policy.policy import SlotValues
from quantum_trader.policy.rules import RuleChange, said
from quantum_trader.policy.stability import hold_slot, new_slot


class SymbolSlots:
    """Slots by symbol. *parts* has, for each, the values in force and the trace that explains them.

    A symbol whose own market was given once and is not given any more has an unknown market (rule F1).
    """

    __slots__ = ("_vector", "own_markets", "parts", "rows")

    def __init__(self, vector: Sequence[float]) -> None:
        self._vector = vector
        self.rows: dict[str, list[float]] = {}
        self.parts: dict[str, tuple[SlotValues, tuple[RuleChange, ...]]] = {}
        self.own_markets: set[str] = set()

    def hold(
        self, overall: MarketCodes, costs: Costs | None, own: Mapping[str, MarketCodes], account: AccountState,
        refused: Collection[str], banned: Collection[str], start: list[float] | None, now_s: float, last_s: float,
    ) -> tuple[int, int]:
        """Bring every slot to what the rules say; returns (changed, held bits of any).

        A new slot starts from *start*, the overall policy in force for the symbol until now; from nothing where it is
        None (the first evaluation). *banned* are the symbols that the policy in force disallows.
        """
        self.own_markets.update(own)
        names = dict.fromkeys(self.rows)
        names.update(dict.fromkeys(own))
        if isinstance(costs, Mapping):
            names.update(dict.fromkeys(costs.keys() - {OVERALL}))
        seen: dict[tuple[MarketCodes, Cost, bool], Candidate] = {}
        parts = dict(self.parts)
        changed = any_held = 0
        told_again = False
        for symbol in names:
            market = own.get(symbol)
            if market is None:
                market = UNKNOWN_MARKET if symbol in self.own_markets else overall
            allowed = symbol not in refused
            cost = slot_cost(costs, symbol)
            key = (market, cost, allowed)
            if key not in seen:
                seen[key] = candidate_of(market, cost, account, allowed, self._vector)
            candidate, _, trace = seen[key]
            slot = self.rows.get(symbol)
            if slot is None:
                slot = self.rows[symbol] = new_slot() if start is None else _slot_like(start, symbol not in banned)
            share = 1.0 if allowed == (symbol not in banned) else 0.0
            moved, held = hold_slot(slot, candidate, now_s, last_s, share, share, self._vector)
            waits = hold_trace(slot, candidate, held, now_s, self._vector) if held else ()
            part, old = (in_force(slot), (*trace, *waits)), parts.get(symbol)
            if old != part:
                parts[symbol] = part
                told_again = True
                if old is None or old[0] != part[0] or said(old[1]) != said(part[1]):
                    changed = 1
            changed |= moved
            any_held |= held
        if told_again:
            self.parts = parts
        return changed, any_held

    def explain(self, traces: Mapping[str, Iterable[RuleChange]]) -> None:
        """Make *parts* anew from the slots, each with its trace of *traces* (none where it has none)."""
        self.parts = {symbol: (in_force(slot), tuple(traces.get(symbol, ()))) for symbol, slot in self.rows.items()}


def in_force(slot: Sequence[float]) -> SlotValues:
    """The values in force in *slot*, as looseness."""
    return tuple(slot[: FIELD_COUNT * HOLD_WIDTH : HOLD_WIDTH])


def close_slot(slot: list[float], closed: SlotValues) -> None:
    """Put *closed* in force in *slot* where it is safer; nothing waits any more."""
    started = slot[SLOT_STARTED] != 0.0
    slot[SLOT_STARTED] = 1.0
    for field in range(FIELD_COUNT):
        at = field * HOLD_WIDTH
        slot[at + HOLD_CURRENT] = min(slot[at + HOLD_CURRENT], closed[field]) if started else closed[field]
        slot[at + HOLD_COUNT] = 0.0


def safer_slot(mine: list[float], theirs: list[float]) -> list[float]:
    """*theirs*, but in no field looser than *mine*."""
    if not mine[SLOT_STARTED]:
        return theirs
    if not theirs[SLOT_STARTED]:
        return mine
    merged = list(theirs)
    for at in range(0, FIELD_COUNT * HOLD_WIDTH, HOLD_WIDTH):
        merged[at + HOLD_CURRENT] = min(mine[at + HOLD_CURRENT], theirs[at + HOLD_CURRENT])
        merged[at + HOLD_COUNT] = 0.0
    return merged


def _slot_like(overall: list[float], allowed: bool) -> list[float]:
    """A slot that has in force what *overall* has, with nothing waiting, for a symbol that is *allowed* or banned."""
    slot = new_slot()
    slot[SLOT_STARTED] = 1.0
    for field in range(FIELD_COUNT):
        slot[field * HOLD_WIDTH + HOLD_CURRENT] = overall[field * HOLD_WIDTH + HOLD_CURRENT]
    slot[FIELD_SYMBOL * HOLD_WIDTH + HOLD_CURRENT] = 1.0 if allowed else 0.0
    return slot
