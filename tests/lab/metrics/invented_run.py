"""A state folder whose journal holds invented records of every kind that metrics read, with gaps in what is known."""

from __future__ import annotations

import math
import random
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
from tests.lab.metrics.independent import DAY_NS, day_of

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.engine.record_types import DATA_TYPES, OPEN
from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.kinds import (
    DecisionEvent,
    Event,
    FillEvent,
    IntentEvent,
    OrderEvent,
    PolicyEvent,
    SignalEvent,
    TradeEvent,
)
from quantum_trader.lab.metrics.queries import midnight_ns

SYMBOLS = ("BTCUSDT", "1000PEPEUSDT", "ETHUSDT")
REGIMES = ("TRENDING UP NORMAL", "RANGING LOW", "O'CLOCK \"q\"")  # a quote in a value is no end of a text in SQL
MODES = ("scalp", "runner", "trend")
GATES = ("spread", "volume", "regime", "cost", "confidence", "meta_label")


def filled(struct: type[msgspec.Struct], given: dict[str, Any]) -> dict[str, Any]:
    """The fields of *struct*: those *given*, and what the others may be."""
    found = {}
    for field in msgspec.structs.fields(struct):
        name, kind = field.encode_name, msgspec.inspect.type_info(field.type)
        while isinstance(kind, msgspec.inspect.Metadata):
            kind = kind.type
        if isinstance(kind, msgspec.inspect.StructType) and (name not in given or isinstance(given[name], dict)):
            found[name] = filled(kind.cls, {**given, **given.get(name, {})})
        elif name in given:
            found[name] = given[name]
        elif field.required:
            found[name] = _least(kind)
    return found


def _least(kind: msgspec.inspect.Type) -> Any:
    """A value of *kind*."""
    if isinstance(kind, msgspec.inspect.EnumType):
        return next(iter(kind.cls)).value
    if isinstance(kind, msgspec.inspect.LiteralType):
        return kind.values[0]
    if isinstance(kind, msgspec.inspect.UnionType):
        return None if any(isinstance(one, msgspec.inspect.NoneType) for one in kind.types) else _least(kind.types[0])
    values: dict[type, Any] = {
        msgspec.inspect.StrType: "x", msgspec.inspect.IntType: 0, msgspec.inspect.FloatType: 0.0,
        msgspec.inspect.BoolType: False, msgspec.inspect.DictType: {},
    }
    return values.get(type(kind), [])


class InventedRun:
    """Draws records and writes them in order of time."""

    def __init__(self, seed: int, first_day: str, days: int) -> None:
        self.chance, self.days = random.Random(seed), days
        self.first_ns = midnight_ns(date.fromisoformat(first_day))
        self.logged: list[Event] = []  # by another program, with ids and traces that the run has too
        self.lines: list[tuple[int, str, str, str, dict[str, Any]]] = []  # time, kind, trace, symbol, data

    def write(self, state: Path) -> Path:
        """Draw everything and write it to the journal of *state*."""
        self._begin()
        for number in range(6 * self.days):
            self._signal(number)
        for _ in range(8 * self.days):
            self._policy_and_market()
        for number in range(2 * self.days):
            self._pilot_and_models(number)
            self._system(number)
            self._outside(number)
        self.append(state, self.lines)
        self.logged = []
        return state

    def append(self, state: Path, lines: list[tuple[int, str, str, str, dict[str, Any]]]) -> None:
        """Write *lines* in order of time, records as the engine writes them and typed events as they are."""
        with (
            EventLogger(state / "journal", ring_bytes=1 << 20) as logger,
            EventLogger(state / "journal", "other", ring_bytes=1 << 20) as other,
        ):
            for event in self.logged:
                other.log(event)
            for number, (ts_ns, kind, trace, symbol, data) in enumerate(sorted(lines, key=lambda one: one[0])):
                head = {"trace_id": trace, "symbol": symbol, "ts_ns": ts_ns}
                content: dict[str, Any] = {**head, **data}
                if kind in DATA_TYPES:
                    struct = DATA_TYPES[kind][0]
                    content = {
                        "seq": number + 1, "event_id": f"e{number}", "topic": kind, "trace_id": trace, "ts_ns": ts_ns,
                        "received_ns": ts_ns, "source": "engine", "schema": 1,
                        "data": filled(struct, content) | (data if struct in OPEN else {}),
                    }
                logger.log_line(kind, ts_ns, msgspec.json.encode(content))

    def time(self) -> int:
        """A moment of the span; seldom the first of a day."""
        day = self.first_ns + self.chance.randrange(self.days) * DAY_NS
        return day if self.chance.random() < 0.03 else day + self.chance.randrange(DAY_NS)

    def maybe(self, value: Any, share: float = 0.9) -> Any:
        """*value*, or nothing: NaN is null in a record."""
        return value if self.chance.random() < share else None

    def add(self, ts_ns: int, kind: str, data: dict[str, Any], trace: str = "", symbol: str = "") -> None:
        """One more record."""
        self.lines.append((ts_ns, kind, trace, symbol, data))

    def _begin(self) -> None:
        self.add(self.first_ns, "run.started", {
            "symbols": list(SYMBOLS), "interval_ns": 60, "effective": {"account": {"start_equity": 1_000.0}},
        })
        self.add(self.first_ns + self.days * DAY_NS - 1, "run.ended", {"equity": 1.0, "cash": 1.0, "trades": 1})

    def _signal(self, number: int) -> None:
        c, ts_ns, name, trace = self.chance, self.time(), f"s{number}", f"t{number}"
        symbol, said = c.choice(SYMBOLS), round(c.random(), c.choice((1, 2)))  # ties, and edges of bins
        allowed, known = c.random() < 0.5, c.random() < 0.9
        self.add(ts_ns, "signal.generated", {
            "signal_id": name, "action": "LONG", "confidence": said, "consensus": c.random(), "model": c.choice("ab"),
        }, trace, symbol)
        if c.random() < 0.9:
            self.add(ts_ns, "signal.decided", {
                "signal_id": name, "decision": "ALLOWED" if allowed else "BLOCKED", "reason": "" if allowed else "COST",
            }, trace, symbol)
        gates = [{
            "gate": gate, "observed": self.maybe(c.uniform(0.0, 20.0)), "limit": 10.0,
            "measured": (m := c.random() < 0.9), "passed": m and c.random() < 0.7, "enforced": c.random() < 0.3,
        } for gate in GATES]
        if known:
            self.add(ts_ns, "signal.judged", {
                "signal_id": name, "mode": c.choice(MODES), "regime": c.choice(REGIMES), "gates": gates,
                "refused": [one["gate"] for one in gates if not one["passed"]],
            }, trace, symbol)
        self.add(ts_ns, "policy.verdict", {"signal_id": name, "verdict": c.choice(("ALLOW", "BLOCK"))}, trace)
        if c.random() < 0.9:
            end = self._later(ts_ns)
            self.add(end, "shadow.closed", {
                "signal_id": name, "r": self.maybe(c.gauss(0.0, 1.0), 0.95), "traded": allowed, "exit": "STOP",
                "entry_price": 100.0 if c.random() < 0.95 else 0.0,
                "net_bps": c.gauss(0.0, 40.0) if c.random() < 0.9 else 5.0,
                "cost_bps": c.uniform(5.0, 20.0), "funding_bps": 1.0, "entry_ns": ts_ns,
            }, "", symbol)
        self._proposal(ts_ns, number, trace, symbol, refused=not allowed)

    def _proposal(self, ts_ns: int, number: int, trace: str, symbol: str, *, refused: bool) -> None:
        c, name = self.chance, f"i{number}"
        intent = {"intent_id": name, "side": "LONG", "reduce_only": False, "source": c.choice(("MODEL", "RL", "")),
                  "risk_pct": 1.0, "leverage": 2.0}
        if refused:
            self.add(ts_ns, "risk.denied", {"reason": "COST", "intent": intent}, trace, symbol)
            return
        self.add(ts_ns, "trade.intent", intent, trace, symbol)
        for order in range(2):
            client, side = f"o{number}-{order}", c.choice(("BUY", "SELL"))
            sent = {"client_order_id": client, "intent_id": name, "side": side}
            self.add(ts_ns, "order.submitted", sent, trace, symbol)
            later = self._later(ts_ns)
            status = c.choice(("NEW", "FILLED", "REJECTED"))
            self.add(later, "order.updated", {"client_order_id": client, "status": status}, "", symbol)
            if c.random() < 0.2:
                self.add(later, "order.cancel", {"client_order_id": client}, "", symbol)
                continue
            self.add(later, "order.filled", {
                "client_order_id": client, "side": side, "qty": 2.0, "price": c.uniform(50.0, 150.0),
                "fee": self.maybe(c.uniform(0.0, 2.0)), "slippage_bps": self.maybe(c.gauss(2.0, 6.0)),
                "liquidity": c.choice(("maker", "taker")),
            }, "", symbol)
        end, pnl = self._later(ts_ns), c.choice((0.0, c.gauss(0.0, 50.0), c.gauss(0.0, 50.0)))
        self.add(end, "trade.closed", {
            "trade_id": f"x{number}", "qty": -1.0, "entry_price": 100.0, "exit_price": 101.0, "entry_ns": ts_ns,
            "exit_ns": end, "pnl": pnl, "fees": c.random(), "funding": c.gauss(0.0, 0.2),
            "r_multiple": self.maybe(pnl / 20.0), "mfe_r": self.maybe(c.random()), "mae_r": self.maybe(-c.random()),
            "exit_reason": c.choice(("STOP", "SIGNAL_FLIP")), "regime_entry": c.choice((*REGIMES, "")),
            "model": c.choice("ab"), "confidence": 0.5, "bars_held": 3,
        }, trace if c.random() < 0.9 else "", symbol)

    def _outside(self, number: int) -> None:
        """Events that another program logs."""
        c, ts_ns = self.chance, self.time()
        head: dict[str, Any] = {"trace_id": f"t{number}", "symbol": c.choice(SYMBOLS), "ts_ns": ts_ns}
        self.logged += [
            SignalEvent(**head, signal_id=f"s{number}", side="LONG", confidence=c.random(), consensus=c.random(),
                        model="outside", features_ts_ns=ts_ns),
            DecisionEvent(**head, signal_id=f"s{number}", decision=c.choice(("ALLOWED", "BLOCKED")), reason="",
                          confidence=0.5, feature_times={}),
            IntentEvent(**head, intent_id=f"i{number}", side="LONG", qty=1.0, reference_price=1.0, stop_price=0.0,
                        reduce_only=False, leverage=1.0),
            OrderEvent(**head, client_order_id=f"o{number}-0", status=c.choice(("NEW", "REJECTED"))),
            FillEvent(
                **head, fill_id="f", client_order_id=f"o{number}-0", side="SELL", qty=1.0, price=c.uniform(1.0, 9.0),
                fee=c.choice((0.1, math.nan)), liquidity="maker", slippage_bps=c.choice((3.0, math.nan)),
            ),
            TradeEvent(**head, trade_id="x", side="LONG", pnl=c.gauss(0.0, 5.0), r_multiple=c.choice((0.5, math.nan)),
                       fees=0.1, exit_reason="STOP", bars_held=1),
            PolicyEvent(**head, policy_hash="h", risk_pct=1.0, min_confidence=0.5),
        ]

    def _later(self, ts_ns: int) -> int:
        last = self.first_ns + self.days * DAY_NS - 1
        return min(last, ts_ns + self.chance.randrange(1, 40 * NS_PER_HOUR))

    def _policy_and_market(self) -> None:
        c, symbol = self.chance, self.chance.choice(SYMBOLS)
        self.add(self.time(), "policy.updated", {
            "allow_new_trades": c.random() < 0.7, "risk_profile": c.choice(("NORMAL", "REDUCED", "NO_NEW_TRADES")),
            "max_risk_pct": c.random(), "min_confidence": c.random(), "content_hash": "h", "note": "",
        })
        self.add(self.time(), "regime.changed", {
            "before": "UNKNOWN UNKNOWN", "after": c.choice(REGIMES), "atr_1h": 1.0, "vol_ratio": self.maybe(c.random()),
        }, "", symbol)
        self.add(self.time(), "market", {
            "price": 1.0, "spread_bps": self.maybe(c.random()), "volume_ratio": self.maybe(c.random()),
            "volatility": self.maybe(c.random()), "trend": "", "direction": "", "funding_rate": 0.0, "reason": "",
            "facts": {},
        }, "", symbol)
        self.add(self.time(), "funding.paid", {"rate": c.gauss(0.0, 1e-4), "mark_price": 9.0, "qty": 1.0,
                                               "amount": c.gauss(0.0, 1.0)}, "", symbol)
        self.add(moment := self.time(), "market.bar", {
            "symbols": list(SYMBOLS[: c.randrange(1, 4)]), "ohlcv": [],
            "received_ns": moment + c.randrange(3_000_000_000) if c.random() < 0.9 else 0,
        })

    def _pilot_and_models(self, number: int) -> None:
        c, listed = self.chance, list(SYMBOLS)
        self.add(self.time(), "pilot.decided", {
            "model": "m1", "symbols": listed, "actions": ["HOLD"] * 3, "confidences": [c.random() for _ in listed],
            "wanted": [c.choice((0.0, 0.1)) for _ in listed], "outcomes": ["SHADOW"] * 3,
        })
        closed = {"model": "m1", "r": c.gauss(0.0, 1.0), "exit": "FLAT", "entry_ns": 1, "exit_ns": 2}
        self.add(self.time(), "pilot.closed", closed, "", c.choice(SYMBOLS))
        if number < self.days:
            midnight = self.first_ns + (number + 1) * DAY_NS
            self.add(min(midnight, self.first_ns + self.days * DAY_NS - 1), "pilot.day", {
                "day": day_of(midnight - 1), "pilot": c.gauss(0.0, 0.01), "signals": c.gauss(0.0, 0.01),
                "hybrid": c.gauss(0.0, 0.01), "trades": 1, "hours": 24.0, "decisions": 2, "model": "m1",
            })
        self.add(self.time(), "models.decided", {
            "model": "a", "symbols": listed, "states": [c.choice(("SIGNAL", "SMALL")) for _ in listed],
            "scores": [self.maybe(c.gauss(0.0, 1.0)) for _ in listed] if c.random() < 0.8 else [], "signals": [""] * 3,
            "expected_bps": [self.maybe(c.random()) for _ in listed], "cost_bps": [c.random()] * 2, "confidences": [],
        })
        self.add(self.time(), "model.in_force", {
            "role": c.choice(("signals", "pilot")), "names": ["a"], "ids": ["1"], "before": c.choice(([], ["0"])),
        })
        scores = {name: c.random() for name in ("auc", "ece", "brier") if c.random() < 0.8}
        self.add(self.time(), "training", {
            "session_id": f"n{number}", "rows": c.randrange(10_000), "seed": 1, "duration_s": c.random(),
            "data_hash": "d", "reason": "", "metrics": scores, "parameters": {},
        })

    def _system(self, number: int) -> None:
        c, symbol = self.chance, self.chance.choice(SYMBOLS)
        self.add(self.time(), "health", {
            "part": c.choice("xy"), "level": "OK", "queue_fill": c.random(), "lag_s": c.random(), "drops": number // 3,
            "errors": c.randrange(3), "throughput": 1.0, "reason": "", "facts": {},
        })
        self.add(self.time(), "health.changed", {"level": 0, "connected": c.random() < 0.5, "reason": ""})
        for kind, data in (
            ("halt.raised", {"kind": "governor", "level": c.choice(("CAUTIOUS", "EMERGENCY"))}),
            ("trade.failed", {"intent_id": "i", "reason": "LATE", "source": "RL"}),
            ("reconciliation.difference", {"venue": 1.0, "books": 2.0}),
            ("input.failed", {"input": "x", "error": "y"}), ("market.refused", {"ohlcv": [], "halted": False}),
            ("market.hole", {}), ("account.by_others", {"order_id": "", "what": "order"}),
            ("model.refused", {"role": "pilot", "model": "m", "reason": "no"}),
            ("pilot.failed", {"model": "m", "what": "SLOW", "error": ""}),
            ("operator.requested", {"action": "halt", "reason": "", "actor": "me"}),
            ("gates.changed", {"enforced": [], "in_force": {}, "change": c.choice(({}, {"actor": "me"}))}),
            ("gate", {"signal_id": "g", "gate": c.choice(GATES), "passed": c.random() < 0.5, "observed": c.random(),
                      "limit": 0.5, "mode": "scalp", "price": 1.0, "reason": "", "inputs": {}}),
        ):
            if c.random() < 0.3:
                self.add(self.time(), kind, data, "", symbol)
