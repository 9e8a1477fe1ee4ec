"""``quantum-trader notify``: tell people what a run does, by any service that apprise knows."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from quantum_trader.app.cli.options import JsonOption, StateOption
from quantum_trader.domain.errors import ConfigError

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Notifications: of halts, fills, drawdowns, stops and more."
)

SettingsOption = Annotated[
    Path, typer.Option("--settings", metavar="FILE", help="Settings of the notifications (TOML), without addresses.")
]
TargetArgument = Annotated[str, typer.Argument(metavar="NAME", help="A target of the settings, or ping.")]


@app.command("run")
def run_command(
    state: StateOption,
    settings: SettingsOption,
    until_end: Annotated[bool, typer.Option(
        "--until-end", help="End after the run has ended; one that does not run is waited for two minutes.",
    )] = False,
    with_parent: Annotated[
        bool, typer.Option("--with-parent", hidden=True, help="End with the process that started this one.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Where another process notifies of this run, wait until that has ended, "
                           "instead of refusing to start.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Tell what happens in a run, from now on, until Ctrl-C; a restart goes on where it stopped.

    It reads the journal and the status of the state folder and never holds up
    the run. Each line says what was sent to whom, or why not; with --json it is
    a JSON document.
    """
    from quantum_trader.app.notify.beside import NotifyEnds, notify_until_stopped, ready_addresses
    from quantum_trader.app.notify.secret_addresses import forget_addresses
    from quantum_trader.app.notify.settings import load_notify_settings
    from quantum_trader.app.process_guard import forget_keys, guarded_process
    from quantum_trader.venues.binance.keys import Redactor, os_keyring

    known = load_notify_settings(settings)
    addresses = ready_addresses(known, os.environ, os_keyring())
    forget_addresses(os.environ)
    forget_keys(os.environ)

    def say(text: str, facts: dict[str, Any]) -> None:
        typer.echo(msgspec.json.encode(facts).decode() if as_json else text)

    names = ", ".join(f"{name} ({one.scheme}://)" for name, one in addresses.items())
    if not as_json:
        typer.echo(f"telling {names} what happens in {state}; Ctrl-C ends it")
    with guarded_process(Redactor(one.address for one in addresses.values())):
        notify_until_stopped(
            state, known, addresses, say, NotifyEnds(with_run=until_end, with_parent=with_parent, waits=wait)
        )


@app.command("test")
def send_test_command(
    settings: SettingsOption,
    target: Annotated[str, typer.Option("--target", metavar="NAME", help="Only this one.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Send a test message to each target, and the ping; exit code 1 where one does not get through."""
    from quantum_trader.app.notify.beside import ready_addresses
    from quantum_trader.app.notify.sender import SendOrder
    from quantum_trader.app.notify.sending import deliver
    from quantum_trader.app.notify.settings import PING, allowed_of, load_notify_settings
    from quantum_trader.venues.binance.keys import os_keyring

    known = load_notify_settings(settings)
    addresses = ready_addresses(known, os.environ, os_keyring())
    if target and target not in addresses:
        raise ConfigError(f"--target {target}: is not in {settings}; it has {', '.join(addresses)}")
    rows = []
    for name, found in addresses.items():
        if target in ("", name):
            given = known.ping if name == PING else known.targets[name]
            assert given is not None
            told = deliver(SendOrder(
                address=found.address.reveal(), title=f"{known.label or 'quantum-trader'}: test",
                text="This is a test of the notifications.", is_ping=name == PING, allow=allowed_of(given, name),
            ))
            rows.append({"target": name, "service": found.scheme, "ok": told.ok, "why": told.why})
    if as_json:
        typer.echo(msgspec.json.encode(rows).decode())
    for row in rows if not as_json else ():
        typer.echo(f"{row['target']} ({row['service']}): {'sent' if row['ok'] else row['why']}")
    if not all(row["ok"] for row in rows):
        raise typer.Exit(1)


@app.command("list")
def list_command(state: StateOption, settings: SettingsOption, as_json: JsonOption = False) -> None:
    """List who is told of what, what waits to be sent, and the last messages with what became of them."""
    from quantum_trader.app.notify.notify_list import notify_document, notify_lines
    from quantum_trader.app.notify.settings import load_notify_settings
    from quantum_trader.venues.binance.keys import os_keyring

    document = notify_document(state, load_notify_settings(settings), os.environ, os_keyring(), time.time_ns())
    typer.echo(msgspec.json.encode(document).decode() if as_json else "\n".join(notify_lines(document)))


@app.command("set")
def set_command(name: TargetArgument, as_json: JsonOption = False) -> None:
    """Prompt for the address of NAME, hidden, and keep it in the machine's keyring; a script can pipe it in."""
    from quantum_trader.app.notify.secret_addresses import store_address

    given = str(typer.prompt("address", hide_input=True, err=True)) if sys.stdin.isatty() else sys.stdin.readline()
    found = store_address(name, given, _keyring())
    if as_json:
        typer.echo(msgspec.json.encode({"target": name, "service": found.scheme, "source": found.source}).decode())
    else:
        typer.echo(f"{name}: an address of {found.scheme}:// is kept in the keyring")


@app.command("remove")
def remove_command(name: TargetArgument, as_json: JsonOption = False) -> None:
    """Take the address of NAME out of the machine's keyring."""
    from quantum_trader.app.notify.secret_addresses import remove_address

    removed = remove_address(name, _keyring())
    if as_json:
        typer.echo(msgspec.json.encode({"target": name, "removed": removed}).decode())
    else:
        typer.echo(f"{name}: {'removed from the keyring' if removed else 'the keyring holds no address'}")


def _keyring() -> Any:
    from quantum_trader.venues.binance.keys import os_keyring

    found = os_keyring()
    if found is None:
        raise ConfigError(
            "keyring: the package is not installed; install quantum-trader[live], or give the address by the "
            "environment variable QT_NOTIFY_<NAME> or in a 0600 file that QT_NOTIFY_FILE names"
        )
    return found
