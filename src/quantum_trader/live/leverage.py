"""The leverage of each symbol at the venue, as it was read back; an opening relies on nothing else."""

from __future__ import annotations

import asyncio

from quantum_trader.domain.instrument import Instrument
from quantum_trader.engine.ports import Rejection
from quantum_trader.engine.settings import EngineSettings
from quantum_trader.live.context import LiveContext
from quantum_trader.live.timing import UNREACHED


class LeverageKeeper:
    """Sets leverages, reads them back, and lets an answer expire."""

    def __init__(self, context: LiveContext) -> None:
        self._context, self._venue, self._engine = context, context.venue, context.engine
        self._timing, self._counts = context.timing, context.counts
        self._index = {symbol: index for index, symbol in enumerate(context.symbols)}
        self._held: dict[str, tuple[float, float]] = {}  # as read back, and when on the loop's clock
        self._ahead: dict[str, asyncio.Event] = {}  # symbols whose leverage is being set ahead of an opening

    def is_known(self, symbol: str, wanted: float) -> bool:
        """Whether *wanted* was read back for *symbol* within ``leverage_s``."""
        held, read_s = self._held.get(symbol, (0.0, 0.0))
        return held == wanted and asyncio.get_running_loop().time() - read_s <= self._timing.leverage_s

    def is_ready(self, symbol: str, wanted: float) -> bool:
        """Whether an opening may go at once: *wanted* is known and no other leverage is being set."""
        return symbol not in self._ahead and self.is_known(symbol, wanted)

    def held(self, symbol: str) -> float:
        """The leverage that was last read back for *symbol*; 0 when none was."""
        return self._held.get(symbol, (0.0, 0.0))[0]

    def note(self, symbol: str, leverage: float) -> None:
        """Note a leverage that the venue reported."""
        self._held[symbol] = (leverage, asyncio.get_running_loop().time())

    def forget(self) -> None:
        """Forget every leverage: it may have been changed while the account stream was down."""
        self._held.clear()

    async def ensure(self, symbol: str, wanted: float) -> str:
        """Set *symbol* to *wanted* if need be; returns why an opening may not go, empty when it may."""
        if symbol in self._ahead:
            await self._ahead[symbol].wait()
        if not self.is_known(symbol, wanted):
            if error := await self.set(symbol, wanted):
                return f"{Rejection.UNAVAILABLE.value}: leverage could not be set ({error})"
            if (held := self._held[symbol][0]) != wanted:
                return f"LEVERAGE_MISMATCH: asked {wanted:g}, venue has {held:g}"
        return ""

    async def set(self, symbol: str, wanted: float) -> str:
        """Set a leverage and keep the one that is read back; returns why that failed, empty when it did not."""
        try:
            async with asyncio.timeout(self._timing.request_timeout_s):
                held = await self._venue.set_leverage(symbol, wanted)
        except UNREACHED as error:
            self._held.pop(symbol, None)
            return str(error) or "timeout"
        self.note(symbol, held)
        return ""

    async def set_ahead(self) -> None:
        """Set the leverage of idle symbols ahead, one by one, without end, so that openings need not wait for it."""
        pace_s = self._timing.leverage_pace_s
        while pace_s > 0.0:
            if len(self._held) < len(self._index):
                await self.read_all()
            for symbol in self._index:
                if symbol not in self._held and symbol not in self._context.involved_symbols():
                    await self._set_idle(symbol)
                    await asyncio.sleep(pace_s)
            await asyncio.sleep(self._timing.tick_s)

    async def read_all(self) -> None:
        """Read back the leverages that openings rely on, so that no opening has to wait for it."""
        asked_s = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._timing.request_timeout_s):
                leverages = await self._venue.get_leverages()
        except UNREACHED:
            self._counts["leverages not read"] += 1
            return
        for symbol, held in leverages.items():
            read_s = self._held.get(symbol, (0.0, -1.0))[1]
            if 0.0 <= read_s <= asked_s or (read_s < 0.0 and symbol in self._index and held == self._usual(symbol)):
                self._held[symbol] = (held, asked_s)

    async def _set_idle(self, symbol: str) -> None:
        """Set the leverage that openings of *symbol* usually ask for; an opening with another one sets its own."""
        over = self._ahead[symbol] = asyncio.Event()
        try:
            if await self.set(symbol, self._usual(symbol)):
                self._counts["leverage not set ahead"] += 1
        finally:
            del self._ahead[symbol]
            over.set()

    def _usual(self, symbol: str) -> float:
        """The leverage that openings of *symbol* usually ask for."""
        return usual_leverage(self._engine.settings, self._engine.instruments[self._index[symbol]])


def usual_leverage(settings: EngineSettings, instrument: Instrument) -> float:
    """The usual leverage of an opening: the configured one within the limits and the venue's first tier."""
    return float(int(min(settings.leverage, settings.limits.max_leverage, instrument.tiers[0].max_leverage)))
