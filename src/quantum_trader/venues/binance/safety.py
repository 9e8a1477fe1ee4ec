"""Start-up checks: load instruments, and refuse unsafe accounts and keys before trading."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from quantum_trader.domain.errors import ConfigError, VenueError
from quantum_trader.domain.instrument import Instrument, LeverageTier
from quantum_trader.market.instruments import instrument_for
from quantum_trader.venues.binance import errors, parse, wire
from quantum_trader.venues.binance.errors import VenueRefusal
from quantum_trader.venues.binance.limits import Priority, RequestBudget
from quantum_trader.venues.binance.rest import ACCOUNT_API, PRIVATE, PRIVATE_V3, PUBLIC, Rest, decoded

_AT_ONCE: Final = 4  # requests that set margin types
_BPS: Final = 10_000.0
_MAKER_BPS: Final = 2.0  # where the account's own rates cannot be read
_TAKER_BPS: Final = 5.0
_ISOLATED: Final = "ISOLATED"

_info = wire.decoder(wire.ExchangeInfo).decode
_brackets = wire.decoder(list[wire.SymbolBrackets]).decode
_intervals = wire.decoder(list[wire.FundingInterval]).decode
_commission = wire.decoder(wire.CommissionRate).decode
_mode = wire.decoder(wire.PositionMode).decode
_multi = wire.decoder(wire.MultiAssetsMode).decode
_restrictions = wire.decoder(wire.ApiRestrictions).decode
_prices = wire.decoder(list[wire.TickerPrice]).decode
symbol_configs = wire.decoder(list[wire.SymbolConfig]).decode
position_rows = wire.decoder(list[wire.PositionAnswer]).decode


class Fees(msgspec.Struct, frozen=True, kw_only=True):
    """The account's fee rates."""

    maker_bps: float = _MAKER_BPS
    taker_bps: float = _TAKER_BPS


async def load_instruments(
    rest: Rest, symbols: Sequence[str], *, signed: bool, closing: bool = False
) -> dict[str, Instrument]:
    """Filters from the venue; tiers and fees from it too where requests are *signed*, else the package's table.

    Raises ConfigError for a symbol that is not a perpetual paid in USDT; with *closing* (no openings) it is left out.
    """
    info = await rest.read(PUBLIC, "exchangeInfo", _info)
    set_limits(rest.budget, info.rate_limits)
    known = {entry.symbol: entry for entry in info.symbols}
    refusals = {symbol: why for symbol in symbols if (why := _refusal(symbol, known.get(symbol), rest.endpoint.name))}
    if refusals and not closing:
        raise ConfigError(next(iter(refusals.values())))
    symbols = [symbol for symbol in symbols if symbol not in refusals]
    tables = await _tiers(rest) if signed else await _assumed_tiers(rest, symbols)
    missing = [symbol for symbol in symbols if not tables.get(symbol)]
    if missing and not closing:
        raise VenueError(f"the venue has no leverage table of {', '.join(missing)}")
    symbols = [symbol for symbol in symbols if symbol not in missing]
    if not symbols:
        return {}
    fees = await _fees(rest, symbols[0]) if signed else Fees()
    hours = await funding_hours(rest) or {}
    return {
        symbol: parse.instrument(
            known[symbol], tables[symbol], maker_bps=fees.maker_bps, taker_bps=fees.taker_bps,
            funding_hours=hours.get(symbol, 8),
        )
        for symbol in symbols
    }


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


async def refuse_hedge_mode(rest: Rest) -> None:
    """Raise ConfigError for an account in hedge mode, where one order may reduce one position and open another.

    It is the first signed request, so a key that the venue refuses raises ConfigError here too.
    """
    answer = await rest.ask("GET", PRIVATE, "positionSide/dual", weight=30)
    if isinstance(answer, VenueRefusal):
        if answer.code in errors.KEY_REFUSED:
            raise ConfigError(
                f"{rest.endpoint.name} refuses the key ({rest.redact(answer.reason)}): make a new one or allow this "
                f"machine's address, then `quantum-trader keys set {rest.endpoint.name}`"
            )
        raise VenueError(f"GET positionSide/dual: {rest.redact(answer.reason)}")
    if decoded(answer, _mode, "GET positionSide/dual").dual_side_position:
        raise ConfigError(
            "the account is in hedge mode (dualSidePosition = true), where reducing orders open positions: close all "
            "positions and switch to one-way mode (Binance: Futures, Preferences, Position Mode)"
        )


async def refuse_unsafe_account(rest: Rest) -> list[str]:
    """Raise ConfigError for an account or a key that must not open positions; return warnings."""
    notes = await _check_key(rest)
    if (await rest.read(PRIVATE, "multiAssetsMargin", _multi, weight=30)).multi_assets_margin:
        raise ConfigError(
            "the account is in multi-assets mode (multiAssetsMargin = true), which has no isolated margin: switch to "
            "single-asset mode (Binance: Futures, Preferences, Asset Mode)"
        )
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
