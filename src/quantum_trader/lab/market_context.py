"""The market's conditions at signals, and whether trades did better in any range of them than luck explains.

A condition (volatility, spread, volume ratio, funding) is cut into ranges of equally many samples, by the conditions
alone. Each range, and each market regime, is tested against the rest by blocks of time, because trades that overlap in
time end alike; the tests are many, so a range counts only at a false discovery rate below 5 %
(``lab.multiple_tests``). "No range is better than luck" is the usual answer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.domain.clock import NS_PER_DAY, to_ns
from quantum_trader.domain.errors import ConfigError, InputError, is_finite_number, require, require_finite
from quantum_trader.domain.fields import FieldLookup
from quantum_trader.journal.event_logger import DEFAULT_DIRECTORY, EventLogger
from quantum_trader.journal.kinds import MarketContextEvent, TradeEvent
from quantum_trader.journal.lake import Lake
from quantum_trader.lab.learning.probability_scores import loss_difference, time_blocks
from quantum_trader.lab.multiple_tests import false_discovery_rates
from quantum_trader.lab.shadows.judged_signals import JudgedSignals
from quantum_trader.market.arrays import Bools, Floats, Ints
from quantum_trader.models.entry_features import ENTRY_FEATURES

CONDITIONS: Final = {  # name -> feature of a signal that is known at its time
    "volatility": "vol_ratio", "spread": "spread_bps", "volume_ratio": "volume_ratio", "funding": "funding_bps",
}
REGIME: Final = "regime"
LUCK: Final = "No range is better than luck."
_CONTEXT: Final = "market-context"


class ConditionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How ranges are cut and when one of them counts."""

    ranges: int = 4  # of each condition
    least: int = 20  # samples in a range, and outside it, below which it is not tested
    rate: float = 0.05  # false discovery rate of all tests together

    def __post_init__(self) -> None:
        for key, low, high in (("ranges", 2, 20), ("least", 5, 10_000), ("rate", 0.001, 0.5)):
            value = getattr(self, key)
            if not (is_finite_number(value) and low <= value <= high):
                raise ConfigError(f"{key} = {value!r}: must be between {low:g} and {high:g}")


class ConditionSamples(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """N signals with the conditions at their time and the result that came of them; arrays share that axis.

    NaN: a condition that was not known, or no result yet.
    """

    ts_ns: Ints
    end_ns: Ints  # when the result was known; 0 without one
    result: Floats  # in the unit *unit*
    unit: str  # bps, R or USDT
    conditions: Mapping[str, Floats]
    regimes: tuple[str, ...]


class ConditionRange(msgspec.Struct, frozen=True, kw_only=True):
    """The samples whose *condition* lies from *low* on and below *high*; of a regime both are None.

    *difference* is their mean result less that of all others, with bounds of 95 % for this range alone.
    """

    condition: str
    name: str  # the regime; empty of a range
    low: float | None
    high: float | None
    samples: int
    mean: float | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    p_value: float | None  # None: too few samples or blocks of time to test it
    rate: float | None  # false discovery rate at which it would be accepted
    is_better: bool  # better than luck explains, all tests together
    is_worse: bool


class OptimalConditions(FieldLookup, msgspec.Struct, frozen=True, kw_only=True):
    """What the samples say of the conditions; *tests* is how many ranges were tested."""

    samples: int
    known: int  # with a result
    unit: str
    ranges: tuple[ConditionRange, ...]
    tests: int
    sentence: str


def samples_of_signals(signals: JudgedSignals) -> ConditionSamples:
    """The conditions at *signals* and the results of their shadow trades, as far as results count."""
    settled = signals.settled
    return ConditionSamples(
        ts_ns=signals.ts_ns, end_ns=np.where(settled, signals.end_ns, 0),
        result=np.where(settled, signals.net_bps, math.nan), unit="bps",
        conditions={
            name: signals.features[:, ENTRY_FEATURES.index(feature)] for name, feature in CONDITIONS.items()
        },
        regimes=tuple(regime.partition(" ")[0] for regime in signals.regimes),
    )


def optimal_conditions(samples: ConditionSamples, settings: ConditionSettings | None = None) -> OptimalConditions:
    """In which ranges of the conditions the results were better or worse than luck explains."""
    settings = settings or ConditionSettings()
    known = np.isfinite(samples.result) & (samples.end_ns > 0)
    found = [
        _tested(condition, name, bounds, rows, samples, known & of_condition, settings)
        for condition, name, bounds, rows, of_condition in _ranges(samples, known, settings)
    ]
    tested = [at for at, one in enumerate(found) if one.p_value is not None]
    rates = false_discovery_rates([found[at].p_value or 0.0 for at in tested])
    for at, rate in zip(tested, rates, strict=True):
        counts, difference = rate < settings.rate, found[at].difference or 0.0
        found[at] = msgspec.structs.replace(
            found[at], rate=rate, is_better=counts and difference > 0.0, is_worse=counts and difference < 0.0
        )
    return OptimalConditions(
        samples=len(samples.ts_ns), known=int(known.sum()), unit=samples.unit, ranges=tuple(found), tests=len(tested),
        sentence=_sentence(found, len(tested), int(known.sum())),
    )


def _ranges(
    samples: ConditionSamples, known: Bools, settings: ConditionSettings
) -> Iterator[tuple[str, str, tuple[float, float] | None, Bools, Bools]]:
    """Condition, name, bounds, rows in the range, and rows of which the condition is known."""
    for condition, values in samples.conditions.items():
        measured = np.isfinite(values)
        if not (measured & known).any():
            continue
        steps = np.linspace(0.0, 1.0, settings.ranges + 1)
        edges = np.unique(np.quantile(values[measured & known], steps))
        for place, (low, high) in enumerate(pairwise(edges.tolist())):
            last = place == len(edges) - 2
            rows = measured & (values >= low) & ((values <= high) if last else (values < high))
            yield condition, "", (low, high), rows, measured
    names = np.array(samples.regimes)
    for name in sorted(set(samples.regimes) - {""}):
        yield REGIME, name, None, names == name, names != ""


def _tested(
    condition: str, name: str, bounds: tuple[float, float] | None, rows: Bools, samples: ConditionSamples,
    known: Bools, settings: ConditionSettings,
) -> ConditionRange:
    """One range against the rest of the samples *known*."""
    inside, outside = rows & known, ~rows & known
    count, rest = int(inside.sum()), int(outside.sum())
    mean = float(samples.result[inside].mean()) if count else None
    made = ConditionRange(
        condition=condition, name=name, low=bounds[0] if bounds else None, high=bounds[1] if bounds else None,
        samples=count, mean=mean, difference=None, difference_low=None, difference_high=None, p_value=None, rate=None,
        is_better=False, is_worse=False,
    )
    if mean is None or not rest:
        return made
    other = float(samples.result[outside].mean())
    made = msgspec.structs.replace(made, difference=mean - other)
    if min(count, rest) < settings.least:
        return made
    total = count + rest
    parts = np.where(inside, (samples.result - mean) / count, (other - samples.result) / rest)[known] * total
    blocks = time_blocks(samples.ts_ns[known], samples.end_ns[known])
    test = loss_difference(parts + (mean - other), np.zeros(total), np.ones(total), blocks)
    if math.isnan(test.p_value):
        return made
    return msgspec.structs.replace(
        made, p_value=test.p_value, difference_low=test.low, difference_high=test.high
    )


def _sentence(found: Sequence[ConditionRange], tests: int, known: int) -> str:
    """What the tests say together."""
    if not tests:
        return f"Too few results ({known}) to tell any range from another."
    better = [one for one in found if one.is_better]
    if not better:
        return f"{tests} ranges compared, {known} results: {LUCK}"
    named = "; ".join(range_words(one) for one in better)
    return f"{tests} ranges compared, {known} results; better than luck explains: {named}."


def range_words(one: ConditionRange) -> str:
    """The range as a person reads it."""
    if one.low is None or one.high is None:
        return f"{one.condition} {one.name}"
    return f"{one.condition} {one.low:.4g} to {one.high:.4g}"


# ---- the published logger --------------------------------------------------------------------------------------------
class MarketContextLogger:
    """Logs the market's conditions at signals, as events of the kind ``market``, and says which went with results."""

    def __init__(self, directory: Path | str = DEFAULT_DIRECTORY, *, clock: Callable[[], int] = time.time_ns) -> None:
        self._logger = EventLogger(directory, producer=_CONTEXT)
        self._clock = clock
        self._logged = 0

    def log_context(
        self, ts: datetime | int | str, symbol: str, price: float, volatility_1h: float | None = None,
        spread_bps: float | None = None, volume_ratio: float | None = None, regime: str | None = None,
        signal_id: str | None = None, **facts: Any,
    ) -> int:
        """Log one snapshot and return its number, from 1; *ts* is ISO 8601 (UTC), a datetime or ns.

        *signal_id* is the trace that a later trade has. What is left out is not known; other figures go to ``facts``.
        """
        self._logger.log(MarketContextEvent(
            trace_id=signal_id or "", symbol=symbol, ts_ns=_moment(ts), price=price,
            spread_bps=_known(spread_bps), volume_ratio=_known(volume_ratio), volatility=_known(volatility_1h),
            trend=regime or "", direction="", facts=facts,
        ))
        self._logged += 1
        return self._logged

    def analyze_optimal_conditions(self, days: float = 7) -> dict[str, Any]:
        """Ranges of volatility, spread and volume ratio in the snapshots of the last *days*, with their count.

        Where trades of the same journal carry the snapshots' ids, ``volatility``, ``spread``, ``volume_ratio`` and
        ``by_regime`` are of those that won (``of``), which describes few numbers and forecasts nothing; ``ranges``
        tests each range against the rest, and ``verdict`` says in a sentence whether any is better than luck.
        """
        require_finite("days", days)
        require(days > 0.0, "days", days, "must be above 0")
        self._logger.flush()
        lake, now_ns = Lake(self._logger.directory), self._clock()
        since_ns = now_ns - round(days * NS_PER_DAY)
        seen = [
            one for one in lake.events("market")
            if since_ns <= one.ts_ns <= now_ns and isinstance(one, MarketContextEvent)
        ]
        trades = {
            one.trace_id: one for one in lake.events("trade")
            if isinstance(one, TradeEvent) and one.trace_id and one.ts_ns <= now_ns
        }
        best = [one for one in seen if one.trace_id in trades and trades[one.trace_id].pnl > 0.0]
        used, tested = best or seen, optimal_conditions(samples_of_events(seen, trades))
        return {
            "period_days": days, "total_snapshots": len(seen), "of": "winning trades" if best else "all snapshots",
            "count": len(used), "volatility": _range(one.volatility for one in used),
            "spread": _range(one.spread_bps for one in used),
            "volume_ratio": _range(one.volume_ratio for one in used),
            "by_regime": [
                {"regime": name, "count": len([one for one in used if one.trend == name])}
                for name in sorted({one.trend for one in used if one.trend})
            ],
            "results": tested.known, "unit": tested.unit, "tests": tested.tests,
            "ranges": [msgspec.to_builtins(one) for one in tested.ranges], "verdict": tested.sentence,
        }

    def close(self) -> None:
        """Make everything durable and close the logger."""
        self._logger.close()

    def __enter__(self) -> MarketContextLogger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def samples_of_events(seen: Sequence[MarketContextEvent], trades: Mapping[str, TradeEvent]) -> ConditionSamples:
    """The snapshots *seen*, in the order of their time, with the results of *trades* by the snapshot's trace id.

    Results are in R where every such trade has one, else in USDT. A trade that ended before its snapshot gives none.
    """
    rows = sorted(seen, key=lambda one: one.ts_ns)
    ended = [trades.get(one.trace_id) if one.trace_id else None for one in rows]
    ended = [
        trade if trade is not None and trade.ts_ns >= one.ts_ns else None
        for one, trade in zip(rows, ended, strict=True)
    ]
    in_r = all(math.isfinite(trade.r_multiple) for trade in ended if trade is not None)
    results = [math.nan if trade is None else trade.r_multiple if in_r else trade.pnl for trade in ended]
    columns = {"volatility": "volatility", "spread": "spread_bps", "volume_ratio": "volume_ratio",
               "funding": "funding_rate"}
    return ConditionSamples(
        ts_ns=np.array([one.ts_ns for one in rows], dtype=np.int64),
        end_ns=np.array([0 if trade is None else trade.ts_ns for trade in ended], dtype=np.int64),
        result=np.array(results, dtype=np.float64), unit="R" if in_r else "USDT",
        conditions={
            name: np.array([getattr(one, column) for one in rows], dtype=np.float64)
            for name, column in columns.items()
        },
        regimes=tuple(one.trend for one in rows),
    )


def _moment(ts: datetime | int | str) -> int:
    """*ts* in nanoseconds; InputError when it is no time."""
    if isinstance(ts, str):
        try:
            ts = datetime.fromisoformat(ts)
        except ValueError:
            raise InputError(f"ts = {ts!r}: must be ISO 8601, such as 2025-11-06T12:00:00") from None
    return to_ns(ts) if isinstance(ts, datetime) else ts


def _known(value: float | None) -> float:
    return math.nan if value is None else value


def _range(values: Iterable[float]) -> dict[str, float | None]:
    """Mean, least and most of the *values* that are known."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return {"avg": None, "min": None, "max": None}
    return {"avg": math.fsum(known) / len(known), "min": min(known), "max": max(known)}
