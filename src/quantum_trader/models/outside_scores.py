"""Scores that other programs send while a session runs: the newest one of each symbol is a model's score."""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import Enum
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from quantum_trader.domain.errors import ConfigError, InputError
from quantum_trader.domain.trading import OutsideScore
from quantum_trader.market.arrays import Floats
from quantum_trader.market.intervals import interval_ns
from quantum_trader.models.forecast import duration_ns
from quantum_trader.models.port import Model, Panel

OUTSIDE_SCORES: Final = "outside-scores"  # its name in settings and on the command line


class ScoreRefusal(str, Enum):
    """Why a score from outside changes nothing."""

    NO_MODEL = "NO_MODEL"  # no model of the run takes scores of its source
    UNKNOWN_SYMBOL = "UNKNOWN_SYMBOL"  # no such model is for the symbol
    EXPIRED = "EXPIRED"  # it was too old or had expired when it came
    NO_SCORE_OF_SIDE = "NO_SCORE_OF_SIDE"  # it leaves one side, and the newest score is not of that side


class _Given(NamedTuple):
    """A score with the first close at which it counts."""

    close_ns: int
    score_id: str
    score: float
    created_ns: int
    expires_ns: int


class OutsideScores(Model):
    """Scores that other programs send while a live session runs; of each symbol the newest one counts.

    A score is used from the first bar that closes at or after it was received, until it is *max_age* old or has
    expired; then, and before the first one, there is no view. Without *source* the newest score of any source counts,
    also where an older one of another source would hold for longer. With it the model takes scores of that source
    alone: one model for each source, and the system averages them.
    """

    needs = ("close",)
    warmup = 1

    class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        source: str = ""  # whose scores it takes; empty: any source's
        bars: str = "1d"  # the interval at whose closes the scores are looked at
        horizon: str = "7d"  # for how long a score is meant
        max_age: str = "7d"  # from then on an old score is no view

    def __init__(self, params: msgspec.Struct | None = None) -> None:
        super().__init__(params)
        self.bars, self.horizon = self.params.bars, self.params.horizon
        self._length_ns = interval_ns(self.bars)
        try:
            self.max_age_ns = duration_ns(self.params.max_age, "max_age")
        except InputError as error:
            raise ConfigError(f"{OUTSIDE_SCORES}: {error}") from None
        self._given: dict[str, list[_Given]] = {}  # by symbol, in the order of their closes: one in use, and later ones
        self._used: dict[str, str] = {}  # symbol -> id of the score that its last bar gave; empty: it gave no view

    def accepts(self, source: str) -> bool:
        """Whether it takes scores of *source*."""
        return self.params.source in ("", source)

    def take(self, score: OutsideScore, received_ns: int) -> ScoreRefusal | None:
        """Keep *score*, which was received at *received_ns*, for the next bars; why it changes nothing, or None."""
        close_ns = -(-received_ns // self._length_ns) * self._length_ns
        made = _Given(close_ns, score.score_id, score.score, score.created_ns, score.expires_ns)
        if not self._is_valid(made, received_ns):
            return ScoreRefusal.EXPIRED
        kept = self._given.get(score.symbol, [])
        if score.leaves is not None:
            newest = kept[-1] if kept and self._is_valid(kept[-1], received_ns) else None
            if newest is None or not newest.score * score.leaves.sign > 0.0:
                return ScoreRefusal.NO_SCORE_OF_SIDE
        # the order in which they came decides, also where the clock was set back
        self._given[score.symbol] = [*(one for one in kept if one.close_ns < close_ns), made]
        return None

    def score(self, panel: Panel) -> Floats:
        """The newest score of each symbol that had been received when the newest bar closed."""
        scores, closes = np.full(len(panel.symbols), np.nan), panel.close[-1]
        for index, symbol in enumerate(panel.symbols):
            kept = self._given.get(symbol)
            if kept is None or math.isnan(closes[index]):
                continue
            known = [one for one in kept if one.close_ns <= panel.now_ns]
            self._used[symbol] = ""
            if known:
                del kept[:len(known) - 1]
                if self._is_valid(known[-1], panel.now_ns):
                    scores[index], self._used[symbol] = known[-1].score, known[-1].score_id
        return scores

    def used(self, symbol: str) -> str:
        """Id of the score that the last bar of *symbol* gave; empty where it gave no view."""
        return self._used.get(symbol, "")

    def _is_valid(self, one: _Given, now_ns: int) -> bool:
        return now_ns - one.created_ns <= self.max_age_ns and not 0 < one.expires_ns < now_ns

    def state(self) -> dict[str, Any]:
        """The scores that count, those that will, and which were used last."""
        return {
            "given": {symbol: [list(one) for one in kept] for symbol, kept in self._given.items()},
            "used": dict(self._used),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`."""
        self._given = {symbol: [_Given(*one) for one in kept] for symbol, kept in state["given"].items()}
        self._used = dict(state["used"])


def source_taken(model: object) -> str | None:
    """Whose scores from outside *model* takes; empty: any source's; None: it takes none."""
    return model.params.source if isinstance(model, OutsideScores) else None


def score_models(models: Iterable[object]) -> list[OutsideScores]:
    """Those of *models* that take scores from outside."""
    return [one for one in models if isinstance(one, OutsideScores)]
