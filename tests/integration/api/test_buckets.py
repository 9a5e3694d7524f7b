"""obs/authority: a list of buckets that is in force from the first authorisation on."""

from typing import Any

import pytest
from huaweicloudsdklive.v1 import LiveClient, ObsAuthorityConfigV2, UpdateObsBucketAuthorityPublicRequest

from .conftest import Api
from .sdk import run
from .test_wire import make_domain, rule


async def authority(sdk: LiveClient, bucket: str, operation: int) -> None:
    body = ObsAuthorityConfigV2(bucket=bucket, operation=operation)
    done = await run(sdk.update_obs_bucket_authority_public, UpdateObsBucketAuthorityPublicRequest(body=body))
    assert done.status_code == 200


async def create(api: Api, bucket: str, stream: str = "*") -> tuple[int, Any]:
    config = {"obs_addr": {"bucket": bucket, "location": "here", "object": ""}}
    reply = await api.call("POST", "record/rules", rule(config=config, stream=stream))
    return reply.status_code, reply.json()


async def test_the_list_is_in_force_from_the_first_authorisation(sdk: LiveClient, api: Api) -> None:
    await make_domain(api)
    await authority(sdk, "rec-a", 0)  # there is no list yet
    status, before = await create(api, "rec-a")
    assert status == 201
    await authority(sdk, "rec-b", 1)
    status, refused = await create(api, "rec-a", "cam01")
    assert (status, refused["error_code"]) == (400, "LIVE.100011001")
    assert "rec-a is not authorised" in refused["error_detail"]
    changed = await api.call("PUT", f"record/rules/{before['id']}", rule())
    assert changed.status_code == 400
    assert (await create(api, "rec-b", "cam01"))[0] == 201
    await authority(sdk, "rec-a", 1)
    assert (await api.call("PUT", f"record/rules/{before['id']}?again=", rule())).status_code == 200


async def test_cancelling_the_last_bucket_leaves_none(sdk: LiveClient, api: Api) -> None:
    await make_domain(api)
    await authority(sdk, "rec-a", 1)
    await authority(sdk, "rec-a", 0)
    assert (await create(api, "rec-a"))[0] == 400
    # Signed anew: within a second the SDK's request would be the first one sent again.
    again = await api.call("PUT", "obs/authority?again=", {"bucket": "rec-a", "operation": 1})
    assert (again.status_code, again.content) == (200, b"")
    assert (await create(api, "rec-a", "cam01"))[0] == 201


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"bucket": "rec-a"},
        {"operation": 1},
        {"bucket": "rec-a", "operation": 2},
        {"bucket": "rec-a", "operation": "1"},
        {"bucket": "rec-a", "operation": True},
        {"bucket": "", "operation": 1},
        {"bucket": "No_Bucket", "operation": 1},
        {"bucket": "No_Bucket", "operation": 0},
    ],
)
async def test_refused_authorisations(api: Api, body: dict[str, Any]) -> None:
    reply = await api.call("PUT", "obs/authority", body)
    assert (reply.status_code, reply.json()["error_code"]) == (400, "LIVE.100011001"), reply.text
