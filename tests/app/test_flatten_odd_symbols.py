"""What the venue says of a symbol is taken as it is: every position is closed, what cannot be is named."""

from __future__ import annotations

import asyncio
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.app.fake_account import FakeAccount
from tests.app.test_flatten_at_the_local_venue import instrument, request

from quantum_trader.app.runs.direct import look
from quantum_trader.app.runs.flatten import DirectAction, flatten_account
from quantum_trader.app.runs.live import venue_for
from quantum_trader.app.runs.live_settings import LiveMode, LiveSettings, bind_folder
from quantum_trader.domain.enums import OrderSide, OrderStatus, OrderType
from quantum_trader.domain.errors import ConfigError
from quantum_trader.venues.binance.adapter import BinanceFuturesExecutionAdapter
from quantum_trader.venues.binance.keys import LOCAL, ApiKeys, Secret
from quantum_trader.venues.local.build import scripted_exchange
from quantum_trader.venues.local.server import LocalVenue

ODD = "币安人生USDT"
SYMBOLS = ("AAAUSDT", ODD)


def live(address: str, symbols: tuple[str, ...] = ("AAAUSDT",)) -> LiveSettings:
    """Settings for the local venue at *address*."""
    return LiveSettings(mode=LiveMode.LOCAL, address=address, symbols=symbols, interval="1m")


def local_venue() -> LocalVenue:
    """A venue that lists an ordinary symbol and one in another script."""
    return LocalVenue(scripted_exchange([instrument(symbol) for symbol in SYMBOLS], dict.fromkeys(SYMBOLS, 100.0)))


def keys_of(server: LocalVenue) -> ApiKeys:
    """The venue's own key."""
    return ApiKeys(LOCAL, Secret(server.keys[0].key), Secret(server.keys[0].secret), "test")


async def hold(server: LocalVenue) -> None:
    """Open a long in each symbol, with a stop in the odd one, as any client of the venue would."""
    venue = venue_for(live(server.url, SYMBOLS), keys_of(server))
    await venue.connect()
    for number, symbol in enumerate(SYMBOLS):
        await venue.set_leverage(symbol, 5.0)
        made = request(number, symbol, OrderSide.BUY, OrderType.MARKET, 2.0)
        assert (await venue.submit_order(made)).status is not OrderStatus.REJECTED
    stop = request(9, ODD, OrderSide.SELL, OrderType.STOP_MARKET, 2.0, 90.0, reduce_only=True)
    assert (await venue.submit_order(stop)).status is OrderStatus.NEW
    await venue.close()


async def switch_to_hedge_mode(server: LocalVenue) -> None:
    """Do what another client of the account may do while nothing is open."""
    venue = venue_for(live(server.url), keys_of(server))
    assert isinstance(venue, BinanceFuturesExecutionAdapter)
    await venue.connect()
    answer = await venue._rest.ask("POST", "fapiPrivate", "positionSide/dual", {"dualSidePosition": "true"})
    assert isinstance(answer, bytes), answer
    await venue.close()


def run_cli(state: Path, server: LocalVenue, *words: str) -> subprocess.CompletedProcess[str]:
    """One command on *state*, in a terminal that can show ASCII alone."""
    environ = {
        **os.environ, "QT_LOCAL_KEY": server.keys[0].key, "QT_LOCAL_SECRET": server.keys[0].secret,
        "PYTHONIOENCODING": "ascii",
    }
    return subprocess.run(
        [sys.executable, "-m", "quantum_trader.app.cli.main", *words, "--state", str(state)],
        capture_output=True, text=True, timeout=120, check=False, env=environ,
    )


def test_flatten_now_closes_a_symbol_in_another_script_that_the_run_does_not_trade(tmp_path: Path) -> None:
    """The run trades AAAUSDT, the account also holds 币安人生USDT: both are closed; status shows both."""

    async def script() -> tuple[LocalVenue, Any, Any]:
        async with local_venue() as server:
            await hold(server)
            state = tmp_path / "state"
            state.mkdir(mode=0o700)
            (state / "lock").touch(0o600)
            bind_folder(state, live(server.url))
            status = await asyncio.to_thread(run_cli, state, server, "status", "--venue", "--json")
            flat = await asyncio.to_thread(run_cli, state, server, "flatten", "--now", "--reason", "test")
            return server, status, flat

    server, status, flat = asyncio.run(script())
    assert status.returncode == 1, status.stderr
    view = msgspec.json.decode(status.stdout.encode())["venue"]
    assert {one["symbol"] for one in view["positions"]} == set(SYMBOLS)
    assert flat.returncode == 0, flat.stderr
    assert "flat: no position and no order left" in flat.stdout
    assert server.exchange.paper.positions() == []


def test_a_run_trades_a_symbol_in_another_script(tmp_path: Path) -> None:
    """It connects, gets a leverage, opens, rests a stop and reads its fill back under its own name."""

    async def script() -> list[Any]:
        async with local_venue() as server:
            await hold(server)
            venue = venue_for(live(server.url, SYMBOLS), keys_of(server))
            view = await look(venue)
            again = venue_for(live(server.url, SYMBOLS), keys_of(server))
            await again.connect()
            fills = await again.get_fills(ODD, 0)
            bars = await again.get_klines(ODD, 60_000_000_000, 0, server.exchange.now_ns)
            await again.close()
            return [view, fills, bars]

    view, fills, bars = asyncio.run(script())
    assert {one.symbol: one.qty for one in view.positions} == dict.fromkeys(SYMBOLS, 2.0)
    assert [(one.symbol, one.qty) for one in fills] == [(ODD, 2.0)]
    assert bars
    assert bars[0].symbol == ODD


@pytest.mark.parametrize("typed", ["btcusdt", "", "BTC USDT", "BTC/USDT", "BTC\nUSDT", "ﬁUSDT", "../BTCUSDT"])
def test_a_typing_error_is_refused_where_a_person_types_symbols(typed: str) -> None:
    """The rule is for what is typed; what the venue lists is never measured by it."""
    with pytest.raises(ConfigError, match=r"live\.symbols: .* is not (a symbol|how the exchange writes it); write"):
        live("http://127.0.0.1:1", (typed,))


def test_a_position_whose_quantity_cannot_be_read_is_named_and_the_others_are_closed() -> None:
    """NaN of one symbol: not flat, that symbol named with what to do; the other one is closed all the same."""
    account = FakeAccount(held={"AAAUSDT": 2.0, "BBBUSDT": math.nan})
    steps: list[DirectAction] = []
    result = asyncio.run(
        flatten_account(account, account.now_ns, steps.append, deadline_s=30.0, pause=account.pause)
    )
    assert not result.flat
    assert account.held["AAAUSDT"] == 0.0
    assert "BBBUSDT +nan is open (the venue reports a quantity that cannot be read" in result.text
    assert [step.symbol for step in steps if step.step == "refused"] == ["BBBUSDT"]


def test_flatten_now_works_in_hedge_mode() -> None:
    """Another client switched the account to hedge mode: a start is refused, closing connects and reads the account."""

    async def script() -> bool:
        async with local_venue() as server:
            await switch_to_hedge_mode(server)
            venue = venue_for(live(server.url), keys_of(server), closing=True)
            await venue.connect()
            result = await flatten_account(venue, time.time_ns, lambda step: None, deadline_s=20.0)
            await venue.close()
            with pytest.raises(ConfigError, match="hedge mode"):
                await venue_for(live(server.url), keys_of(server)).connect()
            return result.flat

    assert asyncio.run(script())
