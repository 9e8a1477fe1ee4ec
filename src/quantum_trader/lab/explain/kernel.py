"""The search for the smallest changes that turn a decision, as machine code.

Each trial is the decision made again: the row of the inputs with some of them changed, what follows from that, the
policy's rules, the checks before sizing, the six gates, sizing and guard. A number is searched outward from where it
stands, in steps that grow, and the edge between the last trial that does not turn the decision and the first one that
does is then halved down to the last digits. A word (a regime, a level) is tried out in all its values.

The size of a change is its distance over the size of the figure itself, or over the least size that the table states
for it; a word, and a figure that is not measured, count as 1. That of several changes is the sum.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from quantum_trader.engine.entry import decide_rows
from quantum_trader.engine.road import (
    ROAD_APPROVED,
    ROAD_GATE,
    ROAD_GOVERNOR,
    ROAD_META_LABEL,
    ROAD_PILOT_CONFIDENT,
    ROAD_PILOT_PRIMARY,
    ROAD_POSITIONS,
    ROAD_SIZE,
    ROAD_SPREAD,
    ROAD_SYMBOL,
    road_of_signal,
)
from quantum_trader.lab.explain import effects
from quantum_trader.lab.explain import row as at
from quantum_trader.market.jit import compiled, kernel
from quantum_trader.models.gates import GateInputs, GateLimits, first_gate, refused_gates
from quantum_trader.policy.enforcement import Settings
from quantum_trader.risk import refusal_code

PILOT, GATES, SIZING, GUARD = 9, 10, 16, 20  # progress of a decision at the pilot, the first gate, sizing, the guard
APPROVED: Final = 100.0  # and of one that ends in an order; before the pilot it is the ROAD code
NUMBER, WHOLE, WORD = 0, 1, 2  # kinds of an input
COLUMN, KIND, LOW, HIGH, LEAST, FINE, WORSE, TABLE_SIZE = range(8)  # columns of the table of inputs
OPTIONS: Final = 6  # values of a word at most; NaN: no further one
# Columns of what is found: 1, the nearest value that turns the decision, the last one tried that does not, the size.
FOUND, VALUE, BEFORE, SIZE, RESULT_SIZE = range(5)

_FIRST_STEP, _GROWTH = 1.0 / 8.0, 2.0  # of a number's size; times the step before
_FINE_STEP, _FINE_GROWTH = 1.0 / 64.0, 1.25  # where the decision may turn more than once
_HALVINGS: Final = 60
_EXACT: Final = 1e-10  # relative width of an edge
_NONE: Final = 1e-12  # of a number's size: a width of nothing

_follow = compiled(effects.follow)
_settle = compiled(effects.settle)
_road_of_signal = compiled(road_of_signal)
_refused_gates = compiled(refused_gates)
_first_gate = compiled(first_gate)


@kernel
def _order(road):  # type: ignore[no-untyped-def]
    """The place of a ROAD code in the order of the checks."""
    if road <= ROAD_POSITIONS:
        return float(road)
    if road in (ROAD_PILOT_PRIMARY, ROAD_PILOT_CONFIDENT):
        return float(PILOT)
    if ROAD_SPREAD <= road <= ROAD_META_LABEL:
        return float(GATES + road - ROAD_SPREAD)
    if road == ROAD_GOVERNOR:
        return float(SIZING)
    return SIZING + 1.0 if road == ROAD_SIZE else SIZING + 2.0


@kernel
def _gated(row):  # type: ignore[no-untyped-def]
    """The ROAD code of the enforced gate that refuses; ROAD_APPROVED: none does."""
    g, k = at.GATES, at.GATE_LIMITS
    measured = GateInputs(
        row[g], row[g + 1], int(row[g + 2]), int(row[g + 3]), row[g + 4], row[g + 5], row[g + 6], row[g + 7],
        row[g + 8], row[g + 9],
    )
    limits = GateLimits(row[k], row[k + 1], int(row[k + 2]), row[k + 3], row[k + 4], row[k + 5], row[k + 6])
    place = _first_gate(_refused_gates(measured, limits) & int(row[at.ENFORCED]))
    return ROAD_SPREAD + place if place >= 0 else ROAD_APPROVED


@kernel
def _entered(row, tiers):  # type: ignore[no-untyped-def]
    """Progress of sizing and guard."""
    q = at.REQUEST
    request = (
        row[q], row[q + 1], row[q + 2], row[q + 3], row[q + 4], row[q + 5], row[q + 6], row[at.QUANTITY], row[q + 8],
        row[q + 9], row[q + 10],
    )
    road, _, _, _, guard, _, _, _ = decide_rows(
        request, row[at.SIZES:at.MARKET], row[at.MARKET:at.ACCOUNT], row[at.ACCOUNT:at.LIMITS],
        row[at.LIMITS:at.POLICY_MARKET], tiers,
    )
    if road != ROAD_APPROVED:
        return _order(road)
    if guard == refusal_code.OK:
        return APPROVED
    return GUARD + (refusal_code.RISK if guard == refusal_code.MINIMUM else guard)


@kernel
def progress(row, base, profile, tiers):  # type: ignore[no-untyped-def]
    """How far the decision of *row* comes: the place of the check that refuses, fewer causes further; APPROVED.

    *row* is *base* with changes and with what follows from them.
    """
    causes = _settle(row, base, profile)
    u = at.USED
    settings = Settings(int(row[u]), int(row[u + 1]), row[u + 2], row[u + 3], int(row[u + 4]), int(row[u + 5]))
    road = _road_of_signal(
        int(row[at.SIGN]), row[at.CONFIDENCE], row[at.ATR],
        (int(row[at.HELD]), int(row[at.PENDING]), int(row[at.OPEN_COUNT])), int(row[at.ADDS]), int(row[at.IS_KEPT]),
        int(row[at.IS_PILOTS]), int(row[at.PILOT_ROAD]), settings,
    )
    if road in (ROAD_GATE, ROAD_SYMBOL):
        causes += (1 if settings.gate == 0 else 0) + (0 if settings.risk_pct > 0.0 else 1)
        return float(road) - 0.01 * min(causes, 99)
    if road != ROAD_APPROVED:
        return _order(road)
    road = _gated(row)
    return _order(road) if road != ROAD_APPROVED else _entered(row, tiers)


@kernel
def _turns(problem, x, chosen, count, row, goal):  # type: ignore[no-untyped-def]
    """Whether the decision with the first *count* inputs *chosen* at their values in *x* reaches *goal*.

    A goal above 0 is a progress to reach; below 0 the progress must be less than its size.
    """
    base, profile, tiers, table, _ = problem
    for j in range(base.shape[0]):
        row[j] = base[j]
    for k in range(count):
        row[int(table[chosen[k], COLUMN])] = x[chosen[k]]
    if count:
        _follow(row, base)
    reached = progress(row, base, profile, tiers)
    return reached >= goal if goal > 0.0 else reached < -goal


@kernel
def _toward(problem, x, chosen, count, row, goal, start, scale, side, most):  # type: ignore[no-untyped-def]
    """Search the last of the *chosen* inputs on one *side* of *start*, no further than *most* away.

    Returns (found, the nearest value that reaches *goal*, the last one tried that does not).
    """
    table, i = problem[3], chosen[count - 1]
    end = table[i, HIGH] if side > 0.0 else table[i, LOW]
    whole, fine = table[i, KIND] == WHOLE, table[i, FINE] != 0.0
    step, growth = (_FINE_STEP * scale, _FINE_GROWTH) if fine else (_FIRST_STEP * scale, _GROWTH)
    inner, outer, found = start, start, False
    while not found and (end - inner) * side > 0.0 and abs(inner - start) < most:
        outer = start + side * step
        if whole:
            outer = math.ceil(outer) if side > 0.0 else math.floor(outer)
        if (outer - end) * side > 0.0:
            outer = end
        step *= growth
        if outer != inner:
            x[i] = outer
            found = _turns(problem, x, chosen, count, row, goal)
            inner = inner if found else outer
    for _ in range(_HALVINGS if found else 0):
        middle = 0.5 * (inner + outer)
        if whole:
            middle = math.floor(middle) if outer > inner else math.ceil(middle)
        width = abs(outer - inner)
        if middle in (inner, outer) or width <= _EXACT * max(abs(outer), abs(inner)) or width <= _NONE * scale:
            break
        x[i] = middle
        if _turns(problem, x, chosen, count, row, goal):
            outer = middle
        else:
            inner = middle
    return found, outer, inner


@kernel
def single_changes(problem, active, goal, x, chosen, count, results, words):  # type: ignore[no-untyped-def]
    """The smallest change of each *active* input (L,) that reaches *goal*, into *results* (L, RESULT_SIZE).

    The first *count* inputs of *chosen* have their values in *x* (L,) meanwhile. *words* (L, OPTIONS) is set to 1 for
    every value of a word that reaches *goal*. *problem*: the decision's row, the profile, the leverage table, the table
    of inputs (L, TABLE_SIZE), their words (L, OPTIONS).
    """
    base, _, _, table, options = problem
    row = np.empty(base.shape[0])
    for i in range(table.shape[0]):
        results[i, FOUND] = 0.0
        if not active[i]:
            continue
        chosen[count] = i
        start, scale = base[int(table[i, COLUMN])], 0.0
        if table[i, KIND] == WORD:
            for k in range(OPTIONS):
                x[i] = options[i, k]
                words[i, k] = 0.0
                if x[i] == x[i] and x[i] != start and _turns(problem, x, chosen, count + 1, row, goal):
                    words[i, k] = 1.0
                    if results[i, FOUND] == 0.0:
                        results[i, FOUND], results[i, VALUE], results[i, BEFORE] = 1.0, x[i], start
                        results[i, SIZE] = 1.0
            continue
        known = abs(start) < np.inf
        if not known:
            start = table[i, HIGH] if table[i, WORSE] > 0.0 else table[i, LOW]
        scale, most = max(abs(start), table[i, LEAST]) if known else table[i, LEAST], np.inf
        for side in (-1.0, 1.0):
            found, value, last = _toward(problem, x, chosen, count + 1, row, goal, start, scale, side, most)
            if found and abs(value - start) < most:
                most = abs(value - start)
                results[i, FOUND], results[i, VALUE], results[i, BEFORE] = 1.0, value, last
                results[i, SIZE] = most / scale if known else 1.0
