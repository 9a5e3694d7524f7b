"""An S3 server that lends keys for some seconds, as Amazon's does (STS), in front of one that cannot.

It checks signature and session token of every request, answers as Amazon does when something is wrong with them
(S3 API Reference, "Error Responses"), and signs what it forwards with the lasting keys of the server behind it.
"""

import hashlib
import hmac
import re
import secrets
import time
from http.server import BaseHTTPRequestHandler
from typing import NamedTuple

from tests.integration.storage.gateway import Gateway
from tests.integration.storage.seaweed import ACCESS_KEY, SECRET_KEY

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\S+), ?SignedHeaders=(\S+), ?Signature=([0-9a-f]{64})"
)
_TOKEN = "x-amz-security-token"


class Lent(NamedTuple):
    access_key: str
    secret_key: str
    session_token: str

    def toml(self) -> str:
        """As a credentials_file."""
        return "".join(f'{name} = "{value}"\n' for name, value in self._asdict().items())


class Lender(Gateway):
    """Forwards what is signed with keys that are good still."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._lent: dict[str, tuple[Lent, float]] = {}
        self.refused: list[str] = []  # error codes
        self.used: list[str] = []  # access keys that were good

    def lend(self, seconds: float) -> Lent:
        """Keys that are good for so long."""
        lent = Lent(f"ASIA{secrets.token_hex(8)}", secrets.token_hex(20), secrets.token_urlsafe(60))
        self._lent[lent.access_key] = lent, time.monotonic() + seconds
        return lent

    def expire(self) -> None:
        """The time of all that were lent is over."""
        self._lent = {key: (lent, 0.0) for key, (lent, _) in self._lent.items()}

    def _refusal(self, client: BaseHTTPRequestHandler) -> tuple[int, bytes]:
        status, code = self._check(client)
        if not status:
            return 0, b""
        self.refused.append(code)
        message = {"ExpiredToken": "The provided token has expired."}.get(code, "No.")
        text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        return status, text.encode()

    def _check(self, client: BaseHTTPRequestHandler) -> tuple[int, str]:
        found = _AUTHORIZATION.fullmatch(client.headers.get("Authorization", ""))
        if found is None:
            return 403, "AccessDenied"
        lent, until = self._lent.get(found[1], (None, 0.0))
        if lent is None:
            return 403, "InvalidAccessKeyId"
        if client.headers.get(_TOKEN) != lent.session_token or _TOKEN not in found[3].split(";"):
            return 400, "InvalidToken"
        if _signature(client, lent.secret_key, found[2], found[3]) != found[4]:
            return 403, "SignatureDoesNotMatch"
        if time.monotonic() >= until:
            return 400, "ExpiredToken"
        self.used.append(lent.access_key)
        return 0, ""

    def _headers(self, client: BaseHTTPRequestHandler) -> dict[str, str]:
        found = _AUTHORIZATION.fullmatch(client.headers["Authorization"])
        assert found is not None
        names = ";".join(name for name in found[3].split(";") if name != _TOKEN)
        headers = {
            name: value for name, value in client.headers.items() if name.lower() not in (_TOKEN, "authorization")
        }
        signature = _signature(client, SECRET_KEY, found[2], names)
        headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{found[2]}, SignedHeaders={names}, Signature={signature}"
        )
        return headers


def _signature(client: BaseHTTPRequestHandler, secret: str, scope: str, names: str) -> str:
    """Signature Version 4 of a request as it came (S3 API Reference, "Authenticating Requests")."""
    path, _, query = client.path.partition("?")
    pairs = sorted(pair if "=" in pair else f"{pair}=" for pair in query.split("&") if pair)
    listed = "".join(f"{name}:{(client.headers.get(name) or '').strip()}\n" for name in names.split(";"))
    body = client.headers["x-amz-content-sha256"]
    canonical = "\n".join((client.command, path, "&".join(pairs), listed, names, body))
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    wanted = "\n".join(("AWS4-HMAC-SHA256", client.headers["x-amz-date"], scope, digest))
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, wanted.encode(), "sha256").hex()
