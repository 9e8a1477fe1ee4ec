"""The paper venue's settings, validated where they are made."""

from __future__ import annotations

import msgspec

from quantum_trader.domain.errors import require, require_finite
from quantum_trader.market.costs import RANGE_SLIPPAGE_BPS


class PaperSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the paper venue behaves. Money in USDT, costs in basis points."""

    initial_cash: float = 10_000.0
    default_leverage: float = 1.0
    default_taker_cost_bps: float = 5.0  # half spread and slippage, a side, in a calm market that is not measured
    range_slippage_bps: float = RANGE_SLIPPAGE_BPS  # of a taker on top, times range/price of a 4-hour bar; 0: none
    maker_slippage_bps: float = 0.4  # how far the price must trade through a resting limit: 20 % of base slippage
    liquidation_fee_bps: float = 125.0  # on top of the taker's fee
    participation: float | None = None  # largest share of a bar's volume one order may fill; None: no limit
    assumed_funding_rate: float = 0.0001  # per 8 hours, where no history is given
    trigger_price: str = "last"  # what stops, targets and liquidation look at: bars know no other price

    def __post_init__(self) -> None:
        for key in ("default_taker_cost_bps", "range_slippage_bps", "maker_slippage_bps", "liquidation_fee_bps"):
            value = getattr(self, key)
            require_finite(key, value)
            require(0.0 <= value < 10_000.0, key, value, "must be between 0 and 10000 basis points")
        require_finite("initial_cash", self.initial_cash)
        require(self.initial_cash > 0.0, "initial_cash", self.initial_cash, "must be positive")
        require_finite("assumed_funding_rate", self.assumed_funding_rate)
        require_finite("default_leverage", self.default_leverage)
        require(self.default_leverage >= 1.0, "default_leverage", self.default_leverage, "must be 1 or more")
        if self.participation is not None:
            require_finite("participation", self.participation)
            require(0.0 < self.participation <= 1.0, "participation", self.participation, "is a share: 0 < x <= 1")
        require(self.trigger_price == "last", "trigger_price", self.trigger_price, "only 'last' is known from bars")
