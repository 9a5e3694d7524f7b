"""Signed downloads: `/files/{bucket}/{key}?expires=&signature=`, with ranges."""

import contextlib
from collections.abc import AsyncIterator, Callable
from urllib.parse import quote, unquote, urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from livereel.api import ranges
from livereel.api.huawei.errors import LinkRefused
from livereel.api.services import ApiServices
from livereel.domain.errors import InvalidName, InvalidParameter, ResourceNotFound
from livereel.domain.naming import check_object_key, relative_key
from livereel.storage.content_types import content_type
from livereel.storage.port import Store, StoredObject

SLICE_SUFFIX = ".ts"


def router(services: ApiServices) -> APIRouter:
    """The download route."""
    routes = APIRouter(tags=["files"], redirect_slashes=False)

    @routes.get("/files/{bucket}/{key:path}", operation_id="DownloadFile")
    @routes.head("/files/{bucket}/{key:path}", include_in_schema=False)
    async def download(request: Request, bucket: str, key: str) -> Response:
        """Give a stored file to whoever has a link that is valid."""
        query = request.query_params
        if not services.download_urls.verify(
            bucket,
            key,
            expires=query.get("expires", ""),
            signature=query.get("signature", ""),
            now=services.clock.now(),
        ):
            raise LinkRefused("the link is not valid or has expired; list record/contents for a fresh one")
        store, stored = await _find(services, bucket, key)
        headers = _headers(key, stored)
        if key.endswith(".m3u8"):
            playlist = b"".join([piece async for piece in store.read(key, 0, stored.size)])
            # Its slices need links of their own, which change with every request: no ranges, no caching by ETag.
            del headers["ETag"], headers["Accept-Ranges"]
            content = with_signed_slices(playlist.decode(), bucket, key, _signer(services)).encode()
            headers["Content-Length"] = str(len(content))
            return Response(content if request.method == "GET" else b"", headers=headers)
        if ranges.names_etag(request.headers.get("if-none-match"), headers["ETag"]):
            return Response(status_code=304, headers=headers)
        wanted = request.headers.get("range")
        try:
            applies = ranges.range_applies(request.headers.get("if-range"), stored)
            span = ranges.parse_range(wanted, stored.size) if applies else None
        except ranges.Unsatisfiable:
            return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{stored.size}"})
        status = 200
        if span is not None:
            status = 206
            headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{stored.size}"
        start, end = span or (0, stored.size)
        headers["Content-Length"] = str(end - start)
        if request.method == "HEAD" or start == end:
            return Response(status_code=status, headers=headers)
        return StreamingResponse(_pieces(store, key, start, end), status, headers)

    return routes


def with_signed_slices(playlist: str, bucket: str, key: str, sign: Callable[[str, str], str]) -> str:
    """The playlist `key` with a signed link in place of each slice's path, so that a player can follow them.

    `sign` makes a link from bucket and object key. Only TS slices within the bucket are signed.
    """
    directory = key.rpartition("/")[0]

    def line_of(line: str) -> str:
        if not line or line.startswith("#"):
            return line
        slice_key = _within(directory, line)
        if slice_key is None:
            return line
        return f"{quote(relative_key(slice_key, directory))}?{urlsplit(sign(bucket, slice_key)).query}"

    return "".join(f"{line_of(line)}\n" for line in playlist.splitlines())


def _within(directory: str, reference: str) -> str | None:
    """The key of the slice that a playlist in `directory` refers to; None if that is no slice in the bucket."""
    if any(mark in reference for mark in ":?#"):  # an absolute URI, or one with a query
        return None
    parts = directory.split("/") if directory else []
    for part in reference.split("/"):
        name = unquote(part)
        if name == "..":
            if not parts:
                return None
            parts.pop()
        elif "/" in name:
            return None
        else:
            parts.append(name)
    with contextlib.suppress(InvalidName):
        key = check_object_key("/".join(parts))
        return key if key.endswith(SLICE_SUFFIX) else None
    return None


def _signer(services: ApiServices) -> Callable[[str, str], str]:
    def sign(bucket: str, key: str) -> str:
        return services.download_urls.sign(bucket, key, services.clock.now(), services.download_lifetime)

    return sign


async def _find(services: ApiServices, bucket: str, key: str) -> tuple[Store, StoredObject]:
    try:
        store = services.stores.get(bucket)
        stored = await store.stat(key)
    except InvalidParameter as error:
        raise ResourceNotFound(error.detail) from None
    if stored is None:
        raise ResourceNotFound(f"there is no file {key[:256]!r} in bucket {bucket!r}")
    return store, stored


async def _pieces(store: Store, key: str, start: int, end: int) -> AsyncIterator[bytes]:
    async for piece in store.read(key, start, end):
        yield piece


def _headers(key: str, stored: StoredObject) -> dict[str, str]:
    return {
        "Content-Type": content_type(key),
        "ETag": ranges.etag(stored),
        "Last-Modified": ranges.http_date(stored.modified_at),
        "Accept-Ranges": "bytes",
        "Cache-Control": "private",
        "X-Content-Type-Options": "nosniff",
    }
