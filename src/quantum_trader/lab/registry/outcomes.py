"""What became of a model's decisions in production: its trades and shadow trades of a run, and how they are kept.

A file of outcomes lies beside the models and never changes one: ``outcomes/<model id>/<SHA-256 of its content>.json``,
so that a damaged or edited file shows. The same run at the same moment gives the same file.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.domain.errors import DataError, StateError
from quantum_trader.domain.fields import TimeNs
from quantum_trader.domain.json_text import decode_json
from quantum_trader.domain.private_files import read_plain, why_unwritable
from quantum_trader.lab.registry.record import check_id
from quantum_trader.policy.evidence import RolloutRules, look_at
from quantum_trader.policy.storage import write_atomically

OUTCOMES: Final = "outcomes"  # folder in a registry
FORMAT: Final = 1
MOST_OUTCOMES: Final = 100_000  # of each list in a file; the newest are kept
MOST_BYTES: Final = 64 << 20
TRADE, SHADOW = "trade", "shadow"
_RULES: Final = RolloutRules(min_count=30)


class ModelOutcome(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One trade or shadow trade of a model."""

    symbol: str
    side: str  # LONG or SHORT
    entry_ns: TimeNs
    exit_ns: TimeNs
    r: float | None  # multiples of the risk taken; None: it had no stop
    probability: float | None = None  # that the model or the system gave it; None: not stated
    pnl: float | None = None  # USDT, net; None: of a shadow trade
    exit: str = ""  # why it ended
    traded: bool = True  # whether a shadow trade's signal was traded too


class Interval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of a mean that hold however often they are read, and how many outcomes they rest on."""

    low: float
    high: float
    count: int


class Summary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The figures of some outcomes; None where there is no data."""

    count: int
    wins: int
    win_rate: float | None  # share with a result above 0
    mean_r: float | None
    interval_r: Interval | None  # 95 %, of the mean R; None: fewer than 30, or too few independent blocks of time
    pnl: float | None  # USDT, net of fees and funding
    first_ns: TimeNs = 0
    last_ns: TimeNs = 0


class InForceSpan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For how long a model was in force; *until_ns* 0: it still is."""

    from_ns: TimeNs
    until_ns: TimeNs = 0


class ModelOutcomes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that a run's journal tells of one model."""

    model_id: str
    role: str  # pilot or signals
    run_id: str  # hash of the run's first record
    mode: str  # REPLAY, PAPER, LIVE ..., as the run states it
    until_ns: TimeNs  # the journal's newest record
    shared: bool  # it gave signals together with other models
    spans: tuple[InForceSpan, ...]
    trades: tuple[ModelOutcome, ...]
    shadows: tuple[ModelOutcome, ...]
    format: int = FORMAT

    @property
    def trade_summary(self) -> Summary:
        """The figures of its trades."""
        return summary_of(self.trades)

    @property
    def shadow_summary(self) -> Summary:
        """The figures of its shadow trades."""
        return summary_of(self.shadows)


def summary_of(outcomes: Sequence[ModelOutcome]) -> Summary:
    """The figures of *outcomes*."""
    known = sorted((one for one in outcomes if one.r is not None), key=lambda one: (one.entry_ns, one.symbol))
    results = [one.r for one in known if one.r is not None]
    money = [one.pnl for one in outcomes if one.pnl is not None]
    wins = len([one for one in outcomes if _result(one) > 0.0])
    look = look_at(
        [one.entry_ns for one in known], results, [max(0, one.exit_ns - one.entry_ns) for one in known], _RULES
    )
    interval = None
    if look.interval is not None and all(map(math.isfinite, look.interval)):
        interval = Interval(low=look.interval[0], high=look.interval[1], count=look.size)
    return Summary(
        count=len(outcomes), wins=wins, win_rate=wins / len(outcomes) if outcomes else None,
        mean_r=math.fsum(results) / len(results) if results else None, interval_r=interval,
        pnl=math.fsum(money) if money else None,
        first_ns=min((one.entry_ns for one in outcomes), default=0),
        last_ns=max((one.exit_ns for one in outcomes), default=0),
    )


def _result(one: ModelOutcome) -> float:
    """What decides whether it won: money where it moved some, else R."""
    if one.pnl is not None:
        return one.pnl
    return one.r if one.r is not None else 0.0


class OutcomeStore:
    """The files of outcomes in the registry *folder*."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / OUTCOMES

    def add(self, outcomes: ModelOutcomes) -> Path:
        """Keep *outcomes*; returns the file, which may be there already. StateError where it cannot be written."""
        kept = msgspec.structs.replace(
            outcomes, trades=outcomes.trades[-MOST_OUTCOMES:], shadows=outcomes.shadows[-MOST_OUTCOMES:]
        )
        content = msgspec.json.encode(kept, order="deterministic") + b"\n"
        path = self._place(outcomes.model_id) / f"{hashlib.sha256(content).hexdigest()}.json"
        if path.exists():
            return path
        try:
            write_atomically(path, content)
        except OSError as error:
            raise StateError(f"{path}: cannot be written ({why_unwritable(path, error)})") from error
        return path

    def of_model(self, model_id: str) -> list[ModelOutcomes]:
        """The newest outcomes of the model from each run, in the order of their runs' ids.

        Raises DataError for a file that is damaged or was edited.
        """
        newest: dict[str, ModelOutcomes] = {}
        for path in self.files(model_id):
            found = self._read(path)
            before = newest.get(found.run_id)
            if before is None or found.until_ns > before.until_ns:
                newest[found.run_id] = found
        return [newest[run_id] for run_id in sorted(newest)]

    def files(self, model_id: str) -> list[Path]:
        """The files of outcomes of the model, in the order of their names."""
        return sorted(self._place(model_id).glob("*.json"))

    def _place(self, model_id: str) -> Path:
        return self._folder / check_id("model_id", model_id)

    def _read(self, path: Path) -> ModelOutcomes:
        try:
            content = read_plain(path, MOST_BYTES)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
        if hashlib.sha256(content).hexdigest() != path.stem:
            raise DataError(
                f"{path}: its content is not what its name states: it was edited, or is damaged; remove it, and "
                "repeat `quantum-trader registry outcomes --store`"
            )
        try:
            found = decode_json(content, ModelOutcomes)
        except msgspec.DecodeError as error:
            raise DataError(f"{path}: is no file of outcomes: {error}") from None
        if found.model_id != path.parent.name:
            raise DataError(f"{path}: is of the model {found.model_id}; put it back into its folder")
        return found


def together(outcomes: Iterable[ModelOutcomes]) -> tuple[Summary, Summary]:
    """The figures of the trades, and of the shadow trades, of several runs together."""
    runs = list(outcomes)
    return (
        summary_of([one for run in runs for one in run.trades]),
        summary_of([one for run in runs for one in run.shadows]),
    )
