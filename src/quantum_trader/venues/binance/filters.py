"""The filters in force at the venue: of the symbols that are traded, and of the others that somebody may hold."""

from __future__ import annotations

from quantum_trader.domain.errors import ConfigError, InputError
from quantum_trader.domain.instrument import Instrument
from quantum_trader.domain.trading import OrderRequest
from quantum_trader.venues.binance import parse, safety, wire
from quantum_trader.venues.binance.orders import Grid, PlainGrid


class Filters:
    """Instruments and number formats by symbol. *known* is False until they were read."""

    def __init__(self) -> None:
        self.known = False
        self._traded: dict[str, Instrument] = {}
        self._others: dict[str, Instrument] = {}
        self._grids: dict[str, Grid] = {}

    def use(self, traded: dict[str, Instrument], others: dict[str, Instrument]) -> None:
        """Put filters into force."""
        self.known, self._traded, self._others = True, traded, others
        self._grids = {symbol: Grid(instrument) for symbol, instrument in {**others, **traded}.items()}

    def update(self, info: wire.ExchangeInfo, funding_hours: dict[str, int] | None, *, with_new: bool = True) -> None:
        """Take the filters of *info* and the funding intervals; fees, tiers and symbols that it does not list stay.

        *funding_hours* lists the symbols whose interval is not 8 hours; None where the venue did not answer.
        *with_new*: take in the symbols that were listed, or became usable, since.
        """
        if with_new:
            unknown = {entry.symbol: entry for entry in info.symbols if self.get(entry.symbol) is None}
            for symbol, found in safety.usable(unknown, {}, set()).items():
                self._others[symbol], self._grids[symbol] = found, Grid(found)
        for entry in info.symbols:
            held = self._traded if entry.symbol in self._traded else self._others
            before = held.get(entry.symbol)
            if before is None:
                continue
            try:
                told = parse.instrument(
                    entry, before.tiers, maker_bps=before.maker_fee_bps, taker_bps=before.taker_fee_bps,
                    funding_hours=(
                        before.funding_interval_hours if funding_hours is None else funding_hours.get(entry.symbol, 8)
                    ),
                )
            except (ConfigError, InputError):  # the venue lists no filters: the symbol is being delisted
                continue
            if told != before:
                held[entry.symbol], self._grids[entry.symbol] = told, Grid(told)

    def get(self, symbol: str) -> Instrument | None:
        """The instrument of *symbol*, traded or not; None when the venue lists none that can be used."""
        return self._traded.get(symbol) or self._others.get(symbol)

    def instrument(self, symbol: str) -> Instrument:
        """As :meth:`get`; InputError where it returns None."""
        if (found := self.get(symbol)) is None:
            raise self.unknown(symbol)
        return found

    def unknown(self, symbol: str) -> InputError:
        """The error of a symbol that is not traded here."""
        return InputError(f"symbol = {symbol!r}: not one of those connected: {', '.join(self._traded)}")

    def takes(self, request: OrderRequest) -> bool:
        """Whether *request* may be sent: a reducing order of any symbol, an opening one of a symbol traded here."""
        return request.reduce_only or request.symbol in self._traded

    def grid(self, symbol: str) -> Grid:
        """How *symbol*'s numbers are written; in full where its filters are not known."""
        return self._grids.get(symbol) or PlainGrid()
