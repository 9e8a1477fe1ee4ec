"""Whether the pilot may trade: what its shadow books earned beside the signals', and when it has to stop.

Three shadow books trade the same market: the pilot alone, the signals alone, and both combined (hybrid). One value is
one UTC day: each book's net result as a share of its first equity, and the paired differences with the signals. Their
intervals are those of :mod:`quantum_trader.policy.evidence`: looks at fixed counts of days, blocks of days, and
Student's t for few blocks, so that they stay valid however often they are read. Everything here is a pure function.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from itertools import pairwise
from typing import Final

import msgspec

from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.domain.enums import PilotMode
from quantum_trader.domain.errors import InputError, brief, require, require_finite
from quantum_trader.domain.pilot_settings import PilotSettings
from quantum_trader.policy.evidence import MIN_EFFECTIVE_BLOCKS, Look, RolloutRules, look_at
from quantum_trader.policy.policy_store_state import LONGEST_TEXT, check_text
from quantum_trader.policy.rollout import Unmet

PILOT: Final = "pilot"
SIGNALS: Final = "signals"
HYBRID: Final = "hybrid"
PILOT_OVER_SIGNALS: Final = "pilot - signals"
HYBRID_OVER_SIGNALS: Final = "hybrid - signals"
RESULTS: Final = (PILOT, SIGNALS, HYBRID, PILOT_OVER_SIGNALS, HYBRID_OVER_SIGNALS)
SEEDS_KEY: Final = "seeds_lower_quartile_sharpe"  # in the metrics of a model's card
SEEDS_COUNT: Final = "seeds"  # over how many seeds that is, there
BPS: Final = 1e4  # basis points of a share of 1
_FIRST_DAY: Final = date(1970, 1, 1).toordinal()
_ASKED: Final = {PilotMode.PRIMARY: (PILOT, PILOT_OVER_SIGNALS), PilotMode.HYBRID: (HYBRID, HYBRID_OVER_SIGNALS)}


class PilotRules(msgspec.Struct, frozen=True, kw_only=True):
    """The conditions for letting the pilot trade."""

    min_market_hours: float = 24.0
    min_days: int = 20  # days of market, of 24 hours or less each; also the first look
    min_trades: int = 30  # shadow trades of the pilot that have ended
    alpha: float = 0.05  # of each interval, two-sided, over all looks together
    min_seeds: int = 8  # that the quartile on the card is over: that of one is its own result, and of two the worse

    def __post_init__(self) -> None:
        require_finite("min_market_hours", self.min_market_hours)
        require(self.min_market_hours >= 0.0, "min_market_hours", self.min_market_hours, "cannot be negative")
        require(isinstance(self.min_trades, int) and self.min_trades >= 1, "min_trades", self.min_trades, "at least 1")
        require(isinstance(self.min_seeds, int) and self.min_seeds >= 1, "min_seeds", self.min_seeds, "at least 1")
        require(isinstance(self.min_days, int) and self.min_days >= 10, "min_days", self.min_days, "at least 10")
        self.looks()

    def looks(self) -> RolloutRules:
        """The rules of the looks at days; InputError for an alpha that is none."""
        return RolloutRules(min_count=self.min_days, min_market_hours=self.min_market_hours, alpha=self.alpha)


class ShadowDay(msgspec.Struct, frozen=True, kw_only=True):
    """One UTC day of the three books, as a record of ``pilot.day`` states it; results are net shares of the
    equity that the books began with.
    """

    day: str  # YYYY-MM-DD
    pilot: float
    signals: float
    hybrid: float
    hours: float  # of market, 0..24
    decisions: int = 0

    @property
    def start_ns(self) -> int:
        """The day's first moment, ns since the epoch; InputError where *day* is none."""
        try:
            return (date.fromisoformat(self.day).toordinal() - _FIRST_DAY) * NS_PER_DAY
        except ValueError:
            raise InputError(f"day = {brief(self.day)}: write YYYY-MM-DD") from None

    @property
    def tells(self) -> bool:
        """Whether there was market on it, and the pilot decided."""
        return self.hours > 0.0 and self.decisions > 0

    def value(self, result: str) -> float:
        """The day's value of one of :data:`RESULTS`, a share of equity."""
        if result == PILOT_OVER_SIGNALS:
            return self.pilot - self.signals
        if result == HYBRID_OVER_SIGNALS:
            return self.hybrid - self.signals
        return float(getattr(self, result))


class ShadowTrade(msgspec.Struct, frozen=True, kw_only=True):
    """A shadow trade of the pilot that has ended."""

    entry_ns: int
    exit_ns: int
    r: float
    exit: str


class DailyResult(msgspec.Struct, frozen=True, kw_only=True):
    """The mean of one result a day, a share of equity, and the latest look at it."""

    name: str  # one of RESULTS
    mean: float | None  # over all days; None without a day
    look: Look

    @property
    def interval(self) -> tuple[float, float] | None:
        """Bounds of the mean, shares of equity; None: too few days or too few blocks of them."""
        return self.look.interval


class PilotEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What the shadow books of one model tell."""

    model: str  # hash of its card; "" where none has decided
    days: int
    first_day: str  # "" without a day
    last_day: str
    market_hours: float
    decisions: int
    trades: int
    mean_r: float | None
    win_rate: float | None  # share of the trades with r above 0
    exits: dict[str, int]
    results: tuple[DailyResult, ...]  # in the order of RESULTS

    def result(self, name: str) -> DailyResult:
        """The result *name*, one of RESULTS."""
        return self.results[RESULTS.index(name)]


class PilotLimits(msgspec.Struct, frozen=True, kw_only=True):
    """When the pilot stops trading without being asked."""

    max_drawdown: float = 0.05  # share of equity, from the peak, of its shadow book or of its own trades

    def __post_init__(self) -> None:
        require_finite("max_drawdown", self.max_drawdown)
        require(0.0 < self.max_drawdown < 1.0, "max_drawdown", self.max_drawdown, "must lie between 0 and 1")


def weigh_pilot(
    days: Sequence[ShadowDay], trades: Iterable[ShadowTrade], *, model: str, rules: PilotRules | None = None
) -> PilotEvidence:
    """Weigh the days and trades of one *model*.

    Days without an hour of market or without a decision tell nothing and are left out: while the pilot warms up its
    book stands still, and the signals' does not.

    A day's result covers 24 hours, and trades that last longer tie days together: blocks of days last at least three
    times the longer of the two. Raises InputError for days that are out of order or twice there.
    """
    rules = rules or PilotRules()
    seen = [day for day in days if day.tells]
    starts = [day.start_ns for day in seen]
    for before, after in pairwise(seen):
        if after.start_ns <= before.start_ns:
            raise InputError(f"day = {after.day!r}: comes after {before.day!r}; give each day once, oldest first")
    ended = list(trades)
    life = max(NS_PER_DAY, _mean_life_ns(ended))
    results = tuple(_result(name, seen, starts, life, rules) for name in RESULTS)
    return PilotEvidence(
        model=model, days=len(seen), first_day=seen[0].day if seen else "", last_day=seen[-1].day if seen else "",
        market_hours=math.fsum(day.hours for day in seen), decisions=sum(day.decisions for day in seen),
        trades=len(ended), mean_r=math.fsum(trade.r for trade in ended) / len(ended) if ended else None,
        win_rate=len([trade for trade in ended if trade.r > 0.0]) / len(ended) if ended else None,
        exits=dict(sorted(Counter(trade.exit for trade in ended).items())), results=results,
    )


def _mean_life_ns(trades: Sequence[ShadowTrade]) -> int:
    """Mean life of *trades*, weighted by itself: the long ones tie the most days together."""
    lives = [float(trade.exit_ns - trade.entry_ns) for trade in trades]
    whole = math.fsum(lives)
    return int(math.fsum(life * life for life in lives) / whole) if whole > 0.0 else 0


def _result(
    name: str, days: Sequence[ShadowDay], starts: Sequence[int], life_ns: int, rules: PilotRules
) -> DailyResult:
    values = [day.value(name) for day in days]
    look = look_at(starts, values, [life_ns] * len(values), rules.looks())
    return DailyResult(name=name, mean=math.fsum(values) / len(values) if values else None, look=look)


def unmet_for(
    mode: PilotMode, evidence: PilotEvidence, *, settings: PilotSettings, metrics: dict[str, float | None] | None,
    rules: PilotRules | None = None,
) -> tuple[Unmet, ...]:
    """What stands between the pilot and *mode*, PRIMARY or HYBRID; empty when it may trade.

    *metrics* are those of the model's card; None where the card is not known. Raises InputError for another mode.
    """
    rules = rules or PilotRules()
    _require_trading(mode)
    unmet = []
    if settings.mode is mode:
        unmet.append(Unmet(condition="mode", observed=f"{mode.value} already", required="another mode"))
    if not settings.enabled:
        unmet.append(Unmet(condition="enabled", observed="false", required="true (pilot set enabled=true)"))
    for condition, found, least in (
        ("hours of market", evidence.market_hours, rules.min_market_hours),
        ("days of market", evidence.days, rules.min_days),
        ("shadow trades that have ended", evidence.trades, rules.min_trades),
    ):
        if found < least:
            unmet.append(Unmet(condition=condition, observed=f"{found:g}", required=f"at least {least:g}"))
    if evidence.days >= rules.min_days:
        unmet += [one for name in _ASKED[mode] for one in _unmet_interval(evidence.result(name))]
    return (*unmet, *unmet_seeds(metrics, rules))


def _require_trading(mode: PilotMode) -> None:
    require(mode in _ASKED, "mode", mode, "must be PRIMARY or HYBRID; other modes ask for no evidence")


def _unmet_interval(result: DailyResult) -> tuple[Unmet, ...]:
    """What *result* lacks of an interval above zero, once there are enough days for one."""
    upcoming = f"next look at {result.look.upcoming} days"
    if result.interval is None:
        effective = result.look.blocks.effective if result.look.blocks is not None else 0.0
        return (Unmet(
            condition=f"{result.name}: independent blocks of days", observed=f"{effective:.1f}",
            required=f"at least {MIN_EFFECTIVE_BLOCKS:g} ({upcoming})",
        ),)
    low, high = result.interval
    if low > 0.0:
        return ()
    return (Unmet(
        condition=f"{result.name}, mean a day", observed=f"interval {low * BPS:+.2f} to {high * BPS:+.2f} bp of equity",
        required=f"above zero ({upcoming})",
    ),)


def unmet_seeds(metrics: dict[str, float | None] | None, rules: PilotRules | None = None) -> tuple[Unmet, ...]:
    """The condition on training seeds: a model is not to be promoted for the luck of its best one.

    A quartile over too few seeds is none: evaluated alone, the best seed is its own lower quartile.
    """
    wanted, least = "above zero", (rules or PilotRules()).min_seeds
    if metrics is None:
        return (Unmet(condition="the model's card", observed="not known", required="--model FOLDER of the model"),)
    if SEEDS_KEY not in metrics or (value := metrics[SEEDS_KEY]) is None:
        return (Unmet(
            condition=f"{SEEDS_KEY} in the model's card", observed="not stated",
            required=f"{wanted}; evaluate all seeds with pilot evaluate --update-cards, and run the new model",
        ),)
    unmet = []
    count = metrics.get(SEEDS_COUNT) or 0.0
    if not count >= least:  # also refuses what is no number
        unmet.append(Unmet(
            condition=f"{SEEDS_COUNT} in the model's card", observed=f"{count:g}",
            required=f"at least {least}; evaluate all seeds of its training together",
        ))
    if not value > 0.0:
        unmet.append(Unmet(condition=f"{SEEDS_KEY} in the model's card", observed=f"{value:+.2f}", required=wanted))
    return tuple(unmet)


def promotion_reason(mode: PilotMode, evidence: PilotEvidence, unmet: Sequence[Unmet], reason: str) -> str:
    """What is recorded with a promotion, one line: forced or on which evidence, the model, and the given *reason*.

    InputError where *reason* is too long or no single line; a longer list of what was not met is cut off.
    """
    given = check_text("reason", reason) if reason.strip() or unmet else ""
    model = f"model {evidence.model[:12] or 'none'}"
    if unmet:
        told = f"forced: {given}; {model}; not met: {'; '.join(one.text for one in unmet)}"
    else:
        shown = [
            f"{one.name} {one.interval[0] * BPS:+.2f} to {one.interval[1] * BPS:+.2f} bp a day"
            for one in map(evidence.result, _ASKED[mode]) if one.interval is not None
        ]
        found = f"on evidence: {evidence.days} days, {evidence.trades} shadow trades, {', '.join(shown)}; {model}"
        told = f"{found}; {given}" if given else found
    return told if len(told) <= LONGEST_TEXT else told[: LONGEST_TEXT - 1] + "…"


def verdict_on(result: DailyResult) -> str:
    """What the interval of a result says: above or below zero, luck may explain it, too few independent days."""
    if result.interval is None:
        return "too few independent days to tell"
    low, high = result.interval
    return "above zero" if low > 0.0 else "below zero" if high < 0.0 else "cannot be told from luck"


def demotion_reason(
    evidence: PilotEvidence, mode: PilotMode, *, promoted_model: str, shadow_drawdown: float, real_drawdown: float,
    limits: PilotLimits | None = None,
) -> str:
    """Why the pilot has to go back to SHADOW, in a sentence; empty where it may go on, and in a mode without trades.

    *evidence* is of the model that runs. *promoted_model* is the one that was running when trading was switched on.
    The drawdowns are shares of equity, 0 or above, from the peak since then: of the book that *mode* trades in the
    shadow, and of the pilot's own trades. A drawdown that is no number counts as broken.
    """
    if mode not in _ASKED:
        return ""
    limits = limits or PilotLimits()
    if evidence.model != promoted_model:
        return f"the model is {evidence.model[:12] or 'none'}, and {promoted_model[:12] or 'none'} was promoted"
    shadow = "its shadow book" if mode is PilotMode.PRIMARY else "what it adds to the signals in the shadow"
    for name, drawdown in ((shadow, shadow_drawdown), ("its trades", real_drawdown)):
        if not drawdown < limits.max_drawdown:
            return f"drawdown of {name}: {drawdown:.2%} of equity, and the limit is {limits.max_drawdown:.2%}"
    difference = evidence.result(_ASKED[mode][1])
    if difference.interval is not None and difference.interval[1] < 0.0:
        low, high = difference.interval
        return f"{difference.name} is below zero: {low * BPS:+.2f} to {high * BPS:+.2f} bp of equity a day"
    return ""


def drawdown_of(results: Iterable[float]) -> float:
    """The drawdown at the end of *results* (shares of the first equity) from their peak; 0.0 without any."""
    equity = peak = 1.0
    for result in results:
        equity += result
        peak = max(peak, equity)
    return 1.0 - max(equity, 0.0) / peak
