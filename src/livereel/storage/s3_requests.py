"""Requests in S3's language that the client library does not have, signed by ourselves.

AWS Signature Version 4 (S3 API Reference, "Authenticating Requests") over plain HTTP. Requests block, so they are made
on threads of the bucket.
"""

import contextlib
import hashlib
import hmac
import http.client
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from livereel.domain.errors import StoreError
from livereel.storage import refusals
from livereel.storage.config import BucketConfig
from livereel.storage.credentials import Credentials
from livereel.storage.threads import BucketThreads

ANSWER_MAX = 4 << 20  # bytes; S3 lists 1000 uploads or parts at once
DEFAULT_REGION = "us-east-1"


class S3Answer(NamedTuple):
    """What a store answered with a status below 300. Names of headers are in lower case."""

    headers: Mapping[str, str]
    text: str


class S3Refusal(Exception):
    """An error that the store answered, or no answer: then `status` is 0. The text says what to do."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code


class _Request(NamedTuple):
    method: str
    key: str
    query: Mapping[str, str]
    body: bytes
    headers: Mapping[str, str]
    timeout: float


class S3Requests:
    """Speaks to one bucket. Seconds: `timeout` for a request with a part, `lookup_timeout` for any other."""

    def __init__(
        self, bucket: str, config: BucketConfig, credentials: Credentials, *, timeout: float, lookup_timeout: float
    ) -> None:
        self.timeout = timeout
        self._config = config
        self._credentials = credentials
        self._lookup_timeout = lookup_timeout
        # Two sets: whoever asks what there is does not wait for parts on a slow link.
        self._part_threads, self._other_threads = BucketThreads(bucket), BucketThreads(bucket)
        self._region = config.region or DEFAULT_REGION
        context = ssl.create_default_context()
        if config.certificate is not None:
            context.load_verify_locations(cadata=config.certificate.decode())
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))

    @staticmethod
    def possible(config: BucketConfig) -> bool:
        """Whether the bucket can be spoken to: in S3's language, with keys that are known here."""
        return config.s3 and "access_key" in config.credentials

    async def send(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        ended: Callable[[], object] = lambda: None,
    ) -> S3Answer:
        """One request about the object `key` (without the prefix of the bucket), or the bucket if it is empty.

        `headers` are not signed. A request that is not awaited to its end goes on; `ended` is called, on whatever
        thread, when nothing of it is left here. Raises S3Refusal.
        """
        request = _Request(method, key, query, body, headers or {}, self.timeout if body else self._lookup_timeout)
        threads = self._part_threads if body else self._other_threads
        try:
            return await threads.run(self._send, request, timeout=request.timeout, ended=ended)
        except StoreError:
            raise self._unanswered("kind: Timeout") from None

    def prefixed(self, key: str) -> str:
        """The key as the store knows it."""
        return self._config.prefix + key

    def _send(self, wanted: "_Request") -> S3Answer:
        base = urlsplit(self._bucket_url())
        path = f"{base.path}/{quote(self.prefixed(wanted.key) if wanted.key else '', safe='/-_.~')}"
        text = "&".join(f"{name}={quote(value, safe='-_.~')}" for name, value in sorted(wanted.query.items()))
        body = hashlib.sha256(wanted.body).hexdigest()
        signed = self._signed((wanted.method, path, text), base.netloc, body, datetime.now(UTC))
        request = urllib.request.Request(  # noqa: S310  http(s), see BucketConfig
            f"{base.scheme}://{base.netloc}{path}?{text}",
            data=wanted.body if wanted.method in ("PUT", "POST") else None,
            method=wanted.method,
            headers={**wanted.headers, **signed},
        )
        try:
            with self._opener.open(request, timeout=wanted.timeout) as answer:
                said = str(answer.read(ANSWER_MAX).decode(errors="replace"))
                return S3Answer({name.lower(): value for name, value in answer.headers.items()}, said)
        except urllib.error.HTTPError as error:
            said = ""
            with contextlib.suppress(OSError, http.client.HTTPException):
                said = error.read(ANSWER_MAX).decode(errors="replace")
            raise self.refusal(error.code, said) from None
        except urllib.error.URLError as error:
            raise self._unanswered(_words(error.reason)) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._unanswered(_words(error)) from None

    def refusal(self, status: int, body: str) -> S3Refusal:
        """What a store's error says."""
        said = f"status code: {status} {http.client.responses.get(status, '')}\n\n{body}"
        if refusals.may_be_of_credentials(said):
            self._credentials.refused()
        return S3Refusal(status, refusals.code(body), refusals.reason(said, self._credentials.secrets()))

    def _unanswered(self, words: str) -> S3Refusal:
        where = f"({self._config.base_url or self._bucket_url()})"
        return S3Refusal(0, "", refusals.reason(f"{words} {where}", self._credentials.secrets()))

    def _bucket_url(self) -> str:
        config = self._config
        if config.base_url is not None:
            return config.base_url if config.hosted else f"{config.base_url}/{config.bucket}"
        host = f"s3.{self._region}.amazonaws.com"
        return f"https://{config.bucket}.{host}" if config.hosted else f"https://{host}/{config.bucket}"

    def _signed(self, line: tuple[str, str, str], host: str, body: str, now: datetime) -> dict[str, str]:
        """The headers that a signature takes. `line` is method, path and query, `body` the SHA-256 of the body."""
        credentials, moment = self._credentials.current(), now.strftime("%Y%m%dT%H%M%SZ")
        headers = {"host": host, "x-amz-content-sha256": body, "x-amz-date": moment}
        if token := credentials.get("session_token"):
            headers["x-amz-security-token"] = token
        names = ";".join(headers)
        listed = "".join(f"{name}:{value}\n" for name, value in headers.items())
        canonical = "\n".join((*line, listed, names, body))
        scope = f"{moment[:8]}/{self._region}/s3/aws4_request"
        wanted = "\n".join(("AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()))
        key = f"AWS4{credentials['secret_key']}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, wanted.encode(), "sha256").hex()
        access = f"Credential={credentials['access_key']}/{scope}"
        headers["Authorization"] = f"AWS4-HMAC-SHA256 {access}, SignedHeaders={names}, Signature={signature}"
        return headers


def _words(error: object) -> str:
    """As the client library would put it, which is what `refusals` knows."""
    if isinstance(error, TimeoutError):
        return "kind: Timeout"
    if isinstance(error, socket.gaierror):
        return "dns error"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "certificate"
    if isinstance(error, ConnectionRefusedError):
        return "kind: Connect"
    return "error sending request"
