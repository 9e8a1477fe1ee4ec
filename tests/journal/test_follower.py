"""Following a journal: new events of some kinds, each once, wherever they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quantum_trader.journal.event_logger import EventLogger
from quantum_trader.journal.follower import JournalFollower, journal_stamp
from quantum_trader.journal.lake import Lake

KINDS = ("halt.raised", "trade.closed")


def follower(directory: Path) -> JournalFollower:
    """A follower of KINDS that may ask the journal."""
    def ask(query: str, params: list[Any]) -> list[dict[str, Any]]:
        return list(Lake(directory).answer(query, params).rows())

    return JournalFollower(directory, KINDS, ask)


def line(number: int) -> bytes:
    """A record."""
    return b'{"topic":"halt.raised","trace_id":"tr1","data":{"symbol":"BTCUSDT","n":%d}}' % number


def numbers(rows: list[dict[str, Any]]) -> list[int]:
    """Of the records."""
    return [int(row["payload"].partition('"n":')[2].rstrip("}")) for row in rows]


def test_what_is_there_already_is_not_new_and_each_event_comes_once(tmp_path: Path) -> None:
    """Kinds that nobody follows are passed over."""
    directory = tmp_path / "journal"
    with EventLogger(directory, producer="a") as logger:
        logger.log_checked_line("halt.raised", 1, line(0), 1)
        following = follower(directory)
        assert following.read(10).rows == []
        for number in (1, 2):
            logger.log_checked_line("halt.raised", number + 1, line(number), 1)
            logger.log_checked_line("signal.decided", number + 1, line(9), 1)
        found = following.read(10)
        assert (numbers(found.rows), found.left_out) == ([1, 2], 0)
        row = found.rows[0]
        assert (row["kind"], row["symbol"], row["trace_id"], row["producer"]) == ("halt.raised", "BTCUSDT", "tr1", "a")
        assert (row["ts_ns"], row["seq"], row["payload"]) == (2, 2, line(1).decode())
        assert following.read(10).rows == []


def test_events_of_a_journal_and_of_a_producer_that_begin_later_are_new(tmp_path: Path) -> None:
    """From their first event on."""
    directory = tmp_path / "journal"
    following = follower(directory)
    assert following.read(10).rows == []
    with EventLogger(directory, producer="a") as logger:
        logger.log_checked_line("halt.raised", 1, line(1), 1)
        assert numbers(following.read(10).rows) == [1]
    with EventLogger(directory, producer="b") as logger:
        logger.log_checked_line("halt.raised", 1, line(2), 1)
        assert numbers(following.read(10).rows) == [2]


def test_events_that_were_published_between_two_looks_are_asked_for(tmp_path: Path) -> None:
    """As rows of the same form, with those before the newest counted."""
    directory = tmp_path / "journal"
    with EventLogger(directory, producer="a") as logger:
        logger.log_checked_line("halt.raised", 1, line(0), 1)
        following = follower(directory)
        following.read(10)
        for number in range(1, 8):
            logger.log_checked_line("halt.raised", number + 1, line(number), 1)
    found = Lake(directory).sql("select count(*) as n from events")  # its flusher has ended, and has published all
    assert found["n"][0].as_py() == 8
    assert list((directory / "wal").glob("*.seg")) == []
    news = following.read(3)
    assert (numbers(news.rows), news.left_out) == ([5, 6, 7], 4)
    assert news.rows[0]["payload"] == line(5).decode()


def test_of_many_events_the_newest_are_rows_and_the_others_are_counted(tmp_path: Path) -> None:
    """Over several blocks of the log too."""
    directory = tmp_path / "journal"
    following = follower(directory)
    following.read(10)
    with EventLogger(directory, producer="a") as logger:
        for number in range(300):
            logger.log_checked_line("halt.raised", number + 1, line(number), 1)
        news = following.read(10)
        assert (numbers(news.rows), news.left_out) == (list(range(290, 300)), 290)


def test_the_stamp_changes_with_each_event_alone(tmp_path: Path) -> None:
    """A look that finds the same stamp opens nothing."""
    directory = tmp_path / "journal"
    empty = journal_stamp(directory)
    with EventLogger(directory, producer="a") as logger:
        logger.log_checked_line("halt.raised", 1, line(1), 1)
        one = journal_stamp(directory)
        logger.log_checked_line("halt.raised", 1, line(1), 1)
        assert len({empty, one, journal_stamp(directory)}) == 3
