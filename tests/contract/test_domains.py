"""domain, domains_mapping, domain/stream-backup, guard/key-chain and auth/chain."""

import time
from datetime import UTC, datetime
from typing import Any

import huaweicloudsdklive.v1 as sdk
import pytest

from livereel.iam.url_signing import sign_d
from tests.contract.client import UTC as UTC_TIME
from tests.contract.client import Contract, Like

KEY = "Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4z"
UNKNOWN = "unknown.example.com"


def pull_domain(api: Contract, domain: str) -> str:
    """A streaming domain beside an ingest domain."""
    name = f"play-{domain}"
    api("CreateDomain", body=sdk.LiveDomainCreateReq(domain=name, domain_type="pull", region="cn-north-4"))
    return name


@pytest.mark.operations("CreateDomain", "ShowDomain", "UpdateDomain", "DeleteDomain")
def test_domains(api: Contract) -> None:
    name = "life.example.com"
    every = sdk.LiveDomainCreateReq(
        domain=name,
        domain_type="pull",
        region="cn-north-4",
        service_area="global",
        enterprise_project_id="0",
        pull_protocol="hls",
    )
    made = api("CreateDomain", body=every)
    expected = {
        "domain": name,
        "domain_type": "pull",
        "domain_cname": "acceptance",
        "region": "cn-north-4",
        "status": "on",
        "create_time": Like(UTC_TIME),
        "service_area": "global",
        "enterprise_project_id": "0",
        "pull_protocol": "hls",
    }
    assert made == expected
    item = made | {"vendor": "livereel", "related_domain": "", "is_ipv6": False}
    assert api("ShowDomain", domain=name) == {"total": 1, "domain_info": [item]}
    shown = api("ShowDomain")
    assert shown["total"] == len(shown["domain_info"]) > 1
    assert item in shown["domain_info"]
    assert api("ShowDomain", domain=name, enterprise_project_id="1") == {"total": 0, "domain_info": []}

    few = {"domain": "few.example.com", "domain_type": "push", "region": "cn-north-4"}
    for optional in ("service_area", "enterprise_project_id", "pull_protocol"):
        del expected[optional]
    assert api("CreateDomain", body=sdk.LiveDomainCreateReq(**few)) == expected | few

    api.refused("DeleteDomain", 400, "LIVE.103011022", domain=name)
    off = sdk.LiveDomainModifyReq(domain=name, status="off", enterprise_project_id="1")
    assert api("UpdateDomain", body=off) == made | {"status": "off", "enterprise_project_id": "1"}
    time.sleep(1.1)  # within the second it is the same signed request, which was answered
    assert api("DeleteDomain", domain=name) == {}
    api.refused("ShowDomain", 404, "LIVE.103011019", domain=name)


@pytest.mark.operations("CreateDomainMapping", "DeleteDomainMapping")
def test_mappings(api: Contract, domain: str) -> None:
    pull = pull_domain(api, domain)

    def related() -> Any:
        return api("ShowDomain", domain=pull)["domain_info"][0]["related_domain"]

    mapping = {"pull_domain": pull, "push_domain": domain}
    assert api("CreateDomainMapping", body=sdk.DomainMapping(**mapping)) == mapping
    assert related() == domain
    assert api("DeleteDomainMapping", **mapping) == {}
    assert related() == ""
    missing = sdk.DomainMapping(pull_domain=UNKNOWN, push_domain=domain)
    api.refused("CreateDomainMapping", 404, "LIVE.103011019", body=missing)


@pytest.mark.operations("ModifyDomainStreamBackup", "ShowDomainStreamBackup")
def test_stream_backup(api: Contract, domain: str) -> None:
    off = {"publish_domain": domain, "stream_backup_enable": False}
    assert api("ShowDomainStreamBackup", publish_domain=domain) == off
    for setting in (off | {"stream_backup_enable": True}, off):
        assert api("ModifyDomainStreamBackup", body=sdk.DomainStreamBackupInfo(**setting)) == setting
        assert api("ShowDomainStreamBackup", publish_domain=domain) == setting
    api.refused("ShowDomainStreamBackup", 400, "LIVE.100011001", publish_domain=UNKNOWN)


@pytest.mark.operations("ShowDomainKeyChain", "UpdateDomainKeyChain", "DeleteDomainKeyChain", "CreateUrlAuthchain")
def test_key_chains_and_signed_urls(api: Contract, domain: str) -> None:
    assert api("ShowDomainKeyChain", domain=domain) == {"key": ""}
    for chain in (
        {"key": KEY, "auth_type": "c_aes", "timeout": 2_592_000},
        {"key": KEY, "auth_type": "d_sha256", "timeout": 60},
    ):
        assert api("UpdateDomainKeyChain", domain=domain, body=sdk.KeyChainInfo(**chain)) == {}
        assert api("ShowDomainKeyChain", domain=domain) == chain

    names = {"domain": domain, "domain_type": "push", "app": "live", "stream": "cam01"}
    at = int(datetime(2026, 7, 21, 6, 15, 28, tzinfo=UTC).timestamp())
    wanted = sdk.CreateUrlAuthchainReq(**names, check_level=5, start_time="2026-07-21T06:15:28Z")
    assert api("CreateUrlAuthchain", body=wanted) == {"keychain": [sign_d(KEY, "cam01", at)]}
    now = int(time.time())
    [signed] = api("CreateUrlAuthchain", body=sdk.CreateUrlAuthchainReq(**names))["keychain"]
    assert signed in [sign_d(KEY, "cam01", second) for second in range(now, int(time.time()) + 1)]

    assert api("DeleteDomainKeyChain", domain=domain) == {}
    assert api("ShowDomainKeyChain", domain=domain) == {"key": ""}
    wanted.check_level = 3  # not the same request again, which would get the same answer
    api.refused("CreateUrlAuthchain", 400, "LIVE.100011001", body=wanted)
    api.refused("ShowDomainKeyChain", 400, "LIVE.100011001", domain=UNKNOWN)
