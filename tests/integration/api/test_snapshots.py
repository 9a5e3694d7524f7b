"""stream/snapshot through the official SDK and on the wire."""

import json
from typing import Any

import pytest
from huaweicloudsdklive.v1 import (
    CreateSnapshotConfigRequest,
    DeleteSnapshotConfigRequest,
    LiveClient,
    LiveSnapshotConfig,
    ObsFileAddr,
    UpdateSnapshotConfigRequest,
)

from .conftest import Api
from .sdk import DOMAIN, make_domain, refusal, run

pytestmark = pytest.mark.filterwarnings("ignore:Unable to convert string:ImportWarning")


def config(**changes: Any) -> LiveSnapshotConfig:
    given = {
        "domain": DOMAIN,
        "app_name": "live",
        "auth_key": "k" * 32,
        "time_interval": 10,
        "object_write_mode": 0,
        "snapshot_mode": "random",
        "obs_location": ObsFileAddr(bucket="pictures", location="here", object="archive"),
        "call_back_enable": "on",
        "call_back_url": "https://receiver.example.com/hook",
        "image_object_format": "{obs_object}/{stream}/{fmt_time_utc}",
        "image_access_protocol": "https",
        "image_access_domain": "img.example.com",
    }
    return LiveSnapshotConfig(**given | changes)


def raw(**changes: Any) -> dict[str, Any]:
    """The least that is accepted, as JSON."""
    least = {
        "domain": DOMAIN,
        "app_name": "live",
        "time_interval": 5,
        "object_write_mode": 1,
        "obs_location": {"bucket": "pictures", "location": "here"},
    }
    return {name: value for name, value in (least | changes).items() if value is not None}


async def test_the_key_is_kept_and_never_shown(sdk: LiveClient, api: Api) -> None:
    await make_domain(sdk)
    await run(sdk.create_snapshot_config, CreateSnapshotConfigRequest(body=config()))
    change = config(auth_key=None, time_interval=3600)
    await run(sdk.update_snapshot_config, UpdateSnapshotConfigRequest(body=change))
    async with api.catalogue.read() as uow:
        stored = await uow.snapshots.get(DOMAIN, "live")
    assert stored is not None
    assert (stored.interval, stored.auth_key) == (3600, "k" * 32)
    assert stored.project_id == api.key.project_id
    listed = await api.call("GET", f"stream/snapshot?domain={DOMAIN}")
    assert "auth_key" not in listed.text


async def test_what_is_not_there(sdk: LiveClient) -> None:
    await make_domain(sdk)
    missing = await refusal(sdk.delete_snapshot_config, DeleteSnapshotConfigRequest(domain=DOMAIN, app_name="other"))
    assert (missing.status_code, missing.error_code) == (404, "LIVE.103011019")


async def test_defaults(sdk: LiveClient, api: Api) -> None:
    await make_domain(sdk)
    assert (await api.call("POST", "stream/snapshot", raw())).status_code == 200
    listed = (await api.call("GET", f"stream/snapshot?domain={DOMAIN}&limit=100")).json()
    assert listed["snapshot_config_list"] == [
        {
            "domain": DOMAIN,
            "app_name": "live",
            "time_interval": 5,
            "object_write_mode": 1,
            "obs_location": {"bucket": "pictures", "location": "here", "object": ""},
            "call_back_enable": "off",
            "snapshot_mode": "keyframe",
        }
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"time_interval": 4},
        {"time_interval": 3601},
        {"time_interval": "5"},
        {"object_write_mode": 2},
        {"obs_location": None},
        {"obs_location": {"bucket": "pictures"}},
        {"obs_location": {"bucket": "../x", "location": "here"}},
        {"auth_key": "short"},
        {"auth_key": "k" * 129},
        {"call_back_enable": "on"},
        {"call_back_enable": "yes"},
        {"call_back_enable": "on", "call_back_url": "ftp://receiver.example.com"},
        {"snapshot_mode": "all"},
        {"image_object_format": "{stream}/{unix_time}"},
        {"image_object_format": "{unknown}"},
        {"object_write_mode": 0, "image_object_format": "{stream}"},
        {"image_access_protocol": "ftp"},
        {"image_access_domain": "not a domain"},
        {"domain": "unknown.example.com"},
        {"app_name": "no/app"},
        {"app_name": None},
    ],
)
async def test_what_is_refused(sdk: LiveClient, api: Api, changes: dict[str, Any]) -> None:
    await make_domain(sdk)
    for method in ("POST", "PUT"):
        answer = await api.call(method, "stream/snapshot", raw(**changes))
        assert (answer.status_code, answer.json()["error_code"]) == (400, "LIVE.100011001"), json.dumps(answer.json())


async def test_unknown_domains(api: Api) -> None:
    for method, query in (("GET", "?domain=other.example.com"), ("DELETE", "?domain=other.example.com&app_name=live")):
        answer = await api.call(method, f"stream/snapshot{query}")
        assert (answer.status_code, answer.json()["error_code"]) == (400, "LIVE.100011001")
