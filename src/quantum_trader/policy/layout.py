"""The places of numbers: where each setting, input, state and output of the policy stands in its vector.

One home for every index and bit the rules, the hold, the object code and the compiled kernel share.
"""

from __future__ import annotations

from typing import Final

# ---- the profile vector -----------------------------------------------------------------------------------------
PROFILE_BASE_CONFIDENCE, PROFILE_BASE_RISK, PROFILE_DD_LIMIT, PROFILE_STREAK_LIMIT = 0, 1, 2, 3
PROFILE_MAX_OPEN, PROFILE_EXPOSURE_LIMIT = 4, 5
PROFILE_EXTREME_VOL, PROFILE_HIGH_VOL, PROFILE_HIGH_SPREAD_BPS, PROFILE_HIGH_SLIPPAGE_BPS = 6, 7, 8, 9
PROFILE_INTERVAL_S, PROFILE_SIMILARITY, PROFILE_PERSISTENCE = 10, 11, 12
PROFILE_COMPOUND, PROFILE_COST_SENSITIVITY, PROFILE_MAX_COST_R = 13, 14, 15  # COMPOUND: 1.0 both rows apply
PROFILE_RECOVERY, PROFILE_RECOVERY_AFTER, PROFILE_PER_LOSS, PROFILE_PER_DRAWDOWN = 16, 17, 18, 19
PROFILE_MULT_SPREAD, PROFILE_MULT_SLIPPAGE, PROFILE_MULT_EXTREME = 20, 21, 22
PROFILE_CONF_SPREAD, PROFILE_CONF_SLIPPAGE, PROFILE_CONF_LIQUIDITY, PROFILE_CONF_EXTREME = 23, 24, 25, 26
PROFILE_MIN_WINRATE, PROFILE_MIN_AVG_R, PROFILE_BAD_STREAK = 27, 28, 29  # NaN: the profile has no such threshold
PROFILE_LOWEST_RISK, PROFILE_HIGHEST_CONF = 30, 31  # rule F1: over all rows
PROFILE_VOLATILITY: Final = 32  # target of the portfolio's volatility, percent a year
PROFILE_ROWS: Final = 33
ROW_RISK, ROW_CONF, ROW_ENTRY, ROW_EXIT, ROW_SIZE = 0, 1, 2, 3, 4
LABEL_BULL, LABEL_BEAR, LABEL_HIGH_VOL, LABEL_CHOP, LABEL_NORMAL, LABEL_CALM_TREND = 0, 1, 2, 3, 4, 5
LABELS: Final = ("BULL", "BEAR", "HIGH_VOL", "CHOP", "NORMAL", "CALM_TREND")
PROFILE_SIZE: Final = PROFILE_ROWS + ROW_SIZE * len(LABELS)
COST_LOW, COST_STANDARD, COST_HIGH = 0, 1, 2

# ---- inputs of the compiled form: one row per slot (0 overall, 1..S symbols), and the account -------------------
IN_TREND, IN_DIRECTION, IN_VOL_RATIO, IN_AGE_BARS = 0, 1, 2, 3
IN_SPREAD_BPS, IN_SLIPPAGE_BPS, IN_VOLUME_RATIO, IN_COST_IN_R = 4, 5, 6, 7
IN_TAG, IN_WINRATE, IN_AVG_R, IN_TRADES, IN_LOSSES = 8, 9, 10, 11, 12
IN_SIZE: Final = 13
ACC_DAILY_PNL_PCT, ACC_DRAWDOWN_PCT, ACC_STREAK, ACC_BROKEN_STREAK, ACC_WINS_SINCE = 0, 1, 2, 3, 4
ACC_OPEN_COUNT, ACC_EXPOSURE_PCT, ACC_EQUITY, ACC_QUALITY, ACC_RISK_AGE_S = 5, 6, 7, 8, 9
ACC_SIZE: Final = 10

# ---- outputs of the compiled form: the policy in force per slot -------------------------------------------------
OUT_ALLOW, OUT_RISK_PROFILE, OUT_RISK_PCT, OUT_MIN_CONF, OUT_ENTRY, OUT_EXIT = 0, 1, 2, 3, 4, 5
OUT_MAX_OPEN, OUT_EXPOSURE_LIMIT, OUT_SYMBOL_OK, OUT_BITS, OUT_HELD = 6, 7, 8, 9, 10
OUT_SIZE: Final = 11

# ---- fields the hold watches, in the order of the outputs; each stored as *looseness* (bigger is riskier) -------
FIELD_ALLOW, FIELD_RISK_PROFILE, FIELD_RISK_PCT, FIELD_MIN_CONF, FIELD_ENTRY, FIELD_EXIT = 0, 1, 2, 3, 4, 5
FIELD_MAX_OPEN, FIELD_EXPOSURE_LIMIT, FIELD_SYMBOL = 6, 7, 8
FIELDS: Final = (
    "allow_new_trades", "risk_profile", "max_risk_pct", "min_confidence", "entry_mode", "exit_mode",
    "max_open_positions", "total_exposure_limit_pct", "symbol",
)
FIELD_COUNT: Final = len(FIELDS)
HOLD_CURRENT, HOLD_PENDING, HOLD_SINCE, HOLD_COUNT, HOLD_WIDTH = 0, 1, 2, 3, 4
SLOT_STARTED: Final = FIELD_COUNT * HOLD_WIDTH
SLOT_WAITING: Final = SLOT_STARTED + 1  # 1.0 while a field waits to loosen
SLOT_SIZE: Final = SLOT_WAITING + 1

# ---- the policy's memory of the account: clock, UTC day and its peak equity, latch, halt ---------------------------
MEM_LAST_S, MEM_DAY, MEM_PEAK, MEM_LATCH_DAY, MEM_HALT = 0, 1, 2, 3, 4
MEM_SIZE: Final = 5

# ---- refusal bits -------------------------------------------------------------------------------------------------
REFUSE_EXTREME_VOL, REFUSE_DAILY_LOSS, REFUSE_POSITIONS, REFUSE_EXPOSURE = 1, 2, 4, 8
REFUSE_COST, REFUSE_STALE_RISK, REFUSE_ZERO_RISK, REFUSE_BAD_SYMBOL, REFUSE_HALT = 16, 32, 64, 128, 256
FLAG_STALE_REGIME, FLAG_STREAK_LATCH = 1024, 2048

# ---- rule codes: the position of a rule in policy.rules.RULES -----------------------------------------------------
(
    RULE_A, RULE_A1, RULE_A2, RULE_A3, RULE_A4, RULE_A5, RULE_B1, RULE_B2, RULE_B3, RULE_B4, RULE_C1, RULE_D1,
    RULE_D2, RULE_D3, RULE_E1, RULE_F1, RULE_F2, RULE_P1, RULE_P2, RULE_R1, RULE_CLAMP, RULE_ZERO, RULE_HOLD, RULE_HALT,
    RULE_STREAK_END,
) = range(25)
