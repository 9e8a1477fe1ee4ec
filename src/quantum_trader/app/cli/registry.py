"""``quantum-trader registry``: trained models by the hash of their content, and which of them is the champion."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import msgspec
import typer

from quantum_trader.app.cli.options import ByOption, JsonOption, ReasonOption, one_line
from quantum_trader.app.cli.pilot_settings import user_name
from quantum_trader.app.cli.registry_ready import (
    ModelKindOption,
    NameArgument,
    compare_command,
    kind_of,
    opened_registry,
    ready_command,
)
from quantum_trader.app.cli.registry_runs import (
    PILOT_KIND,
    RegistryOption,
    StatesOption,
    live_command,
    lived,
    lived_text,
    outcomes_command,
    trades_command,
    which_command,
)
from quantum_trader.domain.clock import iso
from quantum_trader.domain.errors import escaped

if TYPE_CHECKING:
    from quantum_trader.lab.registry.record import ModelRecord
    from quantum_trader.lab.registry.registry import ModelRegistry, UnreadyModelError, Verification
    from quantum_trader.lab.registry.state import RegistryChange, RegistryState

REFUSED: Final = 1  # exit code of promote: the model is not ready
NOT_OK: Final = 1  # exit code of verify: a model may not be used
_SHOWN: Final = 12  # digits of an id in a table
_LATEST_NS: Final = 1 << 63

app = typer.Typer(
    no_args_is_help=True, help="Trained models: register, verify, promote, roll back, export, import."
)
registry_app = app

VersionOption = Annotated[
    int | None, typer.Option("--version", min=0, help="Change it only where the registry is still at this version.")
]


@app.command("list")
def list_command(
    registry: RegistryOption = None,
    history: Annotated[bool, typer.Option("--history", help="List the changes too: who, when, why.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the models, whether each is what was registered, the aliases, and whose signatures are trusted."""
    found = opened_registry(registry)
    state = found.state
    checked = [found.verify_model(model_id) for model_id in found.model_ids()]
    if as_json:
        document = {
            "registry": str(found.folder), "version": state.version, "aliases": state.aliases,
            "models": [_document(one, state) for one in checked], "own_key": state.own_key,
            "trusted_keys": list(state.trusted),
        }
        _print_json(document | ({"changes": msgspec.to_builtins(state.changes)} if history else {}))
        return
    lines = [line for one in checked for line in _lines(one, state)]
    lines = lines or [f"{found.folder}: no models; `registry register` adds one"]
    lines += [f"key {key} ({'own' if key == state.own_key else 'trusted'})" for key in state.trusted]
    lines += [change_text(change) for change in state.changes] if history else []
    _say(lines)


app.command("ready")(ready_command)
app.command("compare")(compare_command)
app.command("live")(live_command)
app.command("trades")(trades_command)
app.command("which")(which_command)
app.command("outcomes")(outcomes_command)


@app.command("show")
def show_command(
    name: NameArgument, registry: RegistryOption = None, kind: ModelKindOption = "", state: StatesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the record of a model: what it is, where it came from, what its evaluation gave, who promoted it and why.

    With --state: when it was in force in these runs.
    """
    found = opened_registry(registry)
    checked, history = found.verify_model(name, kind_of(found, name, kind)), found.state
    moves = [one for one in history.changes if checked.model_id in (one.before, one.after) and one.alias]
    spans = lived(checked.model_id, state or ())
    if as_json:
        _print_json(_document(checked, history) | {
            "promotions": [msgspec.to_builtins(one) for one in moves],
            "in_force": [msgspec.to_builtins(one) | {"state": str(folder)} for folder, one in spans],
        })
        return
    lines = [*_record_lines(checked, history), *(("promotion", change_text(one)) for one in moves)]
    lines += [("in force", lived_text(folder, one)) for folder, one in spans]
    if state and not spans:
        lines.append(("in force", "never in these runs"))
    _say(f"{key:12} {text}" for key, text in lines)


@app.command("register")
def register_command(
    model: Annotated[
        str, typer.Argument(metavar="FOLDER|bundled", help="Folder of a trained model.", show_default=False)
    ],
    registry: RegistryOption = None, kind: ModelKindOption = "",
    parents: Annotated[
        list[str] | None, typer.Option("--parent", metavar="ID", help="Model that it was made from; repeatable. "
                                 "Those with the same arrays when left out.")
    ] = None,
    notes: Annotated[str, typer.Option("--notes", help="A line of text that the record keeps.")] = "",
    commit: Annotated[
        str | None, typer.Option("--commit", metavar="HASH", help="Git commit of the program that trained it; that of "
                                 "this program when left out, where it runs from its repository.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Copy a trained model into the registry and sign it. Its id is the hash of its content."""
    from quantum_trader.app.runs.pilot_run import BUNDLED, bundled_folder
    from quantum_trader.app.runs.registries import program_commit

    found, folder = opened_registry(registry), bundled_folder() if model == BUNDLED else Path(model)
    made = found.register_model(
        folder, kind or kind_of_folder(folder), parents=parents or None, notes=notes,
        git_commit=program_commit() if commit is None else commit,
    )
    _say_taken(found, made.record, "registered" if made.is_new else "was registered already", as_json)


@app.command("promote")
def promote_command(
    name: NameArgument,
    to: Annotated[str, typer.Option("--to", metavar="ALIAS", help="champion, challenger or shadow.")],
    reason: ReasonOption, registry: RegistryOption = None, kind: ModelKindOption = "", by: ByOption = "",
    version: VersionOption = None,
    without_evidence: Annotated[
        str, typer.Option("--without-evidence", metavar="WHY", help="Promote a champion that does not meet the "
                          "conditions of its kind; why is recorded, with the conditions.", callback=one_line)
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Give an alias to a model, with a reason. The model is verified first; of two promotions at once one is refused.

    A champion must meet the conditions of its kind. Running systems that follow the alias take the model over with
    their next bars. Exit code 1 where conditions are not met.
    """
    from quantum_trader.lab.registry.registry import UnreadyModelError

    found = opened_registry(registry)
    before = found.state
    try:
        after = found.promote(
            name, to.strip().lower(), actor=by or user_name(), reason=reason, kind=kind_of(found, name, kind),
            seen_version=before.version if version is None else version, without_evidence=without_evidence,
        )
    except UnreadyModelError as error:
        _refuse(error, as_json)
    _say_changes(before, after, as_json)


@app.command("rollback")
def rollback_command(
    reason: ReasonOption,
    alias: Annotated[str, typer.Argument(metavar="[ALIAS]", help="The alias; champion when left out.")] = "champion",
    registry: RegistryOption = None, kind: ModelKindOption = "", by: ByOption = "", version: VersionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give an alias back to the model that had it before. A second rollback leads one further back."""
    found = opened_registry(registry)
    before = found.state
    after = found.rollback(
        alias.strip().lower(), actor=by or user_name(), reason=reason, kind=kind or PILOT_KIND,
        seen_version=before.version if version is None else version,
    )
    _say_changes(before, after, as_json)


@app.command("export")
def export_command(
    name: NameArgument,
    target: Annotated[Path, typer.Argument(metavar="FILE|DIR", help="File to write, or the folder to write it into; "
                                           "a name without an ending is a folder.", show_default=False)],
    registry: RegistryOption = None, kind: ModelKindOption = "", as_json: JsonOption = False,
) -> None:
    """Write a model as one file, with its record, its signature and the public key."""
    from quantum_trader.lab.registry.package import ending_notice

    found = opened_registry(registry)
    kind = kind_of(found, name, kind)
    path, model_id = found.export_model(name, target, kind), found.resolve(name, kind)
    if notice := ending_notice(path):
        typer.echo(escaped(f"notice: {notice}"), err=True)
    if as_json:
        _print_json({"model_id": model_id, "file": str(path), "own_key": found.state.own_key})
        return
    typer.echo(f"{path}: {model_id}")


@app.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(metavar="FILE|DIR", help="File of `registry export`, or a folder with one, or "
                                         "with the files of one.", show_default=False)],
    registry: RegistryOption = None,
    trust: Annotated[
        str, typer.Option("--trust", metavar="KEY", help="Public key to trust from now on; ask the exporting side for "
                          "it. A key that is trusted already needs no option.")
    ] = "",
    reason: ReasonOption = "", by: ByOption = "", as_json: JsonOption = False,
) -> None:
    """Take a model from a file or a folder. Its hashes and its signature are verified, and its key must be trusted."""
    found = opened_registry(registry)
    made = found.import_model(file, trust=trust, actor=by or user_name(), reason=reason)
    _say_taken(found, made.record, "imported" if made.is_new else "was there already", as_json)


@app.command("distrust")
def distrust_command(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Public key, as `registry list` shows it.",
                                       show_default=False)],
    reason: ReasonOption, registry: RegistryOption = None, by: ByOption = "", version: VersionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Trust a key no more: what it has signed is refused from then on, until it is registered or imported anew."""
    found = opened_registry(registry)
    before = found.state
    after = found.distrust(
        key, actor=by or user_name(), reason=reason, seen_version=before.version if version is None else version
    )
    _say_changes(before, after, as_json)


@app.command("verify")
def verify_command(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="An alias or an id; all models when left out.")
    ] = "",
    registry: RegistryOption = None, kind: ModelKindOption = "", as_json: JsonOption = False,
) -> None:
    """Verify one model or all: signature, trusted key, hash of every file, features. Exit code 1 where one fails."""
    found = opened_registry(registry)
    state = found.state
    checked = [found.verify_model(one, kind or PILOT_KIND) for one in ([name] if name else found.model_ids())]
    if as_json:
        _print_json({"ok": all(one.ok for one in checked), "models": [_document(one, state) for one in checked]})
    else:
        _say([line for one in checked for line in _lines(one, state)] or [f"{found.folder}: no models"])
    raise typer.Exit(0 if all(one.ok for one in checked) else NOT_OK)


def kind_of_folder(folder: Path) -> str:
    """The kind of the trained model in *folder*."""
    from quantum_trader.models.learned.artefact import is_learned_folder, load_learned

    return load_learned(folder).card.kind if is_learned_folder(folder) else PILOT_KIND


def _refuse(error: UnreadyModelError, as_json: bool) -> NoReturn:
    """Say which conditions are not met, and end."""
    if as_json:
        _print_json({"promoted": False, "unmet": list(error.unmet)})
    else:
        lines = ["NOT promoted:", *(f"  {one}" for one in error.unmet)]
        typer.echo("\n".join([*lines, 'To promote it anyway: --without-evidence "why"']), err=True)
    raise typer.Exit(REFUSED)


def _document(checked: Verification, state: RegistryState) -> dict[str, Any]:
    """A model as JSON shows it."""
    return {
        "model_id": checked.model_id, "ok": checked.ok, "troubles": list(checked.troubles),
        "aliases": list(state.aliases_of(checked.model_id)),
        "record": None if checked.record is None else msgspec.to_builtins(checked.record),
    }


def _lines(checked: Verification, state: RegistryState) -> tuple[str, ...]:
    """A model in a line of the list, and one for each of its troubles."""
    record = checked.record
    what = f"{record.kind:8} {record.name}, made {iso(record.created_ns)}" if record is not None else "no record"
    named = ", ".join(state.aliases_of(checked.model_id))
    line = f"{checked.model_id[:_SHOWN]}  {'ok    ' if checked.ok else 'NOT OK'} {what}"
    return (f"{line}  ({named})" if named else line, *(f"  {trouble}" for trouble in checked.troubles))


def _record_lines(checked: Verification, state: RegistryState) -> list[tuple[str, str]]:
    """What a person looks for in a record, as names and texts."""
    lines = [("id", checked.model_id), ("state", "ok" if checked.ok else f"NOT OK: {'; '.join(checked.troubles)}"),
             ("aliases", ", ".join(state.aliases_of(checked.model_id)) or "none")]
    record = checked.record
    if record is None:
        return lines
    metrics = ", ".join(
        f"{name} {'not known' if value is None else f'{value:g}'}" for name, value in record.metrics.items()
    )
    data = ", ".join(
        f"{key.removesuffix('_ns')} {iso(value) if _is_time(key, value) else value}"
        for key, value in record.data.items()
    )
    return [
        *lines, ("kind", record.kind), ("name", record.name), ("made", f"{iso(record.created_ns)} {record.made_with}"),
        ("registered", iso(record.registered_ns)), ("commit", record.git_commit or "not known"),
        ("features", record.features_hash), ("trained on", data or "not stated"), ("results", metrics or "none stated"),
        ("parents", ", ".join(record.parents) or "none stated"), ("notes", record.notes or "none"),
        *(("file", f"{file.name}, {file.size:,} bytes, {file.sha256}") for file in record.files),
    ]


def _say_taken(found: ModelRegistry, record: ModelRecord, what: str, as_json: bool) -> None:
    """Say that a model was taken into the registry, or lay there."""
    if as_json:
        _print_json(_document(found.verify_model(record.model_id), found.state) | {"what": what})
        return
    _say([f"{record.model_id}: {record.kind} {record.name} {what} in {found.folder}"])


def _say_changes(before: RegistryState, after: RegistryState, as_json: bool) -> None:
    """Say which alias was moved."""
    made = [one for one in after.changes if one.version > before.version]
    if as_json:
        _print_json({
            "version": after.version, "aliases": after.aliases, "changes": [msgspec.to_builtins(one) for one in made],
        })
        return
    _say(map(change_text, made) if made else [f"version {after.version}: it has this alias already"])


def change_text(change: RegistryChange) -> str:
    """One change in a line."""
    head = f"version {change.version}: {iso(change.ts_ns)} {change.actor}"
    if not change.alias:
        what = f"trusts the key {change.after}" if change.after else f"trusts the key {change.before} no more"
        return f"{head} {what} ({change.reason})"
    before = change.before[:_SHOWN] or "none"
    line = f"{head} {change.action}: {change.kind} {change.alias} {before} → {change.after[:_SHOWN]} ({change.reason})"
    if change.without_evidence:
        line += f", without evidence ({change.without_evidence}): {'; '.join(change.unmet)}"
    return line


def _is_time(key: str, value: object) -> bool:
    """Whether *value* is a time in ns: an altered record is shown too, whatever it holds."""
    return key.endswith("_ns") and isinstance(value, int) and 0 <= value < _LATEST_NS


def _say(lines: Iterable[str]) -> None:
    """Print *lines*; what a terminal would take for a command stands there as its code."""
    typer.echo("\n".join(map(escaped, lines)))


def _print_json(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
