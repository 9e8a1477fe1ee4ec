"""``quantum-trader keys set | show | remove``: API keys in the machine's keyring; the screen shows them masked."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import msgspec
import typer

from quantum_trader.app.cli.options import JsonOption
from quantum_trader.domain.errors import ConfigError
from quantum_trader.venues.binance.keys import (
    ENDPOINT_NAMES,
    FILE_VARIABLE,
    LIVE,
    OsKeyring,
    find_keys,
    os_keyring,
    remove_keys,
    store_keys,
    variables,
)

app = typer.Typer(no_args_is_help=True, help="API keys: store, show masked, remove.")

EndpointArgument = Annotated[str, typer.Argument(metavar="ENDPOINT", help=f"One of: {', '.join(ENDPOINT_NAMES)}.")]


def _keyring() -> OsKeyring:
    keyring = os_keyring()
    if keyring is None:
        raise ConfigError(
            "keyring: the package is not installed; install quantum-trader[live], or give keys by the environment or a "
            f"0600 file named in {FILE_VARIABLE}"
        )
    return keyring


@app.command("set")
def set_command(endpoint: EndpointArgument, as_json: JsonOption = False) -> None:
    """Prompt for the key and the secret of ENDPOINT, hidden, and store them in the machine's keyring.

    A script can pipe them in, one line each. Keys belong to one endpoint; create them without withdrawal rights.
    """
    variables(endpoint)
    keyring = _keyring()
    keys = store_keys(endpoint, _hidden("key"), _hidden("secret"), keyring)
    if as_json:
        typer.echo(msgspec.json.encode({"endpoint": endpoint, "key": keys.masked, "source": keys.source}).decode())
        return
    typer.echo(f"{endpoint}: {keys.masked} is stored in the keyring")
    if endpoint == LIVE:
        typer.echo("A start in mode LIVE refuses keys with withdrawal rights.")


def _hidden(what: str) -> str:
    """A hidden prompt's answer, or the next line of a script's standard input."""
    if sys.stdin.isatty():
        return str(typer.prompt(what, hide_input=True, err=True))
    return sys.stdin.readline()


@app.command("show")
def show_command(as_json: JsonOption = False) -> None:
    """Show which endpoints have keys, masked, and where each was found."""
    found = find_keys(os.environ, os_keyring())
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    for endpoint in ENDPOINT_NAMES:
        here = [f"{keys.key} ({keys.source})" for keys in found if keys.endpoint == endpoint]
        typer.echo(f"{endpoint:<16} {', '.join(here) or 'none'}")


@app.command("remove")
def remove_command(endpoint: EndpointArgument, as_json: JsonOption = False) -> None:
    """Remove the keys of ENDPOINT from the machine's keyring; if others may know them, revoke them at the venue too."""
    removed = remove_keys(endpoint, _keyring())
    if as_json:
        typer.echo(msgspec.json.encode({"endpoint": endpoint, "removed": removed}).decode())
    else:
        typer.echo(f"{endpoint}: {'removed from the keyring' if removed else 'the keyring holds no keys'}")
