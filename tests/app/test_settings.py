"""Settings: layers, sources, and an error for everything that cannot be meant."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from quantum_trader.app.cli.config import as_toml
from quantum_trader.app.settings import RunSettings, known_keys, load_settings
from quantum_trader.domain.enums import OrchestratorMode
from quantum_trader.domain.errors import ConfigError
from quantum_trader.policy.enforcement import SWITCHES


def write(folder: Path, text: str) -> Path:
    """A settings file with *text*."""
    path = folder / "run.toml"
    path.write_text(text)
    return path


def test_without_anything_the_run_observes_with_safe() -> None:
    """The defaults: bundled data, SAFE, OBSERVE, 10,000 USDT."""
    loaded = load_settings()

    assert loaded.settings == RunSettings()
    assert loaded.settings.active_profile().name == "SAFE"
    assert loaded.settings.rollout.mode is OrchestratorMode.OBSERVE
    assert loaded.settings.account.start_equity == 10_000.0
    assert set(loaded.sources.values()) == {"default"}


def test_where_no_model_is_named_the_set_trend_gives_the_signals(tmp_path: Path) -> None:
    """Without a file, with one that has no [[models]], and with an empty list; its source is the default."""
    named = load_settings(None, {"models": (({"model": "trend"},), "--model")}).settings
    for text in ("", "[account]\nleverage = 5\n", "models = []\n"):
        loaded = load_settings(write(tmp_path, text))
        assert loaded.settings.models == named.models
        assert "# run.toml" not in as_toml(loaded).partition("[[models]]")[2]
    assert load_settings().settings.settings_hash() == named.settings_hash()
    assert [one.model for one in named.models] == ["tsmom_fast", "tsmom_slow", "ewmac", "donchian", "carry"]


def test_the_intraday_models_keep_their_name() -> None:
    """`--model intraday-demo` names them alone."""
    (one,) = load_settings(None, {"models": (({"model": "intraday-demo"},), "--model")}).settings.models
    assert one.is_intraday


def test_flags_win_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    """And each key says where its value came from."""
    file = write(tmp_path, '[account]\nstart_equity = 5_000\nleverage = 5\n[policy]\nprofile = "STANDARD"\n')

    loaded = load_settings(file, {"account.start_equity": (7_000.0, "--equity")})

    assert loaded.settings.account.start_equity == 7_000.0
    assert loaded.settings.account.leverage == 5.0
    assert loaded.sources["account.start_equity"] == "--equity"
    assert loaded.sources["account.leverage"] == "run.toml"
    assert loaded.sources["policy.profile"] == "run.toml"
    assert loaded.sources["risk.max_risk_pct"] == "default"


def test_the_environment_chooses_the_profile_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """ORCH_PROFILE, any case, below file and flags."""
    monkeypatch.setenv("ORCH_PROFILE", "aggressive")

    loaded = load_settings()

    assert loaded.settings.active_profile().name == "AGGRESSIVE"
    assert loaded.sources["policy.profile"] == "environment ORCH_PROFILE"
    chosen = load_settings(flags={"policy.profile": ("safe", "--profile")})
    assert chosen.settings.active_profile().name == "SAFE"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[risk]\nmax_risk_pc = 1.0\n", ("risk.max_risk_pc", "did you mean 'risk.max_risk_pct'")),
        ("[rsk]\nmax_risk_pct = 1.0\n", ("'rsk'", "did you mean 'risk'")),
        ('[account]\n"leverage " = 5\n', ("leverage ", "did you mean 'account.leverage'")),
        ("max_risk_pct = 1.0\n", ("max_risk_pct", "did you mean 'risk.max_risk_pct'")),
        ("risk = 3\n", ("risk = 3", "[risk]")),
        ('[risk]\nmax_risk_pct = "high"\n', ("risk.max_risk_pct = 'high'", "expected")),
        ("[risk]\nmax_risk_pct = nan\n", ("risk.max_risk_pct", "nan")),
        ("[risk]\nmax_leverage = 0.5\n", ("risk.max_leverage = 0.5", "from 1 to 125")),
        ("[account]\nstart_equity = -1\n", ("start_equity = -1", "between")),
        ('[policy]\nprofile = "BRAVE"\n', ("BRAVE", "AGGRESSIVE, SAFE, STANDARD")),
        ('[rollout]\nmode = "WILD"\n', ("rollout.mode = 'WILD'",)),
        ("[rollout]\nuse_for_exit_mode = true\n", ("use_for_exit_mode", "OBSERVE")),
        ('[data]\nstart = "yesterday"\n', ("data.start = 'yesterday'", "2024-01-31")),
        ('[data]\nstart = "2019-01-02"\nend = "2019-01-01"\n', ("data.end", "before")),
        ('[data]\nsymbols = ["btc usdt"]\n', ("btc usdt",)),
        ('[data]\nsymbols = ["BTCUSDT", "BTCUSDT"]\n', ("twice",)),
        ("[venue]\ninitial_cash = 3.0\n", ("venue.initial_cash", "account.start_equity")),
        ("[venue]\nparticipation = 2.0\n", ("participation", "0 < x <= 1")),
        ("[risk\n", ("not TOML",)),
        ('[rollout]\nmode = "live"\n', ("rollout.mode", "'live'", "OBSERVE, LIVE")),
        ("[account]\nleverage = 0\n", ("account.leverage", "between 1 and 125")),
        ("[data]\nassumed_funding_rate = 1.0\n", ("data.assumed_funding_rate", "1.0")),
    ],
)
def test_what_cannot_be_meant_is_named(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    """Key, value and what would be right stand in the message."""
    with pytest.raises(ConfigError) as caught:
        load_settings(write(tmp_path, text))

    for word in words:
        assert word in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """Not a traceback from the operating system."""
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read: No such file"):
        load_settings(tmp_path / "none.toml")


def test_enforce_on_the_command_line_turns_all_switches_on() -> None:
    """All six switches, unless the file chose some."""
    settings = load_settings(flags={"rollout.mode": ("LIVE", "--mode")}).settings

    assert settings.rollout.switches == (1,) * len(SWITCHES)


def test_enforce_on_the_command_line_keeps_the_switches_of_the_file(tmp_path: Path) -> None:
    """A file that names one switch means that one."""
    file = write(tmp_path, '[rollout]\nmode = "LIVE"\nuse_for_trading_gate = true\n')

    settings = load_settings(file, {"rollout.mode": ("LIVE", "--mode")}).settings

    assert settings.rollout.switches == (0, 0, 0, 0, 1, 0)


def test_dates_may_be_written_as_toml_dates(tmp_path: Path) -> None:
    """With or without quotes."""
    bare = load_settings(write(tmp_path, "[data]\nstart = 2018-01-01\nend = 2018-02-01T12:00:00\n")).settings

    assert bare.data.start == "2018-01-01"
    assert bare.recording_arguments()["end"].hour == 12


def test_shown_settings_are_a_settings_file(tmp_path: Path) -> None:
    """``config show > run.toml`` and ``--config run.toml`` give the same settings."""
    loaded = load_settings(flags={"account.start_equity": (1_234.5, "--equity"), "rollout.mode": ("LIVE", "--mode")})
    shown = as_toml(loaded)

    again = load_settings(write(tmp_path, shown)).settings

    assert again == loaded.settings
    assert "start_equity = 1234.5  # --equity" in shown


def test_shown_models_are_models_of_a_settings_file(tmp_path: Path) -> None:
    """A set, and a model with everything that an entry may state."""
    models = """
[[models]]
model = "tsmom_fast"
name = "fast"
prior = [0.1, 0.3]
weight = 2.0
symbols = ["BTCUSDT"]
exit = {stop_atr = 2.5}

[[models]]
model = "carry"
enabled = false
"""
    for text in (models, '[[models]]\nmodel = "trend"\n'):
        loaded = load_settings(write(tmp_path, text))
        assert loaded.settings.models
        shown = as_toml(loaded)
        assert load_settings(write(tmp_path, shown)).settings == loaded.settings


def test_every_known_key_is_shown() -> None:
    """Nothing decides a run without being visible."""
    shown = as_toml(load_settings())
    plain = tomllib.loads(shown)

    for key in known_keys():
        section, _, name = key.partition(".")
        assert name in plain[section] or f"# {name} is not set" in shown


def test_the_hash_knows_what_decides_and_ignores_where_things_lie() -> None:
    """Another limit is another run; another folder is not."""
    base = RunSettings().settings_hash()

    assert load_settings(flags={"data.path": ("/somewhere/else", "--data")}).settings.settings_hash() == base
    assert load_settings(flags={"risk.max_risk_pct": (1.5, "x")}).settings.settings_hash() != base
    assert load_settings(flags={"policy.profile": ("STANDARD", "x")}).settings.settings_hash() != base
    assert load_settings(flags={"policy.profile": ("safe", "x")}).settings.settings_hash() == base


def test_the_account_reaches_engine_and_venue() -> None:
    """One place sets the money, both use it."""
    settings = load_settings(flags={"account.start_equity": (2_500.0, "--equity")}).settings

    assert settings.engine_settings().start_equity == 2_500.0
    assert settings.paper_settings().initial_cash == 2_500.0
