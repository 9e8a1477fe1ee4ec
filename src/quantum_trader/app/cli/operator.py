"""``quantum-trader status | halt | resume | flatten``: watch and control a run, whether its process runs or not."""

from __future__ import annotations

import getpass
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from quantum_trader.app.cli.options import JsonOption, ReasonOption, StateOption
from quantum_trader.app.runs.operator_requests import Action, OperatorRequest, ask
from quantum_trader.domain.errors import QuantumTraderError, StateError, VenueError

if TYPE_CHECKING:
    from quantum_trader.app.runs.direct import VenueView
    from quantum_trader.app.runs.flatten import DirectAction
    from quantum_trader.app.runs.live_history import Result
    from quantum_trader.app.runs.status import FolderStatus

NOT_DONE: Final = 1  # exit code: not done, or a problem was found
_LOOK_AGAIN_S: Final = (3.0,)  # `status --venue` of a live process: seconds until a difference is checked again


def _request(action: Action, reason: str) -> OperatorRequest:
    return OperatorRequest(action=action, reason=reason, actor=getpass.getuser(), ts_ns=time.time_ns())


def _put(state: Path, request: OperatorRequest) -> None:
    """Write *request* to the folder; StateError with what to do instead when that fails."""
    try:
        ask(state, request)
    except StateError as error:
        if not (state / "lock").exists():
            raise
        raise StateError(f"{error}. {_instead(state, request.action)}") from error


def _instead(state: Path, action: Action) -> str:
    """What to do when the request cannot be written."""
    from quantum_trader.app.runs.live_settings import LiveMode, read_folder
    from quantum_trader.app.runs.status import holder, is_alive

    advice = "Free space or make the folder writable, and repeat the command"
    if action is Action.RESUME:
        return advice
    alive, folder = is_alive(state), read_folder(state)
    stop = f"stop the process (kill -TERM {holder(state) or 'PID'})"
    if folder is None or folder.mode is LiveMode.DRY:
        return f"{advice}, or {stop}" if alive else f"{advice} before the next start"
    close = f"quantum-trader flatten --now --state {state} --reason ..., which closes everything and needs no disk"
    return f"{advice}; or {stop}, then {close}" if alive else f"{advice} before the next start; or {close}"


def _ask(action: Action, state: Path, reason: str, as_json: bool) -> None:
    request = _request(action, reason)
    _put(state, request)
    if as_json:
        typer.echo(msgspec.json.encode(request).decode())
    else:
        typer.echo(
            f"{action.value} requested; follow with `status`. A running process acts on it at once, otherwise the next "
            "start does."
        )


halt_app = typer.Typer(add_completion=False)


@halt_app.command()
def halt(state: StateOption, reason: ReasonOption, as_json: JsonOption = False) -> None:
    """Stop new entries of a run until `resume`; positions are still reduced and closed."""
    _ask(Action.HALT, state, reason, as_json)


resume_app = typer.Typer(add_completion=False)


@resume_app.command()
def resume(state: StateOption, reason: ReasonOption, as_json: JsonOption = False) -> None:
    """End a halt, an EMERGENCY or a losing-streak stop of a run; drawdown counts from the equity of that moment."""
    _ask(Action.RESUME, state, reason, as_json)


flatten_app = typer.Typer(add_completion=False)


@flatten_app.command()
def flatten(
    state: StateOption, reason: ReasonOption,
    now: Annotated[
        bool, typer.Option("--now", help="The process is dead: close everything at the venue from here.")
    ] = False,
    deadline: Annotated[
        float, typer.Option("--deadline", min=1.0, max=3600.0, metavar="SECONDS", help="With --now: how long to try.")
    ] = 180.0,
    as_json: JsonOption = False,
) -> None:
    """Close every position of a run, cancel its orders; new entries stop until `resume`."""
    if not now:
        _ask(Action.FLATTEN, state, reason, as_json)
        return
    raise typer.Exit(_flatten_now(state, reason, deadline, as_json))


def _flatten_now(state: Path, reason: str, deadline_s: float, as_json: bool) -> int:
    """Flatten at the venue when no process runs, else request it from the process; returns the exit code."""
    from quantum_trader.app.process_guard import guarded_process
    from quantum_trader.app.runs.direct import account_folder, flatten_now
    from quantum_trader.app.runs.folder_venue import venue_of
    from quantum_trader.app.runs.status import is_alive

    request = _request(Action.FLATTEN, reason)
    alive = is_alive(state)
    account_folder(state)
    if alive:
        _put(state, request)
        typer.echo(
            "flatten requested; follow with `status`. The process is alive and acts on it at once; if it does not, "
            "stop the process and repeat this command.", err=True,
        )
        return NOT_DONE
    make, redactor = venue_of(state)

    def show(action: DirectAction) -> None:
        typer.echo(step_line(action), err=True)

    with guarded_process(redactor):
        try:
            result = flatten_now(state, request, make, time.time_ns, show, deadline_s)
        except VenueError as error:
            raise VenueError(
                f"NOT flat: the venue was not reached ({error}), and its positions are unchanged; repeat this "
                "command, or close the positions in the exchange's app"
            ) from error
        if as_json:
            typer.echo(msgspec.json.encode(result).decode())
        else:
            halted = "new entries are halted until resume" if result.halt_noted else (
                "NOT halted, because the request could not be written: repair the disk, then run quantum-trader halt "
                "before the next start"
            )
            typer.echo(f"{result.text}; closed: {', '.join(result.closed) or 'nothing'}; {halted}")
    return 0 if result.flat else NOT_DONE


def step_line(action: DirectAction) -> str:
    """One step at the venue as a line of text."""
    from quantum_trader.app.report.words import words
    from quantum_trader.domain.clock import iso

    size = f"{action.qty:+g}" if action.qty else ""
    parts = (iso(action.ts_ns)[11:19], words(action.step), action.symbol, size, action.client_order_id, action.text)
    return " ".join(part for part in parts if part)


status_app = typer.Typer(add_completion=False)


@status_app.command()
def status(
    state: StateOption,
    venue: Annotated[bool, typer.Option("--venue", help="Compare with the venue itself too (needs the keys).")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the state of a run, whether its process is alive or dead. Exit code 1 when something needs attention."""
    from quantum_trader.app.runs.status import folder_status

    found = folder_status(state, time.time_ns())
    view: VenueView | None = None
    refused: QuantumTraderError | None = None
    if venue:
        try:
            found, view = _compared(state)
        except QuantumTraderError as error:
            refused = error  # the folder's own figures are still shown
    if as_json:
        typer.echo(msgspec.json.encode(status_document(found, view)).decode())
    else:
        typer.echo("\n".join(status_lines(found, view)))
    if refused is not None:
        raise refused
    raise typer.Exit(NOT_DONE if found.problems else 0)


def _compared(state: Path) -> tuple[FolderStatus, VenueView]:
    """The folder's status and the venue's view; differences between them are added to the problems."""
    import asyncio

    from quantum_trader.app.process_guard import guarded_process
    from quantum_trader.app.runs.direct import account_folder, differences, look
    from quantum_trader.app.runs.folder_venue import venue_of
    from quantum_trader.app.runs.status import folder_status

    make, redactor = venue_of(state)
    for pause_s in (*_LOOK_AGAIN_S, 0.0):
        with guarded_process(redactor):
            view = asyncio.run(look(make(account_folder(state).symbols)))
        found = folder_status(state, time.time_ns())
        told = differences(found, view)
        if not (told and found.alive and pause_s):
            break
        time.sleep(pause_s)  # the process may have written its status before the newest order
    bare = [f"{symbol}: its position has no stop at the venue" for symbol in unprotected(view)]
    return msgspec.structs.replace(found, problems=(*found.problems, *told, *bare)), view


def status_document(found: FolderStatus, view: VenueView | None) -> dict[str, Any]:
    """The status as plain values, with the metric of each figure by its field: the content of ``status --json``."""
    from quantum_trader.app.report.metric_ids import STATUS, metric_ids

    document = {**msgspec.to_builtins(found), "venue": None}
    if view is not None:
        document["venue"] = {**msgspec.to_builtins(view), "equity": view.balance.equity}
    return {**document, "metric_ids": metric_ids(document, STATUS)}


def status_lines(found: FolderStatus, view: VenueView | None) -> list[str]:
    """The status as text, one line for each fact."""
    from quantum_trader.app.report.metric_ids import EXPLAIN
    from quantum_trader.app.report.words import words
    from quantum_trader.app.runs.model_state import models_lines
    from quantum_trader.domain.clock import iso

    as_of = f"{found.source} of {iso(found.as_of_ns)[:19]}Z" if found.as_of_ns else found.source
    lines = [
        f"state        {found.state}: {found.mode} at {found.endpoint}",
        f"process      {_process(found)}",
        f"figures      {as_of}, {_old(found.age_s)}; checkpoint {_old(found.checkpoint_age_s)}",
        f"equity       {_equity(found)}",
    ]
    if found.result is not None:
        lines.append(f"result       {_result(found.result)}")
    if found.lag_s is not None:
        fill = f"{found.queue_fill:.0%}" if found.queue_fill is not None else "–"
        lines.append(
            f"progress     last event {_seconds(found.last_event_age_s)} ago, lag {_seconds(found.lag_s)}, queue "
            f"{fill} full, books matched exchange {_seconds(found.unreconciled_s)} ago, {found.in_doubt} order "
            f"outcomes unknown, {found.dropped_events} events lost"
        )
    if found.models is not None:
        lines += models_lines(found.models)
    if found.pilot:
        lines.append(f"pilot        {found.pilot}")
    if found.bus:
        lines.append(f"bus          {found.bus}")
    for position in found.positions:
        stop = f"stop {position.stop:g}" if position.protected else "NO STOP at the venue"
        size = f"{position.side} {position.qty:g} from {position.entry_price:g}"
        whose = "" if position.traded else ", not opened by this bot, in a symbol that it does not trade"
        lines.append(f"position     {position.symbol} {size}, {stop}{whose}")
    for order in found.orders:
        at = f" at {order.price:g}" if order.price else ""
        rest = "" if order.resting else ", not acknowledged"
        lines.append(f"order        {order.symbol} {order.purpose} {order.qty:g}{at} {order.client_order_id}{rest}")
    lines += [
        f"halt         {words(halt.kind)}: {halt.reason}; ends: {halt.exit_path}"
        for halt in found.halts
    ]
    lines += [
        f"request      {one.action.value} by {one.actor}: {one.reason} (waiting)"
        for one in found.pending_requests
    ]
    lines += [f"by others    {iso(one.ts_ns)[:19]}Z {one.text}" for one in found.by_others]
    if found.direct_actions:
        lines.append(f"by command   {found.direct_actions} steps at the venue while the process was dead")
    if view is not None:
        lines += _venue_lines(view)
    lines.append(f"metrics      ids of the figures in --json (metric_ids); `{EXPLAIN}`")
    lines += [f"PROBLEM      {problem}" for problem in found.problems]
    return lines


def _process(found: FolderStatus) -> str:
    """Whether the process runs, and whether it opens positions."""
    from quantum_trader.app.runs.status import BY_HAND, FINISHED, STOPPED, UNFINISHED

    if not found.alive:
        ended = "not running" if found.kind == "replay" else "dead"
        return {
            STOPPED: "stopped", BY_HAND: "stopped; flattened at the venue by command",
            FINISHED: "finished: every bar is replayed",
            UNFINISHED: "stopped before its last bar; the same command continues it",
        }.get(found.stage, ended)
    parts = [f"alive (pid {found.pid})" if found.pid else "alive"]
    if found.stage == "trading" and found.entries_halted:
        parts.append(f"no new entries: {found.entries_halted}")
    elif found.stage:
        parts.append(found.stage)
    return ", ".join(parts)


def _equity(found: FolderStatus) -> str:
    """The equity and the time it was computed; it changes only at a bar's close."""
    from quantum_trader.domain.clock import iso

    if found.equity is None:
        return "not known yet, nor the governor's level"
    when = f" as of {iso(found.equity_ns)[:19]}Z (updated at each bar)" if found.equity_ns else ""
    return f"{found.equity:,.2f} USDT{when}, governor {found.governor}"


def _result(result: Result) -> str:
    """What the run has made since its start, and the deepest drawdown."""
    from quantum_trader.domain.clock import iso

    moved = f", {result.moved:+,.2f} USDT paid in or out left out" if result.moved else ""
    fell = f", from {iso(result.peak_ns)[:16]}Z to {iso(result.trough_ns)[:16]}Z" if result.trough_ns else ""
    return (
        f"{result.profit:+,.2f} USDT ({result.return_pct:+.2f} %) since {iso(result.since_ns)[:19]}Z{moved}; drawdown "
        f"{result.drawdown_pct:.2f} %, deepest {result.deepest_drawdown_pct:.2f} %{fell}"
    )


def _venue_lines(view: VenueView) -> list[str]:
    money = f"equity {view.balance.equity:,.2f} USDT, wallet {view.balance.wallet:,.2f}"
    lines = [f"venue        {view.endpoint} says: {money}"]
    bare = unprotected(view)
    for held in view.positions:
        stop = "NO STOP" if held.symbol in bare else "with a stop"
        lines.append(f"venue        position {held.symbol} {held.qty:+g} from {held.entry_price:g}, {stop}")
    lines += [
        f"venue        order {order.symbol} {order.side.value} {order.type.value} {order.qty:g} "
        f"at {order.stop_price or order.price:g} {order.client_order_id}"
        for order in view.orders
    ]
    return lines


def unprotected(view: VenueView) -> list[str]:
    """Symbols whose position has no stop for its whole quantity at the venue that triggers before the liquidation."""
    from quantum_trader.engine.untraded import is_stop_for

    return [
        held.symbol for held in view.positions if not any(is_stop_for(order, held) for order in view.orders)
    ]


def _old(age_s: float | None) -> str:
    return "none" if age_s is None else f"{_seconds(age_s)} old"


def _seconds(value: Any) -> str:
    if value is None:
        return "–"
    if value < 120.0:
        return f"{value:.1f} s"
    return f"{value / 60.0:.0f} min" if value < 7200.0 else f"{value / 3600.0:.0f} h"
