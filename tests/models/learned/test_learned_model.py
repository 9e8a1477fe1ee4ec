"""A trained model behind the model port: named by its folder, checked, combined, and alive without its makers."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.models.learned.made_models import BOOSTING, LINEAR, META_LABEL, made_artefact, write_folder
from tests.models.learned.test_signal_features import made_bars

from quantum_trader.app.runs.model_check import needs_check
from quantum_trader.domain.clock import NS_PER_MINUTE
from quantum_trader.domain.errors import ConfigError, DataError, InputError
from quantum_trader.models.check import CheckTools, check_scores
from quantum_trader.models.learned.learned_model import LearnedModel
from quantum_trader.models.learned.meta_label import load_meta_label
from quantum_trader.models.learned.signal_features import NEEDS
from quantum_trader.models.loading import ModelSettings, load_model, make_forecasts
from quantum_trader.models.port import Exit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model of boosted trees."""
    return write_folder(tmp_path / "boosted", made_artefact(BOOSTING))


def test_a_folder_names_a_model_with_the_bars_horizon_and_exit_of_its_card(tmp_path: Path) -> None:
    """Its name is the folder's; what settings say of the exit wins."""
    place = write_folder(tmp_path / "mine", made_artefact(LINEAR, exit=Exit(on="regime", stop_atr=2.0)))

    loaded = load_model(ModelSettings(model=str(place)))
    changed = load_model(ModelSettings(model=str(place), exit={"stop_atr": 4.0}))

    assert loaded.name == "mine"
    assert (loaded.model.bars, loaded.model.horizon, loaded.exit) == ("1h", "24h", Exit(on="regime", stop_atr=2.0))
    assert changed.exit == Exit(on="regime", stop_atr=4.0)
    assert loaded.fingerprint != changed.fingerprint
    assert needs_check(loaded), "it must pass the look-ahead check before it trades live"


def test_where_a_model_lies_decides_nothing_and_what_it_holds_does(tmp_path: Path) -> None:
    """The same files elsewhere have the same fingerprint; another model has another one."""
    first = write_folder(tmp_path / "a" / "model", made_artefact(seed=1))
    copy = write_folder(tmp_path / "b" / "model", made_artefact(seed=1, created_ns=77))
    other = write_folder(tmp_path / "c" / "model", made_artefact(seed=2))

    prints = [load_model(ModelSettings(model=str(place))).fingerprint for place in (first, copy, other)]

    assert prints[0] == prints[1] != prints[2]


def test_the_check_of_models_passes(folder: Path) -> None:
    """Every property, look-ahead, warm-up and gaps among them."""
    settings = ModelSettings(model=str(folder))
    report = check_scores(load_model(settings), made_bars(5, 900, gaps=False), CheckTools(
        reload=lambda: load_model(settings, fresh=True), roundtrip=lambda state: state, clock=time.perf_counter,
    ))

    assert report.passed, [one for one in report.findings if not one.passed]


def test_the_score_is_twice_the_probability_less_one(folder: Path) -> None:
    """And NaN for a symbol without features."""
    model = load_model(ModelSettings(model=str(folder))).model
    assert isinstance(model, LearnedModel)
    bars = made_bars(4, 230, gaps=False)
    fields = bars.fields.copy()
    fields[:, 150:, 2] = np.nan
    panel = bars._replace(fields=fields).panel(NEEDS, 229, model.warmup)

    scores = model.score(panel)

    rows = np.isnan(scores)
    assert rows.tolist() == [False, False, True, False]
    assert (np.abs(scores[~rows]) < 1.0).all()
    assert len(np.unique(scores[~rows])) > 1


def test_models_of_different_learners_are_combined(tmp_path: Path) -> None:
    """Both in one average, beside each other's votes."""
    places = [write_folder(tmp_path / name, made_artefact(name)) for name in (BOOSTING, LINEAR)]

    forecasts = make_forecasts(
        [ModelSettings(model=str(place)) for place in places], ("BTCUSDT", "ETHUSDT"), 30 * NS_PER_MINUTE
    )

    assert forecasts is not None
    assert forecasts.name == "boosting+linear"


def test_a_model_that_was_named_by_its_id_must_have_it(folder: Path) -> None:
    """Another one in the same folder is refused."""
    right = load_model(ModelSettings(model=str(folder))).model
    assert isinstance(right, LearnedModel)

    load_model(ModelSettings(model=str(folder), params={"model": right.artefact.model_id}))
    with pytest.raises(ConfigError, match="was named"):
        load_model(ModelSettings(model=str(folder), params={"model": "0" * 64}))


def test_a_folder_without_a_model_and_a_meta_label_are_refused(tmp_path: Path) -> None:
    """With what to do."""
    (tmp_path / "empty").mkdir()
    label = write_folder(tmp_path / "label", made_artefact(LINEAR, META_LABEL))

    with pytest.raises(ConfigError, match="without a trained model"):
        load_model(ModelSettings(model=str(tmp_path / "empty")))
    with pytest.raises(ConfigError, match="judges the signals"):
        load_model(ModelSettings(model=str(label)))
    with pytest.raises(ConfigError, match=r"params\.folder"):
        load_model(ModelSettings(model="LearnedModel"))
    with pytest.raises(DataError, match="cannot be read"):
        load_model(ModelSettings(model="LearnedModel", params={"folder": str(tmp_path / "nowhere")}))


def test_a_meta_label_gives_a_probability_of_a_row_or_of_named_values(tmp_path: Path) -> None:
    """The same number for both; a value that is not known is NaN; a missing name is refused."""
    label = load_meta_label(write_folder(tmp_path / "label", made_artefact(BOOSTING, META_LABEL)))
    row = {"hour": 13.0, "cost_bps": float("nan"), "confidence": 0.6}

    probability = label.probability(row)

    assert label.names == ("confidence", "cost_bps", "hour")
    assert label.probability([0.6, float("nan"), 13.0]) == probability
    assert 0.0 < probability < 1.0
    with pytest.raises(InputError, match="cost_bps"):
        label.probability({"hour": 1.0, "confidence": 0.5})
    with pytest.raises(InputError, match="one row of 3"):
        label.probability([1.0])
    with pytest.raises(ConfigError, match="no meta-label"):
        load_meta_label(write_folder(tmp_path / "signal", made_artefact()))


def test_a_process_that_scores_imports_no_library_that_trains(folder: Path, tmp_path: Path) -> None:
    """A replay goes through a learned model where XGBoost, scikit-learn and SciPy cannot be imported at all.

    What live trading imports is imported too. (Numba looks for SciPy by itself where it is installed.)
    """
    code = (
        "import sys\n"
        "gone = ('xgboost', 'sklearn', 'scipy', 'jax')\n"
        "sys.modules.update(dict.fromkeys(gone))\n"
        "from quantum_trader.app.settings import load_settings\n"
        "from quantum_trader.app.runs import live, replay\n"
        "from quantum_trader.market.recording import open_recording\n"
        "from quantum_trader.app.runs.replay import memory_run\n"
        f"flags = {{'models': (({{'model': {str(folder)!r}}},), '--model'), 'data.end': ('2017-10-20', '--to')}}\n"
        "settings = load_settings(None, flags).settings\n"
        "run = memory_run(settings)[0]\n"
        "print(run.facts.models.rows[0].name, run.facts.models.rows[0].outlook is not None, "
        "[name for name in sys.modules if name.split('.')[0] in gone and sys.modules[name] is not None])\n"
    )

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)

    assert result.stdout.strip() == "boosted True []", result.stderr[-2000:]
