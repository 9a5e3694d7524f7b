"""A small client of the HTTP API that signs its requests with an access key, on the standard library alone.

It computes the signature by itself, apart from the server's own code, so that each checks the other.
"""

import hashlib
import hmac
import http.client
import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

ALGORITHM = "SDK-HMAC-SHA256"


class Reply(NamedTuple):
    """What the server answered. Header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class ApiRefused(Exception):
    """The server answered with an error status."""

    def __init__(self, what: str, reply: Reply) -> None:
        super().__init__(f"{what}: {reply.status} {reply.body.decode('utf-8', 'replace')[:500]}")
        self.reply = reply


class ApiClient:
    """Talks to the server at `base_url` (`http://host:port`) as the owner of an access key."""

    def __init__(self, base_url: str, access: str, secret: str, project_id: str, *, timeout: float = 30.0) -> None:
        parts = urlsplit(base_url)
        self._https = parts.scheme == "https"
        self._host = parts.netloc
        self._access = access
        self._secret = secret
        #: What `live` calls are about.
        self.project_id = project_id
        self._timeout = timeout

    def live(self, method: str, path: str, query: Mapping[str, str] | None = None, body: Any = None) -> Any:
        """Call an operation below `/v1/{project_id}/`; returns the JSON of the answer or None. Raises ApiRefused."""
        reply = self.request(method, f"/v1/{self.project_id}/{path}", query, body)
        if reply.status >= 400:
            raise ApiRefused(f"{method} {path}", reply)
        return reply.json() if reply.body else None

    def request(self, method: str, path: str, query: Mapping[str, str] | None = None, body: Any = None) -> Reply:
        """Send one signed request, whatever the answer. Raises OSError or http.client.HTTPException."""
        content = b"" if body is None else json.dumps(body).encode()
        text = canonical_query(query or {})
        headers = {
            "Content-Type": "application/json",
            "Host": self._host,
            "X-Project-Id": self.project_id,
            "X-Sdk-Date": datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"),
            # Dates have one second; without this two equal commands within a second would count as one sent twice.
            "X-Request-Nonce": uuid.uuid4().hex,
        }
        headers["Authorization"] = authorization(method, path, text, headers, content, self._access, self._secret)
        return self.send(method, f"{path}?{text}" if text else path, headers, content)

    def send(self, method: str, target: str, headers: Mapping[str, str], content: bytes = b"") -> Reply:
        """Send one request as it is."""
        kind = http.client.HTTPSConnection if self._https else http.client.HTTPConnection
        connection = kind(self._host, timeout=self._timeout)
        try:
            connection.request(method, target, body=content or None, headers=dict(headers))
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, found, answer.read())
        finally:
            connection.close()


def authorization(  # noqa: PLR0917  the parts of a request, in their order on the wire
    method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, access: str, secret: str
) -> str:
    """The `Authorization` header for a request whose `headers` are all signed (API Request Signing Guide).

    `query` is canonical (see `canonical_query`); `path` is percent-encoded; the headers hold Host and X-Sdk-Date.
    """
    signed = {name.lower(): value.strip() for name, value in headers.items()}
    names = ";".join(sorted(signed))
    canonical = "\n".join(
        [
            method.upper(),
            path if path.endswith("/") else f"{path}/",
            query,
            *(f"{name}:{signed[name]}" for name in sorted(signed)),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"{ALGORITHM}\n{signed['x-sdk-date']}\n{hashed}"
    signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    return f"{ALGORITHM} Access={access}, SignedHeaders={names}, Signature={signature}"


def canonical_query(query: Mapping[str, str]) -> str:
    """Pairs sorted by name, percent-encoded: both what is sent and what is signed."""
    return "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(query.items()))
