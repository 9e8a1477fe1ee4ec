"""Any sequence of changes, by programs with caches of their own, reads back as a model of it says."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.enums import PilotMode
from quantum_trader.domain.errors import ConfigError
from quantum_trader.policy import PolicyStore
from quantum_trader.policy.policy_store import StaleVersionError

GOOD = st.fixed_dictionaries({}, optional={
    "enabled": st.booleans(), "mode": st.sampled_from([mode.value for mode in PilotMode]),
    "min_confidence": st.sampled_from([0.0, 0.25, 0.6, 1.0]), "max_trades_per_hour": st.integers(0, 3),
})
BAD = st.sampled_from([
    {"mode": "off"}, {"min_confidence": 1.5}, {"enabled": True, "max_trades_per_hour": -1}, {"x": 1},
])
STEPS = st.lists(st.tuples(st.integers(0, 1), GOOD | BAD, st.sampled_from(["newest", "any", "old"])), max_size=8)
DEFAULTS = {"enabled": True, "mode": "SHADOW", "min_confidence": 0.6, "max_trades_per_hour": 10}


def accepted(values: dict[str, Any]) -> bool:
    """Whether the model takes *values*."""
    return "x" not in values and values.get("mode") != "off" and values.get("min_confidence", 0) <= 1 and (
        values.get("max_trades_per_hour", 0) >= 0
    )


def plain(settings: Any) -> dict[str, Any]:
    """The settings as the model holds them."""
    return {name: getattr(getattr(settings, name), "value", getattr(settings, name)) for name in DEFAULTS}


@given(STEPS)
def test_any_sequence_of_changes_reads_back_as_its_model(steps: list[tuple[int, dict[str, Any], str]]) -> None:
    """Accepted changes and their history, in order; refused ones leave nothing behind."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.json"
        now = [0]
        stores = [PolicyStore(path, clock=lambda: now[0]) for _ in range(2)]
        model, history = dict(DEFAULTS), []
        for which, values, against in steps:
            now[0] += 1  # within the cache of the other store
            seen = {"newest": len(history), "any": None, "old": len(history) - 1}[against]
            try:
                stores[which].change(values, seen_version=seen, actor=f"program {which}", reason="r")
            except StaleVersionError:
                assert against == "old"
                continue
            except ConfigError:
                assert not accepted(values)
                continue
            assert accepted(values)
            assert against != "old"
            if model | values != model:
                history.append((now[0], f"program {which}", dict(model), model | values))
                model |= values
            assert plain(stores[which].pilot) == model
        now[0] += 10**10
        for store in (*stores, PolicyStore(path)):
            state = store.read().state
            assert (plain(state.pilot), state.version, store.read().trouble) == (model, len(history), "")
            assert [(one.ts_ns, one.actor, plain(one.before), plain(one.after)) for one in state.changes] == history
