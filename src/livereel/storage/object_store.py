"""A bucket in S3, OBS, GCS, Azure or anything that speaks as they do. The only place for `obstore`.

Nothing is reported stored before the store has named the object with the right size, and, where its ETags are MD5s as
S3's are, with the right content. Every request has a time limit: a store that hangs fails a put, and whoever wanted it
tries again.
"""

import asyncio
import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from livereel.domain.errors import StoreError
from livereel.domain.naming import check_object_key
from livereel.storage import leftovers, refusals
from livereel.storage.config import BucketConfig, Provider
from livereel.storage.content_types import content_type
from livereel.storage.credentials import Credentials
from livereel.storage.multipart import MIB, PART_SIZE, PARTS_MAX, Multipart
from livereel.storage.port import PartUploads, StoredObject
from livereel.storage.s3_requests import S3Requests
from livereel.storage.source import open_source, read_open

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ClientConfig

log = structlog.get_logger()

__all__ = ["PART_SIZE", "ObjectStore"]

# Bytes of one file in flight. With the part that is being read, a file takes a part more of memory than this.
IN_FLIGHT = 24 * MIB
# Files of one bucket that go up at once: all tasks of a server may end together, and memory must not follow.
LARGE_AT_ONCE, SMALL_AT_ONCE = 4, 8

READ_PIECE = 4 * MIB  # bytes of one range request; a download holds one piece in memory

# Hashed where they are: it takes 0.1 ms, and a thread as much. Larger ones would hold up the loop, and ingest with it.
HASHED_AT_ONCE = 64 * 1024  # bytes

# Of one request in all, with its body: a part at 1.1 Mbit/s. Slower links cannot carry a live recording anyway.
REQUEST_TIMEOUT = 60.0  # seconds
CONNECT_TIMEOUT = 5.0  # seconds
# Requests that name or delete an object have no body; people and applications wait for them.
LOOKUP_TIMEOUT = 15.0  # seconds
# Within a put the library tries again what failed quickly (5xx, a lost connection): cheaper than the whole file again.
# A request that ran into its time limit is not repeated here.
RETRIES = 4
RETRY_TIMEOUT = 30.0  # seconds

NO_ANSWER = refusals.reason("kind: Timeout")  # worded as when the library gives up
_PROBE = b"livereel"

T = TypeVar("T")


class ObjectStore:
    """`port.Store` for one configured bucket; `bucket` is the name templates use."""

    near = False

    def __init__(self, bucket: str, config: BucketConfig, *, request_timeout: float = REQUEST_TIMEOUT) -> None:
        self.bucket = bucket
        self._config = config
        self._request_timeout = request_timeout
        self._lookup_timeout = min(LOOKUP_TIMEOUT, request_timeout)
        self._credentials = Credentials(bucket, config)
        self._large, self._small = asyncio.Semaphore(LARGE_AT_ONCE), asyncio.Semaphore(SMALL_AT_ONCE)
        #: Whether ETags are MD5s, by whether the object came in parts; None until there was a doubt.
        self._md5_etags: dict[bool, bool] = {}
        try:
            self._store = _client(config, self._credentials, request_timeout)
            self._parts = self._multipart() if S3Requests.possible(config) else None
        except (BaseError, OSError, ValueError) as error:
            raise StoreError(f"bucket {bucket}: {self._reason(error)}") from None

    def _multipart(self) -> Multipart:
        requests = S3Requests(
            self.bucket,
            self._config,
            self._credentials,
            timeout=self._request_timeout,
            lookup_timeout=self._lookup_timeout,
        )
        return Multipart(requests, describe=self.describe, damaged=self._damaged, verified=self._verified)

    @property
    def parts(self) -> PartUploads | None:
        """See `Store`: with S3 and OBS, where the credentials are known here."""
        return self._parts

    async def put_file(self, key: str, path: Path, *, final: bool = False) -> StoredObject:
        """Store the file's present content. Whether it is `final` makes no difference: it is always copied."""
        source = await asyncio.to_thread(open_source, path)
        try:
            size = os.fstat(source).st_size
            if size > PART_SIZE:
                async with self._large:
                    return await self._put_parts(check_object_key(key), source, path, size)
            async with self._small:
                data = await asyncio.to_thread(read_open, source, path, 0, size)
                return await self._put_whole(check_object_key(key), data)
        finally:
            os.close(source)

    async def put_bytes(self, key: str, data: bytes) -> StoredObject:
        """Store `data`, in one request."""
        async with self._small:
            return await self._put_whole(check_object_key(key), data)

    async def stat(self, key: str) -> StoredObject | None:
        """The object, or None."""
        check_object_key(key)
        with self._errors("look up", key):
            try:
                found = await self._in_time(obstore.head_async(self._store, key))
            except FileNotFoundError:
                return None
        return StoredObject(key, found["size"], found["last_modified"].timestamp())

    async def holds(self, key: str, path: Path) -> bool:
        """See `Store`. Tells only of objects that went up whole, in a bucket whose ETags are MD5s."""
        check_object_key(key)
        with self._errors("look up", key):
            try:
                found = await self._in_time(obstore.head_async(self._store, key))
            except FileNotFoundError:
                return False
            etag = str(found["e_tag"]).strip('"').lower()
            if not _like_md5(etag, parts=False):
                return False
            local = await asyncio.to_thread(_size_and_md5, path)
            return (found["size"], etag) == local and await self._gives_md5(parts=False)

    async def read(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes [start, end) in pieces; raises StoreError if the object is missing, shorter, or replaced."""
        check_object_key(key)
        etag: str | None = None
        while start < end:
            stop = min(start + READ_PIECE, end)
            with self._errors("read", key):
                options: GetOptions = {"range": (start, stop)}
                if etag is not None:
                    options["if_match"] = etag
                answer = await obstore.get_async(self._store, key, options=options)
                etag = etag or answer.meta["e_tag"]
                piece = bytes(await answer.bytes_async())
            if len(piece) != stop - start:
                raise StoreError(f"{self.describe(key)} ends at byte {start + len(piece)}, before {end}")
            start = stop
            yield piece

    async def objects(self, below: str = "") -> AsyncIterator[StoredObject]:
        """In the order of the store."""
        batches = aiter(obstore.list(self._store, prefix=check_object_key(below) if below else None))
        while True:
            with self._errors("list", below or "."):
                try:
                    batch = await self._in_time(anext(batches))
                except StopAsyncIteration:
                    return
            for found in batch:
                yield StoredObject(found["path"], found["size"], found["last_modified"].timestamp())

    async def delete(self, key: str) -> bool:
        """Remove the object."""
        if await self.stat(key) is None:
            return False
        with self._errors("delete", key), contextlib.suppress(FileNotFoundError):
            await self._in_time(obstore.delete_async(self._store, key))
        return True

    async def space(self) -> None:
        """Object stores do not tell."""
        return

    def describe(self, key: str) -> str:
        """The object's URL; its bucket is the one in the store."""
        return f"{self._config.url.rstrip('/')}/{check_object_key(key)}"

    async def check(self) -> None:
        """Write, read and delete a small object."""
        key = f".livereel/check-{secrets.token_hex(8)}"
        await self.put_bytes(key, _PROBE)
        found = b"".join([piece async for piece in self.read(key, 0, len(_PROBE))])
        if found != _PROBE:
            raise StoreError(f"{self.describe(key)} gives other bytes than were stored: look at the store's own log")
        if not await self.delete(key):
            raise StoreError(f"{self.describe(key)} was stored but is not there: look at the store's own log")

    async def _put_whole(self, key: str, data: bytes) -> StoredObject:
        with self._errors("store", key):
            # Both take milliseconds for some megabytes, and neither is the business of the loop.
            digest, done = await asyncio.gather(_md5_aside(data), self._put(key, data, parts=False))
            return await self._verified(key, len(data), digest.hex(), done["e_tag"])

    async def _put_parts(self, key: str, source: int, path: Path, size: int) -> StoredObject:
        part = max(PART_SIZE, -(-size // PARTS_MAX // MIB) * MIB)
        digests = bytearray()

        async def parts() -> AsyncIterator[bytes]:
            for start in range(0, size, part):
                data = await asyncio.to_thread(read_open, source, path, start, min(part, size - start))
                digests.extend(await asyncio.to_thread(_md5, data))
                yield data

        if self._parts is not None:
            await leftovers.abort_all(self._parts, key)
        with self._errors("store", key):
            done = await obstore.put_async(
                self._store,
                key,
                parts(),
                attributes={"Content-Type": content_type(key)},
                use_multipart=True,
                chunk_size=part,
                max_concurrency=max(1, IN_FLIGHT // part),
            )
            if self._parts is not None:
                await leftovers.abort_all(self._parts, key)
            # S3 makes the ETag of an object in parts from the MD5s of its parts and their number.
            expected = f"{_md5(digests).hex()}-{len(digests) // 16}"
            return await self._verified(key, size, expected, done["e_tag"])

    async def _verified(self, key: str, size: int, etag: str, answered: str | None) -> StoredObject:
        with self._errors("look up", key):
            found = await self._in_time(obstore.head_async(self._store, key))
        if found["size"] != size:
            raise StoreError(f"{self.describe(key)} has {found['size']} bytes in the store instead of {size}")
        for given in {answered, found["e_tag"]} - {None}:
            if await self._damaged(given, etag, "-" in etag):
                raise StoreError(f"{self.describe(key)} arrived damaged: its ETag is {given} instead of {etag}")
        return StoredObject(key, size, found["last_modified"].timestamp())

    async def _damaged(self, given: str | None, etag: str, parts: bool) -> bool:
        """Whether `given`, where `etag` was expected, means that other bytes arrived; it may only look like it."""
        bare = str(given).strip('"').lower()
        return bare != etag and _like_md5(bare, parts=parts) and await self._gives_md5(parts=parts)

    async def _gives_md5(self, *, parts: bool) -> bool:
        """Whether this bucket's ETags are MD5s. With some kinds of encryption they only look so; a probe tells."""
        if parts not in self._md5_etags:
            key = f".livereel/etag-{secrets.token_hex(8)}"
            digest = _md5(_PROBE)
            expected = f"{_md5(digest).hex()}-1" if parts else digest.hex()
            done = await self._put(key, _PROBE, parts=parts)
            await self._in_time(obstore.delete_async(self._store, key))
            self._md5_etags[parts] = str(done["e_tag"]).strip('"').lower() == expected
            if not self._md5_etags[parts]:
                log.warning("store_without_checksums", bucket=self.bucket, in_parts=parts, verified_by="size")
        return self._md5_etags[parts]

    async def _put(self, key: str, data: bytes, *, parts: bool) -> Any:
        attributes = {"Content-Type": content_type(key)}
        return await obstore.put_async(self._store, key, data, attributes=attributes, use_multipart=parts)

    async def _in_time(self, request: Awaitable[T]) -> T:
        async with asyncio.timeout(self._lookup_timeout):
            return await request

    @contextlib.contextmanager
    def _errors(self, action: str, key: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except TimeoutError:
            raise self._error(action, key, NO_ANSWER) from None
        except FileNotFoundError as error:
            why = self._reason(error) if "NoSuchBucket" in str(error) else "it is not there"
            raise self._error(action, key, why) from None
        except Exception as error:  # of half a dozen kinds, and all mean that it is not stored
            raise self._error(action, key, self._reason(error)) from None

    def _reason(self, error: Exception) -> str:
        said = str(error)
        if refusals.may_be_of_credentials(said):
            self._credentials.refused()
        return refusals.reason(said, self._credentials.secrets())

    def _error(self, action: str, key: str, why: str) -> StoreError:
        return StoreError(f"cannot {action} {self.describe(key)}: {why}")


def _client(config: BucketConfig, credentials: Credentials, request_timeout: float) -> S3Store | GCSStore | AzureStore:
    options: ClientConfig = {
        "allow_http": (config.base_url or "").startswith("http://"),
        "timeout": timedelta(seconds=request_timeout),
        "connect_timeout": timedelta(seconds=min(CONNECT_TIMEOUT, request_timeout)),
    }
    if config.certificate is not None:
        options["root_certificate"] = config.certificate
    common: Any = {
        "prefix": config.prefix.rstrip("/") or None,
        "client_options": options,
        "retry_config": {
            "max_retries": RETRIES,
            "retry_timeout": timedelta(seconds=min(RETRY_TIMEOUT, request_timeout)),
        },
    }
    given = config.credentials
    match config.provider:
        case Provider.GCS:
            account: Any = {"service_account_key": given["service_account"]} if given else {}
            return GCSStore(config.bucket, **account, **common)
        case Provider.AZURE:
            names = {"account_key": "account_key", "sas_token": "sas_key"}
            chosen: Any = {names[name]: value for name, value in given.items()}
            if config.base_url is not None:
                chosen["endpoint"] = config.base_url
            checked = AzureStore(config.bucket, account_name=config.account, **chosen, **common)
            if not credentials.may_change:
                return checked
            chosen = {name: value for name, value in chosen.items() if name == "endpoint"}
            chosen["credential_provider"] = lambda: _for_azure(credentials)
            return AzureStore(config.bucket, account_name=config.account, **chosen, **common)
        case _:
            # A plain DELETE for one object: lists of objects to delete are spoken in dialects.
            chosen = {"virtual_hosted_style_request": config.hosted, "disable_bulk_delete": True}
            if config.base_url is not None:
                chosen["endpoint"] = config.base_url
            if config.region is not None:
                chosen["region"] = config.region
            if given:
                # Through a provider, so that no part of other credentials is taken from the environment (AWS_*).
                chosen["credential_provider"] = lambda: _for_s3(credentials)
            return S3Store(config.bucket, **chosen, **common)


def _for_s3(credentials: Credentials) -> Any:
    now = credentials.current()
    return {
        "access_key_id": now["access_key"],
        "secret_access_key": now["secret_key"],
        "token": now.get("session_token"),
        # What has expired is asked for again at the next request.
        "expires_at": datetime.now(UTC) if credentials.may_change else None,
    }


async def _md5_aside(data: bytes) -> bytes:
    return await asyncio.to_thread(_md5, data) if len(data) > HASHED_AT_ONCE else _md5(data)


def _for_azure(credentials: Credentials) -> Any:
    now = credentials.current()
    if "account_key" in now:
        given = {"access_key": now["account_key"]}
    else:
        given = {"sas_token": now["sas_token"].removeprefix("?")}
    return given | {"expires_at": datetime.now(UTC)}  # as with S3


def _md5(data: bytes | bytearray) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _size_and_md5(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        return file.tell(), digest


def _like_md5(etag: str, *, parts: bool) -> bool:
    return re.fullmatch(r"[0-9a-f]{32}-\d+" if parts else r"[0-9a-f]{32}", etag) is not None
