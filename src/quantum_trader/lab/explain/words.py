"""A decision in sentences for a person who trades: why it ended as it did, its figure beside the limit, and changes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from quantum_trader.domain.enums import GOVERNOR_CODES, TAG_BAD, TAG_CODES
from quantum_trader.domain.indicators import vol_level
from quantum_trader.engine.decision_inputs import gate_inputs_of, gate_limits_of
from quantum_trader.lab.explain import kernel as k
from quantum_trader.lab.explain import row as at
from quantum_trader.lab.explain.changeable import CHANGEABLE
from quantum_trader.lab.explain.effects import loss_latch
from quantum_trader.lab.explain.search import Decision, FoundChange
from quantum_trader.models.gates import (
    GateReading,
    gate_readings,
    regime_names,
)
from quantum_trader.policy import layout as pol
from quantum_trader.policy.core import MIN_TRADES, AccountState, cost_level, liquidity_level, risk_is_stale
from quantum_trader.policy.evaluation import candidate_of
from quantum_trader.policy.rules import closed_because, fired
from quantum_trader.risk import account_column as acc
from quantum_trader.risk import limit_column as lim
from quantum_trader.risk.guard import REASON_CODES, refusal_sentence
from quantum_trader.risk.sizing import quantity_beside, risk_quantity

AT_MOST, AT_LEAST = -1, 1
_NO_FIGURE: Final = (math.nan, math.nan, "", AT_MOST)
_GUARD_UNITS: Final = {  # unit, and whether the figure must be at most or at least its limit
    "RISK_PER_TRADE": ("USDT", AT_LEAST), "NOTIONAL": ("USDT", AT_LEAST), "MINIMUM": ("USDT", AT_LEAST),
    "LEVERAGE": ("×", AT_MOST), "LIQUIDATION": ("% of the price", AT_LEAST), "POSITIONS": ("positions", AT_MOST),
    "EXPOSURE": ("% of equity", AT_MOST), "DAILY_LOSS": ("% of equity", AT_LEAST), "ORDER_RATE": ("orders", AT_MOST),
    "STALE_DATA": ("s", AT_MOST), "COST": ("R", AT_MOST),
}


class Why(NamedTuple):
    """Why a decision ended in a refusal."""

    sentence: str
    observed: float  # NaN: it is no matter of a figure
    limit: float
    unit: str
    bound: int  # AT_MOST or AT_LEAST: how the figure stands to its limit where it passes

    @property
    def margin(self) -> float:
        """By how much the figure passes; below 0 by how much it fails."""
        return self.bound * (self.observed - self.limit)


def rounded(value: float) -> str:
    """*value* in four digits, as a person writes it."""
    if math.isnan(value):
        return "not measured"
    if math.isinf(value):
        return "without bound" if value > 0.0 else "-∞"
    if value == round(value) and abs(value) < 1e15:
        return f"{value:,.0f}"
    size = math.floor(math.log10(abs(value)))
    if size < -5:
        return f"{value:.4g}"
    return f"{value:,.{max(0, 3 - size)}f}"


def with_unit(value: float, unit: str) -> str:
    """*value* with its *unit*."""
    text = rounded(value)
    return f"{text} {unit}" if unit and not math.isnan(value) else text


# ---------------------------------------------------------------------- reasons


def refusal_reason(decision: Decision) -> Why:
    """Why *decision* was refused; an empty sentence where it was not."""
    made = decision.made
    if made.is_approved:
        return Why("", *_NO_FIGURE)
    if made.guard:
        return _by_guard(decision)
    reason = made.reason
    if reason.startswith("GATE_"):
        return gate_reason(decision, reason.removeprefix("GATE_").lower())
    return _REASONS[reason](decision)


def _plain(sentence: str) -> Callable[[Decision], Why]:
    return lambda decision: Why(sentence, *_NO_FIGURE)


def _held(decision: Decision) -> Why:
    row = decision.row
    if row[at.HELD] and row[at.HELD] != row[at.SIGN]:
        return Why(
            "a position in the other direction is open that a person, another client or the pilot opened: a signal "
            "does not reverse it", *_NO_FIGURE,
        )
    return Why(f"a {side_words(row[at.SIGN])} position in this symbol is open already", *_NO_FIGURE)


def _confidence(decision: Decision) -> Why:
    row = decision.row
    confidence, asked = row[at.CONFIDENCE], row[at.USED_CONFIDENCE]
    expected, cost, error = row[at.GATE_EXPECTED_BPS], row[at.GATE_COST_BPS], row[at.ERROR_BPS]
    if row[at.LAW] == at.LAW_NORMAL:
        edge = "no edge after costs: " if expected <= cost else ""
        said = (
            f"{edge}the expected return of {rounded(expected)} ± {rounded(error)} bps pays its cost of {rounded(cost)} "
            f"bps with a confidence of {confidence:.3f}, and {asked:.3f} is asked for"
        )
    else:
        said = f"its confidence of {confidence:.3f} is below the {asked:.3f} that is asked for"
    return Why(said, confidence, asked, "", AT_LEAST)


def _positions(decision: Decision) -> Why:
    row = decision.row
    count = row[at.OPEN_COUNT] - (1.0 if row[at.ADDS] else 0.0)
    said = (
        f"{count:.0f} {'other ' * bool(row[at.ADDS])}positions are open or on their way, and a new one needs fewer "
        f"than {row[at.USED_POSITIONS]:.0f}"
    )
    return Why(said, count, row[at.USED_POSITIONS] - 1.0, "positions", AT_MOST)


def _gate(decision: Decision) -> Why:
    because = policy_causes(decision)
    if because:
        return Why(f"the policy permits no new trades: {because}", *_NO_FIGURE)
    if decision.row[at.HELD_FIELDS]:
        return Why("the policy permits no new trades yet: its looser answer still waits", *_NO_FIGURE)
    return Why("the policy permits no new trades", *_NO_FIGURE)


def _symbol(decision: Decision) -> Why:
    """The causes that bar the symbol; the figure of a cause that is the only one."""
    row, profile, market = decision.row, decision.profile, at.POLICY_MARKET
    parts: list[str] = []
    figures: list[tuple[float, float, str, int]] = []
    if row[market + pol.IN_TAG] == TAG_BAD:
        parts.append("its record is tagged BAD")
    if row[at.RULES] and row[market + pol.IN_TRADES] >= MIN_TRADES:
        for column, limit, bound, unit, text in (
            (pol.IN_WINRATE, pol.PROFILE_MIN_WINRATE, AT_LEAST, "", "win rate {0:.2f}, at least {1:.2f} is asked for"),
            (pol.IN_AVG_R, pol.PROFILE_MIN_AVG_R, AT_LEAST, "R",
             "average result {0:+.2f} R, at least {1:+.2f} R is asked for"),
            (pol.IN_LOSSES, pol.PROFILE_BAD_STREAK, AT_MOST, "losses",
             "{0:.0f} losses in a row, fewer than {1:.0f} are asked for"),
        ):
            value, asked = row[market + column], profile[limit]
            if (value < asked) if bound == AT_LEAST else (value >= asked):
                parts.append(text.format(value, asked))
                figures.append((value, asked if bound == AT_LEAST else asked - 1.0, unit, bound))
    cost = row[market + pol.IN_COST_IN_R]
    if row[at.RULES] and cost > profile[pol.PROFILE_MAX_COST_R]:
        parts.append(f"a round trip costs {cost:.3f} R, {profile[pol.PROFILE_MAX_COST_R]:g} R is the most")
        figures.append((cost, profile[pol.PROFILE_MAX_COST_R], "R", AT_MOST))
    if not parts and row[at.HELD_FIELDS]:
        parts.append("its readmission still waits")
    figure = figures[0] if len(figures) == len(parts) == 1 else _NO_FIGURE
    return Why(f"the symbol is barred{': ' if parts else ''}{'; '.join(parts)}", *figure)


def _size(decision: Decision) -> Why:
    row = decision.row
    price, held = row[at.REQUEST_PRICE], (row[at.REQUEST_HELD_QTY], row[at.REQUEST_HELD_ENTRY])
    sign, stop_atr, atr = row[at.REQUEST_SIGN], row[at.REQUEST_STOP_ATR], row[at.REQUEST_ATR]
    equity, share = row[at.ACCOUNT + acc.EQUITY], row[at.REQUEST_RISK_PCT] / 100.0 * row[at.REQUEST_FACTOR]
    stop = price - sign * stop_atr * atr
    quantity = risk_quantity(equity, row[at.REQUEST_RISK_PCT], row[at.REQUEST_FACTOR], price, stop)
    if held[0] > 0.0:
        quantity = quantity_beside(sign, price, stop, equity * share, held)
    quantity = max(0.0, min(quantity, row[at.QUANTITY] - held[0]))
    least = max(row[at.SIZE_MIN_NOTIONAL], row[at.SIZE_MIN_QTY] * price)
    said = (
        f"the {rounded(quantity)} units ({rounded(quantity * price)} USDT) that {_bound_by(decision, quantity)} leaves "
        f"are below the exchange's least order of {rounded(least)} USDT (step {row[at.SIZE_STEP]:g} units)"
    )
    return Why(said, quantity * price, least, "USDT", AT_LEAST)


def _bound_by(decision: Decision, quantity: float) -> str:
    target = decision.row[at.QUANTITY] - decision.row[at.REQUEST_HELD_QTY]
    return "the model's volatility target" if target <= quantity * (1.0 + 1e-9) else "the permitted risk"


def _leverage(decision: Decision) -> Why:
    row = decision.row
    said = (
        f"no leverage from 1 to {row[at.REQUEST_LEVERAGE]:g} keeps liquidation {row[at.LIMITS + lim.LIQ_BUFFER_PCT]:g} "
        f"% of the price behind a stop {row[at.REQUEST_STOP_ATR]:g} ATRs away"
    )
    return Why(said, *_NO_FIGURE)


def _governor(decision: Decision) -> Why:
    level = int(decision.row[at.ACCOUNT + acc.GOVERNOR])
    return Why(f"the safety governor is at {GOVERNOR_CODES[level].value}: positions may only be reduced", *_NO_FIGURE)


def _pilot(decision: Decision) -> Why:
    row = decision.row
    if math.isnan(row[at.PILOT_OWN]):
        return Why("the pilot wants the other direction and is more confident", *_NO_FIGURE)
    said = (
        f"the pilot wants the other direction with a confidence of {row[at.PILOT_OWN]:.3f}, and the signal's over the "
        f"same time is {row[at.PILOT_OTHER]:.3f}"
    )
    return Why(said, row[at.PILOT_OTHER], row[at.PILOT_OWN], "", AT_LEAST)


_REASONS: Final[dict[str, Callable[[Decision], Why]]] = {
    "WARM_UP": _plain("its indicators are still warming up: the range of its bars is not known yet"),
    "ALREADY_HELD": _held,
    "CLOSES_FIRST": _plain("the position in the other direction closes first"),
    "ORDER_PENDING": _plain("an opening order for this symbol is on its way"),
    "TRADING_GATE": _gate, "SYMBOL_FILTER": _symbol, "LOW_CONFIDENCE": _confidence, "POSITION_LIMIT": _positions,
    "BELOW_MINIMUM_SIZE": _size, "NO_SAFE_LEVERAGE": _leverage, "GOVERNOR": _governor,
    "PILOT_PRIMARY": _plain("the pilot alone opens positions (mode PRIMARY)"), "PILOT_MORE_CONFIDENT": _pilot,
}
UNCHANGEABLE: Final = {  # reasons that no change of an input turns, and what ends them
    "WARM_UP": "Nothing that can be changed would turn it: it needs more bars of the symbol.",
    "ALREADY_HELD": "Nothing that can be changed would turn it: what the signal wants is held already.",
    "ORDER_PENDING": "Nothing that can be changed would turn it: the order on its way has to end first.",
}


def _by_guard(decision: Decision) -> Why:
    made = decision.made
    reason = REASON_CODES[made.guard]
    assert reason is not None, "the guard has refused"
    unit, bound = _GUARD_UNITS.get(reason.value, ("", AT_MOST))
    most = made.limit - 1.0 if reason.value == "ORDER_RATE" else made.limit  # one more order has to fit
    figures = (made.observed, most) if unit else (math.nan, math.nan)
    return Why(refusal_sentence(made.guard, made.observed, made.limit), *figures, unit, bound)


def readings(decision: Decision) -> tuple[GateReading, ...]:
    """What the six gates say of the decision."""
    return gate_readings(gate_inputs_of(decision.inputs.gates), gate_limits_of(decision.inputs.gate_limits))


def gate_reason(decision: Decision, gate: str) -> Why:
    """What *gate* says of the decision, with its figure and its limit."""
    reading = next(one for one in readings(decision) if one.gate == gate)
    if gate == "regime":
        return Why(gate_sentence(reading, decision), *_NO_FIGURE)
    unit, bound = _GATE_UNITS[gate]
    return Why(gate_sentence(reading, decision), reading.observed, reading.limit, unit, bound)


_GATE_UNITS: Final = {
    "spread": ("bps", AT_MOST), "volume": ("×", AT_LEAST), "cost": ("bps", AT_LEAST),
    "confidence": ("", AT_LEAST), "meta_label": ("", AT_LEAST),
}


def gate_sentence(reading: GateReading, decision: Decision) -> str:
    """What one gate says, with its figure and its limit."""
    observed, limit, row = rounded(reading.observed), rounded(reading.limit), decision.row
    if reading.gate == "regime":
        allowed = regime_names(int(row[at.LIMIT_REGIMES])) or "none"
        return f"the market is {regime_word(row)}, and the regime gate lets {allowed} through"
    if not reading.measured:
        return f"the {_GATE_TITLES[reading.gate]} is not measured"
    if reading.gate == "spread":
        return f"the spread is {observed} bps, at most {limit} bps pass"
    if reading.gate == "volume":
        return f"the last hour's volume is {observed} × its 24-hour mean, at least {limit} × is asked for"
    if reading.gate == "cost":
        return (
            f"the expected return is {observed} bps, and costs of {rounded(row[at.GATE_COST_BPS])} bps with their "
            f"margin ask for at least {limit} bps"
        )
    if reading.gate == "confidence":
        return f"the confidence is {observed}, at least {limit} is asked for"
    return f"the meta-label gives a win a probability of {observed}, at least {limit} is asked for"


_GATE_TITLES: Final = {
    "spread": "spread", "volume": "volume ratio", "cost": "expected return or its cost", "confidence": "confidence",
    "meta_label": "probability of a win (no meta-label model)",
}


def regime_word(row: list[float]) -> str:
    """The market regime of a decision's *row*."""
    return {
        at.REGIME_UP: "TRENDING UP", at.REGIME_DOWN: "TRENDING DOWN", at.REGIME_TRENDING: "TRENDING",
        at.REGIME_RANGING: "RANGING",
    }.get(int(row[at.REGIME]), "UNKNOWN")


def side_words(sign: float) -> str:
    """LONG or SHORT."""
    return "LONG" if sign > 0.0 else "SHORT"


# ---------------------------------------------------------------------- the policy's own reasons


def _trace(decision: Decision) -> tuple[Any, ...]:
    """The rules of the policy that fired for the decision's symbol; empty where the policy was taken as it was."""
    row, profile = decision.row, decision.profile
    if not row[at.RULES]:
        return ()
    m, a = at.POLICY_MARKET, at.POLICY_ACCOUNT
    market = (
        int(row[m + pol.IN_TREND]), int(row[m + pol.IN_DIRECTION]),
        vol_level(row[m + pol.IN_VOL_RATIO], profile[pol.PROFILE_HIGH_VOL], profile[pol.PROFILE_EXTREME_VOL]),
        row[m + pol.IN_AGE_BARS],
    )
    cost = (
        cost_level(row[m + pol.IN_SPREAD_BPS], profile[pol.PROFILE_HIGH_SPREAD_BPS]),
        cost_level(row[m + pol.IN_SLIPPAGE_BPS], profile[pol.PROFILE_HIGH_SLIPPAGE_BPS]),
        liquidity_level(row[m + pol.IN_VOLUME_RATIO]), math.nan,
    )
    account = AccountState(
        row[a + pol.ACC_DAILY_PNL_PCT], row[a + pol.ACC_DRAWDOWN_PCT], loss_latch(row, profile) >= 0.0,
        row[a + pol.ACC_STREAK], row[a + pol.ACC_BROKEN_STREAK], row[a + pol.ACC_WINS_SINCE],
        row[a + pol.ACC_OPEN_COUNT], row[a + pol.ACC_EXPOSURE_PCT],
        risk_is_stale(row[a + pol.ACC_RISK_AGE_S], row[a + pol.ACC_EQUITY], True),
        row[at.POLICY_MEMORY + pol.MEM_HALT] != 0.0, row[a + pol.ACC_QUALITY],
    )
    return candidate_of(market, cost, account, True, profile)[2]


def policy_causes(decision: Decision) -> str:
    """The rules that permit no new trades; empty where that cannot be said from the record."""
    return closed_because(_trace(decision))


def policy_rules(decision: Decision) -> tuple[str, ...]:
    """Each effect of each rule that fired, as "A3 HIGH volatility: min_confidence 0.55 → 0.65"."""
    trace = _trace(decision)
    return tuple(f"{one.rule} {one.why}: {one.field} {one.before} → {one.after}" for one in fired(trace))


# ---------------------------------------------------------------------- changes


def value_words(place: int, value: float, decision: Decision) -> str:
    """The *value* of an input in words, with its unit."""
    one = CHANGEABLE[place]
    if one.kind != k.WORD:
        return with_unit(value * 100.0, "% of the price") if one.key == "volatility" else with_unit(value, one.unit)
    if value in one.words:
        return one.words[value]
    if one.key == "regime":
        return regime_word(decision.row)
    if one.key == "symbol_tag" and value in range(len(TAG_CODES)):
        return str(TAG_CODES[int(value)].value)
    return _BEFORE_WORDS.get(one.key, "as it was")


_BEFORE_WORDS: Final = {
    "symbol_halted": "halted", "daily_loss_halt": "in force", "policy_loss_halt": "in force",
    "opposite_position": "open", "policy_halt": "in force", "policy_hold": "not over", "pilot": "refuses",
    "policy_gate": "refused", "policy_symbol": "barred", "gate_regimes": "narrower", "kill_switch": "on",
    "connection": "down",
}


def change_sentence(found: FoundChange, decision: Decision) -> str:
    """One change that turns the decision, as "expected cost: at most 106.3 bps instead of 126.6 bps (-16 %)"."""
    one, refused = CHANGEABLE[found.place], not decision.made.is_approved
    before = value_words(found.place, found.before, decision)
    if one.kind == k.WORD:
        others = [value_words(found.place, found.after, decision)]
        others += [value_words(found.place, value, decision) for value in found.others]
        return f"{one.title}: {' or '.join(others)} instead of {before}"
    rises = found.after > found.before or (math.isnan(found.before) and one.worse < 0.0)
    if refused:
        bound, after = "at least" if rises else "at most", found.after
    else:
        bound = "above" if rises else "below"
        after = found.edge if one.kind == k.NUMBER else found.after + (-1.0 if rises else 1.0)
    share = _share_words(found)
    return f"{one.title}: {bound} {value_words(found.place, after, decision)} instead of {before}{share}"


def _share_words(found: FoundChange) -> str:
    if not math.isfinite(found.before) or found.before == 0.0:
        return ""
    change = (found.after / found.before - 1.0) * 100.0
    return f" ({change:+.1f} %)" if abs(change) < 10.0 else f" ({change:+.0f} %)"
