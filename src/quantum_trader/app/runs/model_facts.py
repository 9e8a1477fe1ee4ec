"""The models of a run in its facts: what they are, what they lack, what would let them trade, and the run ungated."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.app.settings import PilotOptions, RunSettings
from quantum_trader.domain.clock import NS_PER_DAY, iso
from quantum_trader.domain.ordered_sum import ordered_sum
from quantum_trader.domain.trading import ClosedTrade
from quantum_trader.engine.core import Engine
from quantum_trader.market.recording import Recording
from quantum_trader.models.forecast import BAND
from quantum_trader.models.forecasts import Lack, LoadedModel
from quantum_trader.models.learned.learned_model import learned_artefact
from quantum_trader.models.outlook import Outlook, outlook
from quantum_trader.models.outside_scores import score_models
from quantum_trader.models.score_file import ScoreFile, outside_scores

NOT_ASKED: Final = "NO_SIGNAL"  # the gated run had no signal there: it held something, or a stop had taken it out
_STANDS_NS: Final = 2 * NS_PER_DAY  # so long a refusal counts whatever came after it


class ModelRow(msgspec.Struct, frozen=True, kw_only=True):
    """One model of a run."""

    name: str
    file: str
    fingerprint: str
    bars: str
    warmup: int
    horizon: str
    exit: str
    prior: tuple[float, float]
    weight: float  # in the average of several models
    symbols: tuple[str, ...]  # those it is for
    outlook: Outlook | None


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The models of a run, what they lack, and the signals that were not traded."""

    rows: tuple[ModelRow, ...]
    combined: Outlook | None
    lacks: tuple[Lack, ...]
    refused: tuple[tuple[int, str, str], ...]  # time, symbol, reason
    ungated: bool
    volatility_pct: float  # of the portfolio a year, for which positions are sized; 0.0: by their stop
    least_equity: tuple[tuple[str, float], ...]  # symbol, USDT; see :func:`least_equity`


def least_equity(engine: Engine) -> tuple[tuple[str, float], ...]:
    """The smallest equity (USDT) with which each symbol can be traded at a score of 1, by the venue's least order.

    Empty without models whose score holds positions; NaN for a symbol whose volatility is not known yet.
    """
    forecasts, market = engine.market.forecasts, engine.market
    if forecasts is None or market.wanted is None:
        return ()
    found = []
    for index, instrument in enumerate(engine.instruments):
        price, average = market.close(index), float(forecasts.combined.average_notional[index])
        share = average * (1.0 - BAND) * engine.policy.volatility_pct / 100.0
        least = max(instrument.min_notional, instrument.min_qty * price)
        found.append((instrument.symbol, least / share if share > 0.0 and price > 0.0 else math.nan))
    return tuple(found)


def model_facts(engine: Engine) -> ModelFacts | None:
    """The facts of *engine*'s models; None where the intraday ensemble gave the signals."""
    forecasts = engine.market.forecasts
    if forecasts is None:
        return None
    threshold = engine.policy.used(0).min_confidence
    return ModelFacts(
        rows=tuple(
            _row(loaded, outlook(single, threshold), forecasts.symbols_of(loaded))
            for loaded, single in zip(forecasts.models, forecasts.single, strict=True)
        ),
        combined=outlook(forecasts.combined, threshold), lacks=tuple(forecasts.lacks()),
        refused=tuple(engine.records.tally.refused), ungated=engine.settings.ungated,
        volatility_pct=engine.policy.volatility_pct if engine.market.wanted is not None else 0.0,
        least_equity=least_equity(engine),
    )


def leaving(loaded: LoadedModel) -> str:
    """How positions of a model are left, in words."""
    return f"score, stop {loaded.exit.stop_atr:g} ATR" if loaded.exit.by_score else "regime table"


def _row(loaded: LoadedModel, found: Outlook | None, symbols: tuple[str, ...]) -> ModelRow:
    return ModelRow(
        name=loaded.name, file=Path(loaded.file).name, fingerprint=loaded.fingerprint, bars=loaded.model.bars,
        warmup=loaded.model.warmup, horizon=loaded.model.horizon, exit=leaving(loaded), symbols=symbols,
        prior=(loaded.forecast.prior_mean, loaded.forecast.prior_sd), weight=loaded.weight, outlook=found,
    )


def ungated_settings(settings: RunSettings) -> RunSettings:
    """The same run with every target traded, without a pilot."""
    return msgspec.structs.replace(
        settings, engine=msgspec.structs.replace(settings.engine, ungated=True), pilot=PilotOptions()
    )


def missed(facts: ModelFacts, traded: list[ClosedTrade], ungated: list[ClosedTrade]) -> list[dict[str, Any]]:
    """Why trades of the *ungated* run were not made, the weightiest reason first.

    Each trade counts under the newest refusal of its symbol before its entry: trades, their sum in R, net USDT of the
    ungated account. A refusal stands for two days, and from then on until *traded* has an entry of the symbol, since a
    target that is refused again for the same reason is no new signal.
    """
    why: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for ts_ns, symbol, reason in facts.refused:
        why[symbol].append((ts_ns, reason))
    made = {(one.symbol, one.entry_ns) for one in traded}
    entries: defaultdict[str, list[int]] = defaultdict(list)
    for symbol, entry_ns in made:
        entries[symbol].append(entry_ns)
    count: Counter[str] = Counter()
    results: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for one in ungated:
        if (one.symbol, one.entry_ns) in made:
            continue
        reason = _reason(why[one.symbol], entries[one.symbol], one.entry_ns)
        count[reason] += 1
        results[reason].append((one.r_multiple, one.pnl))
    rows = [
        {"reason": reason, "trades": number, "sum_r": ordered_sum(r for r, _ in results[reason]),
         "net": ordered_sum(pnl for _, pnl in results[reason])}
        for reason, number in count.items()
    ]
    return sorted(rows, key=lambda row: -abs(row["sum_r"]))


def _reason(refused: list[tuple[int, str]], entries: list[int], entry_ns: int) -> str:
    """The reason of the newest of *refused* no later than *entry_ns*, where it still stands then."""
    for ts_ns, reason in reversed(refused):
        if ts_ns <= entry_ns:
            stands = entry_ns - ts_ns <= _STANDS_NS or not any(ts_ns < entered <= entry_ns for entered in entries)
            return reason if stands else NOT_ASKED
    return NOT_ASKED


def unused_scores(models: Iterable[LoadedModel], recording: Recording) -> list[str]:
    """A line for each file with scores that are of before or after the bars of a run, those of its warm-up included."""
    first_ns = recording.start_ns if recording.earlier is None else recording.earlier.start_ns
    found = [
        outside_scores(loaded.model, first_ns, recording.end_ns) for loaded in models
        if isinstance(loaded.model, ScoreFile)
    ]
    return [f"{line}." for line in found if line]


def scores_to_come(models: Iterable[LoadedModel]) -> list[str]:
    """A line for each model that takes scores from outside, of which a replay of bars has none."""
    return [
        f"{one.name}: bars bring no score, so this model has no view unless scores are sent while a run goes on. "
        "docs/how-to-score-file.md says how those that a live session received are replayed."
        for one in models if score_models([one.model])
    ]


def outside_score_notes(engine: Engine) -> list[str]:
    """A line for a replay whose models take scores from outside: how many it had."""
    forecasts = engine.market.forecasts
    if forecasts is None or not forecasts.takes_scores:
        return []
    received = engine.records.tally.topics["score.received"]
    names = ", ".join(one.name for one in forecasts.models if score_models([one.model]))
    if received:
        return [f"{names}: {received:,} scores were handed in while this replay went on; each counts from then on."]
    return [
        f"{names}: no score came, and bars alone bring none: this model had no view and traded nothing. Scores that a "
        "live session received are replayed as a file: docs/how-to-score-file.md."
    ]


def trained_on(models: Iterable[LoadedModel], start_ns: int, end_ns: int) -> list[str]:
    """A line for each trained model that was trained on bars of the time from *start_ns* to *end_ns*."""
    lines = []
    for loaded in models:
        artefact = learned_artefact(loaded.model)
        if artefact is None:
            continue
        data = artefact.card.data
        if data.first_ns < end_ns and start_ns < data.last_ns:
            lines.append(
                f"{loaded.name} was trained on bars from {iso(data.first_ns)[:10]} to {iso(data.last_ns)[:10]}, a time "
                "that this run replays: its result there says nothing about other bars. What it is worth on unseen "
                "bars stands in the report of its training; --from a later day replays those alone."
            )
    return lines


def unknown_symbols(models: Iterable[LoadedModel], symbols: Sequence[str]) -> list[str]:
    """A line for each file of scores that has symbols which are not among *symbols*, those of the run."""
    lines = []
    for loaded in models:
        if isinstance(loaded.model, ScoreFile):
            unknown = [symbol for symbol in loaded.model.symbols if symbol not in symbols]
            if unknown:
                lines.append(f"{loaded.name}: scores of {', '.join(unknown)} are not used: no such symbol in this run.")
    return lines
