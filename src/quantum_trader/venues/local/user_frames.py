"""The user stream's events in Binance's JSON."""

from __future__ import annotations

from typing import Any

from quantum_trader.venues.local.coin_fees import COIN
from quantum_trader.venues.local.orders import AccountEvent, AlgoEvent, ConfigEvent, ExecutionReport, UserEvent
from quantum_trader.venues.local.wire import Json, Wire, ms, usdt


def user_frames(wire: Wire, event: UserEvent, listen_now_ms: int) -> list[Json]:
    """Return the frames of *event*, in order. *listen_now_ms* is the event time E; T is the venue's time."""
    if isinstance(event, ExecutionReport):
        found = [order_frame(wire, event, listen_now_ms)]
        return [_trade_lite(wire, event, listen_now_ms), *found] if event.execution == "TRADE" else found
    if isinstance(event, AlgoEvent):
        return [algo_frame(wire, event, listen_now_ms)]
    if isinstance(event, AccountEvent):
        return [account_frame(wire, event, listen_now_ms)]
    return [config_frame(event, listen_now_ms)]


def order_frame(wire: Wire, event: ExecutionReport, now_ms: int) -> Json:
    """ORDER_TRADE_UPDATE."""
    form, trade = wire.format_of(event.symbol), event.trade
    order: dict[str, Any] = {
        "s": event.symbol, "c": event.client_id, "S": event.side, "o": event.type, "f": event.tif,
        "q": form.qty(event.qty), "p": form.price(event.price), "ap": form.price(event.average),
        "sp": form.price(event.trigger_price), "x": event.execution, "X": event.status, "i": event.order_id,
        "l": form.qty(trade.qty if trade else 0.0), "z": form.qty(event.filled),
        "L": form.price(trade.price if trade else 0.0), "n": usdt(trade.fee if trade else 0.0),
        "N": trade.fee_asset if trade else "USDT",
        "T": ms(event.ts_ns), "t": trade.trade_id if trade else 0, "b": "0", "a": "0",
        "m": bool(trade and trade.maker), "R": event.reduce_only, "wt": event.working_type, "ot": event.orig_type,
        "ps": "BOTH", "cp": event.close_position, "rp": usdt(trade.realised if trade else 0.0), "pP": False,
        "si": 0, "ss": 0, "V": "EXPIRE_MAKER", "pm": event.price_match, "gtd": event.good_till_ms, "er": event.expiry,
    }
    if trade is None:
        del order["n"], order["N"]
    return {"e": "ORDER_TRADE_UPDATE", "T": ms(event.ts_ns), "E": now_ms, "o": order}


def _trade_lite(wire: Wire, event: ExecutionReport, now_ms: int) -> Json:
    """TRADE_LITE: the short form of a fill, sent before everything else."""
    form, trade = wire.format_of(event.symbol), event.trade
    assert trade is not None
    return {
        "e": "TRADE_LITE", "E": now_ms, "T": ms(event.ts_ns), "s": event.symbol, "q": form.qty(event.qty),
        "p": form.price(event.price), "m": trade.maker, "c": event.client_id, "S": event.side,
        "L": form.price(trade.price), "l": form.qty(trade.qty), "t": trade.trade_id, "i": event.order_id,
    }


def account_frame(wire: Wire, event: AccountEvent, now_ms: int) -> Json:
    """ACCOUNT_UPDATE, with a position where the event names a symbol."""
    positions = []
    if event.symbol:
        form = wire.format_of(event.symbol)
        isolated = wire.exchange.isolated[wire.exchange.row_of(event.symbol)]
        positions = [{
            "s": event.symbol, "pa": form.qty(event.qty), "ep": form.price(event.entry),
            "bep": form.price(event.entry), "cr": usdt(event.realised_total), "up": usdt(event.unrealised),
            "mt": "isolated" if isolated else "cross", "iw": usdt(event.margin if isolated else 0.0), "ps": "BOTH",
            "ma": "USDT",
        }]
    balances = [
        {"a": "USDT", "wb": usdt(event.wallet), "cw": usdt(event.free_wallet), "bc": usdt(event.change)}
    ]
    if event.coin_wallet is not None:
        held = usdt(event.coin_wallet)
        balances.append({"a": COIN, "wb": held, "cw": held, "bc": usdt(event.coin_change)})
    return {
        "e": "ACCOUNT_UPDATE", "T": ms(event.ts_ns), "E": now_ms,
        "a": {"m": event.reason, "B": balances, "P": positions},
    }


def algo_frame(wire: Wire, event: AlgoEvent, now_ms: int) -> Json:
    """ALGO_UPDATE."""
    ticket, form = event.ticket, wire.format_of(event.ticket.symbol)
    order: dict[str, Any] = {
        "caid": ticket.client_id, "aid": event.algo_id, "at": "CONDITIONAL", "o": ticket.type, "s": ticket.symbol,
        "S": ticket.side, "ps": "BOTH", "f": ticket.tif, "q": form.qty(ticket.qty), "X": event.status,
        "ai": str(event.actual_id or ""), "ap": form.price(event.average), "aq": form.qty(event.filled),
        "act": event.actual_type or "0", "tp": form.price(ticket.trigger_price), "p": form.price(ticket.price),
        "V": "EXPIRE_MAKER", "wt": ticket.working_type, "pm": ticket.price_match, "cp": ticket.close_position,
        "pP": ticket.price_protect, "R": ticket.reduce_only or ticket.close_position, "tt": ms(event.triggered_ns),
        "gtd": ticket.good_till_ms, "rm": event.reason,
    }
    return {"e": "ALGO_UPDATE", "T": ms(event.ts_ns), "E": now_ms, "o": order}


def config_frame(event: ConfigEvent, now_ms: int) -> Json:
    """ACCOUNT_CONFIG_UPDATE."""
    frame: Json = {"e": "ACCOUNT_CONFIG_UPDATE", "E": now_ms, "T": ms(event.ts_ns)}
    if event.multi_assets is not None:
        return frame | {"ai": {"j": event.multi_assets}}
    return frame | {"ac": {"s": event.symbol, "l": event.leverage}}


def expired_frame(listen_key: str, now_ms: int) -> Json:
    """listenKeyExpired."""
    return {"e": "listenKeyExpired", "E": now_ms, "listenKey": listen_key}
