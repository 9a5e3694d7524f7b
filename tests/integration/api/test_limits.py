"""Requests beyond the quota, as they look on the wire."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx2
import pytest

from livereel.api.app import create_app
from livereel.api.limits import RateLimits
from livereel.api.server import ApiServer

from .conftest import HOSTNAME, PATIENCE, Api

ALLOWED = 3  # 300 a minute by one user, times the factor


@pytest.fixture
async def limited(api: Api) -> AsyncIterator[Api]:
    """A server that lets a hundredth of the documented numbers through."""
    services = replace(api.services, rate_limits=RateLimits(api.clock, factor=ALLOWED / 300))
    server = ApiServer(create_app(services), "127.0.0.1", 0, hostname=HOSTNAME)
    await server.start()
    url = f"http://127.0.0.1:{server.port}"
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=PATIENCE) as client:
        yield replace(api, url=url, client=client)
    await server.stop()


async def test_too_many_requests_answer_as_the_gateway_does(limited: Api) -> None:
    replies = [await limited.call("GET", "record/rules") for _ in range(ALLOWED + 1)]
    assert [reply.status_code for reply in replies] == [200] * ALLOWED + [429]
    refused = replies[-1]
    body = refused.json()
    assert body == {
        "error_code": "APIGW.0308",
        "error_msg": "The throttling threshold has been reached",
        "request_id": body["request_id"],
    }
    assert re.fullmatch(r"[0-9a-f]{32}", body["request_id"])
    assert refused.headers["X-request-id"].replace("-", "").startswith(body["request_id"])
    # Another operation has a quota of its own, and time gives this one back.
    assert (await limited.call("GET", "domain")).status_code == 200
    limited.clock.advance(20)
    assert (await limited.call("GET", "record/rules")).status_code == 200


async def test_a_mutation_that_was_refused_may_be_sent_again(limited: Api) -> None:
    body = {"domain": "a.example.com", "domain_type": "push", "region": "here"}
    for _ in range(ALLOWED):
        await limited.call("POST", "domain", {})
    assert (await limited.call("POST", "domain", body)).status_code == 429
    limited.clock.advance(20)
    assert (await limited.call("POST", "domain", body)).status_code == 201


async def test_who_is_not_known_uses_up_nobodys_quota(limited: Api) -> None:
    stranger = limited.key._replace(secret="x" * 40)
    for _ in range(ALLOWED + 1):
        assert (await limited.call("GET", "record/rules", key=stranger)).status_code == 401
    assert (await limited.call("GET", "record/rules")).status_code == 200
