"""``quantum-trader guard freqtrade``: a veto for a freqtrade that stays as it is."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from quantum_trader.app.cli.guard_sources import (
    BinanceOption,
    GuardBarsOption,
    GuardDataOption,
    GuardStateOption,
    ProfilesOption,
    bars_source,
)
from quantum_trader.app.cli.options import JsonOption, ProfileOption
from quantum_trader.domain.errors import ConfigError, VenueError

if TYPE_CHECKING:
    from quantum_trader.app.guard.freqtrade_rest import BotConfig, Credentials
    from quantum_trader.app.guard.freqtrade_veto import FreqtradeVeto, VetoCycle


def freqtrade_command(
    url: Annotated[str, typer.Argument(metavar="URL", help="freqtrade's API, such as http://127.0.0.1:8080.")],
    state: GuardStateOption,
    bot: Annotated[
        str, typer.Option("--bot", metavar="NAME", help="The bot's name in modes and reports.")
    ] = "freqtrade",
    data: GuardDataOption = None,
    binance: BinanceOption = False, bars: GuardBarsOption = None,
    profile: ProfileOption = None, profiles: ProfilesOption = None,
    confidence: Annotated[
        float | None, typer.Option("--confidence", min=0.0, max=1.0, help="What the strategy's entries have earned in "
                                   "your backtests; a pair for which the policy asks for more is locked.")
    ] = None,
    credentials: Annotated[
        Path | None, typer.Option("--credentials", metavar="FILE", help="File of mode 0600 with two lines, user and "
                                  "password; else freqtrade's own environment variables, else a prompt.")
    ] = None,
    without_tls: Annotated[
        bool, typer.Option("--without-tls", help="Send the password over http to another machine: a VPN encrypts.")
    ] = False,
    every: Annotated[float, typer.Option("--every", metavar="SECONDS", min=1.0, max=120.0)] = 20.0,
    once: Annotated[bool, typer.Option("--once", help="One cycle, then end.")] = False, as_json: JsonOption = False,
) -> None:
    """Hold an unmodified freqtrade to the policy: lock the pairs that it refuses, over freqtrade's REST API.

    The bars are freqtrade's own candles unless --data or --binance names others. In OBSERVE, where every bot begins, no
    lock is written. With --json each cycle is one line.
    """
    from quantum_trader.app.guard.bots import GuardSettings
    from quantum_trader.app.guard.freqtrade_rest import FreqtradeRest
    from quantum_trader.app.guard.freqtrade_veto import FreqtradeBars, FreqtradeVeto
    from quantum_trader.app.guard.service import GuardService

    rest = FreqtradeRest(url, _credentials(credentials), without_tls=without_tls)
    config = rest.config()
    for note in _blind_spots(config):
        typer.echo(f"guard: {note}", err=True)
    own = None if data or binance else FreqtradeBars(rest, config.timeframe, config.timeframe_ms)
    source = own or bars_source(data, binance, bars, None)
    service = GuardService(state, GuardSettings(profile=profile, profile_folder=profiles), source)
    try:
        veto = FreqtradeVeto(service, bot, rest, time.time_ns, confidence=confidence)
        typer.echo(f"guard: {config.bot_name or url} ({config.runmode}), profile {service.profile}", err=True)
        _watch_freqtrade(veto, every, once, as_json)
    finally:
        service.close()


def _watch_freqtrade(veto: FreqtradeVeto, every_s: float, once: bool, as_json: bool) -> None:
    """Run cycles until interrupted; print each as JSON, or what changed. With *once* an error is raised."""
    problem = ""
    while True:
        try:
            cycle, found = veto.cycle(), ""
        except VenueError as error:
            if once:
                raise
            cycle, found = None, str(error)
        if found != problem:
            typer.echo(f"guard: {found or 'freqtrade answers again'}", err=True)
        problem = found
        if cycle is not None:
            told = msgspec.json.encode(cycle).decode() if as_json else _changes(cycle, whole=once)
            if told:
                typer.echo(told)
        if once:
            return
        time.sleep(every_s)


def _changes(cycle: VetoCycle, *, whole: bool) -> str:
    """The pairs of *cycle* where something changed or failed; all of them with *whole*."""
    lines = []
    for one in cycle.pairs:
        if whole or one.action or one.problem:
            state = one.action or ("LOCKED" if one.is_locked else "no lock")
            why = one.problem or one.reason or "permitted"
            lines.append(f"{cycle.time} {cycle.mode.value} {one.pair}: {state}: {why}")
    return "\n".join(lines)


def _blind_spots(config: BotConfig) -> list[str]:
    """What no lock stops in a freqtrade that is set up so."""
    found = []
    if config.position_adjustment_enable:
        found.append("position_adjustment_enable: additions to open trades pass no lock")
    if config.force_entry_enable:
        found.append("force_entry_enable: forced entries pass no lock")
    return found


def _credentials(file: Path | None) -> Credentials:
    """User and password from *file*, else from freqtrade's own environment variables, else from a prompt."""
    from quantum_trader.app.guard.freqtrade_rest import (
        PASSWORD_VARIABLE,
        USER_VARIABLE,
        Credentials,
        read_credentials,
    )

    if file is not None:
        return read_credentials(file)
    user, password = os.environ.get(USER_VARIABLE, ""), os.environ.get(PASSWORD_VARIABLE, "")
    if user and password:
        return Credentials(user, password)
    if not sys.stdin.isatty():
        raise ConfigError(f"{USER_VARIABLE}, {PASSWORD_VARIABLE}: are not set; set them, or give --credentials FILE")
    user = user or str(typer.prompt("user", err=True))
    return Credentials(user, str(typer.prompt("password", hide_input=True, err=True)))
