"""Download links that work without credentials, for one object and a short time."""

import hashlib
import hmac
from urllib.parse import quote

SECRET_MIN_BYTES = 16  # shorter ones can be searched
MAX_LIFETIME = 7 * 86_400  # seconds; what S3 allows for its signed links

_EXPIRES_MAX_DIGITS = 12


class DownloadUrls:
    """Signs and verifies links `{base_url}/files/{bucket}/{key}?expires={unix}&signature={hex}`."""

    def __init__(self, secret: bytes, base_url: str) -> None:
        if len(secret) < SECRET_MIN_BYTES:
            raise ValueError(f"the secret must have at least {SECRET_MIN_BYTES} bytes")
        # A key of its own: what else is signed with the same secret never passes for a link.
        self._key = hmac.digest(secret, b"livereel download links", hashlib.sha256)
        self._base_url = base_url.rstrip("/")

    def sign(self, bucket: str, key: str, now: float, lifetime: float) -> str:
        """A link that works until `now` + `lifetime` (seconds, at most 7 days)."""
        if not 0 < lifetime <= MAX_LIFETIME:
            raise ValueError(f"the lifetime must be more than 0 and at most {MAX_LIFETIME} seconds, not {lifetime}")
        expires = str(int(now + lifetime))
        signature = self._signature(bucket, key, expires)
        path = f"/files/{quote(bucket, safe='')}/{quote(key, safe='/')}"
        return f"{self._base_url}{path}?expires={expires}&signature={signature}"

    def verify(self, bucket: str, key: str, *, expires: str, signature: str, now: float) -> bool:
        """True if `sign` made the link for this object and it has not expired. Takes decoded values as received."""
        expected = self._signature(bucket, key, expires)
        if not hmac.compare_digest(expected.encode(), signature.encode(errors="replace")):
            return False
        return expires.isascii() and expires.isdecimal() and len(expires) <= _EXPIRES_MAX_DIGITS and now < int(expires)

    def _signature(self, bucket: str, key: str, expires: str) -> str:
        # Lengths in front: no two different triples give the same message.
        parts = [part.encode(errors="surrogatepass") for part in (bucket, expires, key)]
        message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.digest(self._key, message, hashlib.sha256).hex()
