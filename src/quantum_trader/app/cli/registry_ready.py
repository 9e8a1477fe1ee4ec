"""``quantum-trader registry ready | compare``: whether a model may become the champion, and which of two is better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from quantum_trader.app.cli.options import JsonOption
from quantum_trader.app.cli.registry_runs import PILOT_KIND, RegistryOption

if TYPE_CHECKING:
    from quantum_trader.lab.learning.evolution import Readiness
    from quantum_trader.lab.learning.probability_scores import AucDifference, LossDifference
    from quantum_trader.lab.registry.registry import ModelRegistry

NOT_READY: Final = 1  # exit code of ready
_SHOWN: Final = 12  # digits of an id in a line

ModelKindOption = Annotated[
    str, typer.Option("--kind", metavar="KIND", help="Kind of the model that an alias means: pilot (when left out), "
                      "signal or meta-label. An id and a folder say their kind themselves.", show_default=False)
]
NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="champion, challenger, shadow, an id, or its first 6 digits or more.",
                        show_default=False)
]


def ready_command(
    name: NameArgument, registry: RegistryOption = None, kind: ModelKindOption = "", as_json: JsonOption = False
) -> None:
    """Say whether a model may become the champion: every condition of its kind, and what was found.

    `registry promote` asks the same. Nothing is changed. Exit code 1 where a condition is not met.
    """
    from quantum_trader.lab.registry.readiness import model_readiness

    found = opened_registry(registry)
    kind = kind_of(found, name, kind)
    readiness = model_readiness(found, kind, name)
    if as_json:
        _print(_document(readiness, kind))
    else:
        state = "ready" if readiness.ready else "NOT READY"
        lines = [f"{readiness.model_id[:_SHOWN]}: {kind}, {state} to be the champion"]
        lines += [f"  {'met    ' if one.passed else 'NOT met'} {one.name}: {one.told}" for one in readiness.checks]
        typer.echo("\n".join(lines))
    raise typer.Exit(0 if readiness.ready else NOT_READY)


def compare_command(
    first: NameArgument, second: NameArgument, registry: RegistryOption = None, kind: ModelKindOption = "",
    as_json: JsonOption = False,
) -> None:
    """Test a model against another one, on the samples that both predicted without having seen them.

    For models of signals and meta-labels. Differences are the first less the second.
    """
    from quantum_trader.lab.learning.registry_evidence import registry_tracker
    from quantum_trader.lab.registry.state import ALIASES

    found = opened_registry(registry)
    named = next((one for one in (first, second) if one not in ALIASES), first)
    compared = registry_tracker(found, kind_of(found, named, kind)).compare_models(first, second)
    if as_json:
        _print(msgspec.to_builtins(compared))
        return
    typer.echo(f"{compared.first[:_SHOWN]} {compared.told}")
    for title, difference in (("AUC", compared.auc), ("Brier score", compared.brier), ("log loss", compared.log_loss)):
        typer.echo(f"  {title}: {_interval(difference)}")


def opened_registry(registry: Any) -> ModelRegistry:
    """The registry that an option names, or this user's."""
    from quantum_trader.app.runs.registries import open_registry

    return open_registry(registry)


def kind_of(found: ModelRegistry, name: str, kind: str) -> str:
    """The *kind* given, or that of the model *name* where it is an id; of an alias pilot."""
    from quantum_trader.lab.registry.state import ALIASES

    if kind or name in ALIASES:
        return kind or PILOT_KIND
    record = found.verify_model(name).record
    return record.kind if record is not None else PILOT_KIND


def _document(readiness: Readiness, kind: str) -> dict[str, Any]:
    """The readiness as JSON shows it; a figure that is not known is null."""
    return {
        "model_id": readiness.model_id, "kind": kind, "ready": readiness.ready, "champion_id": readiness.champion_id,
        "blockers": list(readiness.blockers), "checks": msgspec.to_builtins(readiness.checks),
        "scores": None if readiness.scores is None else msgspec.to_builtins(readiness.scores),
    }


def _interval(found: AucDifference | LossDifference) -> str:
    if found.p_value != found.p_value:
        return f"{found.difference:+.4f}, too few blocks of time for an interval"
    return f"{found.difference:+.4f} ({found.low:+.4f} to {found.high:+.4f}), p {found.p_value:.3f}"


def _print(document: dict[str, Any]) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(document)).decode())
