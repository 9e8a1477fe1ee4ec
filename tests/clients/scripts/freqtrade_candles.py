"""Write freqtrade's data files from a CSV: arguments CSV, FOLDER, PAIR; hourly futures, mark price and no funding."""

import sys
from pathlib import Path

import pandas as pd

bars = pd.read_csv(sys.argv[1])
bars["date"] = pd.to_datetime(bars.pop("ts"), unit="ns", utc=True)
bars = bars[["date", "open", "high", "low", "close", "volume"]]
nothing = bars.assign(open=0.0, high=0.0, low=0.0, close=0.0, volume=0.0)
folder = Path(sys.argv[2]) / "data" / "binance" / "futures"
folder.mkdir(parents=True, exist_ok=True)
name = sys.argv[3].replace("/", "_").replace(":", "_")
for kind, data in (("futures", bars), ("mark", bars), ("funding_rate", nothing)):
    data.to_feather(folder / f"{name}-1h-{kind}.feather")
