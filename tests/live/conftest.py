"""A warm live world for the tests of this room."""

from __future__ import annotations

import pytest
from tests.live.live_world import World


@pytest.fixture(scope="module")
def warm() -> bytes:
    """The state of a world with bars behind it, packed."""
    world = World().begin()
    world.session.checkpoint()
    assert world.store.content is not None
    return world.store.content


@pytest.fixture
def world(warm: bytes) -> World:
    """A warm world with 10,000 USDT and nothing open."""
    made = World()
    made.store.content = warm
    made.session.recover()
    made.log.entries.clear()
    return made
