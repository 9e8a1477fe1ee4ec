"""Remake the package's instrument table from a reference folder of Binance USD-M facts.

    python tools/make_instruments.py ../shared/data/binance_um

Tick, step and minima come from the exchangeInfo sample where it has the symbol. For the others tick and step are the
finest decimals that prices and volumes of the recorded bars show, the minimum quantity is one step, and the minimum
notional is the venue's usual 5 USDT. Leverage tiers come from leverage_tiers.csv.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from quantum_trader.market.instruments import table_path
from quantum_trader.market.store import intervals_of, read_series, series_path, symbols_of

USUAL_MIN_NOTIONAL = 5.0
SAMPLE_ROWS = 20_000
_HEADER = """\
# Filters and leverage tiers of Binance USD-M perpetuals, made by tools/make_instruments.py. Facts of the venue, of the
# time of their source: "exchangeInfo" is a sample of 2022, "bars" means that tick and step are the finest decimals of
# recorded bars. tiers: [up to notional (USDT), maintenance margin rate, maximal leverage, maintenance amount (USDT)].
"""


def tiers(reference: Path) -> dict[str, list[list[float]]]:
    """Leverage tiers of each symbol, in order."""
    table: dict[str, list[list[float]]] = {}
    with (reference / "ref" / "leverage_tiers.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            keys = ("max_notional", "maintenance_margin_rate", "max_leverage", "cum")
            table.setdefault(row["symbol"], []).append([float(row[key]) for key in keys])
    return table


def from_exchange_info(reference: Path) -> dict[str, dict[str, Any]]:
    """Filters of the perpetuals in the exchangeInfo sample."""
    path = reference / "ref" / "binance_um_exchangeInfo_sample.json"
    found = {}
    for entry in json.loads(path.read_text(encoding="utf-8"))["symbols"]:
        if entry["contractType"] != "PERPETUAL":
            continue
        filters = {one["filterType"]: one for one in entry["filters"]}
        found[entry["symbol"]] = {
            "tick_size": float(filters["PRICE_FILTER"]["tickSize"]),
            "step_size": float(filters["LOT_SIZE"]["stepSize"]),
            "min_qty": float(filters["LOT_SIZE"]["minQty"]),
            "min_notional": float(filters["MIN_NOTIONAL"]["notional"]),
            "source": "exchangeInfo",
        }
    return found


def finest(values: Any) -> float:
    """Return the smallest power of ten of which all *values* are multiples (down to 1e-8)."""
    for decimals in range(9):
        scaled = values * 10.0**decimals
        if np.all(np.abs(scaled - np.round(scaled)) <= 1e-6 + 1e-12 * np.abs(scaled)):
            return float(f"1e-{decimals}") if decimals else 1.0
    return 1e-8


def from_bars(reference: Path, symbol: str) -> dict[str, Any]:
    """Filters as recorded bars show them."""
    interval = next(name for name in intervals_of(reference) if symbol in symbols_of(reference, name))
    pieces = [values for _, _, values in read_series(series_path(reference, interval, symbol))]
    values = np.concatenate(pieces)[-SAMPLE_ROWS:]
    step = finest(values[:, 4])
    return {
        "tick_size": finest(values[:, :4].ravel()), "step_size": step, "min_qty": step,
        "min_notional": USUAL_MIN_NOTIONAL, "source": "bars",
    }


def render(reference: Path) -> str:
    """Return the whole table as TOML."""
    known, lines = from_exchange_info(reference), [_HEADER]
    for symbol, rows in sorted(tiers(reference).items()):
        facts = known.get(symbol) or from_bars(reference, symbol)
        lines.append(f'[instruments."{symbol}"]')
        for key, value in facts.items():
            lines.append(f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value:.8f}".rstrip("0"))
            if lines[-1].endswith("."):
                lines[-1] += "0"
        lines.append("tiers = [")
        lines += [f"  [{notional:.1f}, {rate}, {leverage}, {amount}]," for notional, rate, leverage, amount in rows]
        lines.append("]\n")
    return "\n".join(lines)


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("reference", type=Path, help="folder with ref/ and bars_*/")
    parser.add_argument("--out", type=Path, default=table_path(), help="file to write")
    options = parser.parse_args()
    options.out.write_text(render(options.reference), encoding="utf-8")


if __name__ == "__main__":
    main()
