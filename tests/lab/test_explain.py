"""Decisions explained: every change that is named turns the decision, and none smaller does."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import NormalDist

import msgspec
import numpy as np
import pytest
from tests.lab.recorded_signals import Recorded, recorded, settings_of, varied

from quantum_trader.domain.errors import InputError, StateError
from quantum_trader.engine.decision_inputs import DecisionInputs, decide_again
from quantum_trader.lab.explain import DecisionContext, GateExplainer, explain_inputs
from quantum_trader.lab.explain.changeable import CHANGEABLE
from quantum_trader.lab.explain.kernel import APPROVED, FOUND, NUMBER, WHOLE
from quantum_trader.lab.explain.row import RULES
from quantum_trader.lab.explain.search import Decision, FoundChange
from quantum_trader.lab.explain.words import UNCHANGEABLE, rounded
from quantum_trader.policy import layout as pol
from quantum_trader.risk import account_column as acc

QUICK, LONG = 250, 10_000  # decisions at random
_LESS = 1e-6  # of a change: so much less of it turns nothing
_LEAST = 1e-9  # of a figure: a smaller step is none


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> list[Recorded]:
    """The signals of `make run`, of six months."""
    return recorded(tmp_path_factory.mktemp("observed"), settings_of("2018-03-01", "2018-09-01"))


@pytest.fixture(scope="module")
def enforced(tmp_path_factory: pytest.TempPathFactory) -> list[Recorded]:
    """The same with the policy and most gates enforced."""
    return recorded(tmp_path_factory.mktemp("enforced"), settings_of("2018-01-01", "2018-07-01", enforced=True))


def turned(decision: Decision, changes: dict[int, float]) -> bool:
    """Whether *changes* turn the decision, by gates, sizing and guard as they are, and the policy's own rules."""
    return decide_again(decision.inputs_with(changes)).is_approved is not decision.made.is_approved


def short_of(found: FoundChange) -> float | None:
    """A value a little nearer to where the input stood than the edge; None where there is none."""
    kind = CHANGEABLE[found.place].kind
    if kind == WHOLE:
        return found.edge + (1.0 if found.before > found.edge else -1.0)
    step = max(_LESS * abs(found.edge - found.before), _LEAST * max(abs(found.before), CHANGEABLE[found.place].least))
    if kind != NUMBER or not math.isfinite(found.before) or step >= abs(found.edge - found.before):
        return None
    return found.edge + math.copysign(step, found.before - found.edge)


def check_singles(decision: Decision) -> int:
    """Each change turns the decision and a slightly smaller one does not; returns how many there are."""
    changes = decision.single_changes()
    for found in changes:
        key = CHANGEABLE[found.place].key
        assert turned(decision, {found.place: found.after}), (decision.inputs.signal_id, key, found)
        assert turned(decision, {found.place: found.edge}), (decision.inputs.signal_id, key, found)
        if (less := short_of(found)) is not None and less != found.before:
            assert not turned(decision, {found.place: less}), (decision.inputs.signal_id, key, found, less)
        for other in found.others:
            assert turned(decision, {found.place: other}), (decision.inputs.signal_id, key, other)
    return len(changes)


def check_joint(decision: Decision) -> int:
    """All changes together turn the decision; without one of them, or with a little less of one, they do not."""
    together = decision.joint_change()
    changes = {found.place: found.after for found in together}
    if together:
        assert turned(decision, changes), (decision.inputs.signal_id, together)
    edges = {found.place: found.edge for found in together}
    for found in together:
        others = {place: value for place, value in edges.items() if place != found.place}
        assert not turned(decision, others), (decision.inputs.signal_id, found, together)
        if (less := short_of(found)) is not None:
            assert not turned(decision, {**others, found.place: less}), (decision.inputs.signal_id, found, less)
    return len(together)


def check(inputs: DecisionInputs, context: DecisionContext) -> str:
    """Check one decision; returns what would turn it: "" for an approved one."""
    decision = Decision(inputs, context)
    assert decide_again(decision.inputs_with({})) == decision.made
    assert (decision._progress({}) >= APPROVED) is decision.made.is_approved
    if decision.made.is_approved:
        return ""
    if check_singles(decision):
        return "single"
    return "joint" if check_joint(decision) else f"nothing: {decision.made.reason}"


def refused(signals: list[Recorded]) -> list[Recorded]:
    """Those that were refused."""
    return [one for one in signals if one[2]]


def test_the_decision_made_again_is_the_recorded_one(observed: list[Recorded], enforced: list[Recorded]) -> None:
    """Reason by reason, and the policy's own rules give what was in force or something looser that waits."""
    for inputs, _context, reason in [*observed, *enforced]:
        assert decide_again(inputs).reason == reason
    followed = [Decision(inputs, context) for inputs, context, _ in enforced]
    assert all(one.row[RULES] == 1.0 for one in followed)


def test_what_is_named_turns_each_refused_signal_of_a_run(observed: list[Recorded], enforced: list[Recorded]) -> None:
    """Every refusal but those that no change turns has a change, and each of them is verified and the smallest."""
    assert len(refused(observed)) >= 10
    assert len({reason for _, _, reason in refused(enforced)}) >= 5
    for inputs, context, reason in [*refused(observed), *refused(enforced)]:
        found = check(inputs, context)
        assert found in ("single", "joint"), (inputs.signal_id, reason, found)


def random_decisions(signals: list[Recorded], count: int, seed: int = 7) -> dict[str, int]:
    """Check *count* decisions like the recorded ones, at random; returns how many were turned by what."""
    random, turned_by = np.random.default_rng(seed), dict[str, int]()
    while sum(rounded for kind, rounded in turned_by.items() if kind) < count:
        inputs, context = varied(signals[int(random.integers(len(signals)))], random)
        kind = check(inputs, context)
        turned_by[kind] = turned_by.get(kind, 0) + 1
    return turned_by


def check_turned_by(turned_by: dict[str, int], count: int) -> None:
    """Both kinds of changes are among them, and hardly one of those that a change can turn is without."""
    assert turned_by["single"] > count // 4
    assert turned_by["joint"] > count // 10
    unchangeable = {f"nothing: {reason}" for reason in UNCHANGEABLE}
    without = {kind: number for kind, number in turned_by.items() if kind.startswith("nothing")}
    assert sum(number for kind, number in without.items() if kind not in unchangeable) <= count // 100, without


def test_what_is_named_turns_decisions_at_random(observed: list[Recorded], enforced: list[Recorded]) -> None:
    """Other inputs, switches and gates: what is named turns the decision, and a slightly smaller change does not."""
    check_turned_by(random_decisions([*observed, *enforced], QUICK), QUICK)


@pytest.mark.long
def test_what_is_named_turns_ten_thousand_decisions_at_random(
    observed: list[Recorded], enforced: list[Recorded]
) -> None:
    """The same of many more."""
    check_turned_by(random_decisions([*observed, *enforced], LONG, seed=8), LONG)


@pytest.mark.long
def test_what_is_named_turns_every_refused_signal_of_make_run(tmp_path: Path) -> None:
    """All refused signals of the whole bundled recording."""
    signals = refused(recorded(tmp_path, settings_of("", "")))
    assert len(signals) > 25
    for inputs, context, reason in signals:
        assert check(inputs, context) in ("single", "joint"), (inputs.signal_id, reason)


def test_inputs_that_are_left_out_of_a_search_turn_nothing(enforced: list[Recorded]) -> None:
    """Only the inputs that bear on the check that refuses are searched; a search of all finds no other ones."""
    everything = np.ones(len(CHANGEABLE), dtype=np.bool_)
    for inputs, context, _ in refused(enforced)[:60]:
        decision = Decision(inputs, context)
        some = {found.place for found in decision.single_changes()}
        decision._search(everything & (decision._bears != 0), APPROVED, {})
        assert {int(place) for place in np.flatnonzero(decision._results[:, FOUND])} == some


def test_no_value_nearer_than_the_one_named_turns_the_decision(enforced: list[Recorded]) -> None:
    """Along each number, of a grid between where it stands and the edge that was found."""
    for inputs, context, _ in refused(enforced)[:40]:
        decision = Decision(inputs, context)
        for found in decision.single_changes():
            if CHANGEABLE[found.place].kind != NUMBER or not math.isfinite(found.before):
                continue
            for value in np.linspace(found.before, found.edge, 30, endpoint=False)[1:].tolist():
                assert not turned(decision, {found.place: value}), (inputs.signal_id, found, value)


# ---------------------------------------------------------------------- words


def fields(value: list[float], at: int, new: float) -> tuple[float, ...]:
    """*value* with another figure at one place."""
    return tuple(new if place == at else one for place, one in enumerate(value))


@pytest.fixture(scope="module")
def approved(observed: list[Recorded]) -> Recorded:
    """A signal from flat that was let through."""
    return next(one for one in observed if not one[2] and not one[0].position.adds)


def with_account(inputs: DecisionInputs, at: int, value: float) -> DecisionInputs:
    """*inputs* with another figure of the account."""
    return msgspec.structs.replace(inputs, account=fields(list(inputs.account), at, value))


def with_market(inputs: DecisionInputs, at: int, value: float) -> DecisionInputs:
    """*inputs* with another figure of the guard's market row."""
    return msgspec.structs.replace(inputs, market=fields(list(inputs.market), at, value))


REFUSALS = {
    "KILL_SWITCH": (lambda one: with_account(one, acc.KILL, 1.0), "kill switch", "kill_switch"),
    "DISCONNECTED": (lambda one: with_account(one, acc.CONNECTED, 0.0), "not connected", "connection"),
    "GOVERNOR": (lambda one: with_account(one, acc.GOVERNOR, 3.0), "EMERGENCY", "governor"),
    "SYMBOL_HALTED": (lambda one: with_market(one, 3, 2.0), "halted by bad ticks", "symbol_halted"),
    "DAILY_LOSS": (lambda one: with_account(one, acc.MIDNIGHT_PNL, -6.0), "-6.00 %", "day_change_pct"),
    "ORDER_RATE": (lambda one: with_account(one, acc.ORDERS_HOUR, 60.0), "60 opening orders", "orders_last_hour"),
    "STALE_DATA": (lambda one: with_market(one, 1, 500.0), "500 s old", "data_age_s"),
    "COST": (lambda one: with_market(one, 0, 0.5), "0.500 R", "cost_in_r"),
    "POSITIONS": (lambda one: with_account(one, acc.POSITIONS, 10.0), "11 positions", "guard_positions"),
    "EXPOSURE": (lambda one: with_account(one, acc.USED_MARGIN, 1e5), "exposure would be", "exposure_pct"),
    "BELOW_MINIMUM_SIZE": (lambda one: msgspec.structs.replace(one, quantity=1e-9), "least order", "equity"),
    "LOW_CONFIDENCE": (lambda one: msgspec.structs.replace(one, confidence=0.2), "0.200", "confidence"),
    "POSITION_LIMIT": (
        lambda one: msgspec.structs.replace(one, position=msgspec.structs.replace(one.position, open_count=9)),
        "9 positions", "open_positions",
    ),
    "PILOT_PRIMARY": (lambda one: msgspec.structs.replace(one, pilot_road=14), "pilot alone", "pilot"),
    "PILOT_MORE_CONFIDENT": (
        lambda one: msgspec.structs.replace(one, pilot_road=15, pilot=(0.8, 0.6, 0.55)), "0.800", "pilot_confidence",
    ),
    "WARM_UP": (lambda one: msgspec.structs.replace(one, atr=math.nan), "warming up", ""),
    "ALREADY_HELD": (
        lambda one: msgspec.structs.replace(one, position=msgspec.structs.replace(one.position, sign=one.sign)),
        "open already", "",
    ),
    "ORDER_PENDING": (
        lambda one: msgspec.structs.replace(one, position=msgspec.structs.replace(one.position, pending=1)),
        "on its way", "",
    ),
    "CLOSES_FIRST": (
        lambda one: msgspec.structs.replace(
            one, position=msgspec.structs.replace(one.position, sign=-one.sign, open_count=1)
        ), "closes first", "opposite_position",
    ),
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_each_refusal_is_told_in_a_sentence_with_its_figures_and_what_ends_it(reason: str, approved: Recorded) -> None:
    """The reason in words, the figure beside its limit, and the input that a person thinks of first."""
    change, words, key = REFUSALS[reason]
    told = explain_inputs(change(approved[0]), approved[1])
    assert told.reason == reason
    assert words in told.summary
    assert told.summary.startswith(f"{told.symbol} {told.side} was not traded: ")
    if key:
        assert key in {one.input for one in (*told.changes, *told.joint)}, told.what_to_change
        assert told.what_to_change
    else:
        assert not told.changes
        assert told.what_to_change[0].startswith("Nothing that can be changed")
    if told.margin is not None:
        assert told.margin < 0.0
        assert told.observed is not None


def test_the_confidence_of_a_model_is_told_as_expected_return_against_cost(observed: list[Recorded]) -> None:
    """No edge after costs: expected ± error against the cost, and what either would have to be, by the normal law."""
    inputs, context, _ = next(one for one in observed if one[2] == "LOW_CONFIDENCE")
    told = explain_inputs(inputs, context)
    expected, cost, error = inputs.gates[4], inputs.gates[5], context.features["error_bps"]
    asked = inputs.used[2]
    z = NormalDist().inv_cdf(asked)
    assert "no edge after costs" in told.summary
    assert f"± {rounded(error)} bps" in told.summary
    by_key = {one.input: one for one in told.changes}
    assert by_key["expected_bps"].edge == pytest.approx(cost + z * error, rel=1e-8)
    assert by_key["cost_bps"].edge == pytest.approx(expected - z * error, rel=1e-8)
    assert by_key["confidence"].edge == pytest.approx(asked, rel=1e-9)


def test_an_approved_signal_is_told_by_what_came_closest_to_refusing_it(approved: Recorded) -> None:
    """The smallest change of each input that would have refused it, with the reason, the smallest first."""
    told = explain_inputs(approved[0], approved[1])
    assert (told.decision, told.reason) == ("ALLOWED", "")
    assert "What came closest to refusing it" in told.summary
    assert [one.relative for one in told.changes] == sorted(one.relative for one in told.changes)
    assert {one.input: one.reason for one in told.changes}["kill_switch"] == "KILL_SWITCH"
    assert {one.input: one.reason for one in told.changes}["confidence"] == "LOW_CONFIDENCE"


def test_a_gate_that_did_not_decide_is_explained_as_if_it_were_enforced(approved: Recorded) -> None:
    """By the published name; a reason that is not the signal's is refused."""
    inputs, context, _ = approved
    told = GateExplainer().explain_rejection("meta_label", None, inputs, context)
    assert told.reason == "GATE_META_LABEL"
    assert "is not measured" in told.summary
    change = next(one for one in told.changes if one.input == "win_probability")
    assert change.before is None
    assert change.after == pytest.approx(1.0 / 3.0, rel=1e-3)
    with pytest.raises(InputError, match="gate_name = 'COST': the signal was let through"):
        GateExplainer().explain_rejection("COST", None, inputs, context)


def test_a_gate_behind_the_check_that_refused_is_explained_by_its_own_figures(observed: list[Recorded]) -> None:
    """Its sentence and its margin, not those of the confidence; one that passes is no reason."""
    inputs, context, _ = next(one for one in observed if one[2] == "LOW_CONFIDENCE")
    row = (*inputs.gates[:1], 0.1, *inputs.gates[2:])
    thin = msgspec.structs.replace(inputs, gates=row)
    told = GateExplainer().explain_rejection("volume", None, thin, context)
    assert "does not pass the volume gate: the last hour's volume is 0.1000 ×" in told.summary
    assert "Before it, this refused: " in told.summary
    assert (told.observed, told.limit, told.unit) == (0.1, inputs.gate_limits[1], "×")
    assert told.margin == pytest.approx(0.1 - inputs.gate_limits[1])
    assert {one.input for one in told.joint} >= {"volume_ratio"}
    with pytest.raises(InputError, match="gate_name = 'spread': the signal passes it: the spread is"):
        GateExplainer().explain_rejection("spread", None, thin, context)


def test_inputs_that_are_none_are_refused_with_the_key(approved: Recorded) -> None:
    """A row of another version, and a context with another type."""
    raw = msgspec.json.decode(msgspec.json.encode(approved[0]))
    with pytest.raises(StateError, match=r"signal\.inputs: .*gates: 9 numbers; 10 are needed"):
        GateExplainer().explain_rejection("spread", None, {**raw, "gates": raw["gates"][:9]})
    with pytest.raises(StateError, match="tiers: each needs 4 numbers"):
        GateExplainer().explain_rejection("spread", None, {**raw, "tiers": [[1.0]]})
    with pytest.raises(InputError, match="context = "):
        GateExplainer().explain_rejection("meta_label", None, raw, {"bonus": "high"})


def test_records_as_they_are_on_disk_are_taken_too(approved: Recorded) -> None:
    """The mappings of signal.decided and signal.inputs, with null for what is not measured."""
    inputs, _, _ = approved
    raw = msgspec.json.decode(msgspec.json.encode(inputs))
    assert raw["gates"][8] is None
    told = GateExplainer().explain_rejection("", {"reason": ""}, raw)
    assert told.decision == "ALLOWED"


def test_the_policy_explains_itself_by_the_rules_that_fired(enforced: list[Recorded]) -> None:
    """A trading gate names its rules, and the change is one that they look at."""
    inputs, context, _ = next(
        one for one in enforced if one[2] == "TRADING_GATE" and explain_inputs(one[0], one[1]).changes
    )
    told = explain_inputs(inputs, context)
    assert "A4 EXTREME volatility" in told.summary
    assert {"volatility"} == {one.input for one in told.changes}
    assert any(rule.startswith("A4 ") for rule in told.rules)
    without = explain_inputs(inputs, msgspec.structs.replace(context, profile=()))
    assert {one.input for one in without.changes} | {one.input for one in without.joint} >= {"policy_gate"}


def test_a_symbol_barred_for_its_cost_alone_has_a_margin(approved: Recorded) -> None:
    """The round trip in R beside the profile's most, and a change of the cost that turns it."""
    inputs, context, _ = approved
    dear = 0.2
    row = list(inputs.policy_market)
    row[pol.IN_COST_IN_R] = dear
    barred = fields(list(inputs.policy), 1, 0.0)
    told = explain_inputs(msgspec.structs.replace(
        with_market(inputs, 0, dear), switches=(1,) * len(inputs.switches), policy=barred, used=barred,
        policy_market=tuple(row),
    ), context)
    most = context.profile[pol.PROFILE_MAX_COST_R]
    assert told.reason == "SYMBOL_FILTER"
    assert (told.observed, told.limit, told.unit) == (dear, most, "R")
    assert told.margin == pytest.approx(most - dear)
    assert "cost_in_r" in {one.input for one in (*told.changes, *told.joint)}
