"""Options that several commands share, and how they become settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from quantum_trader.domain.errors import ConfigError

if TYPE_CHECKING:
    from quantum_trader.app.settings import LoadedSettings

INTERRUPTED: Final = 130  # exit code after Ctrl-C

ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Settings file (TOML); flags win over it.")
]
DataOption = Annotated[
    str | None, typer.Option("--data", metavar="DIR", help="Bar store to replay; the bundled bars when left out.")
]
BarsOption = Annotated[
    str | None, typer.Option("--bars", metavar="INTERVAL", help="Bar interval, such as 1m, 5m, 30m, 1h.")
]
SymbolsOption = Annotated[
    str | None, typer.Option("--symbols", metavar="A,B", help="Symbols, separated by commas; all when left out.")
]
FromOption = Annotated[
    str | None, typer.Option("--from", metavar="DATE", help="First day or time (UTC), such as 2024-01-01.")
]
ToOption = Annotated[
    str | None, typer.Option("--to", metavar="DATE", help="Last day (included whole) or time (UTC).")
]
ProfileOption = Annotated[
    str | None, typer.Option("--profile", help="Policy profile; else ORCH_PROFILE, else SAFE.")
]
ModeOption = Annotated[
    str | None,
    typer.Option("--mode", metavar="OBSERVE|LIVE",
                 help="OBSERVE records the policy and enforces nothing; LIVE enforces all six switches, or those the "
                 "settings file turns on."),
]
EquityOption = Annotated[
    float | None, typer.Option("--equity", metavar="USDT", help="Equity to start with.")
]
PolicyOption = Annotated[
    bool | None, typer.Option("--policy/--no-policy", help="Trade with or without a policy.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]


def settings_from(config: Path | None, given: Mapping[str, tuple[Any, str]]) -> LoadedSettings:
    """Settings of *config* with the flags that were *given*: dotted key -> (value or None, the flag's name)."""
    from quantum_trader.app.settings import load_settings

    return load_settings(config, {key: pair for key, pair in given.items() if pair[0] is not None})


def shared_flags(  # the command's own parameters, by the keys they set
    data: str | None, bars: str | None, symbols: str | None, first: str | None, last: str | None, profile: str | None,
    mode: str | None, equity: float | None, policy: bool | None,
) -> dict[str, tuple[Any, str]]:
    """The dotted key and the flag's name for each shared option."""
    names = [name.strip().upper() for name in symbols.split(",") if name.strip()] if symbols is not None else None
    if names == []:
        raise ConfigError(f"--symbols {symbols!r}: names no symbol; write it like BTCUSDT,ETHUSDT, or leave it out")
    return {
        "data.path": (data, "--data"), "data.interval": (bars, "--bars"), "data.symbols": (names, "--symbols"),
        "data.start": (first, "--from"), "data.end": (last, "--to"), "policy.profile": (profile, "--profile"),
        "rollout.mode": (mode.strip().upper() if mode is not None else None, "--mode"),
        "account.start_equity": (equity, "--equity"), "policy.enabled": (policy, "--policy"),
    }
