"""The inputs of a decision that a person could wish different: what each is, its unit, its range, its words."""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np

from quantum_trader.domain.enums import (
    GOV_CAUTIOUS,
    GOV_DEFENSIVE,
    GOV_EMERGENCY,
    GOV_NORMAL,
    TAG_BAD,
    TAG_GOOD,
    TAG_NEUTRAL,
)
from quantum_trader.lab.explain import kernel as k
from quantum_trader.lab.explain import row as at
from quantum_trader.models.gates import GATES
from quantum_trader.policy import layout as pol
from quantum_trader.risk import account_column as acc
from quantum_trader.risk import limit_column as lim

CONDITIONS: Final = ("market", "forecast", "account", "system")  # what is measured; the other group is "settings"
SETTINGS: Final = "settings"

# The checks that an input bears on, in bits: one that refuses can be turned by these inputs alone.
EARLY: Final = 1  # gate, symbol, confidence and positions of the settings in use
PILOT: Final = 2
GATE: Final = {name: 4 << place for place, name in enumerate(GATES)}
FIRST_GATE: Final = 2  # the bit of the first gate
ENTRY: Final = 256  # sizing and guard
FLIP: Final = 512  # the opposite position
_RULED: Final = EARLY | GATE["confidence"] | ENTRY  # what the policy's settings bear on
_SURE: Final = EARLY | GATE["confidence"]  # what the confidence bears on
_BOOK, _IN, _ACC, _MEM, _LIM = at.ACCOUNT, at.POLICY_MARKET, at.POLICY_ACCOUNT, at.POLICY_MEMORY, at.LIMITS


class Changeable(NamedTuple):
    """One input."""

    key: str
    title: str
    unit: str
    group: str
    column: int  # of the decision's row
    kind: int  # kernel.NUMBER, WHOLE, WORD
    low: float
    high: float
    least: float  # what its change is measured against at least
    fine: bool  # the decision may turn more than once along it
    worse: float  # +1 a larger figure is worse, -1 a smaller one is
    bears: int  # on these checks
    by_rules: int  # on these where the policy's rules apply
    by_law: int  # on these where the confidence follows from the forecast
    words: dict[float, str]  # what it may be; empty for a number


def _number(
    key: str, title: str, unit: str, group: str, column: int, low: float, high: float, least: float, bears: int = 0, *,
    rules: int = 0, law: int = 0, worse: float = 1.0, fine: bool = False, whole: bool = False,
) -> Changeable:
    kind = k.WHOLE if whole else k.NUMBER
    return Changeable(key, title, unit, group, column, kind, low, high, least, fine, worse, bears, rules, law, {})


def _word(
    key: str, title: str, group: str, column: int, words: dict[float, str], bears: int = 0, *, rules: int = 0
) -> Changeable:
    return Changeable(key, title, "", group, column, k.WORD, 0.0, 0.0, 1.0, False, 1.0, bears, rules, 0, words)


_MARKET: Final = (
    _number("spread_bps", "spread", "bps", "market", at.GATE_SPREAD_BPS, 0.0, 1_000.0, 0.1,
            GATE["spread"] | GATE["cost"] | ENTRY, rules=_RULED),
    _number("slippage_bps", "slippage a side", "bps", "market", _IN + pol.IN_SLIPPAGE_BPS, 0.0, 1_000.0, 0.1,
            GATE["cost"] | ENTRY, rules=_RULED),
    _number("volume_ratio", "volume of the last hour over the mean of the last 24", "×", "market",
            at.GATE_VOLUME_RATIO, 0.0, 100.0, 0.01, GATE["volume"], rules=_RULED, worse=-1.0),
    _number("volatility", "volatility (ATR over price of 4-hour bars)", "of the price", "market",
            _IN + pol.IN_VOL_RATIO, 0.0, 1.0, 0.001, GATE["cost"], rules=_RULED, fine=True),
    _word("regime", "market regime", "market", at.REGIME, {
        at.REGIME_UP: "TRENDING UP", at.REGIME_DOWN: "TRENDING DOWN", at.REGIME_RANGING: "RANGING",
    }, GATE["regime"], rules=_RULED),
    _number("market_age_bars", "age of the market state", "bars", "market", _IN + pol.IN_AGE_BARS, 0.0, 10_000.0, 0.1,
            rules=_RULED),
    _number("data_age_s", "age of the market data", "s", "market", at.MARKET_DATA_AGE_S, -1.0, 86_400.0, 1.0, ENTRY),
    _number("cost_in_r", "cost of a round trip", "R", "market", at.MARKET_COST_R, 0.0, 100.0, 0.01, ENTRY,
            rules=_RULED),
    _word("symbol_halted", "halt of the symbol (bad prices, or a lock)", "market", at.MARKET_SYMBOL_OK, {1.0: "none"},
          ENTRY),
    _number("min_notional", "least notional of the exchange", "USDT", "market", at.SIZE_MIN_NOTIONAL, 0.0, 1e6, 1.0,
            ENTRY),
    _number("min_quantity", "least quantity of the exchange", "units", "market", at.SIZE_MIN_QTY, 0.0, 1e9, 1e-6,
            ENTRY),
)
_FORECAST: Final = (
    _number("expected_bps", "expected return before costs", "bps", "forecast", at.GATE_EXPECTED_BPS, -20_000.0,
            20_000.0, 1.0, GATE["cost"], law=_SURE, worse=-1.0),
    _number("cost_bps", "expected cost", "bps", "forecast", at.GATE_COST_BPS, -1_000.0, 20_000.0, 1.0, GATE["cost"],
            law=_SURE),
    _number("error_bps", "standard error of the expected return", "bps", "forecast", at.ERROR_BPS, 0.01, 20_000.0, 1.0,
            law=_SURE),
    _number("confidence", "confidence", "", "forecast", at.CONFIDENCE, 0.0, 1.0, 0.01, _SURE | GATE["cost"],
            worse=-1.0),
    _number("win_probability", "meta-label probability of a win", "", "forecast", at.GATE_WIN_PROBABILITY, 0.0, 1.0,
            0.01, GATE["meta_label"], worse=-1.0),
    _number("payoff", "payoff (mean win over mean loss)", "", "forecast", at.GATE_PAYOFF, 0.01, 1_000.0, 0.1,
            GATE["meta_label"], worse=-1.0),
    _number("quality", "quality of the ensemble", "", "forecast", _ACC + pol.ACC_QUALITY, 0.0, 1.0, 0.01, rules=_RULED,
            worse=-1.0),
    _number("target_quantity", "quantity that the model wants", "units", "forecast", at.QUANTITY, 0.0, 1e12, 1e-9,
            ENTRY, worse=-1.0),
)
_ACCOUNT: Final = (
    _number("equity", "equity", "USDT", "account", _BOOK + acc.EQUITY, 0.01, 1e10, 1.0, ENTRY, rules=_RULED,
            worse=-1.0, fine=True),
    _number("exposure_pct", "exposure (margin in use over equity)", "%", "account", at.EXPOSURE_PCT, 0.0, 1_000.0,
            0.1, ENTRY, rules=_RULED),
    _number("open_positions", "positions, and opening orders on their way", "", "account", at.OPEN_COUNT, 0.0, 10_000.0,
            1.0, EARLY | ENTRY, rules=_RULED, whole=True),
    _number("day_change_pct", "change of equity, the worse of today's and of 24 hours'", "%", "account",
            at.DAY_CHANGE_PCT, -100.0, 1_000.0, 0.1, ENTRY, rules=_RULED, worse=-1.0),
    _number("day_drawdown_pct", "drawdown from the day's peak", "%", "account", _ACC + pol.ACC_DRAWDOWN_PCT, -100.0,
            0.0, 0.1, rules=_RULED, worse=-1.0),
    _number("losing_streak", "losing trades in a row", "", "account", _ACC + pol.ACC_STREAK, 0.0, 1_000.0, 1.0,
            rules=_RULED, whole=True),
    _number("wins_since", "wins since the losing streak", "", "account", _ACC + pol.ACC_WINS_SINCE, 0.0, 1_000.0, 1.0,
            rules=_RULED, worse=-1.0, whole=True),
    _word("governor", "level of the safety governor", "account", _BOOK + acc.GOVERNOR, {
        GOV_NORMAL: "NORMAL", GOV_CAUTIOUS: "CAUTIOUS", GOV_DEFENSIVE: "DEFENSIVE", GOV_EMERGENCY: "EMERGENCY",
    }, ENTRY),
    _word("daily_loss_halt", "daily loss halt of the guard", "account", _BOOK + acc.LOSS_LATCHED, {0.0: "ended"},
          ENTRY),
    _word("policy_loss_halt", "daily loss halt of the policy (B1)", "account", _MEM + pol.MEM_LATCH_DAY,
          {-1.0: "ended"}, rules=_RULED),
    _number("orders_last_hour", "opening orders in the last hour", "", "account", _BOOK + acc.ORDERS_HOUR, 0.0, 1e6,
            1.0, ENTRY, whole=True),
    _word("symbol_tag", "record of the symbol", "account", _IN + pol.IN_TAG, {
        TAG_NEUTRAL: "NEUTRAL", TAG_GOOD: "GOOD", TAG_BAD: "BAD",
    }, EARLY, rules=_RULED),
    _number("symbol_winrate", "win rate of the symbol", "", "account", _IN + pol.IN_WINRATE, 0.0, 1.0, 0.01,
            rules=_RULED, worse=-1.0),
    _number("symbol_avg_r", "average result of the symbol", "R", "account", _IN + pol.IN_AVG_R, -10.0, 10.0, 0.01,
            rules=_RULED, worse=-1.0),
    _number("symbol_losses", "losses of the symbol in a row", "", "account", _IN + pol.IN_LOSSES, 0.0, 1_000.0, 1.0,
            rules=_RULED, whole=True),
    _number("symbol_factor", "share of the permitted risk that the symbol's record leaves", "×", "account",
            at.SYMBOL_FACTOR, 0.0, 1.0, 0.01, ENTRY, worse=-1.0),
)
_SYSTEM: Final = (
    _word("kill_switch", "kill switch", "system", _BOOK + acc.KILL, {0.0: "off", 1.0: "on"}, ENTRY),
    _word("connection", "connection to the exchange", "system", _BOOK + acc.CONNECTED, {1.0: "up", 0.0: "down"},
          ENTRY),
    _word("opposite_position", "opposite position", "system", at.CLOSED, {1.0: "closed first"}, FLIP),
    _word("policy_halt", "halt of the policy", "system", _MEM + pol.MEM_HALT, {0.0: "ended"}, rules=_RULED),
    _word("policy_hold", "wait of the policy before it loosens", "system", at.RELEASED, {1.0: "over"}, rules=_RULED),
    _word("policy_gate", "permission of the policy", "system", at.OWN_GATE, {1.0: "given"}, EARLY),
    _word("policy_symbol", "the symbol for the policy", "system", at.OWN_SYMBOL, {1.0: "allowed"}, EARLY),
    _number("account_age_s", "age of the account's figures", "s", "system", _ACC + pol.ACC_RISK_AGE_S, 0.0, 1e6, 1.0,
            rules=_RULED),
    _word("pilot", "answer of the pilot", "system", at.PILOT_ROAD, {0.0: "lets the signal through"}, PILOT),
    _number("pilot_confidence", "confidence of the pilot", "", "system", at.PILOT_OWN, 0.0, 1.0, 0.01, PILOT),
    _number("signal_over_horizon", "confidence of the signal over the pilot's horizon", "", "system", at.PILOT_OTHER,
            0.0, 1.0, 0.01, PILOT, worse=-1.0),
)
_SET: Final = (
    _number("min_confidence", "least confidence that is asked for", "", SETTINGS, at.OWN_CONFIDENCE, 0.0, 1.0, 0.01,
            _SURE),
    _number("risk_pct", "permitted risk a trade", "% of equity", SETTINGS, at.OWN_RISK_PCT, 0.0, 10.0, 0.01,
            EARLY | ENTRY, worse=-1.0, fine=True),
    _number("max_open_positions", "most open positions", "", SETTINGS, at.OWN_POSITIONS, 0.0, 10_000.0, 1.0, EARLY,
            worse=-1.0, whole=True),
    _number("leverage", "leverage wanted", "×", SETTINGS, at.REQUEST_LEVERAGE, 1.0, 125.0, 1.0, ENTRY, fine=True,
            whole=True),
    _number("stop_atr", "distance of the stop", "ATRs", SETTINGS, at.REQUEST_STOP_ATR, 0.05, 100.0, 0.1, ENTRY,
            fine=True),
    _number("max_spread_bps", "spread gate: most", "bps", SETTINGS, at.LIMIT_SPREAD_BPS, 0.0, 1_000.0, 0.1,
            GATE["spread"], worse=-1.0),
    _number("min_volume_ratio", "volume gate: least", "×", SETTINGS, at.LIMIT_VOLUME_RATIO, 0.0, 100.0, 0.01,
            GATE["volume"]),
    _word("gate_regimes", "regime gate", SETTINGS, at.LIMIT_REGIMES, {
        6.0: "TRENDING and RANGING", 2.0: "TRENDING", 7.0: "any regime",
    }, GATE["regime"]),
    _number("margin_bps", "cost gate: least that is left after costs", "bps", SETTINGS, at.LIMIT_MARGIN_BPS, -20_000.0,
            20_000.0, 1.0, GATE["cost"]),
    _number("gate_min_confidence", "confidence gate: least", "", SETTINGS, at.LIMIT_CONFIDENCE, 0.0, 1.0, 0.01,
            GATE["confidence"]),
    _number("gate_min_win_probability", "meta-label gate: least probability of a win", "", SETTINGS,
            at.LIMIT_WIN_PROBABILITY, 0.001, 1.0, 0.01, GATE["meta_label"]),
    *(
        _number(f"guard_{name}", f"guard: {title}", unit, SETTINGS, _LIM + column, 0.0, high, least, ENTRY, worse=worse,
                whole=whole)
        for name, title, unit, column, high, least, worse, whole in (
            ("risk_pct", "most risk a trade", "% of equity", lim.RISK_PCT, 10.0, 0.01, -1.0, False),
            ("notional_pct", "most notional", "% of equity", lim.NOTIONAL_PCT, 10_000.0, 1.0, -1.0, False),
            ("notional_usdt", "most notional", "USDT", lim.NOTIONAL_USDT, 1e9, 1.0, -1.0, False),
            ("leverage", "highest leverage", "×", lim.LEVERAGE, 125.0, 1.0, -1.0, True),
            ("liquidation_buffer_pct", "least distance from stop to liquidation", "% of the price",
             lim.LIQ_BUFFER_PCT, 50.0, 0.01, 1.0, False),
            ("positions", "most open positions", "", lim.POSITIONS, 10_000.0, 1.0, -1.0, True),
            ("exposure_pct", "most exposure", "% of equity", lim.EXPOSURE_PCT, 1_000.0, 0.1, -1.0, False),
            ("daily_loss_pct", "daily loss limit", "% of equity", lim.DAILY_LOSS_PCT, 100.0, 0.1, -1.0, False),
            ("orders_per_hour", "most opening orders an hour", "", lim.ORDERS_HOUR, 1e6, 1.0, -1.0, True),
            ("data_age_s", "oldest market data", "s", lim.DATA_AGE_S, 86_400.0, 1.0, -1.0, False),
            ("cost_r", "highest cost of a round trip", "R", lim.COST_R, 100.0, 0.01, -1.0, False),
        )
    ),
)
CHANGEABLE: Final = (*_MARKET, *_FORECAST, *_ACCOUNT, *_SYSTEM, *_SET)
PLACES: Final = {one.key: place for place, one in enumerate(CHANGEABLE)}


def _table() -> tuple[Any, Any]:
    """The table of the kernel (L, TABLE_SIZE), and its words (L, OPTIONS)."""
    table = np.zeros((len(CHANGEABLE), k.TABLE_SIZE))
    words = np.full((len(CHANGEABLE), k.OPTIONS), math.nan)
    for place, one in enumerate(CHANGEABLE):
        table[place] = one.column, one.kind, one.low, one.high, one.least, one.fine, one.worse
        words[place, : len(one.words)] = list(one.words)
    return table, words


def _bits(name: str) -> Any:
    return np.array([getattr(one, name) for one in CHANGEABLE], dtype=np.int64)


TABLE, WORDS = _table()
BEARS, BY_RULES, BY_LAW = _bits("bears"), _bits("by_rules"), _bits("by_law")
IS_CONDITION: Final = np.array([one.group != SETTINGS for one in CHANGEABLE])
