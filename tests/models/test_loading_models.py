"""Where models come from: what is hashed is what runs, and no setting is dropped in silence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from quantum_trader.domain.errors import ConfigError
from quantum_trader.models.loading import ModelSettings, load_model, make_forecasts


def test_a_change_of_an_imported_file_is_another_model(tmp_path: Path) -> None:
    """What a model's file imports from its folder belongs to its hash, at any depth; other folders' files do not."""
    (tmp_path / "deep.py").write_text("DAYS = 5\n")
    (tmp_path / "helper.py").write_text("from deep import DAYS\n")
    (tmp_path / "unused.py").write_text("A = 1\n")
    file = tmp_path / "mine.py"
    file.write_text(
        "import helper\nfrom quantum_trader.models import Model\n\n\nclass Mine(Model):\n    days = helper.DAYS\n"
    )
    first = load_model(ModelSettings(model=f"{file}:Mine"))
    (tmp_path / "unused.py").write_text("A = 2\n")
    assert load_model(ModelSettings(model=f"{file}:Mine")).fingerprint == first.fingerprint
    (tmp_path / "deep.py").write_text("DAYS = 6\n")
    assert load_model(ModelSettings(model=f"{file}:Mine")).fingerprint != first.fingerprint


def test_files_of_the_same_name_in_two_folders_are_each_models_own(tmp_path: Path) -> None:
    """A module that both import by the same name is not the first one's; a package and its parts neither."""
    text = "import helper\nfrom parts.one import B\nfrom quantum_trader.models import Model\n\n\n"
    text += "class Mine(Model):\n    known = helper.A, B\n"
    for number, name in enumerate(("here", "there")):
        (tmp_path / name / "parts").mkdir(parents=True)
        (tmp_path / name / "helper.py").write_text(f"A = {number}\n")
        (tmp_path / name / "parts" / "__init__.py").write_text("")
        (tmp_path / name / "parts" / "one.py").write_text("from .two import B\n")
        (tmp_path / name / "parts" / "two.py").write_text(f"B = {10 + number}\n")
        (tmp_path / name / "mine.py").write_text(text)
    loaded = [load_model(ModelSettings(model=f"{tmp_path / name}/mine.py:Mine")) for name in ("here", "there")]
    assert [one.model.known for one in loaded] == [(0, 10), (1, 11)]  # type: ignore[union-attr]


def test_an_imported_file_runs_as_it_was_hashed(tmp_path: Path) -> None:
    """Changed within a second, to the same size and time: its new content runs, not an older compiled one."""
    (tmp_path / "mine.py").write_text(
        "from helper import SIGN\nfrom quantum_trader.models import Model\n\n\nclass Mine(Model):\n    sign = SIGN\n"
    )
    for sign in ("+1", "-1"):
        (tmp_path / "helper.py").write_text(f"SIGN = {sign}\n")
        os.utime(tmp_path / "helper.py", (1_000_000_000, 1_000_000_000))
        loaded = load_model(ModelSettings(model=f"{tmp_path / 'mine.py'}:Mine"))
        assert loaded.model.sign == int(sign)  # type: ignore[union-attr]


def test_a_file_that_another_module_hides_is_named(tmp_path: Path) -> None:
    """Python would import its own random, while the file beside the model is the one that was hashed."""
    (tmp_path / "random.py").write_text("A = 1\n")
    (tmp_path / "mine.py").write_text(
        "import random\nfrom quantum_trader.models import Model\n\n\nclass Mine(Model):\n    known = random\n"
    )
    with pytest.raises(ConfigError, match="imports random, which is a file of its folder and another module too"):
        load_model(ModelSettings(model=f"{tmp_path / 'mine.py'}:Mine"))


def test_what_runs_is_what_was_hashed(tmp_path: Path) -> None:
    """A file changed within a second, to the same size and time, is not run from an older compiled one."""
    file = tmp_path / "mine.py"
    text = "from quantum_trader.models import Model\n\n\nclass Mine(Model):\n    sign = {}\n"
    for sign in ("+1", "-1"):
        file.write_text(text.format(sign))
        os.utime(file, (1_000_000_000, 1_000_000_000))
        loaded = load_model(ModelSettings(model=f"{file}:Mine"))
        assert loaded.model.sign == int(sign)  # type: ignore[union-attr]


@pytest.mark.parametrize(("entry", "says"), [
    ({"symbols": ("btcusdt",)}, "'btcusdt' is not traded here; did you mean 'BTCUSDT'"),
    ({"exit": {"on": "sometimes"}}, "Invalid enum value 'sometimes'"), ({"exit": {"stop_atr": 0.0}}, "0.1 to 20 ATRs"),
])
def test_a_setting_that_cannot_hold_is_refused(tmp_path: Path, entry: dict[str, Any], says: str) -> None:
    """Nothing of a model's settings is dropped in silence."""
    file = tmp_path / "mine.py"
    file.write_text("from quantum_trader.models import Model\n\n\nclass Mine(Model):\n    pass\n")
    with pytest.raises(ConfigError, match=says):
        make_forecasts([ModelSettings(model=f"{file}:Mine", **entry)], ("BTCUSDT",), 3_600 * 10**9)


def test_an_exit_changes_only_what_it_names(tmp_path: Path) -> None:
    """A stop alone leaves the way of leaving as the class states it."""
    file = tmp_path / "mine.py"
    file.write_text(
        "from quantum_trader.models import Exit, Model\n\n\nclass Mine(Model):\n    exit = Exit(on='regime')\n"
    )
    loaded = load_model(ModelSettings(model=f"{file}:Mine", exit={"stop_atr": 5.0}))
    assert (loaded.exit.on, loaded.exit.stop_atr) == ("regime", 5.0)


def test_models_of_different_priors_and_settings_of_the_intraday_set_are_refused(tmp_path: Path) -> None:
    """One combined score has one prior; the compiled set has none of these settings."""
    file = tmp_path / "mine.py"
    file.write_text("from quantum_trader.models import Model\n\n\nclass Mine(Model):\n    pass\n")
    two = [ModelSettings(model=f"{file}:Mine", name=name, prior=(mean, 0.5)) for name, mean in (("a", 0.0), ("b", 1.0))]
    with pytest.raises(ConfigError, match="a and b state different priors"):
        make_forecasts(two, ("BTCUSDT",), 3_600 * 10**9)
    with pytest.raises(ConfigError, match=r"intraday-demo.symbols = \('BTCUSDT',\): cannot be set"):
        make_forecasts([ModelSettings(model="intraday-demo", symbols=("BTCUSDT",))], ("BTCUSDT",), 3_600 * 10**9)


@pytest.mark.parametrize(("line", "says"), [
    ('bars = "3h"', r"Odd\.bars = '3h': choose from 1m"), ("bars = 240", r"Odd\.bars = 240: choose from"),
    ('needs = "close"', r"Odd\.needs = 'close': write a tuple, as \('close',\)"),
    ("warmup = True", r"Odd\.warmup = True: must be 1 to 100,000 bars"),
    ('tolerance = "small"', r"Odd\.tolerance = 'small': must be a number"),
    ("horizon = 7", r'Odd\.horizon = 7: must be a time like "12h"'),
    ('horizon = "a week"', r"Odd\.horizon = 'a week'"), ('weight = "much"', r"Odd: weight = 'much'"),
    ('exit = "score"', r"Odd: exit = 'score': write Exit\("),
    ("class Params:\n        days = 3", r"Params is no msgspec\.Struct"),
    ("def __init__(self):\n        pass", r"__init__\(\) takes 1 positional argument.*calls super"),
    ("def __init__(self, params=None):\n        raise RuntimeError('no')", r"line 6: RuntimeError: no"),
])
def test_what_a_class_states_wrongly_is_named(tmp_path: Path, line: str, says: str) -> None:
    """One line with the key, the value and what to write; for every command that loads the model."""
    file = tmp_path / "odd.py"
    file.write_text(f"from quantum_trader.models import Model\n\n\nclass Odd(Model):\n    {line}\n")
    with pytest.raises(ConfigError, match=says):
        load_model(ModelSettings(model=f"{file}:Odd"))


@pytest.mark.parametrize(("params", "says"), [
    ({"fast": {"dayz": 3}}, "unknown parameter 'dayz'; did you mean 'days'"),
    ({"more": [{"days": 3}, {"weeks": 3}]}, "unknown parameter 'weeks'; it has days"),
    ({"named": {"a": {"day": 3}}}, "unknown parameter 'day'; did you mean 'days'"),
])
def test_an_unknown_key_of_a_nested_parameter_is_refused(tmp_path: Path, params: dict[str, Any], says: str) -> None:
    """With the nearest name, at any depth; the right ones are taken."""
    file = tmp_path / "mine.py"
    file.write_text(
        "import msgspec\nfrom quantum_trader.models import Model\n\n\nclass Window(msgspec.Struct, frozen=True):\n"
        "    days: int = 5\n\n\nclass Mine(Model):\n    class Params(msgspec.Struct, frozen=True):\n"
        "        fast: Window = Window()\n        more: tuple[Window, ...] = ()\n"
        "        named: dict[str, Window] = {}\n"
    )
    with pytest.raises(ConfigError, match=says):
        load_model(ModelSettings(model=f"{file}:Mine", params=params))
    right = {"fast": {"days": 3}, "more": [{"days": 4}], "named": {"a": {}}}
    assert load_model(ModelSettings(model=f"{file}:Mine", params=right)).model.params.more[0].days == 4
