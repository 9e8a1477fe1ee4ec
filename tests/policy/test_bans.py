"""Bans held by cohort: exactly what one hold per symbol would do."""

from __future__ import annotations

from random import Random

import pytest

from quantum_trader.policy import OrchestratorConfig
from quantum_trader.policy.bans import Bans
from quantum_trader.policy.layout import HOLD_COUNT, PROFILE_INTERVAL_S, PROFILE_PERSISTENCE
from quantum_trader.policy.profiles import profile_vector
from quantum_trader.policy.stability import hold_field

SYMBOLS = tuple(f"S{number}" for number in range(12))


def hold_each(
    rows: dict[str, list[float]],
    refused: dict[str, int],
    known: frozenset[str],
    times: tuple[float, float],
    limits: tuple[float, float],
) -> set[str]:
    """One hold per banned symbol, in place; returns who waits."""
    for symbol in (rows.keys() & known) - refused.keys():
        if hold_field(rows[symbol], 0, 1.0, *times, *limits) == 1:
            del rows[symbol]
    for symbol in refused:
        rows.setdefault(symbol, [0.0] * 4)[HOLD_COUNT] = 0.0
    return rows.keys() - refused.keys()


@pytest.mark.parametrize("seed", range(20))
def test_cohorts_release_each_symbol_when_a_hold_of_its_own_would(seed: int) -> None:
    """Random refusals, symbols that the inputs do not name, and restarts from the rows in between."""
    chance = Random(seed)
    interval = chance.choice([0, 60, 300])
    config = OrchestratorConfig(persistence=chance.randint(1, 5), policy_update_interval_sec=interval)
    vector = profile_vector(config)
    limits = vector[PROFILE_INTERVAL_S], vector[PROFILE_PERSISTENCE]
    bans, rows, now_s = Bans(), dict[str, list[float]](), 0.0
    for _ in range(200):
        last_s, now_s = now_s, now_s + chance.choice([0.0, 1.0, 60.0, 90.0])
        known = frozenset(chance.sample(SYMBOLS, chance.choice([12, 12, 9])))
        refused = dict.fromkeys(sorted(known)[: chance.randint(0, 4)], 128)
        before = set(rows)
        expected = hold_each(rows, refused, known, (now_s, last_s), limits)
        waiting = bans.hold(refused, known, now_s, last_s, vector)
        assert set(waiting) == expected
        assert len(waiting) == len(expected)
        assert bans.rows().keys() == rows.keys()
        assert (bans.before, bans.again) == (len(before), len(before & refused.keys()))
        if chance.random() < 0.2:
            bans = Bans(bans.rows())
