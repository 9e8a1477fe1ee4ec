"""``quantum-trader pilot settings | set``: what the pilot may do, and changing it with a reason."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from quantum_trader.app.cli.options import ByOption, JsonOption, ReasonOption
from quantum_trader.domain.clock import iso
from quantum_trader.domain.enums import PilotMode
from quantum_trader.domain.errors import ConfigError
from quantum_trader.domain.pilot_settings import LIVE, PilotSettings, field_of

if TYPE_CHECKING:
    from quantum_trader.policy.policy_store import PolicyStore, StoreChange
    from quantum_trader.policy.policy_store_file import StoreReading
    from quantum_trader.policy.policy_store_state import SettingChange

PROBLEM: Final = 1  # exit code: the store cannot be used, and the pilot is OFF
MODE_DOES: Final = {
    PilotMode.OFF: "the pilot does nothing",
    PilotMode.SHADOW: "its decisions are recorded and never traded",
    PilotMode.PRIMARY: "its decisions are traded",
    PilotMode.HYBRID: "its decisions and the signals are traded, the more confident one",
}
_WORDS: Final = {"true": True, "false": False}

StoreStateOption = Annotated[
    Path | None, typer.Option("--state", metavar="DIR", help="State folder of the run whose pilot it is.")
]
FileOption = Annotated[
    Path | None, typer.Option("--file", metavar="FILE", help="A policy store outside a state folder.")
]


def settings_command(
    state: StoreStateOption = None, file: FileOption = None,
    history: Annotated[bool, typer.Option("--history", help="List the changes too: who, when, why.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what the pilot may do: the settings in force, their version, and where each came from.

    Exit code 1 where the store cannot be used: the mode is OFF then, and the reason is shown.
    """
    from quantum_trader.app.runs.pilot_store import pilot_settings_document, store_of

    store = store_of(state, file)
    reading = store.read()
    if as_json:
        typer.echo(json.dumps(pilot_settings_document(store, reading, history), indent=2, ensure_ascii=False))
    else:
        typer.echo("\n".join((*_lines(store, reading), *(_history_lines(reading) if history else ()))))
    raise typer.Exit(PROBLEM if reading.trouble else 0)


def set_command(
    values: Annotated[list[str], typer.Argument(
        metavar="KEY=VALUE...", help="enabled=true|false, mode=OFF|SHADOW|PRIMARY|HYBRID, min_confidence=0..1, "
        "max_trades_per_hour=N; each may have rl_v3.live. before it.",
    )],
    reason: ReasonOption,
    state: StoreStateOption = None, file: FileOption = None,
    by: ByOption = "",
    version: Annotated[
        int | None, typer.Option("--version", min=0, help="Change it only where the store is still at this version.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Change what the pilot may do, all of the given settings or none. A running pilot knows it within 10 seconds."""
    from quantum_trader.app.runs.pilot_store import pilot_settings_document, setting_change_document, store_of

    store, given = store_of(state, file), given_values(values)
    if given.get("mode") in ("PRIMARY", "HYBRID"):
        typer.echo(
            f"notice: mode {given['mode']} is set without evidence; `pilot promote` asks for it and says what is "
            "missing", err=True,
        )
        reason = f"without evidence: {reason}"
    made = store.change(given, seen_version=version, actor=by or user_name(), reason=reason)
    if as_json:
        changes = [setting_change_document(one) for one in made.changes]
        document = {**pilot_settings_document(store, store.read(), False), "changes": changes}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        typer.echo("\n".join(change_lines(made)))


def user_name() -> str:
    """The user's name, for the history."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise ConfigError("--by '': this user has no name; say with --by NAME who changes the settings") from None


def given_values(texts: list[str]) -> dict[str, Any]:
    """Each KEY=VALUE of *texts* by its field, the value in the field's type; ConfigError for what is none."""
    values: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"{text!r}: write KEY=VALUE, like min_confidence=0.7")
        name = field_of(key.strip())
        if name in values:
            raise ConfigError(f"{LIVE}.{name} = {value!r}: is given twice; give it once")
        values[name] = _value(name, value.strip())
    return values


def _value(name: str, text: str) -> Any:
    """*text* as a value of the field *name*; as it is where it is none, for the settings to refuse by name."""
    kind = type(getattr(PilotSettings(), name))
    if kind is bool:
        return _WORDS.get(text.lower(), text)
    if kind is PilotMode:
        return text.upper()
    try:
        return kind(text)
    except ValueError:
        return text


def _lines(store: PolicyStore, reading: StoreReading) -> list[str]:
    """The settings for a person, one a line."""
    from quantum_trader.app.runs.pilot_store import setting_source

    lines = [
        f"{f'{LIVE}.{name}':30} {_text(value):8} {setting_source(reading, name)}"
        for name, value in msgspec.structs.asdict(reading.pilot).items()
    ]
    mode = reading.pilot.mode_in_force
    why = " (not enabled)" if not reading.pilot.enabled else ""
    lines.append(f"mode in force  {mode.value}{why}: {MODE_DOES[mode]}")
    version = reading.state.version
    lines.append(f"store          {store.path}, {f'version {version}' if version else 'never changed'}")
    profile = store.active_risk_profile
    lines.append(
        f"risk profile   {profile.name} ({profile.source}), leverage at most {profile.max_leverage:g}"
        if profile is not None else "risk profile   not known: no run has started in this folder"
    )
    if reading.notice:
        lines.append(f"notice         {reading.notice}")
    if reading.trouble:
        lines.append(f"PROBLEM        {reading.trouble}; the pilot is OFF. {_remedy(reading)}")
    return lines


def _remedy(reading: StoreReading) -> str:
    if reading.damaged:
        return (
            f"`pilot set` keeps the file under another name and continues from version {reading.state.version}, in "
            "mode OFF unless you set another one"
        )
    return "Repair that, and look again"


def _history_lines(reading: StoreReading) -> list[str]:
    """The changes for a person, newest first."""
    changes = reading.state.changes
    lines = ["", "changes, newest first" if changes else "no changes"]
    lines += [
        f"{one.version:>5}  {iso(one.ts_ns)[:19]}Z  {one.actor}: {_difference(one)}  ({one.reason})"
        for one in reversed(changes)
    ]
    if reading.state.older_changes:
        lines.append(f"{reading.state.older_changes} older changes are no longer kept")
    return lines


def change_lines(made: StoreChange) -> list[str]:
    """What a change did, for a person."""
    if not made.changes:
        return [f"nothing changed: the store has these values already (version {made.state.version})"]
    mode = made.state.pilot.mode_in_force
    lines = [f"version {one.version}: {_difference(one)} ({one.reason})" for one in made.changes]
    lines.append(f"mode in force: {mode.value}, {MODE_DOES[mode]}; a running pilot knows it within 10 seconds")
    return lines + ([f"notice: {made.notice}"] if made.notice else [])


def _difference(change: SettingChange) -> str:
    return ", ".join(
        f"{name} {_text(getattr(change.before, name))} → {_text(getattr(change.after, name))}" for name in change.fields
    ) or "mode stays OFF"


def _text(value: Any) -> str:
    if isinstance(value, PilotMode):
        return value.value
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"
