"""What an evaluation found, as plain values: the JSON document, and all that the page is drawn from.

Shares and rates are 0..1, ``_pct`` percent, ``_s`` seconds since the epoch; equities are shares of the start.
"""

from __future__ import annotations

from typing import Any

import msgspec

from quantum_trader.lab.comparison import Figures
from quantum_trader.lab.pilot.disagreement import Disagreement
from quantum_trader.lab.pilot.folds import FoldRanges
from quantum_trader.lab.pilot.replay_bars import REGIMES
from quantum_trader.lab.pilot.verdict import EvaluationVerdict
from quantum_trader.lab.sharpe import SharpeDifference


class EvaluatedRow(msgspec.Struct, frozen=True, kw_only=True):
    """One account with its figures."""

    key: str
    name: str
    figures: Figures


class SeedSpread(msgspec.Struct, frozen=True, kw_only=True):
    """One figure over the seeds."""

    least: float
    lower_quartile: float
    median: float
    upper_quartile: float
    most: float


class TrialFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How much was tried, and what is left of the ratios for it; annual ratios, probabilities 0..1."""

    trials: int  # seeds and settings
    seeds: int
    tried_before: int
    best_sharpe: float
    expected_best_sharpe: float  # that the best of so many worthless trials is expected to show
    deflated_best: float | None  # probability that the best seed's ratio is above that; None: too few days
    deflated_median: float | None


class RandomDraws(msgspec.Struct, frozen=True, kw_only=True):
    """The random agents: 5 %, 50 % and 95 % of their figures."""

    draws: int
    turnover_ratio: float  # of their mean turnover to the median seed's
    sharpe: tuple[float, ...]
    return_pct: tuple[float, ...]
    share_as_good: float  # with a Sharpe ratio of the median seed's or above


class EquityFan(msgspec.Struct, frozen=True, kw_only=True):
    """Equity at the end of each day, over the seeds and of the others."""

    day_s: tuple[int, ...]
    least: tuple[float, ...]
    lower_quartile: tuple[float, ...]
    median: tuple[float, ...]
    upper_quartile: tuple[float, ...]
    most: tuple[float, ...]
    others: dict[str, tuple[float, ...]]


class RegimeEarnings(msgspec.Struct, frozen=True, kw_only=True):
    """What was made in one regime, percent of the start, and its bounds; None: too few days."""

    result_pct: float
    low_pct: float | None
    high_pct: float | None


class RegimeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One account in each of ``REGIMES``."""

    key: str
    name: str
    results: tuple[RegimeEarnings, ...]


class ActionMix(msgspec.Struct, frozen=True, kw_only=True):
    """How often each action was chosen and each position wanted, over all seeds."""

    actions: tuple[str, ...]
    start_s: tuple[int, ...]  # (B,) begin of each stretch
    end_s: int
    shares: tuple[tuple[float, ...], ...]  # (B, 6)
    whole: tuple[float, ...]  # (6,)
    positions: tuple[float, ...]  # (5,) signed shares of the equity that may be wanted
    held: tuple[tuple[float, ...], ...]  # (B, 5) how often each was wanted after the decision
    held_whole: tuple[float, ...]  # (5,)


class GroupDrop(msgspec.Struct, frozen=True, kw_only=True):
    """What the median seed loses where a group of features is shuffled, percent of the start."""

    name: str
    features: tuple[str, ...]
    drop_pct: float  # median of the shuffles
    least_pct: float
    most_pct: float
    sharpe_drop: float


class FeatureWeight(msgspec.Struct, frozen=True, kw_only=True):
    """One feature's share of the sum of |gradient times input|."""

    name: str
    share: float


class FoldFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One fold and its bars."""

    ranges: FoldRanges
    symbols: tuple[str, ...]
    decisions: int  # ready observations
    bars: int
    fingerprint: str
    funding: str


class PilotEvaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that an evaluation found."""

    verdict: EvaluationVerdict
    rule: str
    in_sample: bool
    facts: dict[str, Any]
    folds: tuple[FoldFacts, ...]
    labels: tuple[str, ...]
    median_label: str
    seeds: tuple[EvaluatedRow, ...]
    holding_hours: tuple[float | None, ...]  # mean of each seed's trades
    spreads: dict[str, SeedSpread]
    rows: tuple[EvaluatedRow, ...]
    trials: TrialFacts
    random: RandomDraws | None
    over_holding: SharpeDifference | None  # the median seed's ratio less buying and holding's
    fan: EquityFan
    regimes: tuple[RegimeRow, ...]
    mix: ActionMix
    groups: tuple[GroupDrop, ...]
    features: tuple[FeatureWeight, ...]
    disagreements: tuple[Disagreement, ...]
    regime_names: tuple[str, ...] = REGIMES
