"""Whole simulated days: a seed fixes the day, the production trader breaks nothing, every broken one is caught."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import msgspec
import pytest
from typer.testing import CliRunner

from quantum_trader.app.cli.simulate import app
from quantum_trader.lab.simulation.campaign import (
    Totals,
    run_schedules,
    run_seed,
    run_seeds,
    schedule_of,
    smallest,
    variant_of,
)
from quantum_trader.lab.simulation.schedule import (
    CLIENT_MAKERS,
    MAKERS,
    OUTSIDE_INTENT,
    Fault,
    Kind,
    Schedule,
    decode,
    encode,
    generate,
    pairs,
    with_outside_intents,
)
from quantum_trader.lab.simulation.variants import VARIANTS, Variant
from quantum_trader.lab.simulation.warm import SYMBOLS, engine_settings
from quantum_trader.lab.simulation.world import Day, DayOutcome, run_day
from quantum_trader.live.driver import DriverParts
from quantum_trader.live.stopping import Stopping

WITHIN = 60  # seeds within which every broken variant is caught
# Caught by other invariants than each other, each on its first day; the others are in the long set.
QUICK = (
    "history-judged", "coin-fee-in-usdt", "coin-fee-free",
    "ack-is-fill", "double-intent", "long-for-short", "reduce-gated", "not-found-is-gone", "stop-late",
    "close-gone-quiet", "seen-forgotten", "halt-forgets",
)
BAR_S = 1800.0


def after_bars(
    kind: Kind, *, on: str = "", count: int = 1, seconds: float = 0.0, value: float = 0.0, by_s: float = -1.0
) -> list[Fault]:
    """One fault of *kind* just before (*by_s*: so long after) each of the day's bars is complete."""
    return [
        Fault(at_s=bar * BAR_S + by_s, kind=kind, on=on, count=count, seconds=seconds, value=value)
        for bar in range(1, 44)
    ]


# Caught by chance on days with other clients; the others on days without them.
BY_CLIENTS = ("history-judged", "coin-fee-in-usdt", "coin-fee-free")
# What each variant is weak against, where it does not break by itself.
PROVOCATIONS = {
    "history-judged": [
        Fault(at_s=0.0, kind=Kind.LATE_START, seconds=20_000.0, value=8.0),
        Fault(at_s=19_000.0, kind=Kind.PRICE_GAP, on="BTCUSDT", value=0.06),
        Fault(at_s=19_900.0, kind=Kind.MANUAL_OPEN, on="BTCUSDT", value=0.9),
    ],
    "coin-fee-in-usdt": [Fault(at_s=60.0, kind=Kind.FEE_COIN, on="account", seconds=80_000.0)],
    "coin-fee-free": [Fault(at_s=60.0, kind=Kind.FEE_COIN, on="account", seconds=80_000.0)],
    "transfer-unseen": [Fault(at_s=hour * 3600.0 + 100.0, kind=Kind.TRANSFER, value=-500.0) for hour in (6, 12, 18)],
    "blind-retry": after_bars(Kind.ANSWER_LOST, on="submit"),
    "fills-twice": after_bars(Kind.MESSAGE_DUPLICATED, on="user", count=4),
    "reduce-gated": [Fault(at_s=hour * 3600.0, kind=Kind.FLATTEN) for hour in (6, 12, 18)],
    "deaf-user-stream": after_bars(Kind.DISCONNECT, on="user", seconds=5.0),
    "leverage-unread": [fault for symbol in SYMBOLS for fault in after_bars(Kind.LEVERAGE_KEPT, on=symbol, value=2.0)],
    "resend-after-restart": after_bars(Kind.CRASH_IN_ORDER, seconds=3.0, value=2.0),
    "not-found-is-gone": after_bars(Kind.REQUEST_LATE, on="submit", seconds=1.9),
    "close-gone-quiet": [
        fault for symbol in SYMBOLS
        for fault in (*after_bars(Kind.CLOSE_REFUSED), *after_bars(Kind.INTENT, on=symbol, by_s=900.0))
    ],
    "leverage-stale": [
        fault for symbol in SYMBOLS for fault in after_bars(Kind.LEVERAGE_KEPT, on=symbol, value=2.0, by_s=-120.0)[8::8]
    ],
    "seen-forgotten": after_bars(Kind.STOP_START, seconds=2.0, by_s=4.0),
    "halt-forgets": [
        Fault(at_s=4.0 * 3600.0, kind=Kind.HALT), Fault(at_s=6.0 * 3600.0, kind=Kind.STOP_START, seconds=3.0),
    ],
}


def clean(outcome: DayOutcome) -> bool:
    return outcome.finding is None


def test_the_same_seed_is_the_same_day() -> None:
    """Steps, records, faults, everything."""
    assert run_seed(3) == run_seed(3)


@pytest.mark.long
def test_another_process_with_other_hashes_runs_the_same_day() -> None:
    """Nothing depends on the order of a set or on where the process runs."""
    code = (
        "from quantum_trader.lab.simulation.campaign import run_seed\n"
        "for seed in (3, 21):\n    day = run_seed(seed)\n    print(day.steps, day.digest)\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300,
            env={**os.environ, "PYTHONHASHSEED": hashes},
        ).stdout
        for hashes in ("1", "4242")
    }

    assert len(outputs) == 1
    assert outputs.pop().count("\n") == 2


def test_outside_intents_open_positions_and_break_nothing() -> None:
    """A day whose only events are intents with stops of their own opens at least one of them."""
    day = Day(with_outside_intents(Schedule(seed=0, faults=()), SYMBOLS))

    outcome = day.run()

    opened = {
        one.request.intent_id for one in day.exchange.accepted
        if one.by_trader and not one.request.reduce_only and one.request.intent_id.startswith(OUTSIDE_INTENT)
    }
    assert outcome.finding is None
    assert opened
    assert set(outcome.struck) == {"intent"}


def test_outside_intents_leave_every_other_fault_as_it_is() -> None:
    """They come on request and on every tenth seed above 1000, with symbols and stops that differ."""
    with_intents = schedule_of(7, intents=True)
    added = [fault for fault in with_intents.faults if fault not in generate(7, SYMBOLS).faults]

    assert [fault for fault in with_intents.faults if fault not in added] == list(generate(7, SYMBOLS).faults)
    assert {fault.kind for fault in added} == {Kind.INTENT}
    assert len({fault.on for fault in added}) > 1
    assert len({fault.stop_pct for fault in added}) > 1
    assert [seed for seed in range(990, 1023) if schedule_of(seed) != generate(seed, SYMBOLS)] == [1010, 1020]


def test_other_clients_leave_every_other_fault_as_it_is() -> None:
    """They come on request alone, from a random stream of their own: the day of every seed stays what it was."""
    with_clients = schedule_of(7, clients=True)
    added = [fault for fault in with_clients.faults if fault not in generate(7, SYMBOLS).faults]

    assert [fault for fault in with_clients.faults if fault not in added] == list(generate(7, SYMBOLS).faults)
    assert {fault.kind for fault in added} <= {*CLIENT_MAKERS, Kind.LATE_START, Kind.MANUAL_OPEN}
    assert all(schedule_of(seed) == generate(seed, SYMBOLS) for seed in range(50))


def test_what_another_client_does_breaks_nothing() -> None:
    """A day of each kind alone: it strikes, and every invariant holds."""
    for kind, (_, make) in CLIENT_MAKERS.items():
        faults = tuple(make(Random(f"{kind.value}/{hour}"), hour * 3600.0, SYMBOLS) for hour in (3, 5, 8, 12))
        outcome = run_day(Schedule(seed=2, faults=faults, hours=16.0))
        assert (outcome.finding, set(outcome.struck)) == (None, {kind.value})


def test_a_position_held_before_a_late_first_start_is_adopted_and_judges_nothing_old() -> None:
    """Bought after a jump of 6 %, adopted while the day's bars are fetched: protected, and nothing halts for losses."""
    day = Day(Schedule(seed=0, faults=tuple(PROVOCATIONS["history-judged"]), hours=6.0))

    outcome = day.run()

    assert outcome.finding is None
    assert outcome.struck["late_start"] == 1
    trader = day.processes
    assert trader.started == 1
    assert any(
        one.by_trader and one.request.reduce_only and one.request.symbol == "BTCUSDT" for one in day.exchange.accepted
    )


def test_a_stop_and_a_target_cancelled_while_the_trader_is_down_are_both_asked_for_at_once() -> None:
    """A crash, and another client cancels every order meanwhile: the position has a stop again within the start."""
    assert run_day(schedule_of(39, clients=True)).finding is None


@pytest.mark.long
def test_days_with_other_clients_break_nothing() -> None:
    """All kinds of them, among every other fault."""
    struck: set[str] = set()
    broken = []
    for schedule, outcome in run_schedules([schedule_of(seed, clients=True) for seed in range(150)], jobs=2):
        struck |= set(outcome.struck)
        if not clean(outcome):
            broken.append((schedule.seed, outcome.finding))

    assert broken == []
    assert {kind.value for kind in (*CLIENT_MAKERS, Kind.LATE_START)} <= struck


@pytest.mark.long
def test_fifty_days_with_faults_and_outside_intents_break_nothing() -> None:
    """The same seeds as without them."""
    schedules = [schedule_of(seed, intents=True) for seed in range(50)]
    broken = [(day.seed, day.finding) for _, day in run_schedules(schedules, jobs=2) if not clean(day)]

    assert broken == []


def test_a_day_without_faults_trades_and_agrees_to_the_last_cent() -> None:
    """Positions open and close, books equal the exchange, and no opening waits for a person."""
    outcome = run_day(Schedule(seed=1, faults=()))

    assert clean(outcome)
    assert outcome.trades >= 5
    assert outcome.held == ""
    assert outcome.lives == 1
    assert abs(outcome.cash_error) < 1e-6


@pytest.mark.parametrize("seed", range(4))
def test_days_with_faults_break_nothing(seed: int) -> None:
    """A few; `make bench` runs two thousand."""
    assert run_seed(seed).finding is None


@pytest.mark.long
def test_every_kind_of_fault_happens_and_nothing_breaks() -> None:
    """Over two hundred days each kind strikes, and not only in the schedule."""
    totals, broken = Totals(), []
    for outcome in run_seeds(range(200), jobs=2):
        totals.add(outcome)
        broken += [] if clean(outcome) else [(outcome.seed, outcome.finding)]

    assert broken == []
    assert {kind.value for kind in MAKERS} == set(totals.struck)
    assert totals.trades > 1_000
    assert totals.lives > 300


# Some strike only beside another.
BESIDE = {
    Kind.TORN_WRITE: [Fault(at_s=14_000.0, kind=Kind.CRASH, seconds=3.0, value=3.0)],
    Kind.CHECKPOINT_LOST: [Fault(at_s=14_000.0, kind=Kind.CRASH, seconds=3.0, value=3.0)],
    Kind.KLINES_REFUSED: [Fault(at_s=10_790.0, kind=Kind.DISCONNECT, on="market", seconds=60.0)],
    Kind.RESUME: [Fault(at_s=5_000.0, kind=Kind.HALT)],
    Kind.CLOSE_REFUSED: [Fault(at_s=9_500.0, kind=Kind.FLATTEN)],
}


@pytest.mark.long
@pytest.mark.parametrize("kind", list(MAKERS))
def test_each_kind_of_fault_changes_the_day(kind: Kind) -> None:
    """It strikes, the day goes another way than without it, and still nothing breaks."""
    rng, beside = Random(7), BESIDE.get(kind, [])
    times = sorted(bar * BAR_S + by_s for bar in range(1, 14) for by_s in (-0.5, 1.0, 400.0))
    faults = [MAKERS[kind][1](rng, at_s, SYMBOLS) for at_s in times]
    ordered = tuple(sorted([*faults, *beside], key=lambda fault: fault.at_s))

    without = run_day(Schedule(seed=5, faults=tuple(beside), hours=8.0))
    outcome = run_day(Schedule(seed=5, faults=ordered, hours=8.0))

    assert outcome.finding is None
    assert outcome.struck[kind.value] >= 1
    changed = (outcome.digest, outcome.requests) != (without.digest, without.requests)
    assert changed != (kind is Kind.TORN_WRITE)  # half a record changes nothing


@pytest.mark.long
def test_every_pair_of_faults_together_breaks_nothing() -> None:
    """Both at every bar of half a day, some seven hundred days; what random days seldom bring together."""
    broken = [
        (sorted({fault.kind.value for fault in schedule.faults}), outcome.finding)
        for schedule, outcome in run_schedules(pairs(1, SYMBOLS), jobs=2)
        if not clean(outcome)
    ]

    assert broken == []


def test_a_crash_at_any_step_of_an_order_leaves_one_order_and_its_stop() -> None:
    """Killed 1, 2, 3... steps after handing an order over, again and again."""
    for steps in range(1, 24, 4):
        faults = after_bars(Kind.CRASH_IN_ORDER, seconds=2.0, value=float(steps))
        outcome = run_day(Schedule(seed=steps, faults=tuple(faults), hours=12.0))
        assert outcome.finding is None, f"{steps} steps: {outcome.finding}"
        assert outcome.struck["crash_in_order"] >= 1


class _LeavesEntries(Stopping):
    def _cancel_entries(self) -> None:
        """Leave the entries at rest where they are."""


def test_a_stop_that_leaves_an_entry_at_rest_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it opens would have no stop; the production trader cancels it, also while orders fill in parts."""
    monkeypatch.setattr(
        "quantum_trader.lab.simulation.world.engine_settings",
        lambda **which: msgspec.structs.replace(engine_settings(**which), maker_entry_bars=2),
    )
    parts = [Fault(at_s=1.0, kind=Kind.PARTIAL_FILLS, on=symbol, seconds=80_000.0) for symbol in SYMBOLS]
    faults = (*parts, *after_bars(Kind.STOP_START, seconds=600.0, by_s=60.0))
    leaves = Variant(name="leaves-entries", wrong="it leaves them", parts=DriverParts(stopping=_LeavesEntries))

    found = run_day(Schedule(seed=0, faults=faults), leaves).finding

    assert found is not None
    assert found.invariant == "a graceful stop leaves nothing bare"
    assert run_day(Schedule(seed=0, faults=faults)).finding is None


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in VARIANTS]
)
def test_a_broken_trader_is_caught_when_provoked(name: str) -> None:
    """Within eight days that hold what it is weak against."""
    faults = tuple(sorted(PROVOCATIONS.get(name, []), key=lambda fault: fault.at_s))
    findings = []
    for seed in range(8):
        outcome = run_day(Schedule(seed=seed, faults=faults), VARIANTS[name])
        if outcome.finding is not None:
            findings.append(outcome.finding)
            break

    assert findings, f"{name} ({VARIANTS[name].wrong}) got through eight days"


@pytest.mark.long
@pytest.mark.parametrize("name", list(VARIANTS))
def test_a_broken_trader_is_caught_by_chance_too(name: str) -> None:
    """Random schedules find it within the stated number of seeds."""
    schedules = [schedule_of(seed, clients=name in BY_CLIENTS) for seed in range(WITHIN)]
    assert any(not clean(outcome) for _, outcome in run_schedules(schedules, name))


class _HastyStop(Stopping):
    async def wind_down(self) -> None:
        """End without waiting for messages."""


def test_a_stop_that_does_not_wait_for_its_stops_is_caught() -> None:
    """OperatorRequestReceived to end while an opening is on its way, the trader has to see it protected first."""
    faults = tuple(after_bars(Kind.STOP_START, seconds=600.0, by_s=0.09))
    hasty = Variant(name="hasty-stop", wrong="it ends at once", parts=DriverParts(stopping=_HastyStop))

    found = run_day(Schedule(seed=0, faults=faults), hasty).finding

    assert found is not None
    assert found.invariant == "a graceful stop leaves nothing bare"
    assert run_day(Schedule(seed=0, faults=faults)).finding is None


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in PROVOCATIONS]
)
def test_the_production_trader_withstands_what_provokes_the_broken_ones(name: str) -> None:
    """The same schedules, nothing broken: the variants differ by what is wrong with them."""
    ordered = tuple(sorted(PROVOCATIONS[name], key=lambda fault: fault.at_s))

    assert run_day(Schedule(seed=1, faults=ordered)).finding is None


def test_a_failing_day_is_made_small_and_fails_again_when_it_was_printed() -> None:
    """Of many faults the one that matters is left; JSON and back it breaks the same thing at the same step."""
    noise = tuple(Fault(at_s=3_000.0 + 500.0 * n, kind=Kind.SLOW, on="query", seconds=1.0) for n in range(20))
    flatten = Fault(at_s=4.0 * 3600.0, kind=Kind.FLATTEN)
    variant = variant_of("reduce-gated")
    faults = tuple(sorted((*noise, flatten), key=lambda fault: fault.at_s))
    for seed in range(8):
        first = run_day(Schedule(seed=seed, faults=faults, hours=6.0), variant)
        if first.finding is not None:
            break
    assert first.finding is not None

    small = smallest(Schedule(seed=first.seed, faults=faults, hours=6.0), first.finding, variant)
    again = run_day(decode(encode(small)), variant)

    assert [fault.kind for fault in small.faults] == [Kind.FLATTEN]
    assert again == run_day(small, variant)
    assert again.finding is not None
    assert again.finding.invariant == first.finding.invariant


def test_the_command_ends_with_1_and_says_how_to_see_it_again(tmp_path: Path) -> None:
    """Seed, invariant, smallest schedule; the written file breaks the same."""
    target = tmp_path / "small.json"
    runner = CliRunner()

    result = runner.invoke(
        app, ["--seeds", "3", "--variant", "double-intent", "--jobs", "1", "--out", str(target)]
    )
    again = runner.invoke(app, ["--schedule", str(target), "--variant", "double-intent", "--json"])

    assert result.exit_code == 1
    assert "FAILED, seed" in result.stdout
    assert "one order per intent" in result.stdout
    assert f"--schedule {target}" in result.stdout
    assert again.exit_code == 1
    assert json.loads(again.stdout)["broken"]["invariant"] == "one order per intent"


def test_the_command_reports_the_days_and_ends_with_0() -> None:
    """Days, steps, faults by kind, trades; JSON on request; an unknown variant is refused."""
    result = CliRunner().invoke(app, ["--seeds", "2", "--first-seed", "1", "--jobs", "1", "--json"])
    unknown = CliRunner().invoke(app, ["--seeds", "1", "--variant", "perfect"])
    listed = CliRunner().invoke(app, ["--variant", "list"])

    report = json.loads(result.stdout)
    assert result.exit_code == 0
    assert report["seeds"] == [1, 2]
    assert report["totals"]["days"] == 2
    assert report["totals"]["steps"] > 10_000
    assert sum(report["totals"]["struck"].values()) > 0
    assert report["broken"] is None
    assert unknown.exit_code != 0
    assert all(name in listed.stdout for name in VARIANTS)


def test_generated_days_are_short_enough_to_run_and_long_enough_to_matter() -> None:
    """Up to two dozen faults, none in the last hour, so that a day can come to rest; some begin with a position."""
    schedules = [generate(seed, SYMBOLS) for seed in range(100)]

    before = [schedule.faults[0] for schedule in schedules if schedule.faults and schedule.faults[0].at_s == 0.0]
    for schedule in schedules:
        later = [fault for fault in schedule.faults if fault.at_s > 0.0]
        assert len(later) <= 24
        assert all(fault.at_s <= 23.0 * 3600.0 for fault in later)
    assert before
    assert {fault.kind for fault in before} == {Kind.MANUAL_OPEN}


def test_pairs_hold_every_two_kinds_once() -> None:
    """But for the delisting, after which there is nothing to trade."""
    kinds = len(MAKERS) - 1
    made = [frozenset(fault.kind for fault in one.faults) - {Kind.RESUME} for one in pairs(1, SYMBOLS)]

    assert len(made) == kinds * (kinds + 1) // 2
    assert len(set(made)) == len(made) - (kinds - 1)  # RESUME is in all of them, so each kind stands alone twice
