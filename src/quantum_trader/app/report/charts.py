"""Charts as plain SVG text, coloured by the page's style sheet; no library, no network.

Every function returns one self-contained ``<svg>`` element of the size asked for; ``both`` returns a wide and a narrow
one, of which the style sheet shows the one that fits. Coordinates are rounded to a tenth of a pixel.
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

_TOP, _BOTTOM = 12, 26

Value = float | None


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """The measures of a chart in pixels, and the style class that shows it on screens of its kind."""

    style: str
    width: int
    left: int  # room for the labels of the values
    right: int
    label: int  # room for the labels of bars; 0: above them
    words: int  # room for the values of bars
    time_ticks: int


WIDE: Final = Size(style="wide", width=1040, left=66, right=14, label=270, words=130, time_ticks=8)
NARROW: Final = Size(style="narrow", width=340, left=60, right=6, label=0, words=84, time_ticks=3)  # of a telephone


def both(draw: Callable[[Size], str]) -> str:
    """What *draw* makes for wide screens and for narrow ones."""
    return draw(WIDE) + draw(NARROW)


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
    size: Size = WIDE

    def x(self, second: float) -> float:
        """Pixel of a time."""
        room = self.size.width - self.size.left - self.size.right
        return self.size.left + (second - self.first) / max(self.last - self.first, 1.0) * room

    def y(self, value: float) -> float:
        """Pixel of a value."""
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(max(value, self.low))
        return _TOP + (high - at) / ((high - low) or 1.0) * (self.height - _TOP - _BOTTOM)


def time_chart(
    title: str, seconds: Sequence[int], lines: Sequence[Line], write: Callable[[float], str], *,
    height: int = 260, bands: Sequence[Sequence[int]] = (), log: bool = False, size: Size = WIDE,
) -> str:
    """Draw *lines* over *seconds* with optional bands [from, to, code]; *write* words a value of the axis."""
    known = [value for line in lines for value in line.values if value is not None]
    if len(seconds) < 2 or not known:
        return empty_chart(title, size)
    frame = framed_by(seconds, min(known), max(known), height=height, log=log, size=size)
    parts = [_band(frame, *band) for band in merged_bands(bands, seconds[0], seconds[-1], size)]
    parts += [*axes(frame, write), *(curve(frame, seconds, line) for line in lines)]
    return svg(title, height, parts, size, frame)


def framed_by(seconds: Sequence[int], low: float, high: float, *, height: int, log: bool, size: Size) -> Frame:
    """The frame of a chart over *seconds* that shows the values from *low* to *high* with a margin."""
    return Frame(
        first=float(seconds[0]), last=float(seconds[-1]), height=height, **_range(low, high, log),
        log=log and low > 0.0, size=size,
    )


def axes(frame: Frame, write: Callable[[float], str]) -> list[str]:
    """Lines and labels of the values and of the times."""
    levels = log_ticks(frame.low, frame.high) if frame.log else ticks(frame.low, frame.high)
    first, last = int(frame.first), int(frame.last)
    end = frame.size.width - 42  # a label farther right is cut off
    return [_value_line(frame, tick, write) for tick in levels] + [
        _time_line(frame, second, label) for second, label in time_ticks(first, last, frame.size.time_ticks)
        if frame.x(second) < end
    ]


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


def merged_bands(
    bands: Sequence[Sequence[int]], first: int, last: int, size: Size = WIDE
) -> list[tuple[int, int, int]]:
    """*bands* at the chart's resolution: the state that fills most of each pixel, joined, without the normal ones."""
    columns = size.width - size.left - size.right
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
    y, end = frame.y(value), frame.size.width - frame.size.right
    return (
        f'<line class="grid" x1="{frame.size.left}" x2="{end}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick" text-anchor="end" x="{frame.size.left - 6}" y="{y + 4:.1f}">{escape(write(value))}</text>'
    )


def _time_line(frame: Frame, second: int, label: str) -> str:
    x = frame.x(second)
    return (
        f'<line class="grid faint" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{frame.height - _BOTTOM}"/>'
        f'<text class="tick" text-anchor="middle" x="{x:.1f}" y="{frame.height - 8}">{escape(label)}</text>'
    )


def curve(frame: Frame, seconds: Sequence[int], line: Line) -> str:
    """*line* over *seconds*; a gap in the values is a gap in the curve."""
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


def svg(title: str, height: int, parts: Sequence[str], size: Size, frame: Frame | None = None) -> str:
    """The element around *parts*; a *frame* states where the times begin and end."""
    area = f' data-left="{size.left}" data-right="{size.width - size.right}"' if frame is not None else ""
    return (
        f'<svg class="chart {size.style}" viewBox="0 0 {size.width} {height}" role="img" aria-label="{escape(title)}"'
        f"{area}><title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def empty_chart(title: str, size: Size = WIDE) -> str:
    """Say that there is nothing to draw."""
    text = f'<text class="tick" x="{size.width / 2}" y="34" text-anchor="middle">Nothing to draw.</text>'
    return svg(title, 60, [text], size)


def bar_rows(title: str, rows: Sequence[tuple[str, float, str]], style: str = "bar", size: Size = WIDE) -> str:
    """Horizontal bars: (label, value, the value in words); negative values take the style ``loss``."""
    if not rows:
        return empty_chart(title, size)
    above = 0 if size.label else 18  # height of a label above its bar
    pitch = 26 + above
    room = size.width - size.label - size.words
    most = max(abs(value) for _, value, _ in rows) or 1.0
    anchor = f'text-anchor="end" x="{size.label - 12}"' if size.label else 'x="2"'
    parts = []
    for index, (label, value, words) in enumerate(rows):
        y = 6 + index * pitch
        width = max(abs(value) / most * room, 1.0)
        kind = "loss" if value < 0.0 else style
        parts.append(
            f'<text class="label" {anchor} y="{y + 15}">{escape(label)}</text>'
            f'<rect class="{kind}" x="{size.label}" y="{y + above + 3}" width="{width:.1f}" height="16" rx="2"/>'
            f'<text class="label" x="{size.label + width + 8:.1f}" y="{y + above + 15}">{escape(words)}</text>'
        )
    return svg(title, 12 + len(rows) * pitch, parts, size)


def histogram(
    title: str, edges: Sequence[float], counts: Sequence[int], write: Callable[[float], str], size: Size = WIDE
) -> str:
    """Vertical bars between *edges*; bins below zero take the style ``loss``, the others ``gain``."""
    if not sum(counts):
        return empty_chart(title, size)
    height = 220
    most = max(counts)
    frame = Frame(first=edges[0], last=edges[-1], low=0.0, high=most * 1.08, height=height, size=size)
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
    return svg(title, height, parts, size)


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
