"""Many settings of the policy over one history: a grid, run in threads, measured, split and deflated."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import msgspec
import numpy as np

from quantum_trader.domain.clock import NS_PER_DAY
from quantum_trader.domain.errors import ConfigError, StateError
from quantum_trader.domain.ordered_sum import ordered_sum
from quantum_trader.engine import stage
from quantum_trader.engine.road import ROAD_REASONS, ROAD_REDUCES
from quantum_trader.lab.sharpe import Deflated, deflate, effective_count, moments, period_returns, probability_above
from quantum_trader.lab.sweep.columns import (
    account_seen,
    counter,
    exit_reason,
    money,
    position,
    signal,
    stamp,
    trade,
    trade_whole,
    wanted,
)
from quantum_trader.lab.sweep.grid import Setting
from quantum_trader.lab.sweep.kernel import run_setting
from quantum_trader.lab.sweep.layout import (
    ERROR_FULL,
    ERROR_NOT_FLAT,
    GUARD_CODE,
    ORDER_KINDS,
    Desk,
    Following,
    Levels,
    Outcome,
    PolicyState,
    Targets,
)
from quantum_trader.lab.sweep.market import SweepMarket, levels_of, thresholds_of
from quantum_trader.lab.sweep.walk_forward import (
    EMBARGO_DAYS,
    MIN_TRADES,
    Criterion,
    Curve,
    Period,
    SplitResult,
    joined_tests,
    out_of_sample,
    period,
    score,
    splits_of,
    walk_forward,
)
from quantum_trader.market.arrays import Floats
from quantum_trader.market.symbol_performance import SymbolPerformance
from quantum_trader.policy import layout as pol
from quantum_trader.policy.compiled import new_mem, new_slots
from quantum_trader.risk import account_column, intent_column, limit_column
from quantum_trader.risk.governor import empty_governor
from quantum_trader.risk.guard import REASON_CODES
from quantum_trader.risk.limits import empty_losses, empty_rate
from quantum_trader.signals import columns as col
from quantum_trader.signals.shadow import ShadowBook

CONVINCING: Final = 0.95  # probability from which a deflated Sharpe ratio is called more than luck
DOUBTFUL: Final = 0.50
_LEAST_ROOM: Final = 64  # signals of models

TargetsOf = Callable[[Setting], Targets]  # what the models of a setting want


def new_policy_state(size: int) -> PolicyState:
    """The policy of a setting for *size* symbols before its first moment."""
    return PolicyState(
        account=np.zeros(pol.ACC_SIZE), seen=np.full(account_seen.SIZE, np.nan), slots=new_slots(size),
        memory=new_mem(), out=np.zeros((size + 1, pol.OUT_SIZE)), refused=np.zeros(size + 1, dtype=np.int64),
        rest=np.zeros(size + 1, dtype=np.uint32), wanted=np.zeros((size + 1, wanted.SIZE)),
        wanted_for=np.zeros(size + 1, dtype=np.uint32),
    )


def new_desk(market: SweepMarket) -> Desk:
    """The desk of a setting before its first moment."""
    size, start = len(market.symbols), market.settings.engine.start_equity
    symbols, amounts = np.zeros((size, position.SIZE)), np.zeros(money.SIZE)
    symbols[:, position.REASON] = exit_reason.NONE
    amounts[[money.CASH, money.VENUE_CASH, money.EQUITY, money.PEAK]] = start
    return Desk(
        symbols=symbols, stamps=np.zeros((size, stamp.SIZE), dtype=np.int64), held=np.zeros(size, dtype=np.int64),
        pending=np.zeros(size, dtype=np.int64), waiting=np.zeros(ORDER_KINDS * size, dtype=np.int64),
        opened=np.zeros(size, dtype=np.int64), counts=np.zeros(counter.SIZE, dtype=np.int64), money=amounts,
        performance=SymbolPerformance(market.symbols).rows, losses=np.array(empty_losses()),
        rate=np.array(empty_rate()), governor=np.array(empty_governor()),
        book=np.zeros(stage.BOOK_SIZE), policy=new_policy_state(size),
        intent_row=np.zeros(intent_column.SIZE), account_row=np.zeros(account_column.SIZE),
        limit_row=np.zeros(limit_column.SIZE),
    )


def new_following(market: SweepMarket, room: int, shadow_hours: float) -> Following:
    """What a setting follows its models with before its first moment; *room* for as many of their signals.

    *shadow_hours*: the longest time of a shadow trade.
    """
    size, rules = len(market.symbols), market.rules
    book = ShadowBook(size, rules.interval_ns, market.fee_bps, shadow_hours)
    held, counts, marks, resolved = book.arrays()
    return Following(
        signal=np.zeros(signal.SIZE), market=np.zeros(col.SIZE), terms=np.zeros(stage.SYM_SIZE),
        fees=book.taker_fees_bps, held=held, counts=counts, marks=marks, resolved=resolved, max_bars=book.max_bars,
        range_bps=book.range_slippage_bps, first=len(market.tape.signal_symbol), room=room,
    )


def new_outcome(market: SweepMarket, room: int = 0) -> Outcome:
    """Room for what one setting leaves behind, *room* signals of models among it."""
    tape, period = market.tape, market.rules.period_ns
    signals, interval = len(tape.signal_symbol) + room, market.rules.interval_ns
    first = (int(tape.ts_ns[0]) + interval - 1) // period
    last = (int(tape.ts_ns[-1]) + interval - 1) // period
    return Outcome(
        decision=np.full(signals, -1, dtype=np.int16), quantity=np.zeros(signals),
        trade_whole=np.zeros((signals, trade_whole.SIZE), dtype=np.int64), trade=np.zeros((signals, trade.SIZE)),
        equity=np.full(last - first + 1, np.nan), gross=np.full(last - first + 1, np.nan), first_period=first,
    )


def run_one(market: SweepMarket, vector: Floats, levels: Levels) -> tuple[Desk, Outcome]:
    """Run the setting of the profile *vector* over the whole tape. Raises StateError when its books do not close.

    Where models give the signals, theirs stand behind the rows of the tape, in the order they came.
    """
    room, error = _likely_signals(levels.targets), ERROR_FULL
    while error == ERROR_FULL:
        desk, outcome = new_desk(market), new_outcome(market, room)
        targets = levels.targets
        following = new_following(market, room, targets.shadow_hours) if targets is not None else None
        error = run_setting(
            0, len(market.tape.ts_ns), market.tape, levels, vector, market.rules, desk, following, outcome
        )
        room *= 2
    if error == ERROR_NOT_FLAT:
        raise StateError("a closing fill left a rest: the sweep does not equal the engine here; report the profile")
    count = len(market.tape.signal_symbol) + int(desk.counts[counter.SIGNALS])
    return desk, outcome._replace(decision=outcome.decision[:count], quantity=outcome.quantity[:count])


def _likely_signals(targets: Targets | None) -> int:
    """How many signals *targets* are likely to make at most: each one once more after the opposite one has closed."""
    if targets is None:
        return 0
    return 2 * int(np.count_nonzero((targets.target != 0) & (targets.decided != 0))) + _LEAST_ROOM


def sources_of(market: SweepMarket, outcome: Outcome) -> Any:
    """The place in ``market.sources`` of each row of *outcome*'s decisions; 0 for signals."""
    of_models = np.zeros(len(outcome.decision) - len(market.source_of), dtype=np.int64)
    return np.concatenate([market.source_of, of_models])


def decision_name(code: int) -> str:
    """The reason behind a decision's *code*, as the engine records it; empty for a signal that was traded."""
    if code >= GUARD_CODE:
        reason = REASON_CODES[code - GUARD_CODE]
        return reason.value if reason is not None else ""
    return ROAD_REASONS.get(code, "")


class SourceResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one source's signals or intents did under one setting; money in USDT, NaN without trades."""

    source: str
    decisions: dict[str, int]  # reason -> count; TRADED, and REDUCED for an intent that closed a position
    trades: int
    net: float
    avg_r: float
    hit_rate: float  # 0..1
    fees: float


class SettingResult(msgspec.Struct, frozen=True, kw_only=True):
    """How one setting did over the whole history. Percent are percent, money USDT, shares 0..1."""

    setting: Setting
    whole: Period
    max_drawdown_pct: float  # from marks at every bar, 0 or negative
    fees: float
    funding: float  # positive is received
    mean_notional_pct: float  # of equity at entry, NaN without trades
    mean_risk_pct: float  # loss at the first stop, of equity at entry; NaN without trades
    blocked_share: float  # of the moments: the overall policy permits no new trades, whether there are signals or not
    reduced_share: float
    refused_share: float  # of the signals: not traded, for whatever reason; NaN without signals
    decisions: dict[str, int]  # of the signals
    curve: Curve
    sources: tuple[SourceResult, ...] = ()  # signals and each source of intents apart; empty without intents


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """What is typical of one profile over all its settings."""

    profile: str
    settings: int
    trades: float
    mean_notional_pct: float
    mean_risk_pct: float
    return_pct: float
    sharpe: float
    max_drawdown_pct: float
    blocked_share: float
    refused_share: float


class SweepResult(msgspec.Struct, frozen=True, kw_only=True):
    """A whole sweep: settings in the order of the grid, splits, and the best after deflation."""

    results: tuple[SettingResult, ...]
    splits: tuple[SplitResult, ...]
    out_of_sample: Period | None
    out_of_sample_above_zero: float  # probability that its true Sharpe is above 0; NaN: nothing can be said
    best: int  # by the criterion among those that traded enough; -1: none did
    deflated: Deflated | None
    trials: int  # different settings tried
    criterion: Criterion
    spreads: tuple[Spread, ...]


def sweep(
    market: SweepMarket, settings: Sequence[Setting], *, jobs: int = 1, splits: int = 4,
    criterion: Criterion = Criterion.SHARPE, progress: Callable[[int, int], None] | None = None,
    targets: TargetsOf | None = None, embargo_days: int = EMBARGO_DAYS,
) -> SweepResult:
    """Run every setting over *market* in *jobs* threads and measure them.

    *targets* is asked once for each setting of the models. *progress* is called with (settings done, settings in all)
    in the calling thread. Raises ConfigError for a number of jobs or splits that makes no sense, StateError for a
    setting whose books do not close.
    """
    if not 1 <= jobs <= 256:
        raise ConfigError(f"jobs = {jobs!r}: must be from 1 to 256")
    if market.settings.period_ns != NS_PER_DAY:
        raise ConfigError("period_ns: a sweep measures daily returns; prepare the market with the default")
    days = new_outcome(market).equity.size
    cut = splits_of(days, splits, embargo_days)
    results = tuple(_run_all(market, settings, jobs, progress, targets))
    curves = [result.curve for result in results]
    found = walk_forward(curves, cut, criterion)
    best = _best(results, criterion)
    ratios = {result.setting.identity: result.whole.moments.sharpe for result in results}
    deflated = _deflated(results[best], np.array(list(ratios.values()))) if best >= 0 else None
    joined = joined_tests(curves, found)
    return SweepResult(
        results=results, splits=found, out_of_sample=out_of_sample(curves, found),
        out_of_sample_above_zero=_above_zero(joined.daily) if joined is not None else math.nan, best=best,
        deflated=deflated, trials=len(ratios), criterion=criterion, spreads=_spreads(results),
    )


def _deflated(best: SettingResult, ratios: Floats) -> Deflated:
    return deflate(best.whole.moments, ratios, effective_count(best.curve.daily))


def _above_zero(daily: Floats) -> float:
    return probability_above(moments(daily), 0.0, effective_count(daily))


def _run_all(
    market: SweepMarket, settings: Sequence[Setting], jobs: int, progress: Callable[[int, int], None] | None,
    targets: TargetsOf | None,
) -> list[SettingResult]:
    """Run settings group by group, so that the levels of two groups at most are in memory at a time.

    What a group shares is computed while the group before it runs.
    """
    results: dict[int, SettingResult] = {}

    def collect(running: list[tuple[int, Future[SettingResult]]]) -> None:
        for index, future in running:
            results[index] = future.result()
            if progress is not None:
                progress(len(results), len(settings))

    running: list[tuple[int, Future[SettingResult]]] = []
    with ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="sweep") as pool:
        for levels, members in _groups(market, settings, targets):
            before = running
            running = [(index, pool.submit(_measured, market, levels, settings[index])) for index in members]
            collect(before)
        collect(running)
    return [results[index] for index in range(len(settings))]


def _groups(
    market: SweepMarket, settings: Sequence[Setting], targets: TargetsOf | None
) -> Iterator[tuple[Levels, list[int]]]:
    """The settings that share models and thresholds, by their places, and the levels they share."""
    groups: dict[int, dict[tuple[float, ...], list[int]]] = {}
    for index, setting in enumerate(settings):
        groups.setdefault(setting.variant, {}).setdefault(thresholds_of(setting.vector), []).append(index)
    for by_thresholds in groups.values():
        wanted: Targets | None = None
        for members in by_thresholds.values():
            if wanted is None and targets is not None:
                wanted = targets(settings[members[0]])
            yield levels_of(market, settings[members[0]].vector, wanted), members


def _measured(market: SweepMarket, levels: Levels, setting: Setting) -> SettingResult:
    """Run and measure one setting."""
    desk, outcome = run_one(market, setting.vector, levels)
    count, moments_run = int(desk.counts[counter.TRADES]), len(market.tape.ts_ns)
    whole, figures = outcome.trade_whole[:count], outcome.trade[:count]
    daily = period_returns(outcome.equity, market.settings.engine.start_equity)
    curve = Curve(
        daily=daily, trade_day=(whole[:, trade_whole.EXIT_NS] - 1) // NS_PER_DAY - outcome.first_period,
        trade_r=figures[:, trade.R].copy(),
    )
    rows = sources_of(market, outcome)
    sources = tuple(
        _of_source(name, rows == number, outcome.decision, whole, figures)
        for number, name in enumerate(market.sources)
    )
    equity = figures[:, trade.EQUITY]
    notional = figures[:, trade.QTY] * figures[:, trade.ENTRY]
    return SettingResult(
        setting=setting, whole=period(curve, 0, len(daily)),
        max_drawdown_pct=float(desk.money[money.DRAWDOWN]) * 100.0, fees=float(desk.money[money.FEES]),
        funding=float(desk.money[money.FUNDING]),
        mean_notional_pct=float((notional / equity).mean()) * 100.0 if count else math.nan,
        mean_risk_pct=float((figures[:, trade.RISK] / equity).mean()) * 100.0 if count else math.nan,
        blocked_share=int(desk.counts[counter.BLOCKED]) / moments_run,
        reduced_share=int(desk.counts[counter.REDUCED]) / moments_run,
        refused_share=_refused_share(sources[0].decisions), decisions=sources[0].decisions, curve=curve,
        sources=sources if len(sources) > 1 else (),
    )


def _refused_share(decisions: dict[str, int]) -> float:
    signals = sum(decisions.values())
    return 1.0 - decisions.get("TRADED", 0) / signals if signals else math.nan


def _of_source(name: str, rows: Any, decision: Any, whole: Any, figures: Any) -> SourceResult:
    """The result of the source *name*, whose *rows* (N,) are marked, from all decisions and trades of one setting."""
    codes, numbers = np.unique(decision[rows], return_counts=True)
    mine = figures[rows[whole[:, trade_whole.SIGNAL]]]
    count = len(mine)
    return SourceResult(
        source=name, trades=count, net=float(mine[:, trade.PNL].sum()),
        fees=float(mine[:, trade.FEES].sum()),
        avg_r=float(mine[:, trade.R].mean()) if count else math.nan,
        hit_rate=float((mine[:, trade.PNL] > 0.0).mean()) if count else math.nan,
        decisions={_outcome_name(int(code)): int(found) for code, found in zip(codes, numbers, strict=True)},
    )


def _outcome_name(code: int) -> str:
    return "REDUCED" if code == ROAD_REDUCES else decision_name(code) or "TRADED"


def _best(results: Sequence[SettingResult], criterion: Criterion) -> int:
    """The setting with the best whole history among those that traded enough; -1 when none did."""
    traded = [index for index, one in enumerate(results) if one.whole.trades >= MIN_TRADES]
    return max(traded, key=lambda index: score(results[index].whole, criterion), default=-1)


def _spreads(results: Sequence[SettingResult]) -> tuple[Spread, ...]:
    """Means over the settings of each profile, in the order they came."""
    made = []
    for name in dict.fromkeys(result.setting.profile for result in results):
        mine = [result for result in results if result.setting.profile == name]
        made.append(
            Spread(
                profile=name, settings=len(mine), trades=_mean([one.whole.trades for one in mine]),
                mean_notional_pct=_mean([one.mean_notional_pct for one in mine]),
                mean_risk_pct=_mean([one.mean_risk_pct for one in mine]),
                return_pct=_mean([one.whole.return_pct for one in mine]),
                sharpe=_mean([one.whole.sharpe for one in mine]),
                max_drawdown_pct=_mean([one.max_drawdown_pct for one in mine]),
                blocked_share=_mean([one.blocked_share for one in mine]),
                refused_share=_mean([one.refused_share for one in mine]),
            )
        )
    return tuple(made)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return ordered_sum(known) / len(known) if known else math.nan


def summary(result: SweepResult) -> tuple[str, ...]:
    """The result of the sweep in sentences, with its limits."""
    lines = []
    if result.best < 0 or result.deflated is None:
        lines.append(f"None of the {result.trials} settings traded {MIN_TRADES} times: nothing to choose from.")
    else:
        best, judged = result.results[result.best], result.deflated
        lines.append(
            f"Best of {result.trials} settings by {result.criterion.value}: {best.setting.label}, "
            f"return {best.whole.return_pct:+.1f} %, Sharpe {judged.sharpe:.2f}."
        )
        lines.append(
            f"After deflating for {judged.trials} settings ({judged.expected_best:.2f} would be the best by chance) "
            f"the probability that its true Sharpe is above that is {_probability(judged.probability)}: "
            f"{_verdict(judged.probability)}."
        )
    joined = result.out_of_sample
    if joined is not None:
        lines.append(
            f"Out of sample, {sum(one.chosen >= 0 for one in result.splits)} tests with {joined.days} days in all: "
            f"return {joined.return_pct:+.1f} %, Sharpe {_ratio(joined.sharpe)}, {joined.trades} trades; probability "
            f"that the true Sharpe is above 0: {_probability(result.out_of_sample_above_zero)}."
        )
    return (*lines, *_comparison(result.spreads))


def _comparison(spreads: Sequence[Spread]) -> tuple[str, ...]:
    """How much more often and larger AGGRESSIVE trades than SAFE."""
    by_name = {one.profile: one for one in spreads}
    if "SAFE" not in by_name or "AGGRESSIVE" not in by_name:
        return ()
    safe, bold = by_name["SAFE"], by_name["AGGRESSIVE"]
    often = f"{bold.trades / safe.trades:.1f} times as often" if safe.trades > 0.0 else "while SAFE never trades"
    sizes = ""
    if safe.mean_risk_pct > 0.0 and safe.mean_notional_pct > 0.0:
        sizes = (
            f", risks {bold.mean_risk_pct / safe.mean_risk_pct:.2f} times as much a trade and holds positions "
            f"{bold.mean_notional_pct / safe.mean_notional_pct:.2f} times as large"
        )
    return (
        f"AGGRESSIVE trades {often} ({bold.trades:.0f} against {safe.trades:.0f} trades on average){sizes}.",
    )


def _probability(value: float) -> str:
    return "unknown (too few days with a result)" if math.isnan(value) else f"{value * 100.0:.0f} %"


def _ratio(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.2f}"


def _verdict(probability: float) -> str:
    if math.isnan(probability):
        return "nothing can be said"
    if probability >= CONVINCING:
        return "more than luck, as far as this history goes"
    return "this may well be luck" if probability < DOUBTFUL else "not convincing yet"
