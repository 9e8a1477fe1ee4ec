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

from quantum_trader.app.flatten import DirectAction, FlattenResult, flatten_account
from quantum_trader.app.live_settings import LiveFolder, LiveMode, read_folder
from quantum_trader.app.operator_requests import OperatorRequest, ask
from quantum_trader.app.state_dir import StateDir
from quantum_trader.app.status import (
    DIRECT_FILE,
    OrderLine,
    PositionLine,
    is_alive,
    read_status,
    write_status,
)
from quantum_trader.domain.errors import ConfigError, StateError, VenueError
from quantum_trader.engine.ports import VenueBalance, VenueOrder, VenuePosition
from quantum_trader.engine.venue_port import ExecutionVenue

_ANSWER_S: Final = 60.0
_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 5.0


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
        try:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError:
            self._descriptor = -1  # closing positions does not wait for a disk: every step is shown as not on record

    def __call__(self, action: DirectAction) -> None:
        """Take one step. A disk that fails does not stop closing positions: the step is then shown alone."""
        line = msgspec.json.encode(action) + b"\n"
        try:
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
        what = "a dry run" if folder is not None else "a replay"
        raise ConfigError(
            f"--state {state_dir}: is {what}, whose account lives in the folder and at no venue; leave out the option "
            "that asks the venue, and the next start does what was asked"
        )
    return folder


def flatten_now(
    state_dir: Path, request: OperatorRequest, make: MakeVenue, now_ns: Callable[[], int],
    show: Callable[[DirectAction], None], deadline_s: float,
) -> FlattenResult:
    """Hold the folder's lock, put the request on record, close everything at the venue, and leave the status behind.

    *make* gives a venue, not connected, for the symbols it is handed. Raises StateError when a process holds the
    folder, and VenueError when the venue could not be reached in time.
    """
    symbols = account_folder(state_dir).symbols
    is_alive(state_dir)  # refuses what is no run's folder
    held = StateDir(state_dir)
    try:
        log = DirectLog(state_dir, show)
        try:
            ask(state_dir, request)
        except StateError as error:
            show(DirectAction(
                ts_ns=now_ns(), step="trouble",
                text=f"{error}; closing goes on, and the next start must be halted by hand",
            ))
        try:
            result = asyncio.run(_flatten_over(make, symbols, now_ns, log, deadline_s))
        finally:
            log.close()
        try:
            _leave_status(state_dir, result, now_ns())
        except StateError as error:
            show(DirectAction(ts_ns=now_ns(), step="trouble", text=str(error)))
    finally:
        held.close()
    return result


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
    """Bring the last known positions and orders up to date, where there is a status at all."""
    status = read_status(state_dir)
    if status is None:
        return
    stops = {order.symbol for order in result.orders if order.stop_price > 0.0}
    write_status(state_dir, msgspec.structs.replace(
        status, written_ns=now_ns, stage="flattened by hand", market_up=False, user_up=False,
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
