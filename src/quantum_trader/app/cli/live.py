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
    GatesOption,
    JsonOption,
    ModelOption,
    NoPolicyOption,
    NotifyOption,
    PilotOption,
    PolicyOption,
    ProfileOption,
    ServeOption,
    gate_flags,
    model_flags,
    policy_flags,
    start_notifications,
)
from quantum_trader.domain.errors import ConfigError
from quantum_trader.domain.symbols import listed_symbols

if TYPE_CHECKING:
    from quantum_trader.app.runs.live_settings import LoadedLive

_OLD_POLICY: Final = "--policy-mode"

app = typer.Typer()


@app.command("live")
def live_command(
    state: Annotated[
        Path, typer.Option("--state", metavar="DIR", help="Folder of the run; the same command resumes it.")
    ],
    config: ConfigOption = None,
    mode: Annotated[
        str | None,
        typer.Option("--mode", metavar="DRY|TESTNET|LOCAL|LIVE", help="Where orders go; DRY (paper fills) by default. "
                     "LIVE trades real money and needs confirm_live in the settings file."),
    ] = None,
    address: Annotated[
        str | None, typer.Option("--address", metavar="URL", help="Address of the local venue (loopback).")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="Market data for DRY: binance-live, binance-testnet or local.")
    ] = None,
    symbols: Annotated[
        str | None, typer.Option("--symbols", metavar="A,B", help="Symbols, separated by commas.")
    ] = None,
    bars: Annotated[str | None, typer.Option("--bars", metavar="INTERVAL", help="Bar interval, such as 30m.")] = None,
    profile: ProfileOption = None,
    policy: PolicyOption = None,
    no_policy: NoPolicyOption = False,
    policy_mode: Annotated[
        str | None, typer.Option(_OLD_POLICY, metavar="OBSERVE|LIVE", hidden=True, help="Old form of --policy.")
    ] = None,
    equity: EquityOption = None,
    model: ModelOption = None,
    pilot: PilotOption = None,
    gates: GatesOption = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print what a start does, and end without starting. Exit "
                                            "code 1 when a start would be refused.")] = False,
    serve: ServeOption = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print no messages while trading, except errors.")
    ] = False,
    notify: NotifyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Trade on live market data with the engine of the replay; DRY (paper fills) by default.

    Prints its plan first, then a line for each position opened or closed, each halt and each lost stream. Ctrl-C,
    SIGTERM or a closed terminal stop it: positions stay open, their stops rest at the venue,
    and entries at rest are cancelled.
    """
    from quantum_trader.app.runs.live_settings import load_live_settings

    names = listed_symbols(symbols) if symbols is not None else None
    if names == []:
        raise ConfigError(f"--symbols {symbols!r}: names no symbol; write it like BTCUSDT,ETHUSDT, or leave it out")
    live_flags = _given({
        "mode": (mode.strip().upper() if mode is not None else None, "--mode"), "address": (address, "--address"),
        "endpoint": (endpoint, "--endpoint"), "symbols": (names, "--symbols"), "interval": (bars, "--bars"),
    })
    run_flags = _given({
        "policy.profile": (profile, "--profile"), "account.start_equity": (equity, "--equity"),
        **policy_flags(policy, no_policy, policy_mode, _OLD_POLICY), **model_flags(model, pilot), **gate_flags(gates),
    })
    raise typer.Exit(start(
        load_live_settings(config, live_flags, run_flags), state, plan, as_json, quiet, None if plan else serve, notify
    ))


def _given(flags: dict[str, tuple[Any, str]]) -> dict[str, tuple[Any, str]]:
    return {key: pair for key, pair in flags.items() if pair[0] is not None}


def start(
    loaded: LoadedLive, state: Path, only_plan: bool, as_json: bool, quiet: bool = False, serve: int | None = None,
    notify: Path | None = None,
) -> int:
    """Load the keys, print the plan and trade; returns the exit code. *notify*: settings of notifications.

    With *only_plan* it ends there: exit code 1 when a start would be refused, and the plan says why.
    """
    from quantum_trader.app.process_guard import forget_keys, guarded_process
    from quantum_trader.app.runs.live_messages import say
    from quantum_trader.app.runs.live_plan import plan_lines, start_plan
    from quantum_trader.app.runs.serving import served
    from quantum_trader.app.runs.sole_trader import other_trader
    from quantum_trader.venues.binance.keys import KeyLocation, Redactor, load_keys, os_keyring

    keys, missing = None, ""
    if loaded.live.needs_keys:
        try:
            keys = load_keys(loaded.live.venue, os.environ, os_keyring())
        except ConfigError as error:
            if not only_plan:
                raise
            missing = str(error)
    redactor = Redactor(keys.secrets if keys is not None else ())
    with guarded_process(redactor), served(state, serve, say):  # the server takes the keys along, to close with them
        shown = None
        if keys is not None:
            shown = KeyLocation(endpoint=keys.endpoint, key=keys.masked, source=keys.source)
        taken = other_trader(keys)
        forget_keys(os.environ)  # before files of users' models are run
        check = say if only_plan else None
        plan = start_plan(loaded.live, loaded.run, shown, state, missing, taken, check)
        if as_json:
            typer.echo(msgspec.json.encode(plan).decode())
        else:
            typer.echo("\n".join(plan_lines(plan)))
        if only_plan:
            return 1 if plan.refusals else 0
        from quantum_trader.app.runs.live import run_live

        start_notifications(state, notify)
        return int(run_live(loaded, keys, state, redactor, quiet=quiet))
