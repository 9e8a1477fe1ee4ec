"""Many tests at once: the false discovery rate.

Source: Y. Benjamini and Y. Hochberg, "Controlling the False Discovery Rate", Journal of the Royal Statistical Society B
57(1), 1995. The step-up method holds for independent p-values, and for positively dependent ones (Benjamini and
Yekutieli, Annals of Statistics 29(4), 2001).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantum_trader.domain.errors import require


def false_discovery_rates(p_values: Sequence[float], tests: int | None = None) -> tuple[float, ...]:
    """The false discovery rate at which each of *p_values* would be accepted (q-value), in their order.

    *tests* is how many tests were made, at least as many as p-values: the p-values that are not known count as 1.
    Raises InputError for a p-value outside [0, 1] or too few tests.
    """
    values = np.asarray(p_values, dtype=np.float64)
    known = len(values)
    made = known if tests is None else tests
    require(bool(((values >= 0.0) & (values <= 1.0)).all()), "p_values", values[:3], "must lie between 0 and 1")
    require(made >= known, "tests", made, f"must be at least the number of p-values ({known})")
    order = np.argsort(values, kind="stable")
    steps = values[order] * made / np.arange(1, known + 1)
    rates = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1.0)
    found = np.empty(known)
    found[order] = rates
    return tuple(found.tolist())


def expected_false_share(tests: int, accepted: int, alpha: float) -> float:
    """The share of *accepted* tests that chance alone would give: *alpha* times *tests*, of those accepted, at most 1.

    It takes every test as one of nothing, so it is an upper bound; NaN where none was accepted.
    """
    require(tests >= accepted >= 0, "accepted", accepted, f"must be 0 to the number of tests ({tests})")
    return min(1.0, alpha * tests / accepted) if accepted else float("nan")
