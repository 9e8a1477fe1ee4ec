"""A trained pilot live: the predictions are those of the batch form, and go on after a restart."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from tests.pilot.conftest import Tape, walk
from tests.pilot.test_artefact import artefact

from quantum_trader.domain.errors import ConfigError, StateError
from quantum_trader.pilot.actions import ACTIONS
from quantum_trader.pilot.network import Network
from quantum_trader.pilot.own_columns import OPEN_R
from quantum_trader.pilot.predictor import Prediction, Predictor
from quantum_trader.pilot.scaling import Scaling

MINUTE = 60_000_000_000


def predictor(tape: Tape) -> Predictor:
    """A pilot for the tape's bars."""
    return Predictor(artefact(), tape.symbols, tape.base_ns)


def predicted(pilot: Predictor, tape: Tape, first: int, last: int) -> list[Prediction]:
    """The predictions of the moments *first* to *last*."""
    found = []
    for t in range(first, last):
        found += pilot.named(pilot.take(
            int(tape.ts[t]), tape.ohlcv[t], tape.present[t], tape.feed[t], tape.own[t]
        ))
    return found


def test_live_predictions_are_those_of_the_batch() -> None:
    """For each ready symbol at each observed bar: the same probabilities to the bit, and the most probable action."""
    tape, made = walk(3_000, 5), artefact()
    batch = tape.observed()
    values, _ = Scaling(made.card.scalers).of(batch.raw)
    shares = Network(made.weights).probabilities(values.reshape(-1, values.shape[-1])).reshape(*values.shape[:2], -1)

    found = predicted(predictor(tape), tape, 0, 3_000)

    expected = [
        (tape.symbols[s], int(batch.closes_ns[t]), tuple(shares[t, s].tolist()))
        for t in range(len(batch.closes_ns)) for s in range(len(tape.symbols)) if batch.ready[t, s]
    ]
    assert len(expected) > 100
    assert [(one.symbol, one.closed_ns, one.probabilities) for one in found] == expected
    for one in found:
        assert one.probability == max(one.probabilities)
        assert one.action is ACTIONS[one.probabilities.index(one.probability)].action


def test_a_symbol_whose_account_is_no_number_gets_no_prediction() -> None:
    """The others do."""
    tape = walk(2_000, 5)
    tape.own[:, 0, OPEN_R] = np.inf
    found = predicted(predictor(tape), tape, 0, 2_000)
    assert found
    assert tape.symbols[0] not in {one.symbol for one in found}


def test_it_continues_after_a_restart() -> None:
    """Cut inside an observed bar, the predictions are those of a run that was not interrupted."""
    tape = walk(2_400, 5)
    whole = predicted(predictor(tape), tape, 0, 2_400)
    first = predictor(tape)
    before = predicted(first, tape, 0, 1_503)
    second = predictor(tape)
    second.load_state(first.state())
    assert before + predicted(second, tape, 1_503, 2_400) == whole


def test_the_state_of_another_model_is_refused() -> None:
    """A model that was exchanged under a state folder does not go on from the old one's memory."""
    tape = walk(300, 5)
    state = predictor(tape).state()
    other = artefact()
    other = msgspec.structs.replace(other, card=msgspec.structs.replace(other.card, name="another"))
    with pytest.raises(StateError, match="was made with model"):
        Predictor(other, tape.symbols, tape.base_ns).load_state(state)


def test_bars_that_the_model_was_not_made_for_are_refused() -> None:
    """Its observed bars cannot be built of longer ones."""
    tape = walk(300, 5)
    with pytest.raises(ConfigError, match=r"pilot\.interval = '30m': the run's bars are longer"):
        Predictor(artefact(), tape.symbols, 60 * MINUTE)
