"""``quantum-trader source``: the other programs whose signals a run takes, and the secret or token of each."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from quantum_trader.app.cli.options import JsonOption, StateOption
from quantum_trader.domain.errors import ConfigError

if TYPE_CHECKING:
    from quantum_trader.app.runs.signal_mapping import OutsideSignal

_OWN_NAMES: Final = ("ensemble", "model", "pilot", "person")  # under which the run counts its own

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Sources of signals from outside: make, list, try a body, revoke."
)


@app.command("new")
def new_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the source, such as tradingview.")],
    state: StateOption,
    token: Annotated[
        bool, typer.Option("--token", help="A token for POST /api/v1/signals, in place of a webhook's secret.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a source. Its secret is shown this once; the folder keeps its hash alone.

    A webhook's secret lets in signals and nothing else. A token, of a trader, may stop and close too.
    """
    from quantum_trader.app.api.tokens import Role, TokenStore
    from quantum_trader.app.api.webhook_secrets import webhook_secrets
    from quantum_trader.app.runs.status import is_alive

    if name.lower() in _OWN_NAMES:
        raise ConfigError(f"NAME {name!r}: the run counts its own trades under this name; choose another")
    _folder(state)
    is_alive(state)  # StateError where it is no run's folder
    stores = (TokenStore(state), webhook_secrets(state))
    if any(one.name == name and one.is_valid for store in stores for one in store.all()):
        raise ConfigError(f"NAME {name!r}: there is a valid source or token of this name; revoke it, or choose another")
    made, text = stores[not token].new(name, Role.TRADER, time.time_ns())
    kind = "token" if token else "webhook"
    road = "/api/v1/signals" if token else f"/api/v1/webhooks/{name}"
    if as_json:
        row = {"id": made.id, "name": name, "kind": kind, "path": road, "secret": text}
        typer.echo(msgspec.json.encode(row).decode())
        return
    typer.echo(text)
    where = "Send it as: Authorization: Bearer TOKEN" if token else 'Put it into the body, as "secret": "qts_..."'
    typer.echo(f"source {name} ({made.id}), a {kind}: POST {road}; the secret is not shown again. {where}", err=True)


@app.command("list")
def list_command(state: StateOption, as_json: JsonOption = False) -> None:
    """List the sources: kind, whether they are valid, and how many signals came, were taken and refused."""
    from quantum_trader.app.api.tokens import Role, TokenStore
    from quantum_trader.app.api.webhook_secrets import webhook_secrets
    from quantum_trader.app.runs.signal_inbox import SignalInbox, SourceCounts
    from quantum_trader.app.runs.signal_sources import EnterAs, SourceSettings, read_sources
    from quantum_trader.domain.clock import iso

    _folder(state)
    settings, counts = read_sources(state), SignalInbox(state, time.time_ns).counts()
    rows = [
        {"id": one.id, "name": one.name, "kind": kind, "made": iso(one.created_ns),
         "revoked": iso(one.revoked_ns) if one.revoked_ns else None,
         "settings": msgspec.to_builtins(settings.get(one.name, SourceSettings())),
         "counts": msgspec.to_builtins(counts.get(one.name, SourceCounts(refused={})))}
        for kind, store in (("webhook", webhook_secrets(state)), ("token", TokenStore(state)))
        for one in store.all() if one.role.may(Role.TRADER)
    ]
    if as_json:
        typer.echo(msgspec.json.encode(rows).decode())
        return
    scores = [name for name, one in settings.items() if one.enter_as is EnterAs.SCORES]
    for row in rows:
        n = counts.get(str(row["name"]), SourceCounts(refused={}))
        refusals = n.refused
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(refusals.items()))
        enters = "enters as scores  " if row["name"] in scores else ""
        typer.echo(
            f"{row['name']}  {row['kind']}  {row['id']}  {'revoked' if row['revoked'] else 'valid'}  "
            f"{enters}received {n.received}, accepted {n.accepted}, duplicates {n.duplicates}, expired {n.expired}, "
            f"refused {sum(refusals.values())}{f' ({reasons})' if reasons else ''}"
        )
    if not rows:
        typer.echo("no source yet; `quantum-trader source new NAME` makes one")


@app.command("try")
def try_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the source.")],
    body: Annotated[str, typer.Argument(metavar="FILE", help="A body as the source sends it; - for stdin.")],
    state: StateOption, as_json: JsonOption = False,
) -> None:
    """Show what a body means with the source's settings; nothing is sent, noted or traded, and no secret is needed."""
    from quantum_trader.app.runs.live_settings import read_folder
    from quantum_trader.app.runs.signal_bodies import MOST_SIGNAL_BYTES, body_fields, secrets_in
    from quantum_trader.app.runs.signal_mapping import ACTION_WORDS, as_word, signal_of
    from quantum_trader.app.runs.signal_sources import SourceSettings, read_sources
    from quantum_trader.domain.private_files import read_plain

    _folder(state)
    try:
        content = sys.stdin.buffer.read() if body == "-" else read_plain(Path(body), MOST_SIGNAL_BYTES)
    except OSError as error:
        raise ConfigError(f"FILE {body}: cannot be read ({error.strerror})") from None
    settings = read_sources(state).get(name, SourceSettings())
    folder = read_folder(state)
    fields = body_fields(
        secrets_in(content)[1], settings.pattern, [*ACTION_WORDS, *map(as_word, settings.actions)]
    )
    signal = signal_of(fields, settings, folder.symbols if folder is not None else (), time.time_ns())
    if as_json:
        typer.echo(msgspec.json.encode(signal).decode())
        return
    typer.echo("\n".join(_signal_lines(signal)))


@app.command("export")
def export_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write, such as scores.csv.")],
    state: StateOption,
    source: Annotated[
        str, typer.Option("--source", metavar="NAME", help="Scores of this source alone; without it of all.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Write the scores that the run's models took to a CSV file, which `run --model FILE` reads."""
    from quantum_trader.app.runs.score_export import received_scores, write_scores

    if file.suffix.lower() != ".csv":
        raise ConfigError(f"FILE {file}: must end in .csv")
    lines = received_scores(_folder(state), source)
    if not lines:
        whose = f" of {source}" if source else ""
        raise ConfigError(f"--state {state}: no model of this run took a score{whose}; there is nothing to write")
    write_scores(file, lines)
    scores = len([one for one in lines if one.score is not None])
    symbols = sorted({one.symbol for one in lines})
    if as_json:
        typer.echo(msgspec.json.encode({"file": str(file), "scores": scores, "symbols": symbols}).decode())
        return
    typer.echo(f"{file}: {scores:,} scores of {', '.join(symbols)}. Next: quantum-trader run --model {file}")


@app.command("revoke")
def revoke_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name or id of a valid source.")],
    state: StateOption, as_json: JsonOption = False,
) -> None:
    """Revoke a source's secret or token at once; its positions stay as they are."""
    from quantum_trader.app.api.tokens import Role, TokenStore
    from quantum_trader.app.api.webhook_secrets import webhook_secrets

    _folder(state)
    for store in (webhook_secrets(state), TokenStore(state)):
        valid = [one for one in store.all() if one.is_valid and one.role.may(Role.TRADER)]
        if any(name in (one.id, one.name) for one in valid):
            ended = store.revoke(name, time.time_ns())
            if as_json:
                typer.echo(msgspec.json.encode({"id": ended.id, "name": ended.name}).decode())
            else:
                typer.echo(f"source {ended.name} ({ended.id}) is revoked")
            return
    raise ConfigError(f"NAME {name!r}: no valid source has this name or id; `quantum-trader source list` shows them")


def _signal_lines(signal: OutsideSignal) -> list[str]:
    """What a signal says, a line a field; fields that it does not state are left out."""
    from quantum_trader.domain.clock import iso

    told = {key: value for key, value in msgspec.to_builtins(signal).items() if value not in ("", 0.0, 0)}
    if signal.sent_ns:
        told["sent_ns"] = iso(signal.sent_ns)
    names = {"sent_ns": "sent", "max_lag_s": "may be old, s"}
    told["ignored"] = ", ".join(signal.ignored) or "nothing"
    return [f"{names.get(key, key)}: {value}" for key, value in told.items()]


def _folder(state: Path) -> Path:
    """*state*; ConfigError where there is no such folder."""
    if not state.is_dir():
        raise ConfigError(f"--state {state}: there is no such folder; give that of `run --state` or `live --state`")
    return state
