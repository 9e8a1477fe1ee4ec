"""Array forms of ``@scalar`` functions that are written without branches: the same source on numpy or jax.numpy.

``market.jit.compiled`` makes machine code of the same functions. Such a function calls nothing but other scalars and
the functions named in ``NAMES``.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, Final

from quantum_trader.domain.scalar import is_scalar

NAMES: Final = (
    "ceil", "floor", "isfinite", "isnan", "log1p", "logical_not", "maximum", "minimum", "rint", "sign", "where",
)
"""The functions of numpy and of jax.numpy that may be called."""


def array_form(function: Callable[..., Any], xp: Any) -> Any:
    """Return *function* on arrays of *xp* (numpy or jax.numpy) of any shapes that broadcast, instead of on scalars."""
    return _form(function, xp, {})


def _form(function: Callable[..., Any], xp: Any, made: dict[Callable[..., Any], Callable[..., Any]]) -> Any:
    """A copy of *function* with the array forms of the scalars that it calls; *made* holds those that are there."""
    if function in made:
        return made[function]
    assert isinstance(function, types.FunctionType)
    bindings = dict(function.__globals__)
    for name in function.__code__.co_names:
        target = bindings.get(name)
        if name in NAMES and target is not None:
            bindings[name] = getattr(xp, name)
        elif target is not None and is_scalar(target):
            bindings[name] = _form(target, xp, made)
    copy = types.FunctionType(function.__code__, bindings, function.__name__, function.__defaults__)
    copy.__module__, copy.__doc__ = function.__module__, function.__doc__
    made[function] = copy
    return copy
