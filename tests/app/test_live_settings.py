"""Live settings: one mode, contradictions refused, a plan that says what a start will do, a folder bound to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.app.fake_account import FakeAccount
from typer.testing import CliRunner

from quantum_trader.app.cli.main import app
from quantum_trader.app.runs.live_plan import plan_lines, start_plan
from quantum_trader.app.runs.live_settings import (
    CONFIRMATION,
    LiveMode,
    LiveSettings,
    OnForeign,
    TriggerOn,
    bind_folder,
    check_folder,
    load_live_settings,
    read_folder,
    read_section,
)
from quantum_trader.app.settings import load_settings
from quantum_trader.domain.errors import ConfigError, StateError
from quantum_trader.venues.binance.keys import LIVE, LOCAL, TESTNET, KeyLocation, Redactor

LOOPBACK = "http://127.0.0.1:8080"


def settings_file(folder: Path, text: str) -> Path:
    """A settings file with *text*."""
    path = folder / "live.toml"
    path.write_text(text)
    return path


def test_dry_is_the_default_and_needs_no_keys() -> None:
    """Paper fills on the live market's data."""
    live = load_live_settings().live
    assert live.mode is LiveMode.DRY
    assert live.venue == LIVE
    assert not live.needs_keys
    assert live.on_foreign is OnForeign.HALT
    assert live.trigger_on is TriggerOn.CONTRACT_PRICE
    assert live.interval_ns == 30 * 60 * 10**9


@pytest.mark.parametrize(
    ("values", "venue"),
    [
        ({"mode": "TESTNET"}, TESTNET), ({"mode": "LIVE", "confirm_live": CONFIRMATION}, LIVE),
        ({"mode": "LOCAL", "address": LOOPBACK}, LOCAL), ({"mode": "DRY", "endpoint": "binance-testnet"}, TESTNET),
        ({"mode": "DRY", "endpoint": "local", "address": LOOPBACK}, LOCAL),
        ({"mode": "TESTNET", "endpoint": "binance-testnet"}, TESTNET),
    ],
)
def test_the_mode_says_where(values: dict[str, Any], venue: str) -> None:
    """Each mode has its endpoint; DRY takes any for its data."""
    live = read_section(values)
    assert live.venue == venue
    assert live.needs_keys is (live.mode is not LiveMode.DRY)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"mode": "LIVE"}, "I accept real losses"),
        ({"mode": "LIVE", "confirm_live": "i accept real losses"}, "I accept real losses"),
        ({"confirm_live": CONFIRMATION}, "live.confirm_live is set but live.mode = DRY"),
        ({"mode": "TESTNET", "confirm_live": CONFIRMATION}, "live.mode = TESTNET"),
        ({"mode": "LIVE", "confirm_live": CONFIRMATION, "endpoint": "binance-testnet"}, "contradicts live.mode = LIVE"),
        ({"mode": "TESTNET", "endpoint": "binance-live"}, "contradicts live.mode = TESTNET"),
        ({"mode": "LIVE", "confirm_live": CONFIRMATION, "address": LOOPBACK}, "has its own address"),
        ({"mode": "TESTNET", "address": LOOPBACK}, "has its own address"),
        ({"address": LOOPBACK}, "has its own address"),
        ({"mode": "LOCAL"}, "live.address = ''"),
        ({"mode": "LOCAL", "address": "http://example.com:80"}, "this machine"),
        ({"mode": "LOCAL", "address": "http://u:p@127.0.0.1:80"}, "this machine"),
        ({"mode": "LOCAL", "address": "http://127.0.0.1"}, "this machine"),
        ({"mode": "REAL"}, "must be one of DRY, TESTNET, LIVE, LOCAL"),
        ({"modus": "LIVE"}, "did you mean 'live.mode'"),
        ({"endpoint": "binance"}, "must be one of binance-live"),
        ({"symbols": []}, "at least one symbol"),
        ({"symbols": ["btcusdt"]}, "'btcusdt' is not how the exchange writes it"),
        ({"symbols": ["BTCUSDT", "BTCUSDT"]}, "twice"), ({"symbols": "BTCUSDT"}, "live.symbols = 'BTCUSDT'"),
        ({"interval": "7m"}, "live.interval = '7m'"), ({"interval": "4h"}, "must be one of 1m, 3m, 5m, 15m, 30m, 1h"),
        ({"reconcile_s": 1}, "between 5 and 600"),
        ({"reconcile_s": float("nan")}, "between 5 and 600"), ({"warmup_bars": 1.5}, "live.warmup_bars = 1.5"),
        ({"order_timeout_s": "10"}, "live.order_timeout_s = '10'"), ({"on_foreign": "ignore"}, "adopt, halt"),
    ],
)
def test_what_contradicts_stops_the_start(values: dict[str, Any], told: str) -> None:
    """One line names the key, its value and what would be right."""
    with pytest.raises(ConfigError) as caught:
        read_section(values)
    assert told in str(caught.value)


def test_a_file_holds_live_and_replay_settings(tmp_path: Path) -> None:
    """[live] stands beside the sections of a replay, which ignores it; flags win over it."""
    path = settings_file(tmp_path, '[live]\nmode = "TESTNET"\nreconcile_s = 30\n[risk]\nmax_positions = 3\n')
    loaded = load_live_settings(path, {"reconcile_s": (20.0, "--x")}, {"policy.profile": ("STANDARD", "--profile")})
    assert loaded.live.mode is LiveMode.TESTNET
    assert loaded.live.reconcile_s == 20.0
    assert loaded.run.settings.risk.max_positions == 3
    assert loaded.run.settings.policy.profile == "STANDARD"
    assert loaded.sources["live.mode"] == "live.toml"
    assert loaded.sources["live.reconcile_s"] == "--x"
    assert loaded.sources["live.interval"] == "default"
    assert load_settings(path).settings.settings_hash() == load_settings(
        settings_file(tmp_path, "[risk]\nmax_positions = 3\n")
    ).settings.settings_hash()


def test_a_wrong_live_key_is_told_by_every_command(tmp_path: Path) -> None:
    """Also by one that does not trade live."""
    path = settings_file(tmp_path, "[live]\nreconsile_s = 30\n")
    result = CliRunner().invoke(app, ["config", "check", str(path)])
    assert result.exit_code == 2
    assert "did you mean 'live.reconcile_s'" in result.stderr
    with pytest.raises(ConfigError, match="is a section"):
        load_settings(settings_file(tmp_path, "live = 3\n"))


@pytest.mark.parametrize("line", ['symbols = ["ETHUSDT"]', 'interval = "1h"'])
def test_the_replays_section_may_not_say_otherwise(line: str, tmp_path: Path) -> None:
    """One file, one meaning."""
    with pytest.raises(ConfigError, match="differs from live"):
        load_live_settings(settings_file(tmp_path, f'[live]\nsymbols = ["BTCUSDT"]\n[data]\n{line}\n'))


def test_the_plan_says_where_with_which_key_and_what_is_at_risk(tmp_path: Path) -> None:
    """LIVE says REAL MONEY; a key is shown masked; DRY says that none is used."""
    path = settings_file(tmp_path, f'[live]\nmode = "LIVE"\nconfirm_live = "{CONFIRMATION}"\n')
    loaded = load_live_settings(path)
    key = KeyLocation(endpoint=LIVE, key="abcd…wxyz", source="keyring")
    plan = start_plan(loaded.live, loaded.run, key, tmp_path / "state")
    text = "\n".join(plan_lines(plan))
    for words in ("LIVE (REAL MONEY", "binance-live", "abcd…wxyz from keyring", "every 60 s", "CONTRACT_PRICE",
                  "orphan", "max_risk_pct 2", "SAFE, observe"):
        assert words in text
    assert plan.money == "REAL"
    dry = load_live_settings()
    assert "none are used" in "\n".join(plan_lines(start_plan(dry.live, dry.run, None, tmp_path)))


def test_a_folder_trades_one_thing(tmp_path: Path) -> None:
    """Another mode, endpoint, interval or other symbols are refused; a new port of the local venue is not."""
    live = LiveSettings(mode=LiveMode.LOCAL, address=LOOPBACK)
    assert read_folder(tmp_path) is None
    bind_folder(tmp_path, live)
    assert (tmp_path / "live.json").stat().st_mode & 0o777 == 0o600
    folder = bind_folder(tmp_path, msgspec.structs.replace(live, address="http://127.0.0.1:9090"))
    assert folder.settings().address == "http://127.0.0.1:9090"
    for changed in ({"mode": LiveMode.DRY, "address": ""}, {"symbols": ("BTCUSDT",)}, {"interval": "1h"}):
        with pytest.raises(StateError, match="give the same settings"):
            bind_folder(tmp_path, msgspec.structs.replace(live, **changed))
    (tmp_path / "live.json").write_text("{}")
    with pytest.raises(StateError, match="damaged"):
        read_folder(tmp_path)


def test_a_replays_folder_is_not_traded_live(tmp_path: Path) -> None:
    """Its checkpoint is of another run."""
    (tmp_path / "checkpoint").touch()
    with pytest.raises(StateError, match="holds a replay"):
        bind_folder(tmp_path, LiveSettings())


def test_a_start_that_the_venue_refuses_binds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistyped symbol: the same folder takes the right one; one that is bound is compared before the venue is met."""
    from quantum_trader.app.runs import live

    account = FakeAccount(faults={"connect": [ConfigError("BTCUSD: not a perpetual"), ConfigError("key withdrawn")]})
    monkeypatch.setattr(live, "venue_for", lambda *_, **__: account)
    flags = {"mode": ("LOCAL", "t"), "address": ("http://127.0.0.1:8080", "t"), "symbols": (["BTCUSD"], "t")}
    wrong = load_live_settings(None, flags)
    right = msgspec.structs.replace(wrong.live, symbols=("BTCUSDT",))
    with pytest.raises(ConfigError, match="not a perpetual"):
        live.run_live(wrong, None, tmp_path, Redactor(()))
    assert read_folder(tmp_path) is None
    assert bind_folder(tmp_path, right).symbols == ("BTCUSDT",)
    with pytest.raises(StateError, match="trades with symbols = BTCUSDT, now BTCUSD"):
        live.run_live(wrong, None, tmp_path, Redactor(()))
    assert account.calls["connect"] == 1
    assert check_folder(tmp_path, right) == read_folder(tmp_path)
