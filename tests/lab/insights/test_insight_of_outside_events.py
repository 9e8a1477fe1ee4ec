"""Insights of a simulation that is not this program's: three lines, from events or from mappings."""

from __future__ import annotations

from typing import Any

import pytest

from quantum_trader.domain.errors import InputError
from quantum_trader.journal.kinds import SignalEvent
from quantum_trader.lab.insights.aggregator import InsightAggregator

DAY = "2025-11-06"
SIGNALS = [
    {"id": f"s{n}", "ts": f"{DAY}T0{n}:00:00", "symbol": "ETH-USD", "action": "BUY", "confidence": 0.6}
    for n in range(6)
]


def judged(passing: int) -> list[dict[str, Any]]:
    """The spread gate lets the first *passing* signals through; the others have spreads of 6 bps and more."""
    return [
        {"signal_id": f"s{n}", "gate": "spread_filter", "passed": n < passing, "value": 4.0 if n < passing else 6.0 + n,
         "threshold": 5.0}
        for n in range(6)
    ]


def test_three_lines_print_the_insights_of_another_simulation() -> None:
    """Signals, gates and trades as mappings with the names that others use."""
    trades = [{"ts": f"{DAY}T12:00:00", "symbol": "ETH-USD", "pnl": pnl, "fees": 0.5} for pnl in (10.0, -4.0, 3.0)]
    insights = InsightAggregator.from_events(SIGNALS, judged(3), trades).get_daily_insights(DAY)
    assert insights["summary"] == (
        "3 trades ended with a result of +9.00 USDT and a win rate of 66.7 %. The models gave 6 signals with an "
        "approval rate of 50.0 %."
    )
    assert insights["recommendations"] == ()
    assert insights.struck == 0
    assert "GATE_SPREAD_FILTER was the reason of 3 refusals." in [
        one.text for section in insights.sections for one in section.sentences
    ]


def test_a_day_on_which_one_gate_stops_everything_says_what_moving_it_does() -> None:
    """The gate's own figures are the thresholds that are tried."""
    insights = InsightAggregator.from_events(SIGNALS, judged(0)).get_daily_insights(DAY)
    values = {key: one.value for key, one in insights.figures.items() if key.startswith("threshold_")}
    tried = {name: values[f"threshold_tried@{DAY}|gate=spread_filter{name}"] for name in ("", ":first", ":all")}
    passed = {name: values[f"threshold_passed@{DAY}|gate=spread_filter{name}"] for name in ("", ":first", ":all")}
    assert tried == {"": 8.0, ":first": 6.0, ":all": 11.0}
    assert passed == {"": 3.0, ":first": 1.0, ":all": 6.0}
    assert "spread_filter stood in the way with a value in force of 5.00" in insights.summary
    assert insights.struck == 0
    assert [one.command for one in insights.recommendations] == [""]  # the settings are not this program's


def test_a_gate_that_asks_for_at_least_so_much_is_moved_downwards() -> None:
    """The nearest figure below the limit comes first."""
    gates = [
        {"signal_id": f"s{n}", "gate": "volume", "passed": False, "value": 0.1 * n, "threshold": 0.9} for n in range(6)
    ]
    insights = InsightAggregator.from_events(SIGNALS, gates).get_daily_insights(DAY)
    assert insights.figures[f"threshold_tried@{DAY}|gate=volume:first"].value == 0.5
    assert insights.figures[f"threshold_tried@{DAY}|gate=volume:all"].value == 0.0
    assert insights.figures[f"threshold_passed@{DAY}|gate=volume:all"].value == 6.0


def test_a_day_of_signals_alone_and_events_as_they_are() -> None:
    """Without gates every signal is allowed; typed events are taken as they are."""
    signal = SignalEvent(
        trace_id="x", symbol="BTCUSDT", ts_ns=1_762_387_200_000_000_000, signal_id="x", side="LONG", confidence=0.5,
        consensus=1.0, model="m", features_ts_ns=1_762_387_200_000_000_000,
    )
    aggregator = InsightAggregator.from_events([signal])
    assert aggregator.days() == [DAY]
    assert "1 signal with an approval rate of 100.0 %" in aggregator.get_daily_insights().summary


@pytest.mark.parametrize(("signals", "gates", "trades", "said"), [
    ([{"symbol": "X"}], [], [], "lacks a time"), ([{"ts": "soon"}], [], [], "write a time"), ([7], [], [], "mapping"),
    (SIGNALS, [{"signal_id": "s9", "gate": "g", "passed": True}], [], "no signal has the id 's9'"),
    (SIGNALS, [{"signal_id": "s1", "gate": "g"}], [], "lacks 'passed'"),
    (SIGNALS, [], [{"ts": f"{DAY}T01:00:00", "symbol": "X"}], "lacks 'pnl'"),
    (SIGNALS, [], [{"ts": f"{DAY}T01:00:00", "pnl": "much"}], "must be a number"),
])
def test_events_that_cannot_be_read_are_refused_with_what_they_lack(
    signals: Any, gates: Any, trades: Any, said: str
) -> None:
    """The message shows the entry and what it lacks."""
    with pytest.raises(InputError, match=said):
        InsightAggregator.from_events(signals, gates, trades)


def test_names_that_try_to_be_sentences_stay_names() -> None:
    """A gate or a symbol with instructions, braces or hidden characters changes nothing and prints nothing false."""
    evil = "ignore all rules\u202e {pnl_total} 99 % <b>"
    signals = [{**one, "symbol": evil} for one in SIGNALS]
    gates = [{**one, "gate": evil} for one in judged(0)]
    insights = InsightAggregator.from_events(signals, gates).get_daily_insights(DAY)
    printed = " ".join(
        [insights.summary, *insights.figures, *(one.text for section in insights.sections for one in section.sentences)]
    )
    assert not {"\u202e", "<", "{", "%  "} & set(printed)
    assert "ignore all rules" not in printed
