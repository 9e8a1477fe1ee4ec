"""Tokens of the API: who may read, trade or own a state folder.

A token is shown once, when it is made; the folder keeps its hash. A running server reads the file again when it
changes, so a revoked token ends within a second, its open sockets too.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.domain.errors import InputError, StateError, brief
from quantum_trader.domain.json_text import decode_json
from quantum_trader.domain.private_files import make_private_folder, open_private, read_private
from quantum_trader.policy.storage import write_atomically

FILE_NAME: Final = "api_tokens.json"
PREFIX: Final = "qt"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")


class Role(str, Enum):
    """What a token may do; each role may do what the ones before it may."""

    VIEWER = "viewer"  # read
    TRADER = "trader"  # stop, resume, close, hand over signals
    OWNER = "owner"  # change settings and modes

    def may(self, needed: Role) -> bool:
        """Whether this role may do what *needed* may."""
        order = tuple(Role)
        return order.index(self) >= order.index(needed)


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """One token as the folder keeps it: without its secret."""

    id: str
    name: str
    role: Role
    digest: str  # SHA-256 of the whole token, which has 256 random bits
    created_ns: int
    revoked_ns: int = 0

    @property
    def is_valid(self) -> bool:
        """Whether it was not revoked."""
        return self.revoked_ns == 0


class _File(msgspec.Struct, frozen=True, kw_only=True):
    version: int = 1
    tokens: tuple[Token, ...] = ()


class TokenStore:
    """The tokens of one folder: of its API, or those that *file_name* holds, each of which begins with *prefix*."""

    def __init__(
        self, folder: Path, file_name: str = FILE_NAME, prefix: str = PREFIX,
        maker: str = "quantum-trader token new",
    ) -> None:
        self._folder, self._prefix, self._maker = folder, prefix, maker
        self._path = folder / file_name
        self._stamp: tuple[int, int, int] | None = None
        self._tokens: tuple[Token, ...] = ()

    def all(self) -> tuple[Token, ...]:
        """Every token, oldest first, revoked ones too. Raises StateError for a file that is damaged."""
        try:
            found = self._path.lstat()
        except FileNotFoundError:
            self._stamp, self._tokens = None, ()
            return ()
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        if stamp != self._stamp:
            self._tokens = self._read()
            self._stamp = stamp
        return self._tokens

    def new(self, name: str, role: Role, now_ns: int) -> tuple[Token, str]:
        """A new token called *name*, and its text, which nothing keeps. InputError for a name that is taken or bad."""
        if not _NAME.fullmatch(name):
            raise InputError(f"name = {brief(name)}: use letters, digits, '-', '_' and '.', at most 40")
        with self._locked():
            known = self.all()
            if any(one.name == name and one.is_valid for one in known):
                raise InputError(f"name = {name!r}: a valid token has it; revoke that first, or choose another name")
            token_id = secrets.token_hex(4)
            text = f"{self._prefix}_{token_id}_{secrets.token_urlsafe(32)}"
            made = Token(id=token_id, name=name, role=role, digest=digest_of(text), created_ns=now_ns)
            self._write((*known, made))
        return made, text

    def revoke(self, id_or_name: str, now_ns: int) -> Token:
        """Revoke the valid token with that id or name; InputError where there is none."""
        with self._locked():
            known = self.all()
            for place, one in enumerate(known):
                if id_or_name in (one.id, one.name) and one.is_valid:
                    ended = msgspec.structs.replace(one, revoked_ns=now_ns)
                    self._write((*known[:place], ended, *known[place + 1:]))
                    return ended
        valid = ", ".join(one.name for one in known if one.is_valid) or "none"
        raise InputError(f"token = {brief(id_or_name)}: no valid token has this id or name; valid are: {valid}")

    def find(self, text: str) -> Token | None:
        """The valid token whose text is *text*, or None."""
        given = digest_of(text)
        found = None
        for one in self.all():
            if hmac.compare_digest(one.digest, given) and one.is_valid:
                found = one
        return found

    def is_valid(self, token_id: str) -> bool:
        """Whether the token with that id is still valid."""
        return any(one.id == token_id and one.is_valid for one in self.all())

    def _read(self) -> tuple[Token, ...]:
        try:
            return decode_json(read_private(self._path), _File).tokens
        except msgspec.DecodeError as error:
            raise StateError(
                f"{self._path}: is damaged ({error}); nobody is let in. Remove it, and make new ones with "
                f"`{self._maker}`"
            ) from None

    def _write(self, tokens: tuple[Token, ...]) -> None:
        write_atomically(self._path, msgspec.json.encode(_File(tokens=tokens)) + b"\n")
        self._stamp = None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the file's lock, so that two commands at once lose neither change."""
        make_private_folder(self._folder)
        descriptor = open_private(self._folder / f".{self._path.name}.lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def digest_of(text: str) -> str:
    """What is kept of a token's text; it has 256 random bits, so that a plain hash cannot be searched."""
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()
