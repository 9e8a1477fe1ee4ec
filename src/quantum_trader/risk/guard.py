"""The risk guard: every opening intent becomes an Approved or a Refused, with the figures that decided.

:func:`guard_core` is the whole decision as numbers; the sweep compiles it. :func:`can_execute` is the same decision
with reasons and sentences; the engine calls it with an :class:`AccountView` made from its own state (halt by command,
loss row, order rate). :class:`RiskGuard` is the guard for another program: it keeps the kill switch, the loss row and
the order rate itself, and the engine does not construct it.

A reducing intent passes in every state. Limits on size (risk, notional, exposure) clip; below the venue's minimum the
intent is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final, NoReturn

import msgspec

from quantum_trader.domain.average_entry import entry_after_fill
from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_SECOND
from quantum_trader.domain.enums import GOV_EMERGENCY, Side
from quantum_trader.domain.errors import ConfigError, InputError, StateError, require, require_finite
from quantum_trader.domain.instrument import Instrument, TierRow, Tiers, tier_rows
from quantum_trader.domain.scalar import scalar
from quantum_trader.domain.trading import Intent
from quantum_trader.risk import account_column, intent_column, limit_column, refusal_code
from quantum_trader.risk.governor import level_factors
from quantum_trader.risk.halts import Halt
from quantum_trader.risk.limits import (
    LOSS_DAY,
    LOSS_LAST,
    LOSS_LATCH,
    LOSS_SIZE,
    RATE_SIZE,
    empty_losses,
    empty_rate,
    from_plain,
    losses_latched,
    losses_pct,
    note_order,
    orders_last_hour,
    record_losses,
    scale_losses,
    to_plain,
)
from quantum_trader.risk.sizing import (
    clip_to_margin,
    leverage_cap,
    liquidation_gap_pct,
    quantity_beside,
    tradable,
)


class Reason(str, Enum):
    """Why an intent was refused, or which limit clipped it."""

    KILL_SWITCH = "KILL_SWITCH"
    DISCONNECTED = "DISCONNECTED"
    GOVERNOR = "GOVERNOR"
    SYMBOL = "SYMBOL"
    SYMBOL_HALTED = "SYMBOL_HALTED"
    POLICY_GATE = "POLICY_GATE"
    EXPIRED = "EXPIRED"
    NOT_FINITE = "NOT_FINITE"
    INVALID = "INVALID"
    NO_STOP = "NO_STOP"
    RISK_PER_TRADE = "RISK_PER_TRADE"
    NOTIONAL = "NOTIONAL"
    LEVERAGE = "LEVERAGE"
    LIQUIDATION = "LIQUIDATION"
    POSITIONS = "POSITIONS"
    EXPOSURE = "EXPOSURE"
    DAILY_LOSS = "DAILY_LOSS"
    ORDER_RATE = "ORDER_RATE"
    STALE_DATA = "STALE_DATA"
    COST = "COST"
    MINIMUM = "MINIMUM"


# The position of a reason is its code in guard_core (see refusal_code); 0 is approved. Append only.
REASON_CODES: Final[tuple[Reason | None, ...]] = (None, *Reason)
_INTENT_NAMES: Final = (
    "side", "quantity", "price", "stop", "leverage", "step size", "minimum quantity", "minimum notional", "cost in R",
    "age of the data", "expiry", "symbol gate", "new position", "quantity held", "entry of what is held",
)
_ACCOUNT_NAMES: Final = (
    "kill switch", "connection", "governor level", "policy gate", "equity", "used margin", "open positions",
    "24-hour change", "change since midnight", "loss latch", "orders in the last hour",
)
_LIMIT_NAMES: Final = (
    "risk limit", "notional limit (%)", "notional limit (USDT)", "leverage limit", "liquidation buffer",
    "position limit", "exposure limit", "daily loss limit", "order rate limit", "data age limit", "cost limit",
)
_INPUT_NAMES: Final = (*_INTENT_NAMES, *_ACCOUNT_NAMES, *_LIMIT_NAMES)

_SLACK: Final = 1.0 + 1e-9  # a limit is breached only beyond rounding noise
_FUTURE_S: Final = -1.0  # data this far ahead of the clock is as suspect as old data
_LAST_NS: Final = 2.0**63

Numbers = Sequence[float]
Check = tuple[int, float, float]
Verdict = tuple[int, float, float, float]


@scalar
def tighter(policy_value: float, own_value: float) -> float:
    """The smaller of two limits; NaN from the policy stays NaN, and the guard then refuses."""
    return own_value if own_value < policy_value else policy_value


@scalar
def _gates(intent_row: Numbers, account_row: Numbers) -> Check:
    """The checks that need no size: switches, governor, symbol, policy, expiry. Anything but a clear yes refuses."""
    if account_row[account_column.KILL] != 0.0:
        return (refusal_code.KILL, account_row[account_column.KILL], 0.0)
    if account_row[account_column.CONNECTED] != 1.0:
        return (refusal_code.DISCONNECTED, account_row[account_column.CONNECTED], 1.0)
    if not 0.0 <= account_row[account_column.GOVERNOR] < GOV_EMERGENCY:
        return (refusal_code.GOVERNOR, account_row[account_column.GOVERNOR], GOV_EMERGENCY - 1.0)
    if intent_row[intent_column.SYMBOL_OK] == 2.0:
        return (refusal_code.HALTED, 1.0, 0.0)
    if intent_row[intent_column.SYMBOL_OK] != 1.0:
        return (refusal_code.SYMBOL, intent_row[intent_column.SYMBOL_OK], 1.0)
    if account_row[account_column.POLICY_OK] != 1.0:
        return (refusal_code.POLICY, account_row[account_column.POLICY_OK], 1.0)
    if intent_row[intent_column.EXPIRED] != 0.0:
        return (refusal_code.EXPIRED, intent_row[intent_column.EXPIRED], 0.0)
    return (refusal_code.OK, 0.0, 0.0)


@scalar
def _first_not_finite(intent_row: Numbers, account_row: Numbers, limit_row: Numbers) -> int:
    """Index (intent, account, limits in one count) of the first value that is not finite; -1 when all are."""
    for index in range(intent_column.SIZE):
        if not math.isfinite(intent_row[index]):
            return index
    for index in range(account_column.SIZE):
        if not math.isfinite(account_row[index]):
            return intent_column.SIZE + index
    for index in range(limit_column.SIZE):
        if not math.isfinite(limit_row[index]):
            return intent_column.SIZE + account_column.SIZE + index
    return -1


@scalar
def _sane(intent_row: Numbers, account_row: Numbers) -> Check:
    """Whether numbers are in their domain (INVALID) and the stop lies on the losing side of the price (NO_STOP)."""
    sign, price, stop = intent_row[intent_column.SIGN], intent_row[intent_column.PRICE], intent_row[intent_column.STOP]
    if sign not in (1.0, -1.0):
        return (refusal_code.INVALID, sign, 1.0)
    for column in (intent_column.QTY, intent_column.PRICE, intent_column.STEP):
        if not intent_row[column] > 0.0:
            return (refusal_code.INVALID, intent_row[column], 0.0)
    if not intent_row[intent_column.LEVERAGE] >= 1.0:
        return (refusal_code.INVALID, intent_row[intent_column.LEVERAGE], 1.0)
    if not account_row[account_column.EQUITY] > 0.0:
        return (refusal_code.INVALID, account_row[account_column.EQUITY], 0.0)
    if account_row[account_column.USED_MARGIN] < 0.0:
        return (refusal_code.INVALID, account_row[account_column.USED_MARGIN], 0.0)
    if not (stop > 0.0 and sign * (price - stop) > 0.0):
        return (refusal_code.NO_STOP, stop, price)
    return (refusal_code.OK, 0.0, 0.0)


@scalar
def _clip_size(
    intent_row: Numbers, account_row: Numbers, limit_row: Numbers, size_factor: float
) -> tuple[float, int]:
    """Clip the quantity to the risk and notional limits: (quantity, code of the limit that bound or OK)."""
    qty = intent_row[intent_column.QTY]
    price = intent_row[intent_column.PRICE]
    equity = account_row[account_column.EQUITY]
    bound = refusal_code.OK
    stop = intent_row[intent_column.STOP]
    held = (intent_row[intent_column.HELD_QTY], intent_row[intent_column.HELD_ENTRY])
    amount = equity * limit_row[limit_column.RISK_PCT] * size_factor / 100.0
    allowed = quantity_beside(intent_row[intent_column.SIGN], price, stop, amount, held)
    if qty > allowed * _SLACK:
        qty = allowed
        bound = refusal_code.RISK
    notional = min(limit_row[limit_column.NOTIONAL_USDT], equity * limit_row[limit_column.NOTIONAL_PCT] / 100.0)
    allowed = (notional - held[0] * price) / price if held[0] > 0.0 else notional / price
    if qty > allowed * _SLACK:
        qty = allowed
        bound = refusal_code.NOTIONAL
    return (qty, bound)


@scalar
def _leverage_and_liquidation(
    intent_row: Numbers, account_row: Numbers, limit_row: Numbers, tiers: Tiers, qty: float
) -> Check:
    """Leverage against the limit and the venue's table, then the gap between stop and liquidation.

    Both are of the whole position, at its average entry, where the intent adds to one.
    """
    price, held = intent_row[intent_column.PRICE], intent_row[intent_column.HELD_QTY]
    leverage = intent_row[intent_column.LEVERAGE]
    if held > 0.0:
        price = entry_after_fill(held, intent_row[intent_column.HELD_ENTRY], qty, price)
        qty = held + qty
    cap = leverage_cap(limit_row[limit_column.LEVERAGE], account_row[account_column.GOVERNOR], qty * price, tiers)
    if not leverage <= cap:
        return (refusal_code.LEVERAGE, leverage, cap)
    sign, stop = intent_row[intent_column.SIGN], intent_row[intent_column.STOP]
    gap = liquidation_gap_pct(sign, price, stop, qty, leverage, tiers)
    if not gap >= limit_row[limit_column.LIQ_BUFFER_PCT]:
        return (refusal_code.LIQUIDATION, gap, limit_row[limit_column.LIQ_BUFFER_PCT])
    return (refusal_code.OK, 0.0, 0.0)


@scalar
def _counts_and_losses(intent_row: Numbers, account_row: Numbers, limit_row: Numbers) -> Check:
    """Daily loss, order rate, stale data, cost in R: the checks after the size is known, in this order."""
    worst = min(account_row[account_column.ROLLING_PNL], account_row[account_column.MIDNIGHT_PNL])
    if account_row[account_column.LOSS_LATCHED] != 0.0 or worst <= -limit_row[limit_column.DAILY_LOSS_PCT]:
        return (refusal_code.DAILY_LOSS, worst, -limit_row[limit_column.DAILY_LOSS_PCT])
    if account_row[account_column.ORDERS_HOUR] >= limit_row[limit_column.ORDERS_HOUR]:
        return (refusal_code.RATE, account_row[account_column.ORDERS_HOUR], limit_row[limit_column.ORDERS_HOUR])
    age = intent_row[intent_column.DATA_AGE_S]
    if age > limit_row[limit_column.DATA_AGE_S] or age < _FUTURE_S:
        return (refusal_code.STALE, age, limit_row[limit_column.DATA_AGE_S])
    cost = intent_row[intent_column.COST_R]
    if cost > limit_row[limit_column.COST_R] * _SLACK or cost < 0.0:
        return (refusal_code.COST, cost, limit_row[limit_column.COST_R])
    return (refusal_code.OK, 0.0, 0.0)


@scalar
def _clip_exposure(
    intent_row: Numbers, account_row: Numbers, limit_row: Numbers, factor: float, qty: float
) -> float:
    """Clip *qty* so that its own margin and the margin in use stay under the exposure limit."""
    equity, used = account_row[account_column.EQUITY], account_row[account_column.USED_MARGIN]
    room = equity * limit_row[limit_column.EXPOSURE_PCT] * factor / 100.0 - used
    return clip_to_margin(qty, intent_row[intent_column.PRICE], intent_row[intent_column.LEVERAGE], room * _SLACK)


@scalar
def guard_core(intent_row: Numbers, account_row: Numbers, limit_row: Numbers, tiers: Tiers) -> Verdict:
    """Decide on an opening intent: (code, quantity, observed, limit).

    *code* 0 approves *quantity*, *observed* then being the code of the limit that clipped it (0.0 none). Any other code
    is the refusal's place in REASON_CODES, the quantity 0.0. Checks run in the order of the reasons; for NOT_FINITE
    *observed* is the index of the offending input. Rows are sequences of floats (see the column names).
    """
    code, observed, limit = _gates(intent_row, account_row)
    if code != refusal_code.OK:
        return (code, 0.0, observed, limit)
    broken = _first_not_finite(intent_row, account_row, limit_row)
    if broken >= 0:
        return (refusal_code.NOT_FINITE, 0.0, float(broken), 0.0)
    code, observed, limit = _sane(intent_row, account_row)
    if code != refusal_code.OK:
        return (code, 0.0, observed, limit)
    size_factor, _, exposure_factor = level_factors(int(account_row[account_column.GOVERNOR]))
    price = intent_row[intent_column.PRICE]
    step, min_qty = intent_row[intent_column.STEP], intent_row[intent_column.MIN_QTY]
    min_notional = intent_row[intent_column.MIN_NOTIONAL]
    wanted, bound = _clip_size(intent_row, account_row, limit_row, size_factor)
    qty = tradable(wanted, price, step, min_qty, min_notional)
    if qty <= 0.0:
        return (bound if bound != refusal_code.OK else refusal_code.MINIMUM, 0.0, wanted * price, min_notional)
    code, observed, limit = _leverage_and_liquidation(intent_row, account_row, limit_row, tiers, qty)
    if code != refusal_code.OK:
        return (code, 0.0, observed, limit)
    positions = account_row[account_column.POSITIONS] + intent_row[intent_column.NEW_POSITION]
    if positions > limit_row[limit_column.POSITIONS]:
        return (refusal_code.POSITIONS, 0.0, positions, limit_row[limit_column.POSITIONS])
    fitting = _clip_exposure(intent_row, account_row, limit_row, exposure_factor, qty)
    if fitting < qty:
        bound = refusal_code.EXPOSURE
        clipped = tradable(fitting, price, step, min_qty, min_notional)
        if clipped <= 0.0:
            margin = account_row[account_column.USED_MARGIN] + qty * price / intent_row[intent_column.LEVERAGE]
            cap = limit_row[limit_column.EXPOSURE_PCT] * exposure_factor
            return (refusal_code.EXPOSURE, 0.0, margin / account_row[account_column.EQUITY] * 100.0, cap)
        qty = clipped
    code, observed, limit = _counts_and_losses(intent_row, account_row, limit_row)
    if code != refusal_code.OK:
        return (code, 0.0, observed, limit)
    return (refusal_code.OK, qty, float(bound), 0.0)


SMALLEST_RISK_PCT: Final = 0.05  # a smaller limit is a fraction given for a percentage


class RiskLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The guard's own limits; the policy can only tighten them. Percentages are of equity."""

    max_risk_pct: float = 2.0  # loss at the stop, per trade
    max_notional_pct: float = 300.0  # notional per trade
    max_notional_usdt: float = 500_000.0  # notional per trade
    max_leverage: float = 10.0
    liquidation_buffer_pct: float = 1.0  # between stop and liquidation, percent of price
    max_positions: int = 10
    max_exposure_pct: float = 20.0  # initial margin of all positions
    daily_loss_pct: float = 5.0  # rolling 24 h, and since UTC midnight
    max_orders_per_hour: int = 60  # opening orders
    max_data_age_s: float = 120.0  # since the newest market data was complete
    max_cost_r: float = 0.30  # estimated round trip

    def __post_init__(self) -> None:
        ranges = {
            "max_risk_pct": (0.0, 10.0), "max_notional_pct": (0.0, 10_000.0), "max_notional_usdt": (0.0, 1e9),
            "max_leverage": (1.0, 125.0), "liquidation_buffer_pct": (0.0, 50.0), "max_positions": (0.0, 1000.0),
            "max_exposure_pct": (0.0, 100.0), "daily_loss_pct": (0.0, 50.0), "max_orders_per_hour": (0.0, 100_000.0),
            "max_data_age_s": (0.0, 86_400.0), "max_cost_r": (0.0, 10.0),
        }
        for key, (low, high) in ranges.items():
            value = getattr(self, key)
            number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            if not number or not low <= value <= high:
                raise ConfigError(f"risk.{key} = {value!r}: must be a number from {low:g} to {high:g}")
        if 0.0 < self.max_risk_pct < SMALLEST_RISK_PCT:
            raise ConfigError(f"risk.max_risk_pct = {self.max_risk_pct!r}: is percent (0.8 means 0.8 %)")
        if self.daily_loss_pct <= 0.0:
            raise ConfigError("risk.daily_loss_pct = 0: must be above 0, or nothing could ever be opened")

    def row(
        self, policy_risk_pct: float = math.inf, policy_positions: float = math.inf,
        policy_exposure_pct: float = math.inf, policy_cost_in_r: float = math.inf,
    ) -> tuple[float, ...]:
        """These limits tightened by the policy's, as guard_core takes them."""
        return (
            tighter(policy_risk_pct, float(self.max_risk_pct)), float(self.max_notional_pct),
            float(self.max_notional_usdt), float(self.max_leverage), float(self.liquidation_buffer_pct),
            tighter(policy_positions, float(self.max_positions)),
            tighter(policy_exposure_pct, float(self.max_exposure_pct)), float(self.daily_loss_pct),
            float(self.max_orders_per_hour), float(self.max_data_age_s),
            tighter(policy_cost_in_r, float(self.max_cost_r)),
        )


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    """The account, the market and the gates as they are at *now_ns*.

    Equity, margin, positions, data time and cost have no default: a default could be better than the truth.
    """

    now_ns: int
    equity: float
    used_margin: float  # initial margin of positions and of opening orders on the way, USDT
    open_positions: int  # positions and opening orders on the way
    position_qty: float  # signed, in the intent's symbol
    position_entry: float = 0.0  # average entry of that position; 0.0: not known, the intent's price is taken
    data_ns: int  # when the newest market data of the symbol was complete
    cost_in_r: float  # estimated round trip; NaN (not measured) refuses
    symbol_allowed: bool = True
    symbol_halted: bool = False
    policy_allows: bool = True
    policy_risk_pct: float = math.inf
    policy_positions: float = math.inf
    policy_exposure_pct: float = math.inf
    policy_cost_in_r: float = math.inf
    governor: int = 0  # GOV_* code
    connected: bool = True
    kill: bool = False
    rolling_pnl_pct: float = 0.0
    midnight_pnl_pct: float = 0.0
    loss_latched: bool = False
    orders_last_hour: float = 0.0

    def row(self) -> tuple[float, ...]:
        """The account row of guard_core."""
        return (
            float(self.kill), float(self.connected), float(self.governor), float(self.policy_allows), self.equity,
            self.used_margin, float(self.open_positions), self.rolling_pnl_pct, self.midnight_pnl_pct,
            float(self.loss_latched), float(self.orders_last_hour),
        )


_SEAL: Final = object()


class Approved:
    """An approved intent with the quantity that may be sent; only this module can make one."""

    __slots__ = ("clipped_by", "intent", "qty")

    intent: Intent
    qty: float
    clipped_by: Reason | None

    def __init__(self, seal: object, intent: Intent, qty: float, clipped_by: Reason | None) -> None:
        if seal is not _SEAL:
            raise TypeError("Approved is made by the risk guard alone: call can_execute")
        object.__setattr__(self, "intent", intent)
        object.__setattr__(self, "qty", qty)
        object.__setattr__(self, "clipped_by", clipped_by)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"Approved.{name} is frozen")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"Approved.{name} is frozen")

    def __init_subclass__(cls) -> NoReturn:
        raise TypeError("Approved cannot be subclassed")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("Approved cannot be copied or stored: ask the guard again")

    def __repr__(self) -> str:
        clipped = f", clipped_by={self.clipped_by.value}" if self.clipped_by else ""
        return f"Approved({self.intent.intent_id}, qty={self.qty}{clipped})"


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A refused intent: the reason, the figure observed, the limit, and a sentence for people."""

    intent: Intent
    reason: Reason
    observed: float
    limit: float
    sentence: str


_SENTENCES: Final[dict[Reason, str]] = {
    Reason.KILL_SWITCH: "the kill switch is on",
    Reason.DISCONNECTED: "the venue is not connected",
    Reason.GOVERNOR: "the governor allows reducing only",
    Reason.SYMBOL: "the symbol is not allowed",
    Reason.SYMBOL_HALTED: "the symbol is halted by bad ticks, or locked by a person",
    Reason.POLICY_GATE: "the policy allows no new trades",
    Reason.EXPIRED: "the intent has expired",
    Reason.INVALID: "a number is out of its domain: {observed:g}, bound {limit:g}",
    Reason.NO_STOP: "the stop {observed:g} is not on the losing side of the price {limit:g}",
    Reason.RISK_PER_TRADE: "within the risk limit only {observed:.2f} USDT remain, the venue's minimum is {limit:g}",
    Reason.NOTIONAL: "within the notional limit only {observed:.2f} USDT remain, the venue's minimum is {limit:g}",
    Reason.LEVERAGE: "leverage {observed:g} is above {limit:g}",
    Reason.LIQUIDATION: "liquidation lies {observed:.3g} % of the price beyond the stop, {limit:g} % is the least",
    Reason.POSITIONS: "{observed:g} positions would be open, the limit is {limit:g}",
    Reason.EXPOSURE: "exposure would be {observed:.2f} %, the limit is {limit:g} % and leaves too little to trade",
    Reason.DAILY_LOSS: "the day's change is {observed:.2f} %, the limit {limit:g} % has been reached",
    Reason.ORDER_RATE: "{observed:g} opening orders in the last hour, the limit is {limit:g}",
    Reason.STALE_DATA: "the data is {observed:g} s old, the limit is {limit:g} s",
    Reason.COST: "the estimated cost is {observed:.3f} R, the limit is {limit:g} R",
    Reason.MINIMUM: "{observed:.2f} USDT is below the venue's minimum {limit:g} or its smallest quantity",
}


def _intent_row(intent: Intent, view: AccountView, instrument: Instrument) -> tuple[float, ...]:
    """The intent row of guard_core."""
    return (
        float(intent.side.sign), intent.qty, intent.reference_price, intent.stop_price, intent.leverage,
        instrument.step_size, instrument.min_qty, instrument.min_notional,
        *market_row(view, intent.expires_ns, intent.side.sign, intent.reference_price),
    )


def _approve_reducing(intent: Intent, view: AccountView) -> Approved:
    """Approve a reducing intent; an unusable quantity means the whole position."""
    usable = math.isfinite(intent.qty) and intent.qty > 0.0
    return Approved(_SEAL, intent, intent.qty if usable else abs(view.position_qty), None)


def market_row(view: AccountView, expires_ns: int, sign: int, price: float) -> tuple[float, ...]:
    """The columns of guard_core's intent row from the cost on.

    What *view* says of the market of an opening intent of *sign* at *price*, and of the position that it adds to.
    """
    held = max(0.0, sign * view.position_qty)
    symbol_ok = 2.0 if view.symbol_halted else float(view.symbol_allowed)
    return (
        view.cost_in_r, (view.now_ns - view.data_ns) / NS_PER_SECOND, float(view.now_ns > expires_ns), symbol_ok,
        float(view.position_qty == 0.0), held, (view.position_entry or price) if held > 0.0 else 0.0,
    )


def refusal_sentence(code: int, observed: float, limit: float) -> str:
    """A refusal of guard_core for people, from its *code* and figures."""
    reason = REASON_CODES[code]
    assert reason is not None, "0 is no refusal"
    if reason is Reason.NOT_FINITE:
        return f"{_INPUT_NAMES[int(observed)]} is not a finite number"
    return _SENTENCES[reason].format(observed=observed, limit=limit)


def judged(intent: Intent, verdict: Verdict) -> Approved | Refused:
    """*verdict* of guard_core on *intent* in words. For can_execute and the engine's compiled entry alone."""
    code, qty, observed, limit = verdict
    reason = REASON_CODES[code]
    if reason is None:
        return Approved(_SEAL, intent, qty, REASON_CODES[int(observed)])
    sentence = refusal_sentence(code, observed, limit)
    if reason is Reason.NOT_FINITE:
        return Refused(intent=intent, reason=reason, observed=math.nan, limit=0.0, sentence=sentence)
    return Refused(intent=intent, reason=reason, observed=observed, limit=limit, sentence=sentence)


def can_execute(
    intent: Intent, view: AccountView, instrument: Instrument, limits: RiskLimits,
    tiers: tuple[TierRow, ...] | None = None,
) -> Approved | Refused:
    """Approve *intent*, clipped to the limits, or refuse it with the figures; a reducing intent always passes.

    *tiers* are ``tier_rows(instrument)`` where the caller keeps them. Never raises for bad numbers: they refuse.
    """
    if intent.reduce_only:
        return _approve_reducing(intent, view)
    limit_row = limits.row(
        view.policy_risk_pct, view.policy_positions, view.policy_exposure_pct, view.policy_cost_in_r
    )
    rows = tier_rows(instrument) if tiers is None else tiers
    return judged(intent, guard_core(_intent_row(intent, view, instrument), view.row(), limit_row, rows))


def create_intent(
    symbol: str, side: Side | str, qty: float, *, price: float, now_ns: int, stop: float = 0.0, leverage: float = 1.0,
    reduce_only: bool = False, valid_s: float = 30.0, source: str = "bot",
) -> Intent:
    """An intent to open (or, with *reduce_only*, to reduce) *qty* base units at about *price* with its *stop*.

    Raises InputError for an unknown side; bad numbers are refused by the guard.
    """
    require(side in tuple(Side), "side", side, f"must be one of {', '.join(one.value for one in Side)}")
    name = f"{source}-{symbol}-{now_ns}"
    return Intent(
        intent_id=name, trace_id=name, symbol=symbol, side=Side(side), qty=qty, reduce_only=reduce_only,
        reference_price=price, stop_price=stop, leverage=leverage, created_ns=now_ns,
        expires_ns=now_ns + int(valid_s * NS_PER_SECOND), source=source,
    )


class RiskGuard:
    """The guard for use in another program: limits, kill switch, loss limits and order rate, saved and restored.

    ``guard = RiskGuard()``; at every mark ``guard.note_equity(now_ns, equity)``; before every opening
    ``guard.can_execute(intent, view, instrument)``, and after it was sent ``guard.note_order(now_ns)``. The engine does
    not use this object: it calls :func:`can_execute` and the same scalars over rows of its own.
    """

    def __init__(self, limits: RiskLimits | None = None) -> None:
        self.limits = RiskLimits() if limits is None else limits
        self.kill_switch: Halt | None = None
        self._losses = empty_losses()
        self._rate = empty_rate()
        self._tiers: dict[Instrument, tuple[TierRow, ...]] = {}

    def kill(self, reason: str, owner: str, now_ns: int) -> Halt:
        """Stop all openings until :meth:`release`."""
        command = "RiskGuard.release(reason, now_ns)"
        halt = Halt(kind="operator", reason=reason, owner=owner, since_ns=now_ns, command=command)
        self.kill_switch = halt
        return halt

    def release(self, reason: str, now_ns: int) -> Halt:
        """Turn the kill switch off and return the halt that ended. Raises InputError or StateError."""
        require(bool(reason.strip()), "reason", reason, "say why trading may go on")
        if self.kill_switch is None:
            raise StateError("kill switch = off: there is nothing to release")
        if now_ns < self.kill_switch.since_ns:
            raise InputError(f"now_ns = {now_ns}: is before the kill switch was turned on")
        ended, self.kill_switch = self.kill_switch, None
        return ended

    def note_equity(self, now_ns: int, equity: float) -> Halt | None:
        """Note *equity* (unrealised included); returns the loss halt when this equity raised it."""
        before = losses_latched(self._losses)
        record_losses(self._losses, now_ns, float(equity), self.limits.daily_loss_pct)
        return self._loss_halt() if not before and losses_latched(self._losses) else None

    def note_transfer(self, amount: float) -> None:
        """Note *amount* (USDT) paid in, negative when paid out, before the first equity that shows it.

        The losses keep their percentages: the equities they are measured from change in proportion to the account.
        """
        require_finite("amount", amount)
        scale_losses(self._losses, self._losses[LOSS_LAST], float(amount))

    def note_order(self, now_ns: int) -> None:
        """Count an opening order that was sent."""
        note_order(self._rate, now_ns)

    def can_execute(self, intent: Intent, view: AccountView, instrument: Instrument) -> Approved | Refused:
        """Decide on *intent*; the guard's own kill switch, losses and order rate replace those of *view*."""
        if intent.reduce_only:
            return _approve_reducing(intent, view)
        rolling, midnight = losses_pct(self._losses, view.equity)
        own = msgspec.structs.replace(
            view, kill=view.kill or self.kill_switch is not None, rolling_pnl_pct=rolling, midnight_pnl_pct=midnight,
            loss_latched=losses_latched(self._losses), orders_last_hour=orders_last_hour(self._rate, view.now_ns),
        )
        if instrument not in self._tiers:
            self._tiers[instrument] = tier_rows(instrument)
        return can_execute(intent, own, instrument, self.limits, self._tiers[instrument])

    def _loss_halt(self) -> Halt:
        day = int(self._losses[LOSS_LATCH])
        return Halt(
            kind="daily_loss", owner="guard", since_ns=day * NS_PER_DAY, expires_ns=(day + 1) * NS_PER_DAY,
            reason=f"equity lost {self.limits.daily_loss_pct:g} % within 24 hours or since UTC midnight; ends at UTC "
                   "midnight once both are inside the limit",
        )

    def halts(self) -> list[Halt]:
        """The guard's halts in force."""
        found = [] if self.kill_switch is None else [self.kill_switch]
        return [*found, self._loss_halt()] if losses_latched(self._losses) else found

    def state(self) -> dict[str, Any]:
        """Everything needed to continue, as JSON values."""
        return {
            "version": 1, "losses": to_plain(self._losses), "rate": to_plain(self._rate),
            "kill_switch": None if self.kill_switch is None else msgspec.to_builtins(self.kill_switch),
        }

    def load_state(self, state: object, now_ns: int) -> bool:
        """Continue from *state*; False when it is damaged, and then the kill switch is on until released."""
        loaded = _parse_state(state)
        if loaded is None:
            self._losses, self._rate = empty_losses(), empty_rate()
            self.kill("the guard's saved state is damaged", "guard", now_ns)
            return False
        self._losses, self._rate, self.kill_switch = loaded
        return True


def _is_time(value: float, unit_ns: int) -> bool:
    """Whether *value* (in whole units of *unit_ns*) is -1 (never) or a time that nanoseconds can hold."""
    return value == -1.0 or (value >= 0.0 and value.is_integer() and value * unit_ns < _LAST_NS)


def _parse_state(state: object) -> tuple[list[float], list[float], Halt | None] | None:
    """Rows and kill switch of a saved state, or None when any of it is damaged."""
    if not isinstance(state, Mapping) or state.get("version") != 1 or "kill_switch" not in state:
        return None
    losses, rate = from_plain(state.get("losses"), LOSS_SIZE), from_plain(state.get("rate"), RATE_SIZE)
    if losses is None or rate is None or not _is_time(rate[0], NS_PER_MINUTE):
        return None
    if not all(count >= 0.0 for count in rate[1:]):
        return None
    days = (losses[LOSS_DAY], losses[LOSS_LATCH])
    if not all(_is_time(value, NS_PER_DAY) for value in days) or not _is_time(losses[0], NS_PER_HOUR):
        return None
    try:
        halt = msgspec.convert(state["kill_switch"], Halt | None)
    except (msgspec.ValidationError, InputError):
        return None
    return losses, rate, halt
