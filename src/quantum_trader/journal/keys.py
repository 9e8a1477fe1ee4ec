"""Ed25519 keys: a private key file for signing, and a hexadecimal public key for verification.

The library is imported where a key is used: programs that only read a folder import this module too.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from quantum_trader.domain.errors import StateError
from quantum_trader.journal.private import create_private

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class SigningKey:
    """A private key held in a PEM file (PKCS 8, not encrypted, mode 0600)."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        self._key = key
        self.public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()

    @classmethod
    def open_or_create(cls, path: Path) -> SigningKey:
        """The key in *path*, made there when there is none; StateError when it is not an Ed25519 key."""
        if not path.exists():
            create_private(path, new_private_key())
        try:
            content = path.read_bytes()
        except OSError as error:
            raise StateError(f"{path}: is not a usable private key ({error}); give an Ed25519 key in PEM") from None
        return cls.from_pem(path, content)

    @classmethod
    def from_pem(cls, path: Path, content: bytes) -> SigningKey:
        """The key that *content*, read from *path*, holds; StateError when it is not an Ed25519 key."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(content, None)
        except (ValueError, TypeError) as error:
            raise StateError(f"{path}: is not a usable private key ({error}); give an Ed25519 key in PEM") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise StateError(f"{path}: holds another kind of key; give an Ed25519 key in PEM")
        return cls(key)

    def sign(self, message: bytes) -> str:
        """The signature of *message*, hexadecimal."""
        return self._key.sign(message).hex()


def new_private_key() -> bytes:
    """A new private key, as the content of a PEM file."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def signed_by(public: str, message: bytes, signature: str) -> bool:
    """Whether the holder of *public* (hex) signed *message*; False for anything malformed."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), message)
    except (ValueError, InvalidSignature):
        return False
    return True
