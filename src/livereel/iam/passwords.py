"""Password hashes (scrypt). Pure and slow on purpose: call these in a thread."""

import hashlib
import hmac
import secrets

# OWASP password storage cheat sheet, scrypt with 16 MiB: about 0.2 s on a small machine, memory-bound.
_COST, _BLOCK, _PARALLEL = 2**14, 8, 5
_SALT_BYTES, _HASH_BYTES = 16, 32
_MEMORY = 64 * 1024 * 1024  # bytes that OpenSSL may use; the parameters above need a little over 16 MiB

PASSWORD_MIN, PASSWORD_MAX = 8, 128  # characters


def hash_password(password: str) -> str:
    """`scrypt$cost$block$parallel$salt$hash`, with a new random salt."""
    salt = secrets.token_bytes(_SALT_BYTES)
    digest = _scrypt(password, salt, _COST, _BLOCK, _PARALLEL)
    return f"scrypt${_COST}${_BLOCK}${_PARALLEL}${salt.hex()}${digest.hex()}"


def verify_password(password: str, stored: str) -> bool:
    """True if `stored` was made from `password`. Anything that is no hash matches nothing, in the same time."""
    try:
        _, cost, block, parallel, salt, expected = stored.split("$")
        digest = _scrypt(password, bytes.fromhex(salt), int(cost), int(block), int(parallel))
        return hmac.compare_digest(digest, bytes.fromhex(expected))
    except ValueError:
        _scrypt(password, b"\0" * _SALT_BYTES, _COST, _BLOCK, _PARALLEL)
        return False


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=cost, r=block, p=parallel, maxmem=_MEMORY, dklen=_HASH_BYTES)
