"""The pilot's published names give what the engine's parts give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.pilot.made_pilot import saved, untrained

from quantum_trader.domain.errors import InputError
from quantum_trader.market.recording import open_recording
from quantum_trader.pilot.own_state import AccountInForce, OwnPosition, own_row
from quantum_trader.pilot.predictor import Predictor
from quantum_trader.pilot.published import RLv3LiveFeatureAdapter, RLv3Manager
from quantum_trader.pilot.recorded_feed import recorded_feed

SYMBOLS = ("BTCUSDT", "ETHUSDT")


def test_adapter_and_manager_choose_what_the_predictor_chooses(tmp_path: Path) -> None:
    """On two weeks of real bars, with a position and an account, action by action."""
    artefact = untrained(5)
    folder = saved(tmp_path / "model", seed=5)
    recording = open_recording(symbols=SYMBOLS, start="2018-01-01", end="2018-01-12", warm_up=False)
    adapter = RLv3LiveFeatureAdapter(SYMBOLS, model=folder)
    manager, predictor = RLv3Manager(folder), Predictor(artefact, SYMBOLS, recording.interval_ns)
    account = AccountInForce(
        drawdown=0.01, exposure=0.2, losing_streak=1.0, min_confidence=0.45, max_risk_pct=1.0, may_open=True
    )
    position = OwnPosition(side=1, size_share=0.2, open_r=0.3, held_bars=4.0, stop_share=0.02)
    own = np.array([own_row(position, account), own_row(OwnPosition(), account)])
    compared = 0
    for part in recording.chunks():
        feed = recorded_feed(recording, part.ts_ns)
        for row, ts_ns in enumerate(part.ts_ns.tolist()):
            found = {one.symbol: one for one in predictor.named(
                predictor.take(ts_ns, part.ohlcv[row], part.present[row], feed[row], own)
            )}
            adapter.on_bars(
                ts_ns, {name: part.ohlcv[row, s] for s, name in enumerate(SYMBOLS) if part.present[row, s]},
                {name: feed[row, s] for s, name in enumerate(SYMBOLS)},
            )
            for place, name in enumerate(SYMBOLS):
                seen = adapter.build_observation(name, position if place == 0 else None, account)
                assert (seen is None) is (name not in found)
                if seen is not None:
                    choice = manager.predict(seen)
                    assert (choice.action, choice.probabilities) == (found[name].action, found[name].probabilities)
                    compared += 1
    assert compared > 400


def test_wrong_input_is_named() -> None:
    """Symbol and shape."""
    adapter = RLv3LiveFeatureAdapter(SYMBOLS)
    with pytest.raises(InputError, match="symbol = 'XRPUSDT': is not observed here"):
        adapter.build_observation("XRPUSDT")
    assert adapter.build_observation("BTCUSDT") is None
    with pytest.raises(InputError, match=r"observation = \(3,\): must be \(64,\)"):
        RLv3Manager(untrained()).predict(np.zeros(3))
    with pytest.raises(InputError, match="not finite"):
        RLv3Manager(untrained()).predict(np.full(64, np.nan))
