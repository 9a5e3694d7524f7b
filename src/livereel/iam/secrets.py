"""Secrets at rest: the installation's key file, and SKs sealed with it (AES-256-GCM)."""

import contextlib
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from livereel.domain.errors import LivereelError

KEY_BYTES = 32
_NONCE_BYTES = 12  # what AES-GCM wants; random nonces are safe for far more keys than any installation makes


class UnsealError(Exception):
    """A sealed secret does not open: it was made with another key file, or altered."""


class Sealer:
    """Seals short secrets with the installation's key; `context` binds a sealed secret to its owner."""

    def __init__(self, key: bytes) -> None:
        """`key` has 32 bytes; raises ValueError otherwise."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"the key must have {KEY_BYTES} bytes, not {len(key)}")
        self._key = key
        self._cipher = AESGCM(self.derive("seal"))

    def seal(self, secret: str, context: str) -> bytes:
        """The secret, encrypted."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret.encode(), context.encode())

    def unseal(self, sealed: bytes, context: str) -> str:
        """The secret again; raises UnsealError."""
        nonce, text = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, text, context.encode()).decode()
        except (InvalidTag, ValueError):
            raise UnsealError("the secret does not open with this installation's key file") from None

    def derive(self, purpose: str) -> bytes:
        """A 32-byte key for another purpose (such as signing download links), independent of all others."""
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=f"livereel {purpose}".encode()).derive(
            self._key
        )


def open_key_file(path: Path) -> Sealer:
    """The sealer of the installation; makes the key file (mode 0600) if there is none.

    Raises OSError, and LivereelError if the file holds something else. Two processes that start together agree on one.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_hex(KEY_BYTES).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        finally:
            draft.unlink()
    try:
        return Sealer(bytes.fromhex(path.read_text(encoding="ascii").strip()))
    except ValueError:
        raise LivereelError(f"{path} is not a livereel key file; restore it from a backup") from None
