"""Closing everything through the production adapter at the local venue, with answers that get lost."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from quantum_trader.app.runs.direct import look
from quantum_trader.app.runs.flatten import DirectAction, FlattenResult, flatten_account
from quantum_trader.app.runs.live import venue_for
from quantum_trader.app.runs.live_settings import LiveMode, LiveSettings, bind_folder
from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType
from quantum_trader.domain.instrument import Instrument, LeverageTier
from quantum_trader.domain.trading import OrderRequest
from quantum_trader.engine.venue_port import ExecutionVenue
from quantum_trader.venues.binance.keys import LOCAL, ApiKeys, Secret
from quantum_trader.venues.local.build import scripted_exchange
from quantum_trader.venues.local.faults import InjectedFault
from quantum_trader.venues.local.server import LocalVenue, new_key

SYMBOLS = ("AAAUSDT", "BBBUSDT")


def instrument(symbol: str) -> Instrument:
    """A symbol around a price of 100."""
    tier = LeverageTier(max_notional=1e6, maintenance_margin_rate=0.01, max_leverage=20.0, maintenance_amount=0.0)
    return Instrument(symbol=symbol, tick_size=0.01, step_size=0.001, min_qty=0.001, min_notional=5.0, tiers=(tier,))


def request(
    number: int, symbol: str, side: OrderSide, kind: OrderType, qty: float, price: float = 0.0, *,
    reduce_only: bool = False,
) -> OrderRequest:
    """An order of ours."""
    return OrderRequest(
        client_order_id=f"qt-{number:020x}", intent_id="i", trace_id="t", symbol=symbol, side=side, type=kind, qty=qty,
        created_ns=time.time_ns(), price=price if kind is OrderType.LIMIT else 0.0,
        stop_price=0.0 if kind is OrderType.LIMIT else price, reduce_only=reduce_only,
    )


async def prepare(venue: ExecutionVenue) -> None:
    """A long and a short with stops, and an opening that rests."""
    await venue.connect()
    for symbol in SYMBOLS:
        await venue.set_leverage(symbol, 5.0)
    for made in (
        request(1, "AAAUSDT", OrderSide.BUY, OrderType.MARKET, 2.0),
        request(2, "BBBUSDT", OrderSide.SELL, OrderType.MARKET, 0.5),
        request(3, "AAAUSDT", OrderSide.SELL, OrderType.STOP_MARKET, 2.0, 90.0, reduce_only=True),
        request(4, "BBBUSDT", OrderSide.BUY, OrderType.STOP_MARKET, 0.5, 110.0, reduce_only=True),
        request(5, "AAAUSDT", OrderSide.BUY, OrderType.LIMIT, 1.0, 95.0),
    ):
        update = await venue.submit_order(made)
        assert update.status is not OrderStatus.REJECTED, update
    await venue.close()


def live(address: str) -> LiveSettings:
    """Settings for the local venue at *address*."""
    return LiveSettings(mode=LiveMode.LOCAL, address=address, symbols=SYMBOLS, interval="1m")


Trouble = Callable[[LocalVenue], None]


async def scenario(trouble: Trouble | None) -> tuple[FlattenResult, list[DirectAction], LocalVenue]:
    """Prepare, make *trouble*, flatten; the venue at the end."""
    exchange = scripted_exchange([instrument(symbol) for symbol in SYMBOLS], dict.fromkeys(SYMBOLS, 100.0))
    async with LocalVenue(exchange) as server:
        keys = ApiKeys(LOCAL, Secret(server.keys[0].key), Secret(server.keys[0].secret), "test")
        await prepare(venue_for(live(server.url), keys))
        if trouble is not None:
            trouble(server)
        venue = venue_for(live(server.url), keys)
        await venue.connect()
        steps: list[DirectAction] = []
        try:
            result = await flatten_account(venue, time.time_ns, steps.append, deadline_s=60.0)
        finally:
            await venue.close()
        view = await look(venue_for(live(server.url), keys))
        assert view.positions == () if result.flat else view.positions
        assert view.orders == () if result.flat else True
        return result, steps, server





def lose_answers(server: LocalVenue) -> None:
    """The first closing order takes effect and its answer is lost; the second one's is lost before it arrives."""
    server.faults.add(InjectedFault(kind="unknown", match="POST /fapi/v1/order", alive=True))
    server.faults.add(InjectedFault(kind="unknown", match="POST /fapi/v1/order", alive=False))


@pytest.mark.long
@pytest.mark.parametrize("trouble", [None, lose_answers])
def test_the_account_is_flat_by_the_venues_own_word(trouble: Trouble | None) -> None:
    """Positions closed, every order cancelled, and nothing sent twice that had arrived."""
    result, steps, server = asyncio.run(scenario(trouble))
    assert result.flat, result
    assert set(result.closed) == set(SYMBOLS)
    assert server.exchange.paper.positions() == []
    sent = [step for step in steps if step.step == "send"]
    assert len(sent) == len({step.client_order_id for step in sent})
    assert len(sent) <= 3


@pytest.mark.long
def test_the_command_closes_what_the_run_does_not_trade_with_a_key_that_may_not_open(tmp_path: Path) -> None:
    """A position in another symbol, and a key that may withdraw: a start is refused, closing is not."""

    plain, key = new_key(), msgspec.structs.replace(new_key(), withdrawals=True)

    async def serve(act: Callable[[str], None]) -> LocalVenue:
        exchange = scripted_exchange([instrument(symbol) for symbol in SYMBOLS], dict.fromkeys(SYMBOLS, 100.0))
        async with LocalVenue(exchange, keys=[plain, key]) as server:
            await prepare(venue_for(live(server.url), ApiKeys(LOCAL, Secret(plain.key), Secret(plain.secret), "test")))
            await asyncio.to_thread(act, server.url)
            return server

    told: list[subprocess.CompletedProcess[str]] = []

    def act(address: str) -> None:
        state = tmp_path / "state"
        state.mkdir(mode=0o700)
        (state / "lock").touch(0o600)
        narrow = msgspec.structs.replace(live(address), symbols=("AAAUSDT",))
        bind_folder(state, narrow)
        environ = {**os.environ, "QT_LOCAL_KEY": key.key, "QT_LOCAL_SECRET": key.secret}
        program = [sys.executable, "-m", "quantum_trader.app.cli.main"]
        start = ["live", "--mode", "LOCAL", "--address", address, "--symbols", "AAAUSDT", "--bars", "1m"]
        for words in (start, ["flatten", "--now", "--reason", "test"], ["status", "--venue"]):
            told.append(subprocess.run(
                [*program, *words, "--state", str(state)], capture_output=True, text=True, timeout=120, check=False,
                env=environ,
            ))

    server = asyncio.run(serve(act))
    refused, flat, status = told
    assert refused.returncode == 2
    assert "may withdraw" in refused.stderr
    assert flat.returncode == 0, flat.stderr
    assert "AAAUSDT, BBBUSDT" in flat.stdout
    assert server.exchange.paper.positions() == []
    assert "position" not in status.stdout
