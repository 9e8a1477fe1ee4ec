"""Trade with NautilusTrader's adapter: reconcile what is there, then a protected long that is stopped out."""
# ruff: noqa: T201

import json
import os
import threading
from decimal import Decimal

from nautilus_trader.adapters.binance import (
    BINANCE,
    BinanceAccountType,
    BinanceDataClientConfig,
    BinanceExecClientConfig,
    BinanceLiveDataClientFactory,
    BinanceLiveExecClientFactory,
)
from nautilus_trader.config import (
    InstrumentProviderConfig,
    LiveExecEngineConfig,
    LoggingConfig,
    StrategyConfig,
    TradingNodeConfig,
)
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.enums import OrderSide, TriggerType
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy

ETHER = InstrumentId.from_str("ETHUSDT-PERP.BINANCE")
BITCOIN = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")
PATIENCE_S = 90.0


def tell(step, **what):
    """Print one step."""
    print(json.dumps({"step": step, **what}), flush=True)


class Protected(Strategy):
    """Tell what was reconciled; buy at the first quote, protect it, and stop the node once it is flat."""

    def __init__(self, done):
        super().__init__(StrategyConfig(external_order_claims=[BITCOIN]))
        self.done = done
        self.entered = False
        self.stop_id = None
        self.bars = 0

    def on_start(self):
        """Tell what was reconciled, and listen to quotes and trades."""
        orders = self.cache.orders_open(instrument_id=BITCOIN)
        positions = self.cache.positions_open(instrument_id=BITCOIN)
        tell(
            "reconciled",
            orders=sorted((order.type_string(), str(order.quantity)) for order in orders),
            positions=[(position.side.name, str(position.quantity)) for position in positions],
            wallet=float(self.portfolio.account(ETHER.venue).balance_total(USDT).as_decimal()),
        )
        self.subscribe_quote_ticks(ETHER)
        self.subscribe_trade_ticks(ETHER)

    def on_quote_tick(self, tick):
        """Buy at the first quote."""
        if not self.entered:
            self.entered = True
            tell("quoted", bid=float(tick.bid_price), ask=float(tick.ask_price))
            instrument = self.cache.instrument(ETHER)
            self.submit_order(self.order_factory.market(ETHER, OrderSide.BUY, instrument.make_qty(Decimal("0.5"))))

    def on_order_filled(self, event):
        """Protect the entry; a sale is the end."""
        if event.instrument_id != ETHER:
            return
        if event.order_side == OrderSide.BUY:
            instrument = self.cache.instrument(ETHER)
            tell("entry", price=float(event.last_px), qty=float(event.last_qty))
            stop = self.order_factory.stop_market(
                ETHER, OrderSide.SELL, instrument.make_qty(Decimal("0.5")),
                trigger_price=instrument.make_price(float(event.last_px) * 0.99),
                trigger_type=TriggerType.LAST_PRICE, reduce_only=True,
            )
            self.stop_id = stop.client_order_id
            self.submit_order(stop)
            return
        mine = event.client_order_id == self.stop_id
        tell("stopped", price=float(event.last_px), qty=float(event.last_qty), mine=mine)

    def on_order_accepted(self, event):
        """Who runs the market lets it fall when the stop waits."""
        if event.client_order_id == self.stop_id:
            tell("protected")

    def on_position_closed(self, event):
        """Flat: the node ends."""
        if event.instrument_id == ETHER:
            tell("flat", profit=float(event.realized_pnl.as_decimal()))
            self.done()


def node_of():
    """Return the node, pointed at the venue: one address for HTTP, one for all sockets."""
    shared = {
        "api_key": os.environ["VENUE_KEY"], "api_secret": os.environ["VENUE_SECRET"],
        "account_type": BinanceAccountType.USDT_FUTURES, "base_url_http": os.environ["VENUE_URL"],
        "base_url_ws": os.environ["VENUE_WS"], "instrument_provider": InstrumentProviderConfig(load_all=True),
    }
    node = TradingNode(config=TradingNodeConfig(
        trader_id="TESTER-001", logging=LoggingConfig(log_level="OFF", log_level_file="INFO",
                                                      log_directory=os.environ["NODE_LOGS"]),
        exec_engine=LiveExecEngineConfig(reconciliation=True),
        data_clients={BINANCE: BinanceDataClientConfig(**shared)},
        exec_clients={BINANCE: BinanceExecClientConfig(**shared, base_url_ws_stream=os.environ["VENUE_WS"])},
        timeout_connection=30.0, timeout_reconciliation=30.0, timeout_disconnection=5.0, timeout_post_stop=1.0,
    ))
    node.add_data_client_factory(BINANCE, BinanceLiveDataClientFactory)
    node.add_exec_client_factory(BINANCE, BinanceLiveExecClientFactory)
    return node


node = node_of()
loop = node.get_event_loop()
node.trader.add_strategy(Protected(lambda: loop.call_soon_threadsafe(node.stop)))
node.build()
watchdog = threading.Timer(PATIENCE_S, lambda: loop.call_soon_threadsafe(node.stop))
watchdog.daemon = True
watchdog.start()
try:
    node.run()
finally:
    watchdog.cancel()
    node.dispose()
