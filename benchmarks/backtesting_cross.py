# mypy: ignore-errors
"""The reference of bench_models: a cross of two averages in backtesting.py, in an environment of its own.

``python backtesting_cross.py BARS.npy KIND``: *BARS* (n, 5) are one-minute bars of one symbol, *KIND* is "averages"
(of 20 and 100 bars) or "ema". Prints bars a second of the fastest of three runs, and the trades of the last.
"""

import sys
import time

import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy


def average(values, bars):
    """The plain average of the last *bars* values."""
    return pd.Series(values).rolling(bars).mean()


def exponential(values, bars):
    """The exponential average."""
    return pd.Series(values).ewm(span=bars, adjust=False).mean()


def strategy(kind):
    """Long above the slow average, short below, always in the market."""
    smooth = average if kind == "averages" else exponential

    class Cross(Strategy):
        def init(self):
            self.fast = self.I(smooth, self.data.Close, 20)
            self.slow = self.I(smooth, self.data.Close, 100)

        def next(self):
            if self.fast[-1] > self.slow[-1]:
                if not self.position.is_long:
                    self.position.close()
                    self.buy(size=0.5)
            elif not self.position.is_short:
                self.position.close()
                self.sell(size=0.5)

    return Cross


def main():
    """Run it three times."""
    bars = np.load(sys.argv[1])
    index = pd.date_range("2024-01-01", periods=len(bars), freq="min")
    frame = pd.DataFrame(bars, columns=["Open", "High", "Low", "Close", "Volume"], index=index)
    spent, trades = [], 0
    for _ in range(3):
        test = Backtest(frame, strategy(sys.argv[2]), cash=1e7, commission=0.0005, finalize_trades=True)
        started = time.perf_counter()
        trades = int(test.run()["# Trades"])
        spent.append(time.perf_counter() - started)
    print(len(bars) / min(spent), trades)


main()
