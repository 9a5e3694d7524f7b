"""record/rules and obs/authority."""

from typing import Any

import huaweicloudsdklive.v1 as sdk
import pytest

from tests.contract.client import DAY, HEX_32, Contract, Like, plain

HLS_PREFIX = (
    "Record/{publish_domain}/{app}/{record_type}/{record_format}/{stream}_{file_start_time}/{stream}_{file_start_time}"
)
FILE_PREFIX = "Record/{publish_domain}/{app}/{record_type}/{record_format}/{stream}_{file_start_time}/{file_start_time}"


def template(domain: str, config: sdk.DefaultRecordConfig, **changes: Any) -> sdk.RecordRuleRequest:
    given = {"app": "live", "stream": "*", "record_type": "COMMAND_RECORD"} | changes
    return sdk.RecordRuleRequest(publish_domain=domain, default_record_config=config, **given)


def every_member() -> sdk.DefaultRecordConfig:
    return sdk.DefaultRecordConfig(
        record_format=["HLS", "FLV", "MP4"],
        obs_addr=sdk.RecordObsFileAddr(bucket="rec-a", location="cn-north-4", object="archive/"),
        hls_config=sdk.HLSRecordConfig(
            record_cycle=3600,
            record_prefix="{app}/{stream}/{file_start_time_unix}",
            record_ts_prefix="{stream}-{file_start_time_unix}-{file_end_time_unix}-{ts_sequence_number}",
            record_slice_duration=6,
            record_max_duration_to_merge_file=-1,
        ),
        flv_config=sdk.FLVRecordConfig(
            record_cycle=43_200, record_prefix="flv/{stream}_{file_start_time}", record_max_duration_to_merge_file=300
        ),
        mp4_config=sdk.MP4RecordConfig(
            record_cycle=60, record_prefix="mp4/{stream}_{file_start_time}", record_max_duration_to_merge_file=30
        ),
    )


def fewest_members(record_format: str = "HLS", bucket: str = "rec-a") -> sdk.DefaultRecordConfig:
    address = sdk.RecordObsFileAddr(bucket=bucket, location="cn-north-4", object="")
    hls = sdk.HLSRecordConfig(record_cycle=0) if record_format == "HLS" else None
    return sdk.DefaultRecordConfig(record_format=[record_format], obs_addr=address, hls_config=hls)


@pytest.mark.operations("CreateRecordRule", "ShowRecordRule", "ListRecordRules", "UpdateRecordRule", "DeleteRecordRule")
def test_templates(api: Contract, domain: str) -> None:
    config = every_member()
    made = api("CreateRecordRule", body=template(domain, config))
    expected = {
        "id": Like(HEX_32),
        "publish_domain": domain,
        "app": "live",
        "stream": "*",
        "record_type": "COMMAND_RECORD",
        "default_record_config": plain(config),
        "create_time": Like(DAY),
        "update_time": Like(DAY),
    }
    assert made == expected
    assert api("ShowRecordRule", id=made["id"]) == made

    short = api("CreateRecordRule", body=template(domain, fewest_members(), app="*", stream="cam01", record_type=None))
    assert short == expected | {
        "app": "*",
        "stream": "cam01",
        "record_type": "CONTINUOUS_RECORD",
        "default_record_config": {
            "record_format": ["HLS"],
            "obs_addr": {"bucket": "rec-a", "location": "cn-north-4", "object": ""},
            "hls_config": {
                "record_cycle": 0,
                "record_prefix": HLS_PREFIX,
                "record_ts_prefix": "{file_start_time_unix}_{file_end_time_unix}_{ts_sequence_number}",
                "record_slice_duration": 10,
                "record_max_duration_to_merge_file": 0,
            },
        },
    }

    def listed(**query: Any) -> tuple[int, list[str]]:
        found = api("ListRecordRules", publish_domain=domain, **query)
        assert all(item in (made, short) for item in found["record_config"])
        return found["total"], [item["id"] for item in found["record_config"]]

    both = listed()
    assert (both[0], sorted(both[1])) == (2, sorted((made["id"], short["id"])))
    assert listed(limit=1, offset=1) == (2, both[1][1:])
    assert listed(limit=1, offset=2) == (2, [])
    assert listed(app="live") == listed(stream="*") == listed(record_type="COMMAND_RECORD") == (1, [made["id"]])
    assert listed(app="*", stream="cam01") == (1, [short["id"]])
    assert listed(record_type="PLAN_RECORD") == (0, [])

    changed = api(
        "UpdateRecordRule",
        id=made["id"],
        body=template(domain, fewest_members("MP4"), record_type="PLAN_RECORD", stream="cam02"),
    )
    assert changed == expected | {
        "id": made["id"],
        "stream": "cam02",
        "record_type": "PLAN_RECORD",
        "default_record_config": {
            "record_format": ["MP4"],
            "obs_addr": {"bucket": "rec-a", "location": "cn-north-4", "object": ""},
            "mp4_config": {
                "record_cycle": 0,
                "record_prefix": FILE_PREFIX,
                "record_max_duration_to_merge_file": 0,
            },
        },
    }
    assert api("ShowRecordRule", id=made["id"]) == changed
    assert api("DeleteRecordRule", id=made["id"]) == {}
    assert listed() == (1, [short["id"]])
    api.refused("ShowRecordRule", 404, "LIVE.100011001", id=made["id"])


@pytest.mark.operations("CreateRecordRule")
def test_all_types_and_a_taken_place(api: Contract, domain: str) -> None:
    for record_type in ("CONTINUOUS_RECORD", "COMMAND_RECORD", "PLAN_RECORD", "ON_DEMAND_RECORD"):
        body = template(domain, fewest_members(), stream=record_type, record_type=record_type)
        assert api("CreateRecordRule", body=body)["record_type"] == record_type
    api.refused(
        "CreateRecordRule",
        400,
        "LIVE.103011018",
        body=template(domain, fewest_members("MP4"), stream="PLAN_RECORD", record_type="COMMAND_RECORD"),
    )


@pytest.mark.operations("UpdateObsBucketAuthorityPublic")
def test_authorised_buckets(other_project: Contract) -> None:
    api = other_project  # the list closes all other buckets of the project
    domain = "buckets.example.com"
    api("CreateDomain", body=sdk.LiveDomainCreateReq(domain=domain, domain_type="push", region="cn-north-4"))

    def authorise(bucket: str, operation: int) -> None:
        body = sdk.ObsAuthorityConfigV2(bucket=bucket, operation=operation)
        assert api("UpdateObsBucketAuthorityPublic", body=body) == {}

    authorise("rec-b", 1)
    refused = template(domain, fewest_members(), stream="a")
    api.refused("CreateRecordRule", 400, "LIVE.100011001", body=refused)
    api("CreateRecordRule", body=template(domain, fewest_members(bucket="rec-b"), stream="b"))
    authorise("rec-a", 1)
    api("CreateRecordRule", body=template(domain, fewest_members(), stream="c"))
    authorise("rec-a", 0)
    api.refused("CreateRecordRule", 400, "LIVE.100011001", body=template(domain, fewest_members(), stream="d"))
