"""The views of SQL: which kinds each one shows, and what each of its columns means.

The columns and their types come from :mod:`quantum_trader.journal.schema`; here are the names of the views and the
sentences for people.
"""

from __future__ import annotations

import difflib
import re
from typing import Final

import msgspec

from quantum_trader.domain.errors import InputError
from quantum_trader.journal.kinds import BY_NAME
from quantum_trader.journal.schema import EventColumn, shape_of


class View(msgspec.Struct, frozen=True):
    """One view: its name, the kinds whose events are its rows, and what they are."""

    name: str
    kinds: tuple[str, ...]
    description: str


class ColumnText(msgspec.Struct, frozen=True):
    """One column of a view for a person."""

    name: str
    type: str
    unit: str
    description: str


EVENT_COLUMNS: Final[dict[str, str]] = {  # of every view, in this order: the SQL type
    "ts": "TIMESTAMP", "kind": "VARCHAR", "symbol": "VARCHAR", "trace_id": "VARCHAR", "day": "DATE", "ts_ns": "BIGINT",
    "received_ns": "BIGINT", "producer": "VARCHAR", "seq": "BIGINT",
}

LISTED: Final = "`quantum-trader journal tables` lists them"

_VIEWS: Final = (
    View("runs", ("run.started", "run.ended"), "Starts and ends of runs, with the books at the end."),
    View("sessions", ("session.continued",), "A process has taken over a live session."),
    View("bars", ("market.bar",), "Completed bars of one moment, as they came."),
    View("refused_bars", ("market.refused",), "Bars that are no bars."),
    View("holes", ("market.hole",), "Symbols whose data ends for more than a day."),
    View("regimes", ("regime.changed",), "Changes of a symbol's market state."),
    View("instruments", ("instrument.changed",), "Filters, fees and leverage tiers, when they change."),
    View("market_context", ("market",), "Market measures at one moment."),
    View("signals", ("signal.generated", "signal"), "Direction forecasts of the models."),
    View("decisions", ("signal.decided", "decision"), "Signals allowed or blocked, with the reason."),
    View("gates", ("gate",), "Results of single gates."),
    View("signal_gates", ("signal.judged",), "What the six gates say of each signal, and its features at entry."),
    View("signal_inputs", ("signal.inputs",), "Everything that the decision on each signal was made of."),
    View("model_decisions", ("models.decided",), "What the models say at each decision, and what became of it."),
    View("gate_changes", ("gates.changed",), "The settings of the gates in force, from each change on."),
    View("verdicts", ("policy.verdict",), "What the fully enforced policy says of a signal."),
    View("policies", ("policy.updated", "policy"), "Policies in force, from each change on."),
    View("rollouts", ("rollout.changed",), "What of the policy is enforced, from each change on."),
    View("intents", ("trade.intent", "intent.received", "intent"), "Proposed position changes, ours and from outside."),
    View("refusals", ("risk.denied",), "Intents that the risk guard refused."),
    View("failures", ("trade.failed",), "Intents from outside that led to no position, with the reason."),
    View("orders", ("order.submitted", "order.cancel", "order.updated", "order"),
         "Orders sent, cancelled and reported by the venue; kind tells which."),
    View("fills", ("order.filled", "fill.known", "fill"), "Executions of our orders."),
    View("executions", ("trade.executed",), "Executions announced to other programs."),
    View("trades", ("trade.closed", "trade"), "Round trips that have ended."),
    View("shadows", ("shadow.closed",), "Shadow trades that have ended, of traded and of blocked signals."),
    View("funding", ("funding.paid",), "Funding charged on open positions."),
    View("adoptions", ("position.adopted",), "Positions that were taken over without an order of this program."),
    View("others", ("account.by_others",), "What people or other programs did on the account."),
    View("differences", ("reconciliation.difference",), "Differences between venue and books."),
    View("cash_changes", ("cash.adjusted",), "The books' money was set to the wallet's."),
    View("halts", ("halt.raised", "halt.cleared"), "Halts raised and cleared; kind tells which."),
    View("health", ("health.changed", "health"), "Health of the system and of its parts."),
    View("requests", ("operator.requested",), "Requests of operators."),
    View("input_failures", ("input.failed",), "Inputs on which the engine failed."),
    View("pilot_decisions", ("pilot.decided",), "Decisions of the pilot, one row a moment with one entry a symbol."),
    View("pilot_trades", ("pilot.closed",), "Shadow trades of the pilot that have ended."),
    View("pilot_days", ("pilot.day",), "Days of the shadow books of pilot, signals and hybrid."),
    View("pilot_changes", ("pilot.changed",), "Settings of the pilot in force, from each change on."),
    View("pilot_failures", ("pilot.failed",), "Errors of the pilot, and decisions that came too late."),
    View("models_in_force", ("model.in_force",), "Models of pilot and signals in force, from each change on."),
    View("model_refusals", ("model.refused",), "Models that should have taken over and were refused, with the reason."),
    View("scores", ("score.received",), "Scores from outside that a model has taken."),
    View("score_refusals", ("score.refused",), "Scores from outside that no model took, with the reason."),
    View("trainings", ("training",), "Training sessions that have ended."),
    View("pilot_trainings", ("pilot.training",), "How far trainings of the pilot were, every few seconds."),
    View("models", ("model",), "Models registered, promoted, exported or rolled back."),
)
SUMMARIES: Final[dict[str, tuple[str, tuple[str, ...], str]]] = {  # name: SELECT, the views it reads, description
    "events_by_day": ("select day, kind, count(*) as events from events group by all", (), "Events by day and kind."),
    "trades_by_day": (
        "select day, symbol, count(*) as trades, sum(pnl) as pnl, count(*) filter (pnl > 0) as wins "
        "from trades group by all", ("trades",), "Trades, wins and profit (USDT) by day and symbol.",
    ),
    "refusals_by_reason": (
        "select day, kind, reason, count(*) as refusals from (select day, kind, reason from refusals union all "
        "select day, kind, reason from decisions where decision = 'BLOCKED') group by all",
        ("refusals", "decisions"), "Blocked signals and refused intents by day and reason.",
    ),
}


def views() -> tuple[View, ...]:
    """Every view, also of kinds that this process has registered beside the built-in ones."""
    shown = {kind for view in _VIEWS for kind in view.kinds}
    others = [
        View(re.sub(r"\W", "_", name), (name,), (kind.type.__doc__ or "").partition("\n")[0])
        for name, kind in sorted(BY_NAME.items()) if kind.type is not None and name not in shown
    ]
    taken = {view.name for view in _VIEWS} | SUMMARIES.keys() | {"events"}
    return (*_VIEWS, *(view for view in others if view.name not in taken and shape_of(view.kinds[0]) is not None))


def event_view(name: str) -> View:
    """The view with that name, or the one that shows the kind *name*; InputError when there is none."""
    for view in views():
        if name == view.name or name in view.kinds:
            return view
    near = nearest_view(name)
    raise InputError(
        f"kind = {name!r}: there is no such view or kind{f'; did you mean {near}?' if near else ';'} {LISTED}: "
        + ", ".join(view.name for view in views())
    )


def nearest_view(name: str) -> str:
    """The view whose name is most like *name*, or that shows the kind *name*; empty where none is near."""
    for view in views():
        if name in view.kinds:
            return view.name
    near = difflib.get_close_matches(name.lower(), ["events", *(view.name for view in views()), *SUMMARIES], n=1)
    return near[0] if near else ""


def view_columns(view: View) -> dict[str, str]:
    """The SQL types of a view's own columns, by name; text where two of its kinds differ in the type."""
    found: dict[str, str] = {}
    for kind in view.kinds:
        shape = shape_of(kind)
        for column in shape.columns if shape is not None else ():
            if column.name not in EVENT_COLUMNS:
                same = found.setdefault(column.name, column.type) == column.type
                found[column.name] = column.type if same else "VARCHAR"
    return found


def described(view: View) -> list[ColumnText]:
    """Every column of *view*, with its unit and what it means."""
    return [
        ColumnText(name, kind, unit_of(name), DESCRIPTIONS.get(f"{view.name}.{name}") or DESCRIPTIONS.get(name, ""))
        for name, kind in {**EVENT_COLUMNS, **view_columns(view)}.items()
    ]


def unit_of(name: str) -> str:
    """The unit that a column's name or its meaning states; "" for none."""
    return next((unit for ending, unit in _ENDINGS.items() if name.endswith(ending)), _UNITS.get(name, ""))


# ---------------------------------------------------------------------- SQL


def quoted(name: str) -> str:
    """*name* as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def select_of(view: View, kind: str, source: str, *, typed: bool) -> str:
    """A SELECT of *view*'s columns over the events of *kind* in *source*, which has typed columns or payloads."""
    shape = shape_of(kind)
    assert shape is not None, f"{kind}: views are of kinds with a schema"
    own = {column.name: column for column in shape.columns}
    base = ", ".join(name if name != "kind" else f"'{kind}' as kind" for name in EVENT_COLUMNS)
    parts = []
    for name, wanted in view_columns(view).items():
        column = own.get(name)
        value = "null" if column is None else quoted(name) if typed else _extracted(column)
        parts.append(f"cast({value} as {wanted}) as {quoted(name)}")
    structure = "" if typed else f", {_decoded(list(shape.columns))} as fields"
    return f"select {', '.join([base, *parts])} from (select *{structure} from {source})"


def empty_select(view: View) -> str:
    """A SELECT of *view*'s columns without a row."""
    columns = {**EVENT_COLUMNS, **view_columns(view)}
    nothing = ", ".join(f"cast(null as {kind}) as {quoted(name)}" for name, kind in columns.items())
    return f"select {nothing} where false"


def _extracted(column: EventColumn) -> str:
    return "fields." + ".".join(map(quoted, column.path))


def _decoded(columns: list[EventColumn]) -> str:
    """The expression that decodes a payload into a struct of the columns' paths."""
    tree: dict[str, object] = {}
    for column in columns:
        place = tree
        for name in column.path[:-1]:
            place = place.setdefault(name, {})  # type: ignore[assignment]
        place[column.path[-1]] = _structure(column.type)
    text = msgspec.json.encode(tree).decode().replace("'", "''")
    return f"from_json(case when json_valid(payload) then payload end, '{text}')"


def _structure(kind: str) -> object:
    return [_structure(kind.removesuffix("[]"))] if kind.endswith("[]") else kind


# ---------------------------------------------------------------------- words

_ENDINGS: Final = {
    "_ns": "ns since 1970 (UTC)", "_bps": "basis points", "_pct": "percent", "_r": "multiples of the risk taken",
    "_hours": "hours", "_atr": "multiples of the ATR",
}
_PRICE: Final = "USDT per unit"
_UNITS: Final = {
    "interval_ns": "ns", "ts": "UTC", "day": "UTC", "r": _ENDINGS["_r"], "r_multiple": _ENDINGS["_r"],
    "lag_s": "seconds", "duration_s": "seconds",
    **dict.fromkeys(("eta_s", "elapsed_s"), "seconds"),
    "entropy": "nats",
    **dict.fromkeys(
        ("qty", "filled_qty", "min_qty", "step_size", "quantity", "target_quantity"), "units of the base coin",
    ),
    **dict.fromkeys(
        ("price", "entry_price", "exit_price", "stop_price", "target_price", "reference_price", "mark_price",
         "tick_size", "atr_1h", "atr"), _PRICE,
    ),
    **dict.fromkeys(
        ("pnl", "fee", "fees", "funding", "amount", "risk_amount", "equity", "cash", "wallet", "min_notional"), "USDT",
    ),
    **dict.fromkeys(
        ("clipped", "cost_share", "confidence", "consensus", "min_confidence", "min_confidence_used", "queue_fill",
         "rate", "funding_rate"),
        "share, 1 = 100 %",
    ),
}
DESCRIPTIONS: Final[dict[str, str]] = {  # "view.column" before "column"
    "ts": "When it happened.", "kind": "The kind of event: a run's topic or a typed kind.",
    "symbol": "The symbol; empty for none.", "trace_id": "The decision it belongs to; empty for none.",
    "day": "The day it happened; of older parts the day it was received.", "ts_ns": "When it happened.",
    "received_ns": "When the journal accepted it.", "producer": "The logger that wrote it.",
    "seq": "The event's number of its producer, from 1 without a gap.",
    "event_id": "The record's own id; NULL for events that were logged by a program.",
    "stated_ns": "The time that the event itself states: of a report the venue's.",
    "stated_received_ns": "When the bars were received.",
    "action": "LONG, SHORT or what was asked for.", "requests.action": "halt, resume or flatten.",
    "actor": "Who asked for it.", "after": "The state after it.", "alias": "The model's name in use, as champion.",
    "allow_new_trades": "Whether new positions may be opened.",
    "allowed_symbols": "The only symbols that may be traded; empty: all.",
    "amount": "Funding; positive is received.", "atr_1h": "Average true range of 14 one-hour bars.",
    "bars_held": "How many bars the position was held.", "before": "The state before it.",
    "cash_changes.before": "The books' money before, in USDT.", "books": "The figure in the books.",
    "cash": "Money in the books without open profit.", "change": "What happened to the model.",
    "client_order_id": "Our id of the order.",
    "clipped": "Steps whose ratio of probabilities was clipped.",
    "confidence": "Calibrated probability that the direction is right.",
    "consensus_bonus": "What a consensus of pilot and signal has added to the confidence; NULL without one.",
    "connected": "Whether the venue is connected.", "consensus": "Share of the models that agree.",
    "cost_share": "Share of the costs in force, where they rise over the training.",
    "created_ns": "When it was made.", "data_hash": "Hash of the training data.", "decision": "ALLOWED or BLOCKED.",
    "device": "What was computed on.",
    "direction": "Where the trend goes.", "disallowed_symbols": "Symbols that may not be traded, with the reason.",
    "divergence": "Kullback-Leibler divergence from the policy that collected the steps.",
    "drops": "Events dropped.", "duration_s": "How long it took.",
    "elapsed_s": "Time trained so far.", "entropy": "Entropy of the policy, mean of the seeds.",
    "entry_mode": "How entries are taken.",
    "entry_ns": "When the position was opened.", "entry_price": "Mean price of the entry.",
    "equity": "Money and open profit at the end.", "eta_s": "Time until the training is done; NULL until it is known.",
    "error": "What failed.", "errors": "Errors so far.",
    "evaluated_ns": "When the policy was evaluated.", "exit": "What ended it: target, stop or timeout.",
    "exit_mode": "How exits are managed.",
    "trades.exit_mode": "How its exit was managed: TREND_FOLLOW, DEFENSIVE_TRAIL or FAST_TP; SCORE: by the score.",
    "exit_ns": "When the position was closed.",
    "exit_path": "How the halt ends.",
    "exit_price": "Mean price of the exit.",
    "exit_reason": "What closed it, as STOP or SCORE (the score ended or flipped).",
    "expires_ns": "When the intent expires.",
    "explained": "Whether the venue reported a transfer.", "facts": "What the event says beyond these columns.",
    "feature_times": "The time of each feature it used (ns since 1970).",
    "features_ts_ns": "Time of the newest bar that any feature used.", "fee": "The fee; positive is paid.",
    "fee_asset": "The coin that paid the fee; NULL for USDT.", "fees": "Fees of entry and exit.",
    "fill_id": "The execution's id.", "first_seed": "The first seed of the group.",
    "filled_qty": "What was executed of the order so far.",
    "funding": "Funding over the trade; positive is received.", "funding_interval_hours": "Hours between two fundings.",
    "funding_rate": "Funding rate for 8 hours.", "gate": "The gate's name.",
    "group_number": "The group of seeds that is in training, from 1.", "groups": "How many groups there are.",
    "halt_kind": "What kind of halt it is.",
    "halted": "Whether bad bars keep the symbol from opening.", "in_force": "What is enforced from now on.",
    "input": "The input.", "inputs": "What the gate looked at.", "intent_id": "The intent's id.",
    "intent_reason": "Why the position change was proposed.", "interval_ns": "Length of a bar.",
    "lag_s": "Age of the oldest event that is not durable.", "level": "The level: of a halt or of health.",
    "leverage": "Leverage to be set.", "life": "The process that goes on.",
    "limit": "The limit it was compared with; NULL where none was.",
    "liquidation": "Whether the venue liquidated the position.", "liquidity": "maker or taker.",
    "mae_r": "Worst point of the trade.", "maker_fee_bps": "Fee of a resting order.",
    "mark_price": "The venue's mark price.", "max_open_positions": "How many positions may be open.",
    "metrics": "The measures of the model.", "mfe_r": "Best point of the trade.",
    "min_confidence": "The least confidence that the policy asks for.",
    "min_confidence_used": "The least confidence in force.", "min_notional": "Least value of an order.",
    "min_qty": "Least quantity of an order.", "mode": "scalp, runner or trend.", "model": "The model that decided.",
    "model_id": "The model's id.",
    "trades.model_id": "Id of the model that opened it, of several joined by +; empty: not by a model with an id.",
    "observe": "Whether the policy is only observed; NULL where not stated.",
    "observed": "The figure that was compared; NULL where it was not measured.",
    "ohlcv": "Open, high, low, close and volume; of several symbols one list each.",
    "open_positions": "How many positions are open.", "order_id": "The order's id; empty where none shows it.",
    "owner": "Who raised the halt.", "parameters": "The parameters of the training.", "part": "The part of the system.",
    "passed": "Whether the gate let the signal through.", "pnl": "Profit after fees and funding.",
    "policy_hash": "Hash of the policy that was in force.", "policy_loss": "Loss of the policy, mean of the seeds.",
    "price": "The price; 0 for none.",
    "qty": "The quantity.", "adoptions.qty": "The position; negative is short.",
    "executions.qty": "The quantity; of an adopted position negative is short.",
    "funding.qty": "The position; negative is short.", "queue_fill": "How full the journal's queue is.",
    "r": "Result of the shadow trade.", "r_multiple": "Result of the trade; NULL without a stop.",
    "rate": "The funding rate of the interval.", "reason": "Why; empty where nothing was to be said.",
    "reasons": "The switches that would block.",
    "reward_low": "Mean reward of a step: lower quartile of the seeds.",
    "reward_median": "Mean reward of a step: median of the seeds.",
    "reward_high": "Mean reward of a step: upper quartile of the seeds.",
    "rewards": "Mean reward of a step, of each seed.", "seeds": "Seeds of the group.",
    "reconciliation_kind": "What differs.",
    "reduce_only": "Whether it can only reduce a position.", "reference_price": "The price it was decided at.",
    "regime": "The market regime.", "regime_entry": "Market state at entry.", "regime_exit": "Market state at exit.",
    "removed": "The share of the trade that each switch removes.", "risk_amount": "Money between entry and first stop.",
    "risk_pct": "Risk of one trade in percent of equity.", "risk_pct_used": "Risk of one trade in force.",
    "risk_profile": "NORMAL, REDUCED or NO_NEW_TRADES.", "rows": "Rows of training data.",
    "rules": "The rules that fired.", "seed": "The seed of the training.", "sentence": "The refusal for a person.",
    "session_id": "The training session's id.", "side": "LONG, SHORT; of orders and fills BUY or SELL.",
    "signal_id": "The signal's id.", "slippage_bps": "Against the reference price; positive is worse.",
    "source": "Who made the intent.", "spread_bps": "Ask over bid.", "status": "The order's status.",
    "step_size": "Step of quantities.", "steps": "Steps of each seed so far.", "steps_per_s": "Steps of all seeds.",
    "stop_distance_atr": "Distance of the first stop.",
    "stop_distance_pct": "Distance of the first stop.", "stop_price": "The stop; 0 for none.",
    "symbols": "The symbols.", "taker_fee_bps": "Fee of an order that executes at once.",
    "target_distance_atr": "Distance of the target.", "target_price": "The target; 0 for none.",
    "terms": "Mean of each term of the reward of a step.",
    "throughput": "Events a second.", "tick_size": "Step of prices.", "tiers": "The leverage table.",
    "total_exposure_limit_pct": "Most exposure of all positions together.", "trade_id": "The trade's id.",
    "traded": "Whether the signal was traded.", "trades": "How many trades were closed.", "trend": "The trend.",
    "type": "The order's type.", "update": "Updates of the group so far.", "updates": "Updates that are planned.",
    "until_ns": "When the lock that was asked for ends; NULL for another request.",
    "value_loss": "Loss of the value, mean of the seeds.", "venue": "The figure at the venue.",
    "venue_order_id": "The venue's id of the order.",
    "verdict": "ALLOW or BLOCK.", "vol_level": "The volatility level.",
    "vol_ratio": "Volatility against its average.", "volatility": "ATR over price.",
    "volume_ratio": "Volume against its average.", "votes": "The probability of up, by model.",
    "wallet": "The wallet's money.", "what": "What was done.", "why": "Why.",
    "ids": "Ids of the models in force, each as the registry or its own content names it.",
    "role": "pilot, or signals: what the models do.",
    "models_in_force.before": "Ids of the models that were in force until now; empty at the start of a run.",
    "models_in_force.alias": "What the run follows, as registry:champion; empty where it follows nothing.",
    "models_in_force.version": "The registry's version with which the alias came to this model; 0: not by a registry.",
    "model_refusals.alias": "What the run follows, as registry:champion.",
    "model_refusals.in_force": "Ids of the models that stay.",
    "model_refusals.model": "Id of the model that was refused; empty where none could be read.",
    "model_refusals.version": "The registry's version.",
    "names": "The models by name.",
    "account": "The guard's row of the account (risk.account_column).",
    "adds": "Whether the signal wants more of a position that is held.",
    "atr": "The range that exits are measured in.",
    "cost_bps": "Fees, spread and slippage of both sides.",
    "decisions.shadow_hours": "Longest time of the signal's shadow trade.",
    "enforced": "The gates that are enforced from now on.",
    "features": "The signal's features at entry (models.entry_features).",
    "features_hash": "Hash of the features' names in their order.",
    "fixed": "The fixed settings (policy.enforcement.Settings).",
    "funding_bps": "Funding; positive is received.",
    "gate_limits": "The gates' limits (models.gates.GateLimits).",
    "gates_enforced": "Bits of the gates that were enforced.",
    "is_kept": "Whether a signal does not reverse the position: another source opened it.",
    "is_pilots": "Whether the pilot holds the position, or its order is on its way.",
    "leaves": "The side whose score it ends; NULL: whichever.",
    "outside_scores": "Ids of the scores from outside that it was made of; NULL: no model takes any.",
    "score": "Above 0 long, below 0 short, 0 leaves; any scale.",
    "score_id": "The score's id, which is its trace.",
    "scores.source": "Who sent it.", "score_refusals.source": "Who sent it.",
    "scores.created_ns": "When it was sent; its age counts from here.",
    "scores.expires_ns": "From then on it is no view; 0: its age alone decides.",
    "lacks": "What each model lacks before it gives scores: bars it has and needs.",
    "limits": "The guard's limits (risk.limit_column).",
    "market": "The guard's row of the market (risk.guard.market_row).",
    "meta_label": "Id of the meta-label model; empty for none.",
    "model_decisions.confidences": "Confidence of each symbol's forecast, 0 to 1; NULL: no view.",
    "model_decisions.cost_bps": "Expected cost a day, for each symbol.",
    "model_decisions.error_bps": "Standard error of the expected return, for each symbol.",
    "model_decisions.expected_bps": "Expected return a day before costs, in the target's direction, for each symbol.",
    "model_decisions.reasons": "Why a target is still refused, for each symbol; empty where none is.",
    "model_decisions.scores": "Score in its root-mean-squares, for each symbol; NULL: no view.",
    "model_decisions.signals": "Id of the signal that came of it, for each symbol; empty for none.",
    "model_decisions.outside_scores": "Ids of the scores from outside that were used, for each symbol, joined by +.",
    "model_decisions.states": "What became of it, for each symbol: SIGNAL, HELD, SMALL, REFUSED, WARM_UP ...",
    "net_bps": "Result of the notional at entry, after costs and funding.",
    "open_count": "Positions, and opening orders on their way.",
    "payoff": "Mean win over mean loss that the meta-label gate counts with.",
    "pending": "1 where an opening order of the symbol is on its way.",
    "pilot_road": "Code of the pilot's refusal; 0: it lets the signal through.",
    "policy": "What the policy says (policy.enforcement.Settings).",
    "policy_account": "The account as the policy takes it (policy.layout ACC_).",
    "policy_market": "The symbol's market as the policy takes it (policy.layout IN_).",
    "policy_memory": "What the policy remembers of the account (policy.layout MEM_).",
    "policy_overall": "The market as a whole as the policy takes it (policy.layout IN_).",
    "position_sign": "Direction of the symbol's position; 0: none.",
    "quantity": "What the target wants held in all; NULL where the risk alone decides.",
    "refused": "The gates that do not pass.",
    "request": "What the entry asks of sizing (engine.entry.EntryRequest).",
    "sign": "+1 for a long signal, -1 for a short one.",
    "signal_gates.gates": "Figure, limit and verdict of each gate.",
    "signal_inputs.gates": "What the gates measure (models.gates.GateInputs).",
    "signal_inputs.pilot": "The pilot's confidence, the signal's over its horizon, and the least of its own.",
    "sizes": "The exchange's step, least quantity and least notional.",
    "switches": "Which parts of the policy are enforced, 1 each.",
    "symbol_factor": "Share of the permitted risk that the symbol's record leaves.",
    "target_quantity": "The quantity at the full permitted risk; NULL where the risk alone decides.",
    "used": "What trading uses (policy.enforcement.Settings).",
    "weight": "What its result counts for, by risk.",
    "pilot_changes.before": "The settings before it; NULL at the start of a run.",
    "pilot_changes.min_confidence": "Decisions of a lower confidence are not traded, from this change on.",
    "pilot_changes.mode": "OFF, SHADOW, PRIMARY or HYBRID, from this change on.",
    "pilot_days.trades": "Shadow trades of the pilot that ended on this day.",
    "pilot_decisions.actions": "FLAT, LONG_SMALL, LONG_LARGE, SHORT_SMALL, SHORT_LARGE or HOLD, for each symbol.",
    "pilot_decisions.intents": "The intent's id for each symbol; empty for none.",
    "pilot_decisions.mode": "The pilot's mode: SHADOW, PRIMARY or HYBRID.",
    "pilot_failures.what": "RAISED: an error; SLOW: the decision came too late.",
    "pilot_days.model": "Hash of the pilot's card.",
    "pilot_trades.exit": "What ended it: STOP, FLAT, FLIP, LIQUIDATION, HOLE (no bars for a day) or REPLACED (model).",
    "pilot_trades.model": "Hash of the pilot's card.",
    "closed_ns": "The close of the bar that was observed.",
    "confidences": "Calibrated confidence of each decision, 0 to 1.",
    "decisions": "Decisions of the pilot on this day, one a symbol and moment.",
    "enabled": "Whether the pilot may do anything, from this change on.",
    "held": "Share of the equity held before the decision, for each symbol; negative is short.",
    "hours": "Hours of market that were observed on this day.",
    "hybrid": "Net result of the day as a share of the first equity, if pilot and signals were combined.",
    "max_trades_per_hour": "Most intents of the pilot in an hour, from this change on.",
    "outcomes": "What became of each decision: SENT, SHADOW, LOW_CONFIDENCE, RATE_LIMIT ...",
    "pilot": "Net result of the day as a share of the first equity, if the pilot alone traded.",
    "probabilities": "Probability that the network gives the chosen action, for each symbol.",
    "result_share": "Net result as a share of the shadow book's equity.",
    "share": "Largest share of the equity that it held, as notional.",
    "signals": "Net result of the day as a share of the first equity, if the signals alone traded.",
    "stated_day": "The day that is summed up, YYYY-MM-DD.",
    "version": "Number of the change in the policy store.",
    "wanted": "Share of the equity wanted after the decision, for each symbol; negative is short.",
}
