"""Charts: ticks a person would choose, gaps kept, bands at pixel resolution."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.app.report.charts import (
    WIDE,
    Line,
    bar_rows,
    histogram,
    merged_bands,
    sparkline,
    ticks,
    time_chart,
    time_ticks,
)

FIRST, LAST = 1_506_816_000, 1_569_888_000  # 2017-10-01, 2019-10-01


@given(low=st.floats(-1e6, 1e6), span=st.floats(1e-3, 1e6))
def test_ticks_are_round_and_inside(low: float, span: float) -> None:
    """Between two and a dozen, evenly spaced, inside the range."""
    found = ticks(low, low + span)

    assert 2 <= len(found) <= 12
    assert all(low - span * 1e-9 <= tick <= low + span * (1 + 1e-9) for tick in found)


def test_long_spans_are_ticked_at_the_starts_of_months() -> None:
    """Two years: quarters."""
    labels = [label for _, label in time_ticks(FIRST, LAST)]

    assert labels[:3] == ["Jan 2018", "Apr 2018", "Jul 2018"]


def test_short_spans_are_ticked_in_days() -> None:
    """Ten days: one tick a day."""
    assert len(time_ticks(FIRST, FIRST + 10 * 86_400)) == 10


def test_a_missing_value_breaks_the_line() -> None:
    """A gap is a gap, not a straight line across it."""
    line = Line(name="price", values=[1.0, 2.0, None, 3.0, 4.0], style="price")

    chart = time_chart("x", [0, 1, 2, 3, 4], [line], str)

    assert chart.count("<polyline") == 2


def test_bands_take_the_state_that_fills_most_of_a_pixel() -> None:
    """A thousand short closures do not paint the whole chart closed."""
    width = (LAST - FIRST) / 10_000
    bands = [
        [int(FIRST + i * width), int(FIRST + (i + 1) * width), 2 if i % 10 == 0 else 0] for i in range(10_000)
    ]

    assert merged_bands(bands, FIRST, LAST) == []
    assert len(merged_bands([[FIRST, LAST, 2]], FIRST, LAST)) == 1


def test_coordinates_stay_inside_the_picture() -> None:
    """Also on a logarithmic axis."""
    line = Line(name="equity", values=[10_000.0, 100.0, 1.0, 50_000.0], style="equity")

    chart = time_chart("x", [0, 1, 2, 3], [line], str, log=True)

    points = re.findall(r"([\d.]+),([\d.-]+)", re.findall(r'points="([^"]+)"', chart)[0])
    assert all(0.0 <= float(x) <= WIDE.width and 0.0 <= float(y) <= 260.0 for x, y in points)


def test_empty_charts_say_so() -> None:
    """Rather than an empty box."""
    for chart in (time_chart("x", [], [], str), bar_rows("x", []), histogram("x", [0.0, 1.0], [0], str)):
        assert "Nothing to draw" in chart


def test_a_sparkline_rises_with_its_values_and_ends_with_the_newest() -> None:
    """Lowest and highest block where lowest and highest values are."""
    line = sparkline([float(i) for i in range(1_000)], 20)

    assert len(line) == 20
    assert line[0] == "▁"
    assert line[-1] == "█"
    assert sparkline([5.0] * 9, 20) == "▁" * 9
