"""The ASGI application: routes, error replies, middleware."""

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from livereel.api import files, health, v3
from livereel.api.auth.middleware import Authentication
from livereel.api.description.document import described
from livereel.api.envelope import Envelope
from livereel.api.huawei import routes
from livereel.api.huawei.errors import UnknownApi
from livereel.api.responses import error_response, invalid
from livereel.api.services import ApiServices
from livereel.domain.errors import InvalidParameter, LivereelError, StoreError

__all__ = ["ApiServices", "create_app"]

log = structlog.get_logger()

_UNKNOWN = frozenset({404, 405})  # the gateway answers a wrong method as it answers a wrong path


def create_app(services: ApiServices) -> FastAPI:
    """The whole API over `services`. It starts and stops nothing; run it with `server.ApiServer`."""
    app = FastAPI(
        title="livereel",
        description="Live-stream recording, wire-compatible with the Huawei Cloud Live recording API.",
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        strict_content_type=False,  # requests carry signatures or tokens, which no browser adds by itself
    )
    for router in (routes.router(services), v3.router(services), files.router(services), health.router(services)):
        app.include_router(router)
    app.openapi = described(app)  # type: ignore[method-assign]

    @app.exception_handler(LivereelError)
    async def refused(request: Request, error: LivereelError) -> Response:
        if isinstance(error, StoreError):  # the reply does not say why; the log must
            log.warning("store_failed", path=request.url.path, error=error.detail)
        return error_response(request.scope, error)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        return error_response(request.scope, invalid(list(error.errors())))

    @app.exception_handler(HTTPException)
    async def unrouted(request: Request, error: HTTPException) -> Response:
        if error.status_code in _UNKNOWN:
            return error_response(request.scope, UnknownApi(f"{request.method} {request.url.path[:200]}"))
        return error_response(request.scope, InvalidParameter("the request body cannot be read"))

    app.add_middleware(
        Authentication,
        iam=services.iam,
        replays=services.replays,
        rate_limits=services.rate_limits,
    )
    app.add_middleware(Envelope, clock=services.clock, hostname=services.hostname)
    return app
