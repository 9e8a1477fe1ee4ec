"""The places of numbers: where each setting, input, state and output of the policy stands in its vector.

One home for every index and bit the rules, the hold, the object code and the compiled kernel share.
"""

from __future__ import annotations

from typing import Final

# ---- the profile vector -----------------------------------------------------------------------------------------
P_BASE_CONFIDENCE, P_BASE_RISK, P_DD_LIMIT, P_STREAK_LIMIT, P_MAX_OPEN, P_EXPOSURE_LIMIT = 0, 1, 2, 3, 4, 5
P_EXTREME_VOL, P_HIGH_VOL, P_HIGH_SPREAD_BPS, P_HIGH_SLIPPAGE_BPS = 6, 7, 8, 9
P_INTERVAL_S, P_SIMILARITY, P_PERSISTENCE = 10, 11, 12
P_COMPOUND, P_COST_SENSITIVITY, P_MAX_COST_R = 13, 14, 15  # compound: 1.0 trend and volatility rows both apply
P_RECOVERY, P_RECOVERY_AFTER, P_PER_LOSS, P_PER_DRAWDOWN = 16, 17, 18, 19
P_MULT_SPREAD, P_MULT_SLIPPAGE, P_MULT_EXTREME = 20, 21, 22
P_CONF_SPREAD, P_CONF_SLIPPAGE, P_CONF_LIQUIDITY, P_CONF_EXTREME = 23, 24, 25, 26
P_MIN_WINRATE, P_MIN_AVG_R, P_BAD_STREAK = 27, 28, 29  # NaN: the profile has no such threshold
P_LOWEST_RISK, P_HIGHEST_CONF = 30, 31  # rule F1: over all rows
P_ROWS: Final = 32
ROW_RISK, ROW_CONF, ROW_ENTRY, ROW_EXIT, ROW_SIZE = 0, 1, 2, 3, 4
LABEL_BULL, LABEL_BEAR, LABEL_HIGH_VOL, LABEL_CHOP, LABEL_NORMAL, LABEL_CALM_TREND = 0, 1, 2, 3, 4, 5
LABELS: Final = ("BULL", "BEAR", "HIGH_VOL", "CHOP", "NORMAL", "CALM_TREND")
P_SIZE: Final = P_ROWS + ROW_SIZE * len(LABELS)
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
N_FIELDS: Final = len(FIELDS)
H_CURRENT, H_PENDING, H_SINCE, H_COUNT, H_WIDTH = 0, 1, 2, 3, 4
SLOT_STARTED: Final = N_FIELDS * H_WIDTH
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
) = range(24)
