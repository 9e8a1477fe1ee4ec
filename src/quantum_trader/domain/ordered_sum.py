"""The sum of floats, the same to the last bit on every supported Python."""

from __future__ import annotations

from collections.abc import Iterable


def ordered_sum(values: Iterable[float]) -> float:
    """Return the sum of *values*, in their unit, added from left to right starting at 0.0; each addition is rounded.

    The built-in ``sum`` compensates the rounding of floats since Python 3.12, so its last bits depend on the
    interpreter. This function makes every sum of floats that a decision, a record or a report uses. Sums of integers
    are exact and may use the built-in; ``math.fsum``, which rounds once, is the same on every version.
    """
    total = 0.0
    for value in values:
        total += value
    return total
