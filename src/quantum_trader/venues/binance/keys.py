"""API keys: their sources, their endpoint, and their masking in every output.

A key and its secret are ``Secret``: an object that shows a mask wherever Python shows a value (repr, str, format,
a traceback's locals) and refuses to be pickled, copied or encoded. Only ``reveal``
returns the text. ``Redactor`` covers other texts: exceptions of libraries, addresses, captured output.
"""

from __future__ import annotations

import base64
import hmac
import os
import stat
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol
from urllib.parse import quote, quote_plus

import msgspec

from quantum_trader.domain.errors import ConfigError

LIVE: Final = "binance-live"
TESTNET: Final = "binance-testnet"
LOCAL: Final = "local"
ENDPOINT_NAMES: Final = (LIVE, TESTNET, LOCAL)
FILE_VARIABLE: Final = "QT_KEYS_FILE"
HIDDEN: Final = "…"
_SHOWN: Final = 4  # characters at each end of a mask
_MASKABLE: Final = 16  # a mask would show most of a shorter key
_SHORTEST: Final = 8  # a shorter text is not a key, and removing it would damage other texts
_PEM: Final = "-----BEGIN "
_ACCOUNT: Final = "api"  # user name of the entry in the keyring
_OTHERS_MAY: Final = 0o077


class Secret:
    """A text that is shown as a mask; :meth:`reveal` returns the text itself."""

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """Return the text itself."""
        return self.__value

    @property
    def masked(self) -> str:
        """The first and last characters, such as ``abcd…wxyz``; a short text shows none."""
        value = self.__value
        return f"{value[:_SHOWN]}{HIDDEN}{value[-_SHOWN:]}" if len(value) >= _MASKABLE else HIDDEN

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.__value.encode(), other.reveal().encode())

    def __hash__(self) -> int:
        return id(self)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a secret is not stored, copied or sent")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a secret is not stored, copied or sent")


class ApiKeys:
    """A key pair and the one endpoint it may be used at."""

    __slots__ = ("endpoint", "key", "secret", "source")
    endpoint: str
    key: Secret
    secret: Secret
    source: str  # "environment", "keyring" or "file NAME"

    def __init__(self, endpoint: str, key: Secret, secret: Secret, source: str) -> None:
        for name, value in (("endpoint", endpoint), ("key", key), ("secret", secret), ("source", source)):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{name}: keys do not change; load them again")

    @property
    def masked(self) -> str:
        """The mask of the key; the secret is never shown."""
        return self.key.masked

    @property
    def secrets(self) -> tuple[Secret, Secret]:
        """Key and secret."""
        return self.key, self.secret

    def require_endpoint(self, endpoint: str) -> None:
        """Raise ConfigError unless these keys belong to *endpoint*."""
        if endpoint != self.endpoint:
            raise ConfigError(f"keys {self.masked} belong to {self.endpoint} and are not used at {endpoint}")

    def __repr__(self) -> str:
        return f"ApiKeys(endpoint={self.endpoint!r}, key={self.masked}, source={self.source!r})"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("keys are not stored, copied or sent")


class Keyring(Protocol):
    """The operating system's password store, with the interface of the package ``keyring``."""

    def get_password(self, service: str, username: str) -> str | None:
        """Return the password; None when there is none."""
        ...

    def set_password(self, service: str, username: str, password: str) -> None:
        """Store the password."""
        ...

    def delete_password(self, service: str, username: str) -> None:
        """Delete the password."""
        ...


class KeyLocation(msgspec.Struct, frozen=True, kw_only=True):
    """Where keys of an endpoint were found, with the key masked."""

    endpoint: str
    key: str  # masked
    source: str


class _Pair(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The stored form of a key pair, in the keyring and in a file."""

    key: str
    secret: str

    def __repr__(self) -> str:
        return f"_Pair({HIDDEN})"


class OsKeyring:
    """The package ``keyring``; its errors become ConfigError."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def get_password(self, service: str, username: str) -> str | None:
        """Return the password; None also where the machine has no keyring."""
        try:
            found = self._module.get_password(service, username)
        except self._module.errors.NoKeyringError:
            return None
        except self._module.errors.KeyringError as error:
            raise _keyring_failed("read", error) from None
        return None if found is None else str(found)

    def set_password(self, service: str, username: str, password: str) -> None:
        """Store the password; ConfigError where the keyring is missing or not safe."""
        if "plaintext" in type(self._module.get_keyring()).__name__.lower():
            raise ConfigError("keyring: this machine's keyring writes plain text; use the environment or a 0600 file")
        try:
            self._module.set_password(service, username, password)
        except self._module.errors.KeyringError as error:
            raise _keyring_failed("written", error) from None

    def delete_password(self, service: str, username: str) -> None:
        """Delete the password."""
        try:
            self._module.delete_password(service, username)
        except self._module.errors.KeyringError as error:
            raise _keyring_failed("changed", error) from None


def _keyring_failed(what: str, error: Exception) -> ConfigError:
    """Return an error with the kind of failure only; the keyring's own text may hold the password."""
    if type(error).__name__ == "NoKeyringError":
        return ConfigError("keyring: this machine has none; use the environment or a 0600 file")
    return ConfigError(
        f"keyring: cannot be {what} ({type(error).__name__}); unlock it, or use the environment or a 0600 file"
    )


def os_keyring() -> OsKeyring | None:
    """The machine's keyring; None where the package ``keyring`` (extra ``live``) is not installed."""
    try:
        return OsKeyring(import_module("keyring"))
    except ImportError:
        return None


def variables(endpoint: str) -> tuple[str, str]:
    """Names of the environment variables of *endpoint*: key and secret."""
    stem = "QT_" + _known(endpoint).upper().replace("-", "_")
    return f"{stem}_KEY", f"{stem}_SECRET"


def load_keys(endpoint: str, environ: Mapping[str, str], keyring: Keyring | None = None) -> ApiKeys:
    """The keys of *endpoint* from the environment, the file it names, or the keyring.

    Raises ConfigError when there are none (naming the settings), when two places differ, or when another endpoint
    has the same key: keys belong to one endpoint.
    """
    _known(endpoint)
    file = _read_file(environ)
    found = _first(endpoint, environ, file, keyring)
    if found is None:
        key_name, secret_name = variables(endpoint)
        raise ConfigError(
            f"no keys for {endpoint}: set {key_name} and {secret_name}, or name a 0600 file in {FILE_VARIABLE}, or run "
            f"quantum-trader keys set {endpoint}" + ("" if keyring is not None else " (needs the extra 'live')")
        )
    for other in ENDPOINT_NAMES:
        if other != endpoint:
            _refuse_shared(found, _first(other, environ, file, keyring))
    return found


def find_keys(environ: Mapping[str, str], keyring: Keyring | None = None) -> list[KeyLocation]:
    """The keys of every endpoint, masked."""
    file = _read_file(environ)
    return [
        KeyLocation(endpoint=endpoint, key=keys.masked, source=keys.source)
        for endpoint in ENDPOINT_NAMES
        for keys in _all(endpoint, environ, file, keyring)
    ]


def store_keys(endpoint: str, key: str, secret: str, keyring: Keyring) -> ApiKeys:
    """Store a pair for *endpoint* in *keyring*; ConfigError when it is malformed or another endpoint's."""
    keys = _keys(_known(endpoint), key, secret, "keyring")
    for other in ENDPOINT_NAMES:
        if other != endpoint:
            _refuse_shared(keys, _from_keyring(other, keyring))
    pair = _Pair(key=keys.key.reveal(), secret=keys.secret.reveal())
    keyring.set_password(_service(endpoint), _ACCOUNT, msgspec.json.encode(pair).decode())
    return keys


def remove_keys(endpoint: str, keyring: Keyring) -> bool:
    """Delete the pair of *endpoint*; False when the keyring holds none."""
    if keyring.get_password(_service(_known(endpoint)), _ACCOUNT) is None:
        return False
    keyring.delete_password(_service(endpoint), _ACCOUNT)
    return True


def _known(endpoint: str) -> str:
    if endpoint not in ENDPOINT_NAMES:
        raise ConfigError(f"endpoint = {endpoint!r}: must be one of {', '.join(ENDPOINT_NAMES)}")
    return endpoint


def _service(endpoint: str) -> str:
    return f"quantum-trader/{endpoint}"


def _first(
    endpoint: str, environ: Mapping[str, str], file: Mapping[str, _Pair], keyring: Keyring | None
) -> ApiKeys | None:
    """The pair of *endpoint*; ConfigError when two places hold different ones."""
    found = _all(endpoint, environ, file, keyring)
    for other in found[1:]:
        if other.key != found[0].key or other.secret != found[0].secret:
            raise ConfigError(
                f"keys of {endpoint}: {found[0].source} and {other.source} differ; remove one, so that it is clear "
                "which is used"
            )
    return found[0] if found else None


def _all(
    endpoint: str, environ: Mapping[str, str], file: Mapping[str, _Pair], keyring: Keyring | None
) -> list[ApiKeys]:
    """The pairs of *endpoint* from all places; an unreadable keyring is an error only where no other has a pair."""
    found = []
    key_name, secret_name = variables(endpoint)
    key, secret = environ.get(key_name, ""), environ.get(secret_name, "")
    if key or secret:
        if not (key and secret):
            missing = secret_name if key else key_name
            raise ConfigError(f"{missing} is not set, but its counterpart is: set both or none")
        found.append(_keys(endpoint, key, secret, "environment"))
    if endpoint in file:
        name = Path(environ[FILE_VARIABLE]).name
        found.append(_keys(endpoint, file[endpoint].key, file[endpoint].secret, f"file {name}"))
    if keyring is not None:
        try:
            kept = _from_keyring(endpoint, keyring)
        except ConfigError:
            if not found:
                raise
            kept = None
        if kept is not None:
            found.append(kept)
    return found


def _from_keyring(endpoint: str, keyring: Keyring) -> ApiKeys | None:
    kept = keyring.get_password(_service(endpoint), _ACCOUNT)
    if kept is None:
        return None
    try:
        pair = msgspec.json.decode(kept.encode(), type=_Pair)
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise ConfigError(
            f"keyring: its entry for {endpoint} is no key pair; run quantum-trader keys set {endpoint} again"
        ) from None
    return _keys(endpoint, pair.key, pair.secret, "keyring")


def _read_file(environ: Mapping[str, str]) -> dict[str, _Pair]:
    """The pairs of the file that QT_KEYS_FILE names; ConfigError when others may read it or it is malformed."""
    place = environ.get(FILE_VARIABLE, "")
    if not place:
        return {}
    path = Path(place)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(f"{FILE_VARIABLE} = {place!r}: cannot be read ({error.strerror})") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise ConfigError(f"{FILE_VARIABLE} = {place!r}: is not a file")
    with open(descriptor, "rb") as handle:
        if status.st_mode & _OTHERS_MAY or status.st_uid not in (os.geteuid(), 0):
            raise ConfigError(
                f"{FILE_VARIABLE} = {place!r}: others may read it (mode {stat.S_IMODE(status.st_mode):04o}) or own it; "
                "chmod 600 it, and replace the keys if others use this machine"
            )
        raw = handle.read()
    try:
        return msgspec.convert(tomllib.loads(raw.decode()), dict[str, _Pair])
    except (ValueError, RecursionError, msgspec.ValidationError):
        raise ConfigError(
            f"{FILE_VARIABLE} = {place!r}: must be TOML with a section for each endpoint, such as "
            f'["{TESTNET}"], and in it key and secret'
        ) from None


def _keys(endpoint: str, key: str, secret: str, source: str) -> ApiKeys:
    """Return a valid pair; ConfigError, without showing it, when it is malformed."""
    key, secret = key.strip(), secret.strip()
    for what, value in (("key", key), ("secret", secret)):
        plain = value.isascii() and value.isprintable() and " " not in value
        if not value or not (plain or (what == "secret" and value.startswith(_PEM))):
            raise ConfigError(
                f"{what} of {endpoint} ({source}): is empty or holds blanks or odd characters; paste it again"
            )
        if len(value) < _SHORTEST:
            raise ConfigError(f"{what} of {endpoint} ({source}): is shorter than {_SHORTEST} characters; paste it")
    if hmac.compare_digest(key, secret):
        raise ConfigError(f"keys of {endpoint} ({source}): key and secret are the same text; paste them again")
    return ApiKeys(endpoint, Secret(key), Secret(secret), source)


def _refuse_shared(keys: ApiKeys, other: ApiKeys | None) -> None:
    if other is not None and (keys.key == other.key or keys.secret == other.secret):
        raise ConfigError(
            f"keys {keys.masked} stand for {keys.endpoint} ({keys.source}) and for {other.endpoint} ({other.source}): "
            "keys belong to one endpoint; remove the wrong one"
        )


# ---------------------------------------------------------------------- texts that others make


class Redactor:
    """Replaces secrets in texts, in every form in which they commonly travel."""

    def __init__(self, secrets: Iterable[Secret | str]) -> None:
        forms: dict[str, str] = {}
        for secret in secrets:
            text = secret.reveal() if isinstance(secret, Secret) else secret
            forms.update(dict.fromkeys(_forms(text), f"[{HIDDEN}]"))
        self._forms = sorted(forms, key=len, reverse=True)
        self._raw = [form.encode() for form in self._forms]

    def __call__(self, text: str) -> str:
        """Return *text* without the secrets."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, f"[{HIDDEN}]")
        return text

    def bytes(self, line: bytes) -> bytes:
        """Return *line* without the secrets."""
        for form in self._raw:
            if form in line:
                line = line.replace(form, f"[{HIDDEN}]".encode())
        return line

    def error(self, error: BaseException) -> str:
        """Kind and text of *error* and of its causes, without the secrets."""
        return self("; caused by ".join(f"{type(one).__name__}: {one}" for one in _chain(error)))

    def __repr__(self) -> str:
        return f"Redactor({len(self._forms)} forms)"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a redactor holds secrets: it is not stored, copied or sent")


def redact(text: str, secrets: Iterable[Secret | str]) -> str:
    """*text* without *secrets*, plain or quoted, escaped or in base 64."""
    return Redactor(secrets)(text)


def _forms(text: str) -> Iterator[str]:
    """*text* as it stands, in an address, in JSON, in Python's repr, in base 64; a PEM also line by line."""
    if not text:
        return
    yield from (text, quote(text, safe=""), quote_plus(text), quote(text))
    yield msgspec.json.encode(text).decode()[1:-1]
    yield repr(text)[1:-1]
    yield from (base64.b64encode(text.encode()).decode(), base64.urlsafe_b64encode(text.encode()).decode())
    yield text.encode().hex()
    if text.startswith(_PEM):
        yield from (line for line in text.splitlines() if len(line) >= _MASKABLE and not line.startswith("-----"))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield *error* and the chain of its causes, each once."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
