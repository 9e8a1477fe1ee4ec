"""quantum-trader keys: hidden prompts, the machine's keyring, masks."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from typer.testing import CliRunner, Result

from quantum_trader.app.cli.main import app
from quantum_trader.venues.binance.keys import ENDPOINT_NAMES, variables

KEY, SECRET = "abcd-key-key-key-key-wxyz", "secret-secret-secret-secret"


class FakeKeyringModule(SimpleNamespace):
    """The package ``keyring`` as it is used, in memory."""

    def __init__(self) -> None:
        kept: dict[tuple[str, str], str] = {}
        errors = SimpleNamespace(
            KeyringError=type("KeyringError", (Exception,), {}), NoKeyringError=type("NoKeyringError", (Exception,), {})
        )
        super().__init__(
            kept=kept, errors=errors, get_keyring=object,
            get_password=lambda service, name: kept.get((service, name)),
            set_password=lambda service, name, value: kept.update({(service, name): value}),
            delete_password=lambda service, name: kept.pop((service, name)),
        )


@pytest.fixture(autouse=True)
def _no_keys_of_the_person(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the person's own keys out."""
    for name in ("QT_KEYS_FILE", *(name for endpoint in ENDPOINT_NAMES for name in variables(endpoint))):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> FakeKeyringModule:
    """A keyring on this machine."""
    made = FakeKeyringModule()
    monkeypatch.setitem(sys.modules, "keyring", made)
    return made


def call(*words: str, text: str = "") -> Result:
    """One command."""
    return CliRunner().invoke(app, ["keys", *words], input=text)


def test_set_show_and_remove(keyring: FakeKeyringModule) -> None:
    """The pair is kept, shown masked, and forgotten."""
    made = call("set", "binance-testnet", text=f"{KEY}\n{SECRET}\n")
    assert made.exit_code == 0, made.output
    assert "abcd…wxyz is stored" in made.stdout
    assert len(keyring.kept) == 1
    shown = call("show")
    assert "binance-testnet  abcd…wxyz (keyring)" in shown.stdout
    assert "local            none" in shown.stdout
    assert msgspec.json.decode(call("show", "--json").stdout) == [
        {"endpoint": "binance-testnet", "key": "abcd…wxyz", "source": "keyring"}
    ]
    assert "removed from the keyring" in call("remove", "binance-testnet").stdout
    assert "holds no keys" in call("remove", "binance-testnet").stdout
    for told in (made, shown):
        assert KEY not in told.output
        assert SECRET not in told.output


def test_the_same_pair_for_another_endpoint_is_refused(keyring: FakeKeyringModule) -> None:
    """Keys belong to one endpoint; nothing new is kept."""
    call("set", "binance-testnet", text=f"{KEY}\n{SECRET}\n")
    refused = call("set", "binance-live", text=f"{KEY}\n{SECRET}\n")
    assert refused.exit_code == 2
    assert "belong to one endpoint" in refused.stderr
    assert len(keyring.kept) == 1


def test_live_keys_come_with_a_warning_and_json(keyring: FakeKeyringModule) -> None:
    """What a start in mode LIVE refuses is said when they are stored."""
    assert "refuses keys with withdrawal rights" in call("set", "binance-live", text=f"{KEY}\n{SECRET}\n").stdout
    told = call("set", "binance-live", "--json", text=f"{KEY}\n{SECRET}\n")
    assert msgspec.json.decode(told.stdout.splitlines()[-1])["key"] == "abcd…wxyz"
    assert msgspec.json.decode(call("remove", "binance-live", "--json").stdout)["removed"] is True


@pytest.mark.parametrize("words", [("set", "binance"), ("remove", "binance")])
def test_an_unknown_endpoint_is_named(words: tuple[str, str], keyring: FakeKeyringModule) -> None:
    """Before anything is asked."""
    told = call(*words)
    assert told.exit_code == 2
    assert "must be one of binance-live, binance-testnet, local" in told.stderr


def test_without_the_package_the_other_places_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment and a private file need nothing more."""
    monkeypatch.setitem(sys.modules, "keyring", None)
    told = call("set", "local")
    assert told.exit_code == 2
    assert "install quantum-trader[live]" in told.stderr
    assert call("show").exit_code == 0


def test_a_file_counts_as_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shown by its name."""
    path = tmp_path / "keys.toml"
    path.touch(0o600)
    path.write_text(f'[local]\nkey = "{KEY}"\nsecret = "{SECRET}"\n')
    monkeypatch.setenv("QT_KEYS_FILE", str(path))
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert "local            abcd…wxyz (file keys.toml)" in call("show").stdout
