"""All bots of one guard: a state folder, the markets, and a beat that keeps both current between questions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import Final

import msgspec

from quantum_trader.app.guard.bots import BotGuard, GuardSettings
from quantum_trader.app.guard.markets import ClosedBars, Markets
from quantum_trader.app.guard.modes import BOTS, ModeFile, check_bot_name
from quantum_trader.app.guard.questions import DecideQuestion, FillAnswer, FillReport, GuardAnswer
from quantum_trader.app.runs.state_dir import StateDir
from quantum_trader.domain.clock import NS_PER_SECOND, iso
from quantum_trader.domain.errors import InputError, QuantumTraderError
from quantum_trader.policy.profiles import get_active_profile

BEAT_S: Final = 15.0
EVALUATED_EVERY_NS: Final = 60 * NS_PER_SECOND  # the policy loosens by evaluations in a row, also while nobody asks
MOST_BOTS: Final = 200


class BotState(msgspec.Struct, frozen=True, kw_only=True):
    """One bot as a running guard has it."""

    bot: str
    mode: str
    halted: str  # why nothing is permitted until a person says that it is safe; empty where something may be
    profile: str
    losing_streak: int
    equity: float | None
    day_peak: float | None  # of the UTC day, in the account's currency
    is_latched: bool  # rule B1 holds trading closed
    allows_new_trades: bool
    note: str


class MarketLine(msgspec.Struct, frozen=True, kw_only=True):
    """One market as a running guard measures it."""

    symbol: str
    trend: str
    direction: str | None
    volatility: str
    newest_bar_ended: str | None  # ISO 8601, UTC
    problem: str


class ServiceState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a running guard knows."""

    time: str
    profile: str
    bots: tuple[BotState, ...]
    markets: tuple[MarketLine, ...]


class GuardService:
    """The guard of every bot in one state folder; several threads may ask at once."""

    def __init__(
        self, folder: Path, settings: GuardSettings, source: ClosedBars, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        """Hold *folder* alone and take up every bot in it. StateError where another process has it."""
        self._active = get_active_profile(None, settings.profile, directory=settings.profile_folder)
        self._state = StateDir(folder)
        self._folder, self._settings, self._now_ns = folder, settings, now_ns
        self.modes = ModeFile(folder)
        self.markets = Markets(source)
        self._lock = RLock()
        self._evaluated_ns = 0
        self._bots: dict[str, BotGuard] = {}
        for path in sorted((folder / BOTS).glob("*")):
            if path.is_dir():
                self.bot(path.name)

    @property
    def profile(self) -> str:
        """The name of the profile that every bot is held to."""
        return self._active.name

    def bot(self, name: str) -> BotGuard:
        """The guard of bot *name*, begun where there is none. InputError for a bad name, or for too many bots."""
        check_bot_name(name)
        with self._lock:
            found = self._bots.get(name)
            if found is None:
                if len(self._bots) >= MOST_BOTS:
                    raise InputError(f"bot = {name!r}: {MOST_BOTS} bots are guarded; start another guard for more")
                found = BotGuard(
                    self._folder, name, self._settings, self.modes, self.markets, self._now_ns()
                )
                self._bots[name] = found
                with suppress(InputError):  # too many: a question about one that is not watched is refused
                    self.markets.watch(list(found.symbols), self._now_ns())
            return found

    def decide(self, question: DecideQuestion) -> GuardAnswer:
        """The answer to an entry that a bot wants to make."""
        with self._lock:
            return self.bot(question.bot).decide(question, self._now_ns())

    def fill(self, report: FillReport) -> FillAnswer:
        """Count an entry or exit that a bot has made."""
        with self._lock:
            return self.bot(report.bot).fill(report, self._now_ns())

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Keep every other question waiting, for one who asks a :class:`BotGuard` itself."""
        with self._lock:
            yield

    def beat(self) -> None:
        """Take new bars, and evaluate every policy where the last time is a minute ago; to be called every BEAT_S."""
        self.markets.refresh(self._now_ns())
        with self._lock:
            now_ns = self._now_ns()
            if 0 <= now_ns - self._evaluated_ns < EVALUATED_EVERY_NS:
                return
            self._evaluated_ns = now_ns
            for bot in self._bots.values():
                bot.seal_journal(now_ns)
                try:
                    bot.mode(now_ns)
                    bot.evaluate(now_ns)
                except (QuantumTraderError, OSError):
                    continue  # the next question gets the reason

    def state(self) -> ServiceState:
        """All bots and markets now."""
        with self._lock:
            now_ns = self._now_ns()
            symbols = sorted({symbol for bot in self._bots.values() for symbol in bot.symbols})
            return ServiceState(
                time=iso(now_ns // NS_PER_SECOND * NS_PER_SECOND), profile=self._active.name,
                bots=tuple(self._bot_state(bot, now_ns) for bot in self._bots.values()),
                markets=tuple(self._market_line(symbol, now_ns) for symbol in symbols),
            )

    def _bot_state(self, bot: BotGuard, now_ns: int) -> BotState:
        try:
            mode, halted = bot.mode(now_ns).value, bot.halted
        except (QuantumTraderError, OSError) as error:
            mode, halted = "UNKNOWN", str(error)
        policy = bot.policy.get_policy()
        day, peak = bot.policy.day_peak
        return BotState(
            bot=bot.name, mode=mode, halted=halted, profile=policy.profile, losing_streak=bot.streak[0],
            equity=bot.account.equity if bot.account else None, day_peak=peak if day >= 0 else None,
            is_latched=bot.policy.latched, allows_new_trades=policy.allow_new_trades and not halted, note=policy.note,
        )

    def _market_line(self, symbol: str, now_ns: int) -> MarketLine:
        found = self.markets.state(symbol, now_ns, self._active.config)
        ended = self.markets.end_ns(symbol)
        return MarketLine(
            symbol=symbol, trend=found.trend.value if found else "UNKNOWN",
            direction=found.direction.value if found and found.direction else None,
            volatility=found.vol_level.value if found else "UNKNOWN", newest_bar_ended=iso(ended) if ended else None,
            problem=self.markets.problem(symbol),
        )

    def close(self) -> None:
        """Close every journal and release the folder."""
        with self._lock:
            for bot in self._bots.values():
                bot.close()
            self._state.close()
