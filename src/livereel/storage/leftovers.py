"""Uploads in parts that nobody will complete: of a process that died, or of a store that was away when it mattered.

They are invisible and cost money. The client library aborts an upload that fails, but cannot list those of an earlier
life, so that is asked for here, for one key, before the key is uploaded again. AWS Signature Version 4 (S3 API
Reference, "Authenticating Requests") with plain HTTP; S3 and what speaks as it does. Azure forgets unfinished blocks
by itself after a week.
"""

import asyncio
import hashlib
import hmac
import re
import ssl
import urllib.request
from datetime import UTC, datetime
from html import unescape
from urllib.parse import quote, urlsplit

import structlog

from livereel.storage import refusals
from livereel.storage.config import BucketConfig

log = structlog.get_logger()

ANSWER_MAX = 4 << 20  # bytes; S3 lists 1000 uploads at once
DEFAULT_REGION = "us-east-1"

_UPLOAD = re.compile(r"<Upload>(.*?)</Upload>", re.DOTALL)
_KEY = re.compile(r"<Key>(.*?)</Key>", re.DOTALL)
_UPLOAD_ID = re.compile(r"<UploadId>(.*?)</UploadId>", re.DOTALL)
_NO_BODY = hashlib.sha256(b"").hexdigest()


class Leftovers:
    """Finds and aborts unfinished uploads of one bucket."""

    def __init__(self, config: BucketConfig, *, timeout: float) -> None:
        self._config = config
        self._timeout = timeout
        self._region = config.region or DEFAULT_REGION
        context = ssl.create_default_context()
        if config.certificate is not None:
            context.load_verify_locations(cadata=config.certificate.decode())
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))

    @staticmethod
    def possible(config: BucketConfig) -> bool:
        """Whether it can be done: in S3's language, with keys that are known here."""
        return config.s3 and "access_key" in config.credentials

    async def abort(self, key: str) -> bool:
        """Abort the unfinished uploads of the object. False if that failed: no error, since the object matters more."""
        try:
            await asyncio.to_thread(self._abort, self._config.prefix + key)
        except (OSError, ValueError) as error:
            said = refusals.redacted(f"{type(error).__name__}: {error}", self._config.credentials.values())
            log.warning("unfinished_uploads_unknown", object=key, error=said)
            return False
        return True

    def _abort(self, key: str) -> None:
        found = [
            unescape(identity[1])
            for upload in _UPLOAD.findall(self._request("GET", "", {"prefix": key, "uploads": ""}))
            if (named := _KEY.search(upload)) and unescape(named[1]) == key and (identity := _UPLOAD_ID.search(upload))
        ]
        for upload_id in found:
            self._request("DELETE", key, {"uploadId": upload_id})
        if found:
            log.info("unfinished_uploads_aborted", object=key, uploads=len(found))

    def _request(self, method: str, key: str, query: dict[str, str]) -> str:
        base = urlsplit(self._bucket_url())
        path = f"{base.path}/{quote(key, safe='/-_.~')}"
        text = "&".join(f"{name}={quote(value, safe='-_.~')}" for name, value in sorted(query.items()))
        headers = self._signed(method, base.netloc, path, text, datetime.now(UTC))
        url = f"{base.scheme}://{base.netloc}{path}?{text}"
        request = urllib.request.Request(url, method=method, headers=headers)  # noqa: S310  http(s), see BucketConfig
        with self._opener.open(request, timeout=self._timeout) as answer:
            return str(answer.read(ANSWER_MAX).decode(errors="replace"))

    def _bucket_url(self) -> str:
        config = self._config
        if config.base_url is not None:
            return config.base_url if config.hosted else f"{config.base_url}/{config.bucket}"
        host = f"s3.{self._region}.amazonaws.com"
        return f"https://{config.bucket}.{host}" if config.hosted else f"https://{host}/{config.bucket}"

    def _signed(self, method: str, host: str, path: str, query: str, now: datetime) -> dict[str, str]:
        credentials, moment = self._config.credentials, now.strftime("%Y%m%dT%H%M%SZ")
        headers = {"host": host, "x-amz-content-sha256": _NO_BODY, "x-amz-date": moment}
        if token := credentials.get("session_token"):
            headers["x-amz-security-token"] = token
        names = ";".join(headers)
        listed = "".join(f"{name}:{value}\n" for name, value in headers.items())
        canonical = "\n".join((method, path, query, listed, names, _NO_BODY))
        scope = f"{moment[:8]}/{self._region}/s3/aws4_request"
        wanted = "\n".join(("AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()))
        key = f"AWS4{credentials['secret_key']}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, wanted.encode(), "sha256").hex()
        access = f"Credential={credentials['access_key']}/{scope}"
        headers["Authorization"] = f"AWS4-HMAC-SHA256 {access}, SignedHeaders={names}, Signature={signature}"
        return headers
