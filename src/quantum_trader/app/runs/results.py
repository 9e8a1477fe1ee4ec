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

from quantum_trader.app.runs.intent_file import IntentFile
from quantum_trader.app.runs.model_facts import ModelFacts
from quantum_trader.app.runs.model_state import ModelsState
from quantum_trader.app.runs.scheduled_models import ScheduledModel
from quantum_trader.domain.trading import ClosedTrade
from quantum_trader.live.bus import Bus
from quantum_trader.models.gates import GateSettings
from quantum_trader.policy.pilot_evidence import ShadowDay, ShadowTrade

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


class ShadowTotals(msgspec.Struct, frozen=True, kw_only=True):
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
    return_pct: float  # since the start of the run
    drawdown_pct: float  # from the highest equity at any bar, 0 or negative
    positions: tuple[PositionView, ...]
    policy: PolicyView | None
    signals: int
    trades: int
    refusals: dict[str, int]
    shadows: ShadowTotals
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
    """What a run writes and where, and the recorded intents it is given.

    Where it writes changes no decision and is no part of the settings. The content of *intents* and the models of
    *switches* are part of the run's identity.
    """

    state_dir: Path | None = None
    records: Path | None = None
    intents: IntentFile | None = None
    switches: tuple[ScheduledModel, ...] = ()  # models that take over at their times
    kept_bars: int = 0  # bars that models which take over are judged by, as the first record of a run has stated them
    bus: Bus | None = None  # publishes each record whose topic has a subscriber; None: a bus of the run's own


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


class TimeShares(msgspec.Struct, frozen=True, kw_only=True):
    """How the run's time was spent; each mapping adds up to 1, or is empty."""

    regime: dict[str, float] = {}  # "TRENDING UP NORMAL" -> share of symbol-bars
    governor: dict[str, float] = {}  # level -> share of moments


class ShadowFacts(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Shadow trades with a known result, in the order of their signals; the arrays share one axis of M trades.

    Stops end sooner than targets, so the results known so far hold too many losers. Those that end before the first
    open shadow trade of the same kind (*blocked* or not) do not: a beginning in which every result is known.
    """

    r: FloatArray  # (M,) result in R after costs
    blocked: BoolArray  # (M,) whether the policy, enforced, would have refused the signal
    ts_ns: IntArray  # (M,) time of the signal
    life_ns: IntArray  # (M,) how long the shadow trade lasted
    complete: BoolArray  # (M,) whether every earlier signal of its kind has a known result
    settled: BoolArray  # (M,) the same of all signals, whatever their kind
    net_bps: FloatArray  # (M,) of the entry's notional, after costs and funding
    traded: BoolArray  # (M,)
    gates: IntArray  # (M,) bits of the gates that did not pass and, higher, of those not measured (signal_gates)


class CostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What trading cost, in USDT."""

    fees: float  # positive is paid
    funding: float  # positive is received
    slippage: float  # spread and slippage against the reference price; positive is paid
    turnover: float = 0.0  # notional bought and sold
    maker_turnover: float = 0.0  # of it, what filled at rest


class DrawdownFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The deepest fall of the equity from its highest value so far, both seen at every bar; 0.0: it never fell."""

    depth: float = 0.0  # fraction of the peak, 0 or negative
    peak_ns: int = 0
    trough_ns: int = 0


class PilotFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a run's pilot did: its shadow books and, where it traded, its intents."""

    name: str
    model: str  # hash of its card
    mode: str  # in force at the end
    decisions: int
    intents: int  # reducing ones among them
    results: tuple[float, float, float]  # of the books of pilot, signals and both: shares of the first equity
    days: tuple[ShadowDay, ...]
    trades: tuple[ShadowTrade, ...]
    failed: str  # why it was not asked any more; empty: it was
    outcomes: dict[str, int] = {}  # what became of its decisions: a word and how often
    sure: float = 0.0  # the highest confidence of a decision that wanted a position
    least: float = 0.0  # the confidence that its settings ask for
    modes: tuple[tuple[int, str, str], ...] = ()  # since when, which, and why
    trained_until_ns: int = 0  # close of the last bar that it was trained on: it decides on later ones alone
    known_until_end: bool = False  # whether the run had no later ones


class GateFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the six gates said of a run's signals; lists have one entry a gate, in the order of GATES."""

    settings: GateSettings  # in force at the end
    mode: str  # of the signals
    judged: int  # signals
    passed: tuple[int, ...]
    unmeasured: tuple[int, ...]
    refused: dict[str, int]  # gate -> signals that it refused, as the first enforced one
    changes: int = 0  # how often other settings were put into force


class RunFacts(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The raw facts of a finished run, as the runner collected them.

    Sampled arrays share one axis of N samples, evenly spaced in market time, over S symbols: the state at the first
    bar's open, then at closes. Between two samples lie many bars; *lows* and the drawdowns have seen each of them.
    """

    settings: dict[str, Any]  # effective settings as plain builtins
    data: DataStatement
    start_equity: float
    ts_ns: IntArray  # (N,) times of the samples
    equity: FloatArray  # (N,)
    lows: FloatArray  # (N,) deepest drawdown at any bar since the sample before, a fraction, 0 or negative
    closes: FloatArray  # (N, S), NaN before a symbol's first bar
    drawdown: DrawdownFacts
    hold_drawdown: DrawdownFacts  # of the symbols bought in equal parts and held
    policy_state: npt.NDArray[np.int8]  # (N,) RISK_* codes, -1 without a policy
    gross: FloatArray  # (N,) notional of all positions; NaN where it was not sampled
    held: FloatArray  # (N,) open positions; NaN likewise
    trades: list[ClosedTrade]
    costs: CostFacts
    signals: int
    intents: int
    refusals: dict[str, int]  # reason -> count, gates and guard together
    shadows: ShadowFacts
    policy: PolicyFacts | None
    evidence: tuple[EvidenceRow, ...] = ()
    halts: tuple[HaltRow, ...] = ()
    positions: tuple[PositionView, ...] = ()
    shares: TimeShares = TimeShares()
    records: dict[str, int] = {}  # topic -> records written
    notes: tuple[str, ...] = ()  # anything else a reader must know
    models: ModelFacts | None = None  # None: the intraday ensemble gave the signals
    models_at_end: ModelsState | None = None  # what they lack, and since when there has been no signal
    pilot: PilotFacts | None = None  # None: there was none
    gates: GateFacts | None = None


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
