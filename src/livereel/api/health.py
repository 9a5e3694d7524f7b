"""Liveness, readiness and metrics, without credentials and without secrets."""

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from livereel.api.services import ApiServices


def router(services: ApiServices) -> APIRouter:
    """The routes that machines poll."""
    routes = APIRouter(tags=["health"], redirect_slashes=False)

    # Monitors ask with HEAD as well, and uvicorn leaves out the body.
    @routes.head("/healthz", include_in_schema=False)
    @routes.get("/healthz", operation_id="Health")
    async def health() -> Response:
        """200 while the process answers."""
        return JSONResponse({"status": "ok"})

    @routes.head("/readyz", include_in_schema=False)
    @routes.get("/readyz", operation_id="Readiness")
    async def readiness() -> Response:
        """200 if every part works, else 503; `checks` says what is wrong with which (null: nothing)."""
        checks = dict(await services.readiness())
        ready = all(problem is None for problem in checks.values())
        return JSONResponse({"status": "ok" if ready else "not ready", "checks": checks}, 200 if ready else 503)

    @routes.get("/metrics", operation_id="Metrics")
    async def metrics() -> Response:
        """Prometheus text format."""
        return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return routes
