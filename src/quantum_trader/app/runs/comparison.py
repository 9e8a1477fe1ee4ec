"""The comparison: buying and holding, the models observed, and each profile enforced, on the same bars.

The rows of the models come from the sweep's evaluation, which equals a run decision by decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec
import numpy as np

from quantum_trader.app.runs.explained import Explained, explain
from quantum_trader.app.runs.model_bars import use_columns
from quantum_trader.app.settings import RunSettings
from quantum_trader.lab.comparison import (
    Figures,
    HeldCoins,
    Stop,
    Traded,
    daily_returns_of,
    figures_of,
    grown_from,
    held_at_volatility,
    held_whole,
    holding_of,
    traded_of,
)
from quantum_trader.lab.sharpe import SharpeDifference, sharpe_difference
from quantum_trader.lab.sweep.grid import Setting, settings_of
from quantum_trader.lab.sweep.layout import Desk, Outcome, Targets
from quantum_trader.lab.sweep.market import SweepMarket, SweepSettings, levels_of, prepare, with_settings
from quantum_trader.lab.sweep.sweep import decision_name, run_one
from quantum_trader.lab.sweep.targets import targets_of
from quantum_trader.market.arrays import Floats
from quantum_trader.market.costs import BPS
from quantum_trader.market.instruments import instruments_for
from quantum_trader.market.recording import Recording, open_recording
from quantum_trader.models.kept import KeptForecasts
from quantum_trader.models.loading import load_models
from quantum_trader.policy.enforcement import SWITCHES

HOLD: Final = "hold"
HOLD_SCALED: Final = "hold_scaled"
OBSERVED: Final = "observed"
PROFILES: Final = ("SAFE", "STANDARD", "AGGRESSIVE")
RESUMED_HOURS: Final = 24.0  # of the result beside a stopped row

Progress = Callable[[str, int, int], None]  # what is being done, how much of how much


class ComparedRow(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One row of the comparison."""

    key: str  # HOLD, HOLD_SCALED, OBSERVED or a profile's name
    figures: Figures
    daily: Floats  # (D,) returns, fractions
    equity: Floats  # (D,) at the end of each day
    stop: Stop | None = None
    decisions: dict[str, int] = {}  # what became of the signals: TRADED, or the reason of a refusal -> count
    setting: Setting | None = None  # that traded it; None: it was held
    resumed: Figures | None = None  # of a stopped row: had a person resumed it after RESUMED_HOURS each time


class RowDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A row's Sharpe ratio less another's, by a paired test on the same days; None: one of them did not move."""

    first: str
    second: str
    found: SharpeDifference | None


class Comparison(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Everything that was compared."""

    recording: Recording
    models: str  # names; empty: the intraday ensemble
    resume_hours: float  # rule for an EMERGENCY; 0: nobody resumes it
    rows: tuple[ComparedRow, ...]
    differences: tuple[RowDifference, ...]
    scaled_to_pct: float  # volatility a year of buying and holding at equal volatility
    stated_target: bool  # whether that was asked for; else it is what the observed row realised
    holding_funding_pct: float  # a year, that longs of perpetuals would have received on the whole money
    day_s: tuple[int, ...]  # (D,) the end of each day, seconds
    explained: Explained
    switches: tuple[str, ...]  # that are enforced


class _Run(msgspec.Struct, frozen=True):
    """One account to be traded."""

    key: str
    market: SweepMarket
    setting: Setting


def compare_rows(
    observed: RunSettings, enforced: RunSettings, *, profiles: Sequence[str] = PROFILES, resume_hours: float = 0.0,
    volatility_pct: float | None = None, jobs: int = 1, progress: Progress | None = None,
) -> Comparison:
    """Trade every row and compare.

    *observed* and *enforced* are the same settings under a policy that enforces nothing, and one that does. An
    EMERGENCY of the governor is resumed after *resume_hours*, never for 0. *volatility_pct* a year is that of buying
    and holding at equal volatility; what the observed row realised where it is None. Raises ConfigError for settings
    that a sweep refuses.
    """
    told = progress or _silent
    told("opening the recording", 0, 1)
    recording = open_recording(**observed.recording_arguments())
    instruments = instruments_for(recording.symbols, recording.first_closes().tolist()).instruments
    loaded = load_models(observed.models)
    forecasts = KeptForecasts(recording.symbols, recording.interval_ns, loaded) if loaded else None
    use_columns(forecasts, recording)
    fixed = _settings(observed, resume_hours)
    market = prepare(recording, instruments, fixed, (), forecasts.name if forecasts is not None else "")
    told("forecasts", 0, 1)
    targets = targets_of(recording, market, forecasts) if forecasts is not None else None
    gated = with_settings(market, recording, instruments, _settings(enforced, resume_hours))
    made = settings_of(list(profiles), [], enforced.policy.profile_directory or None, observed.models)
    runs = [_Run(OBSERVED, market, made[0]), *(_Run(one.profile, gated, one) for one in made)]
    left = list(_all(runs, targets, jobs, told, "accounts"))
    later = [
        _Run(run.key, with_settings(
            run.market, recording, instruments,
            _settings(observed if run.key == OBSERVED else enforced, RESUMED_HOURS),
        ), run.setting)
        for run, (traded, _, _) in zip(runs, left, strict=True) if traded.stop is not None
    ]
    again = [figures_of(one) for one, _, _ in _all(later, targets, jobs, told, "resumed")]
    resumed = dict(zip([run.key for run in later], again, strict=True))
    rows = {
        run.key: msgspec.structs.replace(
            _row(run.key, traded, resumed.get(run.key), decisions_of(outcome)), setting=run.setting
        )
        for run, (traded, _, outcome) in zip(runs, left, strict=True)
    }
    holding = holding_of(recording, market)
    wanted = volatility_pct if volatility_pct is not None else rows[OBSERVED].figures.volatility_pct
    every = {**_held_rows(holding, observed.account.start_equity, wanted), **rows}
    _, desk, outcome = left[0]
    return Comparison(
        recording=recording, models=market.models, resume_hours=resume_hours, rows=tuple(every.values()),
        differences=_differences(every), scaled_to_pct=wanted, stated_target=volatility_pct is not None,
        holding_funding_pct=holding.funding_a_year * 100.0, day_s=holding.day_s,
        explained=explain(market, desk, outcome, targets, forecasts), switches=_switches(enforced),
    )


def _held_rows(holding: HeldCoins, start: float, volatility_pct: float) -> dict[str, ComparedRow]:
    """Buying and holding, whole and at *volatility_pct* a year."""
    side_bps = holding.cost / (1.0 - holding.cost) * BPS
    return {
        HOLD: _row(HOLD, held_whole(holding, start)),
        HOLD_SCALED: _row(HOLD_SCALED, held_at_volatility(holding, start, volatility_pct, side_bps)),
    }


def _differences(every: Mapping[str, ComparedRow]) -> tuple[RowDifference, ...]:
    """Each profile against the models observed, and those against holding at equal volatility."""
    profiles = [name for name in every if name not in (HOLD, HOLD_SCALED, OBSERVED)]
    return tuple(
        RowDifference(first=first, second=second, found=sharpe_difference(every[first].daily, every[second].daily))
        for first, second in [*((name, OBSERVED) for name in profiles), (OBSERVED, HOLD_SCALED)]
    )


def _silent(_what: str, _done: int, _total: int) -> None:
    """Show nothing."""


def _settings(settings: RunSettings, resume_hours: float) -> SweepSettings:
    engine = msgspec.structs.replace(settings.engine_settings(), operator_resume_hours=resume_hours)
    return SweepSettings(engine=engine, venue=settings.paper_settings())


def _switches(settings: RunSettings) -> tuple[str, ...]:
    return tuple(name for name in SWITCHES if getattr(settings.rollout, f"use_for_{name}"))


def _all(
    runs: Sequence[_Run], targets: Targets | None, jobs: int, told: Progress, what: str
) -> Iterator[tuple[Traded, Desk, Outcome]]:
    """Trade every one of *runs* in *jobs* threads, in their order."""
    with ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="compare") as pool:
        waiting = [pool.submit(_trade, run, targets) for run in runs]
        for done, one in enumerate(waiting, 1):
            yield one.result()
            told(what, done, len(runs))


def _trade(run: _Run, targets: Targets | None) -> tuple[Traded, Desk, Outcome]:
    vector = run.setting.vector
    desk, outcome = run_one(run.market, vector, levels_of(run.market, vector, targets))
    return traded_of(run.market, desk, outcome, targets), desk, outcome


def decisions_of(outcome: Outcome) -> dict[str, int]:
    """What became of the signals of one account, the most frequent first."""
    codes, counts = np.unique(outcome.decision, return_counts=True)
    found = {decision_name(int(code)) or "TRADED": int(count) for code, count in zip(codes, counts, strict=True)}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _row(
    key: str, traded: Traded, resumed: Figures | None = None, decisions: dict[str, int] | None = None
) -> ComparedRow:
    daily = daily_returns_of(traded)
    return ComparedRow(
        key=key, figures=figures_of(traded), daily=daily, equity=grown_from(traded.start_equity, daily),
        stop=traded.stop, resumed=resumed, decisions=decisions or {},
    )

