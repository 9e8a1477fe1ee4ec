"""What a run tells while it goes on, what it hands over at its end, and what a person reads of it.

Three values, in the order they are made: a :class:`ProgressView` now and then, one :class:`RunFacts` with the raw
facts, one :class:`Report` that ``quantum_trader.app.report.data.build_report`` derives from the facts. Units: money in
USDT, ``_pct`` percent, ``_r`` multiples of the risk taken, ``_ns`` nanoseconds since the epoch, shares 0..1.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from quantum_trader.domain.trading import ClosedTrade

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class EventLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the event feed."""

    ts_ns: int
    kind: str  # "trade" | "policy" | "halt" | "signal" | "data"
    text: str


class PositionView(msgspec.Struct, frozen=True, kw_only=True):
    """An open position as shown to a person; *target_price* is 0.0 where there is none."""

    symbol: str
    side: str  # LONG | SHORT
    qty: float
    entry_price: float
    mark_price: float
    stop_price: float
    target_price: float
    unrealised: float
    unrealised_r: float
    bars_held: int


class PolicyView(msgspec.Struct, frozen=True, kw_only=True):
    """The policy in force, in one panel's worth of words."""

    profile: str
    mode: str  # OBSERVE | LIVE | OFF
    allow_new_trades: bool
    risk_profile: str
    min_confidence: float
    max_risk_pct: float
    entry_mode: str
    exit_mode: str
    note: str
    bans: tuple[str, ...] = ()
    governor: str = "NORMAL"


class ShadowTally(msgspec.Struct, frozen=True, kw_only=True):
    """Resolved shadow trades, by what the policy said of their signals."""

    allowed: int = 0
    allowed_r: float = 0.0
    blocked: int = 0
    blocked_r: float = 0.0


class ProgressView(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a run at one moment of market time."""

    ts_ns: int
    bars_done: int
    bars_total: int
    equity: float
    drawdown_pct: float  # from the all-time peak, 0 or negative
    positions: tuple[PositionView, ...]
    policy: PolicyView | None
    signals: int
    trades: int
    refusals: dict[str, int]
    shadows: ShadowTally
    halts: tuple[str, ...]  # active ones, each with its reason
    events: tuple[EventLine, ...]  # newest last


class ProgressSink(Protocol):
    """Where a run shows itself. The runner asks ``due`` once a moment and builds a view only when it is."""

    def due(self) -> bool:
        """Whether enough time has passed since the last view."""
        ...

    def show(self, view: ProgressView) -> None:
        """Display *view*."""
        ...


Pace = Callable[[int], None]
"""Called after each moment with its close time (ns); sleeps where a run is slower than the machine."""


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a run writes and where: nothing here changes a decision, so none of it is part of the settings."""

    state_dir: Path | None = None
    records: Path | None = None


class DataStatement(msgspec.Struct, frozen=True, kw_only=True):
    """What the run was fed."""

    source: str  # "bundled" or the folder's name
    symbols: tuple[str, ...]
    interval: str
    first_ns: int
    last_ns: int  # close of the last bar
    moments: int
    bars: int  # present bars over all symbols
    outages: int  # bars without volume, treated as absent
    holes: int  # gaps of more than a day
    fingerprint: str  # sha256 of the content
    funding_source: str  # "venue history" | "assumed"
    funding_statement: str  # one sentence: the assumed rate, or the span of the history
    instruments_assumed: tuple[str, ...] = ()  # symbols traded under the conservative default filters and tiers


class EvidenceRow(msgspec.Struct, frozen=True, kw_only=True):
    """What enforcing one switch would have done so far (spec 1, section 5)."""

    switch: str
    enforced: bool
    decisions: int
    changed: int
    shadows: int
    mean_r: float | None
    low_r: float
    high_r: float
    verdict: str


class HaltRow(msgspec.Struct, frozen=True, kw_only=True):
    """One halt: when, why, and how it ended; *cleared_ns* 0 while it stands."""

    ts_ns: int
    kind: str
    reason: str
    cleared_ns: int = 0
    exit_path: str = ""


class PolicyFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How the policy spent the run, counted in moments."""

    updates: int  # evaluations
    changes: int  # evaluations that changed the policy in force
    moments: int  # moments a policy was in force
    moments_blocked: int  # of which new trades were not allowed
    moments_reduced: int  # of which risk was REDUCED
    rules: dict[str, int]  # rule -> evaluations in which it fired


class RunFacts:
    """The raw facts of a finished run, as the runner collected them.

    Sampled arrays share one axis of N samples (each moment, each hour: the runner's choice, evenly spaced in market
    time): ``ts_ns`` (N,) int64 closes, ``equity`` (N,), ``closes`` (N, S) with NaN before a symbol's first bar, and
    ``policy_state`` (N,) int8 of RISK_* codes, or -1 without a policy. Shadows share an axis of M resolved shadow
    trades: ``shadow_r`` (M,), ``shadow_blocked`` (M,) bool, ``shadow_ts_ns`` (M,), in order of resolution.
    """

    def __init__(
        self,
        *,
        settings: dict[str, Any],
        data: DataStatement,
        start_equity: float,
        ts_ns: IntArray,
        equity: FloatArray,
        closes: FloatArray,
        policy_state: npt.NDArray[np.int8],
        trades: list[ClosedTrade],
        fees: float,
        funding: float,
        slippage: float,
        signals: int,
        intents: int,
        refusals: dict[str, int],
        shadow_r: FloatArray,
        shadow_blocked: BoolArray,
        shadow_ts_ns: IntArray,
        policy: PolicyFacts | None,
        evidence: tuple[EvidenceRow, ...] = (),
        halts: tuple[HaltRow, ...] = (),
        positions: tuple[PositionView, ...] = (),
        regime_share: dict[str, float] | None = None,
        governor_share: dict[str, float] | None = None,
        records: dict[str, int] | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.settings = settings  # effective settings as plain builtins
        self.data = data
        self.start_equity = start_equity
        self.ts_ns = ts_ns
        self.equity = equity
        self.closes = closes
        self.policy_state = policy_state
        self.trades = trades
        self.fees = fees  # positive is paid
        self.funding = funding  # positive is received
        self.slippage = slippage  # spread and slippage against the reference price; positive is paid
        self.signals = signals
        self.intents = intents
        self.refusals = refusals  # reason -> count, gates and guard together
        self.shadow_r = shadow_r
        self.shadow_blocked = shadow_blocked
        self.shadow_ts_ns = shadow_ts_ns
        self.policy = policy
        self.evidence = evidence
        self.halts = halts
        self.positions = positions
        self.regime_share = regime_share or {}  # "TRENDING UP NORMAL" -> share of symbol-bars
        self.governor_share = governor_share or {}  # level -> share of moments
        self.records = records or {}  # topic -> records written
        self.notes = notes  # anything else a reader must know


class RunStats(msgspec.Struct, frozen=True, kw_only=True):
    """What varies between two runs over the same data; it stands under ``run`` in any JSON."""

    wall_s: float
    bars_per_s: float | None  # None for a continued run, which replayed only a part
    total_s: float = 0.0  # with opening the recording and compiling
    version: str
    python: str = ""
    resumed: bool = False
    resumed_at_ns: int = 0
    state_dir: str = ""
    records: str = ""
    report: str = ""
    data_path: str = ""


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the runner returns."""

    facts: RunFacts
    wall_s: float  # the replay loop alone
    resumed: bool = False
    resumed_at_ns: int = 0
