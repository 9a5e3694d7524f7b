"""Signed downloads: `/files/{bucket}/{key}?expires=&signature=`, with ranges."""

from collections.abc import AsyncIterator
from pathlib import PurePosixPath

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from livereel.api import ranges
from livereel.api.huawei.errors import LinkRefused
from livereel.api.services import ApiServices
from livereel.domain.errors import InvalidParameter, ResourceNotFound
from livereel.storage.port import Store, StoredObject

# By name, never from the platform's tables: the answer must not depend on the machine.
CONTENT_TYPES = {
    ".m3u8": "application/vnd.apple.mpegurl",
    ".ts": "video/mp2t",
    ".flv": "video/x-flv",
    ".mp4": "video/mp4",
    ".json": "application/json",
}
DEFAULT_CONTENT_TYPE = "application/octet-stream"


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
        "Content-Type": CONTENT_TYPES.get(PurePosixPath(key).suffix.lower(), DEFAULT_CONTENT_TYPE),
        "ETag": ranges.etag(stored),
        "Last-Modified": ranges.http_date(stored.modified_at),
        "Accept-Ranges": "bytes",
        "Cache-Control": "private",
        "X-Content-Type-Options": "nosniff",
    }
