"""The words a person reads for the codes that records hold: one table, used by reports, dashboard and commands."""

from __future__ import annotations

from typing import Final

POLICY_WORDS: Final = {"OBSERVE": "observe", "LIVE": "enforce"}  # rollout.mode -> the value of --policy

CODE_WORDS: Final = {
    # why a signal opened nothing: the gates, in their order
    "WARM_UP": "indicators still warming up",
    "ALREADY_HELD": "position in this direction already open",
    "CLOSES_FIRST": "opposite position must close first",
    "ORDER_PENDING": "order for this symbol still pending",
    "TRADING_GATE": "policy permits no new trades",
    "SYMBOL_FILTER": "symbol barred (losing record or cost)",
    "LOW_CONFIDENCE": "confidence below the threshold",
    "POSITION_LIMIT": "too many open positions (policy)",
    "BELOW_MINIMUM_SIZE": "size below the exchange's minimum",
    "NO_SAFE_LEVERAGE": "no leverage keeps liquidation safe",
    "GOVERNOR": "safety governor: reduce only",
    "GATE_SPREAD": "spread above the gate's limit",
    "GATE_VOLUME": "volume below the gate's limit",
    "GATE_REGIME": "regime that the gate does not let through",
    "GATE_COST": "expected return below costs and the gate's margin",
    "GATE_CONFIDENCE": "confidence below the gate's threshold",
    "GATE_META_LABEL": "probability of a win below the gate's, or not known",
    "NO_SIGNAL": "no signal there: something was held, or a stop came before",
    # why the guard refused an order
    "KILL_SWITCH": "new entries stopped (halt)",
    "DISCONNECTED": "no connection to the exchange",
    "SYMBOL": "symbol barred by the policy",
    "SYMBOL_HALTED": "symbol halted (bad prices, or a lock)",
    "POLICY_GATE": "policy permits no new trades (guard)",
    "EXPIRED": "order request expired",
    "NOT_FINITE": "a number is missing or not finite",
    "INVALID": "order request is invalid",
    "NO_STOP": "no stop-loss",
    "RISK_PER_TRADE": "risk per trade above the limit",
    "NOTIONAL": "notional above the limit",
    "LEVERAGE": "leverage above the limit",
    "LIQUIDATION": "liquidation too close to the stop",
    "POSITIONS": "too many open positions (guard)",
    "EXPOSURE": "exposure above the limit",
    "DAILY_LOSS": "daily loss limit reached",
    "ORDER_RATE": "too many opening orders this hour",
    "STALE_DATA": "market data too old",
    "COST": "round-trip cost too high",
    "MINIMUM": "size below the minimum (guard)",
    "NO_POSITION": "no position to reduce",
    "UNKNOWN_SYMBOL": "symbol is not traded here",
    "REDUCED": "position closed",
    "LEVERAGE_MISMATCH": "exchange reports another leverage",
    "LOST": "order never reached the exchange",
    # why a position was closed
    "STOP": "stop-loss",
    "TRAILING_STOP": "trailing stop",
    "TAKE_PROFIT": "take-profit",
    "TIMEOUT": "longest holding time reached",
    "SIGNAL_FLIP": "opposite signal",
    "SCORE": "score ended or flipped",
    "DATA_HOLE": "gap in the market data",
    "UNPROTECTED": "stop could not be placed",
    "FLATTEN": "flatten requested",
    "EXTERNAL": "closed outside this bot",
    "INTENT": "closed by an intent",
    # what halted new entries
    "operator": "new entries stop: operator",
    "governor": "safety governor",
    "daily_loss": "new entries stop: daily loss limit",
    "streak": "losing streak",
    "reconciliation": "new entries stop: books differ from the exchange",
    # the switches of the policy
    "signal_filter": "signal filter",
    "confidence_threshold": "confidence threshold",
    "risk_sizing": "risk sizing",
    "position_limits": "position limits",
    "trading_gate": "trading gate",
    "exit_mode": "exit mode",
    # what the evidence says
    "undecided": "no clear effect",
    # steps of a flatten from the command line
    "begin": "start",
    "trouble": "problem",
    "left": "not flat",
}


def words(code: str) -> str:
    """*code* in words: of the table, else its parts in lower case; text that already is a sentence stays."""
    found = CODE_WORDS.get(code)
    if found is not None:
        return found
    head, _, symbol = code.partition(" ")
    if head == "bad_bars" and symbol:
        return f"bad price data of {symbol}"
    return code.replace("_", " ").lower() if code.isupper() or "_" in code else code


def policy_words(mode: str) -> str:
    """``rollout.mode`` as the value of ``--policy``: observe or enforce."""
    return POLICY_WORDS.get(mode, mode)
