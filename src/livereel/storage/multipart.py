"""Objects that go up in parts while their file grows, and uploads that outlive the process that began them.

S3's multipart uploads (S3 API Reference: CreateMultipartUpload, UploadPart, ListParts, CompleteMultipartUpload,
AbortMultipartUpload, ListMultipartUploads), which OBS and others share. The client library has them only as one step
within one call. What an upload holds is always asked of the store: no memory of ours can be as right.
"""

import asyncio
import base64
import hashlib
import re
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from html import unescape
from typing import Final
from xml.sax.saxutils import escape

from livereel.domain.errors import StoreError
from livereel.storage.content_types import DEFAULT, content_type
from livereel.storage.port import Part, StoredObject
from livereel.storage.s3_requests import S3Answer, S3Refusal, S3Requests

MIB: Final = 1 << 20
# Of files that go up in one go: a broken connection costs one part.
PART_SIZE: Final = 8 * MIB
# Of files that go up while they grow: the least that S3 takes, since up to two are left to be sent after a STOP: the
# first, which muxers rewrite when they close, and the one that was not full yet.
GROWING_PART_SIZE: Final = 5 * MIB
PARTS_MAX: Final = 9000  # S3 allows 10 000; very large files get larger parts instead of more

_LOOK_EVERY: Final = 0.05  # seconds between looks whether requests are over

_UPLOAD = re.compile(r"<Upload>(.*?)</Upload>", re.DOTALL)
_KEY = re.compile(r"<Key>(.*?)</Key>", re.DOTALL)
_UPLOAD_ID = re.compile(r"<UploadId>(.*?)</UploadId>", re.DOTALL)
_PART = re.compile(r"<Part>(.*?)</Part>", re.DOTALL)
_NUMBER = re.compile(r"<PartNumber>(\d+)</PartNumber>")
_ETAG = re.compile(r"<ETag>(.*?)</ETag>", re.DOTALL)
_SIZE = re.compile(r"<Size>(\d+)</Size>")
_TRUNCATED = re.compile(r"<IsTruncated>true</IsTruncated>")
_NEXT = re.compile(r"<NextPartNumberMarker>(\d+)</NextPartNumberMarker>")

#: Whether what a store calls an object or part (`ETag`, expected MD5, in parts) shows that it arrived damaged.
Damaged = Callable[[str | None, str, bool], Awaitable[bool]]
#: Looks up an object: key, size, expected ETag, the ETag of the answer; raises StoreError if it is not that.
Verified = Callable[[str, int, str, str | None], Awaitable[StoredObject]]


class Multipart:
    """`port.PartUploads` for one bucket."""

    part_size = GROWING_PART_SIZE
    parts_max = PARTS_MAX

    def __init__(
        self,
        requests: S3Requests,
        *,
        describe: Callable[[str], str],
        damaged: Damaged,
        verified: Verified,
    ) -> None:
        self._requests = requests
        self._describe = describe
        self._damaged = damaged
        self._verified = verified
        self._under_way = _UnderWay()

    async def begin(self, key: str) -> str:
        """See `PartUploads`."""
        answer = await self._send("begin", "POST", key, {"uploads": ""}, Content_Type=content_type(key))
        if not (found := _UPLOAD_ID.search(answer.text)):
            raise self._error("begin", key, "the answer holds no upload id: is that an S3 server?")
        return unescape(found[1])

    async def put(self, key: str, upload_id: str, number: int, data: bytes) -> Part:
        """See `PartUploads`."""
        # Not on the loop, which it would hold up for some 10 ms.
        digest = await asyncio.to_thread(hashlib.md5, data, usedforsecurity=False)
        self._under_way.begin(upload_id)
        answer = await self._send(
            "store",
            "PUT",
            key,
            {"partNumber": str(number), "uploadId": upload_id},
            data,
            ended=partial(self._under_way.end, upload_id),
            Content_MD5=base64.b64encode(digest.digest()).decode(),
            Content_Type=DEFAULT,
        )
        etag = answer.headers.get("etag", "")
        if await self._damaged(etag, digest.hexdigest(), False):
            raise self._error("store", key, f"part {number} arrived damaged: its ETag is {etag}")
        return Part(number, len(data), digest.hexdigest(), _bare(etag))

    async def present(self, key: str, upload_id: str) -> dict[int, tuple[int, str]] | None:
        """See `PartUploads`."""
        found: dict[int, tuple[int, str]] = {}
        query = {"uploadId": upload_id}
        while True:
            try:
                answer = await self._requests.send("GET", key, query)
            except S3Refusal as refusal:
                if _is_gone(refusal):
                    return None
                raise self._error("look up the parts of", key, str(refusal)) from None
            for part in _PART.findall(answer.text):
                number, size, etag = _NUMBER.search(part), _SIZE.search(part), _ETAG.search(part)
                if number and size and etag:
                    found[int(number[1])] = int(size[1]), _bare(unescape(etag[1]))
            following = _NEXT.search(answer.text)
            if not _TRUNCATED.search(answer.text) or not following:
                return found
            query = {"uploadId": upload_id, "part-number-marker": following[1]}

    async def complete(self, key: str, upload_id: str, parts: Sequence[Part]) -> StoredObject:
        """See `PartUploads`."""
        listed = "".join(
            f'<Part><PartNumber>{part.number}</PartNumber><ETag>"{escape(part.etag)}"</ETag></Part>' for part in parts
        )
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        answer = await self._send("complete", "POST", key, {"uploadId": upload_id}, body)
        if "<Error>" in answer.text:  # the status was sent before the store was done
            raise self._error("complete", key, str(self._requests.refusal(200, answer.text)))
        etag = _ETAG.search(answer.text)
        return await self.confirm(key, parts, unescape(etag[1]) if etag else None)

    async def confirm(self, key: str, parts: Sequence[Part], answered: str | None = None) -> StoredObject:
        """See `PartUploads`."""
        return await self._verified(key, sum(part.size for part in parts), composite(parts), answered)

    async def abort(self, key: str, upload_id: str) -> None:
        """See `PartUploads`."""
        # A part that was on its way may bring an upload back that is aborted already (S3 API Reference,
        # AbortMultipartUpload). Those that nobody awaits any more are on their way all the same.
        await self._under_way.wait_for_end(upload_id, self._requests.timeout)
        try:
            await self._requests.send("DELETE", key, {"uploadId": upload_id})
        except S3Refusal as refusal:
            if not _is_gone(refusal):
                raise self._error("abort the upload of", key, str(refusal)) from None

    async def unfinished(self, key: str) -> list[str]:
        """See `PartUploads`."""
        # The prefix of the bucket is part of what the store calls the key.
        whole = self._requests.prefixed(key)
        try:
            answer = await self._requests.send("GET", "", {"prefix": whole, "uploads": ""})
        except S3Refusal as refusal:
            raise self._error("look for uploads of", key, str(refusal)) from None
        found = []
        for upload in _UPLOAD.findall(answer.text):
            named, identity = _KEY.search(upload), _UPLOAD_ID.search(upload)
            if named and identity and unescape(named[1]) == whole:
                found.append(unescape(identity[1]))
        return found

    async def _send(
        self,
        action: str,
        method: str,
        key: str,
        query: dict[str, str],
        body: bytes = b"",
        *,
        ended: Callable[[], object] = lambda: None,
        **headers: str,
    ) -> S3Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            return await self._requests.send(method, key, query, body, named, ended=ended)
        except S3Refusal as refusal:
            raise self._error(action, key, str(refusal)) from None

    def _error(self, action: str, key: str, why: str) -> StoreError:
        return StoreError(f"cannot {action} {self._describe(key)}: {why}")


class _UnderWay:
    """How many requests with parts of each upload have not come to their end, awaited or not. For several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def begin(self, upload_id: str) -> None:
        """One more."""
        with self._lock:
            self._counts[upload_id] += 1

    def end(self, upload_id: str) -> None:
        """One less."""
        with self._lock:
            self._counts[upload_id] -= 1
            if not self._counts[upload_id]:
                del self._counts[upload_id]

    async def wait_for_end(self, upload_id: str, timeout: float) -> None:
        """Return when there is none, or after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        # No event: threads may outlive the loop that they were begun on.
        while upload_id in self._counts and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY)


def composite(parts: Sequence[Part]) -> str:
    """What S3 makes of the MD5s of the parts for the object's ETag."""
    digests = b"".join(bytes.fromhex(part.md5) for part in parts)
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"


def _bare(etag: str) -> str:
    """Stores quote in some answers and not in others."""
    return etag.strip('"')


def _is_gone(refusal: S3Refusal) -> bool:
    return refusal.code == "NoSuchUpload" or (refusal.status == 404 and refusal.code in ("", "NoSuchKey"))
