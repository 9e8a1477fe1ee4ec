"""Where a pilot differs from the signals: how often, and what each of the two made of those moments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from quantum_trader.lab.pilot.replay_bars import ReplayBars
from quantum_trader.lab.pilot.replaying import Played

KINDS: Final = (
    "both without a position", "the same direction", "opposite directions", "the pilot alone", "the signals alone"
)


class DisagreementRow(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of moment."""

    kind: str
    share: float  # of the moments of all symbols
    pilot_pct: float  # made by the pilot in them, of the start
    signals_pct: float  # made by the signals' book in them


class Disagreement(msgspec.Struct, frozen=True, kw_only=True):
    """A pilot beside one source of signals."""

    key: str
    name: str
    agreeing: float  # share of the moments at which either holds a position that both hold it in the same direction
    rows: tuple[DisagreementRow, ...]


def disagreement_of(
    key: str, name: str, parts: Sequence[tuple[ReplayBars, Played, Played]]
) -> Disagreement:
    """Compare the positions held from each decision to the next; *parts*: bars, the pilot's book, the signals' book."""
    shares, pilot_made, signal_made = np.zeros(len(KINDS)), np.zeros(len(KINDS)), np.zeros(len(KINDS))
    for replay, pilot, signals in parts:
        ready = replay.ready[:-1]
        mine, theirs = _side(pilot)[:-1], _side(signals)[:-1]
        kind = _kinds(mine, theirs)
        ours = np.diff(pilot.values, axis=0) / pilot.start
        other = np.diff(signals.values, axis=0) / signals.start
        for number in range(len(KINDS)):
            here = ready & (kind == number)
            shares[number] += int(here.sum())
            pilot_made[number] += float(ours[here].sum())
            signal_made[number] += float(other[here].sum())
    total, either = float(shares.sum()), float(shares[1:].sum())
    return Disagreement(
        key=key, name=name, agreeing=float(shares[1]) / either if either else 0.0,
        rows=tuple(
            DisagreementRow(
                kind=KINDS[number], share=float(shares[number]) / total if total else 0.0,
                pilot_pct=float(pilot_made[number]) * 100.0, signals_pct=float(signal_made[number]) * 100.0,
            )
            for number in range(len(KINDS))
        ),
    )


def _side(played: Played) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The direction (G, S) that is wanted after each decision; what is held where none was made."""
    return np.asarray(np.sign(np.where(np.isnan(played.wanted), played.before, played.wanted)))


def _kinds(
    mine: np.ndarray[tuple[int, ...], np.dtype[np.float64]], theirs: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """The place in KINDS of each moment."""
    alone = np.where(mine != 0.0, 3, np.where(theirs != 0.0, 4, 0))
    return np.asarray(np.where(mine * theirs > 0.0, 1, np.where(mine * theirs < 0.0, 2, alone)))
