"""Answers that are kept: shown at once, made anew in the background, never more than a share of the time."""

from __future__ import annotations

import asyncio
from threading import Event

import pytest

from quantum_trader.app.api import kept_answers
from quantum_trader.app.api.errors import ApiError
from quantum_trader.app.api.kept_answers import KeptAnswers


def test_an_answer_is_made_once_for_each_state_of_the_journal() -> None:
    """And for each key."""
    stamp, made = [1], []

    def make() -> bytes:
        made.append(stamp[0])
        return b"%d" % stamp[0]

    async def drive() -> None:
        kept = KeptAnswers(lambda: stamp[0])
        assert [await kept.answer("a", make) for _ in range(3)] == [b"1", b"1", b"1"]
        assert made == [1]
        stamp[0] = 2
        await asyncio.sleep(0.1)  # longer than the share of the first making
        assert await kept.answer("a", make) == b"2"
        assert await kept.answer("b", make) == b"2"
        assert made == [1, 2, 2]

    asyncio.run(drive())


def test_while_an_answer_is_made_anew_the_older_one_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """One making at a time, whoever asks."""
    monkeypatch.setattr(kept_answers, "GRACE_S", 0.02)
    stamp, go, made = [1], Event(), []

    def make() -> bytes:
        made.append(stamp[0])
        if stamp[0] == 2:
            assert go.wait(10.0)
        return b"%d" % stamp[0]

    async def drive() -> None:
        kept = KeptAnswers(lambda: stamp[0])
        assert await kept.answer("a", make) == b"1"
        stamp[0] = 2
        await asyncio.sleep(0.1)
        assert [await kept.answer("a", make) for _ in range(3)] == [b"1", b"1", b"1"]
        assert made == [1, 2]
        go.set()
        async with asyncio.timeout(10.0):
            while await kept.answer("a", make) != b"2":
                await asyncio.sleep(0.01)
        assert made == [1, 2]

    asyncio.run(drive())


def test_an_answer_that_took_long_is_not_made_anew_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that is open all day costs a share of a processor, however fast the journal grows."""
    monkeypatch.setattr(kept_answers, "SHARE", 1e9)
    stamp = [1]

    async def drive() -> None:
        kept = KeptAnswers(lambda: stamp[0])
        assert await kept.answer("a", lambda: b"1") == b"1"
        stamp[0] = 2
        assert await kept.answer("a", lambda: b"2") == b"1"

    asyncio.run(drive())


def test_what_making_raises_is_raised_where_there_is_no_older_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again at the next request; a first answer that takes too long is refused, and made on."""
    monkeypatch.setattr(kept_answers, "PATIENCE_S", 0.02)
    go = Event()

    def fails() -> bytes:
        raise ApiError(404, "nothing")

    def slow() -> bytes:
        assert go.wait(10.0)
        return b"late"

    async def drive() -> None:
        kept = KeptAnswers(lambda: 1)
        with pytest.raises(ApiError, match="nothing"):
            await kept.answer("a", fails)
        assert await kept.answer("a", lambda: b"1") == b"1"
        with pytest.raises(ApiError, match="/b: is still being computed"):
            await kept.answer("/b?x", slow)
        go.set()
        async with asyncio.timeout(10.0):
            while True:
                try:
                    assert await kept.answer("/b?x", slow) == b"late"
                    break
                except ApiError:
                    await asyncio.sleep(0.01)

    asyncio.run(drive())
