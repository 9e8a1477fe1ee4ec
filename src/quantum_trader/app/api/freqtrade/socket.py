"""``message/ws?token=``: what happens, in the messages of freqtrade, to those who have subscribed to them.

A client sends ``{"type": "subscribe", "data": ["entry_fill", ...]}``, and ``{"type": "whitelist"}`` to be told the
pairs. It is sent an ``entry_fill`` and an ``exit_fill`` when a trade is opened and has ended, and a ``new_candle`` of
each pair when bars have been decided on. The fields of a fill stand beside its ``type``, as freqtrade sends them; those
of the others are in ``data``.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

import anyio
import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from quantum_trader.app.api.access import Access, Caller
from quantum_trader.app.api.endpoints import address_of
from quantum_trader.app.api.errors import ApiError
from quantum_trader.app.api.freqtrade.facts import RunView
from quantum_trader.app.api.freqtrade.roads import Freqtrade
from quantum_trader.app.api.freqtrade.words import PREFIX, STAKE, pair_of
from quantum_trader.app.api.tokens import Role
from quantum_trader.domain.errors import QuantumTraderError
from quantum_trader.domain.json_text import decode_json

SOCKET: Final = f"{PREFIX}/message/ws"
WHITELIST, ENTRY, EXIT, CANDLE = "whitelist", "entry_fill", "exit_fill", "new_candle"
_EVERY_S: Final = 1.0
_MOST_CLIENTS: Final = 50
READINGS: Final = 2  # at a time, of all clients together
_MOST_ASKED: Final = 50  # kinds of a subscription
_POLICY: Final = 1008  # close codes
_TRY_LATER: Final = 1013


class SocketRequest(msgspec.Struct, frozen=True):
    """What a client sends."""

    type: str
    data: Any = None


class _Seen:
    """What was last told of the run."""

    def __init__(self) -> None:
        self.bars_ns = 0
        self.open: dict[int, dict[str, Any]] | None = None  # None: nothing yet

    def news(self, freqtrade: Freqtrade) -> list[dict[str, Any]]:
        """Messages since the last call; the first call only looks."""
        view, told = freqtrade.view, freqtrade.trades.open()
        now = {one["trade_id"]: one for one in told}
        found: list[dict[str, Any]] = []
        before, self.open = self.open, now
        bars_ns = view.reader.status().equity_ns
        if before is not None:
            found += [_entered(one) for number, one in now.items() if number not in before]
            found += [_left(_ended(freqtrade, one)) for number, one in before.items() if number not in now]
            if bars_ns > self.bars_ns:
                found += _candles(view)
        self.bars_ns = bars_ns
        return found


class MessageSocket:
    """The sockets of one folder's freqtrade clients."""

    def __init__(self, freqtrade: Freqtrade, access: Access) -> None:
        self._freqtrade, self._access = freqtrade, access
        self._clients = 0
        self._limit = anyio.CapacityLimiter(READINGS)

    async def serve(self, socket: WebSocket) -> None:
        """Serve one socket until either end closes it."""
        await socket.accept()
        try:
            caller = self._freqtrade.sessions.by_text(
                socket.headers, socket.query_params.get("token", ""), address_of(socket.scope)
            )
            self._access.check_role(caller, Role.VIEWER)
        except (ApiError, QuantumTraderError, OSError) as error:
            await _close(socket, _POLICY, str(error))
            return
        if self._clients >= _MOST_CLIENTS:
            await _close(socket, _TRY_LATER, f"{_MOST_CLIENTS} clients listen already")
            return
        self._clients += 1
        asked: set[str] = set()
        try:
            telling = asyncio.create_task(self._tell(socket, caller, asked))
            hearing = asyncio.create_task(self._hear(socket, asked))
            _, waiting = await asyncio.wait((telling, hearing), return_when=asyncio.FIRST_COMPLETED)
            for task in (*waiting, telling, hearing):
                task.cancel()
                with suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError, QuantumTraderError, OSError):
                    await task  # where the tokens cannot be read, it ends
        finally:
            self._clients -= 1

    async def _hear(self, socket: WebSocket, asked: set[str]) -> None:
        """Take what the client sends; what is no message is dropped."""
        while True:
            text = await socket.receive_text()
            try:
                request = decode_json(text, SocketRequest)
            except msgspec.DecodeError:
                continue
            if request.type == "subscribe" and isinstance(request.data, list):
                asked.clear()
                asked.update(str(one) for one in request.data[:_MOST_ASKED])
            elif request.type == WHITELIST:
                pairs = [pair_of(symbol) for symbol in (await self._in_thread(self._freqtrade.view.config)).symbols]
                await _send(socket, {"type": WHITELIST, "data": pairs})

    async def _tell(self, socket: WebSocket, caller: Caller, asked: set[str]) -> None:
        """Tell what happens, until the token is revoked."""
        seen = _Seen()
        while self._access.is_still_valid(caller):
            with suppress(QuantumTraderError, OSError, ApiError):  # a folder that cannot be read now can be later
                for message in await self._in_thread(seen.news, self._freqtrade):
                    if message["type"] in asked:
                        await _send(socket, message)
            await asyncio.sleep(_EVERY_S)
        await _close(socket, _POLICY, "the token was revoked")

    async def _in_thread(self, run: Any, *arguments: Any) -> Any:
        return await anyio.to_thread.run_sync(run, *arguments, limiter=self._limit)


def _ended(freqtrade: Freqtrade, was: dict[str, Any]) -> dict[str, Any]:
    """The ended trade; as it was while it was open, where its end is not on record yet."""
    try:
        return freqtrade.trades.one(str(was["trade_id"]))
    except ApiError:
        return was


def _common(trade: dict[str, Any], kind: str) -> dict[str, Any]:
    return {
        "type": kind, "direction": trade["trade_direction"].capitalize(), "stake_currency": STAKE,
        "quote_currency": STAKE, "sub_trade": False, "order_type": "market",
        **{key: trade.get(key) for key in (
            "trade_id", "pair", "base_currency", "exchange", "leverage", "amount", "stake_amount", "open_rate",
            "open_date", "enter_tag", "current_rate",
        )},
    }


def _entered(trade: dict[str, Any]) -> dict[str, Any]:
    return {**_common(trade, ENTRY), "limit": trade["open_rate"]}


def _left(trade: dict[str, Any]) -> dict[str, Any]:
    profit = trade["profit_abs"]
    return {
        **_common(trade, EXIT), "limit": trade["close_rate"], "close_rate": trade["close_rate"],
        "close_date": trade["close_date"], "exit_reason": trade["exit_reason"], "profit_amount": profit,
        "profit_ratio": trade["profit_ratio"], "gain": "profit" if (profit or 0.0) > 0.0 else "loss",
        "cumulative_profit": 0.0, "is_final_exit": True,
    }


def _candles(view: RunView) -> list[dict[str, Any]]:
    config = view.config()
    return [{"type": CANDLE, "data": [pair_of(symbol), config.timeframe, "futures"]} for symbol in config.symbols]


async def _send(socket: WebSocket, message: dict[str, Any]) -> None:
    await socket.send_text(msgspec.json.encode(message).decode())


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    with suppress(RuntimeError, WebSocketDisconnect):
        await socket.close(code, reason[:120])
