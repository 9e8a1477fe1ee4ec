"""What the gates would have saved and missed: a row for each gate in a run's report, by the signals' shadow trades."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from quantum_trader.app.report import formats as fmt
from quantum_trader.app.report.gates import gate_name
from quantum_trader.app.runs.results import ShadowFacts
from quantum_trader.lab.shadows.blocks import BlockLimits, BlockScore, GroupCounts, ShadowResults, score_of
from quantum_trader.market.arrays import Bools
from quantum_trader.models.gates import GATE_COUNT, GATES

MONEY_TITLE: Final = "The six gates: what the signals that each one stops were worth"
MONEY_COLUMNS: Final = ("Signals stopped by", "closed", "rightly", "saved", "missed", "mean", "interval")
_NOT_TRADED: Final = "all that were not traded"


def ended_shadows(facts: ShadowFacts) -> tuple[Bools, ShadowResults]:
    """Which signals have a shadow trade with a known result (n,), and the results of all of them."""
    return facts.settled & np.isfinite(facts.net_bps), ShadowResults(
        ts_ns=facts.ts_ns, life_ns=facts.life_ns, net_bps=facts.net_bps, r=facts.r, usdt=np.full(len(facts.r), np.nan)
    )


def unmeasured_by(facts: ShadowFacts, place: int) -> Bools:
    """The signals (n,) that the gate at *place* could not measure."""
    found: Bools = (facts.gates >> (GATE_COUNT + place)) & 1 == 1
    return found


def stopped_by(facts: ShadowFacts, place: int) -> Bools:
    """The signals (n,) that the gate at *place* measured and did not let pass, whether it was enforced or observed."""
    found: Bools = ((facts.gates >> place) & 1 == 1) & ~unmeasured_by(facts, place)
    return found


def gate_money_section(facts: ShadowFacts) -> dict[str, Any] | None:
    """A row for each gate, enforced or not, and one for all signals that were not traded; None without results.

    They hold the signals up to the first whose shadow trade is still open: see ``ShadowFacts``.
    """
    known, results = ended_shadows(facts)
    if not known.any():
        return None
    rows, unmeasured = [], []
    for place, name in enumerate(GATES):
        if (known & ~unmeasured_by(facts, place)).any():
            rows.append(_row(name, results, known & stopped_by(facts, place)))
        else:
            unmeasured.append(gate_name(name))
    rows.append(_row(_NOT_TRADED, results, known & ~facts.traded))
    limits, closed = BlockLimits(), int(known.sum())
    note = (
        f"Of {fmt.count(closed)} signals whose shadow trade has ended, those that each gate does not let "
        "pass, whether it was enforced or only observed. Rightly: of those that made less than "
        f"{limits.good_below_bps:g} bps after costs and funding or more than {limits.bad_above_bps:g}, the share that "
        "made less. Saved and missed: sums of the losses and of the wins. A mean below zero: stopping them helps."
        + (f" Not measured in any signal: {', '.join(unmeasured)}." if unmeasured else "")
    )
    return {"rows": rows, "closed": closed, "note": note}


def _row(name: str, results: ShadowResults, rows: Any) -> dict[str, Any]:
    found: BlockScore = score_of(name, results.of(rows), GroupCounts(signals=int(rows.sum())), BlockLimits())
    return {
        "name": name, "count": found.settled, "good": found.good, "neutral": found.neutral, "bad": found.bad,
        "accuracy": found.accuracy, "saved_bps": found.bps.saved, "missed_bps": found.bps.missed,
        "saved_r": found.r.saved, "missed_r": found.r.missed, "mean_bps": found.mean_bps, "low_bps": found.low_bps,
        "high_bps": found.high_bps, "verdict": found.verdict,
    }


def money_cells(row: dict[str, Any]) -> list[str]:
    """A row of the table under MONEY_COLUMNS."""
    known = row["low_bps"] is not None
    return [
        gate_name(row["name"]), fmt.count(row["count"]), fmt.share(row["accuracy"], 0), f"{row['saved_r']:,.1f} R",
        f"{row['missed_r']:,.1f} R", _bps(row["mean_bps"]),
        f"{row['low_bps']:+,.0f} to {row['high_bps']:+,.0f} bps" if known else "too few trades",
    ]


def _bps(value: float | None) -> str:
    return fmt.UNKNOWN if value is None else f"{value:+,.1f} bps"
