"""The policy over many slots as machine code: the same scalar rules, for the engine and the sweep.

Slot 0 is the overall market, slots 1..S the symbols. All arrays are float64; the columns are named in
``policy.layout``. One setting's mutable state is ``slots`` and ``mem``, so a sweep keeps one pair per setting.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import types
from numba.extending import intrinsic

from quantum_trader.domain.enums import TREND_RANGING, TREND_TRENDING, TREND_UNKNOWN
from quantum_trader.domain.indicators import vol_level
from quantum_trader.market.jit import compiled, kernel
from quantum_trader.policy.core import (
    MAX_MARKET_AGE_BARS,
    AccountState,
    Cost,
    MarketCodes,
    commonest_trend,
    cost_level,
    decide,
    liquidity_level,
    risk_is_stale,
    symbol_refusal,
)
from quantum_trader.policy.evaluation import candidate_of, hold_trace
from quantum_trader.policy.layout import (
    ACC_BROKEN_STREAK,
    ACC_DAILY_PNL_PCT,
    ACC_DRAWDOWN_PCT,
    ACC_EQUITY,
    ACC_EXPOSURE_PCT,
    ACC_OPEN_COUNT,
    ACC_QUALITY,
    ACC_RISK_AGE_S,
    ACC_SIZE,
    ACC_STREAK,
    ACC_WINS_SINCE,
    FIELD_COUNT,
    FIELD_SYMBOL,
    HOLD_CURRENT,
    HOLD_WIDTH,
    IN_AGE_BARS,
    IN_AVG_R,
    IN_COST_IN_R,
    IN_DIRECTION,
    IN_LOSSES,
    IN_SIZE,
    IN_SLIPPAGE_BPS,
    IN_SPREAD_BPS,
    IN_TAG,
    IN_TRADES,
    IN_TREND,
    IN_VOL_RATIO,
    IN_VOLUME_RATIO,
    IN_WINRATE,
    MEM_HALT,
    MEM_LAST_S,
    MEM_LATCH_DAY,
    OUT_BITS,
    OUT_HELD,
    OUT_SIZE,
    PROFILE_EXPOSURE_LIMIT,
    PROFILE_EXTREME_VOL,
    PROFILE_HIGH_SLIPPAGE_BPS,
    PROFILE_HIGH_SPREAD_BPS,
    PROFILE_HIGH_VOL,
    PROFILE_INTERVAL_S,
    PROFILE_MAX_OPEN,
    PROFILE_PERSISTENCE,
    SLOT_SIZE,
)
from quantum_trader.policy.policy import SlotValues, TradingPolicy
from quantum_trader.policy.profiles import OrchestratorConfig, profile_vector
from quantum_trader.policy.rules import RuleChange, symbol_reasons
from quantum_trader.policy.stability import (
    account_step,
    clamp_clock,
    hold_slot,
    looseness,
    new_memory,
    wait_left,
)

_FloatArray = npt.NDArray[np.float64]

_commonest_trend = compiled(commonest_trend)
_decide = compiled(decide)
_symbol_refusal = compiled(symbol_refusal)
_vol_level = compiled(vol_level)
_cost_level = compiled(cost_level)
_liquidity_level = compiled(liquidity_level)
_risk_is_stale = compiled(risk_is_stale)
_account_step = compiled(account_step)
_clamp_clock = compiled(clamp_clock)
_hold_slot = compiled(hold_slot)
_looseness = compiled(looseness)
_OK: Final = FIELD_SYMBOL * HOLD_WIDTH + HOLD_CURRENT
_STATE: Final = ("slots", "mem", "out", "inputs", "account")
_REVERSED: Final = (1, 3, 4, 5)  # outputs whose looseness is the negative value


@intrinsic
def _at(typingctx, array, offset):  # type: ignore[no-untyped-def]
    """A bare pointer to element *offset* of a contiguous float64 *array*; indexed like one, without reference counts.

    A view costs a pair of atomic operations per call it is handed to, more than the rules themselves. The caller keeps
    the array alive.
    """

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.gep(data, [arguments[1]])

    return types.CPointer(types.float64)(array, types.intp), codegen


def new_slots(symbols: int) -> _FloatArray:
    """The slots of *symbols* symbols that have seen no evaluation: (symbols + 1, SLOT_SIZE)."""
    return np.zeros((symbols + 1, SLOT_SIZE))


def new_mem() -> _FloatArray:
    """An account memory that has seen nothing: (MEM_SIZE,)."""
    return np.array(new_memory())


@kernel
def fill_overall(inputs):  # type: ignore[no-untyped-def]
    """Fill row 0 from the symbols': commonest trend of the fresh ones, mean of the finite measures.

    A tie between trends is RANGING, then UNKNOWN; a tie between directions is none. No fresh symbol leaves UNKNOWN.
    """
    trends = np.zeros(3)
    up = down = 0.0
    sums = np.zeros(IN_SIZE)
    counts = np.zeros(IN_SIZE)
    age = np.inf
    for s in range(1, inputs.shape[0]):
        row = inputs[s]
        age = min(age, row[IN_AGE_BARS]) if row[IN_AGE_BARS] >= 0.0 else age
        if not row[IN_AGE_BARS] <= MAX_MARKET_AGE_BARS:
            continue
        trends[int(row[IN_TREND])] += 1.0
        up += 1.0 if row[IN_DIRECTION] == 1.0 else 0.0
        down += 1.0 if row[IN_DIRECTION] == 2.0 else 0.0
        for column in (IN_VOL_RATIO, IN_SPREAD_BPS, IN_SLIPPAGE_BPS, IN_VOLUME_RATIO):
            if math.isfinite(row[column]):
                sums[column] += row[column]
                counts[column] += 1.0
    top = inputs[0]
    top[IN_TREND], top[IN_DIRECTION] = _commonest_trend(
        trends[TREND_UNKNOWN], trends[TREND_RANGING], trends[TREND_TRENDING], up, down
    )
    top[IN_AGE_BARS] = age
    for column in (IN_VOL_RATIO, IN_SPREAD_BPS, IN_SLIPPAGE_BPS, IN_VOLUME_RATIO):
        top[column] = sums[column] / counts[column] if counts[column] > 0.0 else np.nan
    top[IN_COST_IN_R] = np.nan


@kernel
def _refusals(profile, inputs, slots, out):  # type: ignore[no-untyped-def]
    """Refusal bits of every symbol into *out*; returns the Jaccard indices of the allowed and disallowed sets."""
    both_ok = either_ok = both_bad = either_bad = 0
    limits = _at(profile, 0)
    for s in range(1, inputs.shape[0]):
        row = _at(inputs, s * IN_SIZE)
        bits = _symbol_refusal(
            row[IN_TAG], row[IN_WINRATE], row[IN_AVG_R], row[IN_TRADES], row[IN_LOSSES], row[IN_COST_IN_R], limits
        )
        out[s, OUT_BITS] = bits
        now_ok = bits == 0
        was_ok = slots[s, _OK] == 1.0
        both_ok += 1 if now_ok and was_ok else 0
        either_ok += 1 if now_ok or was_ok else 0
        both_bad += 0 if now_ok or was_ok else 1
        either_bad += 0 if now_ok and was_ok else 1
    return (
        both_ok / either_ok if either_ok > 0 else 1.0,
        both_bad / either_bad if either_bad > 0 else 1.0,
    )


@kernel
def _write(slot, bits, held, row):  # type: ignore[no-untyped-def]
    """Write what is in force in *slot* to the output *row*."""
    for field in range(FIELD_COUNT):
        row[field] = slot[field * HOLD_WIDTH]
    for field in _REVERSED:
        row[field] = 0.0 - row[field]
    row[OUT_BITS] = bits
    row[OUT_HELD] = held


@kernel
def step_slots(now_s, profile, inputs, account, slots, mem, ring, out):  # type: ignore[no-untyped-def]
    """Evaluate every slot at *now_s* (seconds since the epoch) and write the policy in force to *out*.

    Shapes: profile (PROFILE_SIZE,), inputs (S+1, IN_SIZE), account (ACC_SIZE,), slots (S+1, SLOT_SIZE), mem
    (MEM_SIZE,), ring (RING_SIZE or more,) the equities of the last 24 hours (domain.loss_window), out (S+1, OUT_SIZE).
    The account's drawdown becomes the one that was judged. Returns the number of slots whose policy in force changed.
    """
    limits = _at(profile, 0)
    memory = _at(mem, 0)
    now_s, last_s = _clamp_clock(memory, now_s)
    drawdown, latched = _account_step(
        memory, _at(ring, 0), now_s, account[ACC_DAILY_PNL_PCT], account[ACC_DRAWDOWN_PCT], account[ACC_EQUITY],
        limits,
    )
    account[ACC_DRAWDOWN_PCT] = drawdown
    stale = _risk_is_stale(account[ACC_RISK_AGE_S], account[ACC_EQUITY], True)
    judged = AccountState(
        account[ACC_DAILY_PNL_PCT], drawdown, latched, account[ACC_STREAK], account[ACC_BROKEN_STREAK],
        account[ACC_WINS_SINCE], account[ACC_OPEN_COUNT], account[ACC_EXPOSURE_PCT], stale, mem[MEM_HALT] != 0.0,
        account[ACC_QUALITY],
    )
    allowed_share, disallowed_share = _refusals(profile, inputs, slots, out)
    changed = 0
    for s in range(inputs.shape[0]):
        row = _at(inputs, s * IN_SIZE)
        slot = _at(slots, s * SLOT_SIZE)
        refused = int(out[s, OUT_BITS]) if s > 0 else 0
        symbol_ok = 1.0 if refused == 0 else 0.0
        if s > 0:
            allowed_share = disallowed_share = 1.0 if symbol_ok == slot[_OK] else 0.0
        market = (
            int(row[IN_TREND]), int(row[IN_DIRECTION]),
            _vol_level(row[IN_VOL_RATIO], limits[PROFILE_HIGH_VOL], limits[PROFILE_EXTREME_VOL]), row[IN_AGE_BARS],
        )
        cost = (
            _cost_level(row[IN_SPREAD_BPS], limits[PROFILE_HIGH_SPREAD_BPS]),
            _cost_level(row[IN_SLIPPAGE_BPS], limits[PROFILE_HIGH_SLIPPAGE_BPS]),
            _liquidity_level(row[IN_VOLUME_RATIO]),
            row[IN_COST_IN_R] if s == 0 else np.nan,
        )
        allow, level, risk, confidence, entry, exit_, bits = _decide(market, cost, judged, limits, None)
        candidate = _looseness(
            allow, level, risk, confidence, entry, exit_, limits[PROFILE_MAX_OPEN],
            limits[PROFILE_EXPOSURE_LIMIT], symbol_ok,
        )
        moved, held = _hold_slot(slot, candidate, now_s, last_s, allowed_share, disallowed_share, limits)
        changed += moved
        _write(slot, bits | refused, held, _at(out, s * OUT_SIZE))
    return changed


class SlotPolicy:
    """The compiled policy of one setting with its arrays, and the readable policy made from them.

    ``inputs`` and ``account`` are filled by the caller before each :meth:`step`; ``out`` then holds what is in force,
    and the account's drawdown is the one that was judged. The equities of the last 24 hours are the caller's.
    """

    def __init__(self, config: OrchestratorConfig, symbols: Sequence[str]) -> None:
        self.config = config
        self.symbols = tuple(symbols)
        self.profile: _FloatArray = np.array(profile_vector(config))
        self.inputs: _FloatArray = np.zeros((len(self.symbols) + 1, IN_SIZE))
        self.account: _FloatArray = np.zeros(ACC_SIZE)
        self.slots = new_slots(len(self.symbols))
        self.mem = new_mem()
        self.out: _FloatArray = np.zeros((len(self.symbols) + 1, OUT_SIZE))

    def step(self, now_s: float, ring: _FloatArray, *, fill: bool = True) -> int:
        """Evaluate at *now_s*; *fill* makes row 0 of the inputs from the symbols. Returns the slots changed.

        *ring* (RING_SIZE or more,) holds the equities of the last 24 hours; this one is noted in it.
        """
        if fill:
            fill_overall(self.inputs)
        return int(step_slots(now_s, self.profile, self.inputs, self.account, self.slots, self.mem, ring, self.out))

    def halt(self, on: bool = True) -> None:
        """Permit no new trades in any slot from the next step on, or lift that."""
        self.mem[MEM_HALT] = 1.0 if on else 0.0

    def snapshot(self, ts_ns: int) -> TradingPolicy:
        """The policy in force as one value, explained; its rules are those of the inputs as they stand now."""
        vector = self.profile.tolist()
        account = self._account()
        out = self.out.tolist()
        refused = {}
        for s, symbol in enumerate(self.symbols, start=1):
            row = self.inputs[s].tolist()
            bits = symbol_refusal(
                row[IN_TAG], row[IN_WINRATE], row[IN_AVG_R], row[IN_TRADES], row[IN_LOSSES], row[IN_COST_IN_R], vector
            )
            if bits:
                refused[symbol] = bits
        in_force = self.slots[1:, _OK].tolist()
        banned = [name for name, ok in zip(self.symbols, in_force, strict=True) if ok != 1.0]
        waiting = {
            name: wait_left(
                slot, FIELD_SYMBOL * HOLD_WIDTH, float(self.mem[MEM_LAST_S]), vector[PROFILE_INTERVAL_S],
                vector[PROFILE_PERSISTENCE],
            )
            for name, slot in zip(self.symbols, self.slots[1:].tolist(), strict=True)
            if slot[_OK] != 1.0 and name not in refused
        }
        reasons = symbol_reasons({name: refused[name] for name in banned if name in refused}, waiting)
        values, trace = self._slot(0, account, True, vector, int(out[0][OUT_HELD]))
        parts = {
            symbol: self._slot(s, account, symbol not in refused, vector, int(out[s][OUT_HELD]))
            for s, symbol in enumerate(self.symbols, start=1)
        }
        return TradingPolicy.in_force(
            values, frozenset(self.symbols), reasons, self.config.name, ts_ns, trace, parts, refused, waiting
        )

    def _account(self) -> AccountState:
        """The account as the rules take it, after the latches of the last step."""
        given = self.account.tolist()
        return AccountState(
            given[ACC_DAILY_PNL_PCT], given[ACC_DRAWDOWN_PCT], bool(self.mem[MEM_LATCH_DAY] >= 0.0),
            int(given[ACC_STREAK]), int(given[ACC_BROKEN_STREAK]), int(given[ACC_WINS_SINCE]),
            int(given[ACC_OPEN_COUNT]), given[ACC_EXPOSURE_PCT],
            risk_is_stale(given[ACC_RISK_AGE_S], given[ACC_EQUITY], True), bool(self.mem[MEM_HALT]), given[ACC_QUALITY],
        )

    def _slot(
        self, s: int, account: AccountState, symbol_ok: bool, vector: Sequence[float], held: int
    ) -> tuple[SlotValues, tuple[RuleChange, ...]]:
        """What is in force in slot *s*, and why."""
        row = self.inputs[s].tolist()
        vol = vol_level(row[IN_VOL_RATIO], vector[PROFILE_HIGH_VOL], vector[PROFILE_EXTREME_VOL])
        market: MarketCodes = (int(row[IN_TREND]), int(row[IN_DIRECTION]), vol, row[IN_AGE_BARS])
        cost: Cost = (
            cost_level(row[IN_SPREAD_BPS], vector[PROFILE_HIGH_SPREAD_BPS]),
            cost_level(row[IN_SLIPPAGE_BPS], vector[PROFILE_HIGH_SLIPPAGE_BPS]), liquidity_level(row[IN_VOLUME_RATIO]),
            row[IN_COST_IN_R] if s == 0 else math.nan,
        )
        candidate, _, trace = candidate_of(market, cost, account, symbol_ok, vector)
        slot = self.slots[s].tolist()
        values = tuple(slot[: FIELD_COUNT * HOLD_WIDTH : HOLD_WIDTH])
        return values, (
            (*trace, *hold_trace(slot, candidate, held, float(self.mem[MEM_LAST_S]), vector)) if held else trace
        )

    def state(self) -> dict[str, Any]:
        """Everything mutable, as arrays."""
        return {key: getattr(self, key).copy() for key in _STATE}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state` gave, in place."""
        for key in _STATE:
            getattr(self, key)[...] = state[key]
