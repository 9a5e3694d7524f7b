"""The outermost layer: request id on every reply, size limits, one log line and metrics per request.

Whatever is raised below becomes an answer here; nothing reaches the server's own error page.
"""

import asyncio
import uuid
from collections.abc import Callable
from typing import cast

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from livereel.api import request_id
from livereel.api.huawei.errors import HeadersTooLarge, UriTooLong
from livereel.api.huawei.operations import Operation
from livereel.api.request_id import RequestId
from livereel.api.responses import OPERATION_KEY, REFUSAL_KEY, REQUEST_ID_KEY, error_response, internal_error
from livereel.domain.clock import Clock
from livereel.domain.errors import LivereelError, ShuttingDown
from livereel.observe import metrics

log = structlog.get_logger()

# The cloud's gateway has these limits (spec huawei-live-common.md section 1).
URI_MAX = 32 * 1024
HEADER_MAX = 32 * 1024
HEADERS_MAX = 128 * 1024

IAM_TRACE_HEADER = b"x-iam-trace-id"  # where the SDK looks for a request id after /v3 calls

_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})  # polled every few seconds
_SHOWN = 512  # characters logged of what was wrong with a request
_KNOWN = _QUIET | {"/openapi.json", "/v3/auth/tokens"}


class Envelope:
    """ASGI application around all others."""

    def __init__(
        self, app: ASGIApp, *, clock: Clock, hostname: str, new_uuid: Callable[[], uuid.UUID] = uuid.uuid4
    ) -> None:
        self._app = app
        self._clock = clock
        self._hostname = hostname
        self._new_uuid = new_uuid

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        made = RequestId(self._new_uuid(), int(self._clock.now()), self._hostname)
        scope[REQUEST_ID_KEY] = made
        # On every line that is logged on behalf of this request, in whatever part of the server.
        with structlog.contextvars.bound_contextvars(request_id=str(made)):
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = self._clock.monotonic()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                add_request_id(message, scope)
            await send(message)

        try:
            check_sizes(scope)
            await self._app(scope, receive, send_with_id)
        except LivereelError as error:
            if not status:
                await error_response(scope, error)(scope, receive, send_with_id)
        except asyncio.CancelledError:  # the grace of an orderly stop is over
            log.warning("api_request_cut", method=scope["method"], path=scope["path"])
            if not status:
                cut = ShuttingDown("the server is stopping; look what became of this when it is back")
                await error_response(scope, cut)(scope, receive, send_with_id)
        except Exception:
            log.exception("api_request_failed", method=scope["method"], path=scope["path"])
            if not status:
                await internal_error(scope)(scope, receive, send_with_id)
        finally:
            self._account(scope, status, self._clock.monotonic() - began)

    def _account(self, scope: Scope, status: int, seconds: float) -> None:
        route = _route(scope)
        metrics.requests.labels(scope["method"] if route != "unmatched" else "any", route, str(status)).inc()
        metrics.request_seconds.labels(route).observe(seconds)
        level = log.debug if route in _QUIET else log.info
        refusal = cast(LivereelError | None, scope.get(REFUSAL_KEY))
        level(
            "api_request",
            method=scope["method"],
            path=scope["path"],
            status=status,
            seconds=round(seconds, 4),
            **({} if refusal is None else {"error": refusal.detail[:_SHOWN]}),
        )


def check_sizes(scope: Scope) -> None:
    """Raises UriTooLong, HeadersTooLarge."""
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > URI_MAX:
        raise UriTooLong(f"path and query may have {URI_MAX} bytes together")
    sizes = [len(name) + len(value) for name, value in scope["headers"]]
    if max(sizes, default=0) > HEADER_MAX or sum(sizes) > HEADERS_MAX:
        raise HeadersTooLarge(f"a header may have {HEADER_MAX} bytes, all together {HEADERS_MAX}")


def add_request_id(message: Message, scope: Scope) -> None:
    """Put the request id on a response that does not carry one yet (a repeated first answer does)."""
    headers = list(message.get("headers", ()))
    if not any(name.lower() == request_id.HEADER.lower() for name, _ in headers):
        headers.append((request_id.HEADER, str(scope[REQUEST_ID_KEY]).encode()))
    if scope["path"].startswith("/v3/"):
        headers.append((IAM_TRACE_HEADER, cast(RequestId, scope[REQUEST_ID_KEY]).uuid.hex.encode()))
    message["headers"] = headers


def _route(scope: Scope) -> str:
    operation = cast(Operation | None, scope.get(OPERATION_KEY))
    if operation:
        return operation.name
    path = str(scope["path"])
    if path.startswith("/files/"):
        return "files"
    return path if path in _KNOWN else "unmatched"
