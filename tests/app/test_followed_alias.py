"""A live run that follows an alias: promoted, rolled back and refused while it trades, without a restart."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.lab.registry.made_registry import promote, with_pilots
from tests.pilot.made_pilot import untrained
from tests.properties.live_road import live_run

from quantum_trader.app.runs.kernels import compile_kernels
from quantum_trader.app.runs.live import LiveRun
from quantum_trader.app.runs.model_watch import RETRY_S, ModelWatch, ReadyModel
from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.enums import OrderStatus, OrderType, PilotMode
from quantum_trader.domain.errors import StateError
from quantum_trader.domain.trading import Fill, OrderRequest, OrderUpdate
from quantum_trader.engine.facts import ModelRefused, PilotChanged
from quantum_trader.journal.lake import Lake
from quantum_trader.lab.registry import ModelRegistry
from quantum_trader.live.inputs import BarsReceived, PilotSettingsReceived, SessionStarted, VenueEventReceived
from quantum_trader.pilot.artefact import save_artefact

BAR = 15 * 60_000_000_000
START = 1_700_006_400_000_000_000 // NS_PER_HOUR * NS_PER_HOUR
EVERY = 2  # bars of an observed one
WARM = 410  # bars, which the slowest feature needs
SYMBOLS = ("BTCUSDT", "ETHUSDT")


@contextmanager
def following(folder: Path, registry: ModelRegistry, **pilot: Any) -> Iterator[LiveRun]:
    """A live session that follows the champion of *registry*; begun, where it is new, with its first bars behind it."""
    given = {"model": "registry:champion", "registry": str(registry.folder), "min_confidence": 0.0, **pilot}
    settings = {f"pilot.{key}": (value, "t") for key, value in given.items()}
    settings |= {
        "policy.enabled": (False, "t"), "rollout.fixed_confidence": (0.0, "t"), "risk.max_cost_r": (10.0, "t"),
        "risk.max_orders_per_hour": (100_000, "t"), "risk.max_exposure_pct": (100.0, "t"),
        "risk.daily_loss_pct": (50.0, "t"),
    }
    with live_run(folder / "state", settings, interval=("15m", "t"), on_foreign=("adopt", "t")) as live:
        compile_kernels(live.engine, live.pilot.artefact)  # else the first answer of a new installation is too late
        taken = live.recover()
        if not taken and live.checkpoint is None:
            live.session.apply(SessionStarted(
                ts_ns=START, wallet=10_000.0, namespace="n-", statement=live.driver._statement
            ))
            for change in live._pilot_settings():
                live.session.apply(msgspec.structs.replace(change, ts_ns=START))
        yield live


def bars(live: LiveRun, first: int, last: int) -> list[OrderRequest]:
    """The bars from *first* to *last*; what is sent is acknowledged, and filled where it goes at the market."""
    sent = []
    for number in range(first, last):
        wave = 1.0 + 0.01 * np.sin(number / 30.0) + 0.002 * np.sin(number / 3.0)
        rows = np.array([[base * wave, base * wave * 1.001, base * wave * 0.999, base * wave, 100.0]
                         for base in (10_000.0, 1_000.0)])
        ts_ns = START + number * BAR
        for order in live.session.apply(BarsReceived(
            ts_ns=ts_ns, received_ns=ts_ns + BAR, ohlcv=rows.tobytes(), present=np.ones(2, np.bool_).tobytes(),
        )):
            if isinstance(order, OrderRequest):
                sent.append(order)
                accept(live, order, float(rows[SYMBOLS.index(order.symbol), 3]))
    return sent


def accept(live: LiveRun, order: OrderRequest, price: float) -> None:
    """Acknowledge an order, and fill it where it goes at the market."""
    def update(status: OrderStatus, filled: float = 0.0) -> None:
        live.session.apply(VenueEventReceived.of(OrderUpdate(
            client_order_id=order.client_order_id, venue_order_id="1", symbol=order.symbol, status=status,
            ts_ns=live.engine.now_ns, filled_qty=filled,
        )))

    update(OrderStatus.NEW)
    if order.type is not OrderType.MARKET:
        return
    followed = live.session.apply(VenueEventReceived.of(Fill(
        fill_id=f"{order.symbol}-{order.client_order_id}", symbol=order.symbol, side=order.side, qty=order.qty,
        price=price, client_order_id=order.client_order_id, fee=0.0, liquidity="taker", ts_ns=live.engine.now_ns,
    )))
    update(OrderStatus.FILLED, order.qty)
    for stop in followed:
        if isinstance(stop, OrderRequest):
            accept(live, stop, price)


def look(live: LiveRun) -> list[str]:
    """Let the watch look once, and give the session what it found; the kinds of the inputs."""
    watch = live.models.watches["pilot"]
    watch.answer(live.engine.piloting.identity)
    watch.look()
    found = live._models_that_take_over()
    for event in found:
        live.session.apply(event)
    return [type(event).__name__ for event in found]


def records(live: LiveRun, topic: str = "") -> list[Any]:
    """The data of every record of *topic*."""
    live.session.finish_bars()
    live.records.records.sync()
    lines = (live.state_dir.path / "records.jsonl").read_bytes().splitlines()
    found = [msgspec.json.decode(line) for line in lines]
    return [one["data"] for one in found if one["topic"] == topic] if topic else found


def save(live: LiveRun) -> None:
    """Write a checkpoint; a busy machine's journal may need more than the second that live trading gives it."""
    assert any(live.session.checkpoint() for _ in range(60)), live.session.checkpoint_error


def mode(live: LiveRun, wanted: PilotMode) -> None:
    """Put another mode into force."""
    before = live.engine.piloting.stance.settings
    after = msgspec.structs.replace(before, mode=wanted)
    live.session.apply(PilotSettingsReceived(ts_ns=live.engine.now_ns, change=PilotChanged(
        actor="ann", reason="a test", before=before, after=after, version=2,
    )))


@pytest.fixture
def two(tmp_path: Path) -> tuple[ModelRegistry, list[str]]:
    """A registry with two pilots, the first one the champion."""
    registry, ids = with_pilots(tmp_path, 3, 4)
    promote(registry, ids[0])
    return registry, ids


def test_a_promotion_reaches_a_running_system(two: tuple[ModelRegistry, list[str]], tmp_path: Path) -> None:
    """The new champion decides on the next observed bar; the journal has which model was live from when, and why."""
    registry, (one, other) = two
    with following(tmp_path, registry) as live:
        bars(live, 0, WARM)
        assert look(live) == []
        registry.promote(other, "champion", actor="ben", reason="better on 2024", seen_version=None)
        assert look(live) == ["ModelReceived"]
        assert live.engine.piloting.identity == other
        assert look(live) == []
        bars(live, WARM, WARM + 2 * EVERY)
        decided = records(live, "pilot.decided")
        assert [row["model"] for row in decided[-3:]] == [one, other, other]
        save(live)
    told = Lake(tmp_path / "state" / "journal").sql(
        "select role, ids, before, alias, version, actor, reason from models_in_force order by seq"
    ).to_pylist()
    assert [row["ids"] for row in told if row["role"] == "pilot"] == [[one], [other]]
    assert told[-1] == {
        "role": "pilot", "ids": [other], "before": [one], "alias": "registry:champion", "version": 3, "actor": "ben",
        "reason": "better on 2024",
    }
    assert told[0]["version"] == 2


def test_after_a_kill_the_session_goes_on_with_the_model_in_force(
    two: tuple[ModelRegistry, list[str]], tmp_path: Path
) -> None:
    """From the state folder alone: the registry is gone, and the records come out the same, byte for byte."""
    registry, (one, other) = two
    with following(tmp_path, registry) as live:
        bars(live, 0, WARM)
        save(live)
        promote(registry, other)
        look(live)
        bars(live, WARM, WARM + EVERY)
        killed = records(live)
    shutil.rmtree(registry.folder)
    with following(tmp_path, registry) as live:
        assert live.engine.piloting.identity == other
        assert records(live) == killed
        bars(live, WARM + EVERY, WARM + 2 * EVERY)
        assert [row["model"] for row in records(live, "pilot.decided")[-3:]] == [one, other, other]
        save(live)
    with following(tmp_path, registry) as live:
        assert live.engine.piloting.identity == other
        assert "kind pilot has no champion" in look_notes(live)


def look_notes(live: LiveRun) -> str:
    """What the status says after a look."""
    look(live)
    return "; ".join(live.status(live.driver.health()).notes)


def test_a_missing_kept_model_stops_the_next_start(two: tuple[ModelRegistry, list[str]], tmp_path: Path) -> None:
    """The error names the file and what to do."""
    registry, (_, other) = two
    with following(tmp_path, registry) as live:
        bars(live, 0, 10)
        save(live)
        promote(registry, other)
        look(live)
        bars(live, 10, 20)
    (tmp_path / "state" / "models" / other / "weights.npz").unlink()
    with pytest.raises(StateError, match=f"{other}: cannot be used"), following(tmp_path, registry):
        pass


def test_a_rollback_while_it_trades(two: tuple[ModelRegistry, list[str]], tmp_path: Path) -> None:
    """In PRIMARY with both promoted here: back at the next bar, nothing is sent by the switch, every stop stays."""
    registry, (one, other) = two
    with following(tmp_path, registry, mode="PRIMARY", max_trades_per_hour=1000) as live:
        bars(live, 0, WARM)
        mode(live, PilotMode.SHADOW)
        promote(registry, other)
        assert look(live) == ["ModelReceived"]
        mode(live, PilotMode.PRIMARY)
        bars(live, WARM, WARM + 20 * EVERY)
        held = {symbol: position.plan.model_id for symbol, position in live.engine.account.books.positions.items()}
        assert other in held.values()
        orders, positions = live.engine.gateway.state(), live.engine.account.books.state()
        registry.rollback("champion", actor="ann", reason="its drawdown", seen_version=None)
        watch = live.models.watches["pilot"]
        watch.answer(live.engine.piloting.identity)
        watch.look()
        (event,) = live._models_that_take_over()
        assert live.session.apply(event) == []
        assert (live.engine.gateway.state(), live.engine.account.books.state()) == (orders, positions)
        assert live.engine.piloting.identity == one
        assert all(live.engine.gateway.is_protected(held) for held in live.engine.account.books.positions.values())
        bars(live, WARM + 20 * EVERY, WARM + 40 * EVERY)
        assert {row["model"] for row in records(live, "pilot.decided")[-19:]} == {one}
        mode(live, PilotMode.SHADOW)  # a person ends its trading: its positions are closed
        bars(live, WARM + 40 * EVERY, WARM + 41 * EVERY)
        assert live.engine.account.books.positions == {}
        assert {row["model_id"] for row in records(live, "trade.closed")} == {other}


def test_a_champion_without_a_promotion_here_waits_until_the_pilot_is_demoted(
    two: tuple[ModelRegistry, list[str]], tmp_path: Path
) -> None:
    """In PRIMARY it is refused, once, and the status says what to do; in SHADOW it takes over."""
    registry, (one, other) = two
    with following(tmp_path, registry, mode="PRIMARY") as live:
        bars(live, 0, WARM)
        promote(registry, other)
        assert look(live) == ["ModelWasRefused"]
        assert look(live) == []
        assert live.engine.piloting.identity == one
        (refused,) = records(live, "model.refused")
        assert (refused["model"], refused["in_force"]) == (other, [one])
        assert "which is refused: the pilot trades in PRIMARY, and this model has not been promoted" in look_notes(live)
        mode(live, PilotMode.SHADOW)
        assert look(live) == ["ModelReceived"]
        assert live.engine.piloting.identity == other
        assert "refused" not in look_notes(live)


def altered(registry: ModelRegistry, model: str) -> str:
    """Another byte in the weights."""
    file = registry.folder / "models" / model / "weights.npz"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    return "weights.npz was altered"


def missing(registry: ModelRegistry, model: str) -> str:
    """No card."""
    (registry.folder / "models" / model / "card.json").unlink()
    return "card.json is missing"


def forged(registry: ModelRegistry, model: str) -> str:
    """A record that was edited after it was signed."""
    file = registry.folder / "models" / model / "model.json"
    file.write_bytes(file.read_bytes().replace(b'"notes":""', b'"notes":"ok"'))
    return "the signature is wrong"


def unfit(registry: ModelRegistry, model: str) -> str:
    """Features that this program does not have."""
    made = untrained(4)
    scalers = msgspec.structs.replace(made.card.scalers, feature_hash="0" * 64)
    card = msgspec.structs.replace(made.card, scalers=scalers)
    folder = registry.folder / "models" / model
    encoded = msgspec.json.format(msgspec.json.encode(card, order="deterministic"), indent=1) + b"\n"
    (folder / "card.json").write_bytes(encoded)
    return "card.json was altered"


@pytest.mark.parametrize("spoil", [altered, missing, forged, unfit])
def test_what_cannot_be_verified_changes_nothing_and_is_told_once(
    spoil: Callable[[ModelRegistry, str], str], two: tuple[ModelRegistry, list[str]], tmp_path: Path
) -> None:
    """The old model goes on; once the files are mended the new one takes over."""
    registry, (one, other) = two
    now = [0.0]
    with following(tmp_path, registry) as live:
        live.models.watches["pilot"]._clock = lambda: now[0]
        bars(live, 0, 60)
        promote(registry, other)
        copy = shutil.copytree(registry.folder / "models" / other, tmp_path / "copy")
        reason = spoil(registry, other)
        before = live.engine.piloting.state()["parts"][0]["identity"]
        assert look(live) == ["ModelWasRefused"]
        now[0] += RETRY_S
        assert look(live) == []
        (refused,) = records(live, "model.refused")
        assert reason in refused["reason"]
        assert reason in look_notes(live)
        assert live.engine.piloting.state()["parts"][0]["identity"] == before == one
        shutil.rmtree(registry.folder / "models" / other)
        shutil.copytree(copy, registry.folder / "models" / other)
        now[0] += RETRY_S
        assert look(live) == ["ModelReceived"]
        assert live.engine.piloting.identity == other


def test_other_bars_are_refused(two: tuple[ModelRegistry, list[str]], tmp_path: Path) -> None:
    """A pilot of hours does not take over from one of half hours."""
    registry, (one, _) = two
    save_artefact(tmp_path / "hours", untrained(5, "1h"))
    hours = registry.register_model(tmp_path / "hours").record.model_id
    with following(tmp_path, registry) as live:
        bars(live, 0, 10)
        promote(registry, hours)
        assert look(live) == ["ModelWasRefused"]
        assert "observes bars of 60 minutes" in records(live, "model.refused")[0]["reason"]
        assert live.engine.piloting.identity == one


def test_nothing_is_read_in_the_trading_thread(
    two: tuple[ModelRegistry, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verifying, keeping and preparing happen in the watch's thread; the hand-over reads nothing."""
    registry, (_, other) = two
    threads: list[str] = []
    load = ModelRegistry.load_model

    def noted(self: ModelRegistry, *arguments: Any) -> Any:
        threads.append(threading.current_thread().name)
        return load(self, *arguments)

    with following(tmp_path, registry) as live:
        bars(live, 0, 10)
        promote(registry, other)
        monkeypatch.setattr(ModelRegistry, "load_model", noted)
        ready = threading.Event()
        watch = live.models.watches["pilot"]
        watch._look_s = 0.001
        prepare = watch._prepare

        def prepared(model: Any) -> Any:
            made = prepare(model)
            ready.set()
            return made

        watch._prepare = prepared
        watch.answer(live.engine.piloting.identity)
        live.models.follow()
        assert ready.wait(30.0)
        while not isinstance(watch.answer(live.engine.piloting.identity), ReadyModel):
            pass
        watch.close()
        (event,) = live._models_that_take_over()
        live.session.apply(event)
        assert live.engine.piloting.identity == other
        assert threads == ["models of pilot"]


def test_an_id_and_a_folder_are_followed_by_nobody(two: tuple[ModelRegistry, list[str]], tmp_path: Path) -> None:
    """Only an alias moves."""
    registry, (one, _) = two
    for place, model in (("id", f"registry:{one[:12]}"), ("folder", str(tmp_path / "pilot-3"))):
        (tmp_path / place).mkdir()
        with following(tmp_path / place, registry, model=model) as live:
            assert live.models.watches == {}
            assert live.engine.piloting.identity == one


def test_a_watch_that_fails_unforeseen_refuses_and_looks_again(
    two: tuple[ModelRegistry, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that nobody thought of ends no thread."""
    from quantum_trader.app.runs.registries import followed_pilot

    registry, (one, other) = two
    now, made = [0.0], []

    def prepare(model: Any) -> Any:
        made.append(model)
        if len(made) == 1:
            raise ZeroDivisionError("never thought of")
        return "ready"

    followed = followed_pilot("registry:champion")
    assert followed is not None
    watch = ModelWatch(registry, followed, prepare, clock=lambda: now[0])
    promote(registry, other)
    assert watch.answer(one) is None
    watch.look()
    refused = watch.answer(one)
    assert isinstance(refused, ModelRefused)
    assert "ZeroDivisionError" in refused.reason
    watch.look()
    assert len(made) == 1
    now[0] += RETRY_S
    watch.look()
    assert isinstance(watch.answer(one), ReadyModel)
    assert watch.answer(other) is None
