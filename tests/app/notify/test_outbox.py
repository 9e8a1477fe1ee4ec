"""The outbox: each message to each target once, again where it failed, and honestly after a stop in between."""

from __future__ import annotations

import msgspec

from quantum_trader.app.notify.notices import NoticeKind, NoticeLevel, NoticeMessage
from quantum_trader.app.notify.outbox import KEPT, REPEATED, Outbox, OutboxState
from quantum_trader.app.notify.sender import Delivered
from quantum_trader.domain.clock import NS_PER_SECOND

S = NS_PER_SECOND
NOW = 1_700_000_000 * S
MESSAGE = NoticeMessage(kind=NoticeKind.HALT, title="run: halt", text="risk", level=NoticeLevel.CRITICAL)
OK, FAILED = Delivered(True), Delivered(False, "unreachable")


def restarted(box: Outbox) -> Outbox:
    """The same box after a restart of the program."""
    return Outbox(msgspec.json.decode(msgspec.json.encode(box.state), type=OutboxState))


def test_a_target_that_failed_is_tried_again_later_and_the_others_are_not() -> None:
    """The pause doubles."""
    box = Outbox()
    box.add(MESSAGE, ["phone", "desk"], NOW)
    for errand in box.begin(NOW, ["phone", "desk"]):
        box.ended(errand, OK if errand.target == "desk" else FAILED, NOW)

    assert box.begin(NOW + 9 * S, ["phone", "desk"]) == []
    (again,) = box.begin(NOW + 10 * S, ["phone", "desk"])
    box.ended(again, FAILED, NOW + 10 * S)
    assert again.target == "phone"
    assert box.begin(NOW + 29 * S, ["phone", "desk"]) == []
    (third,) = box.begin(NOW + 30 * S, ["phone", "desk"])
    box.ended(third, OK, NOW + 30 * S)
    assert box.waiting == 0
    assert box.state.messages[0].told_ns == {"desk": NOW, "phone": NOW + 30 * S}


def test_what_is_being_sent_is_not_sent_a_second_time_meanwhile() -> None:
    """However long it takes."""
    box = Outbox()
    box.add(MESSAGE, ["phone"], NOW)
    box.begin(NOW, ["phone"])

    assert box.begin(NOW + 3600 * S, ["phone"]) == []


def test_a_restart_sends_neither_what_was_told_nor_loses_what_was_not() -> None:
    """The text of what was not begun is unchanged."""
    box = Outbox()
    box.add(MESSAGE, ["phone", "desk"], NOW)
    for errand in box.begin(NOW, ["phone", "desk"]):
        box.ended(errand, OK if errand.target == "desk" else FAILED, NOW)

    found = restarted(box).begin(NOW + 60 * S, ["phone", "desk"])

    assert [(one.target, one.message.text) for one in found] == [("phone", "risk")]


def test_a_message_that_was_being_sent_at_a_kill_is_sent_again_and_says_so() -> None:
    """Once: a second restart does not say it twice."""
    box = Outbox()
    box.add(MESSAGE, ["phone"], NOW)
    box.begin(NOW, ["phone"])

    once = restarted(box)
    (errand,) = once.begin(NOW, ["phone"])
    assert errand.message.text == f"{REPEATED}risk"
    (errand,) = restarted(once).begin(NOW, ["phone"])
    assert errand.message.text == f"{REPEATED}risk"


def test_a_message_is_given_up_after_a_day() -> None:
    """And the reason is kept for the list."""
    box = Outbox()
    box.add(MESSAGE, ["phone"], NOW)
    (errand,) = box.begin(NOW, ["phone"])
    box.ended(errand, FAILED, NOW + 86_401 * S)

    assert box.waiting == 0
    assert box.state.messages[0].given_up == {"phone": "unreachable"}


def test_a_target_that_left_the_settings_is_given_up() -> None:
    """Its messages do not wait for ever."""
    box = Outbox()
    box.add(MESSAGE, ["phone", "desk"], NOW)

    assert [one.target for one in box.begin(NOW, ["desk"])] == ["desk"]
    assert list(box.state.messages[0].given_up) == ["phone"]


def test_messages_that_are_over_are_kept_for_the_list_up_to_a_bound() -> None:
    """The newest ones."""
    box = Outbox()
    for number in range(KEPT + 20):
        box.add(MESSAGE, ["phone"], NOW + number)
        for errand in box.begin(NOW + number, ["phone"]):
            box.ended(errand, OK, NOW + number)

    assert [one.number for one in box.state.messages] == list(range(21, KEPT + 21))


def test_a_message_without_a_target_is_not_kept() -> None:
    """Nobody wants it."""
    box = Outbox()
    box.add(MESSAGE, [], NOW)

    assert box.state.messages == []
