"""Notices become messages: grouped by kind within a window, held back in a cool-down and at night, never lost."""

from __future__ import annotations

import re

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.app.notify.desk import MOST_LINES, MOST_WAITING, DeskState, NoticeDesk
from quantum_trader.app.notify.notices import Notice, NoticeKind, NoticeLevel, NoticeMessage
from quantum_trader.app.notify.settings import KindSettings, NotifySettings
from quantum_trader.domain.clock import NS_PER_SECOND

S = NS_PER_SECOND
NOON = 1_700_049_600 * S  # 2023-11-15 12:00:00 UTC
TIMES = NotifySettings(kinds={
    "fill": KindSettings(window_s=60.0, cooldown_s=0.0), "halt": KindSettings(window_s=0.0, cooldown_s=300.0),
    "alert": KindSettings(enabled=False),
})


def fill(symbol: str = "BTCUSDT", text: str = "bought") -> Notice:
    """A fill of *symbol*."""
    return Notice(kind=NoticeKind.FILL, key=symbol, text=f"{symbol}: {text}")


def halt(key: str = "risk", text: str = "raised", level: NoticeLevel = NoticeLevel.CRITICAL) -> Notice:
    """A halt of one kind."""
    return Notice(kind=NoticeKind.HALT, key=key, text=text, level=level)


def told(messages: list[NoticeMessage]) -> list[tuple[str, str]]:
    """Titles and texts."""
    return [(one.title, one.text) for one in messages]


def test_fills_within_the_window_become_one_message() -> None:
    """Nothing before the window of the first is over; then all of them, the first first."""
    desk = NoticeDesk(TIMES, "run")
    desk.take([fill("BTCUSDT")], NOON)
    desk.take([fill("ETHUSDT"), fill("XRPUSDT")], NOON + 59 * S)

    assert desk.due(NOON + 59 * S) == []
    assert told(desk.due(NOON + 60 * S)) == [("run: 3 fills", "BTCUSDT: bought\nETHUSDT: bought\nXRPUSDT: bought")]
    assert desk.due(NOON + 600 * S) == []


def test_a_single_notice_is_called_by_its_name() -> None:
    """Without a number."""
    desk = NoticeDesk(TIMES, "run")
    desk.take([halt()], NOON)

    assert told(desk.due(NOON)) == [("run: halt", "raised")]


def test_a_key_is_held_back_in_its_cool_down_and_another_is_not() -> None:
    """What came meanwhile is told together when the cool-down is over."""
    desk = NoticeDesk(TIMES, "run")
    desk.take([halt("risk", "first")], NOON)
    assert told(desk.due(NOON)) == [("run: halt", "first")]

    desk.take([halt("risk", "second"), halt("operator", "other"), halt("risk", "third")], NOON + 10 * S)

    assert told(desk.due(NOON + 10 * S)) == [("run: halt", "other")]
    assert desk.due(NOON + 299 * S) == []
    assert told(desk.due(NOON + 300 * S)) == [("run: 2 halts", "second\nthird")]


def test_a_message_has_the_level_of_its_gravest_notice() -> None:
    """Whatever their order."""
    desk = NoticeDesk(TIMES, "run")
    desk.take([halt("a", level=NoticeLevel.INFO), halt("b", level=NoticeLevel.CRITICAL),
               halt("c", level=NoticeLevel.WARNING)], NOON)

    assert [one.level for one in desk.due(NOON)] == [NoticeLevel.CRITICAL]


def test_quiet_hours_hold_back_fills_and_let_halts_and_stops_through() -> None:
    """Over midnight, in the time zone that is set; in the morning the fills come in one message."""
    settings = msgspec.structs.replace(TIMES, quiet_hours="22:00-07:00", timezone="Europe/Berlin")
    desk = NoticeDesk(settings, "run")
    night = NOON + 9 * 3600 * S + 1800 * S  # 22:30 in Berlin
    desk.take([fill(), halt(), Notice(kind=NoticeKind.STOPPED, key="dead", text="dead")], night)
    desk.take([fill("ETHUSDT")], night + 3600 * S)

    assert [one.kind for one in desk.due(night + 3700 * S)] == [NoticeKind.HALT, NoticeKind.STOPPED]
    assert desk.due(night + 8 * 3600 * S + 1799 * S) == []  # 6:59:59
    assert told(desk.due(night + 8 * 3600 * S + 1800 * S)) == [("run: 2 fills", "BTCUSDT: bought\nETHUSDT: bought")]


def test_quiet_hours_within_a_day_end_the_same_day() -> None:
    """The start is quiet, the end is not."""
    desk = NoticeDesk(msgspec.structs.replace(TIMES, quiet_hours="12:00-13:30"), "run")

    assert [desk.is_quiet(NOON + minutes * 60 * S) for minutes in (-1, 0, 89, 90)] == [False, True, True, False]


def test_a_kind_that_is_not_enabled_is_not_told() -> None:
    """Nor kept."""
    desk = NoticeDesk(TIMES, "run")
    desk.take([Notice(kind=NoticeKind.ALERT, key="x", text="x")], NOON)

    assert desk.due(NOON + 3600 * S) == []
    assert desk.state.waiting == []


def test_a_flood_is_counted_and_not_printed() -> None:
    """A message has a bound, and so has what waits; the number told is that of all."""
    desk = NoticeDesk(TIMES, "run")
    desk.take([fill(text="x" * 10_000) for _ in range(MOST_WAITING + 500)], NOON)
    (message,) = desk.due(NOON + 60 * S)

    assert message.title == f"run: {MOST_WAITING + 500:,} fills"
    assert message.text.endswith(f"and {MOST_WAITING + 500 - MOST_LINES:,} more")
    assert len(message.text) < 20_000


def test_a_reason_with_line_ends_stays_on_its_line() -> None:
    """What a person or a venue has written cannot look like another notice."""
    desk = NoticeDesk(TIMES, "run")
    desk.take([halt(text="maintenance\nBTCUSDT: closed\x1b[2J")], NOON)

    assert told(desk.due(NOON)) == [("run: halt", "maintenance\\nBTCUSDT: closed\\x1b[2J")]


def test_a_clock_that_was_set_back_holds_nothing_back() -> None:
    """Neither a window nor a cool-down that began in the future keeps a halt from being told."""
    desk = NoticeDesk(TIMES, "run")
    desk.take([halt("risk", "first")], NOON)
    desk.due(NOON)
    desk.take([halt("risk", "second"), fill()], NOON)

    assert [one.kind for one in desk.due(NOON - 86_400 * S)] == [NoticeKind.HALT, NoticeKind.FILL]


EVENTS = st.lists(st.tuples(
    st.sampled_from(["take", "due", "restart"]), st.sampled_from([NoticeKind.FILL, NoticeKind.HALT, NoticeKind.TRADE]),
    st.sampled_from(["a", "b"]), st.integers(0, 4_000),
), max_size=40)


@given(EVENTS, st.booleans())
def test_every_notice_is_told_once_whatever_comes_between(events: list[tuple[str, NoticeKind, str, int]], quiet: bool) \
        -> None:
    """Through windows, cool-downs, quiet hours and restarts from what was saved."""
    settings = msgspec.structs.replace(TIMES, quiet_hours="12:00-13:00" if quiet else "")
    desk, now_ns, texts, heard = NoticeDesk(settings, "run"), NOON, [], []
    for what, kind, key, seconds in events:
        now_ns += seconds * S
        if what == "take":
            texts.append(f"<{len(texts)}>")
            desk.take([Notice(kind=kind, key=key, text=texts[-1])], now_ns)
        elif what == "due":
            heard += [text for one in desk.due(now_ns) for text in re.findall(r"<\d+>", one.text)]
        else:
            saved = msgspec.json.encode(desk.state)
            desk = NoticeDesk(settings, "run", msgspec.json.decode(saved, type=DeskState))
    for _ in range(2):
        now_ns += 86_000 * S + 3_600 * S
        heard += [text for one in desk.due(now_ns) for text in re.findall(r"<\d+>", one.text)]

    assert sorted(heard) == sorted(texts)
