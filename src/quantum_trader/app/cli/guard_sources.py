"""Options that `guard serve` and `guard freqtrade` share, and the bars that they name."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantum_trader.domain.errors import ConfigError

if TYPE_CHECKING:
    from quantum_trader.app.guard.markets import ClosedBars

GuardStateOption = Annotated[Path, typer.Option("--state", metavar="DIR", help="State folder of the guard.")]
ProfilesOption = Annotated[
    Path | None, typer.Option("--profiles", metavar="DIR", help="Folder of your own profiles (NAME.toml); they win.")
]
BinanceOption = Annotated[
    bool, typer.Option("--binance", help="Bars from Binance's public market data; no key.")
]
GuardDataOption = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="Bar store that `data download` or `data import` fills; it "
                              "is read again when it changes.")
]
GuardBarsOption = Annotated[
    str | None, typer.Option("--bars", metavar="INTERVAL", help="Bar interval, 1m to 1h; the longest of --data, or 1h.")
]


def bars_source(data: Path | None, binance: bool, bars: str | None, base_url: str | None) -> ClosedBars:
    """Where the bars come from; ConfigError unless one source is named."""
    from quantum_trader.app.guard.markets import BarFolder, VenueBars

    if (data is None) == (not binance):
        raise ConfigError("--data DIR or --binance: name one source of bars")
    if base_url is not None and not binance:
        raise ConfigError("--base-url: belongs to --binance")
    if data is not None:
        return BarFolder(data, bars)
    return VenueBars(bars or "1h", base_url, time.sleep)
