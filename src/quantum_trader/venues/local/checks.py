"""The checks of an order before it reaches the paper venue, in the order and with the codes of Binance."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from quantum_trader.domain.instrument import Instrument, round_to
from quantum_trader.venues.local.api_errors import VenueApiError
from quantum_trader.venues.local.orders import CONDITIONAL, Order, OrderTicket

if TYPE_CHECKING:
    from quantum_trader.venues.local.exchange import Exchange

MAX_QTY: Final = 1e9
PRICE_BAND: Final = 0.15  # how far beyond the mark a limit may be on the side that would cross the book
_GRID_TOLERANCE: Final = 1e-6


def decimals_of(increment: float) -> int:
    """Return the decimals of a tick or step: 0.001 has three."""
    exponent = Decimal(repr(increment)).normalize().as_tuple().exponent
    return max(0, -int(exponent))


def price_precision(instrument: Instrument) -> int:
    """Return the decimals a price may have; one more than the tick, as usual at Binance."""
    return decimals_of(instrument.tick_size) + 1


def qty_precision(instrument: Instrument) -> int:
    """Return the decimals a quantity may have."""
    return decimals_of(instrument.step_size)


def check_order(exchange: Exchange, index: int, ticket: OrderTicket, amended: Order | None = None) -> None:
    """Raise VenueApiError where a regular order is refused."""
    instrument = exchange.instruments[index]
    if ticket.type in CONDITIONAL:
        raise VenueApiError(-4120)
    if ticket.type not in ("MARKET", "LIMIT"):
        raise VenueApiError(-1116)
    if ticket.close_position:
        raise VenueApiError(-4136, message=f"Target strategy invalid for orderType {ticket.type},closePosition true")
    _check_symbol(exchange, index, ticket)
    _check_qty(instrument, ticket.qty)
    if ticket.type == "LIMIT":
        _check_price(instrument, ticket.price, "price")
        _check_band(ticket, float(exchange.last[index]))
    if amended is None and any(order.ticket.client_id == ticket.client_id for order in exchange.open_orders()):
        raise VenueApiError(-4116)
    if ticket.type != "LIMIT" or ticket.tif not in ("GTX", "FOK"):
        return
    at_once = exchange.source.fillable(index, ticket.sign, ticket.price)
    if ticket.tif == "GTX" and at_once > 0.0:
        raise VenueApiError(-5022)
    if ticket.tif == "FOK" and at_once < ticket.qty:
        raise VenueApiError(-5021)


def check_algo(exchange: Exchange, index: int, ticket: OrderTicket) -> None:
    """Raise VenueApiError where a conditional order is refused; margin is checked only when it triggers."""
    instrument, last = exchange.instruments[index], float(exchange.last[index])
    if ticket.type not in CONDITIONAL:
        raise VenueApiError(-1116)
    _check_symbol(exchange, index, ticket)
    _check_algo_qty(exchange, index, ticket)
    if ticket.type == "TRAILING_STOP_MARKET":
        if not 0.1 <= ticket.callback_rate <= 20.0:
            raise VenueApiError(-1130, "callbackRate")
    else:
        _check_price(instrument, ticket.trigger_price, "triggerPrice")
    if ticket.type in ("STOP", "TAKE_PROFIT") and ticket.price_match == "NONE":
        _check_price(instrument, ticket.price, "price")
    waiting = exchange.open_algos()
    if any(algo.ticket.client_id == ticket.client_id for algo in waiting):
        raise VenueApiError(-4116)
    if len(waiting) >= exchange.settings.max_algo_orders:
        raise VenueApiError(-4045)
    stop = ticket.type in ("STOP", "STOP_MARKET")
    rising = stop == (ticket.sign > 0)
    trailing = ticket.type == "TRAILING_STOP_MARKET"
    if not trailing and (last >= ticket.trigger_price if rising else last <= ticket.trigger_price):
        raise VenueApiError(-2021)


def _check_algo_qty(exchange: Exchange, index: int, ticket: OrderTicket) -> None:
    instrument, held = exchange.instruments[index], exchange.account.holding(index).qty
    if ticket.close_position:
        if ticket.qty or ticket.reduce_only:
            raise VenueApiError(-1106, "quantity" if ticket.qty else "reduceOnly")
        if ticket.type not in ("STOP_MARKET", "TAKE_PROFIT_MARKET"):
            told = f"Target strategy invalid for orderType {ticket.type},closePosition true"
            raise VenueApiError(-4136, message=told)
        if any(
            algo.ticket.close_position and algo.ticket.side == ticket.side
            and ("STOP" in algo.ticket.type) == ("STOP" in ticket.type)
            for algo in exchange.open_algos(ticket.symbol)
        ):
            raise VenueApiError(-4130)
        return
    _check_qty(instrument, ticket.qty)
    if ticket.reduce_only and ticket.sign * held >= 0.0:
        raise VenueApiError(-2022)
    price = ticket.price or ticket.trigger_price or float(exchange.last[index])
    if not ticket.reduce_only and ticket.qty * price < instrument.min_notional * (1.0 - 1e-9):
        raise VenueApiError(-4164, f"{instrument.min_notional:g}")


def _check_symbol(exchange: Exchange, index: int, ticket: OrderTicket) -> None:
    if ticket.side not in ("BUY", "SELL"):
        raise VenueApiError(-1117)
    if exchange.market.delisted[index]:
        raise VenueApiError(-4141)
    if not exchange.market.trading[index] or float(exchange.last[index]) <= 0.0:
        raise VenueApiError(-1122)


def _check_qty(instrument: Instrument, qty: float) -> None:
    if not qty > 0.0:
        raise VenueApiError(-4003)
    if qty > MAX_QTY:
        raise VenueApiError(-4005)
    if _finer(qty, qty_precision(instrument)):
        raise VenueApiError(-1111)
    if abs(qty - round_to(qty, instrument.step_size)) > _GRID_TOLERANCE * instrument.step_size:
        raise VenueApiError(-4023)
    if qty < instrument.min_qty * (1.0 - 1e-12):
        raise VenueApiError(-4004)


def _check_price(instrument: Instrument, price: float, name: str) -> None:
    if not price > 0.0:
        raise VenueApiError(-1102, name)
    if _finer(price, price_precision(instrument)):
        raise VenueApiError(-1111)
    if abs(price - round_to(price, instrument.tick_size)) > _GRID_TOLERANCE * instrument.tick_size:
        raise VenueApiError(-4014)


def _check_band(ticket: OrderTicket, mark: float) -> None:
    if ticket.sign > 0 and ticket.price > mark * (1.0 + PRICE_BAND):
        raise VenueApiError(-4016, f"{mark * (1.0 + PRICE_BAND):g}")
    if ticket.sign < 0 and ticket.price < mark * (1.0 - PRICE_BAND):
        raise VenueApiError(-4024, f"{mark * (1.0 - PRICE_BAND):g}")


def _finer(value: float, decimals: int) -> bool:
    """Whether *value* has more than *decimals* decimals."""
    return abs(value - round(value, decimals)) > 1e-12 * max(1.0, abs(value))
