"""What must always hold (spec 2, section 5) on the live road, lines 15 and 16; ``mutations.py`` breaks each on purpose.

15: every halt ends, by the way it names. 16: keys stay where they belong, files are for their owner.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from tests.live.live_world import OTHER, World, orders
from tests.properties.live_road import ETH, Road, live_run, look, refusal
from tests.venues.binance.bench import adapter_for, keys_of, venue_of
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.runs.direct import DirectLog
from quantum_trader.app.runs.flatten import DirectAction
from quantum_trader.app.runs.live import PaperAccountFile
from quantum_trader.app.runs.operator_requests import Action, OperatorRequest, ask
from quantum_trader.domain.enums import GOV_CAUTIOUS, GOV_DEFENSIVE, GOV_EMERGENCY, GOV_NORMAL, OrderStatus
from quantum_trader.domain.errors import ConfigError, VenueError
from quantum_trader.domain.trading import OrderRequest, OrderUpdate
from quantum_trader.live.inputs import FundingRateReceived, HealthChanged
from quantum_trader.venues.binance import safety
from quantum_trader.venues.binance.clock import VenueClock
from quantum_trader.venues.binance.endpoints import BinanceEndpoint, endpoint
from quantum_trader.venues.binance.errors import VenueRefusal
from quantum_trader.venues.binance.keys import ApiKeys, Secret
from quantum_trader.venues.binance.rest import Rest
from quantum_trader.venues.local.signing import ApiKey

NOW = 1_700_000_000_000_000_000

# ---------------------------------------------------------------------- 15. every halt ends


def person(world: World, action: str) -> None:
    """Send the operator's request *action*."""
    world.request(action, "drill")


def losses(world: World, count: int) -> None:
    """So many losing round trips in the second symbol."""
    for number in range(count):
        name = f"l{number}"
        (opening,) = orders(world.wish(name, **ETH))
        world.fill(opening, opening.qty, 1_000.0, symbol=OTHER, fill_id=f"{name}-1")
        world.say(final(world, opening))
        (close,) = orders(world.wish(f"{name}-close", symbol=OTHER, reduce_only=True))
        world.fill(close, opening.qty, 999.0, symbol=OTHER, fill_id=f"{name}-2")
        world.say(final(world, close))


def final(world: World, order: OrderRequest) -> OrderUpdate:
    """The final status of *order*."""
    return OrderUpdate(
        client_order_id=order.client_order_id, venue_order_id="1", symbol=order.symbol, status=OrderStatus.FILLED,
        ts_ns=world.now_ns, filled_qty=order.qty,
    )


def drawdown(world: World, wallet: float = 9_100.0) -> None:
    """Nine percent below the peak, in a bar."""
    world.engine.account.books.cash = wallet
    world.bar(1500, 10_000.0, 1_000.0)


def health(world: World, level: int, connected: bool = True) -> None:
    """What the driver says of itself."""
    world.tell(HealthChanged(ts_ns=world.now_ns, level=level, connected=connected, reason="drill"))


def broken_input(world: World) -> None:
    """Something the engine cannot take."""
    world.tell(FundingRateReceived(ts_ns=world.now_ns, symbol="NOSUCHUSDT", rate_8h=0.0))


def well_and_resumed(world: World) -> None:
    """Health is NORMAL again, and the operator resumes."""
    health(world, GOV_NORMAL)
    person(world, "resume")


HALTS: dict[str, tuple[str, Callable[[World], Any], str, Callable[[World], Any]]] = {
    "operator": ("operator", lambda w: person(w, "halt"), "KILL_SWITCH", lambda w: person(w, "resume")),
    "flatten": ("operator", lambda w: person(w, "flatten"), "KILL_SWITCH", lambda w: person(w, "resume")),
    "input": ("operator", broken_input, "KILL_SWITCH", lambda w: person(w, "resume")),
    "reconciliation": (
        "reconciliation", lambda w: [look(w, wallet=9_800.0) for _ in range(2)], "KILL_SWITCH",
        lambda w: person(w, "resume"),
    ),
    "health": ("governor", lambda w: health(w, GOV_EMERGENCY), "GOVERNOR", well_and_resumed),
    "streak": ("governor", lambda w: (losses(w, 8), w.bar(1500, 1e4, 1e3)), "GOVERNOR", lambda w: person(w, "resume")),
}


@pytest.mark.parametrize("name", list(HALTS))
def test_15_a_halt_names_its_way_out_and_that_way_works(world: World, name: str) -> None:
    """Refused while it stands; owner, reason and exit on record; afterwards an opening goes out, and it is cleared."""
    kind, arm, reason, leave = HALTS[name]
    arm(world)
    assert refusal(world, "before", **ETH) == reason
    notice = next(one["data"] for one in world.records("halt.raised") if one["data"]["kind"] == kind)
    assert notice["owner"]
    assert notice["reason"]
    assert "resume" in [one.exit_path for one in world.engine.records.tally.halts if one.kind == kind][-1]
    leave(world)
    assert refusal(world, "after", **ETH) == ""
    assert [one for one in world.engine.records.tally.halts if one.kind == kind and not one.cleared_ns] == []
    assert any(one["data"]["kind"] == kind for one in world.records("halt.cleared"))


def test_15_a_flatten_ends_with_resume(world: World) -> None:
    """What is opened after `resume` stays: the flatten is not in force any more."""
    person(world, "flatten")
    person(world, "resume")
    world.opened("x1")
    assert world.engine.account.books.positions["BTCUSDT"].exit_reason is None


def test_15_a_drawdowns_emergency_ends_by_resume(world: World) -> None:
    """The peak starts again from what is left; without `resume` it stays."""
    drawdown(world)
    world.bar(1501, 10_000.0, 1_000.0)
    assert refusal(world, "x1") in ("GOVERNOR", "DAILY_LOSS")
    assert int(world.engine.account.governor[0]) == GOV_EMERGENCY
    person(world, "resume")
    assert int(world.engine.account.governor[0]) == GOV_NORMAL
    world.bar(1502, 10_000.0, 1_000.0)
    assert int(world.engine.account.governor[0]) == GOV_NORMAL


def test_15_milder_levels_end_by_themselves(world: World) -> None:
    """DEFENSIVE by health: a quarter of an hour of calm for each level down, and the record says so."""
    health(world, GOV_DEFENSIVE)
    health(world, GOV_NORMAL)
    assert world.records("halt.raised")[-1]["data"]["exit_path"] == "recovers by itself"
    levels = []
    for minute in range(1500, 1535):
        world.bar(minute, 10_000.0, 1_000.0)
        levels.append(int(world.engine.account.governor[0]))
    assert sorted(set(levels), reverse=True) == [GOV_DEFENSIVE, GOV_CAUTIOUS, GOV_NORMAL]
    assert levels[-1] == GOV_NORMAL
    assert [one for one in world.engine.records.tally.halts if not one.cleared_ns] == []


def test_15_the_daily_loss_ends_at_a_midnight_with_losses_inside_the_limit(world: World) -> None:
    """Six percent lost at one in the morning: refused until a day later, then cleared and free."""
    drawdown(world, 9_400.0)
    assert refusal(world, "x1") == "DAILY_LOSS"
    notice = world.records("halt.raised")[-1]["data"]
    assert (notice["kind"], notice["exit_path"]) == ("daily_loss", "next UTC midnight, losses inside the limit")
    reasons = set()
    for minute in range(1501, 1501 + 2880):
        wave = 1.0 + 0.002 * math.sin(minute / 40.0) + 0.001 * math.sin(1.7 * minute)
        world.bar(minute, 10_000.0 * wave, 1_000.0 * wave)
        if minute % 360 == 0:
            reasons.add(refusal(world, f"x{minute}"))
    assert reasons == {"DAILY_LOSS", ""}
    assert not world.engine.account.loss_latched
    assert any(one["data"]["kind"] == "daily_loss" for one in world.records("halt.cleared"))


def test_15_a_losing_streak_is_ended_by_resume(world: World) -> None:
    """Five losses: the streak counts until an operator resumes, and its end is on record."""
    losses(world, 5)
    assert world.engine.account.books.losing_streak == 5
    person(world, "resume")
    assert world.engine.account.books.losing_streak == 0
    assert [one["data"]["kind"] for one in world.records("halt.cleared")] == ["streak"]


def test_15_what_could_not_be_written_ends_with_the_next_checkpoint(world: World) -> None:
    """The disk is full for a minute: nothing opens; it is free again: within seconds openings go on by themselves."""
    road = Road(world)

    async def script() -> None:
        world.log.full = world.store.full = True
        road.wish("x1")
        await asyncio.sleep(60.0)
        assert world.records("trade.failed")[-1]["data"]["reason"] == "KILL_SWITCH"
        world.log.full = world.store.full = False
        await asyncio.sleep(10.0)
        await road.opened("x2")

    road.run(script)


def test_15_what_could_not_be_written_is_shown(tmp_path: Path) -> None:
    """A status whose process may open nothing says so, and why."""
    with live_run(tmp_path) as run:
        run.session.checkpoint_error, run.engine.halts.inputs_written = "checkpoint: no space left on device", False
        status = run.status(run.driver.health())
    assert "no space left" in " ".join([*status.notes, *(halt.reason for halt in status.halts)])


def test_15_a_symbol_halted_by_bad_bars_is_a_halt_like_any_other(world: World) -> None:
    """With owner, reason and the three good bars that end it."""
    for minute in range(1500, 1503):
        world.bar(minute, float("nan"), 1_000.0)
    (halt,) = [one for one in world.engine.records.tally.halts if one.cleared_ns == 0]
    assert (halt.kind, halt.exit_path) == ("bad_bars BTCUSDT", "3 good bars in a row")
    for minute in range(1503, 1506):
        world.bar(minute, 10_000.0, 1_000.0)
    assert halt.cleared_ns == world.now_ns
    world.session.finish_bars()
    told = [line for line in world.sink.lines if b"bad_bars BTCUSDT" in line]
    assert [b"halt.raised" in line for line in told] == [True, False]


def test_15_a_resume_and_a_halt_need_a_reason(tmp_path: Path) -> None:
    """An empty one is refused by the command before anything is noted."""
    (tmp_path / "lock").touch(0o600)
    for action in ("halt", "resume", "flatten"):
        result = CliRunner().invoke(app, [action, "--state", str(tmp_path), "--reason", "  "])
        assert result.exit_code == 2
        assert "give a reason" in result.stderr
    assert not (tmp_path / "operator.jsonl").exists()


# ---------------------------------------------------------------------- 16. keys and files


def test_16_a_key_that_may_withdraw_is_refused() -> None:
    """With the setting's name and what to do; for closing positions alone it may be used."""

    async def story() -> None:
        async with venue_of(keys=[ApiKey(key="k" * 64, secret="s" * 64, withdrawals=True)]) as venue:
            adapter = adapter_for(venue)
            with pytest.raises(ConfigError, match="may only read and trade futures"):
                await adapter.connect()
            await adapter.close()
            closing = adapter_for(venue, closing=True)
            await closing.connect()
            await closing.close()

    asyncio.run(story())


def test_16_a_real_key_whose_rights_are_not_told_is_refused() -> None:
    """At the real venue silence about withdrawals is no permission."""

    async def story() -> None:
        async def refuse(*_: Any, **__: Any) -> VenueRefusal:
            return VenueRefusal(code=-2015, message="no permission")

        rest: Any = SimpleNamespace(endpoint=endpoint("binance-live"), ask=refuse)
        with pytest.raises(ConfigError, match="rights could not be read"):
            await safety._check_key(rest)

    asyncio.run(story())


@contextmanager
def listener() -> Iterator[tuple[str, Callable[[], bool]]]:
    """An address on this machine, and whether a client has connected to it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)

        def visited() -> bool:
            try:
                server.accept()[0].close()
            except BlockingIOError:
                return False
            return True

        yield f"http://127.0.0.1:{server.getsockname()[1]}", visited


def test_16_real_keys_never_go_to_another_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting, flag or hand-made endpoint redirects real keys; the other address receives no connection."""
    monkeypatch.setenv("QT_BINANCE_LIVE_KEY", "real-key-abcdefghijklmnop")
    monkeypatch.setenv("QT_BINANCE_LIVE_SECRET", "real-secret-abcdefghijklmnop")
    path = tmp_path / "live.toml"
    with listener() as (address, visited):
        path.write_text('[live]\nmode = "LIVE"\nconfirm_live = "I accept real losses"\n')
        words = ["live", "--state", str(tmp_path / "state"), "--config", str(path), "--address", address]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 2
        assert "has its own address" in result.stderr
        with pytest.raises(ConfigError, match="has its own"):
            endpoint("binance-live", address)
        with pytest.raises(ConfigError, match="address is fixed"):
            BinanceEndpoint(name="binance-live", rest=address, streams=address.replace("http", "ws"))
        assert not visited()


@pytest.mark.parametrize("address", ["http://example.com:80", "https://fapi.binance.com", "http://10.0.0.1:80"])
def test_16_the_local_endpoint_stays_on_this_machine(address: str) -> None:
    """An address of another machine is refused by name and by number, also in a hand-made endpoint."""
    with pytest.raises(ConfigError, match="this machine"):
        endpoint("local", address)
    with pytest.raises(ConfigError, match=r"loopback|this machine"):
        BinanceEndpoint(name="local", rest=address, streams=address)


def test_16_a_key_follows_no_redirect_and_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The venue answers with another address, the environment names a proxy: the key goes to neither."""

    async def story(elsewhere: str) -> list[str]:
        asked: list[str] = []

        async def answer(request: web.Request) -> web.Response:
            asked.append(request.path)
            return web.Response(status=307, headers={"Location": f"{elsewhere}/stolen"})

        server = web.Application()
        server.router.add_route("*", "/{tail:.*}", answer)
        runner = web.AppRunner(server)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        keys = ApiKeys("local", Secret("k" * 64), Secret("s" * 64), "environment")
        clock = VenueClock(lambda: NOW)
        local = endpoint("local", f"http://127.0.0.1:{port}")
        rest = Rest(local, keys, clock, lambda: 0.0, timeout_s=2.0, receive_window_ms=5000)
        rest.open()
        with pytest.raises(VenueError):
            await rest.ask("GET", "fapiPrivate", "positionSide/dual")
        await rest.close()
        await runner.cleanup()
        return asked

    with listener() as (elsewhere, visited):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, elsewhere)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert len(asyncio.run(story(elsewhere))) == 1
        assert not visited()


def test_16_the_keys_are_those_of_the_endpoint() -> None:
    """The bench's own keys open its own venue; the same bytes under another name open nothing."""

    async def story() -> None:
        async with venue_of() as venue:
            own = keys_of(venue)
            other = ApiKeys("binance-testnet", own.key, own.secret, own.source)
            with pytest.raises(ConfigError, match="belong to binance-testnet"):
                Rest(endpoint("local", venue.url), other, VenueClock(lambda: NOW), lambda: 0.0, timeout_s=1.0,
                     receive_window_ms=5000)

    asyncio.run(story())


def test_16_state_files_are_private(tmp_path: Path) -> None:
    """A process whose user keeps nothing to himself makes every file 0600 and every folder 0700."""
    folder = tmp_path / "state"
    before = os.umask(0)
    try:
        with live_run(folder) as run:

            async def live() -> None:
                task = asyncio.create_task(run.run())
                async with asyncio.timeout(20.0):
                    while not run.driver.ready or not (folder / "status.json").exists():
                        await asyncio.sleep(0.02)
                run.driver.stop()
                await task

            ask(folder, OperatorRequest(action=Action.HALT, reason="drill", actor="me", ts_ns=NOW))
            run.recover()
            asyncio.run(live())
            DirectLog(folder, lambda action: None)(DirectAction(ts_ns=1, step="begin"))
            PaperAccountFile(folder).keep({"cash": 1.0})
    finally:
        os.umask(before)
    found = sorted(folder.rglob("*"))
    assert {"live.json", "lock", "checkpoint", "records.jsonl", "status.json", "operator.jsonl", "paper_account",
            "direct_actions.jsonl", "inputs", "journal"} <= {path.name for path in found}
    loose = {path.relative_to(folder).as_posix(): oct(path.stat().st_mode & 0o777) for path in [folder, *found]
             if path.stat().st_mode & 0o077}
    assert loose == {}
