"""Any sequence of changes: aliases follow a plain model of stacks, and what is written is read again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.errors import StateError
from quantum_trader.lab.registry.state import (
    ALIASES,
    Author,
    RegistryState,
    decode_registry,
    encode_registry,
    promoted,
    rolled_back,
)

AUTHOR = Author(actor="ann", reason="x", ts_ns=1)
IDS = [f"{number:064x}" for number in range(4)]
KINDS = st.sampled_from(["pilot", "table"])
STEPS = st.lists(st.tuples(KINDS, st.sampled_from(ALIASES), st.sampled_from([*IDS, ""])), max_size=40)


@given(steps=STEPS)
def test_promotions_and_rollbacks_are_those_of_a_stack(steps: list[tuple[str, str, str]]) -> None:
    """Each alias of each kind has a stack of its own; an empty id stands for a rollback."""
    state = RegistryState()
    stacks: dict[tuple[str, str], list[str]] = {}
    changes = 0
    for kind, alias, model_id in steps:
        stack = stacks.setdefault((kind, alias), [])
        if model_id:
            state = promoted(state, AUTHOR, kind, alias, model_id)
            if stack[-1:] != [model_id]:
                stack.append(model_id)
                changes += 1
        elif len(stack) < 2:
            with pytest.raises(StateError, match="no earlier one"):
                rolled_back(state, AUTHOR, kind, alias)
        else:
            state = rolled_back(state, AUTHOR, kind, alias)
            stack.pop()
            changes += 1
        assert state.aliases.get(kind, {}).get(alias, "") == (stack[-1] if stack else "")
        assert state.version == changes
    assert decode_registry(encode_registry(state)) == state


@given(place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_changed_byte_is_found(place: int, byte: int) -> None:
    """The state is the same or refused with ValueError: blanks between tokens are no change."""
    state = promoted(promoted(RegistryState(), AUTHOR, "pilot", "champion", IDS[1]), AUTHOR, "pilot", "shadow", IDS[2])
    content = bytearray(encode_registry(state))
    content[place % len(content)] = byte
    try:
        found = decode_registry(bytes(content))
    except ValueError:
        return
    assert found == state
