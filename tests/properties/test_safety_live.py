"""What must always hold (spec 2, section 5) on the live road, lines 1 to 5; ``mutations.py`` breaks each on purpose.

1: one mode, keys bound to an endpoint. 2: brackets from the fill. 3: only fills move books. 4: one intent is one order.
5: a timeout is not a rejection.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import pkgutil
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from tests.app.fake_account import FakeAccount
from tests.live.live_world import SYMBOL, World, orders
from tests.properties.live_road import Road, held, look, restarted
from tests.venues.binance.bench import SYMBOL as COIN
from tests.venues.binance.bench import adapter_for, order, venue_of
from typer.testing import CliRunner

import quantum_trader
from quantum_trader.app.cli.main import app
from quantum_trader.app.runs.flatten import DirectAction, flatten_account
from quantum_trader.domain.enums import ExitMode, ExitReason, OrderStatus, OrderType, Side
from quantum_trader.domain.errors import ConfigError, OutcomeUnknown, StateError
from quantum_trader.domain.trading import FundingPayment, OrderUpdate
from quantum_trader.engine.gateway import Gateway, Purpose
from quantum_trader.engine.ports import Rejection
from quantum_trader.lab.simulation.network import TIMEOUT_S
from quantum_trader.lab.simulation.schedule import Kind
from quantum_trader.live.inputs import IntentReceived, ProcessStarted, decode_input
from quantum_trader.policy.enforcement import OrchestratorIntegrationConfig
from quantum_trader.risk.guard import AccountView, Approved, RiskLimits, can_execute
from quantum_trader.risk.sizing import liquidation_price
from quantum_trader.venues.binance.endpoints import endpoint
from quantum_trader.venues.binance.keys import ApiKeys, Secret
from quantum_trader.venues.binance.rest import Rest
from quantum_trader.venues.local.faults import InjectedFault

PACKAGE = Path(quantum_trader.__file__).parent
SENTENCE = "I accept real losses"
KEY, SECRET = "local-key-abcdefghijklmnop", "local-secret-abcdefghijklmnop"


def start(folder: Path, settings: str, *words: str) -> Any:
    """``quantum-trader live`` with *settings* in its file."""
    path = folder / "live.toml"
    path.write_text(f"[live]\n{settings}\n")
    return CliRunner().invoke(app, ["live", "--state", str(folder / "state"), "--config", str(path), *words])


# ---------------------------------------------------------------------- 1. one mode; keys belong to an endpoint


def test_1_there_is_one_mode_enum() -> None:
    """What orders do is said by one type in the whole package, and it knows four answers."""
    found = set()
    for info in pkgutil.walk_packages(quantum_trader.__path__, "quantum_trader."):
        if ".migrations" in info.name:
            continue
        for value in vars(importlib.import_module(info.name)).values():
            if isinstance(value, type) and issubclass(value, Enum) and {"DRY", "TESTNET"} & set(value.__members__):
                found.add((value.__module__, value.__name__, tuple(value.__members__)))
    assert found == {("quantum_trader.app.runs.live_settings", "LiveMode", ("DRY", "TESTNET", "LIVE", "LOCAL"))}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ('mode = "LIVE"', SENTENCE), (f'confirm_live = "{SENTENCE}"', "live.mode = DRY"),
        ('mode = "TESTNET"\nendpoint = "binance-live"', "contradicts live.mode = TESTNET"),
        ('mode = "TESTNET"\naddress = "http://127.0.0.1:1"', "has its own address"),
        ('symbols = ["BTCUSDT"]\n[data]\nsymbols = ["ETHUSDT"]', "differs from live.symbols"),
    ],
)
def test_1_contradicting_settings_stop_the_start(settings: str, told: str, tmp_path: Path) -> None:
    """Exit code 2, one line that names the key, and no state folder is made."""
    result = start(tmp_path, settings)
    assert result.exit_code == 2, result.output
    assert told in result.stderr
    assert not (tmp_path / "state").exists()


def test_1_keys_work_at_their_endpoint_alone(tmp_path: Path) -> None:
    """The signer refuses keys of another endpoint, and a start takes the keys of its own endpoint's name."""
    foreign = ApiKeys("binance-live", Secret(KEY), Secret(SECRET), "environment")
    local = endpoint("local", "http://127.0.0.1:1")
    with pytest.raises(ConfigError, match="belong to binance-live"):
        Rest(local, foreign, None, lambda: 0.0, timeout_s=1.0, receive_window_ms=5000)  # type: ignore[arg-type]
    environment = {"QT_BINANCE_LIVE_KEY": KEY, "QT_BINANCE_LIVE_SECRET": SECRET}
    path = tmp_path / "live.toml"
    path.write_text('[live]\nmode = "LOCAL"\naddress = "http://127.0.0.1:1"\n')
    words = ["live", "--state", str(tmp_path / "state"), "--config", str(path)]
    result = CliRunner().invoke(app, words, env=environment)
    assert result.exit_code == 2
    assert "QT_LOCAL_KEY" in result.stderr
    planned = CliRunner().invoke(app, [*words, "--plan"], env=environment)
    assert planned.exit_code == 1
    assert "keys missing" in planned.output


def test_1_the_start_says_where_with_which_key_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mode, endpoint, the key's ends and its source are printed; key and secret are not."""
    monkeypatch.setenv("QT_LOCAL_KEY", KEY)
    monkeypatch.setenv("QT_LOCAL_SECRET", SECRET)
    result = start(tmp_path, 'mode = "LOCAL"\naddress = "http://127.0.0.1:1"', "--plan")
    assert result.exit_code == 0, result.output
    for words in ("LOCAL", "http://127.0.0.1:1", f"{KEY[:4]}…{KEY[-4:]}", "environment"):
        assert words in result.stdout
    assert KEY not in result.output
    assert SECRET not in result.output


# ---------------------------------------------------------------------- 2. brackets from the fill price


def filled(world: World, sign: int, price: float) -> tuple[Any, list[Any]]:
    """A position of *sign* whose order was sized at 10,000 and filled at *price*, and the orders sent for it."""
    side = Side.LONG if sign > 0 else Side.SHORT
    (opening,) = orders(world.wish("x1", side=side))
    world.update(opening, OrderStatus.NEW)
    return world.engine.account.books.positions, orders(world.fill(opening, 0.01, price))


@pytest.mark.parametrize(("sign", "price"), [(1, 10_050.0), (1, 9_900.3), (-1, 9_950.0), (-1, 10_100.7)])
def test_2_brackets_lie_around_the_fill_on_the_tick(world: World, sign: int, price: float) -> None:
    """Long: stop < fill < target, short mirrored; the stop's distance is counted from the fill, not from the signal."""
    world.engine.policy.integration = OrchestratorIntegrationConfig(fixed_exit_mode=ExitMode.FAST_TP)
    positions, sent = filled(world, sign, price)
    position = positions[SYMBOL]
    tick = world.engine.instruments[0].tick_size
    by_type = {one.type: one for one in sent}
    stop = by_type[OrderType.STOP_MARKET].stop_price
    target = by_type[OrderType.TAKE_PROFIT_MARKET].stop_price
    assert sign * stop < sign * price < sign * target
    assert 0.0 <= position.plan.stop_atr * position.plan.atr - sign * (price - stop) <= tick * 1.001
    for level in (stop, target):
        assert abs(level / tick - round(level / tick)) < 1e-6


def test_2_a_stop_lies_before_the_liquidation(world: World) -> None:
    """At 125 times the liquidation is nearer than the planned stop: the stop goes before it."""
    look(world, held(leverage=125.0))
    sent = orders(look(world, held(leverage=125.0)))
    (stop,) = [one.stop_price for one in sent if one.type is OrderType.STOP_MARKET]
    ruin = liquidation_price(1, 10_000.0, 0.01, 125.0, world.engine.instruments.tiers[0])
    position = world.engine.account.books.positions[SYMBOL]
    assert 10_000.0 - position.plan.stop_atr * position.plan.atr < ruin < stop < 10_000.0


def test_2_a_position_that_can_have_no_bracket_is_closed(world: World) -> None:
    """A fill at a price of no tick's size: there is no stop for it, so it may not stay."""
    positions, sent = filled(world, 1, 0.05)
    assert [(one.type, one.reduce_only) for one in sent] == [(OrderType.MARKET, True)]
    assert positions[SYMBOL].exit_reason is ExitReason.UNPROTECTED


# ---------------------------------------------------------------------- 3. only fills move books


def test_3_an_acknowledgement_is_not_a_fill(world: World) -> None:
    """A status, even FILLED, changes neither books nor cash; the fill opens the position, and cash falls by its fee."""
    (opening,) = orders(world.wish())
    for status, qty in ((OrderStatus.NEW, 0.0), (OrderStatus.PARTIALLY_FILLED, 0.005), (OrderStatus.FILLED, 0.01)):
        assert orders(world.update(opening, status, filled=qty)) == []
        assert world.engine.account.books.positions == {}
        assert world.engine.account.books.cash == 10_000.0
    world.fill(opening, 0.01, 10_002.0, fee=0.05)
    assert world.engine.account.books.positions[SYMBOL].entry_price == 10_002.0
    assert world.engine.account.books.cash == 9_999.95


def test_3_profit_comes_from_fills_fees_and_funding(world: World) -> None:
    """Wished at 10,000, filled at 10,010, closed at 10,110 in two parts, funding paid between: to the cent."""
    (opening,) = orders(world.wish())
    world.update(opening, OrderStatus.NEW)
    world.fill(opening, 0.01, 10_010.0, fee=0.04)
    world.say(FundingPayment(symbol=SYMBOL, ts_ns=world.now_ns, rate=1e-4, mark_price=1e4, qty=0.01, amount=-0.01))
    (close,) = orders(world.wish("x2", reduce_only=True))
    for _ in range(2):
        world.fill(close, 0.005, 10_110.0, fee=0.02)
    (trade,) = world.engine.records.tally.trades
    assert (trade.entry_price, trade.exit_price) == (10_010.0, 10_110.0)
    assert trade.pnl == pytest.approx(1.0 - 0.08 - 0.01, abs=1e-9)
    assert world.engine.account.books.cash == pytest.approx(10_000.0 + trade.pnl, abs=1e-9)


def test_3_the_books_money_is_the_exchanges(world: World) -> None:
    """Open, hold, close over the wire: the wallet moved by exactly what the trade log says."""
    road = Road(world)

    async def script() -> None:
        await road.opened()
        await asyncio.sleep(130.0)
        road.wish("x2", reduce_only=True)
        await road.until(lambda: world.engine.records.tally.trades)
        await asyncio.sleep(5.0)

    road.run(script)
    (trade,) = world.engine.records.tally.trades
    wallet = road.exchange.paper.balance().wallet
    assert wallet != 10_000.0
    assert wallet == pytest.approx(10_000.0 + trade.pnl, abs=1e-6)
    assert world.engine.account.books.cash == pytest.approx(wallet, abs=1e-6)


# ---------------------------------------------------------------------- 4. one gateway, one order for an intent


def test_4_one_gateway_makes_orders_and_one_driver_sends_them() -> None:
    """Requests are made by the gateway, and by the flatten of a dead process; they leave by the driver and by that."""
    made, sent = set(), set()
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith(("lab/simulation/", "venues/")):  # exchanges, and what carries an order to one
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                holder, _, called = ast.unparse(node.func).rpartition(".")
                if holder.endswith("pool"):  # of threads: what it is given is work, no order
                    continue
                made |= {name} if called == "OrderRequest" else set()
                sent |= {name} if called in ("submit_order", "submit_prepared", "submit") else set()
    assert made == {"engine/gateway.py", "app/runs/flatten.py"}
    assert sent == {"live/sending.py", "app/runs/flatten.py", "engine/replay.py"}


def approved(world: World, name: str = "x1") -> Approved:
    """A wish that the guard let through."""
    engine = world.engine
    view = AccountView(
        now_ns=world.now_ns, equity=engine.account.equity, used_margin=0.0, open_positions=0, position_qty=0.0,
        data_ns=world.now_ns, cost_in_r=0.05,
    )
    verdict = can_execute(world.intent(name), view, engine.instruments[0], RiskLimits())
    assert isinstance(verdict, Approved)
    return verdict


def test_4_a_claimed_intent_has_no_second_order_and_only_approved_ones_have_any(world: World) -> None:
    """The gateway itself: the second time nothing comes out, and what was not approved is an error."""
    gateway, verdict = Gateway(world.engine.instruments), approved(world)
    assert len(gateway.open(verdict)) == 1
    assert gateway.open(verdict) == []
    with pytest.raises(StateError, match="Approved intents only"):
        gateway.open(world.intent())  # type: ignore[arg-type]


def test_4_the_client_order_id_is_derived_from_the_intent(world: World) -> None:
    """Two gateways of one session derive the same id; another intent or session another; it fits the venue's form."""
    one, other, elsewhere = (Gateway(world.engine.instruments) for _ in range(3))
    one.namespace = other.namespace = "n-"
    elsewhere.namespace = "m-"
    ids = [gateway.open(approved(world))[0].client_order_id for gateway in (one, other, elsewhere)]
    assert ids[0] == ids[1] != ids[2]
    assert one.open(approved(world, "x2"))[0].client_order_id != ids[0]
    assert all(name.startswith("qt-") and len(name) <= 36 for name in ids)


def test_4_a_restored_folder_derives_no_id_again(warm: bytes) -> None:
    """Two processes continue from one copy of the folder and make the same intent: two orders, two ids."""
    ids = set()
    for life in ("yesterday/", "today/"):
        world = restarted(warm)
        world.tell(ProcessStarted(ts_ns=world.now_ns, life=life))
        (opening,) = orders(world.wish("x1"))
        ids.add(opening.client_order_id)
    assert len(ids) == 2


def test_4_the_same_intent_twice_is_one_order(world: World) -> None:
    """Told twice at once, and again after its position was opened and closed: one opening order, nothing left."""
    road = Road(world)

    async def script() -> None:
        road.wish("x1")
        road.wish("x1")
        await road.until(lambda: SYMBOL in world.engine.account.books.positions)
        road.wish("x9", reduce_only=True)
        await road.until(lambda: world.engine.records.tally.trades)
        road.wish("x1")
        await asyncio.sleep(10.0)

    road.run(script)
    assert len(road.accepted(reduce_only=False)) == 1
    assert world.engine.opening.orders.pending == {}
    assert world.records("trade.failed") == []


def test_4_a_claim_is_on_disk_before_its_order_leaves(world: World) -> None:
    """When the venue hears of an order, the line that claims its intent is in the input log."""
    road, claims = Road(world), []
    submit = road.exchange.submit

    def see(request: Any, **keywords: Any) -> OrderUpdate:
        if not request.reduce_only:
            inputs = [decode_input(entry) for entry in world.log.entries]
            claims.append([one.intent.intent_id for one in inputs if isinstance(one, IntentReceived)])
        return submit(request, **keywords)

    road.exchange.submit = see  # type: ignore[method-assign]
    road.run(road.opened)
    assert claims == [["x1"]]


def test_4_a_claimed_intent_is_never_sent_again_by_another_process(warm: bytes) -> None:
    """Killed after the claim: the next life asks for the order by its id, sends nothing, and takes no second wish."""
    first = restarted(warm)
    (opening,) = orders(first.wish("x1"))  # its process dies here: nothing was sent
    road = Road(restarted(warm, first.log.entries))

    async def script() -> None:
        await road.until(lambda: road.world.records("trade.failed"))
        road.wish("x1")
        await asyncio.sleep(10.0)

    road.run(script)
    assert road.accepted() == []
    assert road.venue.times("get_order", opening.client_order_id)
    assert road.venue.times("submit") == []
    assert road.world.records("trade.failed")[0]["data"]["reason"].startswith(Rejection.LOST.value)


def test_4_a_claim_survives_a_checkpoint(warm: bytes) -> None:
    """Filled and closed long ago, at a venue whose ids are unique among open orders only: no second order."""
    first = restarted(warm)
    first.opened("x1")
    (close,) = orders(first.wish("x2", reduce_only=True))
    first.fill(close, 0.01)
    first.session.checkpoint()
    again = restarted(first.store.content)
    assert again.engine.account.books.positions == {}
    assert orders(again.wish("x1")) == []
    assert len(orders(again.wish("x4"))) == 1


# ---------------------------------------------------------------------- 5. a timeout is not a rejection


def test_5_an_order_without_an_answer_is_asked_for_before_anything_else(world: World) -> None:
    """The answer is lost and the account stream says nothing: one question by client id, one order, its stop."""
    road = Road(world)
    road.carries = lambda stream, message: stream != "user"

    async def script() -> None:
        road.strike(Kind.ANSWER_LOST, on="submit")
        await road.opened()

    road.run(script)
    (opening,) = road.accepted()
    asked = [(what, about) for _, what, about in road.venue.calls if what in ("submit", "get_order", "cancel")]
    assert asked[:2] == [("submit", opening.client_order_id), ("get_order", opening.client_order_id)]
    assert [about for what, about in asked if what == "submit"].count(opening.client_order_id) == 1
    assert len(road.stops()) == 1


def test_5_not_found_proves_absence_only_after_the_receive_window(world: World) -> None:
    """The request never arrives: it is asked for again and again, and called lost no earlier than that."""
    road = Road(world)

    async def script() -> float:
        road.strike(Kind.REQUEST_LOST, on="submit")
        road.wish()
        return await road.until(lambda: world.records("trade.failed"))

    failed_s = road.run(script)
    (sent_s,) = road.venue.times("submit")
    assert failed_s - sent_s > TIMEOUT_S + road.venue.receive_window_s
    assert len(road.venue.times("get_order")) >= 3
    assert world.records("trade.failed")[0]["data"]["reason"].startswith(Rejection.LOST.value)


def test_5_an_order_that_arrives_late_is_found_and_protected(world: World) -> None:
    """The first query finds no order, a later one does, and the account stream is silent."""
    road = Road(world)
    road.carries = lambda stream, message: stream != "user"

    async def script() -> None:
        road.strike(Kind.REQUEST_LATE, on="submit", seconds=1.5)
        await road.opened()

    road.run(script)
    assert len(road.venue.times("get_order")) >= 2
    assert len(road.accepted()) == 1
    assert world.records("trade.failed") == []
    assert len(road.stops()) == 1


def test_5_a_cancel_without_an_answer_is_no_cancel(world: World) -> None:
    """The cancel of a stop gets lost twice: the stop is gone in the end, and its ticket not before."""
    road = Road(world)

    async def script() -> None:
        await road.opened()
        road.strike(Kind.REQUEST_LOST, on="cancel", count=2)
        road.wish("x2", reduce_only=True)
        await road.until(lambda: world.engine.records.tally.trades)
        await asyncio.sleep(1.0)
        assert world.engine.gateway.has(SYMBOL, Purpose.STOP)
        await road.until(lambda: not world.engine.gateway.has(SYMBOL, Purpose.STOP))
        assert road.stops() == []

    road.run(script)


def test_5_the_adapter_tells_a_timeout_from_a_refusal() -> None:
    """-1007 means an unknown outcome: a query at once finds no order, and one a moment later finds it filled."""

    async def story() -> None:
        async with venue_of() as venue:
            adapter = adapter_for(venue)
            await adapter.connect()
            assert adapter.receive_window_s > adapter.settings.receive_window_ms / 1000.0
            venue.faults.add(InjectedFault(kind="late", match="POST /fapi/v1/order", seconds=0.2))
            with pytest.raises(OutcomeUnknown):
                await adapter.submit_order(order(1))
            assert await adapter.get_order(COIN, order(1).client_order_id) is None
            async with asyncio.timeout(5.0):
                while (found := await adapter.get_order(COIN, order(1).client_order_id)) is None:
                    await asyncio.sleep(0.02)
            assert found.status is OrderStatus.FILLED
            await adapter.close()

    asyncio.run(story())


def test_5_flatten_of_a_dead_process_asks_too() -> None:
    """A closing order that got lost is sent again only when "not found" has lasted for the receive window."""
    account = FakeAccount(held={"AAAUSDT": 2.0}, faults={"submit_order": ["lost"]})
    steps: list[DirectAction] = []
    result = asyncio.run(
        flatten_account(account, account.now_ns, steps.append, deadline_s=60.0, pause=account.pause)
    )
    first, second = (step for step in steps if step.step == "send")
    assert result.flat
    assert account.calls["get_order"] >= 2
    assert second.ts_ns - first.ts_ns > account.receive_window_s * 1e9
