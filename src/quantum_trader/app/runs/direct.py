"""Commands that act at the venue themselves, because no process of the run is there to do it.

They hold the folder's lock, so that no start comes in between, and leave on record what they did: a request that the
next start takes (it finds openings halted), a line for each step, and the status as they last saw it.
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
from quantum_trader.engine.ports import VenueBalance, VenueOrder, VenuePosition
from quantum_trader.engine.venue_port import ExecutionVenue

_ANSWER_S: Final = 60.0
_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 5.0
_SAME_QTY: Final = 1e-9  # of a quantity: less is no difference

MakeVenue = Callable[[tuple[str, ...]], ExecutionVenue]


class VenueView(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue itself says of the account."""

    endpoint: str
    balance: VenueBalance
    positions: tuple[VenuePosition, ...]
    orders: tuple[VenueOrder, ...]


class DirectLog:
    """Appends what was done at the venue to the folder, each line on disk before the next step."""

    def __init__(self, state_dir: Path, show: Callable[[DirectAction], None]) -> None:
        self._path = state_dir / DIRECT_FILE
        self._show = show
        self._refused: OSError | None = None
        try:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:  # closing positions does not wait for a disk: every step is shown as not on record
            self._descriptor, self._refused = -1, error

    def __call__(self, action: DirectAction) -> None:
        """Take one step. A disk that fails does not stop closing positions: the step is then shown alone."""
        line = msgspec.json.encode(action) + b"\n"
        try:
            if self._refused is not None:
                raise self._refused
            if os.write(self._descriptor, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._descriptor)
        except OSError as error:
            action = msgspec.structs.replace(action, text=f"{action.text} (not on record: {error.strerror})".strip())
        self._show(action)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)


def read_direct(state_dir: Path) -> list[DirectAction]:
    """What commands did at the venue for this folder, oldest first; a damaged line is passed over."""
    try:
        lines = (state_dir / DIRECT_FILE).read_bytes().split(b"\n")
    except OSError:
        return []
    actions = []
    for line in lines:
        try:
            actions.append(msgspec.json.decode(line, type=DirectAction))
        except msgspec.DecodeError:
            continue
    return actions


def account_folder(state_dir: Path) -> LiveFolder:
    """What the folder trades; ConfigError unless it is an account at a venue that a command can reach."""
    folder = read_folder(state_dir)
    if folder is None or folder.mode is LiveMode.DRY:
        what = "a dry run" if folder is not None else "of a replay, or no start in it came as far as its venue"
        raise ConfigError(
            f"--state {state_dir}: is {what}: its account lives in the folder and at no venue; leave out the option "
            "that asks the venue, and the next start does what was asked"
        )
    return folder


def flatten_now(
    state_dir: Path, request: OperatorRequest, make: MakeVenue, now_ns: Callable[[], int],
    show: Callable[[DirectAction], None], deadline_s: float,
) -> FlattenResult:
    """Hold the folder's lock, put the request on record, close everything at the venue, and leave the status behind.

    *make* gives a venue, not connected, for the symbols it is handed. A folder that cannot be written stops nothing:
    what is not on record is shown, and the result says when the halt is not. Raises StateError when a process holds
    the folder, and VenueError when the venue could not be reached in time.
    """
    symbols = account_folder(state_dir).symbols
    is_alive(state_dir)  # refuses what is no run's folder
    held = StateDir(state_dir, or_read_only=True)
    try:
        log = DirectLog(state_dir, show)
        refused = _refused(state_dir, request)
        if refused:
            show(DirectAction(
                ts_ns=now_ns(), step="trouble",
                text=f"{refused}; closing goes on, and the next start must be halted by hand",
            ))
        try:
            result = asyncio.run(_flatten_over(make, symbols, now_ns, log, deadline_s))
        finally:
            log.close()
        if refused:  # the disk may have been freed meanwhile
            result = msgspec.structs.replace(result, halt_noted=not _refused(state_dir, request))
        try:
            _leave_status(state_dir, result, now_ns())
        except StateError as error:
            show(DirectAction(ts_ns=now_ns(), step="trouble", text=str(error)))
    finally:
        held.close()
    return result


def _refused(state_dir: Path, request: OperatorRequest) -> str:
    """Why *request* could not be put on record; empty when it was."""
    try:
        ask(state_dir, request)
    except StateError as error:
        return str(error)
    return ""


async def _flatten_over(
    make: MakeVenue, symbols: tuple[str, ...], now_ns: Callable[[], int], log: DirectLog, deadline_s: float
) -> FlattenResult:
    """Flatten over one connection, or a second one where the account holds symbols that the run does not trade."""
    venue = make(symbols)
    try:
        await _connect(venue, now_ns, log, deadline_s)
        others = await _others(venue)
        if not others:
            return await flatten_account(venue, now_ns, log, deadline_s=deadline_s)
        wider = make((*symbols, *others))
        try:
            await _connect(wider, now_ns, log, deadline_s)
        except (ConfigError, VenueError) as error:
            text = f"{', '.join(others)}: not of this run, and left alone: {error}"
            log(DirectAction(ts_ns=now_ns(), step="trouble", text=text))
            return await flatten_account(venue, now_ns, log, deadline_s=deadline_s)
        else:
            return await flatten_account(wider, now_ns, log, deadline_s=deadline_s)
        finally:
            await wider.close()
    finally:
        await venue.close()


async def _others(venue: ExecutionVenue) -> tuple[str, ...]:
    """Symbols with a position or an order that *venue* was not made for; none where it does not say."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            positions, orders = await venue.get_positions(), await venue.open_orders()
    except (VenueError, TimeoutError):
        return ()
    found = {one.symbol for one in positions if one.qty != 0.0} | {one.symbol for one in orders}
    return tuple(sorted(found - set(venue.symbols)))


async def _connect(
    venue: ExecutionVenue, now_ns: Callable[[], int], log: Callable[[DirectAction], None], deadline_s: float
) -> None:
    """Connect, again and again until *deadline_s* passed; then the last VenueError is raised."""
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
    """What *venue* says of the account, over a connection of its own."""
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
    """Bring the last known positions and orders up to date; what else a status says is left as it was."""
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
    """A venue's position as a status shows it."""
    return PositionLine(
        symbol=position.symbol, side="LONG" if position.qty > 0.0 else "SHORT", qty=abs(position.qty),
        entry_price=position.entry_price, mark_price=position.mark_price, protected=protected,
    )


def differences(found: FolderStatus, view: VenueView) -> list[str]:
    """What the venue holds that the folder's figures do not, or otherwise, each with what to do."""
    if found.alive:
        advice = "look again in a minute; if it stays, stop the process and close with quantum-trader flatten --now"
    else:
        advice = "start it again, which compares first, or close everything with quantum-trader flatten --now"
    says = {line.symbol: line.qty if line.side == "LONG" else -line.qty for line in found.positions}
    holds = {held.symbol: held.qty for held in view.positions}
    told = [
        f"{symbol}: the venue holds {holds.get(symbol, 0.0):+g}, the folder says {says.get(symbol, 0.0):+g}; {advice}"
        for symbol in sorted({*says, *holds})
        if abs(holds.get(symbol, 0.0) - says.get(symbol, 0.0)) > _SAME_QTY * abs(says.get(symbol, 0.0))
    ]
    known = {order.client_order_id for order in found.orders}
    told += [
        f"{order.symbol}: the venue has order {order.client_order_id}, which the folder does not know; {advice}"
        for order in view.orders if order.client_order_id not in known
    ]
    return told
