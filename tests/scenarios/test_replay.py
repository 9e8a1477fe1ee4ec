"""Recorded market in, decisions out: the whole road over the bundled bars."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from quantum_trader.app.runs.replay import memory_run
from quantum_trader.app.runs.results import RunResult
from quantum_trader.app.settings import RunSettings, load_settings
from quantum_trader.engine.recorder import MemorySink

SPAN = {"data.start": "2018-01-01", "data.end": "2018-04-30", "models": ({"model": "intraday-demo"},)}
LIVE = {f"rollout.use_for_{name}": True for name in (
    "signal_filter", "confidence_threshold", "risk_sizing", "position_limits", "trading_gate", "exit_mode")}


def settings(**more: Any) -> RunSettings:
    """Four months of the bundled bars with a few settings changed."""
    values = {**SPAN, **{key.replace("__", "."): value for key, value in more.items()}}
    return load_settings(None, {key: (value, "test") for key, value in values.items()}).settings


@pytest.fixture(scope="module")
def observed() -> tuple[RunResult, MemorySink]:
    """The run in OBSERVE."""
    return memory_run(settings())


def of_engine(sink: MemorySink) -> list[Any]:
    """What was traded, without what the policy only observed: its own records, and its part of a signal's inputs."""
    records = [msgspec.json.decode(line) for line in sink.lines if b'"source":"engine"' in line]
    for one in records:
        if one["topic"] == "signal.inputs":
            one["data"] = {key: value for key, value in one["data"].items() if not key.startswith("policy")}
    return records


def test_two_runs_over_the_same_bars_are_byte_identical(observed: tuple[RunResult, MemorySink]) -> None:
    """Every record of the second run equals the first's, and there are trades among them."""
    _, again = memory_run(settings())
    assert again.lines == observed[1].lines
    assert sum(b'"trade.closed"' in line for line in again.lines) > 20


@pytest.mark.parametrize("profile", ["SAFE", "STANDARD", "AGGRESSIVE"])
def test_observe_is_byte_identical_to_no_policy(profile: str) -> None:
    """Signals, intents, orders, fills and books do not know whether a policy watches."""
    watched, with_policy = memory_run(settings(policy__profile=profile))
    alone, without = memory_run(settings(policy__profile=profile, policy__enabled=False))
    assert of_engine(with_policy) == of_engine(without)
    assert watched.facts.equity.tolist() == alone.facts.equity.tolist()
    assert len(with_policy.lines) > len(without.lines)


def test_what_is_traded_in_observe_does_not_depend_on_the_profile() -> None:
    """SAFE and AGGRESSIVE only watch: the engine's records are the same bytes."""
    _, safe = memory_run(settings(policy__profile="SAFE"))
    _, aggressive = memory_run(settings(policy__profile="AGGRESSIVE"))
    assert of_engine(safe) == of_engine(aggressive)


def test_enforcing_the_policy_changes_what_is_traded(observed: tuple[RunResult, MemorySink]) -> None:
    """In LIVE with all switches SAFE trades less, refuses with the policy's reasons, and never exceeds its limits."""
    live, _ = memory_run(settings(**{"rollout.mode": "LIVE", **LIVE}, policy__profile="SAFE"))
    watched = observed[0].facts
    assert len(live.facts.trades) < len(watched.trades)
    assert live.facts.refusals.get("LOW_CONFIDENCE", 0) + live.facts.refusals.get("TRADING_GATE", 0) > 0


def test_a_trade_under_an_enforced_policy_names_the_policy_that_decided_it() -> None:
    """The hash of each closed trade is that of a policy on record."""
    _, sink = memory_run(settings(**{"rollout.mode": "LIVE", **LIVE}, policy__profile="AGGRESSIVE"))
    records = [msgspec.json.decode(line) for line in sink.lines]
    made = {one["data"]["content_hash"] for one in records if one["topic"] == "policy.updated"}
    used = {one["data"]["policy_hash"] for one in records if one["topic"] == "trade.closed"}
    assert used
    assert used <= made


def test_every_position_has_a_stop_on_the_right_side(observed: tuple[RunResult, MemorySink]) -> None:
    """Long stops lie below the entry and short stops above, and no trade lost much more than its risk but by a gap."""
    trades = observed[0].facts.trades
    assert trades
    for trade in trades:
        assert (trade.entry_price - trade.stop_price) * trade.side.sign > 0.0


def test_cash_is_what_the_trades_say(observed: tuple[RunResult, MemorySink]) -> None:
    """Start plus the trades' net results is the equity at the end, open positions aside."""
    facts = observed[0].facts
    booked = facts.start_equity + sum(trade.pnl for trade in facts.trades)
    open_result = sum(position.unrealised for position in facts.positions)
    slack = 25.0 * len(facts.positions) + 1e-6  # fees and funding of positions still open
    assert facts.equity[-1] == pytest.approx(booked + open_result, abs=slack)


def test_signals_are_decided_once_and_never_from_the_future(observed: tuple[RunResult, MemorySink]) -> None:
    """Each signal has one decision, and no feature is newer than the decision's moment."""
    records = [msgspec.json.decode(line) for line in observed[1].lines]
    signals = {r["data"]["signal_id"]: r for r in records if r["topic"] == "signal.generated"}
    decided = [r["data"]["signal_id"] for r in records if r["topic"] == "signal.decided"]
    assert sorted(decided) == sorted(signals)
    for record in signals.values():
        assert record["data"]["features_ts_ns"] < record["ts_ns"]


def test_an_order_follows_an_intent_and_a_fill_follows_an_order(observed: tuple[RunResult, MemorySink]) -> None:
    """No order without its claimed intent, no fill without its order, and one opening order per intent."""
    records = [msgspec.json.decode(line) for line in observed[1].lines]
    intents: set[str] = set()
    orders: set[str] = set()
    opened: list[str] = []
    for record in records:
        data = record["data"]
        if record["topic"] == "trade.intent":
            intents.add(data["intent_id"])
        elif record["topic"] == "order.submitted":
            assert data["intent_id"] in intents
            orders.add(data["client_order_id"])
            if not data["reduce_only"]:
                opened.append(data["intent_id"])
        elif record["topic"] == "order.filled" and not data["client_order_id"].startswith(("hole-", "autoclose-")):
            assert data["client_order_id"] in orders
    assert len(opened) == len(set(opened))


def test_a_failing_watcher_never_reaches_trading(observed: tuple[RunResult, MemorySink], monkeypatch: Any) -> None:
    """When the policy's observation raises at each call, what is traded is the same and the failures are counted."""
    from quantum_trader.policy.ledger import RolloutLedger

    def broken(*_: Any) -> None:
        raise RuntimeError("observer is broken")

    monkeypatch.setattr(RolloutLedger, "record", broken)
    result, sink = memory_run(settings())
    assert of_engine(sink) == of_engine(observed[1])
    assert any("observation failures" in note for note in result.facts.notes)
