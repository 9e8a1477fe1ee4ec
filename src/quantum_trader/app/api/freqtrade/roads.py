"""The rows of freqtrade's REST shape: ``/freqtrade/api/v1``."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec

from quantum_trader import __version__
from quantum_trader.app.api.access import Access
from quantum_trader.app.api.endpoints import Call, Endpoint, Lane
from quantum_trader.app.api.errors import ApiError
from quantum_trader.app.api.freqtrade.candles import MOST as MOST_CANDLES
from quantum_trader.app.api.freqtrade.candles import Candles
from quantum_trader.app.api.freqtrade.control import Controls, ForceEnter, ForceExit
from quantum_trader.app.api.freqtrade.facts import RunView
from quantum_trader.app.api.freqtrade.locks import LockOrders, LockRow, Locks
from quantum_trader.app.api.freqtrade.machine import MOST_LINES, config_answer, health_answer, load_answer, log_answer
from quantum_trader.app.api.freqtrade.sessions import ACCESS, REFRESH, Sessions
from quantum_trader.app.api.freqtrade.trade_results import TradeResults
from quantum_trader.app.api.freqtrade.trades import MOST, Trades
from quantum_trader.app.api.freqtrade.words import PREFIX, pair_of
from quantum_trader.app.api.reader import RunReader
from quantum_trader.app.api.tokens import Role
from quantum_trader.domain.ordered_sum import ordered_sum

TAG: Final = "freqtrade"
FreqtradeAnswer = dict[str, Any]
_STATUS: Final = {"status": "pong"}
_PERIODS: Final = {"daily": (7, "days"), "weekly": (4, "weeks"), "monthly": (3, "months")}


class TradesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which trades that have ended."""

    limit: Annotated[int, msgspec.Meta(ge=1, description=f"How many; at most {MOST} come.")] = MOST
    offset: Annotated[int, msgspec.Meta(ge=0, le=1 << 40, description="How many to leave out.")] = 0
    order_by_id: Annotated[bool, msgspec.Meta(description="By number; else the newest first.")] = True


class PairQuery(msgspec.Struct, frozen=True, kw_only=True):
    """One pair, or all."""

    pair: Annotated[str, msgspec.Meta(max_length=60)] = ""


class PeriodQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How many days, weeks or months; 0: as freqtrade does without it."""

    timescale: Annotated[int, msgspec.Meta(ge=0, le=3650)] = 0


class LogQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How many lines."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_LINES)] = MOST_LINES


class CandlesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The newest candles of a pair."""

    pair: Annotated[str, msgspec.Meta(max_length=60)]
    timeframe: Annotated[str, msgspec.Meta(max_length=10)] = ""
    limit: Annotated[int, msgspec.Meta(ge=0, le=MOST_CANDLES, description="0: 500.")] = 0


class CandlesOrder(CandlesQuery, frozen=True, kw_only=True):
    """The same, with the columns wanted beside date, prices and volume."""

    columns: list[str] = []


class BlacklistOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Pairs that a client wants on the blacklist."""

    blacklist: list[str]


class LockList(msgspec.Struct, frozen=True, kw_only=True):
    """Locks, by pair."""

    lock_count: int
    locks: list[LockRow]


class Freqtrade:
    """freqtrade's roads to the run in one folder."""

    def __init__(self, reader: RunReader, access: Access, now_ns: Callable[[], int] = time.time_ns) -> None:
        self.sessions = Sessions(access, now_ns)
        self.view = RunView(reader)
        self.trades = Trades(reader, self.view)
        self._money = TradeResults(self.view, self.trades)
        self._candles = Candles(self.view)
        self._locks = Locks(self.view, now_ns)
        self._controls = Controls(self.view, self.trades, self._candles, now_ns)

    def endpoints(self) -> list[Endpoint]:
        """Every road."""
        return [*self._logins(), *self._reading(), *self._results(), *self._changes()]

    # ---- the rows ----------------------------------------------------------------------------------------------------
    def _road(
        self, road: str, summary: str, run: Callable[[Call], Any], example: Any, *, answers: Any = FreqtradeAnswer,
        method: str = "GET", role: Role | None = Role.VIEWER, query: type[msgspec.Struct] | None = None,
        body: Any = None, body_example: Any = None, is_read: bool = False, lane: Lane | None = None,
    ) -> Endpoint:
        return Endpoint(
            path=f"{PREFIX}/{road}", summary=summary, tag=TAG, answers=answers, run=run, example=example, method=method,
            role=role, query=query, body=body, body_example=body_example, is_read=is_read, login=self.sessions.caller,
            lane=lane,
        )

    def _change(self, road: str, summary: str, run: Callable[[Call], Any], example: Any, **more: Any) -> Endpoint:
        method = more.pop("method", "POST")
        return self._road(
            road, summary, self._controls.recorded(road, method, run), example, method=method, role=Role.TRADER, **more
        )

    def _logins(self) -> list[Endpoint]:
        pair = {"access_token": "eyJ...", "refresh_token": "eyJ..."}
        refresh = self._road("token/refresh", "A new access token for a refresh token (Bearer).", self._refresh,
                             {"access_token": "eyJ..."}, method="POST", is_read=True)
        return [
            self._road("ping", "Whether the server answers.", lambda _: _STATUS, _STATUS, role=None,
                       lane=Lane.URGENT),
            self._road("token/login", "Log in by HTTP Basic: name and token; answers signed tokens.", self._login, pair,
                       method="POST", is_read=True),
            msgspec.structs.replace(
                refresh, login=lambda headers, address: self.sessions.by_session(
                    headers.get("authorization", "").partition(" ")[2], REFRESH, address
                ),
            ),
        ]

    def _reading(self) -> list[Endpoint]:
        view, trades = self.view, self.trades
        one = {"trade_id": 29, "pair": "BTC/USDT:USDT", "is_open": True}
        return [
            self._road("version", "The program's version.", lambda _: {"version": __version__}, {"version": "0.1.0"}),
            self._road("show_config", "What trading takes place.", lambda _: config_answer(view),
                       {"bot_name": "QuantumTrader", "state": "running"}),
            self._road("status", "Open trades.", lambda _: trades.open(), [one], answers=list[FreqtradeAnswer]),
            self._road("count", "How many trades are open.", lambda _: self._count(),
                       {"current": 2, "max": 8, "total_stake": 520.0}),
            self._road("trades", "Trades that have ended, in pages.", self._page,
                       {"trades": [], "trades_count": 0, "offset": 0, "total_trades": 0}, query=TradesQuery),
            self._road("trade/{trade_id}", "One trade, open or ended.",
                       lambda call: trades.one(call.path["trade_id"]), one),
            self._road("whitelist", "The pairs that the run trades.", lambda _: self._whitelist(),
                       {"whitelist": ["BTC/USDT:USDT"], "length": 1, "method": ["StaticPairList"]}),
            self._road("blacklist", "The pairs that the policy in force disallows, enforced or observed.",
                       lambda _: self._blacklist(), {"blacklist": [], "length": 0, "method": ["Policy"]}),
            self._road("locks", "Pairs that entries are kept out of until a time.", lambda _: self._locks.told(),
                       _LOCKS, answers=LockList),
            self._road("pair_candles", "Candles of a pair, with entries and exits.", self._bars, _CANDLES,
                       query=CandlesQuery),
            self._road("pair_candles", "The same, with the columns wanted.", self._bars, _CANDLES, method="POST",
                       body=CandlesOrder, body_example={"pair": "BTC/USDT:USDT", "timeframe": "1h"}, is_read=True),
            self._road("plot_config", "Nothing is plotted beside the candles.", lambda _: _PLOT, _PLOT),
            self._road("logs", "The newest records of what happened.",
                       lambda call: log_answer(view, call.query.limit), {"log_count": 0, "logs": []}, query=LogQuery),
            self._road("sysinfo", "Load of the cores and of the memory, in percent.", lambda _: load_answer(),
                       {"cpu_pct": [12.0], "ram_pct": 40.1}),
            self._road("health", "When the run last showed life.", lambda _: health_answer(view),
                       {"last_process": "2019-02-24 16:30:00"}),
        ]

    def _results(self) -> list[Endpoint]:
        money, line = self._money, {"profit_pct": 1.2, "profit_abs": 31.0, "count": 4}
        tagged: list[tuple[str, str, Callable[[str], Any]]] = [
            ("entries", "What each model or source has earned.", money.tags),
            ("exits", "What each reason to leave has earned.", money.exits),
            ("mix_tags", "What each of both together has earned.", money.mixed),
        ]
        return [
            self._road("profit", "What was earned.", lambda _: money.profit(), {"profit_closed_coin": 120.5}),
            self._road("balance", "The account.", lambda _: money.balance(), {"total": 10120.5, "stake": "USDT"}),
            self._road("performance", "What each pair has earned.", lambda _: money.performance(),
                       [{"pair": "BTC/USDT:USDT", **line}], answers=list[FreqtradeAnswer]),
            self._road("stats", "Wins and losses by reason to leave, and how long trades were held.",
                       lambda _: money.stats(), {"exit_reasons": {}, "durations": {}}),
            *(self._road(road, text, _of_pair(run), [line], answers=list[FreqtradeAnswer], query=PairQuery)
              for road, text, run in tagged),
            *(self._road(road, f"Profit of the last {text}.", self._period(road, usual),
                         {"data": [], "stake_currency": "USDT"}, query=PeriodQuery)
              for road, (usual, text) in _PERIODS.items()),
        ]

    def _changes(self) -> list[Endpoint]:
        controls, done = self._controls, {"status": "..."}
        entry = {"pair": "BTC/USDT:USDT", "side": "long", "stakeamount": 50.0, "leverage": 2.0}
        return [
            self._change("locks", "Keep entries out of pairs until a time.", self._locks.add, _LOCKS, answers=LockList,
                         body=LockOrders, body_example=[
                             {"pair": "BTC/USDT:USDT", "until": "2030-03-30 16:00:00Z"},
                         ]),
            self._change("locks/{lock_id}", "End a lock.", self._locks.end, _LOCKS, answers=LockList, method="DELETE"),
            self._change("blacklist", "Refused: the policy decides which pairs may be traded.", _no_blacklist, {},
                         body=BlacklistOrder, body_example={"blacklist": ["BTC/USDT:USDT"]}),
            self._change("start", "Resume entries.", controls.start, done),
            self._change("stop", "Halt entries; positions are still reduced and closed.", controls.stop, done,
                         lane=Lane.URGENT),
            self._change("stopbuy", "The same as stop.", controls.stop, done, lane=Lane.URGENT),
            self._change("stopentry", "The same as stop.", controls.stop, done, lane=Lane.URGENT),
            self._change("pause", "The same as stop.", controls.stop, done, lane=Lane.URGENT),
            self._change("reload_config", "Nothing: settings are read as they change.", controls.reload, done),
            *(self._change(road, "Close a trade at market, or all of them.", controls.force_exit,
                           {"result": "Created exit orders for trade 29."}, body=ForceExit,
                           body_example={"tradeid": "29"}, lane=Lane.URGENT) for road in ("forceexit", "forcesell")),
            *(self._change(road, "Open a position; it passes every gate and limit.", controls.force_enter,
                           {"trade_id": 29}, body=ForceEnter, body_example=entry)
              for road in ("forceenter", "forcebuy")),
        ]

    # ---- the answers -------------------------------------------------------------------------------------------------
    def _login(self, call: Call) -> dict[str, str]:
        return {f"{kind}_token": self.sessions.made(call.caller, kind) for kind in (ACCESS, REFRESH)}

    def _refresh(self, call: Call) -> dict[str, str]:
        return {"access_token": self.sessions.made(call.caller, ACCESS)}

    def _count(self) -> FreqtradeAnswer:
        held = self.trades.open()
        return {"current": len(held), "max": self.view.config().max_open_trades,
                "total_stake": ordered_sum(one["stake_amount"] for one in held)}

    def _page(self, call: Call) -> FreqtradeAnswer:
        asked = call.query
        return self.trades.page(asked.limit, asked.offset, by_number=asked.order_by_id)

    def _whitelist(self) -> FreqtradeAnswer:
        pairs = [pair_of(symbol) for symbol in self.view.config().symbols]
        return {"whitelist": pairs, "length": len(pairs), "method": ["StaticPairList"]}

    def _blacklist(self) -> FreqtradeAnswer:
        policy = self.view.rows("select disallowed_symbols from policies order by ts_ns desc, seq desc limit 1")
        names = _names_in(policy[0]["disallowed_symbols"]) if policy else []
        pairs = [pair_of(symbol) for symbol in names]
        return {"blacklist": pairs, "blacklist_expanded": pairs, "errors": {}, "length": len(pairs),
                "method": ["Policy"]}

    def _bars(self, call: Call) -> FreqtradeAnswer:
        asked = call.query if call.query is not None else call.body
        columns = asked.columns if isinstance(asked, CandlesOrder) else None
        return self._candles.answer(asked.pair, asked.timeframe, asked.limit, columns)

    def _period(self, road: str, usual: int) -> Callable[[Call], FreqtradeAnswer]:
        return lambda call: self._money.periods(road, call.query.timescale or usual)


def _no_blacklist(_call: Call) -> FreqtradeAnswer:
    raise ApiError(409, "blacklist: the policy decides which pairs may be traded; lock a pair to keep entries out")


def _of_pair(run: Callable[[str], Any]) -> Callable[[Call], Any]:
    return lambda call: run(call.query.pair)


def _names_in(value: Any) -> list[str]:
    """The symbols of a mapping from symbol to reason, as SQL gives it."""
    found = msgspec.json.decode(value) if isinstance(value, str | bytes | msgspec.Raw) else value
    return sorted(found or {})


_LOCKS: Final[FreqtradeAnswer] = {"lock_count": 0, "locks": []}
_PLOT: Final[FreqtradeAnswer] = {"main_plot": {}, "subplots": {}}
_CANDLES: Final[FreqtradeAnswer] = {
    "pair": "BTC/USDT:USDT", "timeframe": "30m", "columns": ["date", "open"], "data": [],
}


