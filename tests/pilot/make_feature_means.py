"""Store each feature's mean and standard deviation on the bundled bars.

    python tests/pilot/make_feature_means.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from quantum_trader.market.recording import open_recording
from quantum_trader.pilot.features import FEATURES, feature_hash
from quantum_trader.pilot.observer import observe_raw
from quantum_trader.pilot.settings import ObservationSettings

if __name__ == "__main__":
    batch = observe_raw(open_recording())
    known = batch.raw[batch.ready]
    figures = {
        one.name: [float(np.nanmean(known[:, place])), float(np.nanstd(known[:, place]))]
        for place, one in enumerate(FEATURES) if not np.isnan(known[:, place]).all()
    }
    stored = {"feature_hash": feature_hash(ObservationSettings()), "figures": figures}
    (Path(__file__).parent / "feature_means.json").write_text(json.dumps(stored, indent=1) + "\n")
