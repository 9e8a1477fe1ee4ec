"""Counts a run shows and reports. Nothing here feeds a decision."""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import Any, Final, NamedTuple

import msgspec

from quantum_trader.domain.trading import ClosedTrade, Fill

_FEED: Final = 12
_MOST_REFUSED: Final = 20_000


class HaltEntry(msgspec.Struct, kw_only=True):
    """A halt and, once it ended, when."""

    ts_ns: int
    kind: str
    reason: str
    exit_path: str
    cleared_ns: int = 0


class ShadowEnd(NamedTuple):
    """A shadow trade that has ended."""

    seq: int  # number of its signal
    ts_ns: int  # when the signal was given
    end_ns: int
    r: float
    blocked: bool  # whether the policy would have blocked the signal
    net_bps: float  # NaN where an older version did not keep it
    traded: bool
    gates: int  # bits of the gates that did not pass and, higher, of those not measured (signal_gates)


_COLUMNS: Final = ShadowEnd._fields


class ShadowTally:
    """Resolved shadow trades in order of their end, one list for each field of :class:`ShadowEnd`."""

    __slots__ = (*_COLUMNS, "allowed_sum", "blocked_count", "blocked_sum")

    def __init__(self) -> None:
        self.r: list[float] = []
        self.blocked: list[bool] = []
        self.seq: list[int] = []
        self.ts_ns: list[int] = []
        self.end_ns: list[int] = []
        self.net_bps: list[float] = []
        self.traded: list[bool] = []
        self.gates: list[int] = []
        self.allowed_sum = 0.0
        self.blocked_sum = 0.0
        self.blocked_count = 0

    def add(self, ended: ShadowEnd) -> None:
        """Append one more."""
        for key, value in zip(_COLUMNS, ended, strict=True):
            getattr(self, key).append(value)
        if ended.blocked:
            self.blocked_sum += ended.r
            self.blocked_count += 1
        else:
            self.allowed_sum += ended.r

    def complete(self) -> None:
        """Give the fields that an older version did not keep the length of the others."""
        missing = len(self.r) - len(self.net_bps)
        self.net_bps[:0] = [math.nan] * missing
        self.traded[:0] = [False] * missing
        self.gates[:0] = [0] * missing


class FillTotals(msgspec.Struct, kw_only=True):
    """Sums over all fills, USDT."""

    slippage_paid: float = 0.0  # spread and slippage inside the prices
    turnover: float = 0.0  # notional
    maker_turnover: float = 0.0  # of it, what filled at rest

    def add(self, fill: Fill) -> None:
        """Count one more fill."""
        self.slippage_paid += fill.slippage
        self.turnover += fill.qty * fill.price
        if fill.liquidity == "maker":
            self.maker_turnover += fill.qty * fill.price


class Tally:
    """Counts of a run, and the lists that its report is made from."""

    def __init__(self) -> None:
        self.signals = 0
        self.last_signal_ns = 0  # when the newest of them was given; 0: none yet
        self.intents = 0
        self.refusals: Counter[str] = Counter()
        self.refused: list[tuple[int, str, str]] = []  # of models' signals: time, symbol, why it was not traded
        self.rules: Counter[str] = Counter()
        self.policy_steps = 0
        self.policy_changes = 0
        self.policy_moments_blocked = 0
        self.policy_moments_reduced = 0
        self.fills = FillTotals()
        self.trades: list[ClosedTrade] = []
        self.halts: list[HaltEntry] = []
        self.shadows = ShadowTally()
        self.regimes: Counter[str] = Counter()
        self.governor: Counter[str] = Counter()
        self.topics: Counter[str] = Counter()
        self.feed: deque[tuple[int, str, str]] = deque(maxlen=_FEED)
        self.others: list[tuple[int, str]] = []  # what others did on the account lately: time, text
        self.others_count = 0  # all of it since the start

    def by_others(self, ts_ns: int, text: str) -> None:
        """Keep what a person or another client did on the account."""
        self.others = [*self.others[1 - _FEED:], (ts_ns, text)]
        self.others_count += 1
        self.event(ts_ns, "others", text)

    def refuse(self, ts_ns: int, symbol: str, reason: str) -> None:
        """Keep why a model's signal was not traded; the oldest of very many are left out."""
        self.refused.append((ts_ns, symbol, reason))
        if len(self.refused) > _MOST_REFUSED:
            del self.refused[:_MOST_REFUSED // 2]

    def event(self, ts_ns: int, kind: str, text: str) -> None:
        """Add a line to the feed."""
        self.feed.append((ts_ns, kind, text))

    def state(self) -> dict[str, Any]:
        """Everything, as plain values."""
        plain = dict(vars(self))
        shadows, fills = plain.pop("shadows"), plain.pop("fills")
        plain.update(msgspec.structs.asdict(fills))
        plain.update({f"shadow_{key}": getattr(shadows, key) for key in ShadowTally.__slots__})
        for key in ("refusals", "rules", "regimes", "governor", "topics"):
            plain[key] = dict(plain[key])
        plain["trades"] = [msgspec.to_builtins(trade) for trade in self.trades]
        plain["halts"] = [msgspec.to_builtins(halt) for halt in self.halts]
        plain["feed"] = list(self.feed)
        return plain

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`."""
        for key, value in state.items():
            if key.startswith("shadow_"):
                setattr(self.shadows, key.removeprefix("shadow_"), value)
            elif key in FillTotals.__struct_fields__:
                setattr(self.fills, key, value)
            else:
                setattr(self, key, value)
        self.shadows.complete()
        for key in ("refusals", "rules", "regimes", "governor", "topics"):
            setattr(self, key, Counter(state[key]))
        self.trades = [msgspec.convert(raw, ClosedTrade) for raw in state["trades"]]
        self.halts = [msgspec.convert(raw, HaltEntry) for raw in state["halts"]]
        self.feed = deque((tuple(line) for line in state["feed"]), maxlen=_FEED)
        self.refused = [(int(ts_ns), str(symbol), str(why)) for ts_ns, symbol, why in state.get("refused", ())]
        self.others = [(int(ts_ns), str(text)) for ts_ns, text in state.get("others", ())]
