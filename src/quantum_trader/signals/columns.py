"""The columns of the signal kernel's output, ``out[symbol, COLUMN]``."""

from __future__ import annotations

from typing import Final

from quantum_trader.signals.models import MODEL_COUNT, MODEL_NAMES

CLOSE: Final = 0
ATR_1H: Final = 1  # price units, Wilder ATR(14) of completed trend bars (1 hour); NaN until ready
VOL_RATIO: Final = 2  # ATR(14) / close of completed volatility bars (4 hours); NaN until ready
TREND: Final = 3  # TREND_ code
DIRECTION: Final = 4  # DIR_ code
REGIME_AGE: Final = 5  # trend bars since the trend state began
MARKET_AGE: Final = 6  # base bars since the symbol's last bar, 0 when it has one now; inf before its first bar
VOLUME_RATIO_24H: Final = 7  # volume of the last trend bar over the mean of its last 24; NaN until ready
SPREAD_BPS: Final = 8  # cost model, full spread
SLIPPAGE_BPS: Final = 9  # cost model, taker, a side, as expected from the ATR
TAKER_COST_BPS: Final = 10  # half the spread + slippage of a calm market, a side, without fee; a fill adds its range
SIGNAL: Final = 11  # -1, 0, +1: a new signal at this bar
CONFIDENCE: Final = 12  # probability of the favoured direction, from the last decision
CONSENSUS: Final = 13  # share of the models that favour the same direction
QUALITY: Final = 14  # share of recent signals that were right, over all symbols; 0.5 at the start
UP_PROBABILITY: Final = 15  # pooled probability that the close is higher after the horizon
ADX_1H: Final = 16
VOTE_0: Final = 17  # calibrated P(up) of each model
SIZE: Final = VOTE_0 + MODEL_COUNT

COLUMN_NAMES: Final = (
    "close", "atr_1h", "vol_ratio", "trend", "direction", "regime_age", "market_age", "volume_ratio_24h",
    "spread_bps", "slippage_bps", "taker_cost_bps", "signal", "confidence", "consensus", "quality", "p_up", "adx_1h",
    *(f"vote_{name}" for name in MODEL_NAMES),
)
