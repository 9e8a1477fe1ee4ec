"""Logins as freqtrade's clients do them: name and token by HTTP Basic, and short-lived signed tokens for FreqUI.

A signed token has the form of a JSON Web Token. Its key is made of the process's secret and of the token that logged
in, so that it ends with the process, and with the revocation of that token.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from quantum_trader.app.api.access import Access, Caller, caller_of
from quantum_trader.app.api.errors import ApiError
from quantum_trader.app.api.tokens import Token
from quantum_trader.domain.clock import NS_PER_SECOND

ACCESS: Final = "access"
REFRESH: Final = "refresh"
_LASTS_S: Final = {ACCESS: 900, REFRESH: 30 * 86_400}
_WRONG: Final = "Authorization: the name or the token is not known, or was revoked; give a token's name as the user"
_MOST_CHARACTERS: Final = 1_000


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a signed token says: of which token, for what, and until when (seconds since 1970)."""

    sub: str
    type: str
    exp: int


class Sessions:
    """Who asks on freqtrade's roads, and the signed tokens of this process."""

    def __init__(self, access: Access, now_ns: Callable[[], int]) -> None:
        self._access, self._now_ns = access, now_ns
        self._secret = secrets.token_bytes(32)

    def caller(self, headers: Mapping[str, str], address: str) -> Caller:
        """Who asks: by Basic, by a signed access token, or by a token itself. Raises ApiError.

        Without the header it is a reader without a token, where reading needs none.
        """
        scheme, _, rest = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            return self._by_password(rest.strip(), address)
        if scheme.lower() == "bearer" and rest.count(".") == 2:
            return self.by_session(rest.strip(), ACCESS, address)
        return self._access.caller(headers, address)

    def by_text(self, text: str, address: str) -> Caller:
        """Who shows *text*: a signed access token, or a token itself; a reader without a token where it is empty."""
        if text.count(".") == 2:
            return self.by_session(text, ACCESS, address)
        return self._access.caller({}, address, text=text or None)

    def by_session(self, text: str, kind: str, address: str) -> Caller:
        """Who shows the signed token *text* of *kind*. Raises ApiError."""
        token = self._signed(text, kind)
        if token is None:
            raise ApiError(401, f"Authorization: the {kind} token is not valid, or has ended; log in again")
        return caller_of(token, address)

    def made(self, caller: Caller, kind: str) -> str:
        """A signed token of *kind* for *caller*, who has shown a token. Raises ApiError for one without."""
        token = self._token(caller.token_id)
        if token is None:
            raise ApiError(401, _WRONG)
        claims = Claims(sub=token.id, type=kind, exp=self._now_ns() // NS_PER_SECOND + _LASTS_S[kind])
        text = f"{_HEADER}.{_encoded(msgspec.json.encode(claims))}"
        return f"{text}.{_encoded(self._signature(token, text))}"

    def _by_password(self, text: str, address: str) -> Caller:
        try:
            name, _, password = base64.b64decode(text, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise ApiError(401, "Authorization: must be `Basic` with name:token in base64") from None
        caller = self._access.caller({}, address, text=password)
        if not hmac.compare_digest(caller.name.encode(), name.encode()):
            self._access.check_attempts(address)
            self._access.note_wrong(address)
            raise ApiError(401, _WRONG)
        return caller

    def _signed(self, text: str, kind: str) -> Token | None:
        """The valid token that the signed token *text* belongs to; None where it is forged, old or of another kind."""
        signed, _, signature = text[:_MOST_CHARACTERS].rpartition(".")
        header, _, body = signed.partition(".")
        try:
            claims = msgspec.json.decode(_decoded(body), type=Claims)
            given = _decoded(signature)
        except (msgspec.DecodeError, binascii.Error, ValueError):
            return None
        token = self._token(claims.sub)
        if token is None or header != _HEADER or not hmac.compare_digest(self._signature(token, signed), given):
            return None
        return token if claims.type == kind and self._now_ns() // NS_PER_SECOND < claims.exp else None

    def _signature(self, token: Token, text: str) -> bytes:
        key = hmac.digest(self._secret, token.digest.encode(), hashlib.sha256)
        return hmac.digest(key, text.encode(errors="surrogatepass"), hashlib.sha256)

    def _token(self, token_id: str) -> Token | None:
        known = self._access.tokens.all()
        return next((one for one in known if token_id and one.id == token_id and one.is_valid), None)


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


_HEADER: Final = _encoded(b'{"alg":"HS256","typ":"JWT"}')
