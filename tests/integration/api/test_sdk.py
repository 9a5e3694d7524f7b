"""The unmodified official Python SDK against the server."""

import asyncio
import os
from typing import Any

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.region.region import Region
from huaweicloudsdklive.v1 import (
    CreateRecordRuleRequest,
    DefaultRecordConfig,
    FLVRecordConfig,
    HLSRecordConfig,
    LiveClient,
    RecordControlInfo,
    RecordObsFileAddr,
    RecordRuleRequest,
    RunRecordRequest,
    ShowDomainRequest,
)

from livereel.domain.errors import StreamNotLive, TaskExists

from .conftest import HOSTNAME, REGION, Api
from .sdk import DOMAIN, make_domain, refusal, run

# Without python-dateutil the SDK leaves times as text and says so with a warning.
pytestmark = pytest.mark.filterwarnings("ignore:Unable to convert string:ImportWarning")


def rule_request(record_type: str | None = "COMMAND_RECORD", **more: Any) -> RecordRuleRequest:
    config = DefaultRecordConfig(
        record_format=["HLS", "FLV"],
        obs_addr=RecordObsFileAddr(bucket="rec-a", location=REGION, object="archive/"),
        hls_config=HLSRecordConfig(record_cycle=3600, record_slice_duration=6, record_max_duration_to_merge_file=30),
        flv_config=FLVRecordConfig(record_cycle=7200),
    )
    return RecordRuleRequest(
        publish_domain=DOMAIN, app="live", stream="*", record_type=record_type, default_record_config=config, **more
    )


async def test_start_and_stop(sdk: LiveClient, api: Api) -> None:
    await make_domain(sdk)
    await run(sdk.create_record_rule, CreateRecordRuleRequest(body=rule_request()))
    body = RecordControlInfo(publish_domain=DOMAIN, app="live", stream="cam01")
    started = await run(sdk.run_record, RunRecordRequest(action="START", body=body))
    assert started.status_code == 200
    assert started.x_request_id.endswith(f"-{HOSTNAME}")
    stopped = await run(sdk.run_record, RunRecordRequest(action="STOP", body=body))
    assert stopped.status_code == 200
    assert [command.action for command in api.owner.commands] == ["START", "STOP"]
    assert str(api.owner.commands[0].key) == "push.example.com/live/cam01"

    api.owner.refusal = TaskExists("a task records it")
    body = RecordControlInfo(publish_domain=DOMAIN, app="live", stream="cam02")
    error = await refusal(sdk.run_record, RunRecordRequest(action="START", body=body))
    assert (error.status_code, error.error_code, error.error_msg) == (
        400,
        "LIVE.100011022",
        "LIVE.Record task exist.",
    )


async def test_start_of_a_stream_that_is_not_live(sdk: LiveClient, api: Api) -> None:
    await make_domain(sdk)
    await run(sdk.create_record_rule, CreateRecordRuleRequest(body=rule_request()))
    api.owner.refusal = StreamNotLive("nobody pushes it")
    body = RecordControlInfo(publish_domain=DOMAIN, app="live", stream="cam01")
    error = await refusal(sdk.run_record, RunRecordRequest(action="START", body=body))
    assert (error.status_code, error.error_code) == (404, "LIVE.100011001")


async def test_start_without_a_command_template(sdk: LiveClient, api: Api) -> None:
    body = RecordControlInfo(publish_domain=DOMAIN, app="live", stream="cam01")
    error = await refusal(sdk.run_record, RunRecordRequest(action="START", body=body))
    assert (error.status_code, error.error_code, error.error_msg) == (400, "LIVE.100011001", "Request Illegal")
    assert not api.owner.commands


async def test_wrong_secret(api: Api) -> None:
    credentials = BasicCredentials(api.key.access, "x" * 40, api.key.project_id)
    sdk = LiveClient.new_builder().with_credentials(credentials).with_endpoint(api.url).build()
    error = await refusal(sdk.show_domain, ShowDomainRequest())
    assert (error.status_code, error.error_code) == (401, "APIGW.0301")
    assert "verify aksk signature fail" in error.error_msg


async def test_project_is_found_by_region(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUAWEICLOUD_SDK_IAM_ENDPOINT", api.url)
    monkeypatch.delenv("HUAWEICLOUD_SDK_PROJECT_ID", raising=False)
    credentials = BasicCredentials(api.key.access, api.key.secret)
    builder = LiveClient.new_builder().with_credentials(credentials).with_region(Region(REGION, api.url))
    sdk = await asyncio.to_thread(builder.build)
    listed = await run(sdk.show_domain, ShowDomainRequest())
    assert listed.total == 0
    assert "HUAWEICLOUD_SDK_PROJECT_ID" not in os.environ
