"""The mark of a scalar function: one definition for the object code and for compiled kernels.

A ``@scalar`` function takes and returns numbers, tuples and indexable sequences only. Called as it is, it is plain
Python; ``quantum_trader.market.jit.compiled`` turns the very same source into machine code. This module knows
nothing of a compiler, so that importing the policy as a library stays light.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])


def scalar(function: _Function) -> _Function:
    """Mark *function* as compilable; it stays the plain Python function it is."""
    function.__scalar__ = True  # type: ignore[attr-defined]
    return function


def is_scalar(value: object) -> bool:
    """Whether *value* was marked by :func:`scalar`."""
    return getattr(value, "__scalar__", False) is True
