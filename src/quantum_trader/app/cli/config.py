"""``quantum-trader config``: the settings in force and where each came from; the check of a settings file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from quantum_trader.app.cli.options import (
    BarsOption,
    ConfigOption,
    DataOption,
    EquityOption,
    FromOption,
    GatesOption,
    JsonOption,
    NoPolicyOption,
    OldModeOption,
    PolicyOption,
    ProfileOption,
    SymbolsOption,
    ToOption,
    gate_flags,
    policy_flags,
    settings_from,
    shared_flags,
)

if TYPE_CHECKING:
    from quantum_trader.app.runs.live_settings import LiveSettings
    from quantum_trader.app.settings import LoadedSettings

app = typer.Typer(no_args_is_help=True, help="Show the settings in force, check a settings file.")


@app.command("show")
def show_command(
    config: ConfigOption = None,
    data: DataOption = None,
    bars: BarsOption = None,
    symbols: SymbolsOption = None,
    first: FromOption = None,
    last: ToOption = None,
    profile: ProfileOption = None,
    policy: PolicyOption = None,
    no_policy: NoPolicyOption = False,
    mode: OldModeOption = None,
    equity: EquityOption = None,
    gates: GatesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print every setting that a run with these options uses, and its source, as TOML.

    The output is itself a settings file: quantum-trader config show > run.toml
    """
    wanted = policy_flags(policy, no_policy, mode)
    loaded = settings_from(
        config, shared_flags(data, bars, symbols, first, last, profile, equity, wanted) | gate_flags(gates)
    )
    live, sources = _live_of(config)
    if as_json:
        document = settings_document(loaded)
        document["settings"]["live"] = msgspec.to_builtins(live)
        document["sources"] = {**loaded.sources, **sources}
        typer.echo(msgspec.json.encode(document).decode())
    else:
        typer.echo(as_toml(loaded) + live_as_toml(live, sources), nl=False)


@app.command("check")
def check_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Settings file (TOML).")], as_json: JsonOption = False
) -> None:
    """Check a settings file, its section `live` too where it has one; name the first key that is wrong.

    Models are loaded as `run` loads them (with a section `live`: as `live` does), which runs their files.
    """
    from quantum_trader.app.runs.live_settings import load_live_settings
    from quantum_trader.app.runs.model_check import check_model_settings

    loaded = settings_from(file, {})
    _, live_sources = _live_of(file)
    if file.name in live_sources.values():
        live = load_live_settings(file)
        check_model_settings(live.run.settings, live.live)
    else:
        check_model_settings(loaded.settings)
    sources = {**loaded.sources, **live_sources}
    own = sorted(key for key, source in sources.items() if source == file.name)
    if as_json:
        document = {"file": str(file), "ok": True, "sets": own, "settings_hash": loaded.settings.settings_hash()}
        typer.echo(msgspec.json.encode(document).decode())
    else:
        typer.echo(f"{file}: good; it sets {len(own)} of {len(sources)} settings, the others are defaults")


def _live_of(file: Path | None) -> tuple[LiveSettings, dict[str, str]]:
    """Section [live] of *file*, and where each value came from; ConfigError where the section contradicts itself."""
    from quantum_trader.app.runs.live_settings import LiveSettings, read_section
    from quantum_trader.app.settings import LIVE_SECTION as SECTION
    from quantum_trader.app.settings import read_toml

    given = read_toml(file).get(SECTION, {}) if file is not None else {}
    named = file.name if file is not None else ""
    sources = {f"{SECTION}.{name}": named if name in given else "default" for name in LiveSettings.__struct_fields__}
    return read_section(given), sources


def live_as_toml(live: LiveSettings, sources: dict[str, str]) -> str:
    """Section [live] as TOML; defaults as comments, so that a file for replays does not become one for `live`."""
    plain = msgspec.to_builtins(live)
    lines = ["", "[live]"]
    for key, source in sources.items():
        name = key.partition(".")[2]
        comment = "# " if source == "default" else ""
        lines.append(f"{comment}{name} = {_toml_value(plain[name])}  # {source}")
    return "\n".join([*lines, ""])


def settings_document(loaded: LoadedSettings) -> dict[str, Any]:
    """Settings, their hash and sources, as plain values."""
    return {
        "settings": msgspec.to_builtins(loaded.settings),
        "profile": msgspec.to_builtins(loaded.settings.active_profile().config),
        "settings_hash": loaded.settings.settings_hash(),
        "sources": loaded.sources,
    }


def as_toml(loaded: LoadedSettings) -> str:
    """The settings as TOML, each line with its source as a comment; a value that is None is left as a comment."""
    from quantum_trader.app.settings import MODELS

    plain = msgspec.to_builtins(loaded.settings)
    lines: list[str] = []
    section = ""
    for key, source in loaded.sources.items():
        if key == MODELS:
            continue
        head, _, name = key.partition(".")
        if head != section:
            lines += [""] * bool(section) + [f"[{head}]"]
            section = head
        value = plain[head][name]
        lines.append(f"# {name} is not set" if value is None else f"{name} = {_toml_value(value)}  # {source}")
    lines += [line for one in plain[MODELS] for line in _model_lines(one, loaded.sources.get(MODELS, "default"))]
    active = loaded.settings.active_profile()
    lines += ["", f"# profile in use: {active.name} ({active.source})", ""]
    return "\n".join(lines)


def _model_lines(one: dict[str, Any], source: str) -> list[str]:
    """One ``[[models]]`` entry; what is not set is left out."""
    said = {key: value for key, value in one.items() if value is not None and value not in ("", (), [], {})}
    return ["", f"[[models]]  # {source}", *(f"{key} = {_toml_value(value)}" for key, value in said.items())]


def _toml_value(value: Any) -> str:
    """A scalar, a list of them or a table of them; JSON's forms of scalars and lists are TOML's."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, float) and value == int(value) and abs(value) < 1e15:
        return f"{value:.1f}"
    if isinstance(value, float):
        return repr(value)
    return msgspec.json.encode(value).decode()
