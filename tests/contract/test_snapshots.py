"""stream/snapshot."""

from typing import Any

import huaweicloudsdklive.v1 as sdk
import pytest

from tests.contract.client import Contract, plain


def every_member(domain: str, **changes: Any) -> sdk.LiveSnapshotConfig:
    given = {
        "domain": domain,
        "app_name": "live",
        "auth_key": "k" * 32,
        "time_interval": 3600,
        "object_write_mode": 0,
        "snapshot_mode": "random",
        "obs_location": sdk.ObsFileAddr(bucket="pictures", location="cn-north-4", object="archive"),
        "call_back_enable": "on",
        "call_back_url": "https://receiver.example.com/hook",
        "image_object_format": "{obs_object}/{stream}/{fmt_time_utc}",
        "image_access_protocol": "https",
        "image_access_domain": "img.example.com",
    }
    return sdk.LiveSnapshotConfig(**given | changes)


@pytest.mark.operations("CreateSnapshotConfig", "ListSnapshotConfigs", "UpdateSnapshotConfig", "DeleteSnapshotConfig")
def test_snapshot_configurations(api: Contract, domain: str) -> None:
    def listed(**query: Any) -> dict[str, Any]:
        return api("ListSnapshotConfigs", domain=domain, **query)

    empty = {"total": 0, "snapshot_config_list": [], "limit": 10, "offset": 0}
    assert listed() == empty
    assert api("CreateSnapshotConfig", body=every_member(domain)) == {}
    shown = {name: value for name, value in plain(every_member(domain)).items() if name != "auth_key"}
    assert listed() == empty | {"total": 1, "snapshot_config_list": [shown]}
    assert listed(app_name="live", limit=1, offset=1) == empty | {"total": 1, "limit": 1, "offset": 1}
    assert listed(app_name="other") == empty
    api.refused("CreateSnapshotConfig", 400, "LIVE.103011018", body=every_member(domain, time_interval=5))

    fewest = sdk.LiveSnapshotConfig(
        domain=domain,
        app_name="live",
        time_interval=5,
        object_write_mode=1,
        obs_location=sdk.ObsFileAddr(bucket="pictures", location="cn-north-4", object=""),
    )
    assert api("UpdateSnapshotConfig", body=fewest) == {}
    defaults = {"call_back_enable": "off", "snapshot_mode": "keyframe"}
    assert listed()["snapshot_config_list"] == [plain(fewest) | defaults]
    assert api("DeleteSnapshotConfig", domain=domain, app_name="live") == {}
    assert listed() == empty
    api.refused("UpdateSnapshotConfig", 404, "LIVE.103011019", body=every_member(domain))
