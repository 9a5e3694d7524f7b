"""Liveness, readiness and metrics, without credentials and without secrets.

What metrics tell of a server is nothing for strangers: to whoever may not read them the path does not exist.
"""

from collections.abc import Iterable
from ipaddress import ip_address

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from livereel.api.huawei.errors import UnknownApi
from livereel.api.services import ApiServices, Network

log = structlog.get_logger()


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
    async def metrics(request: Request) -> Response:
        """Prometheus text format, for the networks of `api.metrics_allow`."""
        client = request.client.host if request.client else ""
        if not is_within(client, services.metrics_allow):
            log.warning("metrics_refused", client_ip=client, setting="api.metrics_allow")
            raise UnknownApi("GET /metrics")
        return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return routes


def is_within(client: str, networks: Iterable[Network]) -> bool:
    """Whether the address of a connection (text, maybe with a scope; empty: unknown) is in one of `networks`."""
    if not client:
        return False
    address = ip_address(client.partition("%")[0])
    # Of IPv6 addresses that stand for IPv4 ones only these are made by this machine; others may be forged.
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in networks)
