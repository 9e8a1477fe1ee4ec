"""A pilot that breaks a limit goes back to SHADOW: after any restart, and where the policy store refuses."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from tests.pilot.made_pilot import saved, untrained

from quantum_trader.app.runs import pilot_run
from quantum_trader.app.runs.pilot_run import PILOT_FOLDER, DemotionWatch, RunPilot, keep_artefact
from quantum_trader.app.settings import PilotOptions, RunSettings
from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_MINUTE, from_ns
from quantum_trader.domain.enums import PilotMode
from quantum_trader.domain.errors import StateError
from quantum_trader.domain.pilot_settings import LIMITS, PilotSettings
from quantum_trader.engine.facts import PilotChanged
from quantum_trader.engine.pilot_shadows import PilotTotals
from quantum_trader.pilot.artefact import load_artefact
from quantum_trader.policy.pilot_evidence import ShadowDay

PRIMARY, SHADOW = PilotMode.PRIMARY, PilotMode.SHADOW
BEGAN = 19_000  # day


def engine(
    results: list[float], mode: PilotMode = PRIMARY, since_ns: int = BEGAN * NS_PER_DAY, trades: tuple[Any, ...] = (),
    settings: PilotSettings | None = None,
) -> Any:
    """What the watch reads of an engine whose pilot made *results* on the days from the first on."""
    days = tuple(
        ShadowDay(
            day=from_ns((BEGAN + place) * NS_PER_DAY).date().isoformat(), pilot=result, signals=0.0, hybrid=result,
            hours=24.0, decisions=48,
        )
        for place, result in enumerate(results)
    )
    return SimpleNamespace(
        piloting=SimpleNamespace(
            totals=PilotTotals(48 * len(days), (), (0.0, 0.0, 0.0), days), identity="m" * 64,
            tenure=SimpleNamespace(mode_since_ns=since_ns, promoted="m" * 64),
            stance=SimpleNamespace(mode=mode, settings=settings or PilotSettings(mode=mode)),
        ),
        account=SimpleNamespace(equity=10_000.0), records=SimpleNamespace(tally=SimpleNamespace(trades=list(trades))),
    )


def trade(day: int, pnl: float) -> Any:
    """A trade of the pilot that ended at the start of *day*."""
    return SimpleNamespace(model="RL_V3_PRIMARY", pnl=pnl, exit_ns=(BEGAN + day) * NS_PER_DAY)


def test_a_trader_that_starts_anew_each_day_does_not_forget_the_drawdown() -> None:
    """Two percent a day in a new process each: on the third day it has lost more than five."""
    results, told = [-0.02, -0.02, -0.02], []
    for count in range(1, 4):
        told.append(DemotionWatch().reason(engine(results[:count])))
    assert told[:2] == ["", ""]
    assert told[2].startswith("drawdown of its shadow book: 6.00%")


def test_what_was_before_it_traded_does_not_count() -> None:
    """Days and trades of before the mode was put into force; until a day has ended after it nothing is said."""
    lost = trade(0, -2_000.0), trade(2, -100.0)
    assert DemotionWatch().reason(engine([-0.5, -0.5], since_ns=(BEGAN + 2) * NS_PER_DAY, trades=lost)) == ""
    assert DemotionWatch().reason(engine([-0.5, -0.5, 0.0], since_ns=(BEGAN + 2) * NS_PER_DAY, trades=lost)) == ""
    assert "its trades: 20.00%" in DemotionWatch().reason(engine([0.0], trades=lost[:1]))


def test_it_looks_once_a_day_and_only_where_the_pilot_trades() -> None:
    """A second look on the same day says nothing; in SHADOW nothing is watched."""
    watch, fallen = DemotionWatch(), engine([-0.2])
    assert watch.reason(fallen)
    assert watch.reason(fallen) == ""
    assert DemotionWatch().reason(engine([-0.2], SHADOW)) == ""


@pytest.fixture
def pilot(tmp_path: Path) -> RunPilot:
    """A run's pilot in PRIMARY with its store."""
    made = RunPilot(
        RunSettings(pilot=PilotOptions(model=str(saved(tmp_path / "model")), mode=PRIMARY)), ("BTCUSDT",),
        30 * NS_PER_MINUTE,
    )
    (tmp_path / "state").mkdir(mode=0o700)
    made.keep_in(tmp_path / "state", begun=False)
    return made


def looked(pilot: RunPilot, found: Any) -> list[PilotChanged]:
    """The changes that a look at the engine *found* puts into force there."""
    changes: list[PilotChanged] = []
    pilot.look(found, changes.append)
    for one in changes:
        found.piloting.stance.settings = one.after
        found.piloting.stance.mode = one.after.mode_in_force
    return changes


def test_a_store_that_refuses_does_not_keep_a_pilot_trading(
    pilot: RunPilot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SHADOW is in force at once, nothing is raised, and the store is told later."""
    store, found = pilot._store, engine([-0.2])
    found.piloting.stance.settings = PilotSettings(mode=PRIMARY)
    assert store is not None
    seconds = [0.0]
    monkeypatch.setattr(pilot_run.time, "monotonic", lambda: seconds[0])
    with monkeypatch.context() as full:
        def refuse(*_: Any, **__: Any) -> None:
            raise StateError("cannot be written (No space left on device)")

        full.setattr(store, "change", refuse)
        change, = looked(pilot, found)
        assert (change.actor, change.after.mode) == (LIMITS, SHADOW)
        assert change.reason.startswith("drawdown of its shadow book")
        assert looked(pilot, found) == []
        seconds[0] += 61.0
        assert looked(pilot, found) == []
    assert store.pilot.mode is PRIMARY
    seconds[0] += 61.0
    assert looked(pilot, found) == []
    assert store.pilot.mode is SHADOW
    assert store.read().state.changes[-1].actor == LIMITS


def test_a_person_who_puts_it_into_force_again_has_the_last_word(
    pilot: RunPilot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later change of the mode ends that it is held back; one of another setting does not."""
    store, found = pilot._store, engine([-0.2])
    assert store is not None
    change = store.change

    def refuse(*arguments: Any, **more: Any) -> Any:
        if more["actor"] == LIMITS:
            raise StateError("locked")
        return change(*arguments, **more)

    monkeypatch.setattr(store, "change", refuse)
    looked(pilot, found)
    store.change({"min_confidence": 0.7}, seen_version=None, actor="ann", reason="surer")
    made, = looked(pilot, found)
    assert made.after == PilotSettings(mode=SHADOW, min_confidence=0.7)
    store.change({"mode": "OFF"}, seen_version=None, actor="ann", reason="look")
    store.change({"mode": "PRIMARY"}, seen_version=None, actor="ann", reason="I have looked")
    made, = looked(pilot, found)
    assert (made.actor, made.after.mode) == ("ann", PRIMARY)


def test_the_model_that_a_run_was_begun_with_is_not_replaced(tmp_path: Path) -> None:
    """Its records and its evidence are of that one; before the run has begun, and with the same one, all is well."""
    first, other = untrained(3), untrained(4)
    keep_artefact(tmp_path, first)
    keep_artefact(tmp_path, first, begun=True)
    with pytest.raises(StateError, match=r"begun with model .*; give that model .*, or start a new --state folder"):
        keep_artefact(tmp_path, other, begun=True)
    assert load_artefact(tmp_path / PILOT_FOLDER).card.identity == first.card.identity
    keep_artefact(tmp_path, other)
    assert load_artefact(tmp_path / PILOT_FOLDER).card == msgspec.structs.replace(other.card)
