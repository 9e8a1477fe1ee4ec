"""The status of a run, read from its state folder, whether its process is alive or dead.

A live process writes ``status.json`` every few seconds; a checkpoint holds the same figures, written less often, and is
the only source for a replay. Reading changes no file and does not take the lock.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from quantum_trader.app.report.words import words
from quantum_trader.app.runs.live_history import Result, saved_result
from quantum_trader.app.runs.live_settings import FOLDER_FILE, LiveFolder, LiveMode, read_folder
from quantum_trader.app.runs.model_state import ModelsState, saved_models
from quantum_trader.app.runs.operator_requests import OperatorRequest, OperatorRequests
from quantum_trader.app.runs.pilot_run import saved_pilot
from quantum_trader.app.runs.state_dir import is_held, unsealed
from quantum_trader.domain.clock import NS_PER_SECOND
from quantum_trader.domain.enums import GOVERNOR_CODES, GovernorLevel, Side
from quantum_trader.domain.errors import StateError
from quantum_trader.domain.json_text import decode_json
from quantum_trader.domain.private_files import read_private, why_unwritable
from quantum_trader.engine.books import Position
from quantum_trader.engine.gateway import Purpose, Ticket
from quantum_trader.engine.halts import DAILY_LOSS, LOCK, OPERATOR, RECONCILIATION
from quantum_trader.engine.tally import HaltEntry
from quantum_trader.engine.untraded import UntradedPosition
from quantum_trader.policy.storage import write_atomically
from quantum_trader.risk.governor import GOV_ROW_LEVEL
from quantum_trader.signals import columns as col

STATUS_FILE: Final = "status.json"
DIRECT_FILE: Final = "direct_actions.jsonl"
STOPPED: Final = "stopped"  # stage after a graceful stop
FINISHED: Final = "finished"  # stage of a replay that has reached its last bar
UNFINISHED: Final = "unfinished"  # stage of a replay that was stopped before it
BY_HAND: Final = "flattened by hand"  # stage after a command closed everything at the venue
_SILENT_WRITES: Final = 3.0  # missed status writes after which a live process counts as hanging
_SILENT_S: Final = 5.0  # and the least time without a status for that
_LITTLE_SPACE: Final = 16 << 20  # bytes free; an hour of records of many symbols
_FULL: Final = 0.95  # queue fill
_LAG_S: Final = 5.0
_UNRECONCILED_S: Final = 180.0
_START_S: Final = 120.0  # a start that takes longer is stuck


class PositionLine(msgspec.Struct, frozen=True, kw_only=True):
    """One open position; *qty* is positive, *stop* is 0.0 when none rests at the venue."""

    symbol: str
    side: str
    qty: float
    entry_price: float
    stop: float = 0.0
    target: float = 0.0
    mark_price: float = 0.0  # 0.0: not known
    protected: bool = True  # an acknowledged stop for the whole quantity rests at the venue
    traded: bool = True  # False: somebody else's, in a symbol that this run does not trade
    entry_ns: int = 0  # of its first fill, or when it was taken over; 0: not known
    trace_id: str = ""  # of the decision that opened it
    model: str = ""  # what decided that: models joined by +, or the source of an intent
    leverage: float = 0.0  # 0.0: not known
    first_stop: float = 0.0  # the stop at entry; 0.0: none yet
    fees: float = 0.0  # USDT paid so far
    funding: float = 0.0  # USDT received so far; negative is paid
    realised: float = 0.0  # USDT of what was closed of it, before fees and funding
    liquidation_price: float = 0.0  # by the venue's last report; 0.0: not known


class OrderLine(msgspec.Struct, frozen=True, kw_only=True):
    """One order that may still be open."""

    client_order_id: str
    symbol: str
    purpose: str  # OPEN, STOP, TARGET, CLOSE; empty for an order of another trader
    qty: float
    price: float = 0.0  # trigger or limit
    resting: bool = True  # acknowledged; False: in flight, or its outcome is unknown


class OthersLine(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a person or another client did on the account."""

    ts_ns: int
    text: str


class HaltLine(msgspec.Struct, frozen=True, kw_only=True):
    """One halt in force, and how it ends."""

    kind: str
    reason: str
    exit_path: str
    since_ns: int = 0
    owner: str = ""


class LiveStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The status a live process writes. Ages and lags in seconds at *written_ns*, money in USDT."""

    version: int = 1
    written_ns: int
    pid: int
    started_ns: int
    mode: str
    endpoint: str
    stage: str = "trading"  # "starting", "trading", STOPPED, BY_HAND
    every_s: float = 2.0  # interval of the writes
    market_up: bool = False
    user_up: bool = False
    last_event_age_s: float | None = None  # since the account's last event; None before the first
    last_bar_ns: int = 0  # close of the newest bar that was decided on
    lag_s: float = 0.0  # from the newest bar's close to its decision
    queue_fill: float = 0.0  # fullest queue, 0..1
    unreconciled_s: float = 0.0  # since the books last matched the exchange
    differences: tuple[str, ...] = ()  # between books and exchange, at the last comparison
    clock_offset_ms: float = 0.0
    in_doubt: int = 0  # orders whose outcome is unknown
    dropped_events: int = 0  # records lost, inputs not recorded, unreadable frames
    waits_for: str = ""  # what trading waits for
    equity: float = 0.0
    equity_ns: int = 0  # time of the equity: the newest bar's close, or the start; 0: not known yet
    wallet: float = 0.0
    governor: str = "NORMAL"
    result: Result | None = None  # since the books began; None: not known yet
    positions: tuple[PositionLine, ...] = ()
    orders: tuple[OrderLine, ...] = ()
    halts: tuple[HaltLine, ...] = ()
    operator_taken: int = 0
    bus: str = ""  # handlers of the bus that failed; empty: none
    notes: tuple[str, ...] = ()
    entries_halted: str = ""  # why no new position is opened; empty: nothing keeps one from being opened
    by_others: tuple[OthersLine, ...] = ()  # the last ones, oldest first
    models: ModelsState | None = None  # what they lack, and since when there has been no signal; None: not known
    pilot: str = ""  # what the pilot does, in a sentence; empty: there is none


class FolderStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Everything ``quantum-trader status`` shows. *problems* need a person; empty means healthy."""

    state: str
    kind: str  # "live", "replay", "nothing" when no start got that far
    alive: bool
    pid: int  # 0 when not alive or not known
    mode: str
    endpoint: str
    source: str  # of the figures: "status file", "checkpoint", "nothing yet"
    as_of_ns: int  # wall time of the status file; market time of a checkpoint
    age_s: float | None  # of the status or checkpoint file, by the clock; None: neither exists
    checkpoint_age_s: float | None
    equity: float | None  # None: not known
    equity_ns: int  # time of the equity: the newest bar's close; 0: not known
    governor: str | None  # None: not known
    result: Result | None  # since the start; None: not known
    stage: str
    last_event_age_s: float | None
    lag_s: float | None
    queue_fill: float | None
    unreconciled_s: float | None
    in_doubt: int
    dropped_events: int
    positions: tuple[PositionLine, ...]
    orders: tuple[OrderLine, ...]
    halts: tuple[HaltLine, ...]
    pending_requests: tuple[OperatorRequest, ...]
    bus: str  # handlers of the bus that failed; empty: none
    entries_halted: str  # why no new position is opened, as last known
    by_others: tuple[OthersLine, ...]
    models: ModelsState | None  # what they lack, and since when there has been no signal; None: not known
    pilot: str  # what the pilot does, in a sentence; empty: there is none, or it is not known
    direct_actions: int  # lines that commands wrote while the process was dead
    problems: tuple[str, ...]


def write_status(state_dir: Path, status: LiveStatus) -> None:
    """Write *status* to the folder, atomically, readable by its owner alone; StateError when it cannot be written."""
    path = state_dir / STATUS_FILE
    try:
        write_atomically(path, msgspec.json.encode(status) + b"\n")
    except OSError as error:
        raise StateError(f"{path}: cannot be written ({why_unwritable(path, error)})") from error


def read_status(state_dir: Path) -> LiveStatus | None:
    """The status a live process last wrote; None when there is none or it is damaged."""
    try:
        raw = decode_json(read_private(state_dir / STATUS_FILE))
        return msgspec.convert(_with_unknown_numbers(raw, LiveStatus), LiveStatus)
    except (OSError, msgspec.DecodeError, TypeError, AttributeError):
        return None


def _with_unknown_numbers(raw: dict[str, Any], kind: type[msgspec.Struct]) -> dict[str, Any]:
    """*raw* with NaN for each number that is not known: JSON has no NaN, and holds null for it."""
    known: dict[str, Any] = {
        field.encode_name: math.nan if field.type is float and raw.get(field.encode_name, 0.0) is None
        else raw[field.encode_name]
        for field in msgspec.structs.fields(kind) if field.encode_name in raw
    }
    if known.get("result") is not None:
        known["result"] = _with_unknown_numbers(known["result"], Result)
    for name, line in (("positions", PositionLine), ("orders", OrderLine)):
        if name in known:
            known[name] = [_with_unknown_numbers(one, line) for one in known[name]]
    return known


def is_alive(state_dir: Path) -> bool:
    """Whether a process holds the folder's lock; StateError when *state_dir* is no run's folder."""
    try:
        return is_held(state_dir)
    except OSError:
        if (state_dir / FOLDER_FILE).exists():
            return False  # the lock file is gone, the positions are not
        raise StateError(
            f"--state {state_dir}: is not a run's state folder; give the folder of `run --state` or `live --state`"
        ) from None


def holder(state_dir: Path) -> int:
    """Pid of the process that holds the folder's lock, or held it last; 0 when it is not recorded."""
    try:
        return int(read_private(state_dir / "lock"))
    except (OSError, ValueError):
        return 0


class _Known(msgspec.Struct, kw_only=True):
    """What was read from a folder."""

    live: LiveStatus | None = None
    unreadable: bool = False  # there is a status file, and it cannot be read
    holder: int = 0
    held_s: float = 0.0  # since the holder took the lock
    disk: str = ""  # why the folder cannot be written; empty: it can
    checkpoint: dict[str, Any] | None = None
    checkpoint_age_s: float | None = None
    damage: str = ""


def folder_status(state_dir: Path, now_ns: int) -> FolderStatus:
    """The status of the folder at *now_ns* (wall clock)."""
    alive = is_alive(state_dir)
    folder = read_folder(state_dir)
    known = _read(state_dir, now_ns)
    view = _from_live(known.live) if known.live is not None else _from_checkpoint(known.checkpoint)
    empty = folder is None and known.checkpoint_age_s is None
    if alive and _is_others(known) and not known.unreadable and (folder is not None or empty):
        view["stage"] = "starting"
    if alive and view["stage"] in (FINISHED, UNFINISHED):
        view["stage"] = ""  # the run goes on
    taken = view.pop("operator_taken")
    pending = tuple(OperatorRequests(state_dir, taken).poll())
    status = FolderStatus(
        state=str(state_dir), kind="live" if folder is not None else "nothing" if empty else "replay", alive=alive,
        pid=(known.holder or (known.live.pid if known.live is not None else 0)) if alive else 0,
        mode=folder.mode.value if folder is not None else "nothing yet" if empty else "REPLAY",
        endpoint=folder.endpoint if folder is not None else "no venue yet" if empty else "paper",
        age_s=_age(now_ns, view["as_of_ns"]) if known.live is not None else known.checkpoint_age_s,
        checkpoint_age_s=known.checkpoint_age_s, pending_requests=pending,
        direct_actions=_lines(state_dir / DIRECT_FILE), problems=(), **view,
    )
    return msgspec.structs.replace(status, problems=tuple(_problems(status, known, folder)))


def _read(state_dir: Path, now_ns: int) -> _Known:
    """The status file, or the checkpoint where there is no status file."""
    known = _Known(live=read_status(state_dir), holder=holder(state_dir), disk=_disk(state_dir))
    known.unreadable = known.live is None and (state_dir / STATUS_FILE).exists()
    path = state_dir / "checkpoint"
    try:
        known.held_s = _age(now_ns, (state_dir / "lock").stat().st_mtime_ns)
        known.checkpoint_age_s = _age(now_ns, path.stat().st_mtime_ns)
        content = read_private(path) if known.live is None else b""
    except OSError:
        return known
    if known.live is None:
        known.checkpoint = unsealed(content)
        if known.checkpoint is None:
            known.damage = "the checkpoint is damaged; the next start renames it and prints what to do"
    return known


def _is_others(known: _Known) -> bool:
    """Whether the status is from an earlier process than the one that holds the folder."""
    return known.holder != 0 and (known.live is None or known.live.pid != known.holder)


def _disk(state_dir: Path) -> str:
    """Why the folder cannot be written, or soon cannot; empty when it can."""
    try:
        found = os.statvfs(state_dir)
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    if found.f_flag & os.ST_RDONLY:
        return "its file system is read-only"
    left = found.f_bavail * found.f_frsize
    return f"its file system is full or nearly ({left >> 10} KiB left)" if left < _LITTLE_SPACE else ""


def requests_taken(state_dir: Path) -> int:
    """How many of the folder's requests its run has executed, by its status or its checkpoint."""
    known = _read(state_dir, 0)
    if known.live is not None:
        return known.live.operator_taken
    return int(_from_checkpoint(known.checkpoint)["operator_taken"])


def _age(now_ns: int, then_ns: int) -> float:
    return max(0.0, (now_ns - then_ns) / NS_PER_SECOND)


def _lines(path: Path) -> int:
    try:
        return read_private(path).count(b"\n")
    except OSError:
        return 0


def _from_live(live: LiveStatus) -> dict[str, Any]:
    return {
        "source": "status file", "as_of_ns": live.written_ns, "equity": live.equity if live.equity_ns else None,
        "equity_ns": live.equity_ns, "governor": live.governor if live.equity_ns else None, "result": live.result,
        "stage": live.stage, "last_event_age_s": live.last_event_age_s, "lag_s": live.lag_s,
        "queue_fill": live.queue_fill, "unreconciled_s": live.unreconciled_s, "in_doubt": live.in_doubt,
        "dropped_events": live.dropped_events, "positions": live.positions, "orders": live.orders,
        "halts": live.halts, "operator_taken": live.operator_taken, "bus": live.bus,
        "entries_halted": live.entries_halted, "by_others": live.by_others,
        "models": live.models, "pilot": live.pilot,
    }


def _from_checkpoint(saved: dict[str, Any] | None) -> dict[str, Any]:
    """The same figures from a checkpoint; those that only a running process knows are None."""
    view: dict[str, Any] = {
        "source": "nothing yet", "as_of_ns": 0, "equity": None, "equity_ns": 0, "governor": None, "result": None,
        "stage": "",
        "last_event_age_s": None, "lag_s": None, "queue_fill": None, "unreconciled_s": None, "in_doubt": 0,
        "dropped_events": 0, "positions": (), "orders": (), "halts": (), "operator_taken": 0,
        "bus": "", "entries_halted": "", "by_others": (), "models": None,
        "pilot": "",
    }
    if saved is None or "engine" not in saved:
        return view
    engine = saved["engine"]
    if "account" not in engine:
        raise StateError(
            "checkpoint: written by another version of this program; ask that version, or start in a new --state folder"
        )
    account, now_ns = engine["account"], int(engine["market"]["now_ns"])
    tickets = [msgspec.convert(raw, Ticket) for raw in engine["gateway"]["tickets"]]
    positions = [msgspec.convert(raw, Position) for raw in account["books"]["positions"]]
    closes = engine["market"]["kernel"]["out"][:, col.CLOSE]
    halts = [msgspec.convert(raw, HaltEntry) for raw in engine["tally"]["halts"]]
    level = GOVERNOR_CODES[int(account["governor"][GOV_ROW_LEVEL])]
    view.update(
        source="checkpoint", as_of_ns=now_ns, equity=float(account["equity"]),
        equity_ns=max(now_ns, int(engine["money"]["began_ns"])),
        governor=level.value, result=saved_result(saved),
        positions=(*position_lines(positions, tickets, closes), *untraded_lines(
            msgspec.convert(raw, UntradedPosition)
            for raw in engine["adopting"].get("untraded", {}).get("held", {}).values()
        )),
        orders=order_lines(tickets), halts=halt_lines(halts),
        operator_taken=int(saved.get("asked", saved.get("operator_taken", 0))),
        entries_halted=_halted(engine["halts"]["in_force"], level), by_others=tuple(
            OthersLine(ts_ns=ts_ns, text=text) for ts_ns, text in engine["tally"].get("others", ())
        ), models=saved_models(saved), stage=_replay_stage(saved), pilot=saved_pilot(engine),
    )
    return view


def _replay_stage(saved: Mapping[str, Any]) -> str:
    """How far a replay got; empty for a live session, and where an older version did not say."""
    known = saved.get("finished")
    return "" if known is None else FINISHED if known else UNFINISHED


def _halted(in_force: Mapping[str, str], level: GovernorLevel) -> str:
    """Why no new position is opened, from the halts of a checkpoint."""
    found = [in_force[kind] for kind in (OPERATOR, RECONCILIATION, DAILY_LOSS) if kind in in_force]
    return next(iter(found), "the governor is in EMERGENCY" if level is GovernorLevel.EMERGENCY else "")


def position_lines(
    positions: Iterable[Position], tickets: Iterable[Ticket], closes: Sequence[float]
) -> tuple[PositionLine, ...]:
    """Open positions, and whether an acknowledged stop for all of each rests; *closes* are the newest by index."""
    stops = [ticket for ticket in tickets if ticket.purpose is Purpose.STOP and ticket.resting and not ticket.over]
    lines = []
    for position in positions:
        rests = any(
            stop.symbol == position.symbol and stop.qty >= position.qty * (1.0 - 1e-9) for stop in stops
        )
        lines.append(
            position_line(
                position, stop=position.stop if rests else 0.0, protected=rests,
                mark_price=max(0.0, float(closes[position.index])),  # 0.0 before the first bar
            )
        )
    return tuple(lines)


def position_line(position: Position, *, stop: float, protected: bool, mark_price: float = 0.0) -> PositionLine:
    """The line of *position*, whose stop rests at *stop* at the venue (0.0: none does)."""
    return PositionLine(
        symbol=position.symbol, side=position.side.value, qty=position.qty, entry_price=position.entry_price, stop=stop,
        target=position.target, mark_price=mark_price, protected=protected, entry_ns=position.entry_ns,
        trace_id=position.plan.trace_id, model=position.plan.model, leverage=position.plan.leverage,
        first_stop=position.first_stop, fees=position.fees, funding=position.funding, realised=position.realised,
        liquidation_price=position.venue_liquidation,
    )


def untraded_lines(held: Iterable[UntradedPosition]) -> tuple[PositionLine, ...]:
    """Positions of others in symbols that the run does not trade."""
    return tuple(
        PositionLine(
            symbol=one.symbol, side=(Side.SHORT if one.qty < 0.0 else Side.LONG).value, qty=abs(one.qty),
            entry_price=one.entry_price, stop=one.stop, mark_price=one.mark_price, protected=one.stop > 0.0,
            traded=False,
        )
        for one in held
    )


def order_lines(tickets: Iterable[Ticket]) -> tuple[OrderLine, ...]:
    """Orders that may still be open."""
    return tuple(
        OrderLine(
            client_order_id=ticket.client_order_id, symbol=ticket.symbol, purpose=ticket.purpose.value,
            qty=ticket.qty, price=ticket.price, resting=ticket.resting,
        )
        for ticket in tickets if not ticket.over
    )


def halt_lines(halts: Iterable[HaltEntry]) -> tuple[HaltLine, ...]:
    """Halts in force, and how each ends."""
    return tuple(
        HaltLine(kind=halt.kind, reason=halt.reason, exit_path=halt.exit_path, since_ns=halt.ts_ns)
        for halt in halts if halt.cleared_ns == 0
    )


def _problems(status: FolderStatus, known: _Known, folder: LiveFolder | None) -> list[str]:
    """What needs a person, each with the remedy."""
    found = [known.damage] if known.damage else []
    if known.unreadable:
        found.append(
            f"{STATUS_FILE} cannot be read (damaged, or written by another version of this program): the figures shown "
            "are those of the checkpoint and may miss positions and halts; ask the version that runs, or restart"
        )
    found += [
        f"{words(halt.kind)}: {halt.reason}; ends: {halt.exit_path}" for halt in status.halts
        if not halt.kind.startswith(LOCK)  # a person made it, and it ends by itself
    ]
    found += [
        f"{line.symbol}: {line.side} {line.qty:g} has no stop at the venue" for line in status.positions
        if not line.protected
    ]
    if status.kind == "nothing" and not status.alive:
        found.append("nothing ran here yet: the last start was refused or ended at once; start again")
    if status.alive and _is_others(known) and not known.unreadable and status.kind != "replay":
        found += _start_problems(known)
    if folder is None:
        return found
    if known.disk:
        found.append(f"the folder cannot be written: {known.disk}; repair that, {_way_out(status, folder)}")
    if status.alive and known.live is not None and not _is_others(known):
        found += _live_problems(status, known.live)
    elif not status.alive:
        found += _dead_problems(status, known, folder)
    return found


def _way_out(status: FolderStatus, folder: LiveFolder) -> str:
    """What to do when the folder's disk cannot be repaired."""
    stop = f"stop the process (kill -TERM {status.pid or 'PID'})" if status.alive else ""
    if folder.mode is LiveMode.DRY:
        return f"or {stop}" if stop else "then restart with the same command"
    close = "close everything with quantum-trader flatten --now, which needs no disk"
    return f"or {stop} and {close}" if stop else f"or {close}"


def _start_problems(known: _Known) -> list[str]:
    """Problems of a process that holds the folder and has written no status."""
    if known.held_s <= _START_S:
        return []
    return [
        f"the process (pid {known.holder}) has held the folder for {known.held_s:.0f} s and wrote no status: it waits "
        "for the venue, or cannot write; the figures shown are older than this process"
    ]


def _dead_problems(status: FolderStatus, known: _Known, folder: LiveFolder) -> list[str]:
    """Problems left behind by a process that has ended."""
    found, ask = [], ""
    advice = "restart with the same command"
    if folder.mode is not LiveMode.DRY:
        advice += ", or close everything with quantum-trader flatten --now"
        ask = "check with status --venue, then "
    if status.positions or status.orders:
        found.append(f"the process is dead and {len(status.positions)} positions were open when last known; {advice}")
    if known.damage:
        pass  # reported above
    elif status.equity is None and status.stage != BY_HAND:
        found.append(f"the process ended during its start, before it had read the account; {ask}{advice}")
    elif known.live is None or known.live.stage not in (STOPPED, BY_HAND):
        old = f"{status.age_s:.0f} s old" if status.age_s is not None else "of unknown age"
        found.append(
            f"the process ended without a final status (killed, or unable to write): the figures are {old} and may "
            f"miss later changes, positions included; {ask}{advice}"
        )
    if status.pending_requests:
        found.append(f"{len(status.pending_requests)} operator requests wait for the next start")
    return found


def _live_problems(status: FolderStatus, live: LiveStatus) -> list[str]:
    """Problems of a process that runs: health means progress."""
    silent_s = status.age_s or 0.0
    checks = (
        (silent_s > max(_SILENT_WRITES * live.every_s, _SILENT_S),
         f"the process (pid {live.pid}) runs and wrote no status for {silent_s:.0f} s: it hangs or cannot write; the "
         "figures are that old and may miss positions and halts; stop it and restart with the same command"),
        (live.stage == "starting" and live.written_ns - live.started_ns > _START_S * NS_PER_SECOND,
         f"trading has not begun after {(live.written_ns - live.started_ns) / NS_PER_SECOND:.0f} s: it waits for "
         f"{live.waits_for or 'the venue'}"),
        (live.stage == "trading" and not live.market_up, "the market stream is down; it reconnects by itself"),
        (live.stage == "trading" and live.mode != LiveMode.DRY.value and not live.user_up,
         "the account stream is down; it reconnects by itself"),
        (live.lag_s > _LAG_S, f"decisions lag {live.lag_s:.1f} s behind the market"),
        (live.queue_fill >= _FULL, f"a queue is {live.queue_fill:.0%} full"),
        (live.unreconciled_s > _UNRECONCILED_S,
         f"the books have not matched the exchange for {live.unreconciled_s:.0f} s"),
        (bool(live.differences), f"books and exchange differ: {'; '.join(live.differences)}"),
        (live.dropped_events > 0, f"{live.dropped_events} events were lost"),
    )
    return [text for wrong, text in checks if wrong] + list(live.notes)
