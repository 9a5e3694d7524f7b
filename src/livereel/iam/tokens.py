"""X-Auth-Tokens: random text that only its digest is kept of. Pure but for the randomness."""

import hashlib
import secrets

TOKEN_LIFETIME = 24 * 3600  # seconds (spec huawei-live-common.md section 4.1)
_TOKEN_BYTES = 48


def new_token() -> str:
    """A token of 64 URL-safe characters, beyond guessing."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def token_digest(text: str) -> str:
    """What the catalogue keeps. A plain SHA-256 suffices: the token has 384 random bits."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
