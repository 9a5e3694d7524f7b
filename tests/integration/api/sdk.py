"""The official Python SDK as tests use it. The client itself is the fixture `sdk`."""

import asyncio
from typing import Any

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdklive.v1 import CreateDomainRequest, LiveClient, LiveDomainCreateReq

from livereel.iam.service import NewAccessKey

DOMAIN = "push.example.com"
PULL_DOMAIN = "play.example.com"
REGION = "livereel-1"


def make_client(url: str, key: NewAccessKey) -> LiveClient:
    """A client of the server at `url`."""
    return (
        LiveClient.new_builder()
        .with_http_config(HttpConfig(ignore_ssl_verification=True))
        .with_credentials(BasicCredentials(key.access, key.secret, key.project_id))
        .with_endpoint(url)
        .build()
    )


async def run(call: Any, request: Any) -> Any:
    """The SDK blocks; the server runs in our loop."""
    return await asyncio.to_thread(call, request)


async def refusal(call: Any, request: Any) -> ClientRequestException:
    """The error that a call ends with."""
    with pytest.raises(ClientRequestException) as caught:
        await run(call, request)
    return caught.value


async def make_domain(sdk: LiveClient, name: str = DOMAIN, domain_type: str = "push", region: str = REGION) -> None:
    """Create a domain."""
    body = LiveDomainCreateReq(domain=name, domain_type=domain_type, region=region)
    await run(sdk.create_domain, CreateDomainRequest(body=body))
