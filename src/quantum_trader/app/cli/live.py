"""``quantum-trader live``: trade on live market data; paper fills unless the settings say otherwise."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from quantum_trader.app.cli.options import (
    ConfigOption,
    EquityOption,
    JsonOption,
    PolicyOption,
    ProfileOption,
)
from quantum_trader.domain.errors import ConfigError

if TYPE_CHECKING:
    from quantum_trader.app.runs.live_settings import LoadedLive

_ENFORCE: Final = "--policy-mode"

app = typer.Typer()


@app.command("live")
def live_command(
    state: Annotated[
        Path, typer.Option("--state", metavar="DIR", help="The run lives here; started again, it continues.")
    ],
    config: ConfigOption = None,
    mode: Annotated[
        str | None,
        typer.Option("--mode", metavar="DRY|TESTNET|LOCAL|LIVE", help="What orders do; DRY when nothing says "
                     "otherwise. LIVE also wants confirm_live in the settings file."),
    ] = None,
    address: Annotated[
        str | None, typer.Option("--address", metavar="URL", help="Where the local venue listens (loopback).")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="Market data for DRY: binance-live, binance-testnet or local.")
    ] = None,
    symbols: Annotated[
        str | None, typer.Option("--symbols", metavar="A,B", help="Symbols, separated by commas.")
    ] = None,
    bars: Annotated[str | None, typer.Option("--bars", metavar="INTERVAL", help="Bar interval, such as 30m.")] = None,
    profile: ProfileOption = None,
    policy_mode: Annotated[
        str | None, typer.Option(_ENFORCE, metavar="OBSERVE|LIVE", help="Whether the policy is enforced.")
    ] = None,
    equity: EquityOption = None,
    policy: PolicyOption = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print what a start would do, and end.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Say nothing of what it does while it trades; errors are still told.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Trade on live market data with everything a replay has: DRY (paper fills) by default.

    Prints what it will do before it does it, then a line for each position opened and closed, halt and lost stream.
    Ctrl-C, SIGTERM or a closed terminal stop it: positions stay open, their stops rest at the venue.
    """
    from quantum_trader.app.runs.live_settings import load_live_settings

    names = [name.strip().upper() for name in symbols.split(",") if name.strip()] if symbols is not None else None
    if names == []:
        raise ConfigError(f"--symbols {symbols!r}: names no symbol; write it like BTCUSDT,ETHUSDT, or leave it out")
    live_flags = _given({
        "mode": (mode.strip().upper() if mode is not None else None, "--mode"), "address": (address, "--address"),
        "endpoint": (endpoint, "--endpoint"), "symbols": (names, "--symbols"), "interval": (bars, "--bars"),
    })
    run_flags = _given({
        "policy.profile": (profile, "--profile"), "account.start_equity": (equity, "--equity"),
        "rollout.mode": (policy_mode.strip().upper() if policy_mode is not None else None, _ENFORCE),
        "policy.enabled": (policy, "--policy"),
    })
    raise typer.Exit(start(load_live_settings(config, live_flags, run_flags), state, plan, as_json, quiet))


def _given(flags: dict[str, tuple[Any, str]]) -> dict[str, tuple[Any, str]]:
    return {key: pair for key, pair in flags.items() if pair[0] is not None}


def start(loaded: LoadedLive, state: Path, only_plan: bool, as_json: bool, quiet: bool = False) -> int:
    """Load the keys, print the plan and trade; returns the exit code."""
    from quantum_trader.app.process_guard import forget_keys, guarded_process
    from quantum_trader.app.runs.live_settings import plan_lines, start_plan
    from quantum_trader.venues.binance.keys import KeyLocation, Redactor, load_keys, os_keyring

    keys = load_keys(loaded.live.venue, os.environ, os_keyring()) if loaded.live.needs_keys else None
    redactor = Redactor(keys.secrets if keys is not None else ())
    with guarded_process(redactor):
        shown = None
        if keys is not None:
            shown = KeyLocation(endpoint=keys.endpoint, key=keys.masked, source=keys.source)
        plan = start_plan(loaded.live, loaded.run, shown, state)
        if as_json:
            typer.echo(msgspec.json.encode(plan).decode())
        else:
            typer.echo("\n".join(plan_lines(plan)))
        if only_plan:
            return 0
        forget_keys(os.environ)
        from quantum_trader.app.runs.live import run_live

        return int(run_live(loaded, keys, state, redactor, quiet=quiet))
