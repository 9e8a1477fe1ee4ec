"""Settings and addresses of notifications: what is refused, and that no error repeats a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantum_trader.app.notify.notices import NoticeKind
from quantum_trader.app.notify.secret_addresses import (
    find_addresses,
    forget_addresses,
    remove_address,
    require_addresses,
    store_address,
)
from quantum_trader.app.notify.settings import load_notify_settings
from quantum_trader.domain.errors import ConfigError

ROOT = Path(__file__).parents[3]
SECRET = "123456789:AAbbCCddEEffGGhhIIjjKK"
ADDRESS = f"tgram://{SECRET}/42"


class FakeKeyring:
    """A password store in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    """A settings file with *text*."""
    file = folder / "notify.toml"
    file.write_text(text)
    file.chmod(mode)
    return file


def test_the_example_of_the_documentation_loads(tmp_path: Path) -> None:
    """With each of its keys in force."""
    found = load_notify_settings(written(tmp_path, (ROOT / "examples" / "notify.toml").read_text()))

    assert (found.quiet_hours, found.timezone) == ("22:00-07:00", "Europe/Berlin")
    assert list(found.targets) == ["phone", "desk"]
    assert (found.window_s(NoticeKind.FILL), found.is_enabled(NoticeKind.TRADE)) == (120.0, False)
    assert found.ping is not None
    assert found.ping.every_s == 60.0


def test_kinds_have_windows_and_targets_hear_what_they_want(tmp_path: Path) -> None:
    """A kind that is not named keeps its defaults."""
    found = load_notify_settings(written(tmp_path, (
        "[kinds.fill]\nwindow_s = 5\n[kinds.trade]\nenabled = false\n"
        "[targets.phone]\nkinds = ['halt', 'stopped']\n[targets.desk]\n"
    )))

    assert (found.window_s(NoticeKind.FILL), found.cooldown_s(NoticeKind.HALT)) == (5.0, 60.0)
    assert [found.is_enabled(kind) for kind in (NoticeKind.TRADE, NoticeKind.FILL)] == [False, True]
    assert [found.hears("phone", kind) for kind in (NoticeKind.HALT, NoticeKind.FILL)] == [True, False]
    assert found.hears("desk", NoticeKind.FILL)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("quiet_hours = '25:00-07:00'", "quiet_hours = '25:00-07:00'"), ("timezone = 'Mars/Base'", "timezone"),
        ("timezone = '/etc/passwd'", "timezone"), ("timezone = '../../x'", "timezone"),
        ("[kinds.dance]", "kinds.dance: is no kind"), ("[targets.Phone]", "targets.Phone"),
        ("[targets.ping]", "targets.ping"), ("[targets.a]\nallow = ['10.0.0.0/8']", "targets.a.allow = '10.0.0.0/8'"),
        ("[ping]\nallow = ['localhost']", "ping.allow = 'localhost'"), ("[ping]\nevery_s = 1", "every_s"),
        ("drawdown_steps_pct = [10, 5]", "must rise"), ("colour = 'red'", "colour"), ("quiet_hours = ", "is not TOML"),
        ("[kinds.fill]\nwindow_s = -1", "window_s"), ("[targets.a]\nkinds = ['dance']", "dance"),
    ],
)
def test_a_value_that_is_not_usable_is_named(tmp_path: Path, text: str, told: str) -> None:
    """With the file, the key and what is right."""
    with pytest.raises(ConfigError, match=told.replace("[", r"\[").replace("]", r"\]")) as refused:
        load_notify_settings(written(tmp_path, text))
    assert "notify.toml" in str(refused.value)


@pytest.mark.parametrize("text", [
    f"[targets.phone]\naddress = '{ADDRESS}'", f"label = '{ADDRESS}'", f"[ping]\nurl = 'https://x.example/{SECRET}'",
    f"broken = '{ADDRESS}", f"[targets.phone]\nallow = ['{SECRET}'",
])
def test_an_address_in_the_file_is_refused_without_repeating_it(tmp_path: Path, text: str) -> None:
    """Wherever it stands, in a broken file too."""
    with pytest.raises(ConfigError) as refused:
        load_notify_settings(written(tmp_path, text))

    assert SECRET not in str(refused.value)


def test_a_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    """They would send in the operator's name, to addresses that they allow."""
    with pytest.raises(ConfigError, match="chmod 600"):
        load_notify_settings(written(tmp_path, "", 0o622))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """As every other settings file."""
    with pytest.raises(ConfigError, match="cannot be read"):
        load_notify_settings(tmp_path / "missing.toml")


def test_addresses_come_from_the_environment_a_private_file_or_the_keyring(tmp_path: Path) -> None:
    """Each target from its own place; none is shown."""
    file = written(tmp_path, f'desk = "{ADDRESS}"\n')
    keyring = FakeKeyring()
    store_address("mail", f"mailto://{SECRET}@example.com", keyring)
    environ = {"QT_NOTIFY_PHONE": ADDRESS, "QT_NOTIFY_FILE": str(file)}

    found = require_addresses(["phone", "desk", "mail"], environ, keyring)

    assert {name: (one.scheme, one.source) for name, one in found.items()} == {
        "phone": ("tgram", "environment"), "desk": ("tgram", "file notify.toml"), "mail": ("mailto", "keyring"),
    }
    assert SECRET not in repr(found)
    assert remove_address("mail", keyring)
    assert not remove_address("mail", keyring)


def test_a_target_without_an_address_is_told_how_to_give_one() -> None:
    """All three ways."""
    with pytest.raises(ConfigError, match=r"QT_NOTIFY_PHONE, .* QT_NOTIFY_FILE, .* notify set phone"):
        require_addresses(["phone"], {}, None)


def test_two_places_that_differ_are_refused_without_repeating_them(tmp_path: Path) -> None:
    """So that it is clear which is used."""
    file = written(tmp_path, f'desk="{ADDRESS}"')
    environ = {"QT_NOTIFY_DESK": f"json://{SECRET}.example", "QT_NOTIFY_FILE": str(file)}
    with pytest.raises(ConfigError, match="differ") as refused:
        find_addresses(["desk"], environ, None)
    assert SECRET not in str(refused.value)


def test_a_private_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """Its mode is told, its content is not."""
    file = written(tmp_path, f'desk = "{ADDRESS}"', 0o644)
    with pytest.raises(ConfigError, match="0644") as refused:
        find_addresses(["desk"], {"QT_NOTIFY_FILE": str(file)}, None)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("address", [f"syslog://{SECRET}", f"dbus://{SECRET}", SECRET, f"macosx://{SECRET}"])
def test_an_address_that_acts_on_this_machine_is_refused_without_repeating_it(address: str) -> None:
    """Before anything is sent, and before it is stored."""
    with pytest.raises(ConfigError) as refused:
        find_addresses(["desk"], {"QT_NOTIFY_DESK": address}, None)
    assert SECRET not in str(refused.value)
    keyring = FakeKeyring()
    with pytest.raises(ConfigError, match="nothing was stored"):
        store_address("desk", address, keyring)
    assert keyring.kept == {}


@pytest.mark.parametrize("name", ["Phone", "a b", "", "../x", "x" * 40])
def test_an_address_is_kept_under_the_name_of_a_target_alone(name: str) -> None:
    """Another would never be looked for."""
    with pytest.raises(ConfigError, match="name of a target"):
        store_address(name, ADDRESS, FakeKeyring())


def test_a_ping_goes_to_a_web_address_only() -> None:
    """It is asked with GET."""
    with pytest.raises(ConfigError, match="http://"):
        find_addresses(["ping"], {"QT_NOTIFY_PING": ADDRESS}, None)


def test_addresses_are_taken_out_of_the_environment() -> None:
    """Models of users and other programs that this process starts find none."""
    environ = {"QT_NOTIFY_PHONE": ADDRESS, "QT_NOTIFY_FILE": "x", "PATH": "/bin"}
    forget_addresses(environ)

    assert environ == {"PATH": "/bin"}
