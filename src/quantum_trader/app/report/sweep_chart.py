"""The chart of a sweep as one self-contained SVG or HTML file: a heat map, curves, or bars, by the grid's shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

from quantum_trader.domain.errors import ConfigError
from quantum_trader.domain.ordered_sum import ordered_sum
from quantum_trader.lab.sweep.grid import Axis
from quantum_trader.lab.sweep.sweep import SettingResult, SweepResult, summary

WIDTH: Final = 960
_LEFT, _TOP, _GAP, _ROW = 130, 84, 46, 26
_INK, _PALE, _GOOD, _BAD = "#1b2733", "#d5dde5", (28, 126, 84), (178, 52, 52)
_COLOURS: Final = ("#1c6fb8", "#c4671b", "#2c8a5a", "#8a3fa0", "#a03f55")
_FONT: Final = "font-family='system-ui, sans-serif' font-size='12'"


def write_chart(file: Path, result: SweepResult, axes: Sequence[Axis]) -> None:
    """Write the chart to *file* (.svg or .html). Raises ConfigError for another ending or a folder that is missing."""
    picture = sweep_svg(result, axes)
    if file.suffix.lower() == ".html":
        lines = "".join(f"<p>{escape(line)}</p>" for line in summary(result))
        picture = (
            "<!doctype html><html lang='en'><meta charset='utf-8'><title>Sweep</title>"
            "<body style='font-family:system-ui,sans-serif;max-width:60rem;margin:2rem auto;color:#1b2733'>"
            f"<h1>Sweep</h1>{picture}{lines}</body></html>"
        )
    elif file.suffix.lower() != ".svg":
        raise ConfigError(f"--chart {str(file)!r}: the name must end in .svg or .html")
    if not file.parent.is_dir():
        raise ConfigError(f"--chart {str(file)!r}: there is no folder {str(file.parent)!r}; make it first")
    file.write_text(picture, encoding="utf-8")


def cell_value(result: SettingResult) -> float:
    """What the charts show of a setting: its Sharpe ratio, NaN when it never traded."""
    return result.whole.sharpe if result.whole.trades else math.nan


def shade(value: float, reach: float) -> tuple[int, int, int]:
    """Colour of *value*: red below zero, green above, white at zero, full at *reach*; grey for NaN."""
    if math.isnan(value):
        return 238, 241, 244
    share = min(1.0, abs(value) / reach) if reach > 0.0 else 0.0
    red, green, blue = _GOOD if value > 0.0 else _BAD
    return round(255 - (255 - red) * share), round(255 - (255 - green) * share), round(255 - (255 - blue) * share)


def reach_of(results: Sequence[SettingResult]) -> float:
    """The largest absolute ratio, which gets the full colour."""
    return max((abs(cell_value(one)) for one in results if not math.isnan(cell_value(one))), default=1.0) or 1.0


def table_of(result: SweepResult, profile: str, axes: Sequence[Axis]) -> list[list[float]]:
    """Ratios of *profile* over the first axis (rows) and the second (columns), the mean over any further ones."""
    across = axes[1].values if len(axes) > 1 else (None,)
    return [[_mean_at(result, profile, axes, row, column) for column in across] for row in axes[0].values]


def _mean_at(result: SweepResult, profile: str, axes: Sequence[Axis], row: float, column: float | None) -> float:
    wanted = {(axes[0].key, row)} | ({(axes[1].key, column)} if column is not None else set())
    values = [
        cell_value(one) for one in result.results
        if one.setting.profile == profile and wanted <= set(one.setting.changes)
    ]
    known = [value for value in values if not math.isnan(value)]
    return ordered_sum(known) / len(known) if known else math.nan


def sweep_svg(result: SweepResult, axes: Sequence[Axis]) -> str:
    """One ``<svg>``: heat maps for a grid of two keys or more, curves for one, bars for none."""
    profiles = tuple(dict.fromkeys(one.setting.profile for one in result.results))
    if len(axes) > 1:
        parts, height = _heat_maps(result, profiles, axes)
    elif axes:
        parts, height = _curves(result, profiles, axes[0])
    else:
        parts, height = _bars(result)
    title = f"Sharpe ratio over the whole history, {result.trials} settings; out of sample see the table"
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' width='100%' role='img' {_FONT} "
        f"fill='{_INK}'><title>{escape(title)}</title><rect width='{WIDTH}' height='{height}' fill='white'/>"
        f"<text x='16' y='28' font-size='15'>{escape(title)}</text>{''.join(parts)}</svg>"
    )


def _heat_maps(result: SweepResult, profiles: Sequence[str], axes: Sequence[Axis]) -> tuple[list[str], int]:
    reach, parts, top = reach_of(result.results), [], _TOP
    width = min(90.0, (WIDTH - _LEFT - 20) / len(axes[1].values))
    for profile in profiles:
        parts.append(f"<text x='16' y='{top - 24}' font-weight='600'>{escape(profile)}</text>")
        keys = f"{escape(axes[1].key)} across, {escape(axes[0].key)} down"
        parts.append(f"<text x='{_LEFT}' y='{top - 24}'>{keys}</text>")
        for number, column in enumerate(axes[1].values):
            x = _LEFT + (number + 0.5) * width
            parts.append(f"<text x='{x:.1f}' y='{top - 6}' text-anchor='middle'>{column:g}</text>")
        for line, (row, values) in enumerate(zip(axes[0].values, table_of(result, profile, axes), strict=True)):
            y = top + line * _ROW
            parts.append(f"<text x='{_LEFT - 8}' y='{y + 17}' text-anchor='end'>{row:g}</text>")
            for number, value in enumerate(values):
                x = _LEFT + number * width
                colour = "#{:02x}{:02x}{:02x}".format(*shade(value, reach))
                word = "" if math.isnan(value) else f"{value:.2f}"
                parts.append(
                    f"<rect x='{x:.1f}' y='{y}' width='{width - 1:.1f}' height='{_ROW - 1}' fill='{colour}'/>"
                    f"<text x='{x + width / 2:.1f}' y='{y + 17}' text-anchor='middle'>{word}</text>"
                )
        top += len(axes[0].values) * _ROW + _GAP
    return parts, top


def _curves(result: SweepResult, profiles: Sequence[str], axis: Axis) -> tuple[list[str], int]:
    height, bottom, reach = 420, 370, reach_of(result.results)
    low, high = min(axis.values), max(axis.values)

    def at(value: float, ratio: float) -> tuple[float, float]:
        across = (value - low) / ((high - low) or 1.0)
        return _LEFT - 60 + across * (WIDTH - _LEFT), bottom - (ratio + reach) / (2.0 * reach) * (bottom - _TOP)

    parts = []
    for ratio in (-reach, 0.0, reach):
        y = at(low, ratio)[1]
        parts.append(
            f"<line x1='{_LEFT - 60}' x2='{WIDTH - 60}' y1='{y:.1f}' y2='{y:.1f}' stroke='{_PALE}'/>"
            f"<text x='{_LEFT - 66}' y='{y + 4:.1f}' text-anchor='end'>{ratio:.2f}</text>"
        )
    for value in axis.values:
        parts.append(f"<text x='{at(value, 0.0)[0]:.1f}' y='{bottom + 20}' text-anchor='middle'>{value:g}</text>")
    parts.append(f"<text x='{WIDTH / 2}' y='{bottom + 42}' text-anchor='middle'>{escape(axis.key)}</text>")
    for number, profile in enumerate(profiles):
        colour = _COLOURS[number % len(_COLOURS)]
        values = [row[0] for row in table_of(result, profile, [axis])]
        points = [at(value, ratio) for value, ratio in zip(axis.values, values, strict=True) if not math.isnan(ratio)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2'/>")
        parts += [f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{colour}'/>" for x, y in points]
        parts.append(f"<text x='{_LEFT - 60 + number * 150}' y='56' fill='{colour}'>{escape(profile)}</text>")
    return parts, height


def _bars(result: SweepResult) -> tuple[list[str], int]:
    reach, parts = reach_of(result.results), []
    middle, half = (_LEFT + WIDTH - 40) / 2, (WIDTH - _LEFT - 60) / 2
    for line, one in enumerate(result.results):
        value, y = cell_value(one), _TOP - 20 + line * _ROW
        parts.append(f"<text x='{_LEFT - 8}' y='{y + 17}' text-anchor='end'>{escape(one.setting.label)}</text>")
        if not math.isnan(value):
            length = abs(value) / reach * half
            x = middle if value >= 0.0 else middle - length
            colour = "#{:02x}{:02x}{:02x}".format(*(_GOOD if value >= 0.0 else _BAD))
            parts.append(f"<rect x='{x:.1f}' y='{y}' width='{length:.1f}' height='{_ROW - 4}' fill='{colour}'/>")
        word = "no trades" if math.isnan(value) else f"{value:.2f}"
        parts.append(f"<text x='{WIDTH - 16}' y='{y + 17}' text-anchor='end'>{word}</text>")
    return parts, _TOP + len(result.results) * _ROW
