"""Options that several commands share, and the settings they set."""

from __future__ import annotations

import getpass
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from quantum_trader.domain.errors import ConfigError, brief
from quantum_trader.domain.symbols import listed_symbols

if TYPE_CHECKING:
    from quantum_trader.app.settings import LoadedSettings
    from quantum_trader.models.loading import ModelSettings

INTERRUPTED: Final = 130  # exit code after Ctrl-C
OFF: Final = "off"
POLICY_MODES: Final = {"observe": "OBSERVE", "enforce": "LIVE"}  # value of --policy -> rollout.mode

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
PolicyOption = Annotated[
    str | None,
    typer.Option("--policy", metavar="off|observe|enforce",
                 help="off: trade without a policy. observe: compute and record it, enforce nothing. enforce: enforce "
                 "all six switches, or those the settings file turns on."),
]
NoPolicyOption = Annotated[bool, typer.Option("--no-policy", help="The same as --policy off.")]
OldModeOption = Annotated[
    str | None, typer.Option("--mode", metavar="OBSERVE|LIVE", hidden=True, help="Old form of --policy.")
]
EquityOption = Annotated[
    float | None, typer.Option("--equity", metavar="USDT", help="Equity to start with.")
]
IntentsOption = Annotated[
    Path | None,
    typer.Option("--intents", metavar="FILE", help="Recorded outside intents, one JSON object a line; each is given at "
                 "the first close at or after its creation."),
]
ModelOption = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="NAME|FILE.py:Class", help="Model that gives the signals, instead of the set "
                 "trend; repeat it to combine several. A file is run as Python code."),
]
PilotOption = Annotated[
    str | None,
    typer.Option("--pilot", metavar="FOLDER|bundled|registry:NAME", help="Trained pilot that runs beside the "
                 "signals, in SHADOW unless the settings say otherwise; bundled: the one that comes with the program; "
                 "registry:champion, or registry: and an id: one of the registry in pilot.registry."),
]
TrialsOption = Annotated[
    Path | None,
    typer.Option("--trials", metavar="DIR", help="Folder of the trial ledger; else QUANTUM_TRADER_TRIALS, else this "
                 "user's."),
]
RegisterOption = Annotated[bool, typer.Option("--register", help="Put what was trained into the registry.")]
RegisterInOption = Annotated[
    Path | None, typer.Option("--registry", metavar="DIR", help="Folder of the registry; this user's when left out.")
]
AliasOption = Annotated[
    str | None, typer.Option("--alias", metavar="challenger|shadow", help="With --register: give the model this alias.")
]
GatesOption = Annotated[
    Path | None,
    typer.Option("--gates", metavar="FILE", help="Settings of the six gates (TOML or YAML); they win over [gates] of "
                 "--config, key by key. `gates defaults` prints such a file."),
]
SwitchOption = Annotated[
    list[str] | None,
    typer.Option("--switch", metavar="TIME=[KIND:]NAME", help="Model of the registry in pilot.registry that takes over "
                 "at TIME (UTC), as a promotion lets it in a live run: an alias or an id, of the pilot or, as "
                 "signal:NAME, of the signals; repeatable."),
]
ServeOption = Annotated[
    int | None,
    typer.Option("--serve", metavar="PORT", min=1, max=65535, help="Serve the API on this loopback port while it runs, "
                 "in a process of its own."),
]
NotifyOption = Annotated[
    Path | None, typer.Option("--notify", metavar="FILE", help="Notify by these settings (TOML), from a process beside "
                              "this one.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
StateOption = Annotated[Path, typer.Option("--state", metavar="DIR", help="State folder of the run.")]


def one_line(param: typer.CallbackParam, value: str | None) -> str | None:
    """*value* of an option that is recorded; ConfigError where it is no line that can be written and shown."""
    if value is not None and not value.isprintable():
        raise ConfigError(f"{param.opts[0]} {brief(value)}: must be one line of printable characters")
    return value


ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it is recorded.", callback=one_line)]
ByOption = Annotated[
    str, typer.Option("--by", metavar="NAME", help="Who changes it; your user name if left out.", callback=one_line)
]


def acting_user() -> str:
    """The user's name, for the history of what people change."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"


def settings_from(config: Path | None, given: Mapping[str, tuple[Any, str]]) -> LoadedSettings:
    """The settings of *config* under the flags in *given*: dotted key -> (value or None, the flag's name)."""
    from quantum_trader.app.settings import load_settings

    return load_settings(config, {key: pair for key, pair in given.items() if pair[0] is not None})


def policy_flags(
    policy: str | None, no_policy: bool = False, old_mode: str | None = None, old_name: str = "--mode"
) -> dict[str, tuple[Any, str]]:
    """The dotted keys that ``--policy``, ``--no-policy`` and the old *old_name* OBSERVE|LIVE set.

    The old form prints one line on standard error. ConfigError when two of them contradict each other.
    """
    flag = f"--policy {policy}"
    if policy is not None:
        policy = policy.strip().lower()
        if policy not in (OFF, *POLICY_MODES):
            raise ConfigError(f"--policy {policy!r}: must be off, observe or enforce")
        if no_policy and policy != OFF:
            raise ConfigError(f"--policy {policy} contradicts --no-policy; give one of them")
        if old_mode is not None:
            raise ConfigError(f"{old_name} {old_mode} is the old form of --policy; give --policy {policy} alone")
    if no_policy or policy == OFF:
        flags: dict[str, tuple[Any, str]] = {"policy.enabled": (False, "--no-policy" if policy is None else flag)}
    elif policy is not None:
        flags = {"policy.enabled": (True, flag), "rollout.mode": (POLICY_MODES[policy], flag)}
    else:
        flags = {}
    if old_mode is not None:
        wanted = old_mode.strip().upper()
        new = {mode: word for word, mode in POLICY_MODES.items()}.get(wanted)
        if new is not None:
            typer.echo(f"notice: {old_name} {wanted} is now --policy {new}; the old form will be removed", err=True)
        flags["rollout.mode"] = (wanted, f"{old_name} {wanted}")
    return flags


def model_flags(models: list[str] | None, pilot: str | None = None) -> dict[str, tuple[Any, str]]:
    """The dotted keys that ``--model`` and ``--pilot`` set; empty without both."""
    flags: dict[str, tuple[Any, str]] = {"pilot.model": (pilot, "--pilot")} if pilot is not None else {}
    if models:
        flags["models"] = (tuple({"model": name} for name in models), "--model")
    return flags


def gate_flags(file: Path | None) -> dict[str, tuple[Any, str]]:
    """The dotted keys that the file of ``--gates`` sets; empty without one."""
    if file is None:
        return {}
    from quantum_trader.app.settings import META_LABEL, beside
    from quantum_trader.models.gate_tables import SECTION, read_gates

    given = {f"{SECTION}.{key}": value for key, value in read_gates(file).items()}
    if META_LABEL in given:
        given[META_LABEL] = beside(given[META_LABEL], file)
    return {key: (value, f"--gates {file.name}") for key, value in given.items()}


def start_notifications(state: Path | None, file: Path | None, *, of_server: bool = False) -> None:
    """Notify of the run in *state* by the settings in *file*, from a process of its own; nothing without *file*.

    *of_server*: for as long as this process lives. Raises ConfigError without *state* and for settings of no use.
    """
    if file is None:
        return
    if state is None:
        raise ConfigError("--notify: needs --state DIR, the folder that is told of")
    from quantum_trader.app.notify.beside import start_beside

    start_beside(state, file, of_server=of_server)


def warn_unchecked(models: Sequence[ModelSettings]) -> None:
    """Write a line to standard error for each of *models* that has not passed the check, or that bars bring no score.
    """
    if models:
        from quantum_trader.app.runs.model_check import unchecked_notes
        from quantum_trader.app.runs.model_facts import scores_to_come
        from quantum_trader.models.loading import load_models

        loaded = load_models(models)
        for note in (*unchecked_notes(loaded), *scores_to_come(loaded)):
            typer.echo(f"warning: {note}", err=True)


def shared_flags(  # the command's own parameters, by the keys they set
    data: str | None, bars: str | None, symbols: str | None, first: str | None, last: str | None, profile: str | None,
    equity: float | None, policy: Mapping[str, tuple[Any, str]],
) -> dict[str, tuple[Any, str]]:
    """The dotted key and the flag's name for each shared option; *policy* is what ``policy_flags`` returned."""
    names = listed_symbols(symbols) if symbols is not None else None
    if names == []:
        raise ConfigError(f"--symbols {symbols!r}: names no symbol; write it like BTCUSDT,ETHUSDT, or leave it out")
    return {
        "data.path": (data, "--data"), "data.interval": (bars, "--bars"), "data.symbols": (names, "--symbols"),
        "data.start": (first, "--from"), "data.end": (last, "--to"), "policy.profile": (profile, "--profile"),
        "account.start_equity": (equity, "--equity"), **policy,
    }
