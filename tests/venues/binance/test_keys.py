"""Keys have three sources, belong to one endpoint, and are masked everywhere."""

from __future__ import annotations

import copy
import json
import logging
import os
import pickle
import traceback
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.domain.errors import ConfigError
from quantum_trader.venues.binance.keys import (
    ENDPOINT_NAMES,
    LIVE,
    LOCAL,
    TESTNET,
    ApiKeys,
    OsKeyring,
    Redactor,
    Secret,
    find_keys,
    load_keys,
    redact,
    remove_keys,
    store_keys,
    variables,
)

KEY = "AbCdKEYKEYKEYKEYKEYKEYKEYKEYwXyZ"
SECRET = "s3cr3t/with+signs=SECRETSECRETSECRET"
OTHER = "EfGhOTHEROTHEROTHEROTHEROTHERuVw"


class MemoryKeyring:
    """A keyring in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        """What is kept."""
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep it."""
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        """Forget it."""
        del self.kept[service, username]


def environment(endpoint: str = TESTNET, key: str = KEY, secret: str = SECRET) -> dict[str, str]:
    """Environment variables of one pair."""
    return dict(zip(variables(endpoint), (key, secret), strict=True))


def keys_file(folder: Path, mode: int = 0o600, text: str | None = None) -> dict[str, str]:
    """A keys file and the variable that names it."""
    path = folder / "keys.toml"
    path.write_text(text if text is not None else f'["{TESTNET}"]\nkey = "{KEY}"\nsecret = "{SECRET}"\n')
    path.chmod(mode)
    return {"QT_KEYS_FILE": str(path)}


def test_variables_are_named_after_the_endpoint() -> None:
    """QT_BINANCE_LIVE_KEY and so on."""
    names = ["QT_BINANCE_LIVE_KEY", "QT_BINANCE_TESTNET_KEY", "QT_LOCAL_KEY"]
    assert [variables(name)[0] for name in ENDPOINT_NAMES] == names
    assert variables(LOCAL)[1] == "QT_LOCAL_SECRET"


def test_each_place_is_found_and_named(tmp_path: Path) -> None:
    """Environment, file and keyring give the same pair and name themselves."""
    keyring = MemoryKeyring()
    store_keys(TESTNET, KEY, SECRET, keyring)
    found = [
        load_keys(TESTNET, environment()), load_keys(TESTNET, keys_file(tmp_path)), load_keys(TESTNET, {}, keyring)
    ]
    assert [keys.source for keys in found] == ["environment", "file keys.toml", "keyring"]
    assert {keys.key.reveal() for keys in found} == {KEY}
    assert {keys.secret.reveal() for keys in found} == {SECRET}
    assert {keys.masked for keys in found} == {"AbCd…wXyZ"}


def test_missing_keys_name_what_to_set() -> None:
    """Both variables, the file and the command."""
    with pytest.raises(ConfigError, match="QT_BINANCE_TESTNET_KEY and QT_BINANCE_TESTNET_SECRET.*QT_KEYS_FILE.*set"):
        load_keys(TESTNET, {})
    with pytest.raises(ConfigError, match="QT_LOCAL_SECRET is not set"):
        load_keys(LOCAL, {"QT_LOCAL_KEY": KEY})
    with pytest.raises(ConfigError, match="must be one of binance-live"):
        load_keys("binance", {})


@pytest.mark.parametrize(("key", "secret"), [(KEY, "another-secret-entirely"), (OTHER, SECRET)])
def test_keys_belong_to_one_endpoint(key: str, secret: str, tmp_path: Path) -> None:
    """The same key or the same secret under two endpoints stops the start, wherever each was found."""
    environ = {**environment(LIVE, key, secret), **keys_file(tmp_path)}
    for endpoint in (LIVE, TESTNET):
        with pytest.raises(ConfigError, match="keys belong to one endpoint") as caught:
            load_keys(endpoint, environ)
        assert KEY not in str(caught.value)
        assert SECRET not in str(caught.value)
    with pytest.raises(ConfigError, match="belong to binance-testnet and are not used at binance-live"):
        load_keys(TESTNET, environment()).require_endpoint(LIVE)


def test_two_places_that_differ_are_refused(tmp_path: Path) -> None:
    """It is always clear which keys are used."""
    environ = {**environment(key=OTHER), **keys_file(tmp_path)}
    with pytest.raises(ConfigError, match=r"environment and file keys\.toml differ"):
        load_keys(TESTNET, environ)
    assert load_keys(TESTNET, {**environment(), **keys_file(tmp_path)}).source == "environment"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o601])
def test_a_file_that_others_may_read_is_refused(mode: int, tmp_path: Path) -> None:
    """The message has the remedy."""
    with pytest.raises(ConfigError, match="chmod 600"):
        load_keys(TESTNET, keys_file(tmp_path, mode))


@pytest.mark.parametrize("text", ["not toml", "[binance-testnet]\nkey = 1\n", '["x"]\nkey="a"\nsecret="b"\nmore=1\n'])
def test_a_malformed_file_is_refused_without_showing_it(text: str, tmp_path: Path) -> None:
    """The message says what it must look like."""
    with pytest.raises(ConfigError, match="must be TOML with a section for each endpoint") as caught:
        load_keys(TESTNET, keys_file(tmp_path, text=text))
    assert caught.value.__cause__ is None
    with pytest.raises(ConfigError, match="cannot be read"):
        load_keys(TESTNET, {"QT_KEYS_FILE": str(tmp_path / "none.toml")})
    with pytest.raises(ConfigError, match="is not a file"):
        load_keys(TESTNET, {"QT_KEYS_FILE": str(tmp_path)})


@pytest.mark.parametrize(
    ("key", "secret"),
    [(" ", SECRET), ("two words in it", SECRET), (KEY, "tab\tin the middle"), (KEY, KEY), ("short", SECRET)],
)
def test_malformed_keys_are_refused_without_showing_them(key: str, secret: str) -> None:
    """Blanks, odd characters, too short, or the key pasted twice."""
    with pytest.raises(ConfigError, match="paste") as caught:
        load_keys(TESTNET, environment(key=key, secret=secret))
    assert SECRET not in str(caught.value)
    assert KEY not in str(caught.value)


def test_the_keyring_is_written_read_and_cleared() -> None:
    """Stored as one entry for each endpoint; a shared pair is refused before it is kept."""
    keyring = MemoryKeyring()
    store_keys(TESTNET, f" {KEY}\n", SECRET, keyring)
    assert list(keyring.kept) == [("quantum-trader/binance-testnet", "api")]
    assert load_keys(TESTNET, {}, keyring).key.reveal() == KEY
    with pytest.raises(ConfigError, match="one endpoint"):
        store_keys(LIVE, KEY, "another-secret-entirely", keyring)
    assert [(one.endpoint, one.key, one.source) for one in find_keys({}, keyring)] == [
        (TESTNET, "AbCd…wXyZ", "keyring")
    ]
    assert remove_keys(TESTNET, keyring)
    assert not remove_keys(TESTNET, keyring)
    keyring.kept["quantum-trader/local", "api"] = "damaged"
    with pytest.raises(ConfigError, match="no key pair"):
        load_keys(LOCAL, {}, keyring)


def test_a_locked_keyring_matters_only_where_nothing_else_has_keys() -> None:
    """Its own error text, which might quote what it was given, is not repeated."""
    errors = SimpleNamespace(KeyringError=RuntimeError, NoKeyringError=type("NoKeyringError", (RuntimeError,), {}))

    def locked(*words: str) -> None:
        raise RuntimeError(f"locked {SECRET}")

    module = SimpleNamespace(
        get_password=locked, set_password=locked, delete_password=locked, errors=errors, get_keyring=lambda: object()
    )
    keyring = OsKeyring(module)
    assert load_keys(TESTNET, environment(), None).endpoint == TESTNET
    for call in (
        lambda: load_keys(TESTNET, {}, keyring), lambda: keyring.set_password("a", "b", SECRET),
        lambda: keyring.delete_password("a", "b"),
    ):
        with pytest.raises(ConfigError, match="unlock it") as caught:
            call()
        assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_keyring_that_writes_plain_text_keeps_nothing() -> None:
    """And a machine without one has no keys."""
    class PlaintextKeyring:
        pass

    class NoKeyringError(RuntimeError):
        pass

    def none(*words: str) -> None:
        raise NoKeyringError

    errors = SimpleNamespace(KeyringError=RuntimeError, NoKeyringError=NoKeyringError)
    module = SimpleNamespace(get_password=none, errors=errors, get_keyring=PlaintextKeyring)
    with pytest.raises(ConfigError, match="plain text"):
        OsKeyring(module).set_password("a", "b", "c")
    assert OsKeyring(module).get_password("a", "b") is None


def shown(value: object) -> list[str]:
    """Everything that shows *value* by accident."""
    try:
        raise RuntimeError(value)
    except RuntimeError as error:
        trace = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    record = logging.LogRecord("x", 20, "f", 1, "%s %r", (value, value), None).getMessage()
    return [repr(value), str(value), f"{value}", repr([value]), repr({"k": value}), trace, record]


def test_nothing_shows_a_secret_by_accident() -> None:
    """Text, format, containers, tracebacks with locals and log lines are masked; what stores it raises."""
    keys = load_keys(TESTNET, environment())
    for value in (keys, keys.key, keys.secret):
        for text in shown(value):
            assert KEY not in text
            assert SECRET not in text
        for store in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps, msgspec.json.encode, msgspec.to_builtins):
            with pytest.raises(TypeError):
                store(value)
        assert not hasattr(value, "__dict__")
    assert "secret" not in repr(keys).lower().replace("secret=", "")
    with pytest.raises(AttributeError, match="do not change"):
        keys.secret = Secret("other")  # type: ignore[misc]


def test_secrets_compare_by_what_they_hold() -> None:
    """Equal texts are equal; a text is never equal to a secret."""
    assert Secret("abc") == Secret("abc")
    assert Secret("abc") != Secret("abd")
    assert Secret("abc") != "abc"
    assert Secret("short").masked == "…"
    assert isinstance(load_keys(TESTNET, environment()), ApiKeys)


PEM = "\n".join(["-----BEGIN MADE UP-----", "MC4CAQAwBQYDK2VwBCIEIJ+madeup+madeup", "-----END MADE UP-----"])


@pytest.mark.parametrize("secret", [KEY, SECRET, PEM])
def test_redaction_finds_every_common_form(secret: str) -> None:
    """Plain, in an address, in JSON, in a repr, in base 64 and in hex; a PEM also line by line."""
    import base64
    from urllib.parse import quote, quote_plus, urlencode

    body = secret.splitlines()[1] if secret is PEM else secret
    texts = [
        f"x{secret}y", quote(secret), quote_plus(secret), urlencode({"apiKey": secret}), json.dumps({"k": secret}),
        repr({"k": secret}), base64.b64encode(secret.encode()).decode(), secret.encode().hex(), f"line {body} line",
    ]
    redactor = Redactor([Secret(secret)])
    for text in texts:
        clean = redactor(text)
        assert body not in clean
        assert "[…]" in clean
        assert redactor.bytes(text.encode()).decode() == clean
    assert redactor("nothing of the kind") == "nothing of the kind"
    assert redact(f"a {secret} b", [secret]) == "a […] b"


def test_an_error_text_has_its_causes_and_no_secrets() -> None:
    """Kinds and texts of the whole chain; what was suppressed stays so."""
    redactor = Redactor([SECRET])
    try:
        try:
            raise OSError(f"signature of {SECRET}")
        except OSError as inner:
            raise ValueError("request failed") from inner
    except ValueError as error:
        text = redactor.error(error)
    assert text == "ValueError: request failed; caused by OSError: signature of […]"
    assert SECRET not in repr(redactor)
    with pytest.raises(TypeError):
        pickle.dumps(redactor)


@given(st.text(min_size=8, max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_no_text_survives_redaction(secret: str, before: str, after: str) -> None:
    """The secret is removed from every surrounding text."""
    clean = redact(f"{before}{secret}{after}", [secret])
    assert secret not in clean.replace("[…]", "\x00")


def test_the_environment_is_given_and_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys in the process's own environment do not count unless the caller hands them over."""
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="no keys"):
        load_keys(TESTNET, {})
    assert load_keys(TESTNET, os.environ).source == "environment"
