"""Where keys lead: over rows, lines and pages, into what is open and back; and what a page that grows does to it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.app.terminal.keys import (
    BACK,
    BEFORE,
    DOWN,
    END,
    HOME,
    NEXT,
    OPEN,
    PAGE_DOWN,
    PAGE_UP,
    QUIT,
    UP,
)
from quantum_trader.app.terminal.place import NAMES, Seen, WatchPlace, followed, place_after

KEYS = [BACK, BEFORE, DOWN, END, HOME, NEXT, OPEN, PAGE_DOWN, PAGE_UP, UP, "1", "3", "9"]


def list_of(number: int, height: int = 10, before: int = 4, behind: int = 3) -> Seen:
    """A page of *number* rows of one line with lines before and behind them."""
    rows = {f"r{one}": (before + one, before + one) for one in range(number)}
    return Seen(rows=rows, lines=before + number + behind, height=height)


def test_rows_are_chosen_one_by_one_and_stay_on_the_screen() -> None:
    """Down from the top to the last row, then to the lines behind it; up to the first row shows what is above it."""
    seen, place = list_of(12), WatchPlace(page="decisions")
    rows = []
    for _ in range(14):
        found = place_after(place, [DOWN], seen)
        assert found is not None
        place = found
        rows.append(place.row)
    assert rows[:12] == [f"r{one}" for one in range(12)]
    assert (place.row, place.line) == ("r11", seen.last - 1)
    up = place_after(place, [UP] * 11, seen)
    assert up is not None
    assert (up.row, up.line) == ("r0", 0)


def test_a_page_without_rows_moves_by_lines_and_screens() -> None:
    """And stops at its ends."""
    seen, place = Seen(lines=50, height=10), WatchPlace(page="health")
    assert place_after(place, [DOWN, DOWN, UP], seen) == WatchPlace(page="health", line=1)
    assert place_after(place, [PAGE_DOWN], seen) == WatchPlace(page="health", line=9)
    assert place_after(place, [END, DOWN], seen) == WatchPlace(page="health", line=40)
    assert place_after(place, [END, HOME, PAGE_UP], seen) == place


def test_a_row_opens_and_back_leads_where_one_was() -> None:
    """Nothing opens where no row is chosen; keys typed ahead of the drawing do not act on what is not shown yet."""
    seen, place = list_of(12), WatchPlace(page="decisions")
    assert place_after(place, [OPEN], seen) == place
    opened = place_after(place, [END, OPEN, DOWN], seen)
    assert opened == WatchPlace(page="decisions", row="r11", item="r11", under=seen.last)
    assert opened is not None
    scrolled = place_after(opened, [DOWN, BACK], Seen(lines=30, height=10))
    assert scrolled == WatchPlace(page="decisions", row="r11", line=seen.last)
    assert place_after(opened, [NEXT], seen) == WatchPlace(page=NAMES[NAMES.index("decisions") + 1])


def test_pages_follow_one_another_and_end_where_they_begin() -> None:
    """Digits of no page do nothing; q ends."""
    first, last = WatchPlace(page=NAMES[0]), WatchPlace(page=NAMES[-1])
    assert place_after(first, [BEFORE], Seen()) == last
    assert place_after(last, [NEXT], Seen()) == first
    assert place_after(first, ["2", "9"], Seen()) == WatchPlace(page=NAMES[1])
    assert place_after(first, ["2", QUIT], Seen()) is None


def test_a_chosen_row_is_followed_where_newer_ones_come() -> None:
    """It stays chosen and on the screen; where it is gone, the one in its place is chosen."""
    before = list_of(12)
    place = place_after(WatchPlace(page="decisions"), [DOWN] * 5, before)
    assert place is not None
    assert (place.row, place.line) == ("r4", 0)
    moved = {name: (first + 9, last + 9) for name, (first, last) in before.rows.items()}
    now = Seen(rows={"n0": (4, 12), **moved}, lines=before.lines + 9, height=10)
    after = followed(place, before, now)
    assert (after.row, now.shows("r4", after.line)) == ("r4", True)
    gone = Seen(rows={name: at for name, at in before.rows.items() if name != "r4"}, lines=19, height=10)
    assert followed(place, before, gone).row == "r5"
    assert followed(place, before, Seen(lines=3, height=10)).row == ""


@given(st.lists(st.sampled_from(KEYS), max_size=40), st.integers(0, 30), st.integers(1, 12), st.integers(0, 30))
def test_the_screen_never_leaves_the_page(keys: list[str], rows: int, height: int, later: int) -> None:
    """Whatever is pressed, and however the page changes: a line of it stands first, and a chosen row is one of it."""
    seen, place = list_of(rows, height), WatchPlace(page="decisions")
    for key in keys:
        found = place_after(place, [key], seen)
        assert found is not None
        same = (found.page, found.item) == (place.page, place.item)
        now = list_of(later, height) if same and key == DOWN else seen
        place = followed(found, seen if same else now, now)
        seen = now
        assert 0 <= place.line <= seen.last
        assert place.item or not place.row or place.row in seen.rows


