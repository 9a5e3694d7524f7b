"""Fixtures of the contract tests: one real server for all of them, known footage, a receiver."""

from collections.abc import Iterator
from typing import Any

import huaweicloudsdklive.v1 as sdk
import pytest

from tests.acceptance.accounts import new_project, new_user
from tests.acceptance.conftest import (
    ffmpeg_push,
    footage,
    pytest_runtest_makereport,
    receiver,
    run_server,
    server,
    stream,
)
from tests.acceptance.server import LiveServer
from tests.contract.client import Contract

__all__ = ["ffmpeg_push", "footage", "pytest_runtest_makereport", "receiver", "server", "stream"]


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Any:
    """A test that passes has had all operations that its mark names answered as documented."""
    result = yield
    mark = pyfuncitem.get_closest_marker("operations")
    used = [value for value in pyfuncitem.funcargs.values() if isinstance(value, Contract)]
    missing = set(mark.args if mark else ()) - {name for contract in used for name in contract.answered}
    assert not missing, f"the test says that it is about {missing}"
    return result


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """One server for all contract tests; its log must be clean after all of them.

    Without quotas: tests ask again and again until something is there, and how often is up to the machine.
    """
    environment = {"LIVEREEL_PULLS__ALLOW_PRIVATE": "127.0.0.0/8", "LIVEREEL_API__RATE_LIMITS": "false"}
    yield from run_server(tmp_path_factory.mktemp("contract"), **environment)


@pytest.fixture
def api(shared_server: LiveServer) -> Contract:
    """The SDK as the user of the first start."""
    assert shared_server.credentials is not None
    return Contract(shared_server.endpoint, shared_server.credentials)


@pytest.fixture
def other_project(request: pytest.FixtureRequest, shared_server: LiveServer) -> Contract:
    """The SDK as a user of a project of the test's own."""
    name = request.node.name
    user = new_user(shared_server, name, project=new_project(shared_server, f"{name}-project"))
    return Contract(shared_server.endpoint, user.credentials)


@pytest.fixture
def domain(api: Contract, stream: str) -> str:
    """An ingest domain of the test's own."""
    name = f"{stream.lower()[:42]}.example.com"
    api("CreateDomain", body=sdk.LiveDomainCreateReq(domain=name, domain_type="push", region="cn-north-4"))
    return name
