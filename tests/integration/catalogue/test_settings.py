"""What is set for domains and projects: callbacks, mappings, key chains, buckets."""

from dataclasses import replace

import pytest

from livereel.catalogue.port import Catalogue
from livereel.domain.errors import ResourceExists, ResourceNotFound
from livereel.domain.messages import NotificationConfig
from livereel.domain.streams import StreamBlock
from livereel.domain.tenancy import (
    AuthType,
    BucketGrant,
    DomainMapping,
    DomainStatus,
    DomainType,
    KeyChain,
    LiveDomain,
)
from tests.integration.catalogue.nouns import KEY, NOW, PROJECT, make_callback, make_snapshot, make_template

OTHER_PROJECT = "f" * 32
MAPPING = DomainMapping("play.example.com", KEY.domain, PROJECT)
CHAIN = KeyChain(KEY.domain, "Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4z", AuthType.D_SHA256, 600)


async def test_callbacks_come_back_as_they_were(catalogue: Catalogue) -> None:
    config = make_callback()
    async with catalogue.write() as uow:
        await uow.callbacks.add(config)
    async with catalogue.read() as uow:
        assert await uow.callbacks.get(PROJECT, config.id) == config
        assert await uow.callbacks.get(OTHER_PROJECT, config.id) is None
        assert await uow.callbacks.by_domain(KEY.domain) == config
        assert await uow.callbacks.by_domain("other.example.com") is None


async def test_one_callback_configuration_per_domain(catalogue: Catalogue) -> None:
    config, other = make_callback(), make_callback(domain="other.example.com")
    async with catalogue.write() as uow:
        await uow.callbacks.add(config)
        await uow.callbacks.add(other)
        with pytest.raises(ResourceExists, match=r"push\.example\.com"):
            await uow.callbacks.add(make_callback(app="live"))
        with pytest.raises(ResourceExists, match=r"push\.example\.com"):
            await uow.callbacks.update(replace(other, domain=config.domain))
        await uow.callbacks.update(changed := replace(config, app="live", key="", on_demand_url=""))
        for foreign in (make_callback(domain="third.example.com"), replace(config, project_id=OTHER_PROJECT)):
            with pytest.raises(ResourceNotFound):
                await uow.callbacks.update(foreign)
    async with catalogue.write() as uow:
        assert await uow.callbacks.get(PROJECT, config.id) == changed
        assert not await uow.callbacks.delete(OTHER_PROJECT, config.id)
        assert await uow.callbacks.delete(PROJECT, config.id)
        assert not await uow.callbacks.delete(PROJECT, config.id)


async def test_callbacks_are_listed_with_filters_in_pages(catalogue: Catalogue) -> None:
    configs = [
        make_callback(domain=f"d{number}.example.com", app=app, created_at=NOW + number)
        for number, app in enumerate(["*", "live", "live"])
    ]
    async with catalogue.write() as uow:
        for config in reversed(configs):
            await uow.callbacks.add(config)
        await uow.callbacks.add(make_callback(project_id=OTHER_PROJECT))
    async with catalogue.read() as uow:
        assert await uow.callbacks.list(PROJECT) == (3, configs)
        assert await uow.callbacks.list(PROJECT, offset=1, limit=1) == (3, configs[1:2])
        assert await uow.callbacks.list(PROJECT, app="live") == (2, configs[1:])
        assert await uow.callbacks.list(PROJECT, domain="d0.example.com", app="*") == (1, configs[:1])
        assert await uow.callbacks.list(PROJECT, domain="d0.example.com", app="live") == (0, [])


async def test_a_pull_domain_is_mapped_once(catalogue: Catalogue) -> None:
    second = replace(MAPPING, pull_domain="a.example.com")
    async with catalogue.write() as uow:
        await uow.domain_mappings.add(MAPPING)
        await uow.domain_mappings.add(second)
        with pytest.raises(ResourceExists, match=r"play\.example\.com"):
            await uow.domain_mappings.add(replace(MAPPING, push_domain="b.example.com"))
    async with catalogue.write() as uow:
        assert await uow.domain_mappings.list(PROJECT) == [second, MAPPING]
        assert await uow.domain_mappings.list(OTHER_PROJECT) == []
        assert await uow.domain_mappings.for_pull("play.example.com") == MAPPING
        assert await uow.domain_mappings.for_pull(KEY.domain) is None
        assert not await uow.domain_mappings.delete("play.example.com", "b.example.com")
        assert await uow.domain_mappings.delete("play.example.com", KEY.domain)
        assert await uow.domain_mappings.list(PROJECT) == [second]


async def test_key_chains_are_put_and_deleted(catalogue: Catalogue) -> None:
    async with catalogue.write() as uow:
        assert await uow.key_chains.get(KEY.domain) is None
        assert await uow.key_chains.put(CHAIN)
        assert await uow.key_chains.get(KEY.domain) == CHAIN
        assert not await uow.key_chains.put(changed := replace(CHAIN, auth_type=AuthType.C_AES, timeout=60))
        assert await uow.key_chains.get(KEY.domain) == changed
        assert await uow.key_chains.delete(KEY.domain)
        assert not await uow.key_chains.delete(KEY.domain)


async def test_buckets_are_granted_to_each_project(catalogue: Catalogue) -> None:
    grants = [BucketGrant(PROJECT, "rec-a"), BucketGrant(PROJECT, "rec-b"), BucketGrant(OTHER_PROJECT, "rec-a")]
    async with catalogue.write() as uow:
        for grant in reversed(grants):
            assert await uow.bucket_grants.put(grant)
            assert not await uow.bucket_grants.put(grant)
        assert await uow.bucket_grants.list(PROJECT) == grants[:2]
        assert await uow.bucket_grants.delete(grants[0])
        assert not await uow.bucket_grants.delete(grants[0])
        assert await uow.bucket_grants.list(PROJECT) == grants[1:2]
        assert await uow.bucket_grants.list(OTHER_PROJECT) == grants[2:]


async def test_the_next_owner_of_a_domain_inherits_nothing(catalogue: Catalogue) -> None:
    domain = LiveDomain(
        *(KEY.domain, PROJECT, DomainType.PUSH, DomainStatus.ON, "cn-north-4", "", "", ""),
        created_at=NOW,
        stream_backup=True,
    )
    pull = replace(domain, name="play.example.com", type=DomainType.PULL, stream_backup=False)
    block = StreamBlock(*(KEY.domain, KEY.app, KEY.stream, PROJECT), resume_at=NOW + 60, created_at=NOW)
    async with catalogue.write() as uow:
        for one in (domain, pull):
            await uow.domains.add(one)
        await uow.templates.add(make_template())
        await uow.notifications.put(NotificationConfig(KEY.domain, "https://example.org/a"))
        await uow.callbacks.add(make_callback())
        await uow.domain_mappings.add(MAPPING)
        await uow.key_chains.put(CHAIN)
        await uow.key_chains.put(pull_chain := replace(CHAIN, domain=pull.name))
        await uow.stream_blocks.put(block)
        await uow.snapshots.put(make_snapshot())
        assert await uow.domains.get(KEY.domain) == domain
        assert await uow.domains.delete(KEY.domain)
    async with catalogue.read() as uow:
        assert await uow.templates.for_domain(KEY.domain) == []
        assert await uow.notifications.get(KEY.domain) is None
        assert await uow.callbacks.by_domain(KEY.domain) is None
        assert await uow.domain_mappings.for_pull(pull.name) is None
        assert await uow.key_chains.get(KEY.domain) is None
        assert await uow.stream_blocks.get(KEY) is None
        assert await uow.snapshots.get(KEY.domain, KEY.app) is None
        assert await uow.domains.list(PROJECT) == [pull]
        assert await uow.key_chains.get(pull.name) == pull_chain
