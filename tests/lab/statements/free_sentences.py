"""Sentences in an assistant's style about the day of ``day_snapshot``, written without the rules at hand."""

from __future__ import annotations

from quantum_trader.lab.statements.language import Claim, ClaimRelation, Sentence


def _said(text: str, *claims: tuple[str, ...]) -> Sentence:
    return Sentence(text=text, claims=tuple(
        Claim(left=one[0], relation=ClaimRelation(one[1]), right=one[2] if len(one) > 2 else "") for one in claims))


FREE_SENTENCES = [
    _said("Today's session closed with a profit of {pnl_total} from {trades} trades."),
    _said("Despite paying {fees} in fees, the system remained profitable at {pnl_total}."),
    _said("The win rate climbed to {win_rate} from {win_rate@2026-11-26}, comfortably exceeding the target.",
          ("win_rate", "rose"), ("win_rate", "above_target")),
    _said("Drawdown stayed contained at {max_drawdown}, well within its target.", ("max_drawdown", "meets_target")),
    _said("{mode=scalp} was the strongest contributor with a profit of {pnl_total|mode=scalp}.",
          ("pnl_total|mode=scalp", "best")),
    _said("{mode=trend} detracted with {pnl_total|mode=trend} and a win rate of {win_rate|mode=trend}."),
    _said("Trading costs rose: fees of {fees} were about twice the previous day's level.",
          ("fees", "rose"), ("fees", "twice")),
    _said("Fee drag deserves attention, since fees doubled to {fees}.", ("fees", "twice")),
    _said("The profit factor of {profit_factor} confirms that winners outweighed losers."),
    _said("{symbol=BTCUSDT} generated {pnl_total|symbol=BTCUSDT} across {trades|symbol=BTCUSDT} trades."),
    _said("Recommendation: pause {mode=trend} until its expectancy of {expectancy_r|mode=trend} recovers."),
    _said("Execution quality held up, with slippage at {slippage}."),
    _said("Slippage eased from {slippage@2026-11-26} to {slippage}.", ("slippage", "fell")),
    _said("Holding time fell sharply to {holding_hours}.", ("holding_hours", "fell")),
    _said("Profit recovered after yesterday's loss of {pnl_total@2026-11-26}.", ("pnl_total", "rose")),
    _said("The system generated {signals} signals but took only {trades} trades."),
    _said("Signal volume increased to {signals}.", ("signals", "rose")),
    _said("Given the small sample, the result of {pnl_total} should be read with caution."),
    _said("The gap between {mode=scalp} and {mode=trend} is worth investigating."),
    _said("Scalping remains the main source of returns."),
    _said("With a win rate of {win_rate} and a profit factor of {profit_factor}, the edge looks intact."),
    _said("Latency was unchanged at {latency_p99}.", ("latency_p99", "unchanged")),
    _said("Decision latency held steady at {latency_p99}.", ("latency_p99", "unchanged")),
    _said("Fees consumed {fees}, eroding part of the result."),
    _said("The number of trades increased from {trades@2026-11-26} to {trades}.", ("trades", "rose")),
    _said("Over the whole span the system has earned {pnl_total@all}."),
    _said("{symbol=1000PEPEUSDT} shows a higher win rate than {symbol=BTCUSDT}.",
          ("win_rate|symbol=1000PEPEUSDT", "above", "win_rate|symbol=BTCUSDT")),
    _said("Expectancy turned positive at {expectancy_r}."),
    _said("Expectancy improved to {expectancy_r}, but the change is not significant.", ("expectancy_r", "improved")),
    _said("Consider tightening stops in {mode=trend}, where the profit factor is only {profit_factor|mode=trend}."),
    _said("Risk was well controlled: the maximum drawdown was {max_drawdown}, lower than {max_drawdown@2026-11-26} "
          "the day before.",
          ("max_drawdown", "below", "2026-11-26")),
    _said("Overall, a constructive day."),
    _said("The bot should keep its current thresholds."),
    _said("No action is required for {symbol=BTCUSDT}."),
    _said("The results are encouraging, yet a single day proves little."),
    _said("Profit was driven by {mode=scalp}, which produced {pnl_total|mode=scalp}."),
]
REFUSED_FREE_SENTENCES = {  # a comparison without its claim, a word or a noun that is not admitted, a sign
    "The profit factor of {profit_factor} confirms that winners outweighed losers.",
    "Recommendation: pause {mode=trend} until its expectancy of {expectancy_r|mode=trend} recovers.",
    "Holding time fell sharply to {holding_hours}.",
    "Profit recovered after yesterday's loss of {pnl_total@2026-11-26}.",
    "Scalping remains the main source of returns.",
    "Latency was unchanged at {latency_p99}.",
    "Fees consumed {fees}, eroding part of the result.",
    "Expectancy improved to {expectancy_r}, but the change is not significant.",
    "The results are encouraging, yet a single day proves little.",
    "Profit was driven by {mode=scalp}, which produced {pnl_total|mode=scalp}.",
}
