"""Charts as plain SVG text, coloured by the page's style sheet; no library, no network.

Every function returns one self-contained ``<svg>`` element. Coordinates are rounded to a tenth of a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from itertools import pairwise
from typing import Final

import msgspec

from quantum_trader.app.report.formats import UNKNOWN
from quantum_trader.domain.clock import NS_PER_SECOND, from_ns

WIDTH: Final = 1040
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 14, 12, 26

Value = float | None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One curve: its name, one value a sample (None: a gap), and the style class that colours it."""

    name: str
    values: Sequence[Value]
    style: str
    filled: bool = False  # the area between the curve and the top (of a drawdown) is filled


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """Maps seconds and values to pixels."""

    first: float
    last: float
    low: float
    high: float
    height: int
    log: bool = False

    def x(self, second: float) -> float:
        """Pixel of a time."""
        return _LEFT + (second - self.first) / max(self.last - self.first, 1.0) * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        """Pixel of a value."""
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(max(value, self.low))
        return _TOP + (high - at) / ((high - low) or 1.0) * (self.height - _TOP - _BOTTOM)


def time_chart(
    title: str, seconds: Sequence[int], lines: Sequence[Line], write: Callable[[float], str], *,
    height: int = 260, bands: Sequence[Sequence[int]] = (), log: bool = False,
) -> str:
    """Draw *lines* over *seconds* with optional bands [from, to, code]; *write* words a value of the axis."""
    known = [value for line in lines for value in line.values if value is not None]
    if len(seconds) < 2 or not known:
        return empty_chart(title)
    frame = Frame(
        first=float(seconds[0]), last=float(seconds[-1]), height=height,
        **_range(min(known), max(known), log), log=log and min(known) > 0.0,
    )
    parts = [_band(frame, *band) for band in merged_bands(bands, seconds[0], seconds[-1])]
    levels = log_ticks(frame.low, frame.high) if frame.log else ticks(frame.low, frame.high)
    parts += [_value_line(frame, tick, write) for tick in levels]
    parts += [
        _time_line(frame, second, label) for second, label in time_ticks(seconds[0], seconds[-1])
        if frame.x(second) < WIDTH - 3 * _RIGHT
    ]
    parts += [_curve(frame, seconds, line) for line in lines]
    return _svg(title, height, parts, frame)


def _range(low: float, high: float, log: bool) -> dict[str, float]:
    if log and low > 0.0:
        return {"low": low * 0.97, "high": high * 1.03}
    pad = (high - low) * 0.06 or abs(high) * 0.01 or 1.0
    return {"low": low - pad, "high": 0.0 if high == 0.0 else high + pad}


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round values between *low* and *high*, about *wanted* of them."""
    span = high - low
    if span <= 0.0:
        return [low]
    raw = span / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= raw)
    first = math.ceil(low / step)
    return [index * step for index in range(first, math.floor(high / step) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Values 1, 2 and 5 times a power of ten between *low* and *high*; plain ticks where those are too few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    rounds = [factor * 10.0**power for power in powers for factor in (1.0, 2.0, 5.0)]
    found = [value for value in rounds if low <= value <= high]
    return found if len(found) >= 3 else ticks(low, high)


def time_ticks(first: int, last: int, wanted: int = 8) -> list[tuple[int, str]]:
    """Starts of months (days for short spans) between two times, about *wanted*, with their labels."""
    days = (last - first) / 86_400
    if days < 45:
        step = max(1, round(days / wanted)) * 86_400
        start = -(-first // 86_400) * 86_400
        return [(second, from_ns(second * NS_PER_SECOND).strftime("%d %b")) for second in range(start, last, step)]
    months = max(1, round(days / 30.4 / wanted))
    stamp = from_ns(first * NS_PER_SECOND)
    index = stamp.year * 12 + stamp.month  # the month after the first
    found: list[tuple[int, str]] = []
    while True:
        moment = stamp.replace(year=index // 12, month=index % 12 + 1, day=1, hour=0, minute=0, second=0)
        second = int(moment.timestamp())
        if second >= last:
            return found
        if index % months == 0:
            found.append((second, moment.strftime("%b %Y")))
        index += 1


def merged_bands(bands: Sequence[Sequence[int]], first: int, last: int) -> list[tuple[int, int, int]]:
    """*bands* at the chart's resolution: the state that fills most of each pixel, joined, without the normal ones."""
    columns = WIDTH - _LEFT - _RIGHT
    width = max(last - first, 1) / columns
    filled = [[0.0, 0.0, 0.0] for _ in range(columns)]
    for start, end, code in bands:
        low, high = (start - first) / width, (end - first) / width
        for column in range(max(0, int(low)), min(columns, int(high) + 1)):
            filled[column][max(code, 0)] += min(high, column + 1) - max(low, column)
    states = [shares.index(max(shares)) for shares in filled]
    edges = [0, *(i for i in range(1, columns) if states[i] != states[i - 1]), columns]
    return [(int(first + a * width), int(first + b * width), states[a]) for a, b in pairwise(edges) if states[a] > 0]


def _band(frame: Frame, start: int, end: int, code: int) -> str:
    left, right = frame.x(start), frame.x(end)
    return (
        f'<rect class="band-{code}" x="{left:.1f}" y="{_TOP}" width="{max(right - left, 0.5):.1f}" '
        f'height="{frame.height - _TOP - _BOTTOM}"/>'
    )


def _value_line(frame: Frame, value: float, write: Callable[[float], str]) -> str:
    y = frame.y(value)
    return (
        f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick" text-anchor="end" x="{_LEFT - 8}" y="{y + 4:.1f}">{escape(write(value))}</text>'
    )


def _time_line(frame: Frame, second: int, label: str) -> str:
    x = frame.x(second)
    return (
        f'<line class="grid faint" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{frame.height - _BOTTOM}"/>'
        f'<text class="tick" text-anchor="middle" x="{x:.1f}" y="{frame.height - 8}">{escape(label)}</text>'
    )


def _curve(frame: Frame, seconds: Sequence[int], line: Line) -> str:
    runs: list[list[str]] = [[]]
    for second, value in zip(seconds, line.values, strict=True):
        if value is None:
            runs.append([])
        else:
            runs[-1].append(f"{frame.x(second):.1f},{frame.y(value):.1f}")
    drawn = []
    for points in (run for run in runs if len(run) > 1):
        if line.filled:
            base = frame.y(frame.high)
            first, last = points[0].split(",")[0], points[-1].split(",")[0]
            outline = f"{first},{base:.1f} {' '.join(points)} {last},{base:.1f}"
            drawn.append(f'<polygon class="{line.style} fill" points="{outline}"/>')
        drawn.append(f'<polyline class="{line.style} curve" points="{" ".join(points)}"/>')
    return "".join(drawn)


def _svg(title: str, height: int, parts: Sequence[str], frame: Frame | None = None) -> str:
    area = f' data-left="{_LEFT}" data-right="{WIDTH - _RIGHT}"' if frame is not None else ""
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}"{area}>'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def empty_chart(title: str) -> str:
    """Say that there is nothing to draw."""
    return _svg(title, 60, [f'<text class="tick" x="{WIDTH / 2}" y="34" text-anchor="middle">Nothing to draw.</text>'])


def bar_rows(title: str, rows: Sequence[tuple[str, float, str]], style: str = "bar") -> str:
    """Horizontal bars: (label, value, the value in words); negative values take the style ``loss``."""
    if not rows:
        return empty_chart(title)
    label_width, value_width, pitch = 270, 130, 26
    room = WIDTH - label_width - value_width
    most = max(abs(value) for _, value, _ in rows) or 1.0
    parts = []
    for index, (label, value, words) in enumerate(rows):
        y = 6 + index * pitch
        width = max(abs(value) / most * room, 1.0)
        kind = "loss" if value < 0.0 else style
        parts.append(
            f'<text class="label" text-anchor="end" x="{label_width - 12}" y="{y + 15}">{escape(label)}</text>'
            f'<rect class="{kind}" x="{label_width}" y="{y + 3}" width="{width:.1f}" height="16" rx="2"/>'
            f'<text class="label" x="{label_width + width + 8:.1f}" y="{y + 15}">{escape(words)}</text>'
        )
    return _svg(title, 12 + len(rows) * pitch, parts)


def histogram(title: str, edges: Sequence[float], counts: Sequence[int], write: Callable[[float], str]) -> str:
    """Vertical bars between *edges*; bins below zero take the style ``loss``, the others ``gain``."""
    if not sum(counts):
        return empty_chart(title)
    height = 220
    most = max(counts)
    frame = Frame(first=edges[0], last=edges[-1], low=0.0, high=most * 1.08, height=height)
    parts = [_value_line(frame, tick, lambda value: f"{value:.0f}") for tick in ticks(0.0, float(most), 4)]
    for low, high, found in zip(edges, edges[1:], counts, strict=False):
        left, right = frame.x(low), frame.x(high)
        top, base = frame.y(found), frame.y(0.0)
        kind = "loss" if high <= 0.0 else "gain"
        parts.append(
            f'<rect class="{kind}" x="{left + 1:.1f}" y="{top:.1f}" width="{right - left - 2:.1f}" '
            f'height="{base - top:.1f}"><title>{escape(write(low))} to {escape(write(high))}: {found}</title></rect>'
        )
        if low == int(low):
            parts.append(
                f'<text class="tick" text-anchor="middle" x="{left:.1f}" y="{height - 8}">{escape(write(low))}</text>'
            )
    return _svg(title, height, parts)


def sparkline(values: Sequence[float], width: int) -> str:
    """*values* as one line of block characters, at most *width* wide, for a terminal."""
    if not values:
        return UNKNOWN
    step = max(1.0, len(values) / width)
    picked = [values[min(int(i * step), len(values) - 1)] for i in range(min(width, len(values)))]
    picked[-1] = values[-1]
    low, high = min(picked), max(picked)
    blocks = "▁▂▃▄▅▆▇█"
    scale = (len(blocks) - 1) / (high - low) if high > low else 0.0
    return "".join(blocks[round((value - low) * scale)] for value in picked)
