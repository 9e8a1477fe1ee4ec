"""The evaluation of trained pilots: every seed on bars that it was not trained on, beside what else was possible.

Everything that is said of "the pilot" is said of the median seed, and of the quartiles over the seeds; the best one is
the luckiest. Figures rest on daily returns; an account begins anew with each test and the returns are chained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_SECOND
from quantum_trader.domain.errors import ConfigError, brief
from quantum_trader.lab.comparison import Figures, Traded, figures_of, grown_from
from quantum_trader.lab.pilot.attribution import feature_groups, gradient_times_input, shuffled_plays
from quantum_trader.lab.pilot.comparators import (
    Track,
    flat_track,
    hold_track,
    joined_tracks,
    random_agent,
    random_play,
    scaled_hold,
    track_of,
)
from quantum_trader.lab.pilot.disagreement import Disagreement, disagreement_of
from quantum_trader.lab.pilot.evaluation_result import (
    ActionMix,
    EquityFan,
    EvaluatedRow,
    FeatureWeight,
    FoldFacts,
    GroupDrop,
    PilotEvaluation,
    RandomDraws,
    RegimeEarnings,
    RegimeRow,
    SeedSpread,
    TrialFacts,
)
from quantum_trader.lab.pilot.folds import FoldRanges
from quantum_trader.lab.pilot.replay_bars import REGIMES, ReplayBars, intraday_shares
from quantum_trader.lab.pilot.replaying import Played, Replayer, ReplaySettings, scaled_features
from quantum_trader.lab.pilot.verdict import VERDICT_RULE, EvaluationEvidence, judge
from quantum_trader.lab.sharpe import (
    DAYS_PER_YEAR,
    effective_count,
    expected_best_sharpe,
    mean_interval,
    moments,
    probability_above,
    sharpe_difference,
)
from quantum_trader.market.arrays import Floats, Ints
from quantum_trader.pilot.actions import ACTION_COUNT, ACTIONS, LARGE, SMALL
from quantum_trader.pilot.features import FEATURES
from quantum_trader.pilot.network import Weights
from quantum_trader.pilot.scaling import Scalers

FLAT, HOLD, SCALED, TREND, INTRADAY, CHANCE = "flat", "hold", "hold_scaled", "trend", "intraday", "random"
NAMES: Final = {
    FLAT: "no trade", HOLD: "buy and hold", SCALED: "buy and hold at the pilot's volatility",
    TREND: "built-in trend set", INTRADAY: "intraday ensemble", CHANCE: "random agent, same turnover (median)",
}
POSITIONS: Final = (-LARGE, -SMALL, 0.0, SMALL, LARGE)  # signed shares of the equity
_BINS: Final = 40  # of the action mix over a test
_TOP: Final = 15  # features listed by gradient

Tell = Callable[[str, int, int], None]  # what is being done, how much of how much


class EvaluationSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How thoroughly an evaluation is made."""

    draws: int = 100  # of the random agent
    shuffles: int = 5  # of each group of features, a fold
    tried_before: int = 0  # other seeds and settings that were tried, beside those given
    chance_seed: int = 0  # of the random agent and the shuffles
    jobs: int = 1  # threads

    def __post_init__(self) -> None:
        for key, low, high in (
            ("draws", 0, 100_000), ("shuffles", 0, 1000), ("tried_before", 0, 10_000_000), ("chance_seed", 0, 2**31),
            ("jobs", 1, 256),
        ):
            value = getattr(self, key)
            if not (type(value) is int and low <= value <= high):
                raise ConfigError(f"{key} = {brief(value)}: must be a whole number from {low:,} to {high:,}")


class Agent(NamedTuple):
    """One trained network and how it is to be played."""

    label: str  # the same in every fold
    weights: Weights
    scalers: Scalers
    settings: ReplaySettings


class TestedFold(NamedTuple):
    """One test: its bars, its agents, and what the built-in trend set wants on them, (G, S); None: not compared."""

    ranges: FoldRanges
    replay: ReplayBars
    agents: tuple[Agent, ...]
    trend_shares: Floats | None


class _SeedTrack(NamedTuple):
    """What is kept of one seed on one test."""

    track: Track
    mix: Ints  # (B, 6) how often each action was chosen
    held: Ints  # (B, 5) how often each of POSITIONS was wanted
    held_ns: float  # of all trades that ended, together


class _Players:
    """Replayers of a test, one for each kind of scalers and settings."""

    def __init__(self, replay: ReplayBars) -> None:
        self._replay = replay
        self._made: dict[tuple[Scalers, ReplaySettings], Replayer] = {}
        self._features: dict[Scalers, Any] = {}

    def of(self, agent: Agent) -> Replayer:
        """The replayer that *agent* is played by."""
        key = (agent.scalers, agent.settings)
        if key not in self._made:
            if agent.scalers not in self._features:
                self._features[agent.scalers] = scaled_features(self._replay, agent.scalers)
            self._made[key] = Replayer(self._replay, agent.settings, agent.scalers, self._features[agent.scalers])
        return self._made[key]


def evaluate_pilots(
    folds: Sequence[TestedFold], settings: EvaluationSettings, *, in_sample: bool = False, facts: dict[str, Any],
    tell: Tell = lambda what, done, total: None,
) -> PilotEvaluation:
    """Play every agent of every fold, and compare.

    All folds have agents of the same labels in the same order. *in_sample*: the bars were trained on. *facts*: what a
    reader is told of data and training, as plain values. Raises ConfigError where the labels differ.
    """
    labels = [agent.label for agent in folds[0].agents]
    for fold in folds:
        if [agent.label for agent in fold.agents] != labels:
            raise ConfigError(f"fold {fold.ranges.number}: must have the agents {brief(labels)}")
    players = [_Players(fold.replay) for fold in folds]
    seeds = _play_seeds(folds, players, settings.jobs, tell)
    tracks = [joined_tracks([part[place].track for part in seeds]) for place in range(len(labels))]
    ratios = np.array([track.sharpe for track in tracks])
    median = _median_place(ratios)
    tell("signals and holding", 0, 1)
    rng = np.random.default_rng(settings.chance_seed)
    chosen = [one.of(fold.agents[median]).pilot(fold.agents[median].weights) for one, fold in
              zip(players, folds, strict=True)]
    others, signal_plays = _others(folds, players, median, tracks[median])
    chance = _chance(folds, players, median, chosen, settings, rng, tell)
    rows = [_row(key, NAMES[key], track) for key, track in others.items()]
    if chance:
        rows.append(_row(CHANCE, NAMES[CHANCE], chance[_median_place(np.array([one.sharpe for one in chance]))]))
    trials = _trials(tracks, median, settings.tried_before)
    draws = _draws(chance, tracks[median])
    difference = sharpe_difference(tracks[median].returns, others[HOLD].returns)
    evidence = _evidence(tracks, median, draws, trials, difference, in_sample)
    return PilotEvaluation(
        verdict=judge(evidence), rule=VERDICT_RULE, in_sample=in_sample, facts=facts,
        folds=tuple(_fold_facts(fold) for fold in folds), labels=tuple(labels), median_label=labels[median],
        seeds=tuple(_row(label, label, track) for label, track in zip(labels, tracks, strict=True)),
        holding_hours=tuple(_holding_hours([part[place] for part in seeds]) for place in range(len(labels))),
        spreads=_spreads(tracks), rows=tuple(rows), trials=trials, random=draws, over_holding=difference,
        fan=_fan(tracks, others), regimes=_regimes(tracks, others), mix=_mix(folds, seeds),
        groups=_drops(folds, players, median, chosen, settings, rng, tell),
        features=_features(folds, players, median, chosen),
        disagreements=_disagreements(folds, chosen, signal_plays),
    )


def _median_place(ratios: Floats) -> int:
    """The place of the median; of two in the middle the lower one."""
    return int(np.argsort(ratios, kind="stable")[(len(ratios) - 1) // 2])


# ---- the seeds -----------------------------------------------------------------------------------------------------
def _play_seeds(
    folds: Sequence[TestedFold], players: Sequence[_Players], jobs: int, tell: Tell
) -> list[list[_SeedTrack]]:
    total, done = len(folds) * len(folds[0].agents), 0
    found = []
    for fold, made in zip(folds, players, strict=True):
        replayers = [made.of(agent) for agent in fold.agents]
        edges = _bin_edges(fold.replay)

        def one(place: int, fold: TestedFold = fold, replayers: list[Replayer] = replayers, edges: Ints = edges) -> (
            _SeedTrack
        ):
            played = replayers[place].pilot(fold.agents[place].weights)
            return _SeedTrack(
                track_of(fold.replay, played), _counts(played, edges), _positions_wanted(played, edges),
                float((played.trade_ns[:, 1] - played.trade_ns[:, 0]).sum()),
            )

        rows: list[_SeedTrack] = []
        with ThreadPoolExecutor(jobs) as pool:
            for row in pool.map(one, range(len(fold.agents))):
                rows.append(row)
                done += 1
                tell("seeds", done, total)
        found.append(rows)
    return found


def _bin_edges(replay: ReplayBars) -> Ints:
    return np.unique(np.linspace(0, len(replay.rows), _BINS + 1).astype(np.int64))


def _counts(played: Played, edges: Ints) -> Ints:
    """How often each action was chosen in each bin, (B, 6)."""
    return np.array([
        np.bincount(part[part >= 0], minlength=ACTION_COUNT)
        for part in (played.actions[low:high] for low, high in pairwise(edges.tolist()))
    ])


def _positions_wanted(played: Played, edges: Ints) -> Ints:
    """How often each of POSITIONS was wanted in each bin, (B, 5)."""
    return np.array([
        [int(np.isclose(played.wanted[low:high], share).sum()) for share in POSITIONS]
        for low, high in pairwise(edges.tolist())
    ])


def _holding_hours(parts: Sequence[_SeedTrack]) -> float | None:
    trades = int(np.sum([part.track.trades for part in parts]))
    held = float(np.sum([part.held_ns for part in parts]))
    return held / trades / 3.6e12 if trades else None


# ---- what it is compared with --------------------------------------------------------------------------------------
def _others(
    folds: Sequence[TestedFold], players: Sequence[_Players], median: int, pilot: Track
) -> tuple[dict[str, Track], list[dict[str, Played]]]:
    """Tracks of everything but chance, and the books of the signals in each fold."""
    parts: dict[str, list[Track]] = {key: [] for key in (FLAT, HOLD, TREND, INTRADAY)}
    books: list[dict[str, Played]] = []
    for fold, made in zip(folds, players, strict=True):
        replayer = made.of(fold.agents[median])
        shares = {INTRADAY: intraday_shares(fold.replay, replayer.settings.min_confidence)}
        if fold.trend_shares is not None:
            shares[TREND] = fold.trend_shares
        played = {key: replayer.table(wanted) for key, wanted in shares.items()}
        books.append(played)
        days = played[INTRADAY].days
        parts[FLAT].append(flat_track(fold.replay, days))
        parts[HOLD].append(hold_track(fold.replay, days))
        for key, one in played.items():
            parts[key].append(track_of(fold.replay, one))
    volatility = moments(pilot.returns).deviation
    found = {key: joined_tracks(tracks) for key, tracks in parts.items() if len(tracks) == len(folds)}
    whole = moments(found[HOLD].returns).deviation
    scaled = [
        scaled_hold(fold.replay, track, volatility / whole * moments(track.returns).deviation if whole else 0.0)
        for fold, track in zip(folds, parts[HOLD], strict=True)
    ]
    order = (FLAT, HOLD, SCALED, TREND, INTRADAY)
    found[SCALED] = joined_tracks(scaled)
    return {key: found[key] for key in order if key in found}, books


def _chance(
    folds: Sequence[TestedFold], players: Sequence[_Players], median: int, chosen: Sequence[Played],
    settings: EvaluationSettings, rng: np.random.Generator, tell: Tell,
) -> list[Track]:
    """The random agent's draws over all folds."""
    if not settings.draws or not any(played.traded > 0.0 for played in chosen):
        return []
    replayers = [made.of(fold.agents[median]) for fold, made in zip(folds, players, strict=True)]
    agents = [random_agent(replayer, played, rng) for replayer, played in zip(replayers, chosen, strict=True)]
    seeds = rng.integers(0, 2**63, size=settings.draws)

    def draw(seed: int) -> Track:
        own = np.random.default_rng(seed)
        return joined_tracks([
            track_of(fold.replay, random_play(replayer, agent, own))
            for fold, replayer, agent in zip(folds, replayers, agents, strict=True)
        ])

    found: list[Track] = []
    with ThreadPoolExecutor(settings.jobs) as pool:
        for track in pool.map(draw, seeds.tolist()):
            found.append(track)
            tell("random agents", len(found), settings.draws)
    return found


def _draws(chance: Sequence[Track], pilot: Track) -> RandomDraws | None:
    if not chance:
        return None
    ratios = np.array([track.sharpe for track in chance])
    results = np.array([float(np.prod(1.0 + track.returns) - 1.0) * 100.0 for track in chance])
    turnover = float(np.mean([track.turnover for track in chance]))
    return RandomDraws(
        draws=len(chance), turnover_ratio=turnover / pilot.turnover, sharpe=_quantiles(ratios, (0.05, 0.5, 0.95)),
        return_pct=_quantiles(results, (0.05, 0.5, 0.95)), share_as_good=float((ratios >= pilot.sharpe).mean()),
    )


def _quantiles(values: Floats, levels: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(np.quantile(values, levels).tolist())


# ---- figures -------------------------------------------------------------------------------------------------------
def figures_of_track(track: Track) -> Figures:
    """The figures of *track*, as those of every comparison."""
    levels = np.concatenate(([1.0], track.growth))
    deepest = float((levels / np.maximum.accumulate(levels) - 1.0).min())
    return figures_of(Traded(
        equity=grown_from(1.0, track.returns), start_equity=1.0, max_drawdown_pct=deepest * 100.0, gross=track.gross,
        held_share=track.held_share, trades=track.trades, turnover=track.traded, fees=track.fees,
        slippage=track.slippage, funding=track.funding,
    ))


def _row(key: str, name: str, track: Track) -> EvaluatedRow:
    return EvaluatedRow(key=key, name=name, figures=figures_of_track(track))


def _spreads(tracks: Sequence[Track]) -> dict[str, SeedSpread]:
    """Median and quartiles over the seeds of the figures that people ask for."""
    figures = [figures_of_track(track) for track in tracks]
    found = {}
    for key in ("return_pct", "sharpe", "max_drawdown_pct", "turnover_a_year", "trades", "fees_pct_a_year",
                "slippage_pct_a_year", "funding_pct_a_year", "volatility_pct", "exposure_pct"):
        values = np.array([0.0 if getattr(one, key) is None else float(getattr(one, key)) for one in figures])
        low, middle, high = _quantiles(values, (0.25, 0.5, 0.75))
        found[key] = SeedSpread(
            least=float(values.min()), lower_quartile=low, median=middle, upper_quartile=high, most=float(values.max())
        )
    return found


def _trials(tracks: Sequence[Track], median: int, tried_before: int) -> TrialFacts:
    """The deflated ratios of the best and of the median seed, for all trials."""
    shapes = [moments(track.returns) for track in tracks]
    ratios = np.array([shape.sharpe for shape in shapes])
    best, trials = int(ratios.argmax()), len(tracks) + tried_before
    effective = [effective_count(tracks[place].returns) for place in (best, median)]
    variance = float(ratios.var(ddof=1)) if len(ratios) > 1 else 1.0 / max(effective[0], 1.0)
    expected = expected_best_sharpe(variance, trials)
    known = [probability_above(shapes[place], expected, count) for place, count in zip((best, median), effective,
                                                                                        strict=True)]
    return TrialFacts(
        trials=trials, seeds=len(tracks), tried_before=tried_before, best_sharpe=shapes[best].annual_sharpe,
        expected_best_sharpe=expected * float(np.sqrt(DAYS_PER_YEAR)), deflated_best=_known(known[0]),
        deflated_median=_known(known[1]),
    )


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _evidence(
    tracks: Sequence[Track], median: int, draws: RandomDraws | None, trials: TrialFacts, difference: Any,
    in_sample: bool,
) -> EvaluationEvidence:
    figures = figures_of_track(tracks[median])
    ratios = np.array([track.sharpe for track in tracks])
    return EvaluationEvidence(
        days=len(tracks[median].returns), seeds=len(tracks), sharpe=figures.sharpe, low=figures.sharpe_low,
        high=figures.sharpe_high, return_pct=figures.return_pct,
        random_share=draws.share_as_good if draws is not None else None, deflated=trials.deflated_best,
        trials=trials.trials, lower_quartile=float(np.quantile(ratios, 0.25)),
        hold_low=difference.low if difference is not None else None,
        hold_high=difference.high if difference is not None else None, in_sample=in_sample,
    )


# ---- pictures ------------------------------------------------------------------------------------------------------
def _fan(tracks: Sequence[Track], others: dict[str, Track]) -> EquityFan:
    grown = np.array([grown_from(1.0, track.returns) for track in tracks])
    low, quarter, middle, three, high = np.quantile(grown, (0.0, 0.25, 0.5, 0.75, 1.0), axis=0)
    return EquityFan(
        day_s=tuple(((tracks[0].days + 1) * (NS_PER_DAY // NS_PER_SECOND)).tolist()), least=_listed(low),
        lower_quartile=_listed(quarter), median=_listed(middle), upper_quartile=_listed(three), most=_listed(high),
        others={key: _listed(grown_from(1.0, track.returns)) for key, track in others.items() if key != FLAT},
    )


def _listed(values: Any) -> tuple[float, ...]:
    return tuple(np.round(values, 6).tolist())


def _regimes(tracks: Sequence[Track], others: dict[str, Track]) -> tuple[RegimeRow, ...]:
    whole = np.array([track.regime_days.sum(axis=1) for track in tracks]) * 100.0
    median = _median_place(np.array([track.sharpe for track in tracks]))
    low, middle, high = np.quantile(whole, (0.25, 0.5, 0.75), axis=0)
    seeds = RegimeRow(key="seeds", name="pilot, median of the seeds (quartiles)", results=tuple(
        RegimeEarnings(result_pct=float(middle[r]), low_pct=float(low[r]), high_pct=float(high[r]))
        for r in range(len(REGIMES))
    ))
    tested = {"median": ("median seed (95 %)", tracks[median])}
    tested |= {key: (f"{NAMES[key]} (95 %)", track) for key, track in others.items() if key != FLAT}
    return (seeds, *(RegimeRow(key=key, name=name, results=_regime_results(one)) for key, (name, one) in
                     tested.items()))


def _regime_results(track: Track) -> tuple[RegimeEarnings, ...]:
    found = []
    for days in track.regime_days:
        bounds = mean_interval(days * 100.0)
        found.append(RegimeEarnings(
            result_pct=float(days.sum()) * 100.0, low_pct=bounds[0] * len(days) if bounds else None,
            high_pct=bounds[1] * len(days) if bounds else None,
        ))
    return tuple(found)


def _mix(folds: Sequence[TestedFold], seeds: Sequence[Sequence[_SeedTrack]]) -> ActionMix:
    starts: list[int] = []
    for fold in folds:
        starts += (fold.replay.closes_ns[_bin_edges(fold.replay)[:-1]] // NS_PER_SECOND).tolist()
    chosen = np.concatenate([np.sum([row.mix for row in rows], axis=0) for rows in seeds])
    wanted = np.concatenate([np.sum([row.held for row in rows], axis=0) for rows in seeds])
    return ActionMix(
        actions=tuple(row.action.value for row in ACTIONS), start_s=tuple(starts),
        end_s=int(folds[-1].replay.closes_ns[-1] // NS_PER_SECOND), shares=_rows_of(chosen),
        whole=_rows_of(chosen.sum(axis=0, keepdims=True))[0], positions=POSITIONS, held=_rows_of(wanted),
        held_whole=_rows_of(wanted.sum(axis=0, keepdims=True))[0],
    )


def _rows_of(counts: Ints) -> tuple[tuple[float, ...], ...]:
    """Each row of *counts* (B, n) as shares of its sum."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return tuple(tuple(row) for row in shares.round(6).tolist())


# ---- what the decisions rest on ------------------------------------------------------------------------------------
def _drops(
    folds: Sequence[TestedFold], players: Sequence[_Players], median: int, chosen: Sequence[Played],
    settings: EvaluationSettings, rng: np.random.Generator, tell: Tell,
) -> tuple[GroupDrop, ...]:
    """What the median seed loses where a group of features is shuffled over time."""
    if not settings.shuffles:
        return ()
    base = joined_tracks([track_of(fold.replay, one) for fold, one in zip(folds, chosen, strict=True)])
    result = _whole_pct(base)
    found, groups = [], feature_groups()
    for number, group in enumerate(groups):
        tell("shuffled features", number, len(groups))
        parts: list[Iterable[Played]] = [
            shuffled_plays(made.of(agent), agent.weights, played, group, settings.shuffles, rng)
            for made, agent, played in zip(players, (fold.agents[median] for fold in folds), chosen, strict=True)
        ]
        tracks = [
            joined_tracks([track_of(fold.replay, one) for fold, one in zip(folds, together, strict=True)])
            for together in zip(*parts, strict=True)
        ]
        drops = np.array([result - _whole_pct(track) for track in tracks])
        ratios = np.array([base.sharpe - track.sharpe for track in tracks])
        found.append(GroupDrop(
            name=group.name, features=tuple(FEATURES[place].name for place in group.columns),
            drop_pct=float(np.median(drops)), least_pct=float(drops.min()), most_pct=float(drops.max()),
            sharpe_drop=float(np.median(ratios)),
        ))
    return tuple(sorted(found, key=lambda one: -one.drop_pct))


def _whole_pct(track: Track) -> float:
    return float(np.prod(1.0 + track.returns) - 1.0) * 100.0


def _features(
    folds: Sequence[TestedFold], players: Sequence[_Players], median: int, chosen: Sequence[Played]
) -> tuple[FeatureWeight, ...]:
    sums = np.sum([
        gradient_times_input(made.of(fold.agents[median]), fold.agents[median].weights, played)
        for fold, made, played in zip(folds, players, chosen, strict=True)
    ], axis=0)
    whole = float(sums.sum())
    order = np.argsort(-sums, kind="stable")[:_TOP]
    return tuple(
        FeatureWeight(name=FEATURES[place].name, share=float(sums[place]) / whole if whole else 0.0)
        for place in order.tolist()
    )


def _disagreements(
    folds: Sequence[TestedFold], chosen: Sequence[Played], books: Sequence[dict[str, Played]]
) -> tuple[Disagreement, ...]:
    keys = [key for key in (TREND, INTRADAY) if all(key in one for one in books)]
    return tuple(
        disagreement_of(key, NAMES[key], [
            (fold.replay, played, one[key]) for fold, played, one in zip(folds, chosen, books, strict=True)
        ])
        for key in keys
    )


def _fold_facts(fold: TestedFold) -> FoldFacts:
    replay = fold.replay
    return FoldFacts(
        ranges=fold.ranges, symbols=replay.symbols, decisions=int(replay.ready.sum()),
        bars=int(replay.chunk.present.sum()), fingerprint=replay.recording.fingerprint,
        funding=replay.recording.funding_statement,
    )
