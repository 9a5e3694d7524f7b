"""record/callbacks and notifications/publish: where messages go. Messages themselves: tests/acceptance."""

from typing import Any

import huaweicloudsdklive.v1 as sdk
import pytest

from tests.contract.client import DAY, HEX_32, Contract, Like

URL = "https://app.example.com/rec"
KEY = "0123456789abcdef0123456789ABCDEF"
EVENTS = ["RECORD_NEW_FILE_START", "RECORD_FILE_COMPLETE", "RECORD_OVER", "RECORD_FAILED"]


@pytest.mark.operations(
    "CreateRecordCallbackConfig",
    "ShowRecordCallbackConfig",
    "ListRecordCallbackConfigs",
    "UpdateRecordCallbackConfig",
    "DeleteRecordCallbackConfig",
)
def test_callback_configurations(api: Contract, domain: str) -> None:
    body = sdk.RecordCallbackConfigRequest(
        publish_domain=domain,
        app="*",
        notify_callback_url=URL,
        notify_event_subscription=EVENTS,
        sign_type="MD5",
        key=KEY,
    )
    made = api("CreateRecordCallbackConfig", body=body)
    expected = {
        "id": Like(HEX_32),
        "publish_domain": domain,
        "app": "*",
        "notify_callback_url": URL,
        "notify_event_subscription": EVENTS,
        "sign_type": "MD5",
        "create_time": Like(DAY),
        "update_time": Like(DAY),
    }
    assert made == expected
    assert api("ShowRecordCallbackConfig", id=made["id"]) == made

    def listed(**query: Any) -> Any:
        return api("ListRecordCallbackConfigs", **query)

    only = {"total": 1, "callback_config": [made]}
    assert listed(publish_domain=domain) == listed(publish_domain=domain, app="*", offset=0, limit=1) == only
    assert listed(publish_domain=domain, offset=1) == {"total": 1, "callback_config": []}
    assert listed(publish_domain=domain, app="live") == {"total": 0, "callback_config": []}

    second = sdk.RecordCallbackConfigRequest(publish_domain=domain, app="live", notify_callback_url=URL)
    api.refused("CreateRecordCallbackConfig", 400, "LIVE.103011018", body=second)
    body = sdk.RecordCallbackConfigRequest(publish_domain=domain, app="live", notify_callback_url=URL + "/2")
    changed = api("UpdateRecordCallbackConfig", id=made["id"], body=body)
    assert changed == expected | {
        "id": made["id"],
        "app": "live",
        "notify_callback_url": URL + "/2",
        "notify_event_subscription": ["RECORD_FILE_COMPLETE"],
        "sign_type": "HMACSHA256",
    }
    assert api("DeleteRecordCallbackConfig", id=made["id"]) == {}
    assert listed(publish_domain=domain) == {"total": 0, "callback_config": []}
    api.refused("ShowRecordCallbackConfig", 404, "LIVE.100011001", id=made["id"])


@pytest.mark.operations("UpdatePublishTemplate", "ListPublishTemplate", "DeletePublishTemplate")
def test_notifications(api: Contract, domain: str) -> None:
    assert api("ListPublishTemplate", domain=domain) == {"url": ""}
    every = sdk.CallbackUrl(url="http://hooks.example.com/a", auth_sign_key=KEY, call_back_area="mainland_china")
    assert api("UpdatePublishTemplate", status=201, domain=domain, body=every) == {}
    assert api("ListPublishTemplate", domain=domain) == {
        "url": "http://hooks.example.com/a",
        "auth_sign_key": KEY,
        "call_back_area": "mainland_china",
    }
    body = sdk.CallbackUrl(url="https://hooks.example.com/b")
    assert api("UpdatePublishTemplate", status=200, domain=domain, body=body) == {}
    assert api("ListPublishTemplate", domain=domain) == {"url": "https://hooks.example.com/b"}
    assert api("DeletePublishTemplate", domain=domain) == {}
    assert api("ListPublishTemplate", domain=domain) == {"url": ""}
    for operation in ("ListPublishTemplate", "DeletePublishTemplate"):
        api.refused(operation, 400, "LIVE.100011001", domain="unknown.example.com")
