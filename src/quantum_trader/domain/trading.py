"""Signals, intents, orders, fills and positions.

An intent is a proposed position change; an order is what is sent to the venue; only a fill moves the books.
"""

from __future__ import annotations

import msgspec

from quantum_trader.domain.enums import ExitReason, OrderSide, OrderStatus, OrderType, Side
from quantum_trader.domain.fields import Finite, Int64, Probability, TimeNs, Word


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """A direction forecast of the ensemble for one symbol at one bar."""

    signal_id: Word
    trace_id: str
    symbol: Word
    action: Side
    confidence: Probability  # calibrated probability that the direction is right
    model: str
    ts_ns: TimeNs
    features_ts_ns: TimeNs  # time of the newest bar any feature used
    consensus: Probability = 0.0  # share of the models that agree
    votes: dict[str, float] = msgspec.field(default_factory=dict)  # model -> calibrated P(up)
    outside_scores: list[str] | msgspec.UnsetType = msgspec.UNSET  # ids of the outside scores it was made of


class OutsideScore(msgspec.Struct, frozen=True, kw_only=True):
    """A score that another program gave for one symbol: above 0 long, below 0 short, 0 leaves a position."""

    score_id: Word  # its trace
    symbol: Word
    score: Finite  # any scale; the models' forecasts scale it
    created_ns: TimeNs  # when its source sent it; its age counts from here
    expires_ns: TimeNs = 0  # from then on it is no view; 0: its age alone decides
    leaves: Side | None = None  # a score of 0 that leaves positions of this side alone
    source: str = ""


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """A proposed position change; *qty* in base units, always positive."""

    intent_id: str
    trace_id: str
    symbol: str
    side: Side  # side of the *position* it opens, or of the position it reduces
    qty: float
    reduce_only: bool
    reference_price: float
    stop_price: float  # planned stop; 0.0 for a reducing intent
    leverage: float
    created_ns: int
    expires_ns: int
    source: str
    reason: str = ""
    risk_pct: float = 0.0
    confidence: float = 0.0
    policy_hash: str = ""
    consensus_bonus: float | msgspec.UnsetType = msgspec.UNSET  # in *confidence*, where pilot and signal agree


class OrderRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An order to be placed at a venue."""

    client_order_id: str
    intent_id: str
    trace_id: str
    symbol: str
    side: OrderSide
    type: OrderType
    qty: float
    created_ns: int
    price: float = 0.0  # LIMIT, LIMIT_MAKER
    stop_price: float = 0.0  # STOP_MARKET, TAKE_PROFIT_MARKET
    reduce_only: bool = False
    leverage: float = 0.0  # > 0 on opening orders: the leverage to be set and read back before it


class CancelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to cancel one order at a venue."""

    client_order_id: str
    symbol: str
    created_ns: int


class OrderUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """A venue's status report of an order. An acknowledgement (NEW) is not a fill."""

    client_order_id: str
    venue_order_id: str
    symbol: str
    status: OrderStatus
    ts_ns: int
    filled_qty: float = 0.0
    reason: str = ""


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """One execution; the only thing that moves books."""

    fill_id: str
    client_order_id: str
    symbol: str
    side: OrderSide
    qty: float
    price: float
    fee: float  # its worth in USDT, positive is paid
    liquidity: str  # "maker" | "taker"
    ts_ns: int
    slippage_bps: float = 0.0  # against the reference price at the venue, positive is worse
    liquidation: bool = False
    fee_asset: str | msgspec.UnsetType = msgspec.UNSET  # the coin that paid the fee, where that was not USDT

    @property
    def slippage(self) -> float:
        """What the price was worse than the reference price, in USDT; negative is better."""
        share = self.slippage_bps * 1e-4  # of the reference price
        sign = 1.0 if self.side is OrderSide.BUY else -1.0
        return self.qty * self.price * share / (1.0 + sign * share)


class FundingPayment(msgspec.Struct, frozen=True, kw_only=True):
    """Funding charged on an open position; *amount* in USDT, positive is received."""

    symbol: str
    ts_ns: int
    rate: float
    mark_price: float
    qty: float  # signed position
    amount: float


class ClosedTrade(msgspec.Struct, frozen=True, kw_only=True):
    """One round trip, enriched as a trade log needs it. Money in USDT, net of fees and funding."""

    trade_id: Word
    trace_id: str
    symbol: Word
    side: Side
    qty: Finite
    entry_ns: TimeNs
    exit_ns: TimeNs
    entry_price: Finite
    exit_price: Finite
    stop_price: float  # the stop at entry
    target_price: float
    exit_reason: ExitReason
    pnl: Finite
    fees: Finite
    funding: Finite
    slippage_bps: float  # mean of entry and exit
    risk_amount: float  # USDT between entry and the first stop
    r_multiple: float
    mfe_r: float
    mae_r: float
    stop_distance_pct: float
    stop_distance_atr: float
    target_distance_atr: float
    bars_held: Int64
    regime_entry: str
    regime_exit: str
    exit_mode: str  # a word of ExitMode; SCORE, or SCORE_ and that word, where a model's score held it
    confidence: float
    policy_hash: str  # of the policy that decided; while it is only observed, of the fixed settings
    model: str
    model_id: str = ""  # of the model that opened it, of several joined by +; empty: not by a model with an id
