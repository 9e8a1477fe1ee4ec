"""The compiled slots decide exactly as the object policy does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from quantum_trader.domain.clock import NS_PER_SECOND, to_ns
from quantum_trader.domain.enums import DIRECTION_CODES, LEVEL_CODES, TAG_CODES, TREND_CODES, VOL_CODES
from quantum_trader.domain.indicators import vol_level
from quantum_trader.domain.loss_window import empty_ring
from quantum_trader.domain.market import MarketState
from quantum_trader.policy import (
    CostMetrics,
    OrchestratorConfig,
    OrchestratorPolicy,
    RiskState,
    create_symbol_performance,
)
from quantum_trader.policy import layout as pol
from quantum_trader.policy.compiled import SlotPolicy, fill_overall
from quantum_trader.policy.core import cost_level, liquidity_level

SYMBOLS = ("A", "B", "C")
START_S = to_ns(datetime(2024, 3, 1, 20, tzinfo=UTC)) // NS_PER_SECOND


def random_inputs(rng: np.random.Generator, slots: SlotPolicy) -> None:
    """One moment: most things calm, everything possible, what it was kept half of the time."""
    inputs, n = slots.inputs, len(SYMBOLS) + 1
    keep = rng.random() < 0.5
    if not keep:
        inputs[:, pol.IN_TREND] = rng.choice(3, n, p=[0.05, 0.6, 0.35])
        inputs[:, pol.IN_DIRECTION] = rng.choice(3, n)
        inputs[:, pol.IN_VOL_RATIO] = rng.choice(
            [0.004, 0.01, 0.035, 0.045, 0.07, 0.09, np.nan], n, p=[0.1, 0.5, 0.15, 0.15, 0.04, 0.04, 0.02]
        )
        inputs[:, pol.IN_AGE_BARS] = rng.choice([0.0, 2.0, 5.0], n, p=[0.9, 0.05, 0.05])
        inputs[:, pol.IN_SPREAD_BPS] = rng.choice([1.0, 7.0, 20.0], n)
        inputs[:, pol.IN_SLIPPAGE_BPS] = rng.choice([1.0, 7.0, 20.0], n)
        inputs[:, pol.IN_VOLUME_RATIO] = rng.choice([0.1, 1.0], n)
        inputs[:, pol.IN_COST_IN_R] = rng.choice([0.05, 0.4], n, p=[0.9, 0.1])
        inputs[1:, pol.IN_TAG] = rng.choice(3, n - 1, p=[0.5, 0.45, 0.05])
        inputs[1:, pol.IN_WINRATE] = rng.choice([0.3, 0.6], n - 1)
        inputs[1:, pol.IN_AVG_R] = rng.choice([0.1, 1.0], n - 1)
        inputs[1:, pol.IN_TRADES] = rng.choice([0.0, 4.0, 5.0, 30.0], n - 1)
        inputs[1:, pol.IN_LOSSES] = rng.choice([0.0, 4.0], n - 1)
    equity = 100.0 + 3.5 * rng.standard_normal()
    slots.account[:] = [
        rng.choice([0.0, -1.0, -6.0], p=[0.6, 0.38, 0.02]),
        rng.choice([0.0, -0.4, -1.3]),
        rng.choice(8),
        rng.choice(8),
        rng.choice(3),
        rng.choice(11),
        rng.choice([0.0, 5.0, 25.0], p=[0.5, 0.45, 0.05]),
        rng.choice([equity, 0.0], p=[0.99, 0.01]),
        rng.choice([0.3, 0.6]),
        0.0,
    ]


def object_inputs(slots: SlotPolicy, config: OrchestratorConfig) -> dict[str, Any]:
    """The same moment in the words of the object policy."""
    inputs, account = slots.inputs, slots.account

    def market(row: npt.NDArray[np.float64]) -> MarketState:
        level = vol_level(row[pol.IN_VOL_RATIO], config.high_vol_threshold, config.extreme_vol_threshold)
        return MarketState(
            trend=TREND_CODES[int(row[pol.IN_TREND])],
            direction=DIRECTION_CODES[int(row[pol.IN_DIRECTION])],
            vol_level=VOL_CODES[level],
            vol_ratio=row[pol.IN_VOL_RATIO],
            age_bars=row[pol.IN_AGE_BARS],
        )

    def cost(row: npt.NDArray[np.float64]) -> CostMetrics:
        return CostMetrics(
            spread_level=LEVEL_CODES[cost_level(row[pol.IN_SPREAD_BPS], config.high_spread_bps)],
            slippage_level=LEVEL_CODES[cost_level(row[pol.IN_SLIPPAGE_BPS], config.high_slippage_bps)],
            liquidity_level=LEVEL_CODES[liquidity_level(row[pol.IN_VOLUME_RATIO])],
            cost_in_r=float(row[pol.IN_COST_IN_R]),
        )

    overall = market(inputs[0])
    return {
        "regime_tag": overall.trend,
        "vol_level": overall.vol_level,
        "direction": overall.direction,
        "market_age_bars": overall.age_bars,
        "ensemble_quality": float(account[pol.ACC_QUALITY]),
        "risk_state": RiskState(
            daily_pnl_pct=float(account[0]),
            current_drawdown_pct=float(account[1]),
            losing_streak=int(account[2]),
            broken_streak=int(account[3]),
            wins_since=int(account[4]),
            open_trades_count=int(account[5]),
            total_exposure_pct=float(account[6]),
            equity=float(account[7]),
        ),
        "symbol_performance": [
            create_symbol_performance(
                symbol,
                row[pol.IN_WINRATE],
                row[pol.IN_AVG_R],
                0.0,
                TAG_CODES[int(row[pol.IN_TAG])],
                int(row[pol.IN_TRADES]),
                int(row[pol.IN_LOSSES]),
            )
            for symbol, row in zip(SYMBOLS, inputs[1:], strict=True)
        ],
        "markets": {symbol: market(row) for symbol, row in zip(SYMBOLS, inputs[1:], strict=True)},
        "cost_metrics": {name: cost(row) for name, row in zip(("*", *SYMBOLS), inputs, strict=True)},
    }


@pytest.mark.parametrize("name", ["SAFE", "STANDARD", "AGGRESSIVE"])
@pytest.mark.parametrize("seed", [1, 2])
def test_random_histories_give_the_same_policy_bit_by_bit(name: str, seed: int) -> None:
    """400 moments with latches, bans, holds and stale inputs: content hash, rules and outputs agree each time."""
    rng = np.random.default_rng(seed)
    config = OrchestratorConfig.from_profile(name)
    slots, objects, ring = SlotPolicy(config, SYMBOLS), OrchestratorPolicy(config), np.array(empty_ring())
    now_s, seen = START_S, set()
    for _ in range(400):
        now_s += int(rng.choice([20, 60, 300, 3600]))
        random_inputs(rng, slots)
        slots.step(float(now_s), ring, fill=False)
        expected = objects.update_policy(**object_inputs(slots, config), now=now_s * NS_PER_SECOND)
        got = slots.snapshot(now_s * NS_PER_SECOND)
        assert got.content_hash == expected.content_hash
        assert got.rules == expected.rules
        assert bool(slots.out[0, pol.OUT_ALLOW]) is expected.allow_new_trades
        for s, symbol in enumerate(SYMBOLS, start=1):
            own = expected.for_symbol(symbol)
            assert bool(slots.out[s, pol.OUT_ALLOW] and slots.out[s, pol.OUT_SYMBOL_OK]) is own.allow_new_trades
            assert (slots.out[s, pol.OUT_RISK_PCT], slots.out[s, pol.OUT_MIN_CONF]) == (
                own.max_risk_pct,
                own.min_confidence,
            )
        seen.add((expected.allow_new_trades, objects.latched, len(expected.disallowed_symbols)))
    assert len(seen) > 4


def test_nothing_new_returns_zero_and_a_halt_closes_every_slot() -> None:
    """The changed count tells the engine when to make a record."""
    slots, ring = SlotPolicy(OrchestratorConfig(), SYMBOLS), np.array(empty_ring())
    calm(slots)
    assert [slots.step(START_S + 60.0 * n, ring) for n in range(3)] == [4, 0, 0]
    slots.halt()
    assert slots.step(START_S + 240.0, ring) == 4
    assert not slots.out[:, pol.OUT_ALLOW].any()


def test_state_goes_into_another_object_and_continues() -> None:
    """What load_state took over decides on as the original."""
    rng = np.random.default_rng(3)
    one, two = (SlotPolicy(OrchestratorConfig.from_profile("SAFE"), SYMBOLS) for _ in range(2))
    ring = np.array(empty_ring())
    for n in range(50):
        random_inputs(rng, one)
        one.step(START_S + 60.0 * n, ring)
    two.load_state(one.state())
    other = ring.copy()
    for n in range(50, 80):
        random_inputs(rng, one)
        two.inputs[:], two.account[:] = one.inputs, one.account
        assert one.step(START_S + 60.0 * n, ring) == two.step(START_S + 60.0 * n, other)
        np.testing.assert_array_equal(one.out, two.out)


def calm(slots: SlotPolicy) -> None:
    """A quiet trending market and an account without losses."""
    row = {
        pol.IN_TREND: 1.0,
        pol.IN_DIRECTION: 1.0,
        pol.IN_VOL_RATIO: 0.01,
        pol.IN_SPREAD_BPS: 1.0,
        pol.IN_SLIPPAGE_BPS: 1.0,
        pol.IN_VOLUME_RATIO: 1.0,
        pol.IN_COST_IN_R: 0.05,
        pol.IN_TAG: 1.0,
    }
    for column, value in row.items():
        slots.inputs[1:, column] = value
    slots.account[pol.ACC_EQUITY], slots.account[pol.ACC_QUALITY] = 100.0, 0.6


def test_the_overall_row_is_the_commonest_trend_and_the_mean_of_the_fresh() -> None:
    """Two trending up, one stale: trending up; a tie with RANGING is RANGING; no fresh symbol is UNKNOWN."""
    slots = SlotPolicy(OrchestratorConfig(), SYMBOLS)
    calm(slots)
    slots.inputs[3, pol.IN_AGE_BARS] = 9.0
    slots.inputs[3, pol.IN_VOL_RATIO] = 0.9
    fill_overall(slots.inputs)
    assert slots.inputs[0, [pol.IN_TREND, pol.IN_DIRECTION, pol.IN_VOL_RATIO]].tolist() == [1.0, 1.0, 0.01]
    slots.inputs[2, pol.IN_TREND] = 2.0
    fill_overall(slots.inputs)
    assert slots.inputs[0, pol.IN_TREND] == 2.0
    slots.inputs[1:, pol.IN_AGE_BARS] = 9.0
    fill_overall(slots.inputs)
    assert (slots.inputs[0, pol.IN_TREND], slots.inputs[0, pol.IN_AGE_BARS]) == (0.0, 9.0)
