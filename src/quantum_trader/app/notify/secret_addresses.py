"""The addresses of targets: from the environment, a private file or the machine's keyring, shown to nobody.

An apprise address holds tokens and passwords. It is a ``Secret`` from where it is read to where it is sent.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.app.notify.schemes import scheme_of, why_scheme_refused
from quantum_trader.app.notify.settings import PING, TARGET_NAME
from quantum_trader.domain.errors import ConfigError, brief
from quantum_trader.domain.private_files import MOST_SETTINGS, read_plain
from quantum_trader.venues.binance.keys import Keyring, Secret

PREFIX: Final = "QT_NOTIFY_"
ADDRESS_FILE: Final = "QT_NOTIFY_FILE"  # variable that names the private file
_SERVICE: Final = "quantum-trader/notify"
_OTHERS_MAY: Final = 0o077


class TargetAddress(msgspec.Struct, frozen=True):
    """The address of one target and where it was found."""

    address: Secret
    source: str  # "environment", "keyring" or "file NAME"

    @property
    def scheme(self) -> str:
        """The service, which is no secret."""
        return scheme_of(self.address.reveal())


def variable_of(name: str) -> str:
    """The environment variable of the target *name*."""
    return f"{PREFIX}{name.upper()}"


def find_addresses(
    names: Iterable[str], environ: Mapping[str, str], keyring: Keyring | None
) -> dict[str, TargetAddress]:
    """The addresses of those of *names* that have one; ConfigError where two places differ or one is not usable."""
    file = _file_addresses(environ)
    found: dict[str, TargetAddress] = {}
    for name in names:
        places = list(_places(name, environ, file, keyring))
        if len({place.address.reveal() for place in places}) > 1:
            told = " and ".join(place.source for place in places)
            raise ConfigError(f"address of {name}: {told} differ; remove one, so that it is clear which is used")
        if places:
            why = why_scheme_refused(places[0].address.reveal(), is_ping=name == PING)
            if why:
                raise ConfigError(f"address of {name} ({places[0].source}): {why}")
            found[name] = places[0]
    return found


def require_addresses(
    names: Iterable[str], environ: Mapping[str, str], keyring: Keyring | None
) -> dict[str, TargetAddress]:
    """The address of each of *names*; ConfigError that says how to give one that is missing."""
    wanted = tuple(names)
    found = find_addresses(wanted, environ, keyring)
    for name in wanted:
        if name not in found:
            raise ConfigError(
                f"no address for {name}: set {variable_of(name)}, or name a 0600 file in {ADDRESS_FILE}, or run "
                f"quantum-trader notify set {name}" + ("" if keyring is not None else " (needs the extra 'live')")
            )
    return found


def store_address(name: str, address: str, keyring: Keyring) -> TargetAddress:
    """Keep *address* in the keyring; ConfigError, which does not repeat it, where it is not usable."""
    if name != PING and not TARGET_NAME.fullmatch(name):
        raise ConfigError(f"NAME {brief(name)}: must be the name of a target (small letters, digits, _) or {PING}")
    why = why_scheme_refused(address.strip(), is_ping=name == PING)
    if why:
        raise ConfigError(f"address of {name}: {why}; nothing was stored")
    keyring.set_password(_SERVICE, name, address.strip())
    return TargetAddress(Secret(address.strip()), "keyring")


def remove_address(name: str, keyring: Keyring) -> bool:
    """Take the address of *name* out of the keyring; False when it holds none."""
    if keyring.get_password(_SERVICE, name) is None:
        return False
    keyring.delete_password(_SERVICE, name)
    return True


def forget_addresses(environ: MutableMapping[str, str]) -> None:
    """Take all addresses out of *environ*, so that nothing else of this process finds them there."""
    for name in [one for one in environ if one.startswith(PREFIX)]:
        environ.pop(name)


def _places(
    name: str, environ: Mapping[str, str], file: Mapping[str, str], keyring: Keyring | None
) -> Iterable[TargetAddress]:
    if given := environ.get(variable_of(name), "").strip():
        yield TargetAddress(Secret(given), "environment")
    if name in file:
        yield TargetAddress(Secret(file[name].strip()), f"file {Path(environ[ADDRESS_FILE]).name}")
    kept = keyring.get_password(_SERVICE, name) if keyring is not None else None
    if kept:
        yield TargetAddress(Secret(kept), "keyring")


def _file_addresses(environ: Mapping[str, str]) -> dict[str, str]:
    """NAME = "address" of the private file; ConfigError when others may read it or it is malformed."""
    place = environ.get(ADDRESS_FILE, "")
    if not place:
        return {}
    try:
        status = os.stat(place)
        content = read_plain(Path(place), MOST_SETTINGS)
    except OSError as error:
        raise ConfigError(f"{ADDRESS_FILE} = {place!r}: cannot be read ({error.strerror})") from None
    if status.st_mode & _OTHERS_MAY or status.st_uid not in (os.geteuid(), 0):
        raise ConfigError(
            f"{ADDRESS_FILE} = {place!r}: others may read it (mode {stat.S_IMODE(status.st_mode):04o}) or own it; "
            "chmod 600 it, and make new addresses if others use this machine"
        )
    try:
        return msgspec.convert(tomllib.loads(content.decode()), dict[str, str])
    except (ValueError, RecursionError, msgspec.ValidationError):
        raise ConfigError(f'{ADDRESS_FILE} = {place!r}: must hold lines such as phone = "tgram://..."') from None
