"""Commands that act at the venue themselves, for a run whose process is dead.

They hold the folder's lock, so that no start runs at the same time, and record what they did: a request for the next
start (new entries are halted), a line for each step, and the last status they read.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.app.runs.flatten import DirectAction, FlattenResult, flatten_account
from quantum_trader.app.runs.live_settings import LiveFolder, LiveMode, read_folder
from quantum_trader.app.runs.operator_requests import OperatorRequest, ask
from quantum_trader.app.runs.state_dir import StateDir
from quantum_trader.app.runs.status import (
    BY_HAND,
    DIRECT_FILE,
    FolderStatus,
    LiveStatus,
    OrderLine,
    PositionLine,
    is_alive,
    read_status,
    requests_taken,
    write_status,
)
from quantum_trader.domain.errors import ConfigError, StateError, VenueError
from quantum_trader.domain.json_text import decode_json
from quantum_trader.domain.private_files import open_private, read_private
from quantum_trader.engine.ports import VenueBalance, VenueOrder, VenuePosition
from quantum_trader.engine.venue_port import ExecutionVenue

_ANSWER_S: Final = 60.0
_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 5.0
_SAME_QTY: Final = 1e-9  # relative to a quantity: less is no difference

MakeVenue = Callable[[tuple[str, ...]], ExecutionVenue]


class VenueView(msgspec.Struct, frozen=True, kw_only=True):
    """The account as the venue reports it."""

    endpoint: str
    balance: VenueBalance
    positions: tuple[VenuePosition, ...]
    orders: tuple[VenueOrder, ...]


class DirectLog:
    """Appends each step at the venue to the folder; a line is on disk before the next step."""

    def __init__(self, state_dir: Path, show: Callable[[DirectAction], None]) -> None:
        self._path = state_dir / DIRECT_FILE
        self._show = show
        self._refused: OSError | None = None
        try:
            self._descriptor = open_private(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        except OSError as error:  # closing continues without a disk: each step is shown as not recorded
            self._descriptor, self._refused = -1, error

    def __call__(self, action: DirectAction) -> None:
        """Record and show one step. When the disk fails the step is only shown, and closing continues."""
        line = msgspec.json.encode(action) + b"\n"
        try:
            if self._refused is not None:
                raise self._refused
            if os.write(self._descriptor, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._descriptor)
        except OSError as error:
            action = msgspec.structs.replace(action, text=f"{action.text} (not recorded: {error.strerror})".strip())
        self._show(action)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)


def read_direct(state_dir: Path) -> list[DirectAction]:
    """Steps of commands at the venue for this folder, oldest first; a damaged line is skipped."""
    try:
        lines = read_private(state_dir / DIRECT_FILE).split(b"\n")
    except OSError:
        return []
    actions = []
    for line in lines:
        try:
            actions.append(decode_json(line, DirectAction))
        except msgspec.DecodeError:
            continue
    return actions


def account_folder(state_dir: Path) -> LiveFolder:
    """What the folder trades; ConfigError unless it is an account at a venue."""
    folder = read_folder(state_dir)
    if folder is None or folder.mode is LiveMode.DRY:
        what = "a dry run" if folder is not None else "a replay, or no start in it reached its venue"
        raise ConfigError(
            f"--state {state_dir}: is {what}: its account is in the folder and at no venue; repeat the command without "
            "the option that needs the venue"
        )
    return folder


def flatten_now(
    state_dir: Path, request: OperatorRequest, make: MakeVenue, now_ns: Callable[[], int],
    show: Callable[[DirectAction], None], deadline_s: float,
) -> FlattenResult:
    """Hold the folder's lock, record the request, close everything at the venue, and write the status.

    *make* returns a venue, not connected, for given symbols. Closing continues when the folder cannot be written: the
    steps are shown, and the result says when the halt is not recorded. Raises StateError when a process holds the
    folder, and VenueError when the venue could not be reached in time.
    """
    symbols = account_folder(state_dir).symbols
    is_alive(state_dir)  # raises for a folder without a run
    held = StateDir(state_dir, or_read_only=True)
    try:
        log = DirectLog(state_dir, show)
        refused = _refused(state_dir, request)
        if refused:
            show(DirectAction(
                ts_ns=now_ns(), step="trouble",
                text=f"{refused}; closing continues; run quantum-trader halt before the next start",
            ))
        try:
            result = asyncio.run(_flatten_over(make, symbols, now_ns, log, deadline_s))
        finally:
            log.close()
        if refused:  # the disk may have space again
            result = msgspec.structs.replace(result, halt_noted=not _refused(state_dir, request))
        try:
            _leave_status(state_dir, result, now_ns())
        except StateError as error:
            show(DirectAction(ts_ns=now_ns(), step="trouble", text=str(error)))
    finally:
        held.close()
    return result


def _refused(state_dir: Path, request: OperatorRequest) -> str:
    """Why *request* could not be recorded; empty when it was."""
    try:
        ask(state_dir, request)
    except StateError as error:
        return str(error)
    return ""


async def _flatten_over(
    make: MakeVenue, symbols: tuple[str, ...], now_ns: Callable[[], int], log: DirectLog, deadline_s: float
) -> FlattenResult:
    """Flatten the whole account over one connection; it takes reducing orders of every symbol that is held."""
    venue = make(symbols)
    try:
        await _connect(venue, now_ns, log, deadline_s)
        return await flatten_account(venue, now_ns, log, deadline_s=deadline_s)
    finally:
        await venue.close()


async def _connect(
    venue: ExecutionVenue, now_ns: Callable[[], int], log: Callable[[DirectAction], None], deadline_s: float
) -> None:
    """Connect, with retries until *deadline_s* has passed; then raise the last VenueError."""
    loop, wait = asyncio.get_running_loop(), _FIRST_WAIT_S
    ends = loop.time() + deadline_s
    while True:
        try:
            async with asyncio.timeout(_ANSWER_S):
                await venue.connect()
                return
        except TimeoutError:
            error = VenueError(f"{venue.name}: no connection in {_ANSWER_S:g} s")
        except VenueError as refused:
            error = refused
        if loop.time() + wait > ends:
            raise error
        log(DirectAction(ts_ns=now_ns(), step="trouble", text=f"not connected: {error}"))
        await asyncio.sleep(wait)
        wait = min(2.0 * wait, _LONGEST_WAIT_S)


async def look(venue: ExecutionVenue) -> VenueView:
    """The account at *venue*, read over its own connection."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            await venue.connect()
            return VenueView(
                endpoint=venue.name, balance=await venue.get_cash_balance(),
                positions=tuple(p for p in await venue.get_positions() if p.qty != 0.0),
                orders=tuple(await venue.open_orders()),
            )
    except TimeoutError:
        raise VenueError(f"{venue.name}: no answer in {_ANSWER_S:g} s") from None
    finally:
        await venue.close()


def _leave_status(state_dir: Path, result: FlattenResult, now_ns: int) -> None:
    """Write the last known positions and orders to the status; its other figures stay."""
    status = read_status(state_dir)
    if status is None:
        folder = account_folder(state_dir)
        status = LiveStatus(
            written_ns=now_ns, pid=0, started_ns=0, mode=folder.mode.value, endpoint=folder.endpoint,
            operator_taken=requests_taken(state_dir),
        )
    stops = {order.symbol for order in result.orders if order.stop_price > 0.0}
    write_status(state_dir, msgspec.structs.replace(
        status, written_ns=now_ns, stage=BY_HAND, market_up=False, user_up=False,
        positions=tuple(venue_line(position, position.symbol in stops) for position in result.positions),
        orders=tuple(
            OrderLine(
                client_order_id=order.client_order_id, symbol=order.symbol, purpose="", qty=order.qty,
                price=order.stop_price or order.price,
            )
            for order in result.orders
        ),
        notes=(result.text,),
    ))


def venue_line(position: VenuePosition, protected: bool) -> PositionLine:
    """A venue's position as a line of the status."""
    return PositionLine(
        symbol=position.symbol, side="LONG" if position.qty > 0.0 else "SHORT", qty=abs(position.qty),
        entry_price=position.entry_price, mark_price=position.mark_price, protected=protected,
    )


def differences(found: FolderStatus, view: VenueView) -> list[str]:
    """Differences between the venue and the folder's figures, each with the remedy."""
    if found.alive:
        advice = "check again in a minute; if it stays, stop the process and close with quantum-trader flatten --now"
    else:
        advice = (
            "restart with the same command, which compares first, or close everything with quantum-trader flatten --now"
        )
    says = {line.symbol: line.qty if line.side == "LONG" else -line.qty for line in found.positions}
    holds: dict[str, float] = {}
    for held in view.positions:
        holds[held.symbol] = holds.get(held.symbol, 0.0) + held.qty
    told = [
        f"{symbol}: the venue holds {holds.get(symbol, 0.0):+g}, the folder says {says.get(symbol, 0.0):+g}; {advice}"
        for symbol in sorted({*says, *holds})
        if not abs(holds.get(symbol, 0.0) - says.get(symbol, 0.0)) <= _SAME_QTY * abs(says.get(symbol, 0.0))
    ]
    known = {order.client_order_id for order in found.orders}
    told += [
        f"{order.symbol}: the venue has order {order.client_order_id}, which the folder does not list; {advice}"
        for order in view.orders if order.client_order_id not in known
    ]
    return told
