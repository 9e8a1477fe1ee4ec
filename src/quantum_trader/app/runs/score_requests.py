"""Scores that reach a running process from outside, through a private file in its state folder."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.app.runs.request_file import RequestLines, append_request
from quantum_trader.domain.enums import Side
from quantum_trader.domain.json_text import decode_json
from quantum_trader.domain.trading import OutsideScore

SCORES_FILE: Final = "scores.jsonl"


class ScoreRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A score as another program states it. Times are of the clock of the machine that received it."""

    score_id: str
    symbol: str
    score: float
    source: str
    ts_ns: int  # when it was received
    age_ns: int = 0  # how old it was then, where its source stated when it was made
    life_ns: int = 0  # for how long after *ts_ns* it is a view; 0: the model's max_age alone decides
    leaves: Side | None = None  # a score of 0 that leaves positions of this side alone

    def arrived(self, arrived_ns: int) -> OutsideScore:
        """This request as a score that arrived at *arrived_ns* of the run's time."""
        return OutsideScore(
            score_id=self.score_id, symbol=self.symbol, score=self.score, source=self.source, leaves=self.leaves,
            created_ns=arrived_ns - self.age_ns, expires_ns=arrived_ns + self.life_ns if self.life_ns else 0,
        )


def request_score(state_dir: Path, request: ScoreRequest) -> None:
    """Hand *request* to the process that runs on *state_dir*. Raises StateError with the remedy."""
    append_request(state_dir, SCORES_FILE, request)


class ScoreRequests:
    """The scores of a state folder that the process has not taken yet."""

    def __init__(self, folder: Path, taken: int = 0) -> None:
        """*taken*: how many lines a process of before has taken."""
        self._lines = RequestLines(folder / SCORES_FILE, taken)
        self._done: Collection[str] = ()

    @property
    def taken(self) -> int:
        """Lines of the file that were taken, in all processes."""
        return self._lines.taken

    def resume(self, taken: int, done: Collection[str]) -> None:
        """Continue after *taken* lines; those behind them whose ids are in *done* were taken as well."""
        self._lines.taken, self._done = taken, done

    def poll(self, arrived_ns: Callable[[ScoreRequest], int]) -> list[OutsideScore]:
        """The scores requested since the last call; *arrived_ns* tells when each arrived, by the run's time."""
        found: list[OutsideScore] = []
        for line in self._lines.poll():
            try:
                request = decode_json(line, ScoreRequest)
            except msgspec.DecodeError:
                continue  # a damaged line: the program that wrote it has reported an error
            if request.score_id not in self._done:
                found.append(request.arrived(arrived_ns(request)))
        return found
