"""The ``@scalar`` decorator: marks functions that plain Python and compiled kernels share.

A ``@scalar`` function takes and returns numbers, tuples and indexable sequences only. Called directly, it runs as plain
Python; ``quantum_trader.market.jit.compiled`` compiles the same source to machine code. This module imports no
compiler, so importing the policy as a library stays light.
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
