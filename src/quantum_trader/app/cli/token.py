"""``quantum-trader token``: make, list and revoke the tokens with which others ask the API of a state folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from quantum_trader.app.cli.options import JsonOption, StateOption
from quantum_trader.domain.errors import ConfigError

_ROLES: Final = ("viewer", "trader", "owner")

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Tokens of the API: make, list, revoke.")


@app.command("new")
def new_command(
    state: StateOption,
    role: Annotated[
        str, typer.Option(
            "--role", metavar="ROLE",
            help="viewer reads; trader also halts, stops and sends signals; owner also changes gates and pilot.",
        )
    ] = "viewer",
    name: Annotated[str, typer.Option("--name", help="Who gets it; stands in the records of what it changes.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Make a token. It is shown this once; the folder keeps its hash alone."""
    from quantum_trader.app.api.tokens import Role, TokenStore
    from quantum_trader.app.runs.status import is_alive

    if role not in _ROLES:
        raise ConfigError(f"--role {role!r}: must be one of {', '.join(_ROLES)}")
    _check_folder(state)
    is_alive(state)  # StateError where it is no run's folder
    now_ns = time.time_ns()
    token, text = TokenStore(state).new(name or f"{role}-{now_ns // 1_000_000_000}", Role(role), now_ns)
    if as_json:
        typer.echo(msgspec.json.encode({"id": token.id, "name": token.name, "role": role, "token": text}).decode())
        return
    typer.echo(text)
    typer.echo(f"token {token.name} ({token.id}) of a {role}; it is not shown again. Send it as: "
               "Authorization: Bearer TOKEN", err=True)


@app.command("list")
def list_command(state: StateOption, as_json: JsonOption = False) -> None:
    """List the tokens: id, name, role, when they were made and revoked."""
    from quantum_trader.app.api.tokens import TokenStore
    from quantum_trader.domain.clock import iso

    rows = [
        {"id": one.id, "name": one.name, "role": one.role.value, "created": iso(one.created_ns),
         "revoked": iso(one.revoked_ns) if one.revoked_ns else None}
        for one in TokenStore(_check_folder(state)).all()
    ]
    if as_json:
        typer.echo(msgspec.json.encode(rows).decode())
        return
    for row in rows:
        ended = f", revoked {row['revoked'][:19]}Z" if row["revoked"] else ""
        typer.echo(f"{row['id']}  {row['name']}  {row['role']}  made {str(row['created'])[:19]}Z{ended}")
    if not rows:
        typer.echo("no token yet; `quantum-trader token new --role trader` makes one")


@app.command("revoke")
def revoke_command(
    token: Annotated[str, typer.Argument(metavar="ID|NAME", help="Id or name of a valid token.")],
    state: StateOption, as_json: JsonOption = False,
) -> None:
    """Revoke a token at once; a running server closes its open sockets within a second."""
    from quantum_trader.app.api.tokens import TokenStore

    ended = TokenStore(_check_folder(state)).revoke(token, time.time_ns())
    if as_json:
        typer.echo(msgspec.json.encode({"id": ended.id, "name": ended.name, "role": ended.role.value}).decode())
    else:
        typer.echo(f"token {ended.name} ({ended.id}) is revoked")


def _check_folder(state: Path) -> Path:
    """*state*; ConfigError where there is no such folder."""
    if not state.is_dir():
        raise ConfigError(f"--state {state}: there is no such folder; give that of `run --state` or `live --state`")
    return state
