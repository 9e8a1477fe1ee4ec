"""``quantum-trader serve``: the API of a run, over HTTP and WebSocket."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer

from quantum_trader.app.cli.options import JsonOption, StateOption
from quantum_trader.domain.errors import ConfigError

_BEGINS_S: Final = 60.0
_NAP_S: Final = 0.1

app = typer.Typer(add_completion=False)


@app.command("serve")
def serve_command(
    state: StateOption,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0: a free one.")] = 8000,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on. Others than loopback need a token "
                          "for everything, and TLS.")
    ] = "127.0.0.1",
    name: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="HOST", help="Further name under which it is reached; repeatable."),
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option("--tls-cert", metavar="FILE", help="Certificate (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="Its private key (PEM).")] = None,
    without_tls: Annotated[
        bool,
        typer.Option("--without-tls", help="Others reach it unencrypted: only where a proxy or a VPN encrypts."),
    ] = False,
    private_read: Annotated[
        bool, typer.Option("--private-read", help="Reading needs a token on loopback too: behind a reverse proxy.")
    ] = False,
    public_read: Annotated[
        bool, typer.Option("--public-read", help="Everybody who reaches it may read; changes still need a token.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", hidden=True, help="Wait until the folder is a run's.")] = False,
    ui_origin: Annotated[
        str, typer.Option("--ui-origin", metavar="URL", help="Address of a FreqUI whose pages may use freqtrade's "
                          "endpoints, such as http://localhost:3000. Others may not.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Serve a run's API: read everything, halt, resume, stop, close; whether its process runs, hangs or is dead.

    On a loopback address reading needs no token; every change needs one (`quantum-trader token new`). Ctrl-C ends it.
    """
    try:
        from quantum_trader.app.api.access import AccessSettings
        from quantum_trader.app.api.server import ServeSettings, serve
    except ImportError as error:
        raise ConfigError(
            f"serve: {error.name} is not installed; install it with pip install 'quantum-trader[serve]'"
        ) from None
    if (tls_cert is None) != (tls_key is None):
        raise ConfigError("--tls-cert and --tls-key: give both or neither")
    for flag, file in (("--tls-cert", tls_cert), ("--tls-key", tls_key)):
        if file is not None and not file.is_file():
            raise ConfigError(f"{flag} {file}: there is no such file")
    if wait:
        _wait_for(state)
    access = AccessSettings(
        host=host, port=port, has_tls=tls_cert is not None, names=tuple(name or ()), is_read_public=public_read,
        is_read_private=private_read,
        ui_origin=_origin(ui_origin),
    )

    def ready(address: str) -> None:
        if as_json:
            typer.echo(f'{{"address": "{address}"}}')
        else:
            typer.echo(f"serving {state} at {address}; Ctrl-C ends it")

    serve(state, ServeSettings(access=access, tls_cert=tls_cert, tls_key=tls_key, without_tls=without_tls), ready)


def _wait_for(state: Path) -> None:
    """Wait until a run has taken *state*, at most a minute."""
    ends_s = time.monotonic() + _BEGINS_S
    while not (state / "lock").exists() and time.monotonic() < ends_s:
        time.sleep(_NAP_S)


def _origin(url: str) -> str:
    """The origin of *url*, as a browser states it; empty for none. Raises ConfigError for what is no origin."""
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    if url and (parts.scheme not in ("http", "https") or not parts.netloc or url.rstrip("/") != origin):
        raise ConfigError(f"--ui-origin {url!r}: must be scheme, host and port alone, such as http://localhost:3000")
    return origin if url else ""
