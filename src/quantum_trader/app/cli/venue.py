"""``quantum-trader venue serve``: a local exchange with Binance's USD-M protocol, over a recording."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from quantum_trader.app.cli.options import (
    BarsOption,
    DataOption,
    EquityOption,
    FromOption,
    JsonOption,
    SymbolsOption,
    ToOption,
)
from quantum_trader.domain.errors import ConfigError
from quantum_trader.domain.symbols import listed_symbols

if TYPE_CHECKING:
    from quantum_trader.venues.local.exchange import Exchange
    from quantum_trader.venues.local.server import LocalVenue
    from quantum_trader.venues.local.signing import ApiKey

DEFAULT_PORT: Final = 0
_POLL_S: Final = 3_600.0

app = typer.Typer(no_args_is_help=True)


@app.callback()
def venue() -> None:
    """A local exchange: Binance's USD-M protocol over the paper venue and a recording."""


@app.command("serve")
def serve_command(
    data: DataOption = None,
    bars: BarsOption = None,
    symbols: SymbolsOption = None,
    first: FromOption = None,
    last: ToOption = None,
    start: Annotated[
        str | None, typer.Option("--start", metavar="TIME", help="Start of playing, within a bar; earlier bars are "
                                 "history.")
    ] = None,
    speed: Annotated[
        str, typer.Option("--speed", metavar="N|max|manual", help="Times real time; manual: time moves only by admin "
                          "requests.")
    ] = "1",
    shift: Annotated[
        str, typer.Option("--shift", metavar="now|none", help="now: shift the recording to the present. none: keep its "
                          "own times.")
    ] = "now",
    server_clock: Annotated[
        str, typer.Option("--clock", metavar="wall|market", help="The clock that signatures are checked against.")
    ] = "wall",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = DEFAULT_PORT,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; loopback unless --remote.")] = "127.0.0.1",
    remote: Annotated[bool, typer.Option("--remote", help="Permit an address that other machines can reach.")] = False,
    equity: EquityOption = None,
    bnb: Annotated[
        float, typer.Option("--bnb", min=0.0, metavar="AMOUNT", help="BNB in the account, which pays fees while it "
                            "lasts.")
    ] = 0.0,
    l2: Annotated[
        Path | None, typer.Option("--l2", metavar="DIR", help="Play recorded order books and trades instead of bars.")
    ] = None,
    faults: Annotated[
        int | None, typer.Option("--faults", metavar="SEED", help="Inject random faults, drawn from this seed.")
    ] = None,
    keys_file: Annotated[
        Path | None, typer.Option("--keys-file", metavar="FILE", help="File of the key pair; created (0600) when "
                                  "missing.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--admin-token-file", metavar="FILE", help="The same for the admin token.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Serve until interrupted. Without options: the bundled bars, in real time, shifted to the present.

    The key pair is created at the start and printed; it is valid for this venue only.
    """
    exchange = _exchange(data, bars, symbols, first, last, start, shift, equity, bnb, l2)
    served = _venue(exchange, speed, server_clock, host, port, remote, faults, _keys(keys_file), _token(token_file))
    asyncio.run(_serve(served, as_json, keys_file, token_file))


def _exchange(
    data: str | None, bars: str | None, symbols: str | None, first: str | None, last: str | None, start: str | None,
    shift: str, equity: float | None, bnb: float, l2: Path | None,
) -> Exchange:
    from quantum_trader.market.recording import moment_ns, open_recording
    from quantum_trader.venues.local.build import book_exchange, recorded_exchange
    from quantum_trader.venues.local.exchange import ExchangeSettings

    if shift not in ("now", "none"):
        raise ConfigError(f"--shift {shift}: use now or none")
    names = listed_symbols(symbols) if symbols is not None else None
    settings = ExchangeSettings(bnb=bnb) if equity is None else ExchangeSettings(wallet=equity, bnb=bnb)
    now_ns = time.time_ns() if shift == "now" else None
    if l2 is not None:
        return book_exchange(l2, settings=settings, now_ns=now_ns, symbols=names)
    recording = open_recording(data, bars, names, first, last)
    return recorded_exchange(
        recording, settings=settings, now_ns=now_ns, start_ns=moment_ns(start) if start is not None else None
    )


def _venue(
    exchange: Exchange, speed: str, server_clock: str, host: str, port: int, remote: bool, seed: int | None,
    key: ApiKey, token: str,
) -> LocalVenue:
    from quantum_trader.venues.local.clock import MarketClock
    from quantum_trader.venues.local.faults import Faults
    from quantum_trader.venues.local.server import LocalVenue, ServerSettings

    clock = None if speed == "manual" else MarketClock(_speed(speed))
    settings = ServerSettings(host=host, port=port, allow_remote=remote, server_clock=server_clock)
    return LocalVenue(
        exchange, keys=[key], settings=settings, clock=clock, faults=Faults(seed), admin_token=token
    )


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"--speed {text}: must be manual, max, or how many times real time, such as 60") from None


def _keys(path: Path | None) -> ApiKey:
    """The key pair of *path*, made and written when there is none."""
    from quantum_trader.venues.local.server import new_key, write_new_private
    from quantum_trader.venues.local.signing import ApiKey

    if path is None:
        return new_key()
    if not path.exists():
        made = new_key()
        write_new_private(path, msgspec.json.encode(made).decode())
        return made
    try:
        return msgspec.json.decode(_read_private(path), type=ApiKey)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path}: must be JSON with key and secret ({error})") from None


def _token(path: Path | None) -> str:
    import secrets

    from quantum_trader.venues.local.server import write_new_private

    if path is None:
        return secrets.token_hex(24)
    if not path.exists():
        write_new_private(path, secrets.token_hex(24))
    token = _read_private(path).decode().strip()
    if len(token) < 16:
        raise ConfigError(f"{path}: the admin token must have 16 characters or more")
    return token


def _read_private(path: Path) -> bytes:
    """The content of a private file; ConfigError when other users can read it."""
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigError(f"{path}: others may read it; run chmod 600 {path}")
    return path.read_bytes()


async def _serve(served: LocalVenue, as_json: bool, keys_file: Path | None, token_file: Path | None) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with served:
        told = _told(served, keys_file, token_file)
        typer.echo(msgspec.json.encode(told).decode() if as_json else _page(told))
        await stopped.wait()
    typer.echo("stopped", err=True)


def _told(served: LocalVenue, keys_file: Path | None, token_file: Path | None) -> dict[str, Any]:
    from quantum_trader.domain.clock import iso

    exchange, key = served.exchange, served.keys[0]
    return {
        "url": served.url, "ws_url": served.ws_url, "api_key": key.key, "api_secret": key.secret,
        "keys_file": str(keys_file or ""), "admin_url": f"{served.url}/admin",
        "admin_token": "" if token_file else served.admin_token, "admin_token_file": str(token_file or ""),
        "symbols": list(exchange.symbols), "now": iso(exchange.now_ns), "ends": iso(exchange.tape.end_ns),
        "speed": served.clock.speed if served.clock is not None else "manual", "pid": os.getpid(),
        "ccxt_urls": served.ccxt_urls(),
    }


def _page(told: dict[str, Any]) -> str:
    token = f"in {told['admin_token_file']}" if told["admin_token_file"] else told["admin_token"]
    return "\n".join([
        f"Local venue (Binance USD-M protocol) on {told['url']}, sockets on {told['ws_url']}",
        f"  symbols    {', '.join(told['symbols'])}",
        f"  market     {told['now']}, the recording ends {told['ends']}; speed {told['speed']}",
        f"  API key    {told['api_key']}",
        f"  secret     {told['api_secret']}",
        f"  admin      {told['admin_url']} (this machine only), token {token}",
        "  ccxt       ccxt.pro.binanceusdm({'apiKey': ..., 'secret': ..., 'urls': {'api': {",
        f"               'fapiPublic': '{told['url']}/fapi/v1', 'fapiPrivate': '{told['url']}/fapi/v1', ...",
        "             all of them (needed: an address left out is the real exchange's): venue serve --json;",
        "             in JavaScript first: await exchange.loadHttpProxyAgent()",
        f"  one address for all sockets: {told['ws_url']}/ws and {told['ws_url']}/stream",
        "Ctrl-C stops it.",
    ])
