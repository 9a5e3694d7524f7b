"""The unmodified official Python SDK against the server."""

import asyncio
import os
from typing import Any

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.region.region import Region
from huaweicloudsdklive.v1 import CallbackUrl as NotificationBody
from huaweicloudsdklive.v1 import (
    CreateRecordRuleRequest,
    DecoupledLiveDomainInfo,
    DefaultRecordConfig,
    DeleteDomainRequest,
    DeletePublishTemplateRequest,
    DeleteRecordRuleRequest,
    FLVRecordConfig,
    HLSRecordConfig,
    ListPublishTemplateRequest,
    ListRecordContentsRequest,
    ListRecordRulesRequest,
    LiveClient,
    LiveDomainModifyReq,
    RecordControlInfo,
    RecordObsFileAddr,
    RecordRuleRequest,
    RunRecordRequest,
    ShowDomainRequest,
    ShowRecordRuleRequest,
    UpdateDomainRequest,
    UpdatePublishTemplateRequest,
    UpdateRecordRuleRequest,
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


async def test_rules_live_and_die(sdk: LiveClient) -> None:
    await make_domain(sdk)
    made = await run(sdk.create_record_rule, CreateRecordRuleRequest(body=rule_request()))
    assert made.status_code == 201
    assert len(made.id) == 32
    hls = made.default_record_config.hls_config
    assert hls.record_prefix.startswith("Record/{publish_domain}/")
    assert hls.record_ts_prefix == "{file_start_time_unix}_{file_end_time_unix}_{ts_sequence_number}"
    assert (hls.record_cycle, hls.record_slice_duration, hls.record_max_duration_to_merge_file) == (3600, 6, 30)
    assert made.default_record_config.mp4_config is None

    shown = await run(sdk.show_record_rule, ShowRecordRuleRequest(id=made.id))
    assert shown.stream == "*"
    listed = await run(sdk.list_record_rules, ListRecordRulesRequest(publish_domain=DOMAIN, limit=10, offset=0))
    assert listed.total == 1
    assert listed.record_config[0].id == made.id

    update = rule_request("CONTINUOUS_RECORD")
    changed = await run(sdk.update_record_rule, UpdateRecordRuleRequest(id=made.id, body=update))
    assert changed.id == made.id
    assert changed.record_type == "CONTINUOUS_RECORD"

    gone = await run(sdk.delete_record_rule, DeleteRecordRuleRequest(id=made.id))
    assert gone.status_code == 204
    error = await refusal(sdk.show_record_rule, ShowRecordRuleRequest(id=made.id))
    assert (error.status_code, error.error_code) == (404, "LIVE.100011001")
    assert HOSTNAME in error.request_id


async def test_record_type_defaults_to_continuous(sdk: LiveClient) -> None:
    await make_domain(sdk)
    made = await run(sdk.create_record_rule, CreateRecordRuleRequest(body=rule_request(None)))
    assert made.record_type == "CONTINUOUS_RECORD"


async def test_a_second_rule_for_the_same_streams_is_refused(sdk: LiveClient) -> None:
    await make_domain(sdk)
    await run(sdk.create_record_rule, CreateRecordRuleRequest(body=rule_request()))
    error = await refusal(sdk.create_record_rule, CreateRecordRuleRequest(body=rule_request("CONTINUOUS_RECORD")))
    assert (error.status_code, error.error_code) == (400, "LIVE.103011018")


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


async def test_domains(sdk: LiveClient) -> None:
    await make_domain(sdk)
    listed = await run(sdk.show_domain, ShowDomainRequest())
    assert listed.total == 1
    item = listed.domain_info[0]
    assert isinstance(item, DecoupledLiveDomainInfo)
    assert (item.domain, item.domain_type, item.status, item.is_ipv6) == (DOMAIN, "push", "on", False)

    on = await refusal(sdk.delete_domain, DeleteDomainRequest(domain=DOMAIN))
    assert (on.status_code, on.error_code) == (400, "LIVE.103011022")
    changed = await run(sdk.update_domain, UpdateDomainRequest(body=LiveDomainModifyReq(domain=DOMAIN, status="off")))
    assert changed.status == "off"
    assert (await run(sdk.delete_domain, DeleteDomainRequest(domain=DOMAIN))).status_code == 204
    await asyncio.sleep(1.1)  # within the second it is the same signed request, which was answered
    gone = await refusal(sdk.delete_domain, DeleteDomainRequest(domain=DOMAIN))
    assert (gone.status_code, gone.error_code) == (400, "LIVE.103011019")
    gone = await refusal(sdk.show_domain, ShowDomainRequest(domain=DOMAIN))
    assert (gone.status_code, gone.error_code) == (404, "LIVE.103011019")


async def test_notifications(sdk: LiveClient) -> None:
    await make_domain(sdk)
    empty = await run(sdk.list_publish_template, ListPublishTemplateRequest(domain=DOMAIN))
    assert not empty.url
    body = NotificationBody(url="http://hooks.example.com/a", auth_sign_key="k" * 32)
    made = await run(sdk.update_publish_template, UpdatePublishTemplateRequest(domain=DOMAIN, body=body))
    assert made.status_code == 201
    changed = await run(
        sdk.update_publish_template,
        UpdatePublishTemplateRequest(domain=DOMAIN, body=NotificationBody(url="https://hooks.example.com/b")),
    )
    assert changed.status_code == 200
    shown = await run(sdk.list_publish_template, ListPublishTemplateRequest(domain=DOMAIN))
    assert shown.url == "https://hooks.example.com/b"
    gone = await run(sdk.delete_publish_template, DeletePublishTemplateRequest(domain=DOMAIN))
    assert gone.status_code == 204
    unknown = await refusal(sdk.list_publish_template, ListPublishTemplateRequest(domain="other.example.com"))
    assert (unknown.status_code, unknown.error_code) == (400, "LIVE.100011001")


async def test_contents_of_nothing(sdk: LiveClient) -> None:
    listed = await run(sdk.list_record_contents, ListRecordContentsRequest(start_time="2026-07-21T00:00:00Z"))
    assert (listed.total, listed.record_contents) == (0, [])


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
