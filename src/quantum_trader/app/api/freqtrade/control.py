"""What freqtrade's clients change: start, stop, forced entries and exits. Each change is on record with who asked.

Every entry passes the same gates, limits and halts as a signal; this hands over requests and reads what came of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from quantum_trader.app.api.changes import DONE, ChangeLog
from quantum_trader.app.api.control_endpoints import PERSON
from quantum_trader.app.api.endpoints import Call
from quantum_trader.app.api.errors import ApiError, as_api_error
from quantum_trader.app.api.freqtrade.candles import Candles
from quantum_trader.app.api.freqtrade.facts import RunView
from quantum_trader.app.api.freqtrade.trades import Trades
from quantum_trader.app.api.freqtrade.words import PREFIX, pair_of, symbol_of
from quantum_trader.app.runs.operator_requests import Action, OperatorRequest, ask
from quantum_trader.app.runs.outside_intents import IntentRequest, request_intent
from quantum_trader.domain.enums import Side
from quantum_trader.domain.errors import brief

_TTL_S: Final = 30.0
_WAIT_S: Final = 4.0  # for what came of an entry; freqtrade's client waits 10 s for an answer
_LOOK_S: Final = 0.25
_ALL: Final = "all"
_SOURCE: Final = "force_enter"


class ForceEnter(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that a person asks for. *stakeamount* is the margin in USDT; *price* says at which price it counts."""

    pair: str
    side: str = "long"
    price: float | None = None
    ordertype: str | None = None
    stakeamount: float | None = None
    leverage: float | None = None
    entry_tag: str | None = None


class ForceExit(msgspec.Struct, frozen=True, kw_only=True):
    """An exit that a person asks for: of the trade with that number, or of "all"."""

    tradeid: str | int
    ordertype: str | None = None
    amount: float | None = None
    price: float | None = None


class Controls:
    """The changes of one run, asked for in freqtrade's way."""

    def __init__(self, view: RunView, trades: Trades, candles: Candles, now_ns: Callable[[], int]) -> None:
        self._view, self._trades, self._candles, self._now_ns = view, trades, candles, now_ns
        self._folder = view.reader.folder
        self._log = ChangeLog(self._folder)

    def recorded(self, road: str, method: str, run: Callable[[Call], Any]) -> Callable[[Call], Any]:
        """*run* with a line in the record of changes; a stop is carried out also where that cannot be written."""
        def answer(call: Call) -> Any:
            about = f"{method} {PREFIX}/{road.format(**call.path)}"
            detail = msgspec.json.encode(call.body).decode()
            outcome = DONE
            try:
                return run(call)
            except Exception as error:
                outcome = str(as_api_error(error))
                raise
            finally:
                self._log.note(
                    self._now_ns(), call.caller, about, reason=_reason(road), detail=detail, outcome=outcome, must=False
                )

        return answer

    def start(self, call: Call) -> dict[str, str]:
        """End what keeps entries from opening and waits for a person."""
        self._ask(Action.RESUME, call, "start")
        return {"status": "entries resume" if self._is_alive() else "entries resume at the next start of the process"}

    def stop(self, call: Call) -> dict[str, str]:
        """Halt entries; positions are still reduced and closed."""
        self._ask(Action.HALT, call, "stop")
        return {"status": "no more entries will occur from now on; positions keep their stops and exits. "
                          "Use `start` to resume"}

    def reload(self, _call: Call) -> dict[str, str]:
        """Say that there is nothing to reload: settings are read as they change, and a halt ends by `start`."""
        return {"status": "settings are read again as they change; a halt stays until `start`"}

    def force_exit(self, call: Call) -> dict[str, str]:
        """Ask the running process to close one trade, or all."""
        order: ForceExit = call.body
        if order.amount is not None or (order.ordertype or "market") != "market":
            raise ApiError(400, "forceexit: a trade is closed whole and at market; leave `amount` and `ordertype` out")
        self._need_alive("a trade is closed by its process alone; to close everything without one, use STOP "
                         "(POST /api/v1/flatten)")
        one = str(order.tradeid)
        wanted = [one] if one != _ALL else [str(trade["trade_id"]) for trade in self._trades.open()]
        for held in [self._trades.held(number) for number in wanted]:
            self._hand_over(call, held.symbol, Side(held.side), closes=True)
        return {"result": f"Created exit orders for {f'trade {one}' if one != _ALL else 'all open trades'}."}

    def force_enter(self, call: Call) -> dict[str, Any]:
        """Ask the running process to open a position; the trade once it is filled. ApiError where it is refused."""
        order: ForceEnter = call.body
        symbol, side = symbol_of(order.pair), order.side.strip().upper()
        if symbol not in self._view.config().symbols:
            traded = ", ".join(map(pair_of, self._view.config().symbols))
            raise ApiError(400, f"pair = {brief(order.pair)}: the run does not trade it; it trades {traded}")
        if side not in [one.value for one in Side]:
            raise ApiError(400, f"side = {brief(order.side)}: must be long or short")
        if (order.ordertype or "market") != "market":
            raise ApiError(400, f"ordertype = {brief(order.ordertype)}: entries go to market, or rest as the run's "
                                "settings say; leave it out")
        self._need_alive("an entry is for a running one; start it first")
        leverage = 1.0 if order.leverage is None else order.leverage
        qty = self._qty(order, symbol, leverage)
        name = self._hand_over(call, symbol, Side(side), qty=qty, leverage=leverage)
        return self._outcome(name, symbol, order.pair)

    # ---- parts -------------------------------------------------------------------------------------------------------
    def _qty(self, order: ForceEnter, symbol: str, leverage: float) -> float:
        """The quantity that the stake buys at the price given, or at the newest close."""
        stake = order.stakeamount
        if stake is None:
            raise ApiError(400, "stakeamount: is needed (USDT of margin): this program sizes its own signals alone")
        price = order.price if order.price is not None else self._candles.last(symbol)
        for key, value, least in (("stakeamount", stake, 0.0), ("price", price, 0.0), ("leverage", leverage, 1.0)):
            if not (math.isfinite(value) and value >= least and value > 0.0):
                raise ApiError(400, f"{key} = {value:g}: must be a number above 0" if least == 0.0 else
                               f"{key} = {value:g}: must be at least {least:g}")
        qty = stake * leverage / price
        if not (math.isfinite(qty) and qty > 0.0):
            raise ApiError(400, f"price = {price:g}: gives no quantity that could be traded")
        return qty

    def _hand_over(
        self, call: Call, symbol: str, side: Side, *, qty: float = 0.0, leverage: float = 1.0, closes: bool = False
    ) -> str:
        """Hand an intent to the process; its id."""
        now_ns = self._now_ns()
        source = PERSON if closes else (getattr(call.body, "entry_tag", None) or _SOURCE)
        if not source.isprintable() or len(source) > 60:
            raise ApiError(400, f"entry_tag = {brief(source)}: must be at most 60 printable characters")
        request = IntentRequest(
            intent_id=f"{PERSON}-{symbol}-{now_ns}", symbol=symbol, side=side, qty=qty, stop_price=0.0,
            leverage=leverage, closes=closes, source=source, confidence=1.0, ttl_s=_TTL_S, actor=_actor(call),
            ts_ns=now_ns,
        )
        request_intent(self._folder, request)
        return request.intent_id

    def _outcome(self, intent_id: str, symbol: str, pair: str) -> dict[str, Any]:
        """The trade that the intent became, or that it waits; ApiError with the reason where it was refused."""
        ends = time.monotonic() + _WAIT_S
        while time.monotonic() < ends:
            for trade in self._trades.open():
                if trade["pair"] == pair_of(symbol) and trade["quantum_trader_id"] == intent_id:
                    return trade
            refused = self._view.rows("select reason from failures where intent_id = ? limit 1", [intent_id])
            if refused:
                raise ApiError(409, f"{pair}: was not entered: {refused[0]['reason']}")
            time.sleep(_LOOK_S)
        return {"status": f"the entry into {pair} was handed over and nothing has come of it yet; follow it as "
                          f"{intent_id}"}

    def _ask(self, action: Action, call: Call, road: str) -> None:
        ask(self._folder, OperatorRequest(
            action=action, reason=_reason(road), actor=_actor(call), ts_ns=self._now_ns()
        ))

    def _need_alive(self, remedy: str) -> None:
        if not self._is_alive():
            raise ApiError(409, f"no process runs on {self._folder.name}: {remedy}")

    def _is_alive(self) -> bool:
        return self._view.reader.fresh_status().alive


def _reason(road: str) -> str:
    return f"{road.partition('/')[0]} by a freqtrade client"


def _actor(call: Call) -> str:
    return f"{call.caller.name} over the API"


