"""Charts of a pilot's evaluation: equity fan over seeds, mix of actions over time, folds with their embargo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any, Final

from quantum_trader.app.report.charts import Frame, Line, Size, axes, curve, empty_chart, framed_by, svg, time_ticks
from quantum_trader.domain.clock import NS_PER_SECOND, iso

_TOP, _BOTTOM = 12, 26  # as every time chart has them
_BAND_POINTS: Final = 500  # of the outline of a band
_FOLD_HEIGHT: Final = 26
_DATE: Final = len("2026-01-31")


def fan_chart(
    title: str, seconds: Sequence[int], bands: Sequence[tuple[Sequence[float], Sequence[float]]],
    lines: Sequence[Line], write: Callable[[float], str], *, height: int = 340, size: Size,
) -> str:
    """Bands (low, high) over *seconds*, the outer one first, and *lines* on top of them."""
    known = [value for low, high in bands for values in (low, high) for value in values]
    known += [value for line in lines for value in line.values if value is not None]
    if len(seconds) < 2 or not known:
        return empty_chart(title, size)
    frame = framed_by(seconds, min(known), max(known), height=height, log=False, size=size)
    parts = [_band_of(frame, seconds, *band, f"fan-{number}") for number, band in enumerate(bands, 1)]
    parts += [*axes(frame, write), *(curve(frame, seconds, line) for line in lines)]
    return svg(title, height, parts, size, frame)


def _band_of(frame: Frame, seconds: Sequence[int], low: Sequence[float], high: Sequence[float], style: str) -> str:
    step = max(1, len(seconds) // _BAND_POINTS)
    places = list(range(0, len(seconds), step))
    places += [len(seconds) - 1] if places[-1] != len(seconds) - 1 else []
    up = [f"{frame.x(seconds[i]):.1f},{frame.y(high[i]):.1f}" for i in places]
    down = [f"{frame.x(seconds[i]):.1f},{frame.y(low[i]):.1f}" for i in reversed(places)]
    return f'<polygon class="{style}" points="{" ".join(up + down)}"/>'


def mix_chart(
    title: str, mix: dict[str, Any], key: str, names: Sequence[str], styles: Sequence[int], *, height: int = 220,
    size: Size,
) -> str:
    """The shares mix[*key*] of each stretch of time, stacked to 1 in the order of *names*; *styles* colour them."""
    starts = mix["start_s"]
    if not starts:
        return empty_chart(title, size)
    frame = Frame(first=float(starts[0]), last=float(mix["end_s"]), low=0.0, high=1.0, height=height, size=size)
    parts = axes(frame, lambda value: f"{value:.0%}")
    for place, (start, shares) in enumerate(zip(starts, mix[key], strict=True)):
        end = starts[place + 1] if place + 1 < len(starts) else mix["end_s"]
        left, right, base = frame.x(start), frame.x(end), 0.0
        for number, share in enumerate(shares):
            top, bottom = frame.y(base + share), frame.y(base)
            base += share
            parts.append(
                f'<rect class="mix-{styles[number]}" x="{left:.1f}" y="{top:.1f}" '
                f'width="{max(right - left - 0.6, 0.5):.1f}" '
                f'height="{bottom - top:.1f}"><title>{escape(_day(start))}: {escape(names[number])} {share:.0%}'
                "</title></rect>"
            )
    return svg(title, height, parts, size)


def fold_chart(title: str, folds: Sequence[dict[str, Any]], size: Size) -> str:
    """Training, embargo and test of each fold on one time axis."""
    first = min(fold["ranges"]["train"]["from_ns"] for fold in folds) // NS_PER_SECOND
    last = max(fold["ranges"]["test"]["until_ns"] for fold in folds) // NS_PER_SECOND
    height = _TOP + _BOTTOM + _FOLD_HEIGHT * len(folds)
    frame = Frame(first=float(first), last=float(last), low=0.0, high=1.0, height=height, size=size)
    parts = [
        f'<text class="tick" text-anchor="middle" x="{frame.x(second):.1f}" y="{height - 8}">{escape(label)}</text>'
        for second, label in time_ticks(first, last, size.time_ticks) if frame.x(second) < size.width - 42
    ]
    for row, fold in enumerate(folds):
        ranges, y = fold["ranges"], _TOP + row * _FOLD_HEIGHT
        train, test = ranges["train"], ranges["test"]
        parts.append(
            f'<text class="tick" text-anchor="end" x="{size.left - 6}" y="{y + 15}">fold {ranges["number"]}</text>'
        )
        spans = (
            ("training", train["from_ns"], train["until_ns"]), ("embargo", train["until_ns"], test["from_ns"]),
            ("test", test["from_ns"], test["until_ns"]),
        )
        for number, (name, start, end) in enumerate(spans, 1):
            left, right = frame.x(start / NS_PER_SECOND), frame.x(end / NS_PER_SECOND)
            parts.append(
                f'<rect class="fold-{number}" x="{left:.1f}" y="{y + 3}" width="{max(right - left, 1.0):.1f}" '
                f'height="{_FOLD_HEIGHT - 8}"><title>{name}: {_day(start // NS_PER_SECOND)} to '
                f"{_day(end // NS_PER_SECOND)}</title></rect>"
            )
    return svg(title, height, parts, size)


def _day(second: int) -> str:
    return iso(int(second) * NS_PER_SECOND)[:_DATE]
