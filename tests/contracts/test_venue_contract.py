"""Every venue adapter, found by itself, against the one contract."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .venue_contract import BENCHES, Bench, adapters, checks

ADAPTERS = list(adapters())


def test_every_adapter_brings_a_bench() -> None:
    """An adapter nobody can test does not pass, and the paper venue is among them."""
    assert {kind.__name__ for kind in ADAPTERS} == set(BENCHES)
    assert "PaperVenue" in BENCHES


@pytest.mark.parametrize("kind", ADAPTERS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("check", checks(), ids=lambda check: check.__name__)
def test_adapter_keeps_the_contract(kind: type, check: Callable[[Bench], None]) -> None:
    """Each check passes on a fresh bench of the adapter, which is an instance of the class that was found."""
    bench = BENCHES[kind.__name__]()
    assert isinstance(bench.venue, kind)
    check(bench)
