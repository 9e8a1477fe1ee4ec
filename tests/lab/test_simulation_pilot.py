"""Simulated days with a pilot that acts at random: its orders meet the same faults, and no invariant fails."""

from __future__ import annotations

import msgspec
import pytest

from quantum_trader.lab.simulation.campaign import run_seed, schedule_of, variant_of
from quantum_trader.lab.simulation.random_pilot import MODES
from quantum_trader.lab.simulation.world import Day


@pytest.mark.parametrize("mode", MODES)
def test_days_with_a_pilot_keep_every_invariant(mode: str) -> None:
    """In each mode; where it trades, it does."""
    variant = f"pilot-{mode.lower()}"
    outcomes = [run_seed(seed, variant) for seed in range(4)]
    assert [outcome.finding for outcome in outcomes] == [None] * 4
    assert sum(outcome.fills for outcome in outcomes) > 0


def test_a_day_in_primary_is_traded_by_the_pilot_alone() -> None:
    """Signals are refused with the reason, and every opening intent is the pilot's."""
    day, lines = Day(schedule_of(1), variant_of("pilot-primary")), []
    append = day.sink.append

    def keep(line: bytes, topic: str, ts_ns: int) -> None:
        append(line, topic, ts_ns)
        lines.append(msgspec.json.decode(line))

    day.sink.append = keep  # type: ignore[method-assign]
    assert day.run().finding is None
    intents = [one["data"] for one in lines if one["topic"] == "trade.intent"]
    signals = [one["data"] for one in lines if one["topic"] == "signal.decided"]
    assert len(intents) > 10
    assert {one["source"] for one in intents} == {"RL_V3_PRIMARY"}
    assert len(signals) > 0
    assert {one["decision"] for one in signals} == {"BLOCKED"}
    assert "PILOT_PRIMARY" in {one["reason"] for one in signals}


@pytest.mark.parametrize("mode", MODES)
def test_a_day_with_a_pilot_repeats_to_the_byte(mode: str) -> None:
    """Crashes and restarts included."""
    variant = f"pilot-{mode.lower()}"
    assert run_seed(7, variant).digest == run_seed(7, variant).digest
