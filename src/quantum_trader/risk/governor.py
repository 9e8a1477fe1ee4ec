"""The safety governor, above policy and pilot: four levels from NORMAL to EMERGENCY, and what each allows.

| level | size | leverage | exposure | raised by | ends |
|---|---|---|---|---|---|
| CAUTIOUS | .75 | .75 | .85 | drawdown >= 5 %, 5 losses, lag >= 5 s, clock >= 500 ms | by itself |
| DEFENSIVE | .5 | .5 | .6 | 6.5 %, 7 losses, lag >= 30 s, clock >= 1 s, queue >= 95 %, not connected | by itself |
| EMERGENCY | 0 | 0 | 0 | 8 %, 8 losses, lag >= 300 s, equity unknown three times in a row | ``resume`` |

Drawdown is from the all-time equity peak, in percent, positive. Times are whole seconds since the epoch.

The levels are scalar functions over one row of floats. The engine and the sweep keep such a row and call
:func:`governor_step`, :func:`governor_trade` and :func:`governor_resume`; :class:`SafetyGovernor` is the same for use
in another program, and the engine does not construct it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import (
    GOV_CAUTIOUS,
    GOV_DEFENSIVE,
    GOV_EMERGENCY,
    GOV_NORMAL,
    GOVERNOR_CODES,
    GovernorLevel,
)
from quantum_trader.domain.errors import StateError, require, require_finite
from quantum_trader.domain.loss_window import after_transfer
from quantum_trader.domain.scalar import scalar
from quantum_trader.risk.halts import Halt
from quantum_trader.risk.limits import FloatRow, from_plain, to_plain

CAUTIOUS_DRAWDOWN_PCT: Final = 5.0
DEFENSIVE_DRAWDOWN_PCT: Final = 6.5
EMERGENCY_DRAWDOWN_PCT: Final = 8.0
CAUTIOUS_LOSSES, DEFENSIVE_LOSSES, EMERGENCY_LOSSES = 5, 7, 8
CAUTIOUS_LAG_S, DEFENSIVE_LAG_S, EMERGENCY_LAG_S = 5.0, 30.0, 300.0
CAUTIOUS_CLOCK_MS, DEFENSIVE_CLOCK_MS = 500.0, 1000.0
DEFENSIVE_QUEUE_FILL: Final = 0.95
BAD_EQUITY_TO_HALT: Final = 3
HYSTERESIS_PCT: Final = 1.0  # drawdown must be this far inside a threshold before its level is left
HOLD_S: Final = 900.0  # and stay there this long; levels are left one at a time

GOV_ROW_LEVEL, GOV_ROW_PEAK, GOV_ROW_LOSSES, GOV_ROW_SINCE_S, GOV_ROW_CALM_S = 0, 1, 2, 3, 4
GOV_ROW_BAD, GOV_ROW_CAUSE, GOV_ROW_NOW_S, GOV_ROW_EQUITY = 5, 6, 7, 8
GOVERNOR_SIZE: Final = 9

CAUSE_NONE, CAUSE_DRAWDOWN, CAUSE_LOSSES, CAUSE_HEALTH, CAUSE_EQUITY, CAUSE_STATE = 0, 1, 2, 3, 4, 5
CAUSES: Final = (
    "none", "drawdown from the all-time peak", "losses in a row", "system health", "equity is not finite",
    "the saved state is damaged",
)
ENDS: Final = {
    GovernorLevel.NORMAL: "nothing to end",
    GovernorLevel.CAUTIOUS: "by itself: 15 minutes under 4 % drawdown, under 5 losses in a row, healthy",
    GovernorLevel.DEFENSIVE: "by itself: 15 minutes under 5.5 % drawdown, under 7 losses in a row, healthy",
    GovernorLevel.EMERGENCY: "only by resume, with a reason",
}


@scalar
def level_factors(level: float) -> tuple[float, float, float]:
    """Factors of a GOV_* code on size, leverage and exposure; an unknown code is EMERGENCY."""
    if level == GOV_NORMAL:
        return (1.0, 1.0, 1.0)
    if level == GOV_CAUTIOUS:
        return (0.75, 0.75, 0.85)
    if level == GOV_DEFENSIVE:
        return (0.5, 0.5, 0.6)
    return (0.0, 0.0, 0.0)


@scalar
def risk_level(drawdown_pct: float, losses: float) -> int:
    """The GOV_* code for *drawdown_pct* (positive) and *losses* in a row; NaN gives EMERGENCY."""
    if not (drawdown_pct < EMERGENCY_DRAWDOWN_PCT and losses < EMERGENCY_LOSSES):
        return GOV_EMERGENCY
    if drawdown_pct >= DEFENSIVE_DRAWDOWN_PCT or losses >= DEFENSIVE_LOSSES:
        return GOV_DEFENSIVE
    if drawdown_pct >= CAUTIOUS_DRAWDOWN_PCT or losses >= CAUTIOUS_LOSSES:
        return GOV_CAUTIOUS
    return GOV_NORMAL


@scalar
def health_level(lag_s: float, connected: float, clock_offset_ms: float, queue_fill: float) -> int:
    """The GOV_* code for system health; *queue_fill* 0..1, *connected* 1.0 or 0.0. NaN gives DEFENSIVE."""
    if lag_s >= EMERGENCY_LAG_S:
        return GOV_EMERGENCY
    steady = lag_s < DEFENSIVE_LAG_S and abs(clock_offset_ms) < DEFENSIVE_CLOCK_MS
    if not (steady and queue_fill < DEFENSIVE_QUEUE_FILL and connected == 1.0):
        return GOV_DEFENSIVE
    if lag_s >= CAUTIOUS_LAG_S or abs(clock_offset_ms) >= CAUTIOUS_CLOCK_MS:
        return GOV_CAUTIOUS
    return GOV_NORMAL


def empty_governor() -> list[float]:
    """The governor's row before the first equity."""
    return [0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, math.nan]


@scalar
def _level_of(row: FloatRow) -> int:
    """The level code in *row*; anything but a known code is EMERGENCY."""
    value = row[GOV_ROW_LEVEL]
    return int(value) if GOV_NORMAL <= value <= GOV_EMERGENCY else GOV_EMERGENCY


@scalar
def _raise_level(row: FloatRow, level: int, cause: int, now_s: float) -> None:
    """Put *row* on the worse *level*."""
    row[GOV_ROW_LEVEL] = float(level)
    row[GOV_ROW_CAUSE] = float(cause)
    row[GOV_ROW_SINCE_S] = float(now_s)
    row[GOV_ROW_CALM_S] = -1.0


@scalar
def _drawdown_pct(row: FloatRow, equity: float) -> float:
    """Note *equity* and return its drawdown from the all-time peak in percent, 0.0 where equity is unknown."""
    if not math.isfinite(equity):
        row[GOV_ROW_BAD] += 1.0
        return 0.0
    row[GOV_ROW_BAD] = 0.0
    row[GOV_ROW_EQUITY] = float(equity)
    if equity > row[GOV_ROW_PEAK]:
        row[GOV_ROW_PEAK] = float(equity)
    peak = row[GOV_ROW_PEAK]
    return (peak - equity) * 100.0 / peak if peak > 0.0 else 100.0


@scalar
def _unknown_level(row: FloatRow) -> int:
    """The GOV_* code for unknown equity: DEFENSIVE at once, EMERGENCY at the third time in a row."""
    if row[GOV_ROW_BAD] >= BAD_EQUITY_TO_HALT:
        return GOV_EMERGENCY
    return GOV_DEFENSIVE if row[GOV_ROW_BAD] > 0.0 else GOV_NORMAL


@scalar
def governor_step(row: FloatRow, equity: float, now_s: float, health: int) -> int:
    """Update *row* with *equity* and the *health* level at *now_s*; returns the level in force.

    Worse takes effect at once. Milder levels are left one at a time, after HOLD_S seconds with drawdown HYSTERESIS_PCT
    inside the threshold. EMERGENCY stays until :func:`governor_resume`.
    """
    row[GOV_ROW_NOW_S] = float(now_s)
    drawdown = _drawdown_pct(row, equity)
    losses = row[GOV_ROW_LOSSES]
    level = _level_of(row)
    outside = max(int(health), _unknown_level(row))
    wanted = max(risk_level(drawdown, losses), outside)
    if level == GOV_EMERGENCY:
        return level
    if wanted > level:
        cause = CAUSE_LOSSES
        if wanted == _unknown_level(row):
            cause = CAUSE_EQUITY
        elif wanted == health:
            cause = CAUSE_HEALTH
        elif wanted == risk_level(drawdown, 0.0):
            cause = CAUSE_DRAWDOWN
        _raise_level(row, wanted, cause, now_s)
        return wanted
    if max(risk_level(min(drawdown + HYSTERESIS_PCT, 100.0), losses), outside) >= level:
        row[GOV_ROW_CALM_S] = -1.0
        return level
    if row[GOV_ROW_CALM_S] < 0.0 or now_s < row[GOV_ROW_CALM_S]:
        row[GOV_ROW_CALM_S] = float(now_s)
    if now_s - row[GOV_ROW_CALM_S] >= HOLD_S:
        level -= 1
        row[GOV_ROW_LEVEL] = float(level)
        row[GOV_ROW_SINCE_S] = float(now_s)
        row[GOV_ROW_CALM_S] = float(now_s)
    return level


@scalar
def governor_trade(row: FloatRow, pnl: float, lost: float) -> None:
    """Count a closed trade: a loss (or unknown result) lengthens the streak, a win ends it, zero changes nothing.

    *lost*: how many losses it counts for; 1.0, or the R lost where results are weighted by risk.
    """
    if pnl > 0.0:
        row[GOV_ROW_LOSSES] = 0.0
    elif pnl != 0.0:
        row[GOV_ROW_LOSSES] += lost
        wanted = risk_level(0.0, row[GOV_ROW_LOSSES])
        if wanted > _level_of(row):
            _raise_level(row, wanted, CAUSE_LOSSES, row[GOV_ROW_NOW_S])


@scalar
def governor_resume(row: FloatRow, equity: float, now_s: float) -> bool:
    """End an EMERGENCY: the peak becomes *equity*, the streak 0, the level NORMAL. Returns whether it did.

    Does nothing outside EMERGENCY, or while equity is not finite and positive.
    """
    if _level_of(row) != GOV_EMERGENCY or not (math.isfinite(equity) and equity > 0.0):
        return False
    row[GOV_ROW_PEAK] = float(equity)
    row[GOV_ROW_LOSSES] = 0.0
    row[GOV_ROW_BAD] = 0.0
    _raise_level(row, GOV_NORMAL, CAUSE_NONE, now_s)
    return True


@scalar
def scale_peak(row: FloatRow, equity: float, amount: float) -> None:
    """Take a transfer of *amount* at *equity* (USDT) into the all-time peak; the drawdown keeps its percentage.

    The last equity seen changes with it: a resume before the next equity starts from the money that is there.
    """
    if row[GOV_ROW_PEAK] > 0.0:
        row[GOV_ROW_PEAK] = after_transfer(row[GOV_ROW_PEAK], equity, amount)
    row[GOV_ROW_EQUITY] = after_transfer(row[GOV_ROW_EQUITY], equity, amount)


@scalar
def operator_resumes(since_s: float, now_s: float, hours: float) -> bool:
    """Whether a replay's simulated operator resumes now, *hours* after the EMERGENCY began; never for 0 or less."""
    return hours > 0.0 and now_s - since_s >= hours * 3600.0


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Readings of system health; the defaults are a healthy system."""

    lag_s: float = 0.0
    connected: bool = True
    clock_offset_ms: float = 0.0
    queue_fill: float = 0.0  # fullest queue, 0..1

    @property
    def level(self) -> int:
        """The GOV_* code for these readings."""
        return health_level(float(self.lag_s), float(self.connected), float(self.clock_offset_ms), self.queue_fill)


class LevelChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change of the governor's level; *halt* is set when it entered EMERGENCY."""

    before: GovernorLevel
    after: GovernorLevel
    cause: str
    ends: str
    at_ns: int
    halt: Halt | None = None


_HEALTHY: Final = Health()


class SafetyGovernor:
    """The governor for use in another program: levels from equity, results and health, saved and restored.

    ``governor = SafetyGovernor()``; at every mark ``governor.update(equity, now_ns)``; before every opening
    ``size, leverage, exposure = governor.factors``. The engine does not use this object: it calls the same scalars
    (:func:`governor_step`, :func:`governor_trade`, :func:`governor_resume`) over a row of its own.
    """

    def __init__(self) -> None:
        self.row = empty_governor()
        self.resume_reason = ""

    @property
    def code(self) -> int:
        """The level in force as a GOV_* code."""
        return int(_level_of(self.row))

    @property
    def level(self) -> GovernorLevel:
        """The level in force."""
        return GOVERNOR_CODES[self.code]

    @property
    def since_s(self) -> float:
        """When the level began, seconds since the epoch."""
        return self.row[GOV_ROW_SINCE_S]

    @property
    def factors(self) -> tuple[float, float, float]:
        """Factors on size, leverage and exposure."""
        return level_factors(self.code)

    @property
    def peak(self) -> float:
        """The all-time equity peak, or the equity at the last resume."""
        return self.row[GOV_ROW_PEAK]

    @property
    def losses(self) -> int:
        """Losing trades in a row."""
        return int(self.row[GOV_ROW_LOSSES])

    def update(self, equity: float, now_ns: int, health: Health = _HEALTHY) -> LevelChange | None:
        """Note *equity* and *health* at *now_ns*; the change of level, if there was one."""
        before = self.code
        governor_step(self.row, float(equity), now_ns // NS_PER_SECOND, health.level)
        return self._change(before, now_ns)

    def note_transfer(self, amount: float) -> None:
        """Note *amount* (USDT) paid in, negative when paid out, before the first equity that shows it.

        The drawdown keeps its percentage: the peak changes in proportion to the account.
        """
        require_finite("amount", amount)
        scale_peak(self.row, self.row[GOV_ROW_EQUITY], float(amount))

    def note_trade(self, pnl: float, now_ns: int) -> LevelChange | None:
        """Count a closed trade's result (USDT, net); the change of level, if there was one."""
        before = self.code
        self.row[GOV_ROW_NOW_S] = float(now_ns // NS_PER_SECOND)
        governor_trade(self.row, float(pnl), 1.0)
        return self._change(before, now_ns)

    def _change(self, before: int, now_ns: int) -> LevelChange | None:
        if self.code == before:
            return None
        return LevelChange(
            before=GOVERNOR_CODES[before], after=self.level, cause=CAUSES[int(self.row[GOV_ROW_CAUSE])],
            ends=ENDS[self.level], at_ns=now_ns, halt=self.halt(),
        )

    def halt(self) -> Halt | None:
        """The halt in force, in EMERGENCY only."""
        if self.code != GOV_EMERGENCY:
            return None
        return Halt(
            kind="governor", reason=CAUSES[int(self.row[GOV_ROW_CAUSE])], owner="governor",
            since_ns=int(self.since_s) * NS_PER_SECOND, command="SafetyGovernor.resume(reason, now_ns)",
        )

    def resume(self, reason: str, now_ns: int) -> LevelChange:
        """End an EMERGENCY: the peak becomes the equity last seen and the streak 0.

        Raises InputError without a reason, StateError outside EMERGENCY or while equity is unknown.
        """
        require(bool(reason.strip()), "reason", reason, "say why trading may go on")
        before = self.code
        if before != GOV_EMERGENCY:
            raise StateError(f"governor level = {self.level.value}: only EMERGENCY is resumed; nothing to do")
        equity = self.row[GOV_ROW_EQUITY] if self.row[GOV_ROW_BAD] == 0.0 else math.nan
        if not governor_resume(self.row, equity, now_ns // NS_PER_SECOND):
            raise StateError(f"equity = {equity}: wait until the account has been read, then resume again")
        self.resume_reason = reason
        return LevelChange(
            before=GovernorLevel.EMERGENCY, after=self.level, cause=f"resumed: {reason}", ends=ENDS[self.level],
            at_ns=now_ns,
        )

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as JSON values."""
        return {"version": 1, "row": to_plain(self.row), "resume_reason": self.resume_reason}

    def load_state(self, state: object, now_ns: int) -> bool:
        """Continue from *state*; False when it is damaged, and then the level is EMERGENCY until resumed."""
        saved = state if isinstance(state, Mapping) and state.get("version") == 1 else {}
        row = from_plain(saved.get("row"), GOVERNOR_SIZE)
        if row is not None and _sound(row):
            self.row = row
            self.resume_reason = str(saved.get("resume_reason", ""))
            return True
        self.row = empty_governor()
        _raise_level(self.row, GOV_EMERGENCY, CAUSE_STATE, now_ns // NS_PER_SECOND)
        return False


def _sound(row: list[float]) -> bool:
    """Whether a loaded row can be a governor's: only the equity may be unknown, codes and counts are in range."""
    if any(math.isnan(value) for value in row[:GOV_ROW_EQUITY]):
        return False
    counts = row[GOV_ROW_LOSSES] >= 0.0 and row[GOV_ROW_BAD] >= 0.0 and row[GOV_ROW_PEAK] >= 0.0
    codes = row[GOV_ROW_LEVEL] in (0.0, 1.0, 2.0, 3.0) and row[GOV_ROW_CAUSE] in range(len(CAUSES))
    return counts and codes
