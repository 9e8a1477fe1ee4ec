"""Start-up checks: load instruments, and refuse unsafe accounts and keys before trading."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from quantum_trader.domain.errors import ConfigError, InputError, VenueError, VenueUnavailable
from quantum_trader.domain.instrument import Instrument, LeverageTier
from quantum_trader.market.instruments import instrument_for
from quantum_trader.venues.binance import errors, parse, wire
from quantum_trader.venues.binance.errors import VenueRefusal
from quantum_trader.venues.binance.limits import Priority, RequestBudget
from quantum_trader.venues.binance.rest import ACCOUNT_API, PRIVATE, PRIVATE_V3, PUBLIC, Rest, decoded
from quantum_trader.venues.binance.rows import all_rows, readable_rows, with_readable

_AT_ONCE: Final = 4  # requests that set margin types
_BPS: Final = 10_000.0
_MAKER_BPS: Final = 2.0  # where the account's own rates cannot be read
_TAKER_BPS: Final = 5.0
_MODE_KEPT_S: Final = 50.0  # the account's mode is read with a comparison of books and venue each minute
_ISOLATED: Final = "ISOLATED"
_SIDES: Final = ("LONG", "SHORT")  # of positions in hedge mode; in one-way mode it is BOTH

exchange_info = with_readable(wire.ExchangeInfo, {"symbols": wire.SymbolInfo})
_brackets = readable_rows(wire.SymbolBrackets)
_intervals = readable_rows(wire.FundingInterval)
_commission = wire.decoder(wire.CommissionRate).decode
_mode = wire.decoder(wire.PositionMode).decode
_multi = wire.decoder(wire.MultiAssetsMode).decode
_burn = wire.decoder(wire.FeeBurn).decode
_restrictions = wire.decoder(wire.ApiRestrictions).decode
_prices = readable_rows(wire.TickerPrice)
symbol_configs = readable_rows(wire.SymbolConfig)
position_rows = all_rows(wire.PositionAnswer)
account_answer = with_readable(
    wire.AccountAnswer, {"positions": wire.AccountPosition}, whole={"assets": wire.AccountAsset}
)
_ANY_SIZE: Final = LeverageTier(  # where a position is only to be closed, its leverage table does not matter
    max_notional=1e12, maintenance_margin_rate=0.01, max_leverage=1.0, maintenance_amount=0.0
)


class Fees(msgspec.Struct, frozen=True, kw_only=True):
    """The account's fee rates."""

    maker_bps: float = _MAKER_BPS
    taker_bps: float = _TAKER_BPS


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue lists: the instruments that are *traded* here, and what is known of the *others*."""

    traded: dict[str, Instrument]
    others: dict[str, Instrument]  # only to protect and to close a position that somebody else opened


async def load_instruments(rest: Rest, symbols: Sequence[str], *, signed: bool) -> Listed:
    """Filters from the venue; tiers and fees from it too where requests are *signed*, else the package's table.

    Raises ConfigError for one of *symbols* that is not a perpetual paid in USDT. A symbol that is not traded here is
    left out where the venue's rows about it cannot be used.
    """
    info = await rest.read(PUBLIC, "exchangeInfo", exchange_info)
    set_limits(rest.budget, info.rate_limits)
    known = {entry.symbol: entry for entry in info.symbols}
    for symbol in symbols:
        if why := _refusal(symbol, known.get(symbol), rest.endpoint.name):
            raise ConfigError(why)
    tables = await _tiers(rest) if signed else await _assumed_tiers(rest, symbols)
    missing = [symbol for symbol in symbols if not tables.get(symbol)]
    if missing:
        raise VenueError(f"the venue has no leverage table of {', '.join(missing)}")
    fees = await _fees(rest, symbols[0]) if signed else Fees()
    hours = await funding_hours(rest) or {}
    traded = {
        symbol: parse.instrument(
            known[symbol], tables[symbol], maker_bps=fees.maker_bps, taker_bps=fees.taker_bps,
            funding_hours=hours.get(symbol, 8),
        )
        for symbol in symbols
    }
    return Listed(traded=traded, others=usable(known, tables, set(symbols)) if signed else {})


async def load_filters(rest: Rest) -> dict[str, Instrument]:
    """What is needed to close a position in any symbol: the filters of all that the venue lists and that can be used.

    Empty where the venue's answer cannot be read: quantities are then sent as the venue reports them. VenueUnavailable
    when it does not answer.
    """
    try:
        info = await rest.read(PUBLIC, "exchangeInfo", exchange_info)
    except VenueUnavailable:
        raise
    except VenueError:
        return {}
    set_limits(rest.budget, info.rate_limits)
    return usable({entry.symbol: entry for entry in info.symbols}, {}, set())


def usable(
    known: dict[str, wire.SymbolInfo], tables: dict[str, tuple[LeverageTier, ...]], without: set[str]
) -> dict[str, Instrument]:
    """The instruments of every listed symbol but *without* whose filters can be used."""
    found: dict[str, Instrument] = {}
    for symbol, entry in known.items():
        if symbol in without:
            continue
        with suppress(ConfigError, InputError):
            found[symbol] = parse.instrument(
                entry, tables.get(symbol) or (_ANY_SIZE,), maker_bps=_MAKER_BPS, taker_bps=_TAKER_BPS
            )
    return found


def _refusal(symbol: str, entry: wire.SymbolInfo | None, endpoint: str) -> str:
    """Why *symbol* cannot be traded; empty when it can."""
    if entry is None:
        return f"symbol {symbol!r} is not traded at {endpoint}: take it off the list"
    if entry.margin_asset not in ("", parse.QUOTE_ASSET) or entry.contract_type not in ("", "PERPETUAL"):
        kind = f"{entry.contract_type} paid in {entry.margin_asset}"
        return f"symbol {symbol!r} is {kind}: only USDT perpetuals are traded"
    return ""


def set_limits(budget: RequestBudget, limits: Sequence[wire.RateLimit]) -> None:
    """Set the venue's limits of request weights and orders in *budget*."""
    for row in limits:
        if row.rate_limit_type == "REQUEST_WEIGHT" and (row.interval, row.interval_num) == ("MINUTE", 1):
            budget.weight_limit = row.limit
        elif row.rate_limit_type == "ORDERS":
            window = f"{row.interval_num}{row.interval[:1]}"
            if window in budget.order_limits:
                budget.order_limits[window] = row.limit


async def _tiers(rest: Rest) -> dict[str, tuple[LeverageTier, ...]]:
    rows = await rest.read(PRIVATE, "leverageBracket", _brackets)
    return {row.symbol: parse.tiers(row) for row in rows}


async def _assumed_tiers(rest: Rest, symbols: Sequence[str]) -> dict[str, tuple[LeverageTier, ...]]:
    """Return the package's leverage table, strict for unknown symbols; without keys the venue sends none."""
    prices = {row.symbol: row.price for row in await rest.read("fapiPublicV2", "ticker/price", _prices, weight=2)}
    return {symbol: instrument_for(symbol, prices.get(symbol, 0.0))[0].tiers for symbol in symbols}


async def _fees(rest: Rest, symbol: str) -> Fees:
    """The account's fee rates, read for one symbol: they are the same for all, except in promotions."""
    answer = await rest.ask("GET", PRIVATE, "commissionRate", {"symbol": symbol}, weight=20)
    if isinstance(answer, VenueRefusal):
        return Fees()
    rate = decoded(answer, _commission, "GET commissionRate")
    return Fees(maker_bps=rate.maker_commission_rate * _BPS, taker_bps=rate.taker_commission_rate * _BPS)


async def funding_hours(rest: Rest) -> dict[str, int] | None:
    """Hours between fundings, of symbols that do not pay every eight; None where the venue does not tell."""
    answer = await rest.ask("GET", PUBLIC, "fundingInfo")
    if isinstance(answer, VenueRefusal):
        return None
    return {row.symbol: row.funding_interval_hours for row in decoded(answer, _intervals, "GET fundingInfo")}


HEDGE_MODE: Final = (
    "the account is in hedge mode (dualSidePosition = true), where reducing orders open positions: close all "
    "positions and switch to one-way mode (Binance: Futures, Preferences, Position Mode)"
)
MULTI_ASSETS: Final = (
    "the account is in multi-assets mode (multiAssetsMargin = true), which has no isolated margin: switch to "
    "single-asset mode (Binance: Futures, Preferences, Asset Mode)"
)


async def is_hedged(rest: Rest) -> bool:
    """Whether the account is in hedge mode, where a symbol has a position of each side.

    It is the first signed request of a connection: ConfigError for a key that the venue refuses.
    """
    answer = await rest.ask("GET", PRIVATE, "positionSide/dual", weight=30)
    if isinstance(answer, VenueRefusal):
        if answer.code in errors.KEY_REFUSED:
            raise ConfigError(
                f"{rest.endpoint.name} refuses the key ({rest.redact(answer.reason)}): make a new one or allow this "
                f"machine's address, then `quantum-trader keys set {rest.endpoint.name}`"
            )
        raise VenueError(f"GET positionSide/dual: {rest.redact(answer.reason)}")
    return decoded(answer, _mode, "GET positionSide/dual").dual_side_position


async def is_multi_asset(rest: Rest) -> bool:
    """Whether the account is in multi-assets mode."""
    return (await rest.read(PRIVATE, "multiAssetsMargin", _multi, weight=30)).multi_assets_margin


class AccountMode:
    """The account's position and asset mode, which another client may switch while nothing is open."""

    def __init__(self, rest: Rest, now_s: Callable[[], float]) -> None:
        self.hedged = False
        self._known = False  # whether *hedged* has been read
        self._two_sided: frozenset[str] = frozenset()  # symbols whose positions have a side, as last read
        self._rest, self._now_s = rest, now_s
        self._problem, self._read_s = "", -math.inf

    async def read_hedged(self, *, must: bool = True) -> bool:
        """Read whether the account is in hedge mode; where it cannot be read :meth:`hedges` goes by the positions.

        An unreadable answer raises VenueError where the mode *must* be known.
        """
        try:
            self.hedged = await is_hedged(self._rest)
            self._known = True
        except VenueUnavailable:
            raise
        except VenueError:
            if must:
                raise
        return self.hedged

    def note_sides(self, rows: Iterable[wire.PositionAnswer]) -> None:
        """Note the symbols whose positions have a side, as they have in hedge mode alone."""
        self._two_sided = frozenset(row.symbol for row in rows if row.position_side in _SIDES)

    def hedges(self, symbol: str) -> bool:
        """Whether orders of *symbol* name the side of a position."""
        return self.hedged if self._known else symbol in self._two_sided

    async def problem(self) -> str:
        """Why the account cannot be traded in its mode; empty when it can.

        Read at most once in 50 seconds, and each time while it cannot be traded: `resume` follows the switch back.
        """
        now_s = self._now_s()
        if self._problem or now_s - self._read_s >= _MODE_KEPT_S:
            hedged, multi = await self.read_hedged(), await is_multi_asset(self._rest)
            self._problem = HEDGE_MODE if hedged else MULTI_ASSETS if multi else ""
            self._read_s = now_s
        return self._problem


async def refuse_unsafe_account(rest: Rest) -> list[str]:
    """Raise ConfigError for an account or a key that must not open positions; return warnings."""
    notes = await _check_key(rest)
    if await is_multi_asset(rest):
        raise ConfigError(MULTI_ASSETS)
    return notes


async def _check_key(rest: Rest) -> list[str]:
    """Raise ConfigError for a key that may withdraw; return warnings."""
    if not rest.endpoint.account_api:
        return [f"{rest.endpoint.name} does not tell a key's rights: withdrawal rights were not checked"]
    answer = await rest.ask("GET", ACCOUNT_API, "account/apiRestrictions")
    if isinstance(answer, VenueRefusal):
        if rest.endpoint.recorded:
            return [f"{rest.endpoint.name} does not tell a key's rights: withdrawal rights were not checked"]
        raise ConfigError(f"the key's rights could not be read ({answer.reason}): let it read, and trade futures")
    rights = decoded(answer, _restrictions, "GET account/apiRestrictions")
    if rights.enable_withdrawals:
        raise ConfigError(
            "the key may withdraw (enableWithdrawals = true): make one that may only read and trade futures"
        )
    if not rights.enable_futures:
        raise ConfigError("the key may not trade futures (enableFutures = false): allow it, and nothing else")
    return [] if rights.ip_restrict else ["the key may be used from every address: restrict it to this machine's"]


async def money_outside(rest: Rest) -> list[str]:
    """What is to be said of the account's other coins: which there are, and whether BNB pays the fees."""
    notes, coins = [], parse.other_coins(await rest.read(PRIVATE_V3, "account", account_answer, weight=5))
    if coins:
        held = ", ".join(f"{amount:g} {asset}" for asset, amount in coins.items())
        notes.append(f"the account also holds {held}: only {parse.QUOTE_ASSET} is counted in equity, sizes and limits")
    answer = await rest.ask("GET", PRIVATE, "feeBurn", weight=30)
    if not isinstance(answer, VenueRefusal) and decoded(answer, _burn, "GET feeBurn").fee_burn:
        notes.append(
            f"BNB pays fees while there is some (feeBurn = true): each counts as a loss at its worth in "
            f"{parse.QUOTE_ASSET}; the wallet keeps it"
        )
    return notes


async def isolate_margins(rest: Rest, symbols: Sequence[str]) -> tuple[dict[str, float], list[str]]:
    """Set isolated margin where a symbol is flat; return the leverage in force and the failures.

    Raises ConfigError for a symbol with a position on cross margin, where one loss reaches the whole account.
    """
    configs = await rest.read(PRIVATE, "symbolConfig", symbol_configs, weight=5)
    rows = await rest.read(PRIVATE_V3, "positionRisk", position_rows, weight=5)
    held = {row.symbol for row in rows if row.position_amt != 0.0}
    wanted = set(symbols)
    crossed = [row.symbol for row in configs if row.symbol in wanted and row.margin_type.upper() != _ISOLATED]
    stuck = sorted(held & set(crossed))
    if stuck:
        raise ConfigError(f"{', '.join(stuck)}: a position on cross margin is open; close it or switch it to isolated")
    gate, notes = asyncio.Semaphore(_AT_ONCE), list[str]()

    async def isolate(symbol: str) -> None:
        async with gate:
            fields = {"symbol": symbol, "marginType": _ISOLATED}
            answer = await rest.ask("POST", PRIVATE, "marginType", fields, priority=Priority.OPENING)
        if isinstance(answer, VenueRefusal) and answer.code != errors.MARGIN_TYPE_AS_IS:
            notes.append(f"{symbol}: isolated margin was refused ({answer.reason}): cancel its orders, then restart")

    await asyncio.gather(*(isolate(symbol) for symbol in crossed))
    return {row.symbol: row.leverage for row in configs}, notes
