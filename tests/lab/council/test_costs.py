"""The ledger of costs: what a budget holds, whatever is left of a file."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.errors import StateError
from quantum_trader.lab.council.ledger import CostLedger, CouncilCall, OverBudget

NOVEMBER = 1_795_996_800_000_000_000  # 2026-11-30


def ledger(folder: Path, now_ns: int = NOVEMBER) -> CostLedger:
    """A ledger whose clock stands still."""
    return CostLedger(folder, clock=lambda: now_ns, pause=time.sleep)


@given(costs=st.lists(st.tuples(st.floats(0.0, 3.0), st.booleans()), max_size=12), limit=st.floats(0.0, 5.0))
def test_no_reservation_passes_the_budget(
    tmp_path_factory: pytest.TempPathFactory, costs: list[tuple[float, bool]], limit: float
) -> None:
    """Whatever is asked for, settled or left open: what a month has spent stays within its limit."""
    made = ledger(tmp_path_factory.mktemp("costs"))
    for number, (usd, settles) in enumerate(costs):
        call = made.reserve(f"k{number}", "m", usd, limit)
        if isinstance(call, OverBudget):
            assert usd > call.left_usd - 1e-9
        elif settles:
            made.settle(call, "answered", usd=usd / 2)
        assert made.spent_usd("2026-11") <= limit


def test_half_a_line_was_no_call(tmp_path: Path) -> None:
    """A writer that was killed had not yet called; the next line takes the place of the rest."""
    made = ledger(tmp_path)
    first = made.reserve("k", "m", 1.0, 10.0)
    with made.path.open("ab") as file:
        file.write(b'{"id": "torn')
    assert made.calls() == [first]
    second = made.reserve("l", "m", 2.0, 10.0)

    assert made.calls() == [first, second]
    assert made.path.read_bytes().count(b"\n") == 2


def test_a_damaged_line_stops_every_call(tmp_path: Path) -> None:
    """What was spent is unknown then; the line is named."""
    made = ledger(tmp_path)
    made.reserve("k", "m", 1.0, 10.0)
    made.path.write_bytes(b"garbage\n" + made.path.read_bytes())

    with pytest.raises(StateError, match="line 1 is damaged"):
        made.reserve("k", "m", 1.0, 10.0)


def test_a_month_is_a_calendar_month(tmp_path: Path) -> None:
    """What November spent leaves December's budget whole."""
    ledger(tmp_path).reserve("k", "m", 10.0, 10.0)

    assert isinstance(ledger(tmp_path).reserve("l", "m", 0.1, 10.0), OverBudget)
    assert isinstance(ledger(tmp_path, NOVEMBER + 2 * 86_400_000_000_000).reserve("l", "m", 10.0, 10.0), CouncilCall)
