"""The features a second time, plainly over whole arrays of one symbol's observed bars: what the tests compare with."""

from __future__ import annotations

import math

import numpy as np

from quantum_trader.domain.clock import NS_PER_DAY, NS_PER_HOUR

Series = np.ndarray


def nans(count: int) -> Series:
    """As many NaN."""
    return np.full(count, np.nan)


def windows(values: Series, period: int, what: str) -> Series:
    """Mean, std, max or min of each window of *period* values."""
    out = nans(len(values))
    out[period - 1 :] = getattr(np.lib.stride_tricks.sliding_window_view(values, period), what)(axis=1)
    return out


def change(values: Series, bars: int) -> Series:
    """Relative change over *bars* bars."""
    out = nans(len(values))
    out[bars:] = values[bars:] / values[:-bars] - 1.0
    return out


def ema(values: Series, period: int, first: int = 0) -> Series:
    """Exponential mean that starts from the mean of *period* values from *first* on."""
    out = nans(len(values))
    out[first + period - 1] = values[first : first + period].mean()
    for i in range(first + period, len(values)):
        out[i] = out[i - 1] + 2.0 / (period + 1.0) * (values[i] - out[i - 1])
    return out


def wilder(values: Series, period: int = 14) -> Series:
    """Wilder's mean of values that are known from place 1 on."""
    out = nans(len(values))
    out[period] = values[1 : period + 1].mean()
    for i in range(period + 1, len(values)):
        out[i] = (out[i - 1] * (period - 1) + values[i]) / period
    return out


def rsi(close: Series) -> Series:
    """Wilder's RSI(14)."""
    moves = np.diff(close, prepend=close[0])
    gains, losses = wilder(np.maximum(moves, 0.0)), wilder(np.maximum(-moves, 0.0))
    return 100.0 * gains / (gains + losses)


def true_ranges(high: Series, low: Series, close: Series) -> Series:
    """Each bar's range, extended to the close before it."""
    last = np.r_[np.nan, close[:-1]]
    return np.maximum(high - low, np.maximum(abs(high - last), abs(low - last)))


def directional(high: Series, low: Series, close: Series, period: int = 14) -> tuple[Series, Series, Series]:
    """Wilder's ADX, +DI, -DI, as TA-Lib smooths them: sums of period - 1 moves first."""
    up, down = np.diff(high, prepend=high[0]), -np.diff(low, prepend=low[0])
    moves = np.stack([
        np.where((up > down) & (up > 0.0), up, 0.0), np.where((down > up) & (down > 0.0), down, 0.0),
        true_ranges(high, low, close),
    ])
    total = moves[:, 1:period].sum(axis=1)
    plus, minus, index = nans(len(close)), nans(len(close)), nans(len(close))
    for i in range(period, len(close)):
        total = total - total / period + moves[:, i]
        plus[i], minus[i] = 100.0 * total[0] / total[2], 100.0 * total[1] / total[2]
        index[i] = 100.0 * abs(plus[i] - minus[i]) / (plus[i] + minus[i])
    adx = nans(len(close))
    adx[2 * period - 1] = index[period : 2 * period].mean()
    for i in range(2 * period, len(close)):
        adx[i] = (adx[i - 1] * (period - 1) + index[i]) / period
    return adx, plus, minus


def fitted_lines(close: Series, period: int = 20) -> tuple[Series, Series]:
    """Slope and R² of the least-squares line through each window, by numpy's own fit."""
    slope, fit = nans(len(close)), nans(len(close))
    for i in range(period - 1, len(close)):
        part = close[i - period + 1 : i + 1]
        slope[i] = np.polyfit(np.arange(period), part, 1)[0]
        fit[i] = np.corrcoef(np.arange(period), part)[0, 1] ** 2
    return slope, fit


def bar_features(high: Series, low: Series, close: Series, volume: Series) -> dict[str, Series]:
    """The 35 features made of a symbol's own bars, by name."""
    out = {f"return_{n}": change(close, n) for n in (1, 3, 5, 15, 60)}
    logs = np.diff(np.log(close))
    out |= {f"volatility_{n}": np.r_[np.nan, windows(logs, n, "std")] for n in (5, 15, 60)}
    out["volatility_ratio"] = out["volatility_5"] / out["volatility_60"]
    atr = wilder(true_ranges(high, low, close))
    out["rsi"] = rsi(close)
    out["rsi_change"] = np.r_[np.nan, np.diff(out["rsi"])]
    line = ema(close, 12, first=14) - ema(close, 26)
    signal = ema(line, 9, first=25)
    out |= {"macd_line": line / atr, "macd_signal": signal / atr, "macd_histogram": (line - signal) / atr}
    for n in (5, 15, 60, 200):
        out[f"sma_{n}_distance"] = close / windows(close, n, "mean") - 1.0
        out[f"ema_{n}_distance"] = close / ema(close, n) - 1.0
    middle, deviation = windows(close, 20, "mean"), windows(close, 20, "std")
    out |= {"bollinger_position": (close - middle) / (2.0 * deviation), "bollinger_width": 4.0 * deviation / middle}
    out["adx"], out["plus_di"], out["minus_di"] = directional(high, low, close)
    out["atr_ratio"] = atr / close
    out["momentum"] = np.r_[nans(10), close[10:] - close[:-10]] / atr
    slope, out["trend_fit"] = fitted_lines(close)
    out["trend_slope"] = slope / atr
    out["high_distance"] = close / windows(high, 60, "max") - 1.0
    out["low_distance"] = close / windows(low, 60, "min") - 1.0
    mean = windows(volume, 60, "mean")
    out["volume_zscore"] = (volume - mean) / windows(volume, 60, "std")
    out["volume_ratio"] = windows(volume, 5, "mean") / mean
    return out


def longer_bars(ts: Series, ohlcv: Series, base_ns: int, length_ns: int) -> tuple[Series, Series]:
    """Closes of longer bars (n,) and the bars (n, 5) that base bars make, by grouping."""
    bars = []
    numbers = ts // length_ns
    for number in np.unique(numbers):
        part = ohlcv[numbers == number]
        bars.append((part[0, 0], part[:, 1].max(), part[:, 2].min(), part[-1, 3], part[:, 4].sum()))
    known = np.array([  # a bar is known at its close, or when a later base bar shows that its last one is missing
        min([(number + 1) * length_ns] if ((number + 1) * length_ns - base_ns) in ts
            else (ts[numbers > number] + base_ns).tolist() or [np.iinfo(np.int64).max])
        for number in np.unique(numbers)
    ])
    return known, np.array(bars)


def regimes(ts: Series, ohlcv: Series, base_ns: int, closes_ns: Series) -> list[str]:
    """The regime at each of *closes_ns*, "" where it is not known yet."""
    hour_ns, bars = longer_bars(ts, ohlcv, base_ns, NS_PER_HOUR)
    high, low, close = bars[:, 1], bars[:, 2], bars[:, 3]
    adx, plus, minus = directional(high, low, close)
    rising = np.r_[np.nan, np.diff(ema(close, 21))]
    trend, side, age, states = "", "", 0, []
    for i in range(len(close)):
        if math.isnan(adx[i]) or math.isnan(rising[i]):
            states.append(("", "", adx[i]))
            continue
        wanted = "TRENDING" if adx[i] >= (22.0 if trend == "TRENDING" else 25.0) else "RANGING"
        age += 1
        if wanted != trend and (trend == "" or age >= 3):
            trend, side, age = wanted, "", 0
        if trend == "RANGING":
            side = ""
        elif rising[i] > 0.0 and plus[i] > minus[i]:
            side = "BULL"
        elif rising[i] < 0.0 and minus[i] > plus[i]:
            side = "BEAR"
        states.append((trend, side, adx[i]))
    four_ns, fours = longer_bars(ts, ohlcv, base_ns, 4 * NS_PER_HOUR)
    ratio = wilder(true_ranges(fours[:, 1], fours[:, 2], fours[:, 3])) / fours[:, 3]
    out = []
    for now in closes_ns:
        hour, four = np.flatnonzero(hour_ns <= now), np.flatnonzero(four_ns <= now)
        state = states[hour[-1]] if len(hour) else ("", "", np.nan)
        level = ratio[four[-1]] if len(four) else np.nan
        if state[0] == "" or math.isnan(level):
            out.append("")
        elif level >= 0.04:
            out.append("HIGH_VOL")
        elif state[0] == "TRENDING":
            out.append(state[1] or "NORMAL")
        else:
            out.append("CHOP" if state[2] < 20.0 else "NORMAL")
    return out


def ages(names: list[str]) -> Series:
    """ln(1 + observed bars since the regime began)."""
    out, age = nans(len(names)), 0
    for i, name in enumerate(names):
        age = age + 1 if i and names[i - 1] == name else 0
        out[i] = math.log(1 + age) if name else np.nan
    return out


def waves(closes_ns: Series) -> dict[str, Series]:
    """Hour and weekday as sine and cosine."""
    day = 2.0 * np.pi * (closes_ns % NS_PER_DAY) / NS_PER_DAY
    monday = 345_600 * 10**9  # 1970-01-05
    week = 2.0 * np.pi * ((closes_ns - monday) % (7 * NS_PER_DAY)) / (7 * NS_PER_DAY)
    return {
        "hour_sine": np.sin(day), "hour_cosine": np.cos(day), "week_sine": np.sin(week), "week_cosine": np.cos(week),
    }
