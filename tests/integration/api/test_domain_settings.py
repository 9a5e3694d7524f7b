"""domains_mapping, domain/stream-backup, guard/key-chain and auth/chain through the official SDK."""

from typing import Any

import pytest
from huaweicloudsdklive.v1 import (
    CreateDomainMappingRequest,
    CreateUrlAuthchainReq,
    CreateUrlAuthchainRequest,
    DeleteDomainKeyChainRequest,
    DeleteDomainMappingRequest,
    DeleteDomainRequest,
    DomainMapping,
    KeyChainInfo,
    LiveClient,
    LiveDomainModifyReq,
    ShowDomainKeyChainRequest,
    ShowDomainRequest,
    UpdateDomainKeyChainRequest,
    UpdateDomainRequest,
)

from livereel.domain.tenancy import AuthType, KeyChain
from livereel.iam.url_signing import problem, sign_d

from .conftest import Api
from .sdk import DOMAIN, PULL_DOMAIN, make_domain, refusal, run

KEY = "Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4z"
UNKNOWN = "other.example.com"
MAPPING = DomainMapping(pull_domain=PULL_DOMAIN, push_domain=DOMAIN)


async def set_key(sdk: LiveClient, domain: str = DOMAIN, auth_type: str = "d_sha256", timeout: int = 600) -> Any:
    body = KeyChainInfo(key=KEY, auth_type=auth_type, timeout=timeout)
    return await run(sdk.update_domain_key_chain, UpdateDomainKeyChainRequest(domain=domain, body=body))


def chain_request(domain: str = DOMAIN, domain_type: str = "push", **more: Any) -> CreateUrlAuthchainRequest:
    body = CreateUrlAuthchainReq(domain=domain, domain_type=domain_type, app="live", stream="cam01", **more)
    return CreateUrlAuthchainRequest(body=body)


async def test_mappings_that_are_refused(sdk: LiveClient, api: Api) -> None:
    await make_domain(sdk)
    await make_domain(sdk, PULL_DOMAIN, "pull")
    await make_domain(sdk, "push2.example.com")
    await make_domain(sdk, "far.example.com", "pull", region="elsewhere")
    await run(sdk.create_domain_mapping, CreateDomainMappingRequest(body=MAPPING))

    async def answer(pull: str, push: str) -> tuple[int, str]:
        reply = await api.call("PUT", "domains_mapping", {"pull_domain": pull, "push_domain": push})
        return reply.status_code, reply.json().get("error_code", "")

    assert await answer(PULL_DOMAIN, DOMAIN) == (200, "")  # as it is
    assert await answer(UNKNOWN, DOMAIN) == (404, "LIVE.103011019")
    assert await answer(PULL_DOMAIN, UNKNOWN) == (404, "LIVE.103011019")
    assert await answer(PULL_DOMAIN, "push2.example.com") == (400, "LIVE.103011018")
    assert await answer(DOMAIN, "push2.example.com") == (400, "LIVE.100011001")
    assert await answer("far.example.com", PULL_DOMAIN) == (400, "LIVE.100011001")
    assert await answer("far.example.com", DOMAIN) == (400, "LIVE.100011001")
    assert await answer(DOMAIN, DOMAIN) == (400, "LIVE.100011001")
    for pull, push in ((PULL_DOMAIN, "push2.example.com"), (UNKNOWN, DOMAIN)):
        error = await refusal(sdk.delete_domain_mapping, DeleteDomainMappingRequest(pull_domain=pull, push_domain=push))
        assert (error.status_code, error.error_code) == (400, "LIVE.103011019")


async def test_settings_go_with_their_domain(sdk: LiveClient) -> None:
    await make_domain(sdk)
    await make_domain(sdk, PULL_DOMAIN, "pull")
    await run(sdk.create_domain_mapping, CreateDomainMappingRequest(body=MAPPING))
    await set_key(sdk)
    await run(sdk.update_domain, UpdateDomainRequest(body=LiveDomainModifyReq(domain=DOMAIN, status="off")))
    await run(sdk.delete_domain, DeleteDomainRequest(domain=DOMAIN))
    shown = await run(sdk.show_domain, ShowDomainRequest(domain=PULL_DOMAIN))
    assert shown.domain_info[0].related_domain == ""
    await make_domain(sdk, DOMAIN, region="elsewhere")  # not the same request again
    assert not (await run(sdk.show_domain_key_chain, ShowDomainKeyChainRequest(domain=DOMAIN))).key


async def test_key_chains_that_are_refused(sdk: LiveClient, api: Api) -> None:
    await make_domain(sdk)
    good = {"key": KEY, "auth_type": "d_sha256", "timeout": 600}
    for bad in (
        {"key": KEY[:31]},
        {"key": KEY + "x"},
        {"key": "1" * 32},
        {"key": "a" * 32},
        {"key": "-" + KEY[1:]},
        {"auth_type": "e_sm3"},
        {"timeout": 59},
        {"timeout": 2_592_001},
        {"timeout": "600"},
        {"key": None},
        {"auth_type": None},
        {"timeout": None},
    ):
        reply = await api.call("PUT", f"guard/key-chain?domain={DOMAIN}", good | bad)
        assert (reply.status_code, reply.json()["error_code"]) == (400, "LIVE.100011001"), bad
    show = await refusal(sdk.show_domain_key_chain, ShowDomainKeyChainRequest(domain=UNKNOWN))
    gone = await refusal(sdk.delete_domain_key_chain, DeleteDomainKeyChainRequest(domain=UNKNOWN))
    body = KeyChainInfo(**good)
    put = await refusal(sdk.update_domain_key_chain, UpdateDomainKeyChainRequest(domain=UNKNOWN, body=body))
    assert {(error.status_code, error.error_code) for error in (show, gone, put)} == {(400, "LIVE.100011001")}


@pytest.mark.parametrize("auth_type", list(AuthType))
async def test_signatures_that_are_made_are_good(sdk: LiveClient, api: Api, auth_type: AuthType) -> None:
    await make_domain(sdk)
    await set_key(sdk, auth_type=auth_type.value)
    answer = await run(sdk.create_url_authchain, chain_request(check_level=5))
    assert (answer.status_code, len(answer.keychain)) == (200, 1)
    chain = KeyChain(DOMAIN, KEY, auth_type, 600)
    assert problem(chain, "live", "cam01", answer.keychain[0], api.clock.now()) is None
    assert problem(chain, "live", "cam01", answer.keychain[0], api.clock.now() + 700) is not None


async def test_a_signature_for_later(sdk: LiveClient) -> None:
    await make_domain(sdk)
    await set_key(sdk)
    for text in ("2026-07-21T06:15:28Z", "2026-07-21T08:15:28+02:00"):
        answer = await run(sdk.create_url_authchain, chain_request(start_time=text))
        assert answer.keychain == [sign_d(KEY, "cam01", 1784614528)]


async def test_signatures_for_play_urls(sdk: LiveClient) -> None:
    await make_domain(sdk, PULL_DOMAIN, "pull")
    await set_key(sdk, PULL_DOMAIN, "a_md5")
    answer = await run(sdk.create_url_authchain, chain_request(PULL_DOMAIN, "pull"))
    assert len(answer.keychain) == 3  # rtmp, .flv, .m3u8: type A signs the path
    await set_key(sdk, PULL_DOMAIN, "d_sha256")
    answer = await run(sdk.create_url_authchain, chain_request(PULL_DOMAIN, "pull", check_level=3))
    assert len(answer.keychain) == 1


async def test_signatures_that_cannot_be_made(sdk: LiveClient, api: Api) -> None:
    await make_domain(sdk)
    without = await refusal(sdk.create_url_authchain, chain_request())
    assert (without.status_code, without.error_code) == (400, "LIVE.100011001")
    await set_key(sdk, auth_type="c_aes")
    for request in (
        chain_request(),
        chain_request(check_level=4),
        chain_request(check_level=5, domain_type="pull"),
        chain_request(UNKNOWN, check_level=5),
        chain_request(check_level=5, start_time="tomorrow"),
    ):
        error = await refusal(sdk.create_url_authchain, request)
        assert (error.status_code, error.error_code) == (400, "LIVE.100011001"), request
