"""Metrics of a journal computed in plain Python from its lines: no view, no relation, no SQL but that reads lines."""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from quantum_trader.app.report.data import drawdowns
from quantum_trader.journal.lake import Lake
from quantum_trader.lab.learning.probability_scores import (
    auc_of,
    expected_calibration_error,
    log_losses,
    squared_errors,
)
from quantum_trader.lab.sharpe import DAYS_PER_YEAR, moments

Row = dict[str, Any]
DAY_NS = 86_400_000_000_000
_LINES = "select producer, seq, kind, ts_ns, received_ns, trace_id, symbol, payload from events order by producer, seq"


class Line:
    """One event: its own columns, and the fields of its record or of itself."""

    def __init__(self, row: Row) -> None:
        found = json.loads(row["payload"])
        self.kind, self.ts_ns, self.received_ns = row["kind"], row["ts_ns"], row["received_ns"]
        self.trace = (row["producer"], row["trace_id"]) if row["trace_id"] else None
        self.producer, self.symbol = row["producer"], row["symbol"]
        self.data: Row = found.get("data", found)

    def __getitem__(self, key: str) -> Any:
        value = self.data.get(key)
        return None if isinstance(value, float) and not math.isfinite(value) else value

    @property
    def key(self) -> tuple[str, Any]:
        """Producer and id of the signal."""
        return self.producer, self["signal_id"]

    def row(self, **more: Any) -> Row:
        """A row of the day of the event."""
        return {"day": day_of(self.ts_ns), "ts_ns": self.ts_ns, "symbol": self.symbol, **more}


def day_of(ts_ns: int) -> str:
    """The UTC day of a time."""
    return datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC).date().isoformat()


def rows_by_relation(state: Path) -> dict[str, list[Row]]:
    """The rows of every relation, by its name."""
    lines = [Line(row) for row in Lake(state / "journal").sql(_LINES).to_pylist()]
    by_kind: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        by_kind[line.kind].append(line)
    found = {**_of_signals(by_kind), **_of_trades(by_kind, lines), **_of_orders(by_kind), **_of_models(by_kind, lines)}
    found["policy_time"] = _stretches(by_kind["policy.updated"], lines, lambda one: one.producer, lambda one: {
        "allowed": one["allow_new_trades"], "profile": one["risk_profile"], "confidence": one["min_confidence"],
        "risk": one["max_risk_pct"],
    })
    found["regime_time"] = _stretches(
        by_kind["regime.changed"], lines, lambda one: (one.producer, one.symbol),
        lambda one: {"symbol": one.symbol, "regime": one["after"]},
    )
    found["policy_changes"] = [one.row() for one in by_kind["policy.updated"] + by_kind["policy"]]
    found["regimes"] = [one.row(regime=one["after"], vol=one["vol_ratio"]) for one in by_kind["regime.changed"]]
    found["market"] = [one.row(**one.data) for one in by_kind["market"]]
    found["ends"] = [one.row(equity=one["equity"]) for one in by_kind["run.ended"]]
    found["events"] = [one.row() for one in lines]
    return found | _of_system(by_kind)


def _first(lines: Iterable[Line], key: Callable[[Line], Any], value: str) -> dict[Any, Any]:
    """The least *value* of the lines of each key."""
    found: dict[Any, list[Any]] = defaultdict(list)
    for line in lines:
        if key(line) is not None and line[value]:
            found[key(line)].append(line[value])
    return {one: min(values) for one, values in found.items()}


def _of_signals(by_kind: dict[str, list[Line]]) -> dict[str, list[Row]]:
    judged = {one.key: one for one in by_kind["signal.judged"]}
    decided = {one.key: one for one in by_kind["signal.decided"] + by_kind["decision"]}
    verdicts = {one.key: one for one in by_kind["policy.verdict"]}
    given = {one.key: one for one in by_kind["signal.generated"] + by_kind["signal"]}
    signals, gates, shadows, blocks = [], [], [], []
    for key, one in given.items():
        gate, decision, verdict = judged.get(key), decided.get(key), verdicts.get(key)
        signals.append(one.row(
            mode=gate and gate["mode"], regime=gate and gate["regime"], model=one["model"],
            confidence=one["confidence"], consensus=one["consensus"], decision=decision and decision["decision"],
            verdict=verdict and verdict["verdict"], refusing=len(gate["refused"]) if gate else None,
        ))
    for one in judged.values():
        gates += [one.row(mode=one["mode"], regime=one["regime"], **gate) for gate in one["gates"]]
    for one in by_kind["gate"]:
        gates.append(one.row(mode=one["mode"], regime=None, gate=one["gate"], observed=one["observed"],
                             measured=one["observed"] is not None, passed=one["passed"], enforced=True))
    for one in by_kind["shadow.closed"]:
        gate, signal, verdict = judged.get(one.key), given.get(one.key), verdicts.get(one.key)
        filled = one["entry_price"] > 0
        row = one.row(
            mode=gate and gate["mode"], regime=gate and gate["regime"], model=signal and signal["model"],
            confidence=signal and signal["confidence"], verdict=verdict and verdict["verdict"], traded=one["traded"],
            r=one["r"], bps=one["net_bps"] if filled else None, cost=one["cost_bps"] if filled else None,
            hours=(one.ts_ns - one["entry_ns"]) / 3.6e12 if one["entry_ns"] else None,
        )
        shadows.append(row)
        blocks += [{**row, "gate": each["gate"]} for each in (gate["gates"] if gate else ())
                   if each["measured"] and not each["passed"]]
    return {"signals": signals, "gates": gates, "shadows": shadows, "gate_blocks": blocks}


def _of_trades(by_kind: dict[str, list[Line]], lines: list[Line]) -> dict[str, list[Row]]:
    modes = _first(by_kind["signal.judged"], lambda one: one.trace, "mode")
    asked = by_kind["trade.intent"] + by_kind["intent.received"] + by_kind["intent"]
    sources = _first((one for one in asked if not one["reduce_only"]), lambda one: one.trace, "source")
    trades = []
    for one in by_kind["trade.closed"] + by_kind["trade"]:
        times = one["entry_ns"], one["exit_ns"]
        trades.append(one.row(
            mode=modes.get(one.trace), regime=one["regime_entry"], model=one["model"], source=sources.get(one.trace),
            pnl=one["pnl"], fees=one["fees"], funding=one["funding"], r=one["r_multiple"], mfe=one["mfe_r"],
            mae=one["mae_r"], exit=one["exit_reason"], hours=(times[1] - times[0]) / 3.6e12 if times[0] else None,
        ))
    return {"trades": trades, "returns": _returns(trades, by_kind, lines)}


def _returns(trades: list[Row], by_kind: dict[str, list[Line]], lines: list[Line]) -> list[Row]:
    """One row a trade with the equity before its day, and one without result a day and group of trades."""
    starts = [one["effective"]["account"]["start_equity"] for one in by_kind["run.started"] if one["effective"]]
    if not lines or not starts:
        return []
    names = ("symbol", "mode", "regime", "model", "source")
    first, last = (date.fromisoformat(day_of(pick(one.ts_ns for one in lines))) for pick in (min, max))
    groups = {tuple(one[name] for name in names) for one in trades}
    found, equity = [], min(starts)
    for number in range((last - first).days + 1):
        day = (first + timedelta(number)).isoformat()
        of_day = [one for one in trades if one["day"] == day]
        none = [dict(zip(names, group, strict=True)) | {"day": day, "pnl": 0.0} for group in groups]
        found += [{**one, "before": equity, "start": min(starts)} for one in (*of_day, *none)]
        equity += math.fsum(one["pnl"] for one in of_day)
    return found


def _of_orders(by_kind: dict[str, list[Line]]) -> dict[str, list[Row]]:
    modes = _first(by_kind["signal.judged"], lambda one: one.trace, "mode")
    asked = by_kind["trade.intent"] + by_kind["intent.received"] + by_kind["intent"]
    by_intent = _first(asked, lambda one: (one.producer, one["intent_id"]), "source")
    sent = {(one.producer, one["client_order_id"]): one for one in by_kind["order.submitted"]}
    given = {
        (one.trace, day_of(one.ts_ns)): one for one in by_kind["signal.generated"] + by_kind["signal"] if one.trace
    }
    fills, orders = [], []
    for one in by_kind["order.filled"] + by_kind["fill"]:
        order = sent.get((one.producer, one["client_order_id"]))
        share, notional = one["slippage_bps"], one["qty"] * one["price"]
        sign = 1.0 if one["side"] == "BUY" else -1.0
        fills.append(one.row(
            mode=modes.get(order.trace) if order else None, notional=notional, fee=one["fee"], bps=share,
            source=by_intent.get((one.producer, order["intent_id"])) if order else None, liquidity=one["liquidity"],
            slippage=None if share is None else notional * share * 1e-4 / (1.0 + sign * share * 1e-4),
            wait=(one.ts_ns - order.ts_ns) / 1e9 if order else None,
        ))
    for kind in ("order.submitted", "order.cancel", "order.updated", "order"):
        for one in by_kind[kind]:
            signal = given.pop((one.trace, day_of(one.ts_ns)), None) if kind == "order.submitted" else None
            orders.append(one.row(
                kind=kind, status=one["status"],
                latency=(one.received_ns - signal.received_ns) / 1e9 if signal else None,
            ))
    proposals = [one.row(source=one["source"], refused=False) for one in by_kind["trade.intent"] + by_kind["intent"]]
    proposals += [one.row(source=one["intent"]["source"], refused=True) for one in by_kind["risk.denied"]]
    funding = [one.row(amount=one["amount"], rate=one["rate"]) for one in by_kind["funding.paid"]]
    latencies = [one for one in orders if one["latency"] is not None]
    return {"fills": fills, "orders": orders, "latencies": latencies, "proposals": proposals, "funding": funding}


def _stretches(
    changes: list[Line], lines: list[Line], owner: Callable[[Line], Any], fields: Callable[[Line], Row]
) -> list[Row]:
    """How long each change held on each day, until the next one of its owner or the last event."""
    end, found = max((one.ts_ns for one in lines), default=0), []
    for place, one in enumerate(changes):
        until = next((later.ts_ns for later in changes[place + 1:] if owner(later) == owner(one)), end)
        at = one.ts_ns
        while at < until:
            stop = min(until, (at // DAY_NS + 1) * DAY_NS)
            found.append({"day": day_of(at), "ns": stop - at, **fields(one)})
            at = stop
    return found


def _of_models(by_kind: dict[str, list[Line]], lines: list[Line]) -> dict[str, list[Row]]:
    def nth(values: list[Any], place: int) -> Any:
        return values[place] if place < len(values) else None

    views = [
        one.row(model=one["model"], state=one["states"][i], score=nth(one["scores"], i),
                expected=nth(one["expected_bps"], i), cost=nth(one["cost_bps"], i)) | {"symbol": symbol}
        for one in by_kind["models.decided"] for i, symbol in enumerate(one["symbols"])
    ]
    pilot = [
        one.row(model=one["model"], confidence=one["confidences"][i], wanted=one["wanted"][i]) | {"symbol": symbol}
        for one in by_kind["pilot.decided"] for i, symbol in enumerate(one["symbols"])
    ]
    days = [{"day": one["day"], "model": one["model"], **one.data} for one in by_kind["pilot.day"]]
    trainings = sorted(by_kind["training"], key=lambda one: (one.ts_ns, one["session_id"]))
    trained = [
        one.row(rows=one["rows"], seconds=one["duration_s"], scores=one["metrics"],
                before=trainings[place - 1]["metrics"] if place else {}) for place, one in enumerate(trainings)
    ]
    use = []
    for one in by_kind["model.in_force"]:
        later = [each.ts_ns for each in by_kind["model.in_force"]
                 if each is not one and each["role"] == one["role"] and each.ts_ns >= one.ts_ns]
        end = min(later, default=max(each.ts_ns for each in lines))
        for number in range(one.ts_ns // DAY_NS, end // DAY_NS + 1):
            use.append({
                "day": day_of(number * DAY_NS), "since": one.ts_ns, "until": min(end, (number + 1) * DAY_NS),
                "change": bool(one["before"]) and number == one.ts_ns // DAY_NS,
            })
    bars = [one.row(bars=len(one["symbols"]),
                    delay=(one["received_ns"] - one.ts_ns) / 1e9 if one["received_ns"] else None)
            for one in by_kind["market.bar"]]
    trades = [one.row(r=one["r"], model=one["model"]) for one in by_kind["pilot.closed"]]
    return {"views": views, "pilot_decisions": pilot, "pilot_trades": trades, "pilot_days": days,
            "trainings": trained, "model_use": use, "bars": bars}


_INCIDENTS = {
    "halt.raised": "halt", "trade.failed": "failed intent", "reconciliation.difference": "difference",
    "input.failed": "engine error", "market.refused": "refused bar", "market.hole": "hole",
    "account.by_others": "by others", "position.adopted": "adopted", "model.refused": "refused model",
    "pilot.failed": "pilot failure",
}


def _of_system(by_kind: dict[str, list[Line]]) -> dict[str, list[Row]]:
    incidents = [one.row(what=what, level=one["level"]) for kind, what in _INCIDENTS.items() for one in by_kind[kind]]
    connected: dict[str, bool] = {}
    for one in by_kind["health.changed"]:
        if connected.get(one.producer, True) and not one["connected"]:
            incidents.append(one.row(what="disconnect", level=None))
        connected[one.producer] = one["connected"]
    health, before = [], dict[Any, Line]()
    for one in by_kind["health"]:
        last = before.get((one.producer, one["part"]))
        new = {name: max(one[name] - (last[name] if last else 0), 0) for name in ("drops", "errors")}
        health.append(one.row(fill=one["queue_fill"], lag=one["lag_s"], **new))
        before[one.producer, one["part"]] = one
    changes = [one.row() for one in by_kind["gates.changed"] if one["change"].get("actor") is not None]
    changes += [one.row() for one in by_kind["pilot.changed"] if one["before"] is not None]
    changes += [one.row() for one in by_kind["operator.requested"]]
    return {"incidents": incidents, "health": health, "changes": changes}


# ---- values ----------------------------------------------------------------------------------------------------------
Value = float | None
Rows = list[Row]


def _known(rows: Rows, name: str) -> list[Any]:
    return [one[name] for one in rows if one[name] is not None]


def _mean(values: list[Any]) -> Value:
    return math.fsum(values) / len(values) if values else None


def _sum(values: list[Any]) -> Value:
    return math.fsum(values) if values else None


def mean(name: str, chosen: Callable[[Row], Any] = lambda _: True) -> Callable[[Rows], Value]:
    """The mean of a column over the chosen rows."""
    return lambda rows: _mean(_known([one for one in rows if chosen(one)], name))


def total(name: str, chosen: Callable[[Row], Any] = lambda _: True, sign: float = 1.0) -> Callable[[Rows], Value]:
    """The sum of a column over the chosen rows."""

    def found(rows: Rows) -> Value:
        values = _known([one for one in rows if chosen(one)], name)
        return sign * math.fsum(values) if values else None

    return found


def count(chosen: Callable[[Row], Any] = lambda _: True) -> Callable[[Rows], Value]:
    """How many rows are chosen."""
    return lambda rows: float(len([one for one in rows if chosen(one)]))


def share(chosen: Callable[[Row], Any], among: Callable[[Row], Any] = lambda _: True) -> Callable[[Rows], Value]:
    """The share of chosen rows among others."""

    def found(rows: Rows) -> Value:
        wanted = [one for one in rows if among(one)]
        return len([one for one in wanted if chosen(one)]) / len(wanted) if wanted else None

    return found


def of_column(name: str, pick: Callable[[list[Any]], Any]) -> Callable[[Rows], Value]:
    """Something of a column's known values."""
    return lambda rows: pick(values) if (values := _known(rows, name)) else None


def weighted(value: Callable[[Row], float]) -> Callable[[Rows], Value]:
    """The mean of *value* over time."""
    return lambda rows: math.fsum(value(one) * one["ns"] for one in rows) / math.fsum(one["ns"] for one in rows) \
        if rows else None


def daily(rows: Rows, share_of_equity: bool) -> dict[str, float]:
    """The sum of each day."""
    found: dict[str, list[float]] = defaultdict(list)
    for one in rows:
        found[one["day"]].append(one["pnl"] / one["before"] if share_of_equity else one["pnl"])
    return {day: math.fsum(found[day]) for day in sorted(found)}


def ratio_of_days(pick: Callable[[Any, Any], float | None]) -> Callable[[Rows], Value]:
    """What *pick* makes of the moments and the values of the daily returns, from ten days on."""

    def found(rows: Rows) -> Value:
        values = np.array(list(daily(rows, True).values()))
        shape = moments(values)
        return pick(shape, values) if shape.count >= 10 and shape.deviation > 0.0 else None

    return found


def sortino(shape: Any, values: Any) -> Value:
    """As the report of a run computes it."""
    downside = float(np.sqrt(np.mean(np.minimum(values, 0.0) ** 2)))
    return float(shape.mean / downside * math.sqrt(DAYS_PER_YEAR)) if downside > 0.0 else None


def drawdown(rows: Rows) -> Value:
    """As the report of a run computes it, over the ends of days after the start."""
    gains = list(daily(rows, False).values())
    if len(gains) < 2:
        return None
    return float(drawdowns(rows[0]["start"] + np.concatenate(([0.0], np.cumsum(gains)))).min()) / 100.0


def scored(score: Callable[[Any, Any], float]) -> Callable[[Rows], Value]:
    """A score of the confidence against what the shadow trades made."""

    def found(rows: Rows) -> Value:
        some = [one for one in rows if one["confidence"] is not None and one["bps"] is not None]
        if not some:
            return None
        won = np.array([float(one["bps"] > 0.0) for one in some])
        value = score(won, np.array([one["confidence"] for one in some]))
        return float(value) if math.isfinite(value) else None

    return found


def factor(rows: Rows) -> Value:
    """Sum of the wins over that of the losses."""
    wins, losses = [[one["pnl"] for one in rows if sign * one["pnl"] > 0] for sign in (1, -1)]
    return math.fsum(wins) / -math.fsum(losses) if losses else None


def quotient(above: Callable[[Rows], Value], below: Callable[[Rows], Value]) -> Callable[[Rows], Value]:
    """One value over another."""

    def found(rows: Rows) -> Value:
        one, other = above(rows), below(rows)
        return one / other if one is not None and other else None

    return found


def percentile(share_below: float) -> Callable[[list[Any]], float]:
    """The quantile between the two nearest values."""
    return lambda values: float(np.quantile(values, share_below))


def auc_changes(rows: Rows) -> Value:
    """AUC of the last training less that of the one before."""
    changes = [(one["ts_ns"], one["scores"]["auc"] - one["before"]["auc"]) for one in rows
               if "auc" in one["scores"] and "auc" in one["before"]]
    return max(changes)[1] if changes else None


def trained(name: str, pick: Callable[[list[Any]], Any]) -> Callable[[Rows], Value]:
    """The best of a score over the trainings."""

    def found(rows: Rows) -> Value:
        values = [one["scores"][name] for one in rows if name in one["scores"]]
        return float(pick(values)) if values else None

    return found


def win(one: Row) -> bool:
    """A trade that made money."""
    return bool(one["pnl"] > 0)


def newest_equity(rows: Rows) -> Value:
    """The equity of the last row."""
    return max(rows, key=lambda one: one["ts_ns"])["equity"] if rows else None


def decided_block(one: Row) -> bool:
    """A shadow result that is good or bad, not neutral."""
    return one["bps"] is not None and (one["bps"] < 0 or one["bps"] > 10)


def _is(name: str, value: Any) -> Callable[[Row], bool]:
    return lambda one: one[name] == value


def incident(what: str) -> Callable[[Rows], Value]:
    """How many incidents of a kind."""
    return count(_is("what", what))


BY_ID: dict[str, Callable[[Rows], Value]] = {
    "win_rate": share(win), "pnl_total": total("pnl"), "pnl_mean": mean("pnl"), "pnl_best": of_column("pnl", max),
    "pnl_worst": of_column("pnl", min), "win_mean": mean("pnl", win),
    "loss_mean": mean("pnl", lambda one: one["pnl"] < 0),
    "profit_factor": factor, "expectancy_r": mean("r"), "r_total": total("r"), "mfe_mean": mean("mfe"),
    "mae_mean": mean("mae"), "stop_share": share(_is("exit", "STOP")),
    "r_median": of_column("r", statistics.median), "r_best": of_column("r", max), "r_worst": of_column("r", min),
    "win_mean_r": mean("r", win), "loss_mean_r": mean("r", lambda one: not win(one)), "trade_fees": total("fees"),
    "trade_funding": total("funding"), "equity_end": newest_equity,
    "sharpe": ratio_of_days(lambda shape, _: shape.annual_sharpe), "sortino": ratio_of_days(sortino),
    "volatility": ratio_of_days(lambda shape, _: shape.deviation * math.sqrt(DAYS_PER_YEAR)), "max_drawdown": drawdown,
    "return_total": lambda rows: math.fsum(one["pnl"] for one in rows) / rows[0]["start"] if rows else None,
    "best_day": lambda rows: max(daily(rows, False).values(), default=None),
    "worst_day": lambda rows: min(daily(rows, False).values(), default=None),
    "days_won": lambda rows: _mean([float(one > 0) for one in daily(rows, False).values() if one != 0]),
    "trades": count(), "trade_hours": mean("hours"), "trade_hours_median": of_column("hours", statistics.median),
    "signals": count(), "signals_allowed": share(_is("decision", "ALLOWED"), lambda one: one["decision"] is not None),
    "signals_blocked": count(_is("decision", "BLOCKED")), "signal_confidence": mean("confidence"), "intents": count(),
    "guard_refusals": count(lambda one: one["refused"]), "guard_refusal_share": share(lambda one: one["refused"]),
    "turnover": total("notional"), "fills": count(), "orders": count(_is("kind", "order.submitted")),
    "orders_rejected": count(_is("status", "REJECTED")), "orders_cancelled": count(_is("kind", "order.cancel")),
    "gate_pass_rate": share(lambda one: one["passed"], lambda one: one["measured"]),
    "gate_measured_share": share(lambda one: one["measured"]),
    "gate_stops": count(lambda one: one["measured"] and not one["passed"]),
    "gate_refusals": count(lambda one: one["enforced"] and not one["passed"]),
    "signals_through_gates": share(_is("refusing", 0), lambda one: one["refusing"] is not None),
    "gate_accuracy": share(lambda one: one["bps"] < 0, decided_block), "gate_block_mean": mean("bps"),
    "gate_saved": total("bps", lambda one: one["bps"] is not None and one["bps"] < 0, -1.0),
    "gate_missed": total("bps", lambda one: one["bps"] is not None and one["bps"] > 0),
    "shadow_trades": count(), "shadow_win_rate": share(lambda one: one["r"] > 0, lambda one: one["r"] is not None),
    "shadow_mean_r": mean("r"), "shadow_mean_bps": mean("bps"),
    "blocked_mean_bps": mean("bps", lambda one: not one["traded"]),
    "traded_mean_bps": mean("bps", lambda one: one["traded"]),
    "block_accuracy": share(lambda one: one["bps"] < 0, lambda one: decided_block(one) and not one["traded"]),
    "block_saved": total("bps", lambda one: not one["traded"] and one["bps"] is not None and one["bps"] < 0, -1.0),
    "block_missed": total("bps", lambda one: not one["traded"] and one["bps"] is not None and one["bps"] > 0),
    "shadow_hours": mean("hours"), "auc": scored(auc_of), "brier": scored(lambda y, p: squared_errors(y, p).mean()),
    "log_loss": scored(lambda y, p: log_losses(y, p).mean()), "ece": scored(expected_calibration_error),
    "model_views": lambda rows: float(len(_known(rows, "score"))),
    "view_signal_share": share(_is("state", "SIGNAL"), lambda one: one["score"] is not None),
    "expected_return": mean("expected"), "expected_cost": mean("cost"),
    "model_age": lambda rows: (max(one["until"] for one in rows) - max(one["since"] for one in rows)) / 8.64e13
    if rows else None,
    "model_changes": count(lambda one: one["change"]), "consensus": mean("consensus"), "trainings": count(),
    "training_rows": of_column("rows", max), "training_seconds": total("seconds"), "training_auc": trained("auc", max),
    "training_auc_change": auc_changes, "training_ece": trained("ece", min), "training_brier": trained("brier", min),
    "pilot_decisions": count(), "pilot_confidence": mean("confidence"),
    "pilot_active_share": share(lambda one: one["wanted"] != 0), "pilot_trades": count(),
    "pilot_win_rate": share(lambda one: one["r"] > 0), "pilot_mean_r": mean("r"), "pilot_return": total("pilot"),
    "pilot_signals_return": total("signals"), "pilot_hybrid_return": total("hybrid"), "pilot_daily_mean": mean("pilot"),
    "events": lambda rows: float(len(rows)) if rows else None, "halts": incident("halt"),
    "emergencies": count(lambda one: one["what"] == "halt" and one["level"] == "EMERGENCY"),
    "disconnects": incident("disconnect"), "engine_errors": incident("engine error"),
    "differences": incident("difference"), "failed_intents": incident("failed intent"),
    "refused_bars": incident("refused bar"), "data_holes": incident("hole"),
    "model_refusals": incident("refused model"),
    "pilot_failures": incident("pilot failure"), "decision_latency_p50": of_column("latency", statistics.median),
    "decision_latency_p99": of_column("latency", percentile(0.99)),
    "fill_wait_p50": of_column("wait", statistics.median),
    "bar_delay_p50": of_column("delay", statistics.median), "bar_delay_p99": of_column("delay", percentile(0.99)),
    "queue_fill_max": of_column("fill", max), "writer_lag_max": of_column("lag", max), "drops": total("drops"),
    "errors": total("errors"), "settings_changes": count(), "fees": total("fee"), "funding": total("amount"),
    "funding_rate": lambda rows: _mean([1e4 * one["rate"] for one in rows]), "slippage": total("slippage"),
    "slippage_bps": mean("bps"), "slippage_bps_p99": of_column("bps", percentile(0.99)),
    "cost_bps": lambda rows: 1e4 * (one[0] + one[1]) / one[2]
    if rows and None not in (one := [total(name)(rows) for name in ("fee", "slippage", "notional")]) else None,
    "maker_share": lambda rows: math.fsum(one["notional"] for one in rows if one["liquidity"] == "maker")
    / math.fsum(one["notional"] for one in rows) if rows else None,
    "fee_share": quotient(total("fees"), lambda rows: _sum(
        [max(one["pnl"] + one["fees"] - (one["funding"] or 0.0), 0.0) for one in rows]
    )),
    "shadow_cost_bps": mean("cost"), "spread": mean("spread_bps"), "volume_ratio": mean("volume_ratio"),
    "market_volatility": mean("volatility"),
    "signal_spread": mean("observed", lambda one: one["gate"] == "spread" and one["measured"]),
    "signal_volume": mean("observed", lambda one: one["gate"] == "volume" and one["measured"]), "bars": total("bars"),
    "regime_hours": lambda rows: math.fsum(one["ns"] / 3.6e12 for one in rows) if rows else None,
    "regime_changes": count(), "regime_volatility": mean("vol"), "policy_changes": count(),
    "policy_blocked_time": weighted(lambda one: float(not one["allowed"])),
    "policy_reduced_time": weighted(lambda one: float(one["profile"] == "REDUCED")),
    "policy_min_confidence": weighted(lambda one: one["confidence"]),
    "policy_risk": weighted(lambda one: one["risk"] / 100.0),
    "verdict_block_share": share(_is("verdict", "BLOCK"), lambda one: one["verdict"] is not None),
    "policy_blocked_mean_r": mean("r", _is("verdict", "BLOCK")),
    "policy_allowed_mean_r": mean("r", _is("verdict", "ALLOW")),
    "policy_value": total("r", _is("verdict", "BLOCK"), -1.0),
}
